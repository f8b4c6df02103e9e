//! One sweep under way: what it works with, and how it reads lists.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tracing::warn;

use crate::ports::{CallError, CallErrorKind, CommandPage, PageToken, RunCommand};
use crate::scope::Scope;
use crate::sweep::heartbeat::Pace;
use crate::sweep::memory::{Memory, Refusal};
use crate::sweep::reading::{List, Reading};
use crate::sweep::report::SweepReport;
use crate::sweep::waiting::Waiting;

/// The most pages of one list that are read: 500,000 commands.
const LIST_PAGES_MAX: usize = 10_000;

/// One sweep under way.
pub(super) struct Pass<'a, R, T> {
    pub(super) run_command: &'a R,
    pub(super) tasks: &'a T,
    pub(super) scope: &'a Scope,
    pub(super) memory: &'a mut Memory,
    pub(super) now: Timestamp,
    pub(super) pace: Pace,
    pub(super) report: SweepReport,
}

/// What was read of a list.
pub(super) struct Page {
    /// Commands of our documents that have a token, each once.
    pub(super) waiting: Vec<Waiting>,
    /// How to go on.
    pub(super) turn: Turn,
}

/// What a page tells about how to read on.
pub(super) struct Turn {
    next: Option<PageToken>,
    /// How many commands are of our documents.
    ours: usize,
    /// How many commands there are.
    all: usize,
}

/// Why a page was not read. It is counted and logged.
pub(super) enum NotRead {
    Failed(CallError),
    TooLong,
}

impl<'a, R: RunCommand, T> Pass<'a, R, T> {
    pub(super) fn new(
        run_command: &'a R,
        tasks: &'a T,
        scope: &'a Scope,
        memory: &'a mut Memory,
        now: Timestamp,
    ) -> Self {
        let pace = Pace::new(scope.heartbeats_per_second);
        let report = SweepReport::default();
        Self { run_command, tasks, scope, memory, now, pace, report }
    }

    /// Begins to read a list, unless the last sweep has left it half read.
    pub(super) fn begin_reading(&mut self, list: List, invoked_after: Option<Timestamp>) {
        if self.memory.reading(list).is_none() {
            let listings = self.memory.listings(&self.scope.documents, list.stage(), invoked_after);
            self.memory.begin_reading(list, Reading::new(self.now, listings));
        }
    }

    /// The next page of a list that is being read; `None` at the end. It is read again by the next
    /// sweep until it is turned.
    pub(super) async fn page(&mut self, list: List) -> Result<Option<Page>, NotRead> {
        let Some(reading) = self.memory.reading(list) else { return Ok(None) };
        let pages = reading.pages();
        let Some((listing, page)) = reading.next() else { return Ok(None) };
        if pages >= LIST_PAGES_MAX {
            self.report.truncated = true;
            self.memory.end_reading(list);
            return Err(NotRead::TooLong);
        }
        match self.run_command.commands(listing, page).await {
            Ok(page) => Ok(Some(self.waiting(page))),
            Err(error) => {
                warn!(runbook = "ListCommandsFailed", ?list, %error, "listing commands failed");
                self.report.failed += 1;
                if pages == 0 || error.kind == CallErrorKind::Permanent {
                    // The place where it would go on may be what is refused.
                    self.memory.end_reading(list);
                } else if let Some(reading) = self.memory.reading(list) {
                    reading.has_failed = true;
                }
                Err(NotRead::Failed(error))
            }
        }
    }

    /// Goes on to the next page. Where most commands are others', lists by document may be shorter.
    pub(super) fn turn(&mut self, list: List, turn: Turn) {
        let Some(reading) = self.memory.reading(list) else { return };
        let invoked_after = reading.next().and_then(|(listing, _)| listing.invoked_after);
        if reading.advance(turn.next, turn.ours, turn.all) {
            let (documents, stage) = (&self.scope.documents, list.stage());
            let listings = self.memory.list_by_document(documents, stage, invoked_after);
            if let Some(reading) = self.memory.reading(list) {
                reading.restart(listings);
            }
        }
    }

    fn waiting(&mut self, page: CommandPage) -> Page {
        let all = page.commands.len();
        let mut ours = 0;
        let mut ids = BTreeSet::new();
        let mut waiting = Vec::new();
        for command in page.commands {
            let command = match command {
                Ok(command) if self.scope.documents.include(&command.document_name) => command,
                Ok(_) => continue,
                Err(error) => {
                    warn!(runbook = "ListedCommandInvalid", %error, "reading a listed command failed");
                    self.report.failed += 1;
                    continue;
                }
            };
            ours += 1;
            let id = command.id.clone();
            if !ids.insert(id.clone()) {
                continue;
            }
            match Waiting::of(command) {
                Some(Ok(command)) => {
                    if let Some([older, newer]) = self.memory.note_token(&command) {
                        self.report.reuse(&older, &newer);
                    }
                    waiting.push(command);
                }
                Some(Err(error)) if self.memory.refuse(&id, Refusal::Denied, self.now) => {
                    warn!(
                        command_id = %id, runbook = "TokenRejected", %error,
                        "no task can have this token"
                    );
                    self.report.rejected += 1;
                }
                Some(Err(_)) | None => {}
            }
        }
        Page { waiting, turn: Turn { next: page.next, ours, all } }
    }
}
