//! Who can have a task answered, and what leaves EventBridge: a token of another trust zone is
//! refused, a token that is used twice within one is seen, and no event carries a token.

use std::collections::BTreeSet;
use std::fs;

use aws_sdk_sfn::types::ExecutionStatus;
use end_to_end::secret::Secret;
use end_to_end::{READ_AGAIN, architecture};
use jiff::Timestamp;
use sandbox_client::{
    ACCOUNT, NODES, REGION, Sandbox, event_of, eventually, task_token, unique_number, workspace,
};
use serde_json::{Value, json};

/// A stack for the state machines `dev-…`, beside that of the sandbox for `ops-…`.
const DEV: &str = "relay-dev";

/// The ARNs of state machines whose names match.
fn machines(name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}")
}

/// A task that runs a script with this document, and waits.
fn task(document: &str, node: &str, script: &[&str]) -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
        "Parameters": {
            "DocumentName": document,
            "InstanceIds": [node],
            "Parameters": { "commands": script, "taskToken.$": "States.Array($$.Task.Token)" },
        },
        "End": true,
    })
}

/// Starts an execution of a state machine of this name and this task.
async fn start(sandbox: &Sandbox, name: &str, task: &Value, input: &Value) -> String {
    let definition = json!({ "StartAt": "RunScript", "States": { "RunScript": task } });
    let created = sandbox.step_functions.create_state_machine().name(name);
    let created = created.definition(definition.to_string());
    let created = created.role_arn(format!("arn:aws:iam::{ACCOUNT}:role/state-machines"));
    created.send().await.expect("a state machine");
    sandbox.start_execution(&machines(name), input).await
}

/// The token of the task that waits for the command of this execution, as somebody reads it who may
/// list commands.
async fn stolen_token(sandbox: &Sandbox, execution: &str) -> (String, String) {
    let id = sandbox.commands_of(execution).await.remove(0);
    let command = sandbox.command(&id).await;
    (id, task_token(&command).expect("a task waits").to_owned())
}

/// The stack for `dev-…`, made of the code that the sandbox has uploaded for its own.
fn create_dev_stack(sandbox: &Sandbox) {
    let template = format!("file://{}", workspace().join("infra/template.yaml").display());
    let parameters = [
        ("CodeBucket", "sandbox-code".to_owned()),
        ("Architecture", architecture().to_owned()),
        ("DocumentNamePrefix", "Dev-".to_owned()),
        ("StateMachineArns", machines("dev-*")),
    ];
    let parameters =
        parameters.map(|(name, value)| json!({ "ParameterKey": name, "ParameterValue": value }));
    let create =
        ["cloudformation", "create-stack", "--stack-name", DEV, "--template-body", &template];
    let parameters = json!(parameters).to_string();
    let rest = ["--parameters", &parameters, "--capabilities", "CAPABILITY_IAM"];
    sandbox.aws_cli(&[&create[..], &rest].concat());
}

/// The on-failure queue of that stack.
fn on_failure_queue(sandbox: &Sandbox) -> String {
    let stack = sandbox.aws_cli(&["cloudformation", "describe-stacks", "--stack-name", DEV]);
    let mut outputs = stack["Stacks"][0]["Outputs"].as_array().expect("outputs").iter();
    let output = outputs.find(|output| output["OutputKey"] == "OnFailureQueueUrl");
    output.expect("a queue")["OutputValue"].as_str().expect("a text").to_owned()
}

/// An event of the schedule.
fn scheduled() -> Value {
    let event = fs::read_to_string(workspace().join("events/scheduled.json"));
    let mut event: Value = serde_json::from_str(&event.expect("an event")).expect("JSON");
    event["time"] = json!(Timestamp::now().to_string());
    event
}

