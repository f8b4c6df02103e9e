//! Sweeps all commands, so that nothing is left waiting and nothing runs on alone.
//!
//! Once per interval a sweep reads two lists:
//!
//! - *Executing* commands, of any age, to the end. Each task gets a heartbeat. A closed task means
//!   that nobody waits for the command any more, so it is cancelled. What was executing at the last
//!   sweep and is no longer has ended.
//! - *Complete* commands that were requested after `since`: the beginning of the last but one sweep
//!   that listed everything, minus two intervals. Each gets one heartbeat in the life of the process.
//!
//! A command that has ended and whose task still waits may be with the relay right now. So the next
//! sweep settles it, and not this one. A new process has no `since`: it begins an hour back, and
//! looks through the whole lookback besides. That is repeated every six hours, as a second look.
//!
//! **The promise.** While sweeps get to their end, a task is answered within three intervals of its
//! command's end when the event was lost, and with it a sweep or the sweep's process. It is four when
//! both were lost, as when a process dies in the middle of a sweep. When there is more to do than one
//! sweep can, the next one goes on where it stopped, and the promise stretches by the number of
//! sweeps that a round takes.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{debug, info, warn};

use crate::command::{Command, OnAbandon};
use crate::documents::Documents;
use crate::error_chain;
use crate::id::CommandId;
use crate::memory::{Memory, Reading, Refusal, Suspect};
use crate::ports::{CallError, CallErrorKind, Pulse, RunCommand, Stage, Tasks};
use crate::settle::{Outcome, SettleError, settle};
use crate::status::{Status, has_ended};
use crate::token::TaskToken;

/// How many commands are looked after at the same time. The rate is kept besides.
const COMMANDS_AT_ONCE: usize = 32;
/// How many commands are settled at the same time: each may hold the outputs of many nodes.
const SETTLED_AT_ONCE: usize = 10;
/// The most pages of one list that are read: 500,000 commands.
const LIST_PAGES_MAX: usize = 10_000;
/// The most pages of the lookback that one sweep reads.
const LOOKBACK_PAGES_PER_SWEEP: usize = 40;
/// How far a new process looks back before everything else.
const FIRST_LOOK: Duration = Duration::from_hours(1);
/// When the lookback is repeated.
const LOOKBACK_AGAIN: SignedDuration = SignedDuration::from_hours(6);
/// How many intervals lists overlap, so that a read that lags leaves no hole.
const OVERLAP_INTERVALS: u32 = 2;
/// The shortest interval.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// From this age on, a completed command whose nodes were not all seen to end is not waited for,
/// if an earlier sweep saw it complete, too: one that has just ended may only read late.
const OVERDUE_AGE: SignedDuration = SignedDuration::from_hours(1);

/// What a sweep looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Documents whose commands are looked after.
    pub documents: Documents,
    /// From one sweep to the next. Less than a second counts as a second.
    pub interval: Duration,
    /// The greatest age at which a new process looks for completed commands.
    pub lookback: Duration,
    /// The most heartbeats per second. Zero counts as one.
    pub heartbeats_per_second: u32,
}

/// What a sweep found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Executing commands that have a task token.
    pub executing: u64,
    /// Heartbeats that reached a waiting task.
    pub heartbeats: u64,
    /// Commands whose completion event was lost, and whose task has now been answered.
    pub recovered: u64,
    /// Commands whose cancel was requested, because nobody waited any more.
    pub cancelled: u64,
    /// Commands with a token that Step Functions rejects.
    pub rejected: u64,
    /// Commands whose task the caller may not answer, seen for the first time by this process.
    pub refused: u64,
    /// Lists and commands that could not be read, and commands for which a call failed. The next
    /// sweep tries again.
    pub failed: u64,
    /// Whether the time was up, or a list too long, before everything had been looked at.
    pub truncated: bool,
    /// Why no list of executing commands could be read, if none could: the sweep did nothing.
    pub blind: Option<CallError>,
}

impl SweepReport {
    /// Whether everything that there was to do is done.
    pub fn is_whole(&self) -> bool {
        self.failed == 0 && !self.truncated
    }
}

