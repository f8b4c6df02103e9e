//! Sweeps all commands, so that nothing is left waiting and nothing runs on alone.
//!
//! Events of Run Command can be lost, and a stopped task tells its command nothing. So once per
//! interval a sweep looks at the commands themselves. It needs no store:
//!
//! - *Executing* commands: each token gets a heartbeat. A closed task means that nobody waits for
//!   the command any more, so it is cancelled.
//! - *Completed* commands are probed with a heartbeat when their age has just passed 2, 4, 8, …
//!   intervals. A task that still waits there has lost its event, and is settled on the spot.
//! - Commands that have *just ended*: what was executing at one sweep and no longer at the next is
//!   probed at the one after that. A completed command for which a call failed is probed again by
//!   the next sweep. This rests on the process's [`Memory`], which may be lost.
//!
//! # What it finds, and when
//!
//! As long as the process lives, a command that a sweep saw executing and whose event was lost is
//! settled within two intervals of its end. The probes are for the rest. Each looks at a slice of
//! commands two intervals long, and the next sweep at the slice one interval later: every command
//! is seen by two sweeps at each age, so one missed sweep loses nothing. A command that ends at age
//! `e` is complete at the first probe of an age of `e` or more, which is below `2e` (or two
//! intervals, if that is more). So its task is answered before the command is
//! `max(2e, 2 intervals) + 1 interval` old, and when a sweep is missed, one interval later.
//! Commands that run longer than the lookback are not found.
//!
//! # What it costs
//!
//! With `d` documents and `s` probe ages (12 with the default settings) there are `d × (2s + 1)`
//! slices, and a sweep makes
//!
//! - one call of `ListCommands` per slice, and in a slice of more than 50 commands one per 50,
//!   whether they have a token or not,
//! - one `SendTaskHeartbeat` per executing command and per completed command in a slice, if it has
//!   a token, one per command that was executing with its task waiting two sweeps before, and not
//!   so at the last, and one per completed command for which a call failed at the last,
//! - one `CancelCommand` per abandoned command, and the calls of [`settle`](mod@crate::settle) per
//!   recovered one.
//!
//! It holds one page of each of the four slices that it reads at a time, and the tokens of up to
//! [`REMEMBERED_MAX`] executing commands and as many completed ones that it is to look at again.
//!
//! # When there is too much to do
//!
//! A sweep ends when its time is up and says that it was truncated. It begins with one slice alone
//! and goes on with the others when that is done. The next sweep begins one slice further. So even
//! sweeps that never finish more than their first slice have finished each one once after
//! `d × (2s + 1)` sweeps (75 with the default settings and three documents). An executing command
//! moves to slices of greater age meanwhile, so it can take `2s` sweeps more until it is reached.
//!
//! What no rotation can make good: a completed command is in a slice for two sweeps at each age.
//! If both of them leave its slice out, a lost event is found at the next age, which is twice as
//! great, or not at all after the last one. A slice with more commands than a sweep has time for
//! is looked at from its newest command on, again and again. So sweeps that are truncated for long
//! need more time or memory.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{self, Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::chain::chain;
use crate::command::{Command, OnAbandon, Status};
use crate::id::CommandId;
use crate::memory::{Memory, REMEMBERED_MAX, Seen, remember};
use crate::ports::{CallError, CommandSlice, PageToken, Pulse, RunCommand, Stage, Tasks};
use crate::settle::{Hint, Outcome, settle};
use crate::token::TaskToken;

/// How many slices are listed at the same time.
const LISTS_AT_ONCE: usize = 4;
/// How many commands are looked after at the same time. At 20 ms a call this is the rate that
/// Step Functions allows for `SendTaskHeartbeat` in its largest regions, 500 per second.
const COMMANDS_AT_ONCE: usize = 10;
/// The most pages of one slice that are read: 100,000 commands.
pub const SLICE_PAGES_MAX: usize = 2_000;
/// The shortest interval, so that the probe ages grow.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The first probe, in intervals after the command was requested. The next ones double it.
const FIRST_PROBE_INTERVALS: u32 = 2;
/// The length of a slice of completed commands: one interval, and one more in case that a sweep
/// is missed.
const SLICE_INTERVALS: u32 = 2;
/// From this age on, a completed command whose nodes were not all seen to end is not waited for,
/// if the sweep before saw it complete, too: one that has just ended may only read late.
const OVERDUE_AGE: Duration = Duration::from_hours(1);

