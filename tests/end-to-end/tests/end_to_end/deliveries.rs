//! Events that come late, early, often, or for nobody; and commands that nobody waits for.

use std::fs;

use aws_sdk_sfn::types::ExecutionStatus;
use sandbox_client::{
    DOCUMENT_WITHOUT_TOKEN, NODES, Sandbox, event_of, eventually, unique_number, workspace,
};
use serde_json::{Value, json};

use crate::{node, shell_task};

/// Sorted, since events are delivered in no particular order.
fn sorted(mut outcomes: Vec<String>) -> Vec<String> {
    outcomes.sort_unstable();
    outcomes
}

/// How often a test tries to make the relay read early: how soon it reads is up to the machine.
const TRIES_MAX: usize = 6;

/// Runs a script that must be answered with its output, and returns what the relay has logged of
/// its command, up to the answer.
async fn lines_of_an_answered_command(sandbox: &Sandbox) -> Vec<Value> {
    let input = json!({ "InstanceIds": [NODES[0]], "Commands": ["echo in the end"] });
    let machine = Sandbox::state_machine("run-command-by-instance-ids");
    let execution = sandbox.start_execution(&machine, &input).await;
    let ended = sandbox.execution_ended(&execution).await;
    assert_eq!(node(ended.success(), NODES[0])["StandardOutputContent"], "in the end\n");
    let commands = sandbox.commands_of(&execution).await;
    eventually("the line of the answer", async || {
        let lines = sandbox.relay_lines(&commands[0]);
        lines.iter().any(|line| line["outcome"] == "Succeeded").then_some(lines)
    })
    .await
}

#[tokio::test]
async fn an_event_before_the_read_is_consistent_is_answered_by_reading_again() {
    let sandbox = Sandbox::start(&["--read-lag-ms", "2000"]).await;
    for _ in 0..TRIES_MAX {
        let lines = lines_of_an_answered_command(&sandbox).await;
        // One invocation did it: the event was not tried again.
        assert_eq!(lines.len(), 1, "{lines:?}");
        // The first pause between two reads takes 200 ms.
        if lines[0]["settle_duration_ms"].as_u64().is_some_and(|millis| millis >= 500) {
            return;
        }
    }
    panic!("the relay never read early enough to have to read again");
}

#[tokio::test]
async fn an_event_long_before_the_read_is_consistent_is_answered_by_lambdas_retry() {
    let sandbox = Sandbox::start(&["--read-lag-ms", "6000"]).await;
    for _ in 0..TRIES_MAX {
        let lines = lines_of_an_answered_command(&sandbox).await;
        let (_, early) = lines.split_last().expect("there is a line");
        for line in early {
            // Nothing was answered by guess.
            let outcome = line["outcome"].as_str().unwrap_or_default();
            assert!(["CommandNotFound", "CommandNotEnded"].contains(&outcome), "{lines:?}");
        }
        if !early.is_empty() {
            return;
        }
    }
    panic!("the relay never read early enough to be tried again");
}

#[tokio::test]
async fn the_same_event_five_times_is_answered_once() {
    let sandbox = Sandbox::shared().await;
    let execution = sandbox.start_task(&shell_task(&[NODES[0]], &["echo once"])).await;
    let ended = sandbox.execution_ended(&execution).await;
    assert_eq!(node(ended.success(), NODES[0])["StandardOutputContent"], "once\n");
    let commands = sandbox.commands_of(&execution).await;
    let command = sandbox.command(&commands[0]).await;

    sandbox.put_events(&vec![event_of(&command, "Success"); 5]).await;

    let outcomes = sorted(sandbox.relay_outcomes_of(&commands[0], 6).await);
    assert_eq!(outcomes[..5], ["AlreadyClosed"; 5]);
    assert_eq!(outcomes[5..], ["Succeeded"]);
    assert_eq!(sandbox.answers_of(&execution).await, 1);
}