impl Scope {
    fn interval(&self) -> Duration {
        self.interval.max(INTERVAL_MIN)
    }

    fn overlap(&self) -> Duration {
        self.interval() * OVERLAP_INTERVALS
    }
}

/// Looks after all commands of the scope once, or goes on where the last sweep had to stop.
///
/// `memory` is what the last sweep left, and takes what this one leaves. `now` is the time of the
/// sweep, `time_left` what it may take; what has begun by then is dropped, which is safe, because
/// every step can be repeated. A call that fails is counted and stops nothing else.
pub async fn sweep(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    scope: &Scope,
    memory: &mut Memory,
    now: Timestamp,
    time_left: Duration,
) -> SweepReport {
    memory.begin_sweep(now);
    let mut pass = Pass::new(run_command, tasks, scope, memory, now);
    let in_time = tokio::time::timeout(time_left, pass.everything()).await.is_ok();
    pass.report.truncated |= !in_time;
    pass.report
}

/// Looks after the executing commands of the scope only: cancels those whose task is closed.
///
/// For the moment after an execution was stopped. It takes over nothing from the last sweep, and
/// leaves nothing to the next one but what was refused for good, and what nobody waits for.
pub async fn sweep_executing(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    scope: &Scope,
    memory: &mut Memory,
    now: Timestamp,
    time_left: Duration,
) -> SweepReport {
    let aside = memory.set_aside();
    let mut pass = Pass::new(run_command, tasks, scope, memory, now);
    let in_time = tokio::time::timeout(time_left, pass.executing()).await.is_ok();
    pass.report.truncated |= !in_time;
    let report = pass.report;
    memory.take_up(aside);
    report
}

/// One sweep under way.
struct Pass<'a, R, T> {
    run_command: &'a R,
    tasks: &'a T,
    scope: &'a Scope,
    memory: &'a mut Memory,
    now: Timestamp,
    pace: Pace,
    report: SweepReport,
}

/// Which list of completed commands is read.
#[derive(Debug, Clone, Copy)]
enum Which {
    /// Of those that were requested lately.
    Lately,
    /// Of the whole lookback.
    Lookback,
}

impl Which {
    fn of(self, memory: &mut Memory) -> Option<&mut Reading> {
        match self {
            Self::Lately => memory.complete_reading.as_mut(),
            Self::Lookback => memory.lookback_reading.as_mut(),
        }
    }

    fn forget(self, memory: &mut Memory) {
        match self {
            Self::Lately => memory.complete_reading = None,
            Self::Lookback => memory.lookback_reading = None,
        }
    }
}

/// A command that some task waits, or waited, for.
struct Waiting {
    id: CommandId,
    token: TaskToken,
    requested_at: Timestamp,
    on_abandon: OnAbandon,
    is_cancelling: bool,
}

/// What has become of a command that is no longer in the list of executing ones.
enum Ended {
    /// It has ended, and its task was looked at.
    Looked(Waiting, Look),
    /// It executes.
    NotYet,
}

/// What a heartbeat told.
enum Look {
    Pulse(Pulse),
    /// Later it may be told.
    Failed,
    /// The caller may not ask.
    Refused(CallError),
}

