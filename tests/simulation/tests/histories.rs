//! Histories that must keep every rule, and a look at the simulation itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use simulation::{Fault, Figures, History, mutations, run};

const SEEDS: u64 = 500;

#[test]
fn no_history_breaks_a_rule() {
    let next = AtomicU64::new(0);
    let figures = Mutex::new(Figures::default());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < SEEDS
                {
                    let course = run(&History::of(seed), false);
                    if let Some(violation) = course.violation {
                        panic!("{violation}\nreplay: make simulate ARGS=\"--seed {seed}\"");
                    }
                    figures.lock().unwrap_or_else(PoisonError::into_inner).add(&course.figures);
                }
            });
        }
    });
    // What never happens proves nothing.
    let figures = figures.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{figures}");
    assert_eq!(figures.histories, SEEDS);
    for fault in Fault::ALL {
        assert!(figures.faults(fault) > 100, "{fault}: {figures}");
    }
    assert!(figures.answers > 4_000, "{figures}");
    assert!(figures.recoveries > 1_000, "{figures}");
    assert!(figures.cancellations > 300, "{figures}");
    assert!(figures.dead_letters > 300, "{figures}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [3, 16, 419] {
        let (one, other) = (run(&History::of(seed), true), run(&History::of(seed), true));
        assert!(one.log.len() > 20, "seed {seed}");
        assert_eq!(one.log, other.log, "seed {seed}");
        assert_eq!(one.figures, other.figures, "seed {seed}");
    }
}

#[test]
fn what_is_taken_out_changes_nothing_else() {
    let whole = History::of(3);
    let mut shorter = whole.clone();
    shorter.dropped.insert(0);
    let lines = |history: &History| {
        let sent = |line: &String| line.contains(" command (1, 0) ");
        run(history, true).log.into_iter().filter(sent).collect::<Vec<_>>()
    };
    assert_eq!(lines(&whole).len(), 1);
    assert_eq!(lines(&whole), lines(&shorter));
}

#[test]
fn every_mutation_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rules = fs::read_to_string(root.join("tests/simulation/src/rules.rs")).expect("the rules");
    let mut names = Vec::new();
    for mutation in mutations::ALL {
        if let Err(problem) = mutation.apply(&root) {
            panic!("{problem}");
        }
        let rule = mutation.rule;
        assert!(rules.contains(&format!("\"{rule}\"")), "{}: no rule `{rule}`", mutation.name);
        names.push(mutation.name);
    }
    assert!(names.is_sorted(), "{names:?}");
    assert!(names.len() >= 59, "{} mutations", names.len());
}

/// Found by the simulation. What is not named did not matter for the failure. A change of what
/// histories are drawn from makes another history of the seed: `make mutations` with the mutation
/// that brings the failure back names a new one.
fn check_found(seed: u64, only: &[Fault]) {
    let without: BTreeSet<_> =
        Fault::ALL.into_iter().filter(|fault| !only.contains(fault)).collect();
    let history = History { seed, without, dropped: BTreeSet::new() };
    let violation = run(&history, false).violation;
    assert_eq!(violation, None, "replay: make simulate ARGS=\"{history}\"");
}

/// `GetCommandInvocation` showed a time before the listing's: the answer's output was empty, and
/// said to be whole. Mutation: `believes-a-stale-output`.
#[test]
fn an_output_that_reads_as_it_was_before_its_end_is_not_told_as_whole() {
    check_found(160, &[Fault::ReadLags]);
}
