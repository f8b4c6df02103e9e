//! What one sweep remembers for the next ones.
//!
//! Run Command does not tell when a command ended. So a sweep remembers which commands were
//! executing, which of the completed ones are known to be closed, and which are suspected to have
//! lost their event. Of what was executing it keeps the token, so that one heartbeat tells whether the
//! task was answered, without a read of the command. Of other tokens it keeps fingerprints.
//!
//! It is a hint, not a store. What it forgets, because the function's process was replaced or
//! because there was too much, the lookback finds.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::RandomState;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::id::CommandId;
use crate::ports::Stage;
use crate::scope::Documents;
use crate::settle::Hint;
use crate::sweep::reading::{List, Listings, Reading};
use crate::sweep::waiting::Waiting;

/// The most commands of each kind that are remembered. One takes about 100 bytes.
pub const REMEMBERED_MAX: usize = 200_000;
/// The most executing commands that are remembered with their token, about 1,000 bytes each.
pub const REMEMBERED_EXECUTING_MAX: usize = 100_000;
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
    /// When the list of executing commands began whose sweep was cut short after it.
    pub(super) cut_short: Option<Timestamp>,
    /// Whether a list of executing commands was read to its end.
    pub(super) knows_executing: bool,
    /// Executing commands whose task may wait.
    executing: BTreeMap<CommandId, Waiting>,
    /// What was executing and is no longer, and was not looked at yet.
    ended: BTreeMap<CommandId, Waiting>,
    /// Completed commands for which nobody waits.
    closed: BTreeSet<(Timestamp, CommandId)>,
    /// Completed commands whose task waited when it was looked at.
    suspects: BTreeMap<CommandId, Suspect>,
    /// What Step Functions refused for good, and when.
    refused: BTreeMap<CommandId, (Refusal, Timestamp)>,
    /// The oldest command with each token, by a fingerprint of the token.
    tokens: BTreeMap<u64, (Timestamp, CommandId)>,
    fingerprint_keys: RandomState,
    /// Commands with a token that an older command carries. Their tasks are not theirs.
    reusing: BTreeSet<CommandId>,
    /// For how many more lists each stage is listed by document.
    by_document: BTreeMap<Stage, u32>,
    /// Lists that are read, or of which an earlier sweep has read a part.
    readings: BTreeMap<List, Reading>,
    pub(super) lookback_due: Option<Timestamp>,
}

/// How the task of a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The caller may not answer it.
    Denied,
    /// Step Functions rejects the token, and so does not say whether anybody waits.
    Rejected,
}

/// A completed command whose task may have been left waiting.
#[derive(Debug, Clone)]
pub(super) struct Suspect {
    requested_at: Timestamp,
    is_large: bool,
    /// When it was last seen complete, by time and by number of the sweep.
    seen_at: Timestamp,
    seen_by: u64,
    /// Whether it was read as complete since, when it could not be settled.
    is_confirmed: bool,
}

impl Suspect {
    /// What is known of it. It is overdue from an age on, if an earlier sweep saw it complete
    /// lately, or has read it as complete: a list of long ago may have left it out.
    pub(super) fn hint(&self, now: Timestamp, overdue: SignedDuration, lately: Duration) -> Hint {
        let seen_for = Duration::try_from(now.duration_since(self.seen_at)).unwrap_or_default();
        let is_old = now.duration_since(self.requested_at) >= overdue;
        let is_complete = self.is_confirmed || seen_for <= lately;
        if is_old && is_complete { Hint::Overdue } else { Hint::Ended }
    }
}

impl Memory {
    /// A sweep begins at `now`.
    pub(super) fn begin_sweep(&mut self, now: Timestamp) {
        self.sweep_number += 1;
        self.first_sweep_at.get_or_insert(now);
        self.suspects.retain(|_, suspect| now.duration_since(suspect.requested_at) < KEPT);
    }

    // ---- Lists -----------------------------------------------------------------------------------

    /// From where on completed commands are listed.
    pub(super) fn since(&self, now: Timestamp, first_look: Duration) -> Timestamp {
        self.since.unwrap_or_else(|| earlier(self.first_sweep_at.unwrap_or(now), first_look))
    }

    /// A sweep that began then has listed everything.
    pub(super) fn note_whole(&mut self, began: Timestamp, overlap: Duration) {
        if let Some(before) = self.last_whole_began.replace(began) {
            self.since = Some(earlier(before, overlap));
        }
    }

