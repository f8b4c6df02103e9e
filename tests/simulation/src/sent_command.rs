//! A command that was sent: its nodes, its end, and how it reads at any time.
//!
//! How it reads is a function of the time, so a read that lags is the same function of an earlier
//! time.

use callback::command::{Callback, OnAbandon, OnFailure, OutputBytes};
use callback::{Command, CommandId, Invocation, Status, StatusDetails, TaskToken};
use jiff::Timestamp;

use crate::chance::Chance;
use crate::ending::Ending;
use crate::history::{
    MINUTE, Ms, OTHER_DOCUMENT, SECOND, SWEPT_DOCUMENT_ARN, SWEPT_DOCUMENTS, Settings,
};
use crate::script::Node;

/// What the command has as its parameter `taskToken`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// The token of a task that waits for it.
    OfTask,
    /// None at all: somebody ran the document by hand.
    Missing,
    /// Two values.
    Malformed,
    /// A text that Step Functions does not know as a token.
    Invented,
    /// The token of a task that the functions may not answer.
    OfForeignMachine,
}

/// The most nodes that are read of a command.
pub(crate) const NODES_MAX: u64 = 20_000;
/// A command with more nodes is read once, and of most outputs only the beginnings are told.
pub(crate) const LARGE_NODES_MIN: u32 = 1_001;

/// Which command of which execution.
pub(crate) type Place = (u64, u64);

#[derive(Debug, Clone)]
pub(crate) struct SentCommand {
    pub(crate) place: Place,
    pub(crate) id: CommandId,
    pub(crate) document_name: &'static str,
    pub(crate) requested: Ms,
    /// When it reads as ended, if nothing changes that.
    pub(crate) ends: Ms,
    pub(crate) ending: Ending,
    pub(crate) nodes: Vec<Node>,
    target_count: u64,
    pub(crate) token_kind: TokenKind,
    pub(crate) token: String,
    pub(crate) on_failure: OnFailure,
    /// The value of the parameter `outputBytes`, if it is given.
    pub(crate) output_bytes: Option<&'static str>,
    /// Whether its comment holds its token.
    quotes_token: bool,
    pub(crate) on_abandon: OnAbandon,
    pub(crate) cancel_asked: Option<Ms>,
    spelled: bool,
    chance: Chance,
}

