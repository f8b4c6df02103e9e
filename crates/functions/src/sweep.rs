//! The function `sweep`: by schedule, and when an execution ends, looks after all commands.

use std::io::Write;
use std::time::{Duration, Instant};

use callback::chain::chain;
use callback::{Memory, RunCommand, Scope, SweepReport, Tasks, sweep};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::event::{SweepCause, SweepTrigger};
use crate::invocation_error::InvocationError;
use crate::metrics::{SweepMetrics, millis};

/// What of the function's time is kept back, to tell what was done.
const TIME_KEPT: Duration = Duration::from_secs(3);
/// How much later than an execution's end a sweep must have begun to be sure that it saw its task
/// closed. Events tell their time to the second, and clocks differ.
const SEEN_AFTER: SignedDuration = SignedDuration::from_secs(2);

/// The function with its ports. Made once per process.
#[derive(Debug)]
pub struct Sweep<R, T> {
    run_command: R,
    tasks: T,
    scope: Scope,
    function_name: String,
    last: Mutex<LastSweep>,
}

/// What the last sweep leaves to the next one.
#[derive(Debug, Default)]
struct LastSweep {
    memory: Memory,
    /// When the last sweep began that did all that there was to do.
    did_all_from: Option<Timestamp>,
}

/// What an invocation returns. Nobody waits for it but a person with `cargo lambda invoke`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SweepResponse {
    /// Executing commands that have a task token.
    pub executing: u64,
    /// Lost events that were made good.
    pub recovered: u64,
    /// Commands that were cancelled because nobody waited any more.
    pub cancelled: u64,
    /// Whether the sweep did not get to its end.
    pub truncated: bool,
}

impl<R: RunCommand, T: Tasks> Sweep<R, T> {
    /// Uses these ports for these documents. `function_name` becomes a metric dimension.
    pub fn new(run_command: R, tasks: T, scope: Scope, function_name: String) -> Self {
        Self { run_command, tasks, scope, function_name, last: Mutex::default() }
    }

    /// Sweeps once; logs what was found and done, and counts it in `metrics_to`. Ends three seconds
    /// before `deadline`.
    ///
    /// When many executions are stopped at once, the first sweeps look after all of their commands.
    /// An event that such a sweep has already dealt with starts none, and is told by zeros.
    ///
    /// # Errors
    ///
    /// [`InvocationError`] when the event is none that a sweep is started by. A call that fails is
    /// counted and is no error: the next sweep comes anyway.
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
            .inspect_err(|error| error!(error = chain(error), "not swept"))?;
        let now = Timestamp::now();
        // The scheduled time keeps the order of work in step. No event may make commands older
        // than they are.
        let sweep_at = trigger.occurred_at.map_or(now, |occurred_at| occurred_at.min(now));
        let time_left = Duration::try_from(deadline.duration_since(now))
            .unwrap_or_default()
            .saturating_sub(TIME_KEPT);
        let Self { run_command, tasks, scope, .. } = self;
        let mut last = self.last.lock().await;
        if last.has_dealt_with(trigger) {
            info!(cause = ?trigger.cause, "a sweep that began after this has done all there is to do");
            return Ok(SweepResponse::default());
        }
        let report = sweep(run_command, tasks, scope, &mut last.memory, sweep_at, time_left).await;
        last.note(&report, now);

        let duration_ms = millis(started.elapsed().as_millis());
        log(&report, trigger, duration_ms);
        let metrics = SweepMetrics {
            function_name: &self.function_name,
            executing: report.executing,
            heartbeats: report.heartbeats,
            recovered: report.recovered,
            cancelled: report.cancelled,
            rejected: report.rejected,
            failed: report.failed,
            truncated: u64::from(report.truncated),
            sweep_duration: duration_ms,
            request_id,
        };
        if let Err(error) = metrics.emit(metrics_to, now) {
            error!(%error, "metrics are not written");
        }
        Ok(SweepResponse {
            executing: report.executing,
            recovered: report.recovered,
            cancelled: report.cancelled,
            truncated: report.truncated,
        })
    }
}

impl LastSweep {
    /// Whether a sweep that did everything began after the execution of this event had ended.
    fn has_dealt_with(&self, trigger: SweepTrigger) -> bool {
        let (Some(occurred_at), Some(did_all_from)) = (trigger.occurred_at, self.did_all_from)
        else {
            return false;
        };
        trigger.cause == SweepCause::ExecutionEnded
            && did_all_from.duration_since(occurred_at) >= SEEN_AFTER
    }

    fn note(&mut self, report: &SweepReport, began_at: Timestamp) {
        let SweepReport { failed, slices_left, truncated, .. } = *report;
        if failed == 0 && slices_left == 0 && !truncated {
            self.did_all_from = Some(began_at);
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
        assert!(!last.has_dealt_with(ended_at(0)), "there was none");
        last.note(&SweepReport::default(), at(100));
        assert!(last.has_dealt_with(ended_at(98)));
        assert!(!last.has_dealt_with(ended_at(99)), "it may have ended just after");
        assert!(!last.has_dealt_with(ended_at(100)));
        assert!(!last.has_dealt_with(SweepTrigger { occurred_at: None, ..ended_at(0) }));
    }

    #[test]
    fn the_schedule_is_always_swept() {
        let mut last = LastSweep::default();
        last.note(&SweepReport::default(), at(100));
        assert!(!last.has_dealt_with(SweepTrigger { cause: SweepCause::Schedule, ..ended_at(0) }));
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
            assert!(!last.has_dealt_with(ended_at(0)), "{report:?}");
        }
    }
}