impl<'a, R: RunCommand, T: Tasks> Pass<'a, R, T> {
    fn new(
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

    /// Executing commands come first: a missed heartbeat ends a task. Only when the last sweep was
    /// cut short after them, this one begins there, so that they cannot take all of the time.
    async fn everything(&mut self) {
        let cut_short = self.memory.cut_short.take();
        if cut_short.is_some() {
            self.complete(cut_short).await;
        }
        let executing = self.executing().await;
        let began = executing.as_ref().map(|reading| reading.began);
        if let Some(reading) = executing {
            self.memory.note_executing(reading);
        }
        if cut_short.is_some() {
            self.look_after_ended().await;
        } else {
            self.memory.cut_short = began;
            self.complete(began).await;
            self.memory.cut_short = None;
        }
    }

    /// Looks after everything that has ended. The list of executing commands before it began then.
    async fn complete(&mut self, began: Option<Timestamp>) {
        self.settle_suspects().await;
        self.look_after_ended().await;
        let is_read = self.completed().await;
        if let (Some(began), true) = (began, is_read) {
            self.memory.note_whole(began, self.scope.overlap());
        }
        self.look_back().await;
    }

    // ---- Executing -------------------------------------------------------------------------------

    /// Reads the list of executing commands to its end. `None` if it failed, or has no end.
    async fn executing(&mut self) -> Option<Reading> {
        if self.memory.executing_reading.is_none() {
            let listings = self.memory.listings(&self.scope.documents, Stage::Executing, None);
            self.memory.executing_reading = Some(Reading::new(self.now, listings));
        }
        let mut has_page = false;
        loop {
            let reading = self.memory.executing_reading.as_mut()?;
            let Some((listing, page)) = reading.next() else { break };
            match self.run_command.commands(listing, page).await {
                Ok(page) => {
                    has_page = true;
                    let commands = self.waiting(page.commands);
                    self.look_after_executing(commands.ours).await;
                    let reading = self.memory.executing_reading.as_mut()?;
                    if reading.advance(page.next, commands.count, commands.all) {
                        let documents = &self.scope.documents;
                        let stage = Stage::Executing;
                        let listings = self.memory.list_by_document(documents, stage, None);
                        self.memory.executing_reading.as_mut()?.restart(listings);
                    }
                    if self.memory.executing_reading.as_ref()?.pages() >= LIST_PAGES_MAX {
                        self.report.truncated = true;
                        self.memory.executing_reading = None;
                        return None;
                    }
                }
                Err(error) => {
                    warn!(%error, "listing executing commands failed");
                    self.report.failed += 1;
                    // The place where it would go on may be what is refused.
                    if error.kind == CallErrorKind::Permanent {
                        self.memory.executing_reading = None;
                    }
                    if !has_page {
                        self.report.blind = Some(error);
                    }
                    return None;
                }
            }
        }
        self.memory.executing_reading.take()
    }

    async fn look_after_executing(&mut self, mut commands: Vec<Waiting>) {
        let mut ids = BTreeSet::new();
        commands
            .retain(|command| !self.memory.has_seen(&command.id) && ids.insert(command.id.clone()));
        self.report.executing += commands.len() as u64;
        let (now, memory, pace) = (self.now, &mut *self.memory, &self.pace);
        let (tasks, run_command, report) = (self.tasks, self.run_command, &mut self.report);
        let (asked, not_asked): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|command| memory.refusal(&command.id, now).is_none());
        for command in not_asked {
            memory.sees_executing(command.id);
        }
        let mut looks = stream::iter(asked)
            .map(async |command| {
                let look = ask(tasks, pace, &command).await;
                let is_abandoned = matches!(look, Look::Pulse(Pulse::Closed))
                    && !command.is_cancelling
                    && command.on_abandon == OnAbandon::Cancel;
                let cancelled =
                    if is_abandoned { Some(run_command.cancel(&command.id).await) } else { None };
                (command, look, cancelled)
            })
            .buffer_unordered(COMMANDS_AT_ONCE);
        while let Some((command, look, cancelled)) = looks.next().await {
            let Waiting { id, requested_at, .. } = command;
            match cancelled {
                Some(Ok(())) => {
                    info!(command_id = %id, "cancelled, because its task is closed");
                    report.cancelled += 1;
                }
                Some(Err(error)) => report.count_failure(&id, &error),
                None => {}
            }
            match look {
                Look::Pulse(Pulse::Alive) => {
                    report.heartbeats += 1;
                    memory.sees_executing(id);
                }
                // Nobody waits for its end.
                Look::Pulse(Pulse::Closed) => memory.forget_executing((requested_at, id)),
                // A wrong cancel is worse than a late one: it is not known to be abandoned.
                Look::Pulse(Pulse::Rejected) => {
                    report.reject(memory, &id, now);
                    memory.sees_executing(id);
                }
                Look::Failed => {
                    report.failed += 1;
                    memory.sees_executing(id);
                }
                Look::Refused(error) => report.refuse(memory, &id, now, &error),
            }
        }
    }

    // ---- Complete --------------------------------------------------------------------------------

