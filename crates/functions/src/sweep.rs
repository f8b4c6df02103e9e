//! The function `sweep`: sweeps all commands, on a schedule and when an execution ends.

use std::io::Write;
use std::time::{Duration, Instant};

use callback::{Memory, RunCommand, Scope, SweepReport, Tasks, error_chain, sweep};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::event::{SweepCause, SweepTrigger};
use crate::invocation_error::InvocationError;
use crate::metrics::{SweepMetrics, millis};

/// Time reserved before the deadline for logging and metrics.
const TIME_KEPT: Duration = Duration::from_secs(3);
/// How long after the end of an execution a sweep must have started to have seen its task closed
/// for certain. Event times are whole seconds, and clocks differ.
const SEEN_AFTER: SignedDuration = SignedDuration::from_secs(2);

/// The function with its ports. Created once per process.
#[derive(Debug)]
pub struct Sweep<R, T> {
    run_command: R,
    tasks: T,
    scope: Scope,
    function_name: String,
    last: Mutex<LastSweep>,
}

/// What one sweep passes on to the next.
#[derive(Debug, Default)]
struct LastSweep {
    memory: Memory,
    /// When the last complete sweep started.
    last_complete_at: Option<Timestamp>,
}

/// The response to an invocation, for people who invoke the function by hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SweepResponse {
    /// Executing commands with a task token.
    pub executing: u64,
    /// Tasks answered whose event was lost.
    pub recovered: u64,
    /// Commands whose cancellation was requested because their task was closed.
    pub cancelled: u64,
    /// Whether the sweep stopped early.
    pub truncated: bool,
}

impl<R: RunCommand, T: Tasks> Sweep<R, T> {
    /// Creates the function with these ports and documents. `function_name` becomes a metric
    /// dimension.
    pub fn new(run_command: R, tasks: T, scope: Scope, function_name: String) -> Self {
        Self { run_command, tasks, scope, function_name, last: Mutex::default() }
    }

    /// Sweeps once, logs the result, and counts it in `metrics_to`. Ends three seconds before
    /// `deadline`.
    ///
    /// If many executions stop at once, the first sweeps cover all of their commands. An event that
    /// a previous sweep has covered starts no sweep, and its response is all zeros.
    ///
    /// # Errors
    ///
    /// [`InvocationError`] if the event does not trigger sweeps. A failed call is counted and is
    /// not an error, because the next sweep tries again.
    pub async fn handle(
        &self,
        event_json: &str,
        request_id: &str,
        deadline: Timestamp,
        metrics_to: &mut impl Write,
    ) -> Result<SweepResponse, InvocationError> {
        let started = Instant::now();
        let trigger = SweepTrigger::parse(event_json)
            .map_err(InvocationError::from)
            .inspect_err(|error| error!(error = error_chain(error), "not swept"))?;
        let now = Timestamp::now();
        // The scheduled time makes the slices advance regularly. An event must not make commands
        // older than they are.
        let sweep_at = trigger.occurred_at.map_or(now, |occurred_at| occurred_at.min(now));
        let time_left = Duration::try_from(deadline.duration_since(now))
            .unwrap_or_default()
            .saturating_sub(TIME_KEPT);
        let Self { run_command, tasks, scope, .. } = self;
        let mut last = self.last.lock().await;
        if last.has_covered(trigger) {
            info!(cause = ?trigger.cause, "not swept: a sweep that started after this event covered it");
            return Ok(SweepResponse::default());
        }
        let report = sweep(run_command, tasks, scope, &mut last.memory, sweep_at, time_left).await;
        last.note(&report, now);

        let duration_ms = millis(started.elapsed().as_millis());
        log(&report, trigger, duration_ms);
        let metrics = SweepMetrics {
            function_name: &self.function_name,
            report: &report,
            sweep_duration: duration_ms,
            request_id,
        };
        if let Err(error) = metrics.emit(metrics_to, now) {
            error!(%error, "writing metrics failed");
        }
        Ok(SweepResponse::from(report))
    }
}

impl From<SweepReport> for SweepResponse {
    fn from(report: SweepReport) -> Self {
        let SweepReport { executing, recovered, cancelled, truncated, .. } = report;
        Self { executing, recovered, cancelled, truncated }
    }
}

impl LastSweep {
    /// Whether a complete sweep started after the execution of this event had ended.
    fn has_covered(&self, trigger: SweepTrigger) -> bool {
        let (Some(occurred_at), Some(last_complete_at)) =
            (trigger.occurred_at, self.last_complete_at)
        else {
            return false;
        };
        trigger.cause == SweepCause::ExecutionEnded
            && last_complete_at.duration_since(occurred_at) >= SEEN_AFTER
    }

    fn note(&mut self, report: &SweepReport, started_at: Timestamp) {
        let SweepReport { failed, slices_left, truncated, .. } = *report;
        if failed == 0 && slices_left == 0 && !truncated {
            self.last_complete_at = Some(started_at);
        }
    }
}

fn log(report: &SweepReport, trigger: SweepTrigger, duration_ms: u64) {
    let SweepReport {
        executing,
        heartbeats,
        recovered,
        cancelled,
        rejected,
        failed,
        slices_left,
        truncated,
    } = *report;
    macro_rules! swept {
        ($level:ident) => {
            $level!(
                cause = ?trigger.cause, executing, heartbeats, recovered, cancelled, rejected,
                failed, slices_left, truncated, duration_ms, "swept"
            )
        };
    }
    if recovered > 0 || rejected > 0 || failed > 0 || truncated {
        swept!(warn);
    } else {
        swept!(info);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended_at(second: i64) -> SweepTrigger {
        SweepTrigger { cause: SweepCause::ExecutionEnded, occurred_at: Some(at(second)) }
    }

    #[test]
    fn an_end_that_a_whole_sweep_came_after_is_dealt_with() {
        let mut last = LastSweep::default();
        assert!(!last.has_covered(ended_at(0)), "there was none");
        last.note(&SweepReport::default(), at(100));
        assert!(last.has_covered(ended_at(98)));
        assert!(!last.has_covered(ended_at(99)), "it may have ended just after");
        assert!(!last.has_covered(ended_at(100)));
        assert!(!last.has_covered(SweepTrigger { occurred_at: None, ..ended_at(0) }));
    }

    #[test]
    fn the_schedule_is_always_swept() {
        let mut last = LastSweep::default();
        last.note(&SweepReport::default(), at(100));
        assert!(!last.has_covered(SweepTrigger { cause: SweepCause::Schedule, ..ended_at(0) }));
    }

    #[test]
    fn a_sweep_that_left_something_out_deals_with_nothing() {
        let nothing = SweepReport::default();
        for report in [
            SweepReport { failed: 1, ..nothing },
            SweepReport { slices_left: 1, ..nothing },
            SweepReport { truncated: true, ..nothing },
        ] {
            let mut last = LastSweep::default();
            last.note(&report, at(100));
            assert!(!last.has_covered(ended_at(0)), "{report:?}");
        }
    }
}
