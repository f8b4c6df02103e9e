//! `relayctl explain`: why a task waits.

mod explanation;

use callback::{Command, CommandId};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use serde_json::json;

use crate::aws::Aws;
use crate::command::{self, LimitedCommand};
use crate::execution::{Execution, MACHINES_MAX, Machines, Started, Task, command_of_automation};
use crate::explain::explanation::{Explanation, Reads};
use crate::printout::{Mark, Page, Printout, State};
use crate::problem::Problem;
use crate::stack::Stack;
use crate::subject::Subject;

/// Maximum number of tasks of one execution that are explained.
const TASKS_MAX: usize = 10;
/// Maximum number of tasks about which is read at the same time.
const TASKS_AT_ONCE: usize = 3;

/// Explains a command or an execution.
pub async fn explain(
    aws: &Aws,
    stack: &Stack,
    subject: &Subject,
    now: Timestamp,
) -> Result<Printout, Problem> {
    match subject {
        Subject::Command(id) => Box::pin(explain_command(aws, stack, id, now)).await,
        Subject::Execution(arn) => {
            let execution = Execution::read(aws, arn).await?;
            explain_execution(aws, stack, &execution, now).await
        }
    }
}

async fn explain_command(
    aws: &Aws,
    stack: &Stack,
    id: &CommandId,
    now: Timestamp,
) -> Result<Printout, Problem> {
    let limited = find(aws, stack, id).await?;
    let (found, reads) = tokio::join!(
        execution_of(aws, stack, &limited.command),
        Box::pin(Reads::of(aws, &limited, now))
    );
    let mut explanation = Explanation::new(stack, &limited, now);
    match found {
        Ok(Found::Execution(execution)) => explanation.place(execution.task_of(id), &execution),
        Ok(Found::Not) => explanation.say(
            Mark::Plain,
            "Its execution is not known: the command's Comment is not the name of an execution whose \
             tasks this stack may answer. `relayctl explain EXECUTION_ARN` also tells the limits of \
             the task.",
        ),
        Ok(Found::NotAmongFirst) => explanation.say(
            Mark::Plain,
            format!(
                "Its execution is not known: it was looked for among {MACHINES_MAX} state machines only. \
                 `relayctl explain EXECUTION_ARN` also tells the limits of the task."
            ),
        ),
        Err(problem) => explanation.unknown(format!("Its execution was not looked for: {problem}.")),
    }
    explanation.describe_reads(reads);
    let json = json!({
        "Stack": stack.name,
        "Execution": explanation.execution.as_ref().map(Execution::to_json),
        "Commands": [explanation.to_json()],
        "Unknown": [],
    });
    let Explanation { page, state, .. } = explanation;
    Ok(Printout { page, json, state })
}

async fn explain_execution(
    aws: &Aws,
    stack: &Stack,
    execution: &Execution,
    now: Timestamp,
) -> Result<Printout, Problem> {
    let mut page = Page::default();
    let mut state = State::Fine;
    let mut commands = Vec::new();
    let mut pages = Vec::new();
    page.heading(format!(
        "Execution {} of state machine {}: {}",
        execution.arn.name(),
        execution.state_machine(),
        execution.status
    ));
    let waiting: Vec<_> = execution.tasks.iter().filter(|task| task.waits).collect();
    page.item(Mark::Plain, what_waits(execution, waiting.len()));
    if execution.is_cut {
        state = state.max(State::Unknown);
        page.item(
            Mark::Attention,
            "Its history is longer than what was read: the oldest events are missing.",
        );
    }
    if waiting.len() > TASKS_MAX {
        state = state.max(State::Unknown);
        page.item(Mark::Attention, format!("The first {TASKS_MAX} of them are explained."));
    }
    let reads = waiting.into_iter().take(TASKS_MAX).map(async |task| {
        let read = read_task(aws, stack, task, now).await;
        (task, read)
    });
    let mut reads = stream::iter(reads).buffered(TASKS_AT_ONCE);
    let mut unknown = Vec::new();
    while let Some((task, read)) = reads.next().await {
        let (how, command) = match read {
            Ok(read) => read,
            // What is known of the others helps, too.
            Err(problem) => {
                let sentence = format!("State {} is not explained: {problem}.", task.state);
                page.item(Mark::Attention, sentence.clone());
                unknown.push(sentence);
                continue;
            }
        };
        if let Some(how) = how {
            page.item(Mark::Plain, how);
        }
        let Some((limited, reads)) = command else { continue };
        let mut explanation = Explanation::new(stack, &limited, now);
        explanation.place(Some(task), execution);
        explanation.describe_reads(reads);
        commands.push(explanation.to_json());
        state = state.max(explanation.state);
        pages.push(explanation.page);
    }
    if !unknown.is_empty() {
        state = state.max(State::Unknown);
    }
    for one in pages {
        page.append(one);
    }
    let json = json!({
        "Stack": stack.name,
        "Execution": execution.to_json(),
        "Commands": commands,
        "Unknown": unknown,
    });
    Ok(Printout { page, json, state })
}

