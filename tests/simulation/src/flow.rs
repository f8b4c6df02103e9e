//! What one invocation of a function has done so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use callback::ports::{Pulse, Stage};
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::history::Ms;
use crate::simulated_aws::Asked;

/// Numbers the invocations of a history.
pub(crate) type FlowId = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlowKind {
    Relay,
    Sweep,
    /// A sweep of the executing commands only, because an execution was stopped.
    ExecutingSweep,
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) kind: FlowKind,
    pub(crate) calls: u64,
    /// After so many calls its process dies: before or after the next one takes effect.
    pub(crate) dies_at: Option<(u64, bool)>,
    pub(crate) died: Arc<Notify>,
    /// Commands that its lists told as executing, and whether once without a cancel under way.
    pub(crate) executing: BTreeMap<usize, bool>,
    /// Commands that its lists told as completed.
    pub(crate) completed: BTreeSet<usize>,
    /// How many commands its lists have told.
    pub(crate) rows: u64,
    /// How many of these are of the swept documents.
    pub(crate) swept_rows: u64,
    pub(crate) asked: Asked,
    /// How many of the pages that it has read were short, empty or overlapping, or had no end.
    pub(crate) odd_pages: u64,
    /// Whether it could not read a page.
    pub(crate) misses_page: bool,
    /// How many pages it has read of lists of all documents.
    pub(crate) unfiltered_pages: BTreeMap<(Stage, Option<Timestamp>), u64>,
    /// How many of its answers were taken.
    pub(crate) accepted: u64,
    of_commands: BTreeMap<usize, CommandCalls>,
}

/// Its calls that concern one command.
#[derive(Debug, Default)]
pub(crate) struct CommandCalls {
    pub(crate) command_reads: u64,
    pub(crate) invocation_reads: u64,
    pub(crate) node_reads: u64,
    pub(crate) output_reads: u64,
    /// Whether an output was read as of before the script's end.
    pub(crate) has_stale_output: bool,
    pub(crate) heartbeats: u64,
    /// Heartbeats that reached a waiting task.
    pub(crate) alive: u64,
    pub(crate) answers: u64,
    /// Whether Step Functions refused an answer that holds no output, or a cause.
    pub(crate) report_refused: bool,
    /// When Step Functions refused the last answer that there is to give.
    pub(crate) refused_at: Option<Ms>,
    pub(crate) cancels: u64,
    /// What the last heartbeat told.
    pub(crate) pulse: Option<Pulse>,
    /// What time the last read of the command showed.
    pub(crate) command_as_of: Ms,
    /// What time the last read of its invocations showed.
    pub(crate) invocations_as_of: Ms,
}

impl FlowKind {
    pub(crate) fn is_sweep(self) -> bool {
        self != Self::Relay
    }
}

impl Flow {
    pub(crate) fn new(kind: FlowKind, dies_at: Option<(u64, bool)>) -> Self {
        Self {
            kind,
            calls: 0,
            dies_at,
            died: Arc::new(Notify::new()),
            executing: BTreeMap::new(),
            completed: BTreeSet::new(),
            rows: 0,
            swept_rows: 0,
            unfiltered_pages: BTreeMap::new(),
            asked: Asked::new(),
            odd_pages: 0,
            misses_page: false,
            accepted: 0,
            of_commands: BTreeMap::new(),
        }
    }

    pub(crate) fn of(&mut self, index: usize) -> &mut CommandCalls {
        self.of_commands.entry(index).or_default()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = (usize, &CommandCalls)> {
        self.of_commands.iter().map(|(index, calls)| (*index, calls))
    }
}
