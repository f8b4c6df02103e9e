//! The function `relay`: settles the command of a Run Command event.

use std::io::Write;
use std::time::Instant;

use callback::{Outcome, RunCommand, Tasks, error_chain, settle};
use jiff::Timestamp;
use serde::Serialize;
use tracing::{error, info, warn};

use crate::event::CommandChange;
use crate::invocation_error::InvocationError;
use crate::metrics::{RelayMetrics, millis};

/// The function with its ports. Created once per process.
#[derive(Debug)]
pub struct Relay<R, T> {
    run_command: R,
    tasks: T,
    function_name: String,
}

/// The response to an invocation, for people who invoke the function by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RelayResponse {
    /// The command.
    pub command_id: String,
    /// What became of its callback: [`Outcome::name`].
    pub outcome: &'static str,
}

impl<R: RunCommand, T: Tasks> Relay<R, T> {
    /// Creates the function with these ports. `function_name` becomes a metric dimension.
    pub fn new(run_command: R, tasks: T, function_name: String) -> Self {
        Self { run_command, tasks, function_name }
    }

    /// Settles the command of one event, logs the outcome, and counts it in `metrics_to`.
    ///
    /// # Errors
    ///
    /// [`InvocationError`] if the event is not from Run Command, or if the command could not be
    /// settled now. Lambda then retries the event.
    pub async fn handle(
        &self,
        event_json: &str,
        request_id: &str,
        metrics_to: &mut impl Write,
    ) -> Result<RelayResponse, InvocationError> {
        let started = Instant::now();
        let change = CommandChange::parse(event_json);
        let result = match &change {
            Ok(change) => settle(&self.run_command, &self.tasks, &change.command_id, change.hint)
                .await
                .map_err(InvocationError::from),
            Err(invalid) => Err(invalid.clone().into()),
        };
        let settle_duration_ms = millis(started.elapsed().as_millis());
        let now = Timestamp::now();
        let change = change.ok();
        let command_id = change.as_ref().map(|change| change.command_id.as_str());
        let event_to_answer_ms = change
            .as_ref()
            .and_then(|change| change.occurred_at)
            .map(|occurred_at| millis(now.duration_since(occurred_at).as_millis()));

        let outcome = match &result {
            Ok(outcome) => outcome.name(),
            Err(error) => error.name(),
        };
        match &result {
            Ok(Outcome::TokenRejected) => {
                warn!(
                    command_id,
                    outcome,
                    runbook = outcome,
                    settle_duration_ms,
                    event_to_answer_ms,
                    "settled"
                );
            }
            Ok(_) => {
                info!(command_id, outcome, settle_duration_ms, event_to_answer_ms, "settled");
            }
            Err(error) => {
                error!(
                    command_id,
                    outcome,
                    runbook = outcome,
                    settle_duration_ms,
                    error = error_chain(error),
                    "not settled"
                );
            }
        }
        let metrics = RelayMetrics {
            function_name: &self.function_name,
            outcome,
            settled: 1,
            event_to_answer: event_to_answer_ms,
            settle_duration: settle_duration_ms,
            command_id,
            request_id,
        };
        // Failing here would make Lambda retry an event whose task has been answered.
        if let Err(error) = metrics.emit(metrics_to, now) {
            error!(runbook = "MetricsFailed", %error, "writing metrics failed");
        }
        result.map(|outcome| RelayResponse {
            command_id: command_id.unwrap_or_default().to_owned(),
            outcome: outcome.name(),
        })
    }
}
