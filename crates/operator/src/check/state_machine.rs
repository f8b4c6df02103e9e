//! Whether the tasks of a state machine can start commands, and are answered.

mod tasks;

use aws_sdk_sfn::operation::describe_state_machine::DescribeStateMachineOutput;
use aws_sdk_sfn::types::StateMachineType;

use crate::aws::Aws;
use crate::call::found;
use crate::check::state_machine::tasks::{Starts, Task};
use crate::checks::{Check, Group};
use crate::problem::Problem;
use crate::rights::{self, Request};
use crate::shown::{after_colon, printable};
use crate::stack::Stack;

/// An instance that stands for every node with the tag.
const ANY_INSTANCE: &str = "instance/i-00000000000000000";
const ABSENT: [&str; 1] = ["StateMachineDoesNotExist"];
/// A sweep, and so a heartbeat, can be lost or late.
const INTERVALS_RECOMMENDED: u64 = 4;
const ADVICE: &str = "See infra/RUNBOOK.md#state-machines.";

/// A state machine as it was read.
struct Reading {
    is_express: bool,
    role_arn: String,
    tasks: Vec<Task>,
}

/// Checks a state machine of the stack's account and region.
pub(super) async fn group(aws: &Aws, stack: &Stack, arn: &str) -> Result<Group, Problem> {
    let name = name(stack, arn)?;
    let name = format!("State machine {}", printable(name));
    let checks = match read(aws, arn).await {
        Ok(Some(reading)) => judge(aws, stack, arn, &reading).await,
        Ok(None) => vec![Check::wrong(
            "StateMachineStandard",
            "Expected a state machine, got none with this ARN.",
            "Check --state-machine and --region.",
        )],
        Err(problem) => vec![Check::unknown("StateMachineStandard", "What it does", &problem)],
    };
    Ok(Group { name, checks })
}

/// The name of a state machine in its ARN.
fn name<'a>(stack: &Stack, arn: &'a str) -> Result<&'a str, Problem> {
    let name = arn.strip_prefix(&stack.arn("states", "stateMachine:"));
    name.filter(|name| !name.is_empty() && !name.contains(':')).ok_or_else(|| {
        Problem::new(format!(
            "expected the ARN of a state machine of account {} in {}, got `{}`. Check --state-machine, \
             --region and the account of the credentials",
            stack.account(),
            stack.region(),
            printable(arn)
        ))
    })
}

async fn read(aws: &Aws, arn: &str) -> Result<Option<Reading>, Problem> {
    let machine = aws.step_functions.describe_state_machine().state_machine_arn(arn).send().await;
    let machine = found("states:DescribeStateMachine", &ABSENT, machine)?;
    Ok(machine.map(|machine: DescribeStateMachineOutput| Reading {
        is_express: machine.r#type == StateMachineType::Express,
        role_arn: machine.role_arn,
        tasks: tasks::of(&machine.definition),
    }))
}

async fn judge(aws: &Aws, stack: &Stack, arn: &str, machine: &Reading) -> Vec<Check> {
    let watched: Vec<_> = machine.tasks.iter().filter(|task| is_watched(stack, task)).collect();
    let mut checks = vec![standard(machine.is_express), answered(stack, arn)];
    let starts_commands = machine.tasks.iter().any(|task| task.starts == Starts::Command);
    let starts_automations = machine.tasks.iter().any(|task| task.starts == Starts::Automation);
    let (commands, automations) = tokio::join!(
        async {
            if starts_commands || !starts_automations {
                Some(may(aws, machine, send_command(stack, machine)).await)
            } else {
                None
            }
        },
        async {
            if starts_automations {
                Some(may(aws, machine, start_automation(stack)).await)
            } else {
                None
            }
        }
    );
    checks.extend(
        commands.map(|denied| allowed("StateMachineSendCommand", "start commands", denied)),
    );
    checks.extend(
        automations
            .map(|denied| allowed("StateMachineStartAutomation", "start automations", denied)),
    );
    if !watched.is_empty() {
        checks.push(heartbeats(stack, &watched));
        checks.push(timeouts(&watched));
    }
    checks
}

fn standard(is_express: bool) -> Check {
    const ID: &str = "StateMachineStandard";
    if is_express {
        return Check::wrong(
            ID,
            "Expected a standard state machine, got an express one, whose tasks cannot wait for a token.",
            ADVICE,
        );
    }
    Check::good(ID, "It is a standard one, whose tasks can wait.")
}