    /// The list that is being read.
    pub(super) fn reading(&mut self, list: List) -> Option<&mut Reading> {
        self.readings.get_mut(&list)
    }

    pub(super) fn begin_reading(&mut self, list: List, reading: Reading) {
        self.readings.insert(list, reading);
    }

    pub(super) fn end_reading(&mut self, list: List) -> Option<Reading> {
        self.readings.remove(&list)
    }

    /// How to list the commands of a stage: all of the account, or by document where others' are
    /// many.
    pub(super) fn listings(
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
    pub(super) fn list_by_document(
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
    pub(super) fn has_seen(&self, id: &CommandId) -> bool {
        self.readings.get(&List::Executing).is_some_and(|reading| reading.has_told(id))
    }

    /// The list that is being read told this command as executing.
    pub(super) fn sees_executing(&mut self, command: Waiting) {
        self.ended.remove(&command.id);
        self.suspects.remove(&command.id);
        if let Some(reading) = self.reading(List::Executing) {
            insert_bounded(&mut reading.waited_for, command.id.clone());
        }
        if self.executing.len() + self.ended.len() < REMEMBERED_EXECUTING_MAX {
            self.executing.insert(command.id.clone(), command);
        }
    }

    /// Nobody waits for this executing command.
    pub(super) fn forget_executing(&mut self, key: (Timestamp, CommandId)) {
        if let Some(reading) = self.reading(List::Executing) {
            insert_bounded(&mut reading.abandoned, key.1.clone());
        }
        self.close(key);
    }

    /// The list of executing commands was read to its end. What it did not tell has ended.
    pub(super) fn note_executing(&mut self, reading: &Reading) {
        self.knows_executing = true;
        let known = std::mem::take(&mut self.executing).into_iter();
        let (executing, ended): (_, BTreeMap<_, _>) =
            known.partition(|(id, _)| reading.waited_for.contains(id));
        self.executing = executing;
        self.ended.extend(ended);
    }

    /// Some of what has ended and was not looked at yet.
    pub(super) fn some_ended(&self, commands_max: usize) -> Vec<Waiting> {
        self.ended.values().take(commands_max).cloned().collect()
    }

    /// This one was looked at.
    pub(super) fn forget_ended(&mut self, id: &CommandId) {
        self.ended.remove(id);
    }

    /// Takes out what a look at the executing commands alone must not change.
    pub(super) fn set_aside(&mut self) -> SetAside {
        SetAside {
            executing_reading: self.end_reading(List::Executing),
            ended: std::mem::take(&mut self.ended),
            suspects: std::mem::take(&mut self.suspects),
        }
    }

    /// Puts back what was set aside.
    pub(super) fn take_up(&mut self, aside: SetAside) {
        let SetAside { executing_reading, ended, suspects } = aside;
        self.end_reading(List::Executing);
        if let Some(reading) = executing_reading {
            self.begin_reading(List::Executing, reading);
        }
        self.ended = ended;
        self.suspects = suspects;
    }

    // ---- Complete --------------------------------------------------------------------------------

    /// Whether a completed command is known to be closed, or suspected already.
    pub(super) fn is_known(&self, key: &(Timestamp, CommandId)) -> bool {
        self.closed.contains(key) || self.suspects.contains_key(&key.1)
    }

    /// Nobody waits for this command.
    pub(super) fn close(&mut self, key: (Timestamp, CommandId)) {
        self.executing.remove(&key.1);
        self.ended.remove(&key.1);
        self.closed.insert(key);
        if self.closed.len() > REMEMBERED_MAX {
            self.closed.pop_first();
        }
    }

    /// The task of this completed command waits; false if there is no room to remember it.
    pub(super) fn suspect(&mut self, command: &Waiting, now: Timestamp) -> bool {
        let has_room = self.suspects.len() < REMEMBERED_MAX;
        if has_room {
            self.executing.remove(&command.id);
            self.ended.remove(&command.id);
            let Waiting { requested_at, is_large, .. } = *command;
            let seen_by = self.sweep_number;
            let suspect =
                Suspect { requested_at, is_large, seen_at: now, seen_by, is_confirmed: false };
            self.suspects.insert(command.id.clone(), suspect);
        }
        has_room
    }

    /// What earlier sweeps suspect, large commands or all others, those first that have waited
    /// longest.
    pub(super) fn suspects_to_settle(&self, are_large: bool) -> Vec<(CommandId, Suspect)> {
        let earlier = self
            .suspects
            .iter()
            .filter(|(_, one)| one.is_large == are_large && one.seen_by < self.sweep_number);
        let mut found: Vec<_> = earlier.map(|(id, one)| (id.clone(), one.clone())).collect();
        found.sort_by_key(|(_, one)| one.seen_by);
        found
    }

    /// It is being settled: should the time not suffice, the others come first.
    pub(super) fn tries(&mut self, id: &CommandId) {
        if let Some(suspect) = self.suspects.get_mut(id) {
            suspect.seen_by = self.sweep_number;
        }
    }

    /// It could not be settled now.
    pub(super) fn suspect_again(&mut self, id: &CommandId, now: Timestamp) {
        if let Some(suspect) = self.suspects.get_mut(id) {
            (suspect.seen_at, suspect.seen_by) = (now, self.sweep_number);
        }
    }

    /// It could not be settled now, and was read as complete.
    pub(super) fn confirm(&mut self, id: &CommandId, now: Timestamp) {
        self.suspect_again(id, now);
        if let Some(suspect) = self.suspects.get_mut(id) {
            suspect.is_confirmed = true;
        }
    }

    /// It cannot be settled from here, which is not to say that nobody waits.
    pub(super) fn dismiss(&mut self, id: &CommandId) {
        self.suspects.remove(id);
    }

    /// It is settled.
    pub(super) fn acquit(&mut self, id: &CommandId) {
        if let Some(suspect) = self.suspects.remove(id) {
            self.close((suspect.requested_at, id.clone()));
        }
    }

    // ---- Tokens ----------------------------------------------------------------------------------

    /// A command with this token exists. If an older one carries it as well, or a newer one, and
    /// that is news: both, the older one first.
    pub(super) fn note_token(&mut self, command: &Waiting) -> Option<[CommandId; 2]> {
        let fingerprint = command.token.fingerprint(&self.fingerprint_keys);
        let key = command.key();
        let Some(oldest) = self.tokens.get_mut(&fingerprint) else {
            self.tokens.insert(fingerprint, key);
            if self.tokens.len() > REMEMBERED_MAX {
                self.tokens.pop_first();
            }
            return None;
        };
        if oldest.1 == key.1 {
            return None;
        }
        let newer = if key < *oldest { std::mem::replace(oldest, key).1 } else { key.1 };
        let older = oldest.1.clone();
        self.suspects.remove(&newer);
        self.ended.remove(&newer);
        insert_bounded(&mut self.reusing, newer.clone()).then_some([older, newer])
    }

    /// Whether an older command carries the token of this one.
    pub(super) fn reuses_token(&self, id: &CommandId) -> bool {
        self.reusing.contains(id)
    }

    // ---- Refused ---------------------------------------------------------------------------------

    /// How the task of this command was refused lately: it is not asked again.
    pub(super) fn refusal(&self, id: &CommandId, now: Timestamp) -> Option<Refusal> {
        let (refusal, at) = self.refused.get(id)?;
        (now.duration_since(*at) < REFUSED_AGAIN).then_some(*refusal)
    }

    /// The task of this command is refused for good; whether that is the first time.
    pub(super) fn refuse(&mut self, id: &CommandId, refusal: Refusal, now: Timestamp) -> bool {
        let is_first = self.refused.insert(id.clone(), (refusal, now)).is_none();
        if self.refused.len() > REMEMBERED_MAX {
            self.refused.pop_first();
        }
        is_first
    }
}

/// What a look at the executing commands alone does not change.
#[derive(Debug)]
pub(super) struct SetAside {
    executing_reading: Option<Reading>,
    ended: BTreeMap<CommandId, Waiting>,
    suspects: BTreeMap<CommandId, Suspect>,
}

/// Whether it was not there, and there was room.
fn insert_bounded(ids: &mut BTreeSet<CommandId>, id: CommandId) -> bool {
    ids.len() < REMEMBERED_MAX && ids.insert(id)
}

pub(super) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| time.checked_sub(by).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::OnAbandon;
    use crate::token::TaskToken;

    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_338_000).unwrap()
    }

    fn minute(minute: i64) -> Timestamp {
        now() + SignedDuration::from_mins(minute)
    }

    fn id(number: usize) -> CommandId {
        CommandId::parse(&format!("{number:08x}-1b2c-4d3e-8f4a-5b6c7d8e9f00")).unwrap()
    }

    fn ids(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<CommandId> {
        numbers.into_iter().map(id).collect()
    }

    fn documents() -> Documents {
        Documents::new(vec!["One".to_owned(), "Other".to_owned()], Some("arn:aws:".to_owned()))
    }

    fn begin(memory: &mut Memory) {
        let listings = memory.listings(&documents(), Stage::Executing, None);
        memory.begin_reading(List::Executing, Reading::new(now(), listings));
    }

    fn waiting(number: usize, requested_at: Timestamp) -> Waiting {
        let token = TaskToken::from_parameter(&["token".to_owned()]).unwrap();
        Waiting {
            id: id(number),
            token,
            requested_at,
            on_abandon: OnAbandon::Cancel,
            is_cancelling: false,
            is_large: false,
        }
    }

    fn ended(memory: &Memory) -> BTreeSet<CommandId> {
        memory.ended.keys().cloned().collect()
    }

    /// These were executing, and have ended.
    fn end(memory: &mut Memory, numbers: impl IntoIterator<Item = usize>) {
        let ended = numbers.into_iter().map(|number| (id(number), waiting(number, now())));
        memory.ended.extend(ended);
    }

    /// Reads a list of executing commands that holds these.
    fn read_executing(memory: &mut Memory, numbers: impl IntoIterator<Item = usize>) {
        begin(memory);
        for number in numbers {
            memory.sees_executing(waiting(number, now()));
        }
        let reading = memory.end_reading(List::Executing).unwrap();
        memory.note_executing(&reading);
    }

    fn names(listings: &Listings) -> Vec<Option<&str>> {
        listings.left.iter().map(|listing| listing.document_name.as_deref()).collect()
    }

    // Lists.

    #[test]
    fn completed_commands_are_known_since_the_last_but_one_whole_sweep_less_the_overlap() {
        let mut memory = Memory::default();
        let since = |memory: &Memory, at: i64| memory.since(minute(at), 60 * MINUTE);
        memory.begin_sweep(minute(0));
        assert_eq!(since(&memory, 0), minute(-60));
        // An hour before the first sweep, and not before this one.
        memory.begin_sweep(minute(1));
        assert_eq!(since(&memory, 1), minute(-60));
        for (began, expected) in [(1, -60), (2, -1), (3, 0), (7, 1), (8, 5)] {
            memory.note_whole(minute(began), 2 * MINUTE);
            assert_eq!(since(&memory, 10), minute(expected), "after {began}");
        }
    }

    #[test]
    fn times_before_the_epoch_are_the_epoch() {
        assert_eq!(earlier(now(), Duration::MAX), Timestamp::UNIX_EPOCH);
        assert_eq!(earlier(Timestamp::MIN, MINUTE), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn each_stage_is_listed_by_document_for_60_lists() {
        let mut memory = Memory::default();
        let by_document = [Some("One"), Some("arn:aws:One"), Some("Other"), Some("arn:aws:Other")];
        assert_eq!(names(&memory.listings(&documents(), Stage::Complete, None)), [None]);
        let listings = memory.list_by_document(&documents(), Stage::Complete, Some(now()));
        assert_eq!(names(&listings), by_document);
        for _ in 0..60 {
            let listings = memory.listings(&documents(), Stage::Complete, Some(now()));
            assert_eq!(names(&listings), by_document);
            assert!(listings.left.iter().all(|one| one.invoked_after == Some(now())));
        }
        for stage in [Stage::Complete, Stage::Complete, Stage::Executing] {
            assert_eq!(names(&memory.listings(&documents(), stage, None)), [None]);
        }
    }

    #[test]
    fn a_reading_that_begins_anew_keeps_what_it_has_told() {
        let mut memory = Memory::default();
        begin(&mut memory);
        memory.sees_executing(waiting(1, now()));
        memory.forget_executing((now(), id(2)));
        let listings = memory.list_by_document(&documents(), Stage::Executing, None);
        memory.reading(List::Executing).unwrap().restart(listings);
        assert!(memory.has_seen(&id(1)) && memory.has_seen(&id(2)) && !memory.has_seen(&id(3)));
        memory.end_reading(List::Executing);
        assert!(!memory.has_seen(&id(1)));
    }

    // Executing.

    #[test]
    fn what_is_in_no_list_any_more_has_ended() {
        let mut memory = Memory::default();
        read_executing(&mut memory, [1, 2, 3]);
        assert_eq!(ended(&memory), ids([]));
        read_executing(&mut memory, [2, 4]);
        assert_eq!(ended(&memory), ids([1, 3]));
        // It stays so until it is looked at, or listed again.
        read_executing(&mut memory, [3]);
        assert_eq!(ended(&memory), ids([1, 2, 4]));
    }

    #[test]
    fn what_nobody_waits_for_does_not_end() {
        let mut memory = Memory::default();
        read_executing(&mut memory, [1, 2]);
        begin(&mut memory);
        memory.forget_executing((minute(-5), id(1)));
        memory.sees_executing(waiting(2, now()));
        let reading = memory.end_reading(List::Executing).unwrap();
        memory.note_executing(&reading);
        read_executing(&mut memory, []);
        assert_eq!(ended(&memory), ids([2]));
        assert!(memory.is_known(&(minute(-5), id(1))));
    }

    #[test]
    fn what_was_set_aside_is_as_it_was() {
        let mut memory = Memory::default();
        memory.begin_sweep(now());
        begin(&mut memory);
        memory.sees_executing(waiting(1, now()));
        end(&mut memory, [2]);
        memory.suspect(&waiting(3, now()), now());
        let aside = memory.set_aside();
        begin(&mut memory);
        for number in 1..=4 {
            memory.sees_executing(waiting(number, now()));
        }
        memory.forget_executing((now(), id(5)));
        memory.take_up(aside);
        assert!(memory.has_seen(&id(1)) && !memory.has_seen(&id(4)) && !memory.has_seen(&id(5)));
        assert_eq!(ended(&memory), ids([2]));
        assert!(memory.is_known(&(now(), id(3))) && memory.is_known(&(now(), id(5))));
    }

    // Complete.

    #[test]
    fn a_suspect_is_settled_by_the_next_sweep_and_known_from_then_on() {
        let mut memory = Memory::default();
        let to_settle = |memory: &Memory| -> BTreeSet<CommandId> {
            memory.suspects_to_settle(false).into_iter().map(|(id, _)| id).collect()
        };
        memory.begin_sweep(minute(0));
        assert!(memory.suspect(&waiting(1, minute(-9)), minute(0)));
        assert_eq!(to_settle(&memory), ids([]));
        memory.begin_sweep(minute(1));
        assert!(memory.suspect(&waiting(2, minute(-9)), minute(1)));
        assert_eq!(to_settle(&memory), ids([1]));
        memory.suspect_again(&id(1), minute(1));
        assert_eq!(to_settle(&memory), ids([]));
        memory.begin_sweep(minute(2));
        assert_eq!(to_settle(&memory), ids([1, 2]));
        memory.acquit(&id(1));
        memory.dismiss(&id(2));
        assert_eq!(to_settle(&memory), ids([]));
        assert!(memory.is_known(&(minute(-9), id(1))));
        // Of a refused one nobody knows whether somebody waits.
        assert!(!memory.is_known(&(minute(-9), id(2))));
    }

    #[test]
    fn those_are_settled_first_that_have_waited_longest() {
        let mut memory = Memory::default();
        for number in [3, 1, 2] {
            memory.begin_sweep(minute(0));
            memory.suspect(&waiting(number, minute(-9)), minute(0));
        }
        memory.begin_sweep(minute(1));
        memory.suspect_again(&id(3), minute(1));
        memory.begin_sweep(minute(2));
        let order: Vec<_> =
            memory.suspects_to_settle(false).into_iter().map(|(id, _)| id).collect();
        assert_eq!(order, [id(1), id(2), id(3)]);
    }

    #[test]
    fn what_a_list_of_completed_commands_told_needs_no_other_look() {
        let mut memory = Memory::default();
        memory.begin_sweep(now());
        end(&mut memory, [1, 2, 3]);
        memory.suspect(&waiting(1, now()), now());
        memory.close((now(), id(2)));
        assert_eq!(ended(&memory), ids([3]));
    }

    #[test]
    fn a_suspect_that_executes_is_none() {
        let mut memory = Memory::default();
        memory.begin_sweep(now());
        memory.suspect(&waiting(1, now()), now());
        read_executing(&mut memory, [1]);
        memory.begin_sweep(now());
        assert!(memory.suspects_to_settle(false).is_empty() && !memory.is_known(&(now(), id(1))));
    }

    #[test]
    fn a_suspect_is_overdue_when_it_is_old_and_was_seen_complete_lately_or_read_so() {
        for (age, seen_before, is_confirmed, expected) in [
            (59, 1, true, Hint::Ended),
            (60, 1, false, Hint::Overdue),
            (60, 2, false, Hint::Overdue),
            (60, 3, false, Hint::Ended),
            (60, 3, true, Hint::Overdue),
            (5_000, 0, false, Hint::Overdue),
            (5_000, 3, false, Hint::Ended),
            (5_000, 4_000, true, Hint::Overdue),
            (-1, -1, false, Hint::Ended),
        ] {
            let suspect = Suspect {
                requested_at: minute(-age),
                is_large: false,
                seen_at: minute(-seen_before),
                seen_by: 1,
                is_confirmed,
            };
            assert_eq!(suspect.hint(now(), HOUR, 2 * MINUTE), expected, "{age} {seen_before}");
        }
    }

    #[test]
    fn a_suspect_is_forgotten_when_run_command_has_forgotten_it() {
        let mut memory = Memory::default();
        memory.begin_sweep(now());
        memory.suspect(&waiting(1, now() - HOUR * (30 * 24)), now());
        memory.suspect(&waiting(2, now() - HOUR * (30 * 24 - 1)), now());
        memory.begin_sweep(now());
        assert_eq!(memory.suspects_to_settle(false).len(), 1);
    }

    // Refused.

    #[test]
    fn a_refusal_holds_for_an_hour_and_is_new_once() {
        let mut memory = Memory::default();
        assert_eq!(memory.refusal(&id(1), minute(0)), None);
        assert!(memory.refuse(&id(1), Refusal::Denied, minute(0)));
        assert_eq!(memory.refusal(&id(1), minute(59)), Some(Refusal::Denied));
        assert_eq!(memory.refusal(&id(1), minute(60)), None);
        assert!(!memory.refuse(&id(1), Refusal::Rejected, minute(60)));
        assert_eq!(memory.refusal(&id(1), minute(119)), Some(Refusal::Rejected));
        assert_eq!(memory.refusal(&id(2), minute(0)), None);
    }

    // Bounds.

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut memory = Memory::default();
        let more = REMEMBERED_MAX + 10;
        memory.begin_sweep(now());
        // Commands that were executing, of both kinds, and then are not.
        begin(&mut memory);
        for number in 0..more {
            memory.forget_executing((now(), id(more + number)));
            memory.sees_executing(waiting(number, now()));
        }
        let reading = memory.end_reading(List::Executing).unwrap();
        assert_eq!(reading.waited_for.len(), REMEMBERED_MAX);
        assert_eq!(reading.abandoned.len(), REMEMBERED_MAX);
        memory.note_executing(&reading);
        assert_eq!(memory.executing.len(), REMEMBERED_EXECUTING_MAX);
        read_executing(&mut memory, REMEMBERED_MAX..REMEMBERED_MAX + 5);
        assert_eq!(memory.ended.len(), REMEMBERED_EXECUTING_MAX);
        assert_eq!(memory.executing.len(), 0, "there is no room before those were looked at");
        // Closed ones: the oldest are forgotten.
        assert_eq!(memory.closed.len(), REMEMBERED_MAX);
        memory.close((minute(-1), id(0)));
        memory.close((minute(1), id(1)));
        assert_eq!(memory.closed.len(), REMEMBERED_MAX);
        assert!(!memory.is_known(&(minute(-1), id(0))) && memory.is_known(&(minute(1), id(1))));
        // Refused ones.
        for number in 0..more {
            assert!(memory.refuse(&id(number), Refusal::Denied, now()));
        }
        assert_eq!(memory.refused.len(), REMEMBERED_MAX);
        // Suspects: who asks is told that there is no room.
        for number in 0..REMEMBERED_MAX {
            assert!(memory.suspect(&waiting(number, now()), now()));
        }
        assert!(!memory.suspect(&waiting(REMEMBERED_MAX, now()), now()));
        memory.dismiss(&id(7));
        assert!(memory.suspect(&waiting(REMEMBERED_MAX, now()), now()));
        assert_eq!(memory.suspects.len(), REMEMBERED_MAX);
    }
}
