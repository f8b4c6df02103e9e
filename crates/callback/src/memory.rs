//! What one sweep remembers for the next ones.
//!
//! Run Command does not tell when a command ended. So a sweep remembers which commands were
//! executing, which of the completed ones are known to be closed, and which are suspected to have
//! lost their event. It remembers ids and times, and no token.
//!
//! It is a hint, not a store. What it forgets, because the function's process was replaced or
//! because there was too much, the lookback finds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::documents::Documents;
use crate::id::CommandId;
use crate::ports::{CommandListing, PageToken, Stage};
use crate::settle::Hint;

/// The most commands of each kind that are remembered. One takes about 100 bytes.
pub const REMEMBERED_MAX: usize = 200_000;
/// For how many lists commands are listed by document, before it is tried without again.
const LISTS_BY_DOCUMENT: u32 = 60;
/// Run Command keeps a command for 30 days.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// When a task is asked again whose answer was refused for good: policies are mended.
const REFUSED_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// What the sweeps of one process know.
#[derive(Debug, Default)]
pub struct Memory {
    sweep_number: u64,
    first_sweep_at: Option<Timestamp>,
    /// Completed commands that were requested before are known. `None` at first.
    since: Option<Timestamp>,
    /// When the last sweep began that listed everything.
    last_whole_began: Option<Timestamp>,
    /// What the last list of executing commands told, to its end.
    executing: BTreeSet<CommandId>,
    /// What was executing and is no longer, and was not looked at yet.
    pub(crate) ended: BTreeSet<CommandId>,
    /// Completed commands for which nobody waits.
    closed: BTreeSet<(Timestamp, CommandId)>,
    /// Completed commands whose task waited when it was looked at.
    suspects: BTreeMap<CommandId, Suspect>,
    /// What Step Functions refused for good, and when.
    refused: BTreeMap<CommandId, (Refusal, Timestamp)>,
    /// For how many more lists each stage is listed by document.
    by_document: BTreeMap<Stage, u32>,
    pub(crate) executing_reading: Option<Reading>,
    pub(crate) complete_reading: Option<Reading>,
    pub(crate) lookback_reading: Option<Reading>,
    pub(crate) lookback_due: Option<Timestamp>,
}

/// How the task of a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The caller may not answer it.
    Denied,
    /// Step Functions rejects the token, and so does not say whether anybody waits.
    Rejected,
}

/// A completed command whose task may have been left waiting.
#[derive(Debug, Clone)]
pub(crate) struct Suspect {
    pub(crate) requested_at: Timestamp,
    /// When it was last seen complete, by time and by number of the sweep.
    seen_at: Timestamp,
    seen_by: u64,
}

impl Suspect {
    /// What is known of it. It is overdue from an age on, if an earlier sweep saw it complete
    /// lately: a read of long ago tells nothing of how it reads now.
    pub(crate) fn hint(&self, now: Timestamp, overdue: SignedDuration, lately: Duration) -> Hint {
        let seen_for = Duration::try_from(now.duration_since(self.seen_at)).unwrap_or_default();
        let is_old = now.duration_since(self.requested_at) >= overdue;
        if is_old && seen_for <= lately { Hint::Overdue } else { Hint::Ended }
    }
}

impl Memory {
    /// A sweep begins at `now`.
    pub(crate) fn begin_sweep(&mut self, now: Timestamp) {
        self.sweep_number += 1;
        self.first_sweep_at.get_or_insert(now);
        self.suspects.retain(|_, suspect| now.duration_since(suspect.requested_at) < KEPT);
    }

    // ---- Lists -----------------------------------------------------------------------------------

    /// From where on completed commands are listed.
    pub(crate) fn since(&self, now: Timestamp, first_look: Duration) -> Timestamp {
        self.since.unwrap_or_else(|| earlier(self.first_sweep_at.unwrap_or(now), first_look))
    }

    /// A sweep that began then has listed everything.
    pub(crate) fn note_whole(&mut self, began: Timestamp, overlap: Duration) {
        if let Some(before) = self.last_whole_began.replace(began) {
            self.since = Some(earlier(before, overlap));
        }
    }

    /// How to list the commands of a stage: all of the account, or by document where others' are
    /// many.
    pub(crate) fn listings(
        &mut self,
        documents: &Documents,
        stage: Stage,
        invoked_after: Option<Timestamp>,
    ) -> Listings {
        let left = self.by_document.get_mut(&stage).filter(|left| **left > 0);
        let by_document = left.map(|left| *left -= 1).is_some();
        Listings::new(documents, stage, invoked_after, by_document)
    }

