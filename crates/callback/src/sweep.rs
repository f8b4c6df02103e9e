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
//! looks through the whole lookback besides, when it knows what is executing. That is repeated every
//! six hours, as a second look.
//!
//! After a page that failed, the next sweep goes on where this one stopped, and then reads the list
//! from its beginning: newer commands stand there.
//!
//! **The promise.** While sweeps get to their end, a task is answered within three intervals of its
//! command's end when the event was lost, and with it a sweep or the sweep's process. It is four when
//! both were lost, as when a process dies in the middle of a sweep. When there is more to do than one
//! sweep can, the next one goes on where it stopped, and the promise stretches by the number of
//! sweeps that a round takes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::ports::{RunCommand, Tasks};
use crate::scope::Scope;
use crate::sweep::memory::{Memory, earlier};
use crate::sweep::pass::Pass;
use crate::sweep::reading::List;
use crate::sweep::report::SweepReport;

mod completed;
mod executing;
mod heartbeat;
pub mod memory;
mod pass;
mod reading;
pub mod report;
mod suspects;
mod waiting;

/// How far a new process looks back before everything else.
const FIRST_LOOK: Duration = Duration::from_hours(1);
/// When the lookback is repeated.
const LOOKBACK_AGAIN: SignedDuration = SignedDuration::from_hours(6);
/// The most pages of the lookback that one sweep reads.
const LOOKBACK_PAGES_PER_SWEEP: usize = 30;

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
/// For the moment after an execution was stopped. It takes over no list and no suspect from the last
/// sweep, and leaves none to the next one: only what executes, what nobody waits for, and what was
/// refused for good.
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

impl<R: RunCommand, T: Tasks> Pass<'_, R, T> {
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
            self.memory.note_executing(&reading);
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
        let is_read = self.completed_lately().await;
        if let (Some(began), true) = (began, is_read) {
            self.memory.note_whole(began, self.scope.overlap());
        }
        self.look_back().await;
        self.settle_large_suspects().await;
    }

    /// Looks after what has completed since the last sweeps; whether all of it could be.
    async fn completed_lately(&mut self) -> bool {
        let since = self.memory.since(self.now, FIRST_LOOK);
        loop {
            self.begin_reading(List::Lately, Some(since));
            if !self.read_completed(List::Lately, usize::MAX).await {
                return false;
            }
            match self.memory.end_reading(List::Lately) {
                // What has been requested since it began stands before the place where it went on.
                Some(reading) if reading.has_failed => {}
                reading => return reading.is_some_and(|reading| !reading.has_left_out),
            }
        }
    }

    /// Looks through the whole lookback, a part at a time. It tells nothing of what ends later, so what
    /// is executing must be known before.
    async fn look_back(&mut self) {
        let is_due = self.memory.lookback_due.is_none_or(|due| self.now >= due);
        let begins = is_due && self.memory.knows_executing;
        if self.memory.reading(List::Lookback).is_none() && !begins {
            return;
        }
        self.begin_reading(List::Lookback, Some(earlier(self.now, self.scope.lookback)));
        if self.read_completed(List::Lookback, LOOKBACK_PAGES_PER_SWEEP).await {
            self.memory.end_reading(List::Lookback);
            self.memory.lookback_due = self.now.checked_add(LOOKBACK_AGAIN).ok();
        }
    }
}