/// How a task has started its command, if it has not done so itself, and the command with what is to be
/// read about it.
async fn read_task(
    aws: &Aws,
    stack: &Stack,
    task: &Task,
    now: Timestamp,
) -> Result<(Option<String>, Option<(LimitedCommand, Reads)>), Problem> {
    let (id, how) = command_of(aws, task).await?;
    let Some(id) = id else { return Ok((how, None)) };
    let limited = find(aws, stack, &id).await?;
    let reads = Box::pin(Reads::of(aws, &limited, now)).await;
    Ok((how, Some((limited, reads))))
}

/// The command that a task waits for, and what to say if it has not started that itself.
async fn command_of(
    aws: &Aws,
    task: &Task,
) -> Result<(Option<CommandId>, Option<String>), Problem> {
    let state = &task.state;
    Ok(match &task.started {
        Started::Command(id) => (Some(id.clone()), None),
        Started::Automation(automation) => {
            let id = command_of_automation(aws, automation).await?;
            let what = match &id {
                Some(id) => format!("which has started command {id}."),
                None => "which has started no command yet. If it cannot, the task fails with \
                         RunCommand.StartFailed."
                    .to_owned(),
            };
            (id, Some(format!("State {state} has started automation {automation}, {what}")))
        }
        Started::Other => {
            (None, Some(format!("State {state} waits for something that is not a command.")))
        }
    })
}

fn what_waits(execution: &Execution, count: usize) -> String {
    match count {
        0 if execution.status != "RUNNING" => {
            "It has ended, so none of its tasks waits.".to_owned()
        }
        0 => "None of its tasks waits for a command: it is doing something else.".to_owned(),
        1 => "One of its tasks waits.".to_owned(),
        count => format!("{count} of its tasks wait."),
    }
}

async fn find(aws: &Aws, stack: &Stack, id: &CommandId) -> Result<LimitedCommand, Problem> {
    command::read(aws, stack, id).await?.ok_or_else(|| {
        Problem::new(format!(
            "expected a command of account {} in {}, got {id}, which Run Command does not know there. \
             Check --region and the account of the credentials; commands are kept for 30 days",
            stack.account(),
            aws.region()
        ))
    })
}

/// The execution whose task waits for a command.
enum Found {
    Execution(Execution),
    Not,
    /// It may be one of a state machine that was not asked.
    NotAmongFirst,
}

async fn execution_of(aws: &Aws, stack: &Stack, command: &Command) -> Result<Found, Problem> {
    let machines = Machines::read(aws, stack).await?;
    Ok(match machines.execution_of(aws, command).await? {
        Some(execution) => Found::Execution(execution),
        None if machines.is_cut => Found::NotAmongFirst,
        None => Found::Not,
    })
}