fn answered(stack: &Stack, arn: &str) -> Check {
    const ID: &str = "StateMachineAnswered";
    if stack.answers(arn) {
        return Check::good(ID, "StateMachineArns covers it, so the stack may answer its tasks.");
    }
    Check::wrong(
        ID,
        "Expected StateMachineArns to cover it, got patterns that do not: its tasks are not answered.",
        "See infra/RUNBOOK.md#refused.",
    )
}

/// Whether a task runs a document that the stack looks after.
fn is_watched(stack: &Stack, task: &Task) -> bool {
    let Some(document) = task.document.as_deref() else { return false };
    match task.starts {
        Starts::Command => stack.documents.include(document),
        Starts::Automation => stack.automation_documents.iter().any(|own| own == plain(document)),
    }
}

/// The name in the ARN of a document, or the name itself.
fn plain(document: &str) -> &str {
    document.rsplit('/').next().unwrap_or(document)
}

/// What its role needs to start commands: the stack's own documents that its tasks name, or else both that
/// run scripts, and a node with the tag.
fn send_command(stack: &Stack, machine: &Reading) -> Vec<Request> {
    let arn = |name: &str| stack.arn("ssm", &format!("document/{}", plain(name)));
    let named = machine.tasks.iter().filter(|task| task.starts == Starts::Command);
    let named = named.filter_map(|task| task.document.as_deref());
    let mut documents: Vec<_> =
        named.filter(|name| stack.documents.include(name)).map(&arn).collect();
    if documents.is_empty() {
        documents = stack.script_document_names().iter().map(|name| arn(name)).collect();
    }
    documents.sort();
    documents.dedup();
    let key = format!("ssm:resourceTag/{}", stack.parameter("NodeTagKey"));
    let tag = (key, stack.parameter("NodeTagValue").to_owned());
    let actions = vec!["ssm:SendCommand".to_owned()];
    vec![
        Request { actions: actions.clone(), resources: documents, context: Vec::new() },
        Request { actions, resources: vec![stack.arn("ec2", ANY_INSTANCE)], context: vec![tag] },
    ]
}

/// What its role needs to start automations. Systems Manager checks the ARN of an automation definition
/// (Service Authorization Reference, `StartAutomationExecution`).
fn start_automation(stack: &Stack) -> Vec<Request> {
    let arn = |name: &String| stack.arn("ssm", &format!("automation-definition/{name}:$DEFAULT"));
    vec![Request {
        actions: vec!["ssm:StartAutomationExecution".to_owned()],
        resources: stack.automation_documents.iter().map(arn).collect(),
        context: Vec::new(),
    }]
}

/// What its role may not do of these. `None` if there is no such role.
async fn may(
    aws: &Aws,
    machine: &Reading,
    requests: Vec<Request>,
) -> Result<Option<Vec<String>>, Problem> {
    let mut denied = Vec::new();
    for request in requests {
        // A stack without automation documents.
        if request.resources.is_empty() {
            denied
                .push("any document of the stack, because it has none for automations".to_owned());
            continue;
        }
        match rights::denied(aws, &machine.role_arn, &request).await? {
            None => return Ok(None),
            Some(more) if request.context.is_empty() => {
                denied.extend(more.into_iter().map(|one| after_colon(&one.resource).to_owned()));
            }
            Some(more) if more.is_empty() => {}
            Some(_) => denied.push("a node with the tag of the stack".to_owned()),
        }
    }
    Ok(Some(denied))
}

fn allowed(id: &'static str, what: &str, got: Result<Option<Vec<String>>, Problem>) -> Check {
    match got {
        Err(problem) => Check::unknown(id, &format!("Whether its role may {what}"), &problem),
        Ok(None) => Check::wrong(id, "Expected its role, got none: it was deleted.", ADVICE),
        Ok(Some(denied)) if denied.is_empty() => {
            Check::good(id, format!("Its role may {what} of the stack."))
        }
        Ok(Some(denied)) => Check::wrong(
            id,
            format!(
                "Expected its role to be allowed to {what} of the stack, got a denial for {}.",
                printable(&denied.join(", "))
            ),
            ADVICE,
        ),
    }
}