#[tokio::test]
async fn six_events_at_once_are_answered_once() {
    let sandbox = Sandbox::shared().await;
    let barrier = sandbox.barrier(NODES[1]);
    let script = [barrier.line(), "echo once".to_owned(), "exit 1".to_owned()];
    let task = shell_task(&[NODES[1]], &script.each_ref().map(String::as_str));
    let execution = sandbox.start_task(&task).await;
    let commands = sandbox.commands_of(&execution).await;
    let command = sandbox.command(&commands[0]).await;

    // Five invocations of the relay read again and again when the command ends with an event of
    // its own.
    sandbox.put_events(&vec![event_of(&command, "Failed"); 5]).await;
    barrier.open();

    let cause = sandbox.execution_ended(&execution).await.failure("RunCommand.Failed");
    assert_eq!(node(&cause, NODES[1])["StandardOutputContent"], "once\n");
    let outcomes = eventually("the outcomes of six events", async || {
        let mut outcomes = sandbox.relay_outcomes(&commands[0]);
        // On a busy machine the end can come too late for one, which is then tried again.
        outcomes.retain(|outcome| outcome != "CommandNotEnded");
        (outcomes.len() >= 6).then_some(outcomes)
    })
    .await;
    let outcomes = sorted(outcomes);
    assert_eq!(outcomes[..5], ["AlreadyClosed"; 5]);
    assert_eq!(outcomes[5..], ["Failed"]);
    assert_eq!(sandbox.answers_of(&execution).await, 1);
}

#[tokio::test]
async fn an_event_that_lies_about_the_status_does_not_make_the_answer() {
    let sandbox = Sandbox::shared().await;
    let barrier = sandbox.barrier(NODES[2]);
    let script = [barrier.line(), "exit 4".to_owned()];
    let task = shell_task(&[NODES[2]], &script.each_ref().map(String::as_str));
    let execution = sandbox.start_task(&task).await;
    let commands = sandbox.commands_of(&execution).await;
    let command = sandbox.command(&commands[0]).await;

    // An event about one node: the command still runs, and that is a fine outcome.
    let mut forged = event_of(&command, "Success");
    forged["detail-type"] = json!("EC2 Command Invocation Status-change Notification");
    assert_eq!(sandbox.invoke_relay(&forged).await.outcome(), "Running");
    assert_eq!(sandbox.answers_of(&execution).await, 0);
    barrier.open();
    let cause = sandbox.execution_ended(&execution).await.failure("RunCommand.Failed");
    assert_eq!(node(&cause, NODES[2])["ResponseCode"], 4);
}

#[tokio::test]
async fn a_command_of_a_foreign_document_is_left_alone() {
    let sandbox = Sandbox::shared().await;
    let id =
        sandbox.send_command("AWS-RunShellScript", NODES[0], &[("commands", "echo mine")]).await;
    let foreign = sandbox.command_ended(&id).await;
    // An event that came later has been handled to its end.
    sandbox.run_task(&shell_task(&[NODES[0]], &["true"])).await.success();
    assert_eq!(sandbox.deliveries(&id), [] as [Value; 0]);
    assert_eq!(sandbox.relay_outcomes(&id), [] as [String; 0]);

    let invoked = sandbox.invoke_relay(&event_of(&foreign, "Success")).await;
    assert!(!invoked.failed, "{invoked:?}");
    assert_eq!(invoked.payload, json!({ "CommandId": id, "Outcome": "NoToken" }));
}

#[tokio::test]
async fn a_document_without_a_token_has_nobody_to_answer() {
    let sandbox = Sandbox::shared().await;
    sandbox.create_script_document(DOCUMENT_WITHOUT_TOKEN, &[]).await;
    let commands = [("commands", "echo nobody waits")];
    let id = sandbox.send_command(DOCUMENT_WITHOUT_TOKEN, NODES[0], &commands).await;
    assert_eq!(sandbox.relay_outcomes_of(&id, 1).await, ["NoToken"]);
}