    /// Looks after what was executing at the last sweep, and is no longer.
    async fn look_after_ended(&mut self) {
        let (now, memory, pace) = (self.now, &mut *self.memory, &self.pace);
        let (tasks, run_command, report) = (self.tasks, self.run_command, &mut self.report);
        let ended: Vec<_> =
            memory.ended.iter().map(|id| (id.clone(), memory.refusal(id, now))).collect();
        let mut looks = stream::iter(ended)
            .map(async |(id, refusal)| {
                if refusal == Some(Refusal::Denied) {
                    return (id, Ok(None));
                }
                let command = match run_command.command(&id).await {
                    Ok(command) => command,
                    Err(error) => return (id, Err(error)),
                };
                let still =
                    |command: &Command| !has_ended(&command.status, &command.status_details);
                if command.as_ref().is_some_and(still) {
                    return (id, Ok(Some(Ended::NotYet)));
                }
                // Run Command may know it no more.
                let Some(Ok(command)) = command.and_then(Waiting::of) else {
                    return (id, Ok(None));
                };
                let look = match refusal {
                    Some(_) => Look::Pulse(Pulse::Rejected),
                    None => ask(tasks, pace, &command).await,
                };
                (id, Ok(Some(Ended::Looked(command, look))))
            })
            .buffer_unordered(COMMANDS_AT_ONCE);
        while let Some((id, looked)) = looks.next().await {
            match looked {
                Ok(Some(Ended::Looked(_, Look::Failed))) => report.failed += 1,
                Ok(Some(Ended::Looked(command, look))) => {
                    if note_completed(memory, report, command, look, now) {
                        memory.ended.remove(&id);
                    }
                }
                // It was not in a list where it belongs, or this read lags.
                Ok(Some(Ended::NotYet)) => memory.executes_still(id),
                Ok(None) => {
                    memory.ended.remove(&id);
                }
                Err(error) => report.count_failure(&id, &error),
            }
        }
    }

    /// Reads the list of commands that have completed lately; whether to its end.
    async fn completed(&mut self) -> bool {
        if self.memory.complete_reading.is_none() {
            let since = self.memory.since(self.now, FIRST_LOOK);
            let documents = &self.scope.documents;
            let listings = self.memory.listings(documents, Stage::Complete, Some(since));
            self.memory.complete_reading = Some(Reading::new(self.now, listings));
        }
        let is_read = self.read_completed(Which::Lately, LIST_PAGES_MAX).await;
        let reading = self.memory.complete_reading.take_if(|_| is_read);
        reading.is_some_and(|reading| !reading.has_left_out)
    }

    /// Looks through the whole lookback, a part at a time.
    async fn look_back(&mut self) {
        if self.memory.lookback_reading.is_none() {
            if self.memory.lookback_due.is_some_and(|due| self.now < due) {
                return;
            }
            let oldest = before(self.now, self.scope.lookback);
            let documents = &self.scope.documents;
            let listings = self.memory.listings(documents, Stage::Complete, Some(oldest));
            self.memory.lookback_reading = Some(Reading::new(self.now, listings));
        }
        if self.read_completed(Which::Lookback, LOOKBACK_PAGES_PER_SWEEP).await {
            self.memory.lookback_reading = None;
            self.memory.lookback_due = self.now.checked_add(LOOKBACK_AGAIN).ok();
        }
    }

    /// Reads on in a list of completed commands, so many pages at most; whether it came to its end.
    async fn read_completed(&mut self, which: Which, pages_max: usize) -> bool {
        for _ in 0..pages_max {
            let Some(reading) = which.of(self.memory) else { return true };
            let Some((listing, page)) = reading.next() else { return true };
            let since = listing.invoked_after;
            let read = self.run_command.commands(listing, page).await;
            let (documents, stage) = (&self.scope.documents, Stage::Complete);
            match read {
                Ok(page) => {
                    let commands = self.waiting(page.commands);
                    let are_remembered = self.look_after_completed(commands.ours).await;
                    let Some(reading) = which.of(self.memory) else { return true };
                    reading.has_left_out |= !are_remembered;
                    if reading.advance(page.next, commands.count, commands.all) {
                        let listings = self.memory.list_by_document(documents, stage, since);
                        if let Some(reading) = which.of(self.memory) {
                            reading.restart(listings);
                        }
                    }
                    let pages = which.of(self.memory).map_or(0, |reading| reading.pages());
                    if pages >= LIST_PAGES_MAX {
                        self.report.truncated = true;
                        which.forget(self.memory);
                        return false;
                    }
                }
                Err(error) => {
                    warn!(%error, "listing completed commands failed");
                    self.report.failed += 1;
                    // The place where it would go on may be what is refused.
                    if error.kind == CallErrorKind::Permanent {
                        which.forget(self.memory);
                    }
                    return false;
                }
            }
        }
        which.of(self.memory).is_none_or(|reading| reading.next().is_none())
    }

