//! Sweeps all commands, so that no task is left waiting and no command runs on unattended.
//!
//! A sweep looks at three groups of commands, once per interval:
//!
//! - *Executing* commands: the task of each gets a heartbeat. If the task is closed, the command is
//!   cancelled.
//! - *Completed* commands whose age has just passed 2, 4, 8, … intervals: the task of each is
//!   probed with a heartbeat. If the task still waits, its event was lost, and the command is
//!   settled.
//! - Commands that *just ended* according to the process's [`Memory`], and completed commands for
//!   which a call failed: they are probed by the next sweep.
//!
//! # Guarantees
//!
//! - A lost event of a command that a sweep saw executing is found within two intervals of the
//!   command's end, as long as the process lives.
//! - Any other lost event, of a command that ends at age `e`, is found before the command is
//!   `max(2e, 2 intervals) + 1 interval` old; if a sweep is missed, one interval later. Commands
//!   that run longer than the lookback are not found.
//! - A sweep that runs out of time reports it as truncated. Each sweep starts one slice further
//!   than the last.
//!
//! # Cost
//!
//! With `d` documents and `s` probe ages (12 by default) there are `d × (2s + 1)` slices. A sweep
//! makes one `ListCommands` call per slice, and one per 50 commands in larger slices; one
//! `SendTaskHeartbeat` call per command with a token in these groups; one `CancelCommand` call per
//! abandoned command; and the calls of [`settle`](mod@crate::settle) per recovered command. It
//! holds one page of each of four slices, and up to 2 × [`REMEMBERED_MAX`] tokens, in memory.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{self, Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::command::{Command, OnAbandon};
use crate::error_chain::error_chain;
use crate::id::CommandId;
use crate::memory::{Memory, REMEMBERED_MAX, Seen, remember};
use crate::ports::{CallError, CommandSlice, PageToken, Pulse, RunCommand, Stage, Tasks};
use crate::settle::{Hint, Outcome, settle};
use crate::status::Status;
use crate::token::TaskToken;

/// How many slices are listed concurrently.
const LISTS_AT_ONCE: usize = 4;
/// How many commands are handled concurrently. At 20 ms per call, this is the quota of
/// `SendTaskHeartbeat` in the largest Regions, 500 per second (Step Functions service quotas).
const COMMANDS_AT_ONCE: usize = 10;
/// Maximum number of pages read of one slice. A page has up to 50 commands, so this is 100,000.
pub const SLICE_PAGES_MAX: usize = 2_000;
/// The shortest interval; at zero, the probe ages would not grow.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The age of a command at its first probe, in intervals. It doubles with every further probe.
const FIRST_PROBE_INTERVALS: u32 = 2;
/// The length of a slice of completed commands, in intervals: one, and one more in case a sweep is
/// missed.
const SLICE_INTERVALS: u32 = 2;
/// The age from which a completed command is settled even if the end of some node has not been
/// seen, provided that the previous sweep saw it complete too. Otherwise the read may only lag.
const OVERDUE_AGE: Duration = Duration::from_hours(1);

/// What a sweep covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The documents whose commands are swept, as named in `SendCommand`.
    pub document_names: Vec<String>,
    /// The time between two sweeps, at least one second.
    pub interval: Duration,
    /// The age of a completed command at its last probe.
    pub lookback: Duration,
}

/// What a sweep found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Executing commands with a task token.
    pub executing: u64,
    /// Heartbeats that reached a waiting task.
    pub heartbeats: u64,
    /// Completed commands whose event was lost and whose task this sweep answered.
    pub recovered: u64,
    /// Commands whose cancellation was requested because their task was closed.
    pub cancelled: u64,
    /// Commands whose task token is malformed or rejected by Step Functions. They are left alone.
    pub rejected: u64,
    /// Slices that could not be listed, commands that could not be read, and commands for which a
    /// call failed. The next sweep tries again.
    pub failed: u64,
    /// Slices that were not listed to their end.
    pub slices_left: u64,
    /// Whether the sweep stopped early, because its time was up or a slice was too long.
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

    /// The slices of a sweep at `now`, in the order in which it handles them.
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

