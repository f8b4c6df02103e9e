//! The events that the relay could not handle.

use std::fs;

use aws_sdk_sfn::types::ExecutionStatus;
use sandbox_client::{NODES, Sandbox, eventually, task_token};
use serde_json::{Value, json};

use crate::{EXECUTION_NAME, NO_SWEEPS, STACK, command_of, relayctl, relayctl_json, shape, task};

/// A command that nobody has sent.
const NOBODYS: &str = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";

#[tokio::test]
async fn messages_are_listed_deleted_and_handed_to_the_relay() {
    let options = [&NO_SWEEPS[..], &["--drop-events", "1.0", "--retry-seconds", "0.1"]].concat();
    let sandbox = &Sandbox::start(&options).await;
    insta::assert_snapshot!("an_empty_queue", relayctl(sandbox, &["queue"]).await.text(0));

    // Its event was lost, so its task waits.
    let waiting = sandbox.start_task(&task(&NODES[..1], &["exit 3"], EXECUTION_NAME)).await;
    let waiting_id = command_of(sandbox, &waiting).await;
    sandbox.command_ended(&waiting_id).await;
    // Its execution was stopped, so its task is closed.
    let closed = sandbox.start_task(&task(&NODES[1..2], &["true"], EXECUTION_NAME)).await;
    let closed_id = command_of(sandbox, &closed).await;
    sandbox.command_ended(&closed_id).await;
    sandbox.stop_execution(&closed).await;
    // Its comment tells nothing, so its task is not known.
    let mut anonymous = task(&NODES[2..], &["true"], EXECUTION_NAME);
    anonymous["Parameters"].as_object_mut().expect("parameters").remove("Comment.$");
    let anonymous = sandbox.start_task(&anonymous).await;
    let anonymous_id = command_of(sandbox, &anonymous).await;
    sandbox.command_ended(&anonymous_id).await;

    send(sandbox, &lambdas_record(&event(&waiting_id), "AnswerFailed"), None).await;
    let mut whole = event(&closed_id);
    let command = sandbox.command(&closed_id).await;
    whole["detail"]["parameters"] = json!({ "taskToken": [task_token(&command)] });
    send(sandbox, &whole, Some("NO_PERMISSIONS")).await;
    send(sandbox, &lambdas_record(&event(&anonymous_id), "AnswerFailed"), None).await;
    send(sandbox, &json!("nothing that anybody knows"), None).await;
    invoke_later(sandbox, &event(NOBODYS));
    eventually("an event that failed three times", async || {
        let attempts = sandbox.attempts();
        let of_relay = |line: &&Value| line.to_string().contains(&format!("{STACK}-relay"));
        (attempts.iter().filter(of_relay).count() >= 3).then_some(())
    })
    .await;
    let listed = eventually("all messages", async || {
        let said = relayctl(sandbox, &["queue"]).await;
        said.stdout.starts_with("5 messages").then(|| said.text(1))
    })
    .await;
    insta::assert_snapshot!("messages", listed);

    // Nothing has changed, and nothing is hidden.
    let json = relayctl_json(sandbox, &["queue"], 1).await;
    insta::assert_json_snapshot!("shape_of_queue", shape(&json));
    assert_eq!(json["Deleted"], 0);
    let tasks = [
        (waiting_id.as_str(), "Waits"),
        (&closed_id, "Closed"),
        (&anonymous_id, "NotKnown"),
        (NOBODYS, "NotKnown"),
    ];
    for (id, task) in tasks {
        assert_eq!(message(&json, id)["Task"], task, "{id}");
    }

    let json = relayctl_json(sandbox, &["queue", "--delete-closed"], 1).await;
    assert_eq!(
        (&json["Deleted"], &message(&json, &closed_id)["Deleted"]),
        (&json!(1), &json!(true))
    );

    let redriven = relayctl(sandbox, &["queue", "--redrive"]).await.text(1);
    insta::assert_snapshot!("redriven", redriven);
    sandbox.execution_ended(&waiting).await.failure("RunCommand.Failed");
    let ended = sandbox.execution_ended(&anonymous).await;
    assert_eq!(ended.status, ExecutionStatus::Succeeded);
    let json = relayctl_json(sandbox, &["queue"], 1).await;
    let left: Vec<_> = json["Messages"].as_array().expect("messages").iter().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(message(&json, NOBODYS)["Error"], "CommandNotFound");
}

