//! How a step ended, and whether it is run at all.

use serde_json::Value;

use super::output::Output;
use super::prepare::Prepared;
use crate::documents::{Action, Precondition, Step};
use crate::nodes::Platform;
use crate::status::StatusDetails;

/// A script that exits so succeeds, and is the last.
const EXIT_WITH_SUCCESS: i32 = 168;
/// A script that exits so fails, and is the last.
const EXIT_WITH_FAILURE: i32 = 169;

/// How a step, or a document inside a step, ended. When a document inside ends in several ways, the
/// last of them here counts for the step that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StepStatus {
    Skipped,
    Success,
    /// It is to run again after a reboot.
    Reboot,
    Failed,
    Cancelled,
    TimedOut,
}

/// What happens to a step.
pub(crate) enum Change<'a> {
    Begun,
    Ended(&'a StepResult),
}

/// What the agent knows of a step that has ended.
#[derive(Debug)]
pub(crate) struct StepResult {
    pub(crate) status: StepStatus,
    pub(crate) code: i32,
    pub(crate) output: Output,
    /// Both outputs as they were before the agent added anything to them, or `None` for `output`.
    before_additions: Option<Output>,
    /// Why there was nothing to run. It stands in `Output`, and nowhere else.
    pub(crate) reason: Option<String>,
}

/// What is done with a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Run,
    Skip(String),
    Fail(String),
}

impl StepStatus {
    /// What the service lists for it. A skipped step is taken for a success.
    pub(crate) fn details(self) -> StatusDetails {
        match self {
            Self::Skipped | Self::Success => StatusDetails::Success,
            Self::Reboot => StatusDetails::InProgress,
            Self::Failed => StatusDetails::Failed,
            Self::Cancelled => StatusDetails::Cancelled,
            Self::TimedOut => StatusDetails::ExecutionTimedOut,
        }
    }
}

impl StepResult {
    pub(crate) fn new(status: StepStatus, code: i32, output: Output) -> Self {
        Self { status, code, output, before_additions: None, reason: None }
    }

    /// It failed for a reason that stands at the end of its standard error.
    pub(crate) fn failed(reason: &str) -> Self {
        Self::new(StepStatus::Failed, 1, Output::default()).with_failure(reason)
    }

    /// It was cancelled before it began.
    pub(crate) fn cancelled() -> Self {
        Self::new(StepStatus::Cancelled, 1, Output::default())
    }

    pub(crate) fn skipped(reason: String) -> Self {
        let nothing = Self::new(StepStatus::Skipped, 0, Output::default());
        Self { reason: Some(reason), ..nothing }
    }

    pub(crate) fn refused(reason: String) -> Self {
        let nothing = Self::new(StepStatus::Failed, 1, Output::default());
        Self { reason: Some(reason), ..nothing }
    }

    /// Fails for this reason, which follows on standard error without a newline before it.
    pub(crate) fn with_failure(mut self, reason: &str) -> Self {
        self.status = StepStatus::Failed;
        self.code = if self.code == 0 { 1 } else { self.code };
        self.output.stderr.extend_from_slice(reason.as_bytes());
        self
    }

    /// What an exit code, and `onFailure` of the step, make of how it ended.
    pub(crate) fn with_exit_condition(mut self, step: &Step) -> Self {
        let on_failure = modifier(step, "onFailure");
        let exits = ["exit", "successAndExit"].contains(&on_failure.as_str());
        if self.code == EXIT_WITH_SUCCESS {
            self.status = StepStatus::Success;
            self.output.stderr.clear();
            self.before_additions = Some(self.output.clone());
            let sentence = "Step exited with code 168. Therefore, marking step as succeeded.";
            add(&mut self.output.stdout, sentence);
        } else if self.code == EXIT_WITH_FAILURE {
            self.before_additions = Some(self.output.clone());
            self.add_to_both("Step exited with code 169. Therefore, marking step as Failed.");
        } else if self.status == StepStatus::Failed && exits {
            self.before_additions = Some(self.output.clone());
            self.add_to_both("Step was found to have onFailure property.");
            if on_failure == "successAndExit" {
                (self.status, self.code) = (StepStatus::Success, EXIT_WITH_SUCCESS);
            }
        }
        self
    }

    fn add_to_both(&mut self, sentence: &str) {
        add(&mut self.output.stdout, sentence);
        add(&mut self.output.stderr, sentence);
    }

    /// The text of `Output`.
    pub(crate) fn listed(&self) -> String {
        match &self.reason {
            Some(reason) => reason.clone(),
            None => self.before_additions.as_ref().unwrap_or(&self.output).listed(),
        }
    }
}

/// Adds to an output why the step is the last one.
fn add(output: &mut Vec<u8>, sentence: &str) {
    let text = format!("\n{sentence} Further document steps will be skipped.");
    output.extend_from_slice(text.as_bytes());
}

/// A word that changes what happens around a step, or an empty text.
fn modifier(step: &Step, name: &str) -> String {
    match &step.inputs[name] {
        Value::String(word) => word.clone(),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}

impl Prepared {
    /// What is done with the step after the ones that have ended.
    pub(crate) fn operation(&self, ended: &[StepResult], platform: Platform) -> Operation {
        let step = &self.steps[ended.len()];
        let (action, name) = (step.action.name(), &step.name);
        if self.has_exited(ended) {
            return Operation::Skip(format!(
                "Plugin with name {action} and id {name} skipped due to prior step with an exit \
                 condition"
            ));
        }
        let is_known = !matches!(step.action, Action::Other(_));
        let is_supported = step.action.is_supported_on(platform);
        let unknown = || {
            Operation::Fail(format!(
                "Plugin with name {action} is not supported by this version of ssm agent, please \
                 update to latest version. Step name: {name}"
            ))
        };
        match &step.precondition {
            None if !is_known => unknown(),
            _ if !self.is_cross_platform && !is_supported => Operation::Fail(format!(
                "Plugin with name {action} is not supported in current platform. Step name: {name}"
            )),
            Some(_) if !self.is_cross_platform => Operation::Fail(format!(
                "Precondition is not supported for document schema version prior to 2.2. Step \
                 name: {name}"
            )),
            Some(condition) if !is_known && condition.holds_on(platform) => unknown(),
            _ if !is_supported => Operation::Skip(format!(
                "Step execution skipped due to unsupported plugin: {action}. Step name: {name}"
            )),
            Some(condition) if !condition.holds_on(platform) => {
                let Precondition { operands: [left, right] } = condition;
                Operation::Skip(format!(
                    "Step execution skipped due to unsatisfied preconditions: '\"StringEquals\": \
                     [{left}, {right}]'. Step name: {name}"
                ))
            }
            _ => Operation::Run,
        }
    }

    /// Whether a step has ended so that the next one is skipped, unless it is the last one and says
    /// that it always runs.
    fn has_exited(&self, ended: &[StepResult]) -> bool {
        let is_last = ended.len() + 1 == self.steps.len();
        if is_last && modifier(&self.steps[ended.len()], "finallyStep") == "true" {
            return false;
        }
        ended.iter().zip(&self.steps).any(|(result, step)| {
            let exits = |name: &str| modifier(step, name) == "exit";
            [EXIT_WITH_SUCCESS, EXIT_WITH_FAILURE].contains(&result.code)
                || (result.status == StepStatus::Failed && exits("onFailure"))
                || (result.status == StepStatus::Success && exits("onSuccess"))
        })
    }
}