impl SentCommand {
    pub(crate) fn new(settings: &Settings, place: Place, requested: Ms) -> Self {
        let (execution, attempt) = place;
        let chance = settings.chance.of("command").nth(execution).nth(attempt);
        let ending = chance.of("ending").weigh(&Ending::WEIGHTS);
        let most_nodes = if settings.executions > 50 { 2 } else { 60 };
        let few = u64::from(ending.needs_two_nodes()) + 1;
        let is_large =
            attempt == 0 && chance.of("is large").hits(if execution == 0 { 80 } else { 10 });
        let count = if is_large {
            u64::from(LARGE_NODES_MIN) + chance.of("large").between(0, 60)
        } else {
            chance.of("nodes").weigh(&[
                (60, few),
                (30, chance.of("some nodes").between(few, 6)),
                (10, chance.of("many nodes").between(few, most_nodes)),
            ])
        };
        let lasts = chance.of("lasts");
        let lasts = lasts.weigh(&[
            // As many as possible at the same time.
            (
                if settings.is_tight { 1_000_000 } else { 0 },
                lasts.of("long enough").between(20 * MINUTE, 100 * MINUTE),
            ),
            (40, lasts.of("short").between(SECOND, 50 * SECOND)),
            (35, lasts.of("middle").between(50 * SECOND, 7 * MINUTE)),
            (20, lasts.of("long").between(7 * MINUTE, 30 * MINUTE)),
            (5, lasts.of("very long").between(30 * MINUTE, 100 * MINUTE)),
            // Some end just where a sweep looks for lost events of commands that are overdue.
            (5, lasts.of("an hour").between(63 * MINUTE, 66 * MINUTE)),
        ]);
        let ends = requested + lasts;
        // The command ends a moment after its last node.
        let nodes_end = ends - chance.of("roll-up").between(0, SECOND);
        let node = |number| {
            let chance = chance.of("node").nth(number);
            Node::new(chance, (number, count), ending, (requested, nodes_end))
        };
        let numbers = if ending.has_no_node() { 0..0 } else { 0..count };
        let mut nodes: Vec<_> = numbers.map(node).collect();
        if ending == Ending::ExceedsRate {
            for node in &mut nodes {
                node.is_listed = false;
            }
        }
        // Those nodes are never read, so a few stand for all of them.
        let target_count = match ending {
            Ending::HasTooManyNodes => NODES_MAX + chance.of("too many").between(1, 30_000),
            _ => nodes.len() as u64,
        };
        let uuid = (chance.of("id").number(), chance.of("id's rest").number());
        let token_kind = chance.of("token").weigh(&[
            (90, TokenKind::OfTask),
            (4, TokenKind::Missing),
            (3, TokenKind::Malformed),
            (3, TokenKind::Invented),
            (3, TokenKind::OfForeignMachine),
        ]);
        let padding = if chance.of("long token").hits(50) { 2_000 } else { 0 };
        Self {
            place,
            id: CommandId::parse(&format!(
                "{:08x}-{:04x}-4000-8000-{:012x}",
                uuid.0 >> 32,
                uuid.0 & 0xffff,
                uuid.1 >> 16
            ))
            .expect("a UUID"),
            document_name: chance.of("document").weigh(&[
                (45, SWEPT_DOCUMENTS[0]),
                (25, SWEPT_DOCUMENTS[1]),
                (20, SWEPT_DOCUMENT_ARN),
                (10, OTHER_DOCUMENT),
            ]),
            requested,
            ends,
            ending,
            nodes,
            target_count,
            token_kind,
            token: format!("token-{execution}-{attempt}-{}", "A".repeat(padding)),
            on_failure: chance
                .of("on failure")
                .weigh(&[(75, OnFailure::Fail), (25, OnFailure::Report)]),
            output_bytes: chance.of("output bytes").weigh(&[
                (80, None),
                (10, Some("2048")),
                (10, Some("262144")),
            ]),
            quotes_token: chance.of("quotes token").hits(100),
            on_abandon: chance
                .of("on abandon")
                .weigh(&[(75, OnAbandon::Cancel), (25, OnAbandon::Continue)]),
            cancel_asked: None,
            spelled: chance.of("spelled").hits(300),
            chance,
        }
    }

    /// One that somebody else sends, for which no task waits.
    pub(crate) fn of_others(settings: &Settings, place: Place, requested: Ms) -> Self {
        let command = Self::new(settings, place, requested);
        Self { document_name: OTHER_DOCUMENT, token_kind: TokenKind::Missing, ..command }
    }

    pub(crate) fn is_swept(&self) -> bool {
        SWEPT_DOCUMENTS.contains(&self.document_name) || self.document_name == SWEPT_DOCUMENT_ARN
    }

    pub(crate) fn has_ended(&self, at: Ms) -> bool {
        at >= self.ends
    }

    /// Whether some node was cancelled because a cancel was asked for.
    fn was_cancelled(&self) -> bool {
        self.cancel_asked.is_some()
            && self.nodes.iter().any(|node| node.end.1 == "Cancelled")
            && self.ending != Ending::IsCancelled
    }

    /// What the state machine has to see: `None` for a success, else the error's name.
    pub(crate) fn error(&self) -> Option<String> {
        let is_read = self.ending != Ending::HasTooManyNodes;
        let is_cancelled = is_read && self.was_cancelled();
        let error = if is_cancelled { Some("Cancelled") } else { self.ending.error() };
        error.map(|error| format!("RunCommand.{error}"))
    }

    /// `Status` and `StatusDetails` at its end.
    pub(crate) fn end(&self) -> (&'static str, &'static str) {
        if self.was_cancelled() { ("Cancelled", "Cancelled") } else { self.ending.status() }
    }

    pub(crate) fn status(&self, at: Ms) -> (&'static str, &'static str) {
        match at {
            _ if self.has_ended(at) => self.end(),
            _ if self.is_cancelling(at) => ("Cancelling", "Cancelling"),
            _ if at < self.requested + 2 * SECOND => ("Pending", "Pending"),
            _ => ("InProgress", "InProgress"),
        }
    }

