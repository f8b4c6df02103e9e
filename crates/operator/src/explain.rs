//! `relayctl explain`: why a task waits.

mod explanation;

use callback::{Command, CommandId};
use jiff::Timestamp;
use serde_json::json;

use crate::aws::Aws;
use crate::command::{self, LimitedCommand};
use crate::execution::{Execution, Machines, Started, Task, command_of_automation};
use crate::explain::explanation::Explanation;
use crate::printout::{Mark, Page, Printout, State};
use crate::problem::Problem;
use crate::stack::Stack;
use crate::subject::Subject;

/// Maximum number of tasks of one execution that are explained.
const TASKS_MAX: usize = 10;

/// Explains a command or an execution.
pub async fn explain(
    aws: &Aws,
    stack: &Stack,
    subject: &Subject,
    now: Timestamp,
) -> Result<Printout, Problem> {
    match subject {
        Subject::Command(id) => explain_command(aws, stack, id, now).await,
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
    let mut explanation = Explanation::new(stack, &limited, now);
    match execution_of(aws, stack, &limited.command).await {
        Ok(Some(execution)) => explanation.place(execution.task_of(id), &execution),
        Ok(None) => explanation.say(
            Mark::Plain,
            "Its execution is not known: the command's Comment is not the name of an execution whose \
             tasks this stack may answer. `relayctl explain EXECUTION_ARN` also tells the limits of \
             the task.",
        ),
        Err(problem) => explanation.unknown(format!("Its execution was not looked for: {problem}.")),
    }
    explanation.look(aws).await;
    let json = json!({
        "Stack": stack.name,
        "Execution": explanation.execution.as_ref().map(Execution::to_json),
        "Commands": [explanation.to_json()],
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
    for task in waiting.into_iter().take(TASKS_MAX) {
        let (id, how) = command_of(aws, task).await?;
        if let Some(how) = how {
            page.item(Mark::Plain, how);
        }
        let Some(id) = id else { continue };
        let limited = find(aws, stack, &id).await?;
        let mut explanation = Explanation::new(stack, &limited, now);
        explanation.place(Some(task), execution);
        explanation.look(aws).await;
        commands.push(explanation.to_json());
        state = state.max(explanation.state);
        page.append(explanation.page);
    }
    let json = json!({
        "Stack": stack.name,
        "Execution": execution.to_json(),
        "Commands": commands,
    });
    Ok(Printout { page, json, state })
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

async fn execution_of(
    aws: &Aws,
    stack: &Stack,
    command: &Command,
) -> Result<Option<Execution>, Problem> {
    Machines::read(aws, stack).await?.execution_of(aws, command).await
}