    /// Gives each of these commands its one heartbeat; whether all of them could be remembered.
    async fn look_after_completed(&mut self, commands: Vec<Waiting>) -> bool {
        let (now, memory, pace) = (self.now, &mut *self.memory, &self.pace);
        let (tasks, report) = (self.tasks, &mut self.report);
        let mut asked = Vec::new();
        let mut all_are_remembered = true;
        let mut ids = BTreeSet::new();
        for command in commands {
            if !ids.insert(command.id.clone()) {
                continue;
            }
            match memory.refusal(&command.id, now) {
                _ if memory.is_known(&command.key()) => {}
                Some(Refusal::Denied) => {}
                // An answer will tell whether anybody waits.
                Some(Refusal::Rejected) => {
                    all_are_remembered &= memory.suspect(command.id, command.requested_at, now);
                }
                None => asked.push(command),
            }
        }
        let mut looks = stream::iter(asked)
            .map(async |command| {
                let look = ask(tasks, pace, &command).await;
                (command, look)
            })
            .buffer_unordered(COMMANDS_AT_ONCE);
        while let Some((command, look)) = looks.next().await {
            all_are_remembered &= note_completed(memory, report, command, look, now);
        }
        all_are_remembered
    }

    // ---- Settling --------------------------------------------------------------------------------

    /// Settles what an earlier sweep saw ended while its task waited.
    async fn settle_suspects(&mut self) {
        let (now, memory) = (self.now, &mut *self.memory);
        let (tasks, run_command, report) = (self.tasks, self.run_command, &mut self.report);
        let recent = self.scope.overlap();
        let mut settled = stream::iter(memory.suspects_to_settle())
            .map(async |(id, suspect): (CommandId, Suspect)| {
                let hint = suspect.hint(now, OVERDUE_AGE, recent);
                let result = settle(run_command, tasks, &id, hint).await;
                (id, result)
            })
            .buffer_unordered(SETTLED_AT_ONCE);
        while let Some((id, result)) = settled.next().await {
            match result {
                Ok(outcome) => {
                    // Any other outcome: its event came after all.
                    if matches!(outcome, Outcome::Succeeded | Outcome::Failed { .. }) {
                        warn!(
                            command_id = %id, outcome = outcome.name(),
                            "answered a task whose completion event was lost"
                        );
                        report.recovered += 1;
                    }
                    memory.acquit(&id);
                }
                Err(SettleError::Answer { source, .. }) if is_refusal(&source) => {
                    memory.dismiss(&id);
                    report.refuse(memory, &id, now, &source);
                }
                Err(error) => {
                    memory.suspect_again(&id, now);
                    report.count_failure(&id, &error);
                }
            }
        }
    }

    /// The commands of a page that are ours and have a token.
    fn waiting(&mut self, page: Vec<Result<Command, CallError>>) -> Page {
        let all = page.len();
        let mut count = 0;
        let mut ours = Vec::new();
        for command in page {
            let command = match command {
                Ok(command) if self.scope.documents.include(&command.document_name) => command,
                Ok(_) => continue,
                Err(error) => {
                    warn!(%error, "reading a listed command failed");
                    self.report.failed += 1;
                    continue;
                }
            };
            count += 1;
            let id = command.id.clone();
            match Waiting::of(command) {
                Some(Ok(command)) => ours.push(command),
                Some(Err(error)) if self.memory.refuse(&id, Refusal::Denied, self.now) => {
                    warn!(command_id = %id, %error, "no task can have this token");
                    self.report.rejected += 1;
                }
                Some(Err(_)) | None => {}
            }
        }
        Page { ours, count, all }
    }
}