/// The words in which the calls of a role to answer tasks were refused.
fn refused_answers(sandbox: &Sandbox, role: &str) -> BTreeSet<String> {
    let calls = sandbox.log("calls").into_iter().filter(|call| {
        let is =
            |name: &str, part: &str| call[name].as_str().is_some_and(|text| text.contains(part));
        is("role", role) && is("operation", "SendTask")
    });
    calls.filter_map(|call| call["refused"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_token_of_another_trust_zone_is_refused() {
    let ops = format!("StateMachineArns={}", machines("ops-*"));
    let sandbox = &Sandbox::start(&["--enforce-policies", "--parameter", &ops]).await;
    create_dev_stack(sandbox);
    tokio::time::sleep(READ_AGAIN).await;

    // Each zone answers its own tasks.
    for (name, document) in [("ops-job", "SfnRunShellScript"), ("dev-job", "Dev-SfnRunShellScript")]
    {
        let execution =
            start(sandbox, name, &task(document, NODES[0], &["echo mine"]), &json!({})).await;
        let ended = sandbox.execution_ended(&execution).await;
        assert_eq!(ended.success()["Invocations"][0]["StandardOutputContent"], "mine\n", "{name}");
    }
    assert_eq!(refused_answers(sandbox, ""), BTreeSet::new());

    // Somebody in dev has read the token of an approval in ops, and sends his own document with it.
    let barrier = sandbox.barrier(NODES[1]);
    let approval = task("SfnRunShellScript", NODES[1], &[&barrier.line(), "echo approved"]);
    let approval = start(sandbox, "ops-approval", &approval, &json!({})).await;
    let (_, token) = stolen_token(sandbox, &approval).await;
    let parameters = [("commands", "echo stolen"), ("taskToken", token.as_str())];
    let attack = sandbox.send_command("Dev-SfnRunShellScript", NODES[2], &parameters).await;
    sandbox.command_ended(&attack).await;

    // The relay of dev has tried, and was refused.
    let line = eventually("the relay of dev", async || {
        let lines = sandbox.log(&format!("{DEV}-relay"));
        lines.into_iter().find(|line| line["command_id"] == attack && line["outcome"].is_string())
    })
    .await;
    assert_eq!(
        (&line["outcome"], &line["level"]),
        (&json!("AnswerFailed"), &json!("ERROR")),
        "{line}"
    );
    let denied = BTreeSet::from(["AccessDeniedException".to_owned()]);
    assert_eq!(refused_answers(sandbox, &format!("{DEV}-RelayRole")), denied);
    assert_eq!(sandbox.answers_of(&approval).await, 0);
    // Its event is kept, and the sweep of dev counts the command.
    let kept = tapped(sandbox, &on_failure_queue(sandbox), |_| true).await;
    assert_eq!(kept["requestPayload"]["detail"]["command-id"], attack);
    let swept = sandbox.invoke(&format!("{DEV}-sweep"), &scheduled()).await;
    let swept: Value = swept.json().await.expect("a report");
    assert_eq!((&swept["Refused"], &swept["Failed"]), (&json!(1), &json!(0)), "{swept}");

    barrier.open();
    let ended = sandbox.execution_ended(&approval).await;
    assert_eq!(ended.success()["Invocations"][0]["StandardOutputContent"], "approved\n");
    assert_ne!(ended.success()["CommandId"], attack);
}

#[tokio::test]
async fn a_token_that_is_used_twice_within_a_stack_is_seen() {
    let sandbox = &Sandbox::start(&["--schedule-seconds", "1"]).await;
    let barrier = sandbox.barrier(NODES[0]);
    let victim = task("SfnRunShellScript", NODES[0], &[&barrier.line()]);
    let victim = start(sandbox, "victim", &victim, &json!({})).await;
    let (older, token) = stolen_token(sandbox, &victim).await;
    let door = sandbox.barrier(NODES[1]);
    let script = format!("{}; echo stolen", door.line());
    let parameters = [("commands", script.as_str()), ("taskToken", token.as_str())];
    let newer = sandbox.send_command("SfnRunShellScript", NODES[1], &parameters).await;

    let warning = eventually("the warning of the sweep", async || {
        let lines = sandbox.sweep_log();
        lines.into_iter().find(|line| line["older_command_id"] == older)
    })
    .await;
    assert_eq!(
        (&warning["command_id"], &warning["level"]),
        (&json!(newer), &json!("WARN")),
        "{warning}"
    );
    // What SweepTokensReusedAlarm counts, once.
    let counts = eventually("the count", async || {
        let counts: Vec<_> =
            sandbox.sweep_log().iter().filter_map(|line| line["Reused"].as_u64()).collect();
        (!counts.is_empty()).then_some(counts)
    })
    .await;
    assert_eq!(counts, [1]);
    assert!(!sandbox.sweep_log().iter().any(|line| Secret::new(&token).is_in(&line.to_string())));

    // The first answer counts, whosever command it is: that is why stacks have trust zones.
    door.open();
    let ended = sandbox.execution_ended(&victim).await;
    assert_eq!(ended.success()["CommandId"], newer);
    // The command that nobody waits for any more is cancelled.
    let command = sandbox.command_ended(&older).await;
    assert_eq!(command.status_details.as_deref(), Some("Cancelled"));
}

/// Adds a queue to the targets of a rule, which gets what the function gets.
async fn tap(sandbox: &Sandbox, rule: &str) -> String {
    let rules = sandbox.call("events", "AWSEvents.ListRules", &json!({})).await;
    let rules = rules["Rules"].as_array().expect("rules").clone();
    let is_it = |rule_of: &&Value| rule_of["Name"].as_str().is_some_and(|name| name.contains(rule));
    let name = rules.iter().find(is_it).expect("the rule of the stack")["Name"].clone();
    let targets =
        sandbox.call("events", "AWSEvents.ListTargetsByRule", &json!({ "Rule": name })).await;
    let mut target = targets["Targets"][0].clone();
    assert!(target["InputTransformer"].is_object(), "{target}");
    let queue = format!("tap-{}", unique_number());
    let created =
        sandbox.call("sqs", "AmazonSQS.CreateQueue", &json!({ "QueueName": queue })).await;
    target["Id"] = json!("tap");
    target["Arn"] = json!(format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"));
    let body = json!({ "Rule": name, "Targets": [target] });
    let put = sandbox.call("events", "AWSEvents.PutTargets", &body).await;
    assert_eq!(put["FailedEntryCount"], 0, "{put}");
    created["QueueUrl"].as_str().expect("a queue").to_owned()
}

/// A message that a tap has let out, of which this is true.
async fn tapped(sandbox: &Sandbox, queue: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually("a message", async || {
        let body = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10 });
        let answer = sandbox.call("sqs", "AmazonSQS.ReceiveMessage", &body).await;
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        let bodies = messages.iter().map(|message| message["Body"].as_str().expect("a body"));
        bodies.map(|body| serde_json::from_str(body).expect("JSON")).find(|body| is_it(body))
    })
    .await
}

/// The paths of all values.
fn paths(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(members) if !members.is_empty() => members
            .iter()
            .flat_map(|(name, member)| {
                let below = paths(member).into_iter();
                below.map(
                    move |path| {
                        if path.is_empty() { name.clone() } else { format!("{name}.{path}") }
                    },
                )
            })
            .collect(),
        _ => BTreeSet::from([String::new()]),
    }
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn no_event_carries_a_token_a_parameter_or_an_input() {
    // The tests of one program share it, and each counts on its own executions only.
    let sandbox = &Sandbox::start(&[]).await;
    let of_commands = tap(sandbox, "CommandEndedRule").await;
    let of_executions = tap(sandbox, "ExecutionStoppedRule").await;
    tokio::time::sleep(READ_AGAIN).await;
    let parameter = format!("parameter-that-is-secret-{}", unique_number());
    let input = format!("input-that-is-secret-{}", unique_number());

    let barrier = sandbox.barrier(NODES[0]);
    let (wait, print) = (barrier.line(), format!("echo {parameter}"));
    let failing = task("SfnRunShellScript", NODES[0], &[&wait, &print, "exit 3"]);
    let execution = start(sandbox, "secret", &failing, &json!({ "Secret": input })).await;
    let (id, token) = stolen_token(sandbox, &execution).await;
    barrier.open();
    sandbox.execution_ended(&execution).await.failure("RunCommand.Failed");

    // What the functions get.
    let of_command =
        tapped(sandbox, &of_commands, |message| message["detail"]["command-id"] == id).await;
    let expected =
        names(["id", "source", "detail-type", "time", "detail.command-id", "detail.status"]);
    assert_eq!(paths(&of_command), expected);
    let of_execution = tapped(sandbox, &of_executions, |_| true).await;
    assert_eq!(paths(&of_execution), names(["id", "source", "detail-type", "time", "detail"]));

    // What cannot be handled is kept: an event of a command that is not there.
    let unknown = "00000000-0000-4000-8000-0000000000aa";
    let mut event = event_of(&sandbox.command(&id).await, "Failed");
    event["detail"]["command-id"] = json!(unknown);
    assert!(event["detail"]["parameters"].as_str().is_some_and(|text| text.contains(&token)));
    sandbox.put_events(&[event.clone()]).await;
    let kept = sandbox
        .failed_event("an event of an unknown command", |failed| {
            failed["requestPayload"]["detail"]["command-id"] == unknown
        })
        .await;
    assert_eq!(paths(&kept["requestPayload"]), expected);
    assert_eq!(kept["responsePayload"]["errorType"], "CommandNotFound");

    let secrets = [&token, &parameter, &input].map(|secret| Secret::new(secret));
    for told in [&of_command, &of_execution, &kept] {
        let text = told.to_string();
        assert!(secrets.iter().all(|secret| !secret.is_in(&text)), "{text}");
    }
    // In the events themselves they would be found.
    assert!(secrets[0].is_in(&event.to_string()) && secrets[1].is_in(&event.to_string()));

    // Both forms are read: what the rule hands on, and what somebody sends who has a whole event.
    for mut event in [of_command, event] {
        event["detail"]["command-id"] = json!(id);
        assert_eq!(sandbox.invoke_relay(&event).await.outcome(), "AlreadyClosed", "{event}");
    }
}

#[tokio::test]
async fn a_stack_answers_only_the_state_machines_that_it_names() {
    let some = format!("StateMachineArns={}", machines("ops-*"));
    let sandbox = &Sandbox::start(&["--enforce-policies", "--parameter", &some]).await;
    let waiting = task("SfnRunShellScript", NODES[0], &["true"]);
    let of_others = start(sandbox, "payments", &waiting, &json!({})).await;
    let id = sandbox.commands_of(&of_others).await.remove(0);
    let outcomes = sandbox.relay_outcomes_of(&id, 1).await;
    assert_eq!(outcomes[0], "AnswerFailed");
    let mine = start(sandbox, "ops-nightly", &waiting, &json!({})).await;
    assert_eq!(sandbox.execution_ended(&mine).await.success()["Status"], "Success");
    assert_eq!(sandbox.answers_of(&of_others).await, 0);
    // Nor can an automation fail the task of another state machine.
    let automation = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:startAutomationExecution.waitForTaskToken",
        "Parameters": {
            "DocumentName": "SfnRunCommandByInstanceIds",
            "Parameters": {
                "InstanceIds": ["i-0fffffffffffffff0"], "Commands": ["true"],
                "taskToken.$": "States.Array($$.Task.Token)",
            },
        },
        "End": true,
    });
    let of_others_too = start(sandbox, "payments-2", &automation, &json!({})).await;
    eventually("a refused call", async || {
        (!refused_answers(sandbox, "SSMSyncRole").is_empty()).then_some(())
    })
    .await;
    let mine = start(sandbox, "ops-automation", &automation, &json!({})).await;
    let ended = sandbox.execution_ended(&mine).await;
    assert_eq!(ended.error.as_deref(), Some("RunCommand.StartFailed"));
    for execution in [of_others, of_others_too] {
        assert_eq!(sandbox.answers_of(&execution).await, 0);
        sandbox.stop_execution(&execution).await;
        assert_eq!(sandbox.execution_ended(&execution).await.status, ExecutionStatus::Aborted);
    }
}
