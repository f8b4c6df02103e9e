//! What happened, in figures.

use std::fmt;

use crate::fault::Fault;

/// Counts of one history, or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Histories.
    pub histories: u64,
    /// Commands that were sent.
    pub commands: u64,
    /// Nodes that they were sent to.
    pub nodes: u64,
    /// Events that were delivered.
    pub events: u64,
    /// Calls to AWS.
    pub calls: u64,
    /// Sweeps.
    pub sweeps: u64,
    /// Answers that a task took.
    pub answers: u64,
    /// Of these, answers that a sweep gave, because the event was lost.
    pub recoveries: u64,
    /// Cancels that sweeps asked for.
    pub cancellations: u64,
    /// Events that the relay gave up, after two retries.
    pub dead_letters: u64,
    faults: [u64; Fault::ALL.len()],
}

impl Figures {
    pub(crate) fn count(&mut self, fault: Fault) {
        self.faults[fault.index()] += 1;
    }

    /// How often a kind of fault struck.
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults[fault.index()]
    }

    /// Adds those of other histories.
    pub fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.commands += other.commands;
        self.nodes += other.nodes;
        self.events += other.events;
        self.calls += other.calls;
        self.sweeps += other.sweeps;
        self.answers += other.answers;
        self.recoveries += other.recoveries;
        self.cancellations += other.cancellations;
        self.dead_letters += other.dead_letters;
        for (sum, count) in self.faults.iter_mut().zip(other.faults) {
            *sum += count;
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} histories: {} commands on {} nodes, {} events, {} calls, {} sweeps, {} answers, \
             {} recoveries, {} cancellations, {} dead letters; faults:",
            self.histories,
            self.commands,
            self.nodes,
            self.events,
            self.calls,
            self.sweeps,
            self.answers,
            self.recoveries,
            self.cancellations,
            self.dead_letters
        )?;
        Fault::ALL.iter().try_for_each(|fault| write!(f, " {fault} {}", self.faults(*fault)))
    }
}