/// The same rule as in infra/heartbeats.py.
fn heartbeats(stack: &Stack, tasks: &[&Task]) -> Check {
    const ID: &str = "StateMachineHeartbeats";
    let interval_s = stack.sweep_interval.as_secs();
    let recommended_s = INTERVALS_RECOMMENDED * interval_s;
    let below = |limit_s: u64| {
        let below = tasks.iter().filter_map(|task| {
            let seconds = task.heartbeat_s.filter(|seconds| *seconds < limit_s)?;
            Some(format!("{seconds} in state {}", printable(&task.state)))
        });
        below.collect::<Vec<_>>().join(", ")
    };
    let (impossible, short) = (below(interval_s + 1), below(recommended_s));
    if !impossible.is_empty() {
        return Check::wrong(
            ID,
            format!(
                "Expected HeartbeatSeconds of more than {interval_s}, because heartbeats come once in \
                 {interval_s} seconds with SweepIntervalMinutes={}, got {impossible}.",
                stack.parameter("SweepIntervalMinutes")
            ),
            format!("Set them to {recommended_s} or more. {ADVICE}"),
        );
    }
    if !short.is_empty() {
        return Check::attention(
            ID,
            format!("Tasks that end if one sweep is lost or late: HeartbeatSeconds {short}."),
            format!("Set HeartbeatSeconds to {recommended_s} or more. {ADVICE}"),
        );
    }
    Check::good(ID, format!("No HeartbeatSeconds of its tasks is less than {recommended_s}."))
}

fn timeouts(tasks: &[&Task]) -> Check {
    const ID: &str = "StateMachineTimeouts";
    let endless = tasks.iter().filter(|task| !task.has_timeout);
    let endless = endless.map(|task| printable(&task.state)).collect::<Vec<_>>().join(", ");
    if endless.is_empty() {
        return Check::good(ID, "Its tasks have TimeoutSeconds.");
    }
    Check::attention(
        ID,
        format!("Tasks without TimeoutSeconds, which can wait for a year: {endless}."),
        ADVICE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;
    use crate::stack::tests::stack;

    fn task(document: &str, heartbeat_s: Option<u64>) -> Task {
        Task {
            state: "Run".to_owned(),
            starts: Starts::Command,
            document: Some(document.to_owned()),
            heartbeat_s,
            has_timeout: true,
        }
    }

    fn machine(tasks: Vec<Task>) -> Reading {
        Reading { is_express: false, role_arn: "arn:role".to_owned(), tasks }
    }

    #[test]
    fn heartbeats_come_once_in_an_interval() {
        // Of five minutes.
        for (seconds, found) in [
            (None, Found::Good),
            (Some(300), Found::Wrong),
            (Some(301), Found::Attention),
            (Some(1_199), Found::Attention),
            (Some(1_200), Found::Good),
        ] {
            let check = heartbeats(&stack("*"), &[&task("SfnRunShellScript", seconds)]);
            assert_eq!(check.found, found, "{check:?}");
        }
    }

    #[test]
    fn a_task_without_a_timeout_deserves_attention() {
        let with = task("SfnRunShellScript", None);
        assert_eq!(timeouts(&[&with]).found, Found::Good);
        let without = Task { has_timeout: false, ..with };
        assert_eq!(timeouts(&[&without]).found, Found::Attention);
    }

    #[test]
    fn the_role_needs_the_documents_that_are_named() {
        let stack = stack("*");
        let documents = |tasks| send_command(&stack, &machine(tasks))[0].resources.clone();
        let arn = |name: &str| stack.arn("ssm", &format!("document/{name}"));
        let shell = || task("SfnRunShellScript", None);
        assert_eq!(documents(vec![shell(), shell()]), [arn("SfnRunShellScript")]);
        let scripts = ["SfnRunPowerShellScript", "SfnRunShellScript"].map(arn);
        assert_eq!(documents(vec![task("AWS-RunShellScript", None)]), scripts);
        let node = &send_command(&stack, &machine(Vec::new()))[1];
        assert_eq!(
            node.context,
            [("ssm:resourceTag/RunCommandRelay".to_owned(), "allowed".to_owned())]
        );
    }

    #[test]
    fn only_state_machines_of_the_account_and_region_are_taken() {
        let stack = stack("*");
        assert_eq!(name(&stack, &stack.arn("states", "stateMachine:ops")), Ok("ops"));
        for other in [
            "ops".to_owned(),
            stack.arn("states", "execution:ops:nightly"),
            stack.arn("states", "stateMachine:"),
            "arn:aws:states:us-east-1:111122223333:stateMachine:ops".to_owned(),
        ] {
            assert!(name(&stack, &other).is_err(), "{other}");
        }
    }

    #[test]
    fn what_the_role_may_not_do_is_named() {
        let found = |got| allowed("Id", "start commands", got).found;
        assert_eq!(found(Ok(Some(Vec::new()))), Found::Good);
        assert_eq!(found(Ok(Some(vec!["document/SfnRunShellScript".to_owned()]))), Found::Wrong);
        assert_eq!(found(Ok(None)), Found::Wrong);
        assert_eq!(found(Err(Problem::new("denied"))), Found::Unknown);
        assert_eq!(standard(true).found, Found::Wrong);
    }
}
