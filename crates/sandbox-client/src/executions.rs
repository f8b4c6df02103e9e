//! Executions of state machines.

use std::time::Duration;

use aws_sdk_sfn::types::{ExecutionStatus, HistoryEventType};
use serde_json::{Value, json};

use crate::place::{ACCOUNT, REGION, unique_number};
use crate::sandbox::Sandbox;
use crate::waiting::eventually;

/// Between two looks at all executions of a state machine.
const ALL_EXECUTIONS_PAUSE: Duration = Duration::from_millis(500);
/// Pages of an execution's history.
const HISTORY_PAGES_MAX: usize = 20;

/// How an execution ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Such as `SUCCEEDED`.
    pub status: ExecutionStatus,
    /// The output as JSON, if there is one.
    pub output: Option<Value>,
    /// The error, if there is one.
    pub error: Option<String>,
    /// The cause as it came, if there is one.
    pub cause: Option<String>,
}

impl Ended {
    /// The output of an execution that must have succeeded.
    pub fn success(&self) -> &Value {
        assert_eq!(self.status, ExecutionStatus::Succeeded, "{self:?}");
        self.output.as_ref().expect("a success has an output")
    }

    /// The cause, as JSON, of an execution that must have failed with this error.
    pub fn failure(&self, error: &str) -> Value {
        assert_eq!(self.status, ExecutionStatus::Failed, "{self:?}");
        assert_eq!(self.error.as_deref(), Some(error), "{self:?}");
        let cause = self.cause.as_deref().expect("a failure has a cause");
        serde_json::from_str(cause).expect("a cause is JSON")
    }
}

impl Sandbox {
    /// The ARN of a state machine of `infra/state-machines`.
    pub fn state_machine(name: &str) -> String {
        format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}")
    }

    /// Creates a state machine under a name that is used once, and returns its ARN.
    pub async fn create_state_machine(&self, definition: &Value) -> String {
        let created = self
            .step_functions
            .create_state_machine()
            .name(format!("end-to-end-{}", unique_number()))
            .definition(definition.to_string())
            .role_arn(format!("arn:aws:iam::{ACCOUNT}:role/state-machines"))
            .send()
            .await
            .expect("a state machine");
        created.state_machine_arn
    }

    /// Starts an execution and returns its ARN.
    pub async fn start_execution(&self, state_machine: &str, input: &Value) -> String {
        let request = self.step_functions.start_execution().state_machine_arn(state_machine);
        let started = request.input(input.to_string()).send().await.expect("an execution");
        started.execution_arn
    }

    /// Stops an execution.
    pub async fn stop_execution(&self, execution: &str) {
        let request = self.step_functions.stop_execution().execution_arn(execution);
        request.send().await.expect("the end of the execution");
    }

    /// Waits until an execution has ended.
    pub async fn execution_ended(&self, execution: &str) -> Ended {
        let what = format!("the end of {execution}");
        let described = eventually(&what, async || {
            let request = self.step_functions.describe_execution().execution_arn(execution);
            let described = request.send().await.expect("the execution is there");
            (described.status != ExecutionStatus::Running).then_some(described)
        })
        .await;
        let output = described.output.as_deref().map(serde_json::from_str);
        Ended {
            status: described.status,
            output: output.transpose().expect("an output is JSON"),
            error: described.error,
            cause: described.cause,
        }
    }

    /// Waits until no execution of a state machine runs any more. One question for all of them, as
    /// many would keep the emulator from its work.
    pub async fn all_executions_ended(&self, state_machine: &str) {
        eventually(&format!("the end of all executions of {state_machine}"), async || {
            tokio::time::sleep(ALL_EXECUTIONS_PAUSE).await;
            let request = self.step_functions.list_executions().state_machine_arn(state_machine);
            let running = request.status_filter(ExecutionStatus::Running).max_results(1);
            let running = running.send().await.expect("a list of executions");
            running.executions.is_empty().then_some(())
        })
        .await;
    }

    /// Starts an execution and waits for its end.
    pub async fn run(&self, state_machine: &str, input: &Value) -> Ended {
        let execution = self.start_execution(state_machine, input).await;
        self.execution_ended(&execution).await
    }

    /// Runs a state machine of one task once.
    pub async fn run_task(&self, task: &Value) -> Ended {
        let state_machine = self.create_state_machine(&state_machine_of(task)).await;
        self.run(&state_machine, &json!({})).await
    }

    /// Starts a state machine of one task, and returns the ARN of the execution.
    pub async fn start_task(&self, task: &Value) -> String {
        let state_machine = self.create_state_machine(&state_machine_of(task)).await;
        self.start_execution(&state_machine, &json!({})).await
    }

    /// The ids of the commands that an execution has started so far; at least one.
    pub async fn commands_of(&self, execution: &str) -> Vec<String> {
        eventually(&format!("a command of {execution}"), async || {
            let submitted = self.submitted(execution).await;
            (!submitted.is_empty()).then_some(submitted)
        })
        .await
    }

    /// How often a task of this execution was answered.
    pub async fn answers_of(&self, execution: &str) -> usize {
        let history = self.history(execution).await;
        let is_answer = |event: &&aws_sdk_sfn::types::HistoryEvent| {
            matches!(event.r#type, HistoryEventType::TaskSucceeded | HistoryEventType::TaskFailed)
        };
        history.iter().filter(is_answer).count()
    }

    async fn submitted(&self, execution: &str) -> Vec<String> {
        let history = self.history(execution).await;
        let details =
            history.iter().filter_map(|event| event.task_submitted_event_details.as_ref());
        let outputs = details.filter_map(|details| details.output.as_deref());
        outputs
            .map(|output| {
                let output: Value = serde_json::from_str(output).expect("an output is JSON");
                let id = output["Command"]["CommandId"].as_str();
                id.expect("SendCommand gives a command id").to_owned()
            })
            .collect()
    }

    async fn history(&self, execution: &str) -> Vec<aws_sdk_sfn::types::HistoryEvent> {
        let mut events = Vec::new();
        let mut next_token = None;
        for _ in 0..HISTORY_PAGES_MAX {
            let request = self.step_functions.get_execution_history().execution_arn(execution);
            let page = request.set_next_token(next_token).send().await.expect("a history");
            events.extend(page.events);
            next_token = page.next_token;
            if next_token.is_none() {
                return events;
            }
        }
        panic!("the history of {execution} has more than {HISTORY_PAGES_MAX} pages");
    }
}

/// A state machine of this task alone.
fn state_machine_of(task: &Value) -> Value {
    json!({ "StartAt": "RunScript", "States": { "RunScript": task } })
}