#[tokio::test]
async fn a_stopped_execution_leaves_a_command_that_ends_in_peace() {
    let sandbox = Sandbox::shared().await;
    let barrier = sandbox.barrier(NODES[0]);
    let execution =
        sandbox.start_task(&shell_task(&[NODES[0]], &[&barrier.line(), "exit 3"])).await;
    let commands = sandbox.commands_of(&execution).await;
    sandbox.stop_execution(&execution).await;
    let ended = sandbox.execution_ended(&execution).await;
    assert_eq!((ended.status, ended.output), (ExecutionStatus::Aborted, None));
    barrier.open();

    assert_eq!(sandbox.relay_outcomes_of(&commands[0], 1).await, ["AlreadyClosed"]);
    let invocation = sandbox.deliveries(&commands[0]);
    assert_eq!(invocation.len(), 1, "{invocation:?}");
    let failed = sandbox.failed_events().await;
    let of_command = failed
        .iter()
        .find(|failed| failed["requestPayload"]["detail"]["command-id"] == commands[0]);
    assert_eq!(of_command, None);
    assert_eq!(sandbox.execution_ended(&execution).await.status, ExecutionStatus::Aborted);
}

#[tokio::test]
async fn an_answer_that_comes_after_the_tasks_timeout_changes_nothing() {
    let sandbox = Sandbox::shared().await;
    let barrier = sandbox.barrier(NODES[1]);
    let mut run = shell_task(&[NODES[1]], &[&barrier.line(), "echo late"]);
    run["TimeoutSeconds"] = json!(1);
    run["Catch"] = json!([{ "ErrorEquals": ["States.Timeout"], "Next": "GoOn" }]);
    let definition = json!({
        "StartAt": "RunScript",
        "States": {
            "RunScript": run,
            "GoOn": { "Type": "Pass", "Result": { "WentOn": true }, "End": true },
        },
    });
    let machine = sandbox.create_state_machine(&definition).await;
    let execution = sandbox.start_execution(&machine, &json!({})).await;
    let commands = sandbox.commands_of(&execution).await;
    let ended = sandbox.execution_ended(&execution).await;
    assert_eq!(*ended.success(), json!({ "WentOn": true }));
    barrier.open();

    assert_eq!(sandbox.relay_outcomes_of(&commands[0], 1).await, ["AlreadyClosed"]);
    assert_eq!(sandbox.execution_ended(&execution).await, ended);
    assert_eq!(sandbox.answers_of(&execution).await, 0);
}

#[tokio::test]
async fn a_token_that_is_garbage_is_rejected_once() {
    let sandbox = Sandbox::shared().await;
    let token = format!("garbage-that-is-no-token-{}", unique_number());
    let parameters = [("commands", "echo nobody waits"), ("taskToken", token.as_str())];
    let id = sandbox.send_command("SfnRunShellScript", NODES[2], &parameters).await;
    assert_eq!(sandbox.relay_outcomes_of(&id, 1).await, ["TokenRejected"]);

    // The event counts as handled: it is not tried again.
    let log = sandbox.relay_log();
    let is_settled = |line: &&Value| line["command_id"] == id && line["message"] == "settled";
    let settled = log.iter().find(is_settled).expect("a line");
    assert_eq!(settled["level"], "WARN");
    let request = settled["span"]["requestId"].as_str().expect("the request's id").to_owned();
    let attempt = eventually("the end of the invocation", async || {
        sandbox.attempts().into_iter().find(|attempt| attempt["request_id"] == request)
    })
    .await;
    assert_eq!((&attempt["attempt"], &attempt["outcome"]), (&json!(1), &json!("done")));
}