    pub(crate) fn is_cancelling(&self, at: Ms) -> bool {
        self.cancel_asked.is_some_and(|asked| at >= asked)
    }

    /// Somebody asks for its cancel.
    pub(crate) fn cancel(&mut self, now: Ms) {
        if self.has_ended(now) || self.cancel_asked.is_some() {
            return;
        }
        self.cancel_asked = Some(now);
        let chance = self.chance.of("cancel");
        for (number, node) in (0..).zip(&mut self.nodes) {
            node.cancel(now, chance.nth(number));
        }
        let last = self.nodes.iter().map(|node| node.ends).filter(|ends| *ends != Ms::MAX).max();
        let soon = now + chance.of("roll-up").between(1, SECOND);
        self.ends = self.ends.min(last.map_or(soon, |last| last.max(soon)));
    }

    /// It as `ListCommands` tells it; `None` before it was requested.
    pub(crate) fn read(&self, at: Ms, time: impl Fn(Ms) -> Timestamp) -> Option<Command> {
        if at < self.requested {
            return None;
        }
        let (status, details) = self.status(at);
        let ended = || self.nodes.iter().filter(|node| at >= node.ends);
        let count = |details: &[&str]| {
            u32::try_from(ended().filter(|node| details.contains(&node.end.1)).count())
                .unwrap_or(u32::MAX)
        };
        Some(Command {
            id: self.id.clone(),
            document_name: self.document_name.to_owned(),
            comment: if self.quotes_token { format!("for {}", self.token) } else { String::new() },
            log_group_name: String::new(),
            status: Status::parse(&self.spell(status)),
            status_details: StatusDetails::parse(&self.spell(details)),
            requested_at: time(self.requested),
            target_count: self.target_count(),
            completed_count: u32::try_from(ended().count()).unwrap_or(u32::MAX),
            error_count: count(&["Failed", "ExecutionTimedOut"]),
            delivery_timed_out_count: count(&["DeliveryTimedOut"]),
            callback: Callback {
                task_token: match self.token_kind {
                    TokenKind::Missing => None,
                    TokenKind::Malformed => {
                        let values = [self.token.clone(), self.token.clone()];
                        Some(TaskToken::from_parameter(&values))
                    }
                    TokenKind::OfTask | TokenKind::Invented | TokenKind::OfForeignMachine => {
                        Some(TaskToken::from_parameter(std::slice::from_ref(&self.token)))
                    }
                },
                on_failure: self.on_failure,
                on_abandon: self.on_abandon,
                output_bytes: OutputBytes::from_parameter(self.output_bytes),
                error_name: None,
            },
        })
    }

    pub(crate) fn target_count(&self) -> u32 {
        u32::try_from(self.target_count).unwrap_or(u32::MAX)
    }

    /// Whether it has so many nodes that they are read once.
    pub(crate) fn is_large(&self) -> bool {
        self.target_count() >= LARGE_NODES_MIN && self.ending != Ending::HasTooManyNodes
    }

    /// Its nodes that are listed at `at`.
    pub(crate) fn listed_nodes(&self, at: Ms) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.is_listed && at >= self.requested)
    }

    /// It as `ListCommandInvocations` tells it.
    pub(crate) fn invocations(&self, at: Ms, time: impl Fn(Ms) -> Timestamp) -> Vec<Invocation> {
        let is_cancelling = self.is_cancelling(at);
        self.listed_nodes(at)
            .map(|node| node.listed(at, is_cancelling, |word| self.spell(word), &time))
            .collect()
    }

    /// A word as the API or the documentation spells it, the same for the whole command.
    fn spell(&self, word: &str) -> String {
        match word {
            _ if !self.spelled || word.starts_with("Battery") => word.to_owned(),
            "Cancelled" => "Canceled".to_owned(),
            "RateExceeded" => "LimitExceeded".to_owned(),
            _ => {
                let mut spaced = String::new();
                for letter in word.chars() {
                    if letter.is_uppercase() && !spaced.is_empty() {
                        spaced.push(' ');
                    }
                    spaced.push(letter);
                }
                spaced
            }
        }
    }
}
