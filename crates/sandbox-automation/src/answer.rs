//! Executions as `GetAutomationExecution` answers them. As in AWS, parameters and inputs are shown:
//! whoever may read an execution may read its task token.

use std::collections::BTreeMap;

use sandbox_run_command::documents::Given;
use sandbox_run_command::time::EpochSeconds;
use serde::Serialize;

use crate::execution::{Execution, Outputs, Progress, StepRun};
use crate::runbook::{OnFailure, Properties};

/// The answer of `GetAutomationExecution`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GotExecution<'a> {
    pub(crate) automation_execution: AnsweredExecution<'a>,
}

/// `AutomationExecution`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AnsweredExecution<'a> {
    automation_execution_id: &'a str,
    document_name: &'a str,
    document_version: &'a str,
    execution_start_time: EpochSeconds,
    automation_execution_status: &'a str,
    step_executions: Vec<AnsweredStep<'a>>,
    step_executions_truncated: bool,
    parameters: &'a Given,
    outputs: &'a Outputs,
    mode: &'a str,
    targets: [&'a str; 0],
    resolved_targets: ResolvedTargets<'a>,
    #[serde(flatten)]
    end: End<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResolvedTargets<'a> {
    parameter_values: [&'a str; 0],
    truncated: bool,
}

/// `StepExecution`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AnsweredStep<'a> {
    step_name: &'a str,
    action: &'a str,
    step_execution_id: &'a str,
    step_status: &'a str,
    inputs: &'a BTreeMap<String, String>,
    outputs: &'a Outputs,
    on_failure: String,
    max_attempts: u32,
    is_end: bool,
    is_critical: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_start_time: Option<EpochSeconds>,
    #[serde(flatten)]
    end: End<'a>,
}

/// What an execution and a step have once they have ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct End<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_end_time: Option<EpochSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_message: Option<&'a str>,
}

impl<'a> AnsweredExecution<'a> {
    /// The execution as it is now.
    pub(crate) fn of(execution: &'a Execution) -> Self {
        let steps = execution.runbook.steps.iter().zip(&execution.steps);
        AnsweredExecution {
            automation_execution_id: &execution.id,
            document_name: &execution.runbook.name,
            document_version: "1",
            execution_start_time: EpochSeconds(execution.started),
            automation_execution_status: execution.progress.status.name(),
            step_executions: steps
                .map(|(step, run)| AnsweredStep::of(&step.properties, run))
                .collect(),
            step_executions_truncated: false,
            parameters: &execution.given,
            outputs: &execution.outputs,
            mode: "Auto",
            targets: [],
            resolved_targets: ResolvedTargets { parameter_values: [], truncated: false },
            end: End::of(&execution.progress),
        }
    }
}

impl<'a> AnsweredStep<'a> {
    fn of(properties: &'a Properties, run: &'a StepRun) -> Self {
        AnsweredStep {
            step_name: &properties.name,
            action: &properties.action,
            step_execution_id: &run.id,
            step_status: run.progress.status.name(),
            inputs: &run.inputs,
            outputs: &run.outputs,
            on_failure: match &properties.on_failure {
                OnFailure::Abort => "Abort".to_owned(),
                OnFailure::Continue => "Continue".to_owned(),
                OnFailure::Step(name) => format!("step:{name}"),
            },
            max_attempts: properties.max_attempts,
            is_end: properties.is_end,
            is_critical: properties.is_critical,
            next_step: properties.next_step.as_deref(),
            timeout_seconds: properties.timeout_seconds.map(|timeout| timeout.as_secs()),
            execution_start_time: run.started.map(EpochSeconds),
            end: End::of(&run.progress),
        }
    }
}

impl<'a> End<'a> {
    fn of(progress: &'a Progress) -> Self {
        End {
            execution_end_time: progress.ended.map(EpochSeconds),
            failure_message: progress.failure.as_deref(),
        }
    }
}