/// What a page holds.
struct Page {
    /// Commands of ours that have a token.
    ours: Vec<Waiting>,
    /// How many commands are of our documents.
    count: usize,
    /// How many commands there are.
    all: usize,
}

impl Waiting {
    /// The command, if it has a token; an error if no task can have that.
    fn of(command: Command) -> Option<Result<Self, crate::token::InvalidToken>> {
        Some(command.callback.task_token?.map(|token| Self {
            id: command.id,
            token,
            requested_at: command.requested_at,
            on_abandon: command.callback.on_abandon,
            is_cancelling: command.status == Status::Cancelling,
        }))
    }

    /// What remembers it.
    pub(crate) fn key(&self) -> (Timestamp, CommandId) {
        (self.requested_at, self.id.clone())
    }
}

impl SweepReport {
    fn count_failure(&mut self, id: &CommandId, error: &(dyn Error + 'static)) {
        warn!(command_id = %id, error = error_chain(error), "sweeping a command failed");
        self.failed += 1;
    }

    /// Counts a token that Step Functions rejects; logs it once.
    fn reject(&mut self, memory: &mut Memory, id: &CommandId, now: Timestamp) {
        if memory.refuse(id, Refusal::Rejected, now) {
            warn!(command_id = %id, "Step Functions rejects the command's task token");
        }
        self.rejected += 1;
    }

    /// Counts what is refused for good, and logs it, once per command and process.
    fn refuse(&mut self, memory: &mut Memory, id: &CommandId, now: Timestamp, error: &CallError) {
        if memory.refuse(id, Refusal::Denied, now) {
            warn!(command_id = %id, %error, "the task of this command may not be answered from here");
            self.refused += 1;
        } else {
            debug!(command_id = %id, %error, "still refused");
        }
    }
}

/// Notes what a heartbeat told of a completed command; whether it could be remembered.
fn note_completed(
    memory: &mut Memory,
    report: &mut SweepReport,
    command: Waiting,
    look: Look,
    now: Timestamp,
) -> bool {
    match look {
        Look::Pulse(Pulse::Closed) => {
            memory.close(command.key());
            true
        }
        Look::Pulse(Pulse::Alive) => {
            report.heartbeats += 1;
            memory.suspect(command.id, command.requested_at, now)
        }
        // Nothing is known of heartbeats without HeartbeatSeconds: an answer will tell.
        Look::Pulse(Pulse::Rejected) => {
            report.reject(memory, &command.id, now);
            memory.suspect(command.id, command.requested_at, now)
        }
        Look::Failed => {
            report.failed += 1;
            memory.suspect(command.id, command.requested_at, now)
        }
        Look::Refused(error) => {
            report.refuse(memory, &command.id, now, &error);
            true
        }
    }
}

/// Whether the command's task waits.
async fn ask(tasks: &impl Tasks, pace: &Pace, command: &Waiting) -> Look {
    pace.next().await;
    match tasks.heartbeat(&command.token).await {
        Ok(pulse) => Look::Pulse(pulse),
        Err(error) if is_refusal(&error) => Look::Refused(error),
        Err(error) => {
            warn!(command_id = %command.id, %error, "sweeping a command failed");
            Look::Failed
        }
    }
}

fn is_refusal(error: &CallError) -> bool {
    error.kind == CallErrorKind::Permanent
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    SignedDuration::try_from(age)
        .ok()
        .and_then(|age| now.checked_sub(age).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Lets so many calls per second begin, evenly.
struct Pace {
    interval: Mutex<Interval>,
}

impl Pace {
    fn new(per_second: u32) -> Self {
        let period = Duration::from_secs(1) / per_second.max(1);
        let mut interval = tokio::time::interval(period.max(Duration::from_nanos(1)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval: Mutex::new(interval) }
    }

    async fn next(&self) {
        self.interval.lock().await.tick().await;
    }
}