    /// Others have many commands of this stage: they are listed by document for a while.
    pub(crate) fn list_by_document(
        &mut self,
        documents: &Documents,
        stage: Stage,
        invoked_after: Option<Timestamp>,
    ) -> Listings {
        self.by_document.insert(stage, LISTS_BY_DOCUMENT);
        Listings::new(documents, stage, invoked_after, true)
    }

    // ---- Executing -------------------------------------------------------------------------------

    /// Whether the list that is being read has told this command before.
    pub(crate) fn has_seen(&self, id: &CommandId) -> bool {
        self.executing_reading.as_ref().is_some_and(|reading| reading.has_told(id))
    }

    /// The list that is being read told this command as executing.
    pub(crate) fn sees_executing(&mut self, id: CommandId) {
        self.ended.remove(&id);
        self.suspects.remove(&id);
        if let Some(reading) = &mut self.executing_reading {
            insert_bounded(&mut reading.waited_for, id);
        }
    }

    /// Nobody waits for this executing command.
    pub(crate) fn forget_executing(&mut self, key: (Timestamp, CommandId)) {
        self.executing.remove(&key.1);
        if let Some(reading) = &mut self.executing_reading {
            insert_bounded(&mut reading.abandoned, key.1.clone());
        }
        self.close(key);
    }

    /// The list of executing commands was read to its end.
    pub(crate) fn note_executing(&mut self, reading: Reading) {
        let before = std::mem::replace(&mut self.executing, reading.waited_for);
        let ended = before.into_iter().filter(|id| !self.executing.contains(id));
        let room = REMEMBERED_MAX.saturating_sub(self.ended.len());
        self.ended.extend(ended.take(room));
    }

    /// What was said to have ended executes: it is looked for in the next list.
    pub(crate) fn executes_still(&mut self, id: CommandId) {
        self.ended.remove(&id);
        insert_bounded(&mut self.executing, id);
    }

    /// Takes out what a look at the executing commands alone must not change.
    pub(crate) fn set_aside(&mut self) -> SetAside {
        SetAside {
            executing_reading: self.executing_reading.take(),
            ended: std::mem::take(&mut self.ended),
            suspects: std::mem::take(&mut self.suspects),
        }
    }

    /// Puts back what was set aside.
    pub(crate) fn take_up(&mut self, aside: SetAside) {
        let SetAside { executing_reading, ended, suspects } = aside;
        self.executing_reading = executing_reading;
        self.ended = ended;
        self.suspects = suspects;
    }

    // ---- Complete --------------------------------------------------------------------------------

    /// Whether a completed command is known to be closed, or suspected already.
    pub(crate) fn is_known(&self, key: &(Timestamp, CommandId)) -> bool {
        self.closed.contains(key) || self.suspects.contains_key(&key.1)
    }

    /// Nobody waits for this command.
    pub(crate) fn close(&mut self, key: (Timestamp, CommandId)) {
        self.closed.insert(key);
        if self.closed.len() > REMEMBERED_MAX {
            self.closed.pop_first();
        }
    }

    /// The task of this completed command waits; false if there is no room to remember it.
    pub(crate) fn suspect(
        &mut self,
        id: CommandId,
        requested_at: Timestamp,
        now: Timestamp,
    ) -> bool {
        let has_room = self.suspects.len() < REMEMBERED_MAX;
        if has_room {
            let seen_by = self.sweep_number;
            self.suspects.insert(id, Suspect { requested_at, seen_at: now, seen_by });
        }
        has_room
    }

    /// What earlier sweeps suspect, those first that have waited longest.
    pub(crate) fn suspects_to_settle(&self) -> Vec<(CommandId, Suspect)> {
        let earlier = self.suspects.iter().filter(|(_, one)| one.seen_by < self.sweep_number);
        let mut found: Vec<_> = earlier.map(|(id, one)| (id.clone(), one.clone())).collect();
        found.sort_by_key(|(_, one)| one.seen_by);
        found
    }

    /// It could not be settled now, and reads as complete still.
    pub(crate) fn suspect_again(&mut self, id: &CommandId, now: Timestamp) {
        if let Some(suspect) = self.suspects.get_mut(id) {
            (suspect.seen_at, suspect.seen_by) = (now, self.sweep_number);
        }
    }