/// Commands of one document, in one stage, in one range of ages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// What to list.
    pub listing: CommandSlice,
    /// The lowest age of the commands.
    pub age: Duration,
}

impl Slice {
    /// Whether a command requested at this time belongs to the slice. The list can contain more at
    /// both ends; those commands belong to the neighboring slice.
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

/// Handles all commands of the scope once.
///
/// `memory` carries what the previous sweep saw and is updated for the next one. `now` is the time
/// of the sweep, and `time_left` is how long it may take. Work in progress at that point is
/// dropped, which is safe because every step can be repeated. A failed call is counted and does not
/// stop the rest.
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
    // The first slice runs alone, so that even a sweep with little time completes it.
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
    // If something was left out, a command that was not seen may still be executing.
    if report.slices_left == 0 && seen.executing.len() < REMEMBERED_MAX {
        memory.update(seen);
    } else {
        memory.add(seen);
    }
    report.truncated |= !in_time;
    report
}

/// Handles all commands of one slice.
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

/// Counts during the sweep, so that the counts exist when its time is up.
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

    fn failed(&self, id: &CommandId, error: &(dyn Error + 'static)) {
        warn!(command_id = %id, error = error_chain(error), "sweeping a command failed");
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

/// The commands of one slice that have a task token, page by page. Sets `is_listed` when it reaches
/// the end of the list.
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
                warn!(document_name = slice.listing.document_name, %error, "listing commands failed");
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

/// A command that a task waits or waited for.
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
            warn!(%error, "a listed command could not be read");
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
            warn!(command_id = %command.id, %error, "the command's task token is malformed");
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
        // A failed call says nothing about the task, and the command is still executing.
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
        // The command is not known to be abandoned, and a wrong cancellation does more harm than a
        // late one.
        Some(Pulse::Rejected) => {}
    }
}

/// Handles a command that the previous sweep left for this one: it had stopped executing, or a call
/// for it failed.
async fn look_back(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    id: &CommandId,
    token: &TaskToken,
    tally: &Tally,
) {
    match pulse(tasks, id, token, tally).await {
        Some(Pulse::Alive) => match recover(run_command, tasks, id, Hint::Changed, tally).await {
            // It was only missing from a list.
            Some(Outcome::Running) => tally.is_executing(id.clone(), token.clone()),
            Some(_) => tally.needs_no_more(id),
            None => {}
        },
        Some(Pulse::Closed | Pulse::Rejected) => tally.needs_no_more(id),
        None => {}
    }
}

/// Whether the command's task still waits; `None` if the call failed.
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
                    warn!(command_id = %id, "Step Functions rejects the command's task token");
                    tally.count(|report| report.rejected += 1);
                }
            }
            Some(pulse)
        }
        Err(error) => {
            tally.failed(id, &error);
            None
        }
    }
}

/// Settles a completed command whose task still waits because its event was lost. `None` if that
/// fails.
async fn recover(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    id: &CommandId,
    hint: Hint,
    tally: &Tally,
) -> Option<Outcome> {
    match settle(run_command, tasks, id, hint).await {
        Ok(outcome) => {
            // With any other outcome, its event arrived between the heartbeat and the answer.
            if matches!(outcome, Outcome::Succeeded | Outcome::Failed { .. }) {
                warn!(
                    command_id = %id, outcome = outcome.name(),
                    "answered a task whose completion event was lost"
                );
                tally.count(|report| report.recovered += 1);
            }
            Some(outcome)
        }
        Err(error) => {
            tally.failed(id, &error);
            None
        }
    }
}

/// Cancels a command whose task is closed.
async fn cancel(run_command: &impl RunCommand, id: &CommandId, tally: &Tally) {
    match run_command.cancel(id).await {
        Ok(()) => {
            info!(command_id = %id, "cancelled a command whose task is closed");
            tally.count(|report| report.cancelled += 1);
        }
        Err(error) => tally.failed(id, &error),
    }
}
