//! What happened in an execution.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sandbox_run_command::documents::{Given, as_text};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::runbook::Runbook;

/// How far an execution, or one step of it, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    InProgress,
    Success,
    Failed,
    TimedOut,
    Cancelling,
    Cancelled,
}

impl Status {
    /// The value of `AutomationExecutionStatus` and `StepStatus`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::TimedOut => "TimedOut",
            Self::Cancelling => "Cancelling",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// Why a step or an execution did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { status: Status::Failed, message: message.into() }
    }

    pub(crate) fn cancelled() -> Self {
        let message = "the execution was cancelled".to_owned();
        Self { status: Status::Cancelled, message }
    }
}

/// Outputs as the API has them: every value is a list of texts.
pub(crate) type Outputs = BTreeMap<String, Vec<String>>;

/// One run of a runbook.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) runbook: Arc<Runbook>,
    pub(crate) given: Given,
    pub(crate) started: Timestamp,
    pub(crate) progress: Progress,
    /// By position in the runbook.
    pub(crate) steps: Vec<StepRun>,
    pub(crate) outputs: Outputs,
    /// Tells the run that the execution is to be cancelled.
    pub(crate) cancel: Arc<Notify>,
}

/// What is known of a step so far.
#[derive(Debug)]
pub(crate) struct StepRun {
    pub(crate) id: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) progress: Progress,
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) outputs: Outputs,
}

/// Status, end and failure change together.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) status: Status,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) failure: Option<String>,
}

impl Progress {
    fn new(status: Status) -> Self {
        Self { status, ended: None, failure: None }
    }

    fn end(&mut self, failure: Option<&Failure>) {
        self.status = failure.map_or(Status::Success, |failure| failure.status);
        self.ended = Some(Timestamp::now());
        self.failure = failure.map(|failure| failure.message.clone());
    }
}

impl Execution {
    /// An execution of this runbook that begins now.
    pub(crate) fn new(id: &str, runbook: Runbook, given: Given) -> Self {
        let step = || StepRun {
            id: Uuid::new_v4().to_string(),
            started: None,
            progress: Progress::new(Status::Pending),
            inputs: BTreeMap::new(),
            outputs: Outputs::new(),
        };
        Self {
            id: id.to_owned(),
            given,
            started: Timestamp::now(),
            progress: Progress::new(Status::InProgress),
            steps: runbook.steps.iter().map(|_| step()).collect(),
            outputs: Outputs::new(),
            runbook: Arc::new(runbook),
            cancel: Arc::default(),
        }
    }

    /// Whether this asks for the same as that other one.
    pub(crate) fn is_same_request(&self, other: &Self) -> bool {
        self.runbook.name == other.runbook.name && self.given == other.given
    }

    /// Asks the run to cancel the execution. Returns whether it still runs.
    pub(crate) fn cancel(&mut self) -> bool {
        let runs = self.progress.ended.is_none();
        if runs {
            self.progress.status = Status::Cancelling;
            self.cancel.notify_one();
        }
        runs
    }

    /// A step begins, with these inputs.
    pub(crate) fn begin_step(&mut self, position: usize, inputs: &BTreeMap<String, Value>) {
        let step = &mut self.steps[position];
        step.started = Some(Timestamp::now());
        step.progress = Progress::new(Status::InProgress);
        // The API has inputs as JSON, texts in quotes.
        step.inputs =
            inputs.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    }

    /// A step ends with these outputs, or with a failure.
    pub(crate) fn end_step(&mut self, position: usize, result: Result<Outputs, &Failure>) {
        let step = &mut self.steps[position];
        step.progress.end(result.as_ref().err().copied());
        step.outputs = result.unwrap_or_default();
    }

    /// The execution ends.
    pub(crate) fn end(&mut self, failure: Option<&Failure>) {
        self.progress.end(failure);
    }
}

/// A value as the API has outputs: a list's items, or the one value, as texts.
pub(crate) fn output_texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(|item| as_text(item).into_owned()).collect(),
        other => vec![as_text(other).into_owned()],
    }
}