    /// Its task may not be answered from here, which is not to say that nobody waits.
    pub(crate) fn dismiss(&mut self, id: &CommandId) {
        self.suspects.remove(id);
    }

    /// It is settled.
    pub(crate) fn acquit(&mut self, id: &CommandId) {
        if let Some(suspect) = self.suspects.remove(id) {
            self.close((suspect.requested_at, id.clone()));
        }
    }

    // ---- Refused ---------------------------------------------------------------------------------

    /// How the task of this command was refused lately: it is not asked again.
    pub(crate) fn refusal(&self, id: &CommandId, now: Timestamp) -> Option<Refusal> {
        let (refusal, at) = self.refused.get(id)?;
        (now.duration_since(*at) < REFUSED_AGAIN).then_some(*refusal)
    }

    /// The task of this command is refused for good; whether that is the first time.
    pub(crate) fn refuse(&mut self, id: &CommandId, refusal: Refusal, now: Timestamp) -> bool {
        let is_first = self.refused.insert(id.clone(), (refusal, now)).is_none();
        if self.refused.len() > REMEMBERED_MAX {
            self.refused.pop_first();
        }
        is_first
    }
}

/// What a look at the executing commands alone does not change.
#[derive(Debug)]
pub(crate) struct SetAside {
    executing_reading: Option<Reading>,
    ended: BTreeSet<CommandId>,
    suspects: BTreeMap<CommandId, Suspect>,
}

fn insert_bounded(ids: &mut BTreeSet<CommandId>, id: CommandId) {
    if ids.len() < REMEMBERED_MAX {
        ids.insert(id);
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| time.checked_sub(by).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The lists that together tell the commands of a stage.
#[derive(Debug)]
pub(crate) struct Listings {
    left: VecDeque<CommandListing>,
    /// How many lists by document there would be.
    by_document: usize,
    is_by_document: bool,
}

impl Listings {
    fn new(
        documents: &Documents,
        stage: Stage,
        invoked_after: Option<Timestamp>,
        is_by_document: bool,
    ) -> Self {
        let listing = |document_name| CommandListing { document_name, stage, invoked_after };
        let spellings = || documents.spellings().map(Some).map(listing);
        let by_document = spellings().count();
        // Without documents there is nothing to list.
        let left = if is_by_document || by_document == 0 {
            spellings().collect()
        } else {
            [listing(None)].into()
        };
        Self { left, by_document, is_by_document }
    }
}

/// Lists that are read page by page, over several sweeps if need be.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) began: Timestamp,
    listings: Listings,
    page: Option<PageToken>,
    pages: usize,
    ours: usize,
    all: usize,
    /// Executing commands that were looked at, and whose task may wait.
    waited_for: BTreeSet<CommandId>,
    /// Executing commands that were looked at, and whose task is closed.
    abandoned: BTreeSet<CommandId>,
    /// Whether a command of it could not be remembered.
    pub(crate) has_left_out: bool,
}

impl Reading {
    pub(crate) fn new(began: Timestamp, listings: Listings) -> Self {
        Self {
            began,
            listings,
            page: None,
            pages: 0,
            ours: 0,
            all: 0,
            waited_for: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            has_left_out: false,
        }
    }

    /// Whether this executing command was looked at: lists move while they are read, and can tell
    /// a command twice.
    fn has_told(&self, id: &CommandId) -> bool {
        self.waited_for.contains(id) || self.abandoned.contains(id)
    }

    /// The next page to read; `None` at the end.
    pub(crate) fn next(&self) -> Option<(&CommandListing, Option<&PageToken>)> {
        Some((self.listings.left.front()?, self.page.as_ref()))
    }

    /// How many pages were read.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// A page was read that held so many commands, so many of them ours. True if it is mostly
    /// others' that are read here, and lists by document would be shorter.
    pub(crate) fn advance(&mut self, next: Option<PageToken>, ours: usize, all: usize) -> bool {
        self.pages += 1;
        self.ours += ours;
        self.all += all;
        self.page = next;
        if self.page.is_none() {
            self.listings.left.pop_front();
        }
        self.page.is_some()
            && !self.listings.is_by_document
            && self.pages >= self.listings.by_document
            && self.ours * 2 < self.all
    }

    /// Begins anew, with other lists. What was read is read.
    pub(crate) fn restart(&mut self, listings: Listings) {
        self.listings = listings;
        self.page = None;
    }
}
