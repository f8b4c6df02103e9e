//! Executions: which of their tasks wait for which commands, as their histories tell.

use std::collections::{HashMap, HashSet};

use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};
use callback::CommandId;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::call::{answer, found};
use crate::problem::Problem;
use crate::shown::{after_colon, printable};
use crate::stack::Stack;
use crate::subject::ExecutionArn;
use crate::times::iso;

/// Maximum page size of `GetExecutionHistory` (Step Functions API, `maxResults`).
const PAGE_EVENTS_MAX: i32 = 1_000;
/// Maximum number of pages of a history, which has up to 25,000 events. Pages can be shorter.
const HISTORY_PAGES_MAX: usize = 50;
/// Maximum number of state machines among which the execution of a command is looked for.
pub const MACHINES_MAX: usize = 50;
/// Maximum number of state machines that are asked at the same time.
const MACHINES_AT_ONCE: usize = 5;
/// Maximum page size of `ListStateMachines` (Step Functions API, `maxResults`).
const PAGE_MACHINES_MAX: i32 = 1_000;
/// Maximum number of pages of state machines.
const MACHINE_PAGES_MAX: usize = 10;
/// Maximum number of steps of an event back to the state that it belongs to.
const CHAIN_MAX: usize = 10;

/// An execution.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Its ARN.
    pub arn: ExecutionArn,
    /// Such as `RUNNING`.
    pub status: String,
    /// Its state machine.
    pub state_machine_arn: String,
    /// Its tasks that have started a command or an automation with their token, oldest first.
    pub tasks: Vec<Task>,
    /// Whether its history has more events than are read.
    pub is_cut: bool,
}

/// A task that has started something with its token.
#[derive(Debug, Clone)]
pub struct Task {
    /// The name of its state.
    pub state: String,
    /// What it has started.
    pub started: Started,
    /// When it was scheduled.
    pub scheduled_at: Option<Timestamp>,
    /// `TimeoutSeconds` of the state.
    pub timeout_s: Option<i64>,
    /// `HeartbeatSeconds` of the state.
    pub heartbeat_s: Option<i64>,
    /// Whether it waits: its execution runs, and no event says that the task has ended.
    pub waits: bool,
}

/// What a task has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// A command.
    Command(CommandId),
    /// An automation, which starts a command.
    Automation(String),
    /// Something else, or the history does not tell.
    Other,
}

impl Execution {
    /// Reads an execution and its history.
    pub async fn read(aws: &Aws, arn: &ExecutionArn) -> Result<Self, Problem> {
        Self::find(aws, arn).await?.ok_or_else(|| {
            Problem::new(format!(
                "expected an execution of this account and region, got `{}`, which does not exist. \
                 Executions are kept for 90 days",
                arn.name()
            ))
        })
    }

    /// Reads an execution and its history, if it exists.
    async fn find(aws: &Aws, arn: &ExecutionArn) -> Result<Option<Self>, Problem> {
        let described =
            aws.step_functions.describe_execution().execution_arn(arn.as_str()).send().await;
        let described = found("states:DescribeExecution", &["ExecutionDoesNotExist"], described)?;
        let Some(described) = described else { return Ok(None) };
        let (events, is_cut) = history(aws, arn).await?;
        let is_running = described.status == ExecutionStatus::Running;
        Ok(Some(Self {
            arn: arn.clone(),
            status: described.status.as_str().to_owned(),
            state_machine_arn: described.state_machine_arn,
            tasks: tasks(&events, is_running),
            is_cut,
        }))
    }

    /// The task that has started this command.
    pub fn task_of(&self, id: &CommandId) -> Option<&Task> {
        self.tasks.iter().find(|task| task.started == Started::Command(id.clone()))
    }

    /// The name of its state machine.
    pub fn state_machine(&self) -> &str {
        after_colon(&self.state_machine_arn)
    }

    /// The execution for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "ExecutionArn": self.arn.as_str(),
            "Status": self.status,
            "StateMachineArn": self.state_machine_arn,
        })
    }
}

impl Task {
    /// The task for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "State": self.state,
            "Waits": self.waits,
            "ScheduledDateTime": self.scheduled_at.map(iso),
            "TimeoutSeconds": self.timeout_s,
            "HeartbeatSeconds": self.heartbeat_s,
        })
    }
}

/// The state machines among which executions are looked for by their name.
#[derive(Debug)]
pub struct Machines {
    arns: Vec<String>,
    /// Whether the stack may answer the tasks of more.
    pub is_cut: bool,
}

impl Machines {
    /// The state machines whose tasks the stack may answer.
    pub async fn read(aws: &Aws, stack: &Stack) -> Result<Self, Problem> {
        let (patterns, mut arns): (Vec<_>, Vec<_>) =
            stack.state_machines.iter().cloned().partition(|arn| arn.contains('*'));
        let mut next_token = None;
        let pages = if patterns.is_empty() { 0 } else { MACHINE_PAGES_MAX };
        for _ in 0..pages {
            let request = aws.step_functions.list_state_machines().max_results(PAGE_MACHINES_MAX);
            let page = request.set_next_token(next_token).send().await;
            let page = answer("states:ListStateMachines", page)?;
            let found = page.state_machines.into_iter().map(|machine| machine.state_machine_arn);
            arns.extend(found.filter(|arn| stack.answers(arn)));
            next_token = page.next_token.filter(|token| !token.is_empty());
            if next_token.is_none() {
                break;
            }
        }
        let mut known = HashSet::new();
        arns.retain(|arn| known.insert(arn.clone()));
        let is_cut = next_token.is_some() || arns.len() > MACHINES_MAX;
        arns.truncate(MACHINES_MAX);
        Ok(Self { arns, is_cut })
    }

