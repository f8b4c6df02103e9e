//! The function `sweep`: by schedule, and when an execution ends, looks after all commands.

use std::time::{Duration, Instant};

use callback::chain::chain;
use callback::{Memory, RunCommand, Scope, SweepReport, Tasks, sweep};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::event::SweepTrigger;
use crate::invocation_error::InvocationError;
use crate::metrics::{SweepMetrics, millis};

/// What of the function's time is kept back, to tell what was done.
const TIME_KEPT: Duration = Duration::from_secs(3);

/// The function with its ports. Made once per process.
#[derive(Debug)]
pub struct Sweep<R, T> {
    run_command: R,
    tasks: T,
    scope: Scope,
    function_name: String,
    memory: Mutex<Memory>,
}

/// What an invocation returns. Nobody waits for it but a person with `cargo lambda invoke`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
        Self { run_command, tasks, scope, function_name, memory: Mutex::default() }
    }

    /// Sweeps once; logs and counts what was found and done. Ends three seconds before `deadline`.
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
        let mut memory = self.memory.lock().await;
        let report = sweep(run_command, tasks, scope, &mut memory, sweep_at, time_left).await;

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
        if let Err(error) = metrics.emit(now) {
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