/// What a sweep looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Documents whose commands are looked after, named as in `SendCommand`.
    pub document_names: Vec<String>,
    /// From one sweep to the next. Less than a second counts as a second.
    pub interval: Duration,
    /// The greatest age at which a completed command is probed.
    pub lookback: Duration,
}

/// What a sweep found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Executing commands that have a task token.
    pub executing: u64,
    /// Heartbeats that reached a waiting task.
    pub heartbeats: u64,
    /// Completed commands whose event was lost, and whose task has now been answered.
    pub recovered: u64,
    /// Commands whose cancel was asked for, because nobody waited any more.
    pub cancelled: u64,
    /// Commands with a token that Step Functions does not take. They are left alone.
    pub rejected: u64,
    /// Slices that could not be listed, commands that could not be read, and commands for which a
    /// call failed. The next sweep tries again.
    pub failed: u64,
    /// Slices that were not looked at, or not to their end.
    pub slices_left: u64,
    /// Whether the time was up, or a slice too long, before everything had been looked at.
    pub truncated: bool,
}

impl Scope {
    /// The ages at which completed commands are probed: 2, 4, 8, … intervals, and the lookback.
    pub fn probe_ages(&self) -> Vec<Duration> {
        let first = self.interval() * FIRST_PROBE_INTERVALS;
        let doubled = std::iter::successors(Some(first), |age| age.checked_mul(2));
        let mut ages: Vec<_> = doubled.take_while(|age| *age < self.lookback).collect();
        ages.push(self.lookback.max(first));
        ages
    }

    /// The slices that a sweep at `now` looks at, in its order of work.
    pub fn slices(&self, now: Timestamp) -> Vec<Slice> {
        let ages = self.probe_ages();
        let mut slices = Vec::new();
        for document_name in &self.document_names {
            let slice = |stage, youngest: Option<Duration>, oldest: Option<Duration>| Slice {
                listing: CommandSlice {
                    document_name: document_name.clone(),
                    stage,
                    invoked_after: oldest.map(|age| before(now, age)),
                    invoked_before: youngest.map(|age| before(now, age)),
                },
                age: youngest.unwrap_or_default(),
            };
            slices.push(slice(Stage::Executing, None, ages.first().copied()));
            for (at, age) in ages.iter().enumerate() {
                let next = ages.get(at + 1).copied();
                slices.push(slice(Stage::Executing, Some(*age), next));
                let oldest = *age + self.interval() * SLICE_INTERVALS;
                slices.push(slice(Stage::Complete, Some(*age), Some(oldest)));
            }
        }
        if !slices.is_empty() {
            let now_s = u64::try_from(now.as_second()).unwrap_or_default();
            let sweep_number = now_s / self.interval().as_secs();
            let start = sweep_number % slices.len() as u64;
            slices.rotate_left(usize::try_from(start).unwrap_or_default());
        }
        slices
    }

    fn interval(&self) -> Duration {
        self.interval.max(INTERVAL_MIN)
    }
}

/// Commands of one document, one stage and one range of ages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// What is listed.
    pub listing: CommandSlice,
    /// The least age of the commands.
    pub age: Duration,
}