/// EventBridge itself puts these into the queue.
#[tokio::test]
async fn events_that_eventbridge_could_not_deliver_tell_why() {
    let sandbox = &Sandbox::start(&NO_SWEEPS).await;
    let relay = format!("{STACK}-relay");
    let function = ["--function-name", &relay];
    let lambda = |call: &[&str]| sandbox.aws_cli(&[&["lambda"], call, &function].concat());
    let policy = lambda(&["get-policy"]);
    let policy: Value =
        serde_json::from_str(policy["Policy"].as_str().expect("a policy")).expect("JSON");
    let permission = policy["Statement"][0]["Sid"].as_str().expect("an id");
    lambda(&["remove-permission", "--statement-id", permission]);
    let forbidden = sandbox.start_task(&task(&NODES[..1], &["true"], EXECUTION_NAME)).await;
    messages(sandbox, 1).await;
    insta::assert_snapshot!("a_dead_letter", relayctl(sandbox, &["queue"]).await.text(1));
    // Who redrives it needs no permission of the rule.
    insta::assert_snapshot!(
        "a_dead_letter_redriven",
        relayctl(sandbox, &["queue", "--redrive"]).await.text(0)
    );
    sandbox.execution_ended(&forbidden).await.success();

    lambda(&["delete-function"]);
    let gone = sandbox.start_task(&task(&NODES[..1], &["true"], EXECUTION_NAME)).await;
    let json = messages(sandbox, 1).await;
    assert_eq!(json["Messages"][0]["Error"], "NO_RESOURCE", "{json}");
    // The message stays, and is not hidden.
    let said = relayctl(sandbox, &["queue", "--redrive"]).await;
    insta::assert_snapshot!("a_function_that_is_gone", said.text(2));
    messages(sandbox, 1).await;
    sandbox.stop_execution(&gone).await;
}

/// With more state machines than are asked, and more commands than executions are looked for.
#[tokio::test]
async fn where_no_execution_was_looked_for_is_said() {
    let options = [&NO_SWEEPS[..], &["--drop-events", "1.0"]].concat();
    let sandbox = &Sandbox::start(&options).await;
    let pass = json!({ "StartAt": "Pass", "States": { "Pass": { "Type": "Pass", "End": true } } });
    for _ in 0..50 {
        sandbox.create_state_machine(&pass).await;
    }
    // Its comment is the name of no execution.
    let task = task(&NODES[..1], &["true"], "$$.State.Name");
    let mut ids = Vec::new();
    for _ in 0..5 {
        let execution = sandbox.start_task(&task).await;
        ids.push(command_of(sandbox, &execution).await);
    }
    for id in &ids {
        sandbox.command_ended(id).await;
        send(sandbox, &lambdas_record(&event(id), "AnswerFailed"), None).await;
    }
    messages(sandbox, 5).await;
    let text = relayctl(sandbox, &["queue"]).await.text(1);
    for sentence in [
        "‼ Of 5 commands, the executions of 4 were looked for.",
        "‼ Executions were looked for among 50 state machines only.",
    ] {
        assert!(text.contains(sentence), "{text}");
    }
    let text = relayctl(sandbox, &["explain", &ids[0]]).await.text(0);
    assert!(text.contains("not known: it was looked for among 50 state machines only."), "{text}");
}

/// What `relayctl queue` prints as soon as there are so many messages.
async fn messages(sandbox: &Sandbox, count: usize) -> Value {
    eventually("messages", async || {
        let said = relayctl(sandbox, &["queue", "--output", "json"]).await;
        let json = said.json(said.code.expect("an exit code"));
        (json["Messages"].as_array().map(Vec::len) == Some(count)).then_some(json)
    })
    .await
}

fn event(command_id: &str) -> Value {
    json!({
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "source": "aws.ssm",
        "detail-type": "EC2 Command Status-change Notification",
        "time": "2026-11-22T10:00:00Z",
        "detail": { "command-id": command_id, "status": "Success" },
    })
}

/// What Lambda sends to an on-failure destination.
fn lambdas_record(event: &Value, error: &str) -> Value {
    json!({
        "version": "1.0",
        "requestContext": { "condition": "RetriesExhausted", "approximateInvokeCount": 3 },
        "requestPayload": event,
        "responsePayload": { "errorType": error, "errorMessage": "answering the task" },
    })
}

/// Sends a message to the on-failure queue; with the attributes of a dead letter of EventBridge if there
/// is an error code.
async fn send(sandbox: &Sandbox, body: &Value, error_code: Option<&str>) {
    let mut message = json!({
        "QueueUrl": sandbox.ready().stack.outputs["OnFailureQueueUrl"],
        "MessageBody": body.to_string(),
    });
    if let Some(code) = error_code {
        message["MessageAttributes"] =
            json!({ "ERROR_CODE": { "DataType": "String", "StringValue": code } });
    }
    sandbox.call("sqs", "AmazonSQS.SendMessage", &message).await;
}

/// Invokes the relay as EventBridge does: Lambda tries again, and then keeps the event in the queue.
fn invoke_later(sandbox: &Sandbox, event: &Value) {
    let file = sandbox.directory().join("event.json");
    fs::write(&file, event.to_string()).expect("a file");
    let (payload, answer) = (format!("fileb://{}", file.display()), file.with_extension("answer"));
    let function = format!("{STACK}-relay");
    let answer = answer.to_str().expect("a path");
    let invoke = ["lambda", "invoke", "--invocation-type", "Event", "--function-name", &function];
    sandbox.aws_cli(&[&invoke[..], &["--payload", &payload, answer]].concat());
}

fn message<'a>(json: &'a Value, command_id: &str) -> &'a Value {
    let messages = json["Messages"].as_array().expect("messages");
    let found = messages.iter().find(|message| message["CommandId"] == command_id);
    found.unwrap_or_else(|| panic!("{command_id} is not in {json}"))
}