#[tokio::test]
async fn an_event_that_cannot_be_handled_ends_in_the_on_failure_queue() {
    let sandbox = Sandbox::shared().await;
    let unknown = format!("00000000-0000-4000-8000-{:012x}", unique_number());
    let event = json!({
        "source": "aws.ssm",
        "detail-type": "EC2 Command Status-change Notification",
        "resources": [],
        "detail": {
            "command-id": unknown, "document-name": "SfnRunShellScript", "status": "Success",
        },
    });
    sandbox.put_events(&[event]).await;

    let failed = sandbox
        .failed_event("an event of an unknown command", |failed| {
            failed["requestPayload"]["detail"]["command-id"] == unknown
        })
        .await;
    assert_eq!(failed["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(failed["requestContext"]["approximateInvokeCount"], 3);
    let error = &failed["responsePayload"];
    assert_eq!(error["errorType"], "CommandNotFound");
    let message = error["errorMessage"].as_str().expect("a message");
    assert!(message.contains(&unknown), "{message}");
}

#[tokio::test]
async fn an_event_of_a_command_that_is_not_known_fails_under_its_name() {
    let sandbox = Sandbox::shared().await;
    let invoked = sandbox.invoke_relay(&event_file("command-success")).await;
    assert!(invoked.failed, "{invoked:?}");
    assert_eq!(invoked.outcome(), "CommandNotFound");
    let message = invoked.payload["errorMessage"].as_str().expect("a message");
    assert!(message.contains(COMMAND_OF_EVENT_FILES), "{message}");
}

/// The command that the files in `events` are about.
const COMMAND_OF_EVENT_FILES: &str = "6d4c0e1a-6f3b-4c1d-9a44-0f5f7c1b2a10";

/// The files in `events`: whether the rule takes the event, and what the relay makes of it when
/// its command has ended and its task is answered.
const EVENT_FILES: [(&str, bool, &str); 16] = [
    ("command-canceled", true, "AlreadyClosed"),
    ("command-cancelled", true, "AlreadyClosed"),
    ("command-failed", true, "AlreadyClosed"),
    ("command-in-progress", false, "AlreadyClosed"),
    ("command-success", true, "AlreadyClosed"),
    ("command-success-parameters-absent", true, "AlreadyClosed"),
    ("command-success-parameters-object", true, "AlreadyClosed"),
    ("command-timed-out", true, "AlreadyClosed"),
    ("command-without-resources", true, "AlreadyClosed"),
    ("execution-aborted", false, "InvalidEvent"),
    ("execution-failed", false, "InvalidEvent"),
    ("execution-succeeded", false, "InvalidEvent"),
    ("execution-timed-out", false, "InvalidEvent"),
    ("foreign-document", false, "NoToken"),
    ("invocation-success", false, "AlreadyClosed"),
    ("scheduled", false, "InvalidEvent"),
];

fn event_file(name: &str) -> Value {
    let path = workspace().join("events").join(format!("{name}.json"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_event_file_is_tried() {
    let directory = fs::read_dir(workspace().join("events")).expect("the directory of events");
    let mut names: Vec<_> = directory
        .map(|entry| entry.expect("a file").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    assert_eq!(names, EVENT_FILES.map(|(name, _, _)| name));
}

#[tokio::test]
async fn every_event_file_is_taken_or_refused_as_it_should_be() {
    let sandbox = Sandbox::shared().await;
    let execution = sandbox.start_task(&shell_task(&[NODES[0]], &["echo hello"])).await;
    sandbox.execution_ended(&execution).await.success();
    let answered = sandbox.commands_of(&execution).await.remove(0);
    let foreign =
        sandbox.send_command("AWS-RunShellScript", NODES[0], &[("commands", "echo hello")]).await;
    sandbox.command_ended(&foreign).await;

    for (name, is_taken, outcome) in EVENT_FILES {
        let mut event = event_file(name);
        assert_eq!(sandbox.rule_takes(&event).await, is_taken, "{name}");
        if event["detail"]["command-id"].is_string() {
            assert_eq!(event["detail"]["command-id"], COMMAND_OF_EVENT_FILES, "{name}");
            let command = if name == "foreign-document" { &foreign } else { &answered };
            event["detail"]["command-id"] = json!(command);
        }
        let invoked = sandbox.invoke_relay(&event).await;
        assert_eq!(invoked.outcome(), outcome, "{name}: {invoked:?}");
        assert_eq!(invoked.failed, outcome == "InvalidEvent", "{name}: {invoked:?}");
    }
}
