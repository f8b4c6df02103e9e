//! What happened in an execution, and how `GetAutomationExecution` tells it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::runbook::{OnFailure, Properties, Runbook};
use crate::run_command::{Given, as_text, epoch_seconds};

/// How far an execution, or one step of it, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    InProgress,
    Success,
    Failed,
    TimedOut,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Pending => "Pending",
            Status::InProgress => "InProgress",
            Status::Success => "Success",
            Status::Failed => "Failed",
            Status::TimedOut => "TimedOut",
        }
    }
}

/// Why a step or an execution did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: Status,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn failed(message: impl Into<String>) -> Failure {
        Failure { status: Status::Failed, message: message.into() }
    }
}

/// Outputs as the API has them: every value is a list of texts.
pub(super) type Outputs = BTreeMap<String, Vec<String>>;

/// One run of a runbook.
#[derive(Debug)]
pub(super) struct Execution {
    pub(super) id: String,
    pub(super) runbook: Arc<Runbook>,
    given: Given,
    started: Timestamp,
    progress: Progress,
    /// By position in the runbook.
    steps: Vec<StepRun>,
    pub(super) outputs: Outputs,
}

/// What is known of a step so far.
#[derive(Debug)]
struct StepRun {
    id: String,
    started: Option<Timestamp>,
    progress: Progress,
    inputs: BTreeMap<String, String>,
    outputs: Outputs,
}

/// Status, end and failure change together.
#[derive(Debug)]
struct Progress {
    status: Status,
    ended: Option<Timestamp>,
    failure: Option<String>,
}

impl Progress {
    fn new(status: Status) -> Progress {
        Progress { status, ended: None, failure: None }
    }

    fn end(&mut self, failure: Option<&Failure>) {
        self.status = failure.map_or(Status::Success, |failure| failure.status);
        self.ended = Some(Timestamp::now());
        self.failure = failure.map(|failure| failure.message.clone());
    }

    fn add_to(&self, answer: &mut Value) {
        if let Some(ended) = self.ended {
            answer["ExecutionEndTime"] = epoch_seconds(ended);
        }
        if let Some(failure) = &self.failure {
            answer["FailureMessage"] = failure.as_str().into();
        }
    }
}

impl Execution {
    /// An execution of this runbook that begins now.
    pub(super) fn new(id: &str, runbook: Runbook, given: Given) -> Execution {
        let step = || StepRun {
            id: Uuid::new_v4().to_string(),
            started: None,
            progress: Progress::new(Status::Pending),
            inputs: BTreeMap::new(),
            outputs: Outputs::new(),
        };
        Execution {
            id: id.to_owned(),
            given,
            started: Timestamp::now(),
            progress: Progress::new(Status::InProgress),
            steps: runbook.steps.iter().map(|_| step()).collect(),
            outputs: Outputs::new(),
            runbook: Arc::new(runbook),
        }
    }

    /// Whether this asks for the same as that other one.
    pub(super) fn is_same_request(&self, other: &Execution) -> bool {
        self.runbook.name == other.runbook.name && self.given == other.given
    }

    /// A step begins, with these inputs.
    pub(super) fn begin_step(&mut self, position: usize, inputs: &BTreeMap<String, Value>) {
        let step = &mut self.steps[position];
        step.started = Some(Timestamp::now());
        step.progress = Progress::new(Status::InProgress);
        // The API has inputs as JSON, texts in quotes.
        step.inputs =
            inputs.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    }

    /// A step ends with these outputs, or with a failure.
    pub(super) fn end_step(&mut self, position: usize, result: Result<Outputs, &Failure>) {
        let step = &mut self.steps[position];
        step.progress.end(result.as_ref().err().copied());
        step.outputs = result.unwrap_or_default();
    }

    /// The execution ends.
    pub(super) fn end(&mut self, failure: Option<&Failure>) {
        self.progress.end(failure);
    }

    /// The execution as `GetAutomationExecution` gives it. Parameters and inputs are told, as AWS
    /// does: whoever may read an execution may read its task token.
    pub(super) fn answer(&self) -> Value {
        let steps = self.runbook.steps.iter().zip(&self.steps);
        let mut answer = json!({
            "AutomationExecutionId": self.id,
            "DocumentName": self.runbook.name,
            "DocumentVersion": "1",
            "ExecutionStartTime": epoch_seconds(self.started),
            "AutomationExecutionStatus": self.progress.status.name(),
            "StepExecutions":
                steps.map(|(step, run)| step_answer(&step.properties, run)).collect::<Vec<_>>(),
            "StepExecutionsTruncated": false,
            "Parameters": self.given,
            "Outputs": self.outputs,
            "Mode": "Auto",
            "Targets": [],
            "ResolvedTargets": { "ParameterValues": [], "Truncated": false },
        });
        self.progress.add_to(&mut answer);
        answer
    }
}

fn step_answer(properties: &Properties, run: &StepRun) -> Value {
    let mut answer = json!({
        "StepName": properties.name,
        "Action": properties.action,
        "StepExecutionId": run.id,
        "StepStatus": run.progress.status.name(),
        "Inputs": run.inputs,
        "Outputs": run.outputs,
        "OnFailure": match &properties.on_failure {
            OnFailure::Abort => "Abort".to_owned(),
            OnFailure::Continue => "Continue".to_owned(),
            OnFailure::Step(name) => format!("step:{name}"),
        },
        "MaxAttempts": properties.max_attempts,
        "IsEnd": properties.is_end,
        "IsCritical": properties.is_critical,
    });
    if let Some(next) = &properties.next_step {
        answer["NextStep"] = next.as_str().into();
    }
    if let Some(timeout) = properties.timeout_seconds {
        answer["TimeoutSeconds"] = timeout.as_secs().into();
    }
    if let Some(started) = run.started {
        answer["ExecutionStartTime"] = epoch_seconds(started);
    }
    run.progress.add_to(&mut answer);
    answer
}

/// A value as the API has outputs: a list's items, or the one value, as texts.
pub(super) fn output_texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(|item| as_text(item).into_owned()).collect(),
        other => vec![as_text(other).into_owned()],
    }
}
