//! Makes a history that breaks a rule as short as it goes.
//!
//! Draws do not depend on each other, so kinds of faults and executions can be taken out one after
//! the other while the same rule is still broken.

use crate::drive::run;
use crate::fault::Fault;
use crate::history::History;

/// The most histories that are tried.
const TRIES_MAX: usize = 400;

/// A shorter history that breaks the same rule; the history itself when it breaks none.
pub fn shrink(history: &History) -> History {
    let Some(violation) = run(history, false).violation else {
        return history.clone();
    };
    let mut tries = 0;
    let mut shortest = history.clone();
    let mut still_breaks = |shorter: &History| {
        tries += 1;
        tries <= TRIES_MAX
            && run(shorter, false).violation.is_some_and(|found| found.rule == violation.rule)
    };
    for fault in Fault::ALL {
        let mut shorter = shortest.clone();
        if shorter.without.insert(fault) && still_breaks(&shorter) {
            shortest = shorter;
        }
    }
    let executions = history.settings().executions;
    let mut size = executions.div_ceil(2);
    while size > 0 {
        let mut first = 0;
        while first < executions {
            let mut shorter = shortest.clone();
            shorter.dropped.extend(first..executions.min(first + size));
            if shorter != shortest && still_breaks(&shorter) {
                shortest = shorter;
            }
            first += size;
        }
        size /= 2;
    }
    shortest
}