impl Slice {
    /// Whether a command that was requested then belongs to the slice. A list may be longer by
    /// those at its ends: they are in the next slice, too, and need no second look.
    pub fn holds(&self, requested_at: Timestamp) -> bool {
        let CommandSlice { invoked_after, invoked_before, .. } = self.listing;
        invoked_after.is_none_or(|after| requested_at > after)
            && invoked_before.is_none_or(|before| requested_at <= before)
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    SignedDuration::try_from(age)
        .ok()
        .and_then(|age| now.checked_sub(age).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Looks after all commands of the scope once.
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
    let slices = scope.slices(now);
    let tally = Tally::new(slices.len());
    let places = Semaphore::new(COMMANDS_AT_ONCE);
    let last = &*memory;
    let look_through =
        |slice| Box::pin(look_through(run_command, tasks, slice, last, &places, &tally));
    // The first slice is not shared with others, so that a sweep with little time gets it done.
    let (first, others) = slices.split_at(slices.len().min(1));
    let look_back = async |(id, token)| {
        let _place = places.acquire().await;
        look_back(run_command, tasks, id, token, &tally).await;
    };
    let work = async {
        stream::iter(first).for_each(look_through).await;
        join(
            stream::iter(last.ended()).for_each_concurrent(COMMANDS_AT_ONCE, look_back),
            stream::iter(others).for_each_concurrent(LISTS_AT_ONCE, look_through),
        )
        .await;
    };
    let in_time = tokio::time::timeout(time_left, work).await.is_ok();
    let Counts { mut report, seen } = tally.into_counts();
    // Where something was left out, a command that was not seen has not ended for that.
    if report.slices_left == 0 && seen.executing.len() < REMEMBERED_MAX {
        memory.update(seen);
    } else {
        memory.add(seen);
    }
    report.truncated |= !in_time;
    report
}

/// Looks after all commands of one slice.
async fn look_through(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    slice: &Slice,
    last: &Memory,
    places: &Semaphore,
    tally: &Tally,
) {
    let mut is_listed = false;
    commands(run_command, slice, &mut is_listed, tally)
        .for_each_concurrent(COMMANDS_AT_ONCE, |command| async move {
            let _place = places.acquire().await;
            look_after(run_command, tasks, slice, last, command, tally).await;
        })
        .await;
    if is_listed {
        tally.count(|report| report.slices_left -= 1);
    }
}

/// Counts while the sweep goes on, so that the counts are there when its time is up.
struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    report: SweepReport,
    seen: Seen,
}

impl Tally {
    fn new(slices: usize) -> Self {
        let slices_left = u64::try_from(slices).unwrap_or(u64::MAX);
        let report = SweepReport { slices_left, ..SweepReport::default() };
        Self { counts: Mutex::new(Counts { report, ..Counts::default() }) }
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn count(&self, change: impl FnOnce(&mut SweepReport)) {
        self.change(|counts| change(&mut counts.report));
    }

    fn fail(&self, id: &CommandId, error: &(dyn Error + 'static)) {
        warn!(command_id = %id, error = chain(error), "a command was not looked after");
        self.count(|report| report.failed += 1);
    }

    fn is_executing(&self, id: CommandId, token: TaskToken) {
        self.change(|Counts { seen, .. }| remember(&mut seen.executing, id, token));
    }

    fn is_undecided(&self, id: CommandId, token: TaskToken) {
        self.change(|Counts { seen, .. }| remember(&mut seen.undecided, id, token));
    }

    fn needs_no_more(&self, id: &CommandId) {
        self.change(|Counts { seen, .. }| seen.no_more.push(id.clone()));
    }

    fn into_counts(self) -> Counts {
        self.counts.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The commands of one slice that have a task token, page by page. Tells in `is_listed` whether it
/// has come to the end of the list.
fn commands<'a, R: RunCommand>(
    run_command: &'a R,
    slice: &'a Slice,
    is_listed: &'a mut bool,
    tally: &'a Tally,
) -> impl Stream<Item = Waiting> + 'a {
    let first = Some((0, None, is_listed));
    stream::unfold(first, move |position| async move {
        let (page_number, token, is_listed): (usize, Option<PageToken>, _) = position?;
        if page_number == SLICE_PAGES_MAX {
            tally.count(|report| report.truncated = true);
            return None;
        }
        let page = match run_command.commands(&slice.listing, token.as_ref()).await {
            Ok(page) => page,
            Err(error) => {
                warn!(document_name = slice.listing.document_name, %error, "a slice was not listed");
                tally.count(|report| report.failed += 1);
                return None;
            }
        };
        *is_listed = page.next.is_none();
        let next = page.next.map(|token| (page_number + 1, Some(token), is_listed));
        let commands = page.commands.into_iter();
        let waiting: Vec<_> =
            commands.filter_map(|command| waiting(slice, command, tally)).collect();
        Some((stream::iter(waiting), next))
    })
    .flatten()
}

/// A command that some task waits, or waited, for.
struct Waiting {
    id: CommandId,
    token: TaskToken,
    on_abandon: OnAbandon,
    is_cancelling: bool,
}

fn waiting(slice: &Slice, command: Result<Command, CallError>, tally: &Tally) -> Option<Waiting> {
    let command = match command {
        Ok(command) if !slice.holds(command.requested_at) => return None,
        Ok(command) => command,
        Err(error) => {
            warn!(%error, "a command was not understood");
            tally.count(|report| report.failed += 1);
            return None;
        }
    };
    match command.callback.task_token? {
        Ok(token) => Some(Waiting {
            id: command.id,
            token,
            on_abandon: command.callback.on_abandon,
            is_cancelling: command.status == Status::Cancelling,
        }),
        Err(error) => {
            warn!(command_id = %command.id, %error, "no task can have this token");
            tally.count(|report| report.rejected += 1);
            None
        }
    }
}

async fn look_after(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    slice: &Slice,
    last: &Memory,
    command: Waiting,
    tally: &Tally,
) {
    let Waiting { id, token, on_abandon, is_cancelling } = command;
    let is_executing = slice.listing.stage == Stage::Executing;
    tally.count(|report| report.executing += u64::from(is_executing));
    match pulse(tasks, &id, &token, tally).await {
        // A call that failed says nothing, and the command still executes.
        Some(Pulse::Alive) | None if is_executing => tally.is_executing(id, token),
        Some(Pulse::Alive) => {
            let is_overdue = slice.age >= OVERDUE_AGE && last.had_ended(&id);
            let hint = if is_overdue { Hint::Overdue } else { Hint::Ended };
            if recover(run_command, tasks, &id, hint, tally).await.is_none() {
                tally.is_undecided(id, token);
            }
        }
        Some(Pulse::Closed) => {
            if is_executing && !is_cancelling && on_abandon == OnAbandon::Cancel {
                cancel(run_command, &id, tally).await;
            }
        }
        None => tally.is_undecided(id, token),
        // A wrong cancel is worse than a late one: this is not known to be an abandoned command.
        Some(Pulse::Rejected) => {}
    }
}

/// Looks after a command that the last sweep left for this one: it was executing the sweep before
/// and then no more, or a call for it failed.
async fn look_back(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    id: &CommandId,
    token: &TaskToken,
    tally: &Tally,
) {
    match pulse(tasks, id, token, tally).await {
        Some(Pulse::Alive) => match recover(run_command, tasks, id, Hint::Changed, tally).await {
            // It was not in a list where it belongs, and that is all.
            Some(Outcome::Running) => tally.is_executing(id.clone(), token.clone()),
            Some(_) => tally.needs_no_more(id),
            None => {}
        },
        Some(Pulse::Closed | Pulse::Rejected) => tally.needs_no_more(id),
        None => {}
    }
}

/// Whether the command's task waits; `None` when that could not be learnt.
async fn pulse(
    tasks: &impl Tasks,
    id: &CommandId,
    token: &TaskToken,
    tally: &Tally,
) -> Option<Pulse> {
    match tasks.heartbeat(token).await {
        Ok(pulse) => {
            match pulse {
                Pulse::Alive => tally.count(|report| report.heartbeats += 1),
                Pulse::Closed => {}
                Pulse::Rejected => {
                    warn!(command_id = %id, "Step Functions does not take the command's token");
                    tally.count(|report| report.rejected += 1);
                }
            }
            Some(pulse)
        }
        Err(error) => {
            tally.fail(id, &error);
            None
        }
    }
}

/// Settles a command whose task still waits: its event was lost. `None` when it could not be
/// settled now.
async fn recover(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    id: &CommandId,
    hint: Hint,
    tally: &Tally,
) -> Option<Outcome> {
    match settle(run_command, tasks, id, hint).await {
        Ok(outcome) => {
            // Any other outcome: its event came after all, between the heartbeat and the answer.
            if matches!(outcome, Outcome::Succeeded | Outcome::Failed { .. }) {
                warn!(command_id = %id, outcome = outcome.name(), "a lost event was made good");
                tally.count(|report| report.recovered += 1);
            }
            Some(outcome)
        }
        Err(error) => {
            tally.fail(id, &error);
            None
        }
    }
}

/// Cancels a command that nobody waits for any more.
async fn cancel(run_command: &impl RunCommand, id: &CommandId, tally: &Tally) {
    match run_command.cancel(id).await {
        Ok(()) => {
            info!(command_id = %id, "cancelled, because its task is closed");
            tally.count(|report| report.cancelled += 1);
        }
        Err(error) => tally.fail(id, &error),
    }
}