    /// How many there are, up to [`MACHINES_MAX`].
    pub fn count(&self) -> usize {
        self.arns.len()
    }

    /// The execution that has started this command, if the command's comment is its name. An error only
    /// if it is not found, and a state machine could not be asked.
    pub async fn execution_of(
        &self,
        aws: &Aws,
        command: &callback::Command,
    ) -> Result<Option<Execution>, Problem> {
        let arns = self.arns.iter();
        let arns = arns.map_while(|machine| ExecutionArn::of_machine(machine, &command.comment));
        let mut found = stream::iter(arns)
            .map(async |arn| Execution::find(aws, &arn).await)
            .buffered(MACHINES_AT_ONCE);
        let mut problem = None;
        while let Some(found) = found.next().await {
            match found {
                // An execution of the same name need not be the one.
                Ok(Some(execution)) if execution.task_of(&command.id).is_some() => {
                    return Ok(Some(execution));
                }
                Ok(_) => {}
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        problem.map_or(Ok(None), Err)
    }
}

/// The command that an automation has started, if it has.
pub async fn command_of_automation(aws: &Aws, id: &str) -> Result<Option<CommandId>, Problem> {
    let read = aws.ssm.get_automation_execution().automation_execution_id(id).send().await;
    let read = answer("ssm:GetAutomationExecution", read)?;
    let steps = read.automation_execution.and_then(|execution| execution.step_executions);
    let outputs = steps.into_iter().flatten().filter_map(|step| step.outputs);
    let mut ids = outputs.filter_map(|outputs| outputs.get("CommandId")?.first().cloned());
    Ok(ids.find_map(|id| CommandId::parse(&id).ok()))
}

/// The events of an execution, newest first, and whether there are more.
async fn history(aws: &Aws, arn: &ExecutionArn) -> Result<(Vec<HistoryEvent>, bool), Problem> {
    let mut events = Vec::new();
    let mut next_token = None;
    for _ in 0..HISTORY_PAGES_MAX {
        let request = aws.step_functions.get_execution_history().execution_arn(arn.as_str());
        let request = request.reverse_order(true).max_results(PAGE_EVENTS_MAX);
        let page = request.set_next_token(next_token).send().await;
        let page = answer("states:GetExecutionHistory", page)?;
        events.extend(page.events);
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            return Ok((events, false));
        }
    }
    Ok((events, true))
}

/// The tasks that have started something with their token. Events also hold tokens, so nothing else is
/// taken from them.
fn tasks(events: &[HistoryEvent], is_running: bool) -> Vec<Task> {
    let by_id: HashMap<_, _> = events.iter().map(|event| (event.id, event)).collect();
    // What follows the submission of a task is its end.
    let ended: HashSet<_> = events.iter().map(|event| event.previous_event_id).collect();
    let mut tasks: Vec<_> = events
        .iter()
        .filter(|event| event.r#type == HistoryEventType::TaskSubmitted)
        .filter_map(|event| {
            let submitted = event.task_submitted_event_details.as_ref()?;
            if !submitted.resource.ends_with("waitForTaskToken") {
                return None;
            }
            let mut task = Task {
                state: String::new(),
                started: started(submitted.output.as_deref().unwrap_or_default()),
                scheduled_at: None,
                timeout_s: None,
                heartbeat_s: None,
                waits: is_running && !ended.contains(&event.id),
            };
            let mut at = event.previous_event_id;
            for _ in 0..CHAIN_MAX {
                let Some(before) = by_id.get(&at) else { break };
                if let Some(scheduled) = &before.task_scheduled_event_details {
                    task.scheduled_at = Timestamp::from_second(before.timestamp.secs()).ok();
                    task.timeout_s = scheduled.timeout_in_seconds.filter(|seconds| *seconds > 0);
                    task.heartbeat_s =
                        scheduled.heartbeat_in_seconds.filter(|seconds| *seconds > 0);
                }
                if let Some(entered) = &before.state_entered_event_details {
                    task.state = printable(&entered.name);
                    break;
                }
                at = before.previous_event_id;
            }
            Some((event.id, task))
        })
        .collect();
    tasks.sort_by_key(|(id, _)| *id);
    tasks.into_iter().map(|(_, task)| task).collect()
}

/// What the response of `SendCommand` or `StartAutomationExecution` names.
fn started(output: &str) -> Started {
    let output: Value = serde_json::from_str(output).unwrap_or_default();
    let command = output["Command"]["CommandId"].as_str();
    if let Some(id) = command.and_then(|id| CommandId::parse(id).ok()) {
        return Started::Command(id);
    }
    // An automation's ID is a UUID, too.
    let automation = output["AutomationExecutionId"].as_str();
    match automation.and_then(|id| CommandId::parse(id).ok()) {
        Some(id) => Started::Automation(id.as_str().to_owned()),
        None => Started::Other,
    }
}
