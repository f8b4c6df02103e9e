//! Why a task waits.

use jiff::Timestamp;
use sandbox_client::{NODES, Sandbox, eventually, task_token};
use serde_json::{Value, json};

use crate::{
    EXECUTION_NAME, NO_SWEEPS, command_of, machines, relayctl, relayctl_json, shape, task,
};

#[tokio::test]
async fn a_silent_node_is_named() {
    let sandbox = Sandbox::shared().await;
    let silent = &sandbox.add_nodes(["silent"])[0];
    let barrier = sandbox.barrier(NODES[0]);
    let nodes = [NODES[0], silent.as_str()];
    let execution = sandbox.start_task(&task(&nodes, &[&barrier.line()], EXECUTION_NAME)).await;
    let id = command_of(&sandbox, &execution).await;
    until_begun(&sandbox, &id, NODES[0]).await;

    let of_command = relayctl(&sandbox, &["explain", &id]).await.text(1);
    let of_execution = relayctl(&sandbox, &["explain", &execution]).await.text(1);
    insta::assert_snapshot!("a_silent_node", of_execution);
    // The execution is found by the command's comment.
    let (_, same) = of_execution.split_once("\n\n").expect("a heading of its own");
    let places = |text: &str| text.replace("ID-1", "ID").replace("ID-2", "ID");
    assert_eq!(places(&of_command), places(same));

    let json = relayctl_json(&sandbox, &["explain", &execution], 1).await;
    insta::assert_json_snapshot!("shape_of_explain", shape(&json));
    let nodes = json["Commands"][0]["Nodes"].as_array().expect("nodes");
    let node = nodes.iter().find(|node| node["InstanceId"] == silent.as_str()).expect("the node");
    assert_eq!(
        (&node["PingStatus"], &node["StartedDateTime"]),
        (&json!("ConnectionLost"), &Value::Null)
    );
    let time = |value: &Value| value.as_str().expect("a time").parse().expect("a time");
    let (pinged, requested): (Timestamp, Timestamp) = (
        time(&node["LastPingDateTime"]),
        time(&json["Commands"][0]["Command"]["RequestedDateTime"]),
    );
    assert!(pinged < requested, "{json}");
    let wrong = json["Commands"][0]["Wrong"].as_array().expect("what is wrong");
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0]["Sentence"].as_str().is_some_and(|text| text.contains(silent)), "{wrong:?}");
    barrier.open();
    sandbox.stop_execution(&execution).await;
}

#[tokio::test]
async fn a_running_script_is_fine() {
    let sandbox = Sandbox::shared().await;
    let node = &sandbox.add_nodes(["online"])[0];
    let barrier = sandbox.barrier(node);
    let mut task = task(&[node], &[&barrier.line()], EXECUTION_NAME);
    task["Parameters"]["Parameters"]["executionTimeout"] = json!(["600"]);
    task["Parameters"]["Parameters"]["errorName"] = json!(["NightlyJobFailed"]);
    let execution = sandbox.start_task(&task).await;
    let id = command_of(&sandbox, &execution).await;
    until_begun(&sandbox, &id, node).await;
    insta::assert_snapshot!(
        "a_running_script",
        relayctl(&sandbox, &["explain", &execution]).await.text(0)
    );
    barrier.open();
    sandbox.execution_ended(&execution).await.success();
    insta::assert_snapshot!(
        "an_execution_that_has_ended",
        relayctl(&sandbox, &["explain", &execution]).await.text(0)
    );
}

/// What it says is what the relay has said.
#[tokio::test]
async fn the_answer_is_that_of_the_relay() {
    let sandbox = Sandbox::shared().await;
    let long = "head -c 5000 /dev/zero | tr '\\0' x; exit 3";
    let execution = sandbox.start_task(&task(&NODES[..1], &[long], EXECUTION_NAME)).await;
    let cause = sandbox.execution_ended(&execution).await.failure("RunCommand.Failed");
    let id = command_of(&sandbox, &execution).await;
    insta::assert_snapshot!(
        "an_ended_command",
        relayctl(&sandbox, &["explain", &id]).await.text(0)
    );
    let json = relayctl_json(&sandbox, &["explain", &id], 0).await;
    let relay = json!({ "Answer": "Failure", "Error": "RunCommand.Failed", "Report": cause });
    assert_eq!(json["Commands"][0]["Relay"], relay);
}

/// Also where somebody has put it into the comment, and where the script prints it.
#[tokio::test]
async fn no_token_is_printed() {
    let sandbox = Sandbox::shared().await;
    let task = task(&NODES[..1], &["echo $TOKEN"], "$$.Task.Token");
    let mut task = task;
    task["Parameters"]["Parameters"].as_object_mut().expect("parameters").remove("commands");
    task["Parameters"]["Parameters"]["commands.$"] =
        json!("States.Array(States.Format('echo {}', $$.Task.Token))");
    let execution = sandbox.start_task(&task).await;
    let report = sandbox.execution_ended(&execution).await;
    let id = command_of(&sandbox, &execution).await;
    let command = sandbox.command(&id).await;
    let token = task_token(&command).expect("a token");
    let printed = report.success()["Invocations"][0]["StandardOutputContent"].to_string();
    assert!(printed.contains(token) && command.comment.as_deref() == Some(token), "{printed}");

    // `relayctl` looks for tokens in what is printed.
    let text = relayctl(&sandbox, &["explain", &id]).await.text(0);
    assert!(text.contains("Comment: [task token]."), "{text}");
    let json = relayctl_json(&sandbox, &["explain", &id], 0).await;
    let command = &json["Commands"][0];
    assert_eq!(command["Command"]["Comment"], "[task token]");
    let output = &command["Relay"]["Report"]["Invocations"][0]["StandardOutputContent"];
    assert_eq!(output, "[task token]\n");
}

#[tokio::test]
async fn an_automation_leads_to_its_command() {
    let sandbox = Sandbox::shared().await;
    let node = &sandbox.add_nodes(["silent"])[0];
    let task = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:startAutomationExecution.waitForTaskToken",
        "Parameters": {
            "DocumentName": "SfnRunCommandByInstanceIds",
            "Parameters": {
                "InstanceIds": [node],
                "taskToken.$": "States.Array($$.Task.Token)",
                "Commands": ["true"],
            },
        },
        "End": true,
    });
    let execution = sandbox.start_task(&task).await;
    let text = eventually("the command of the automation", async || {
        let said = relayctl(&sandbox, &["explain", &execution]).await;
        said.stdout.contains("Node ").then(|| said.text(1))
    })
    .await;
    insta::assert_snapshot!("an_automation", text);
    sandbox.stop_execution(&execution).await;
}

#[tokio::test]
async fn what_the_stack_cannot_answer_is_wrong() {
    let parameter = format!("StateMachineArns={}", machines("ops-*"));
    let sandbox = Sandbox::start(&[&NO_SWEEPS[..], &["--parameter", &parameter]].concat()).await;
    let barrier = sandbox.barrier(NODES[0]);
    let execution =
        sandbox.start_task(&task(&NODES[..1], &[&barrier.line()], EXECUTION_NAME)).await;
    let id = command_of(&sandbox, &execution).await;
    until_begun(&sandbox, &id, NODES[0]).await;
    let text = relayctl(&sandbox, &["explain", &execution]).await.text(1);
    insta::assert_snapshot!("a_state_machine_of_another_trust_zone", text);
    // Its executions are not looked for, either.
    let text = relayctl(&sandbox, &["explain", &id]).await.text(0);
    assert!(text.contains("Its execution is not known: the command's Comment"), "{text}");
    barrier.open();

    sandbox.create_script_document("Foreign", &["taskToken"]).await;
    let parameters = [("commands", "true"), ("taskToken", "a-token-of-nobody-at-all")];
    let foreign = sandbox.send_command("Foreign", NODES[1], &parameters).await;
    sandbox.command_ended(&foreign).await;
    let text = relayctl(&sandbox, &["explain", &foreign]).await.text(1);
    insta::assert_snapshot!("a_foreign_document", text);
}

/// Nothing has answered: the event was lost, and no sweep comes.
#[tokio::test]
async fn an_ended_command_whose_task_waits_is_about_to_be_answered() {
    let sandbox = Sandbox::start(&[&NO_SWEEPS[..], &["--drop-events", "1.0"]].concat()).await;
    let execution = sandbox.start_task(&task(&NODES[..1], &["true"], EXECUTION_NAME)).await;
    let id = command_of(&sandbox, &execution).await;
    sandbox.command_ended(&id).await;
    let text = relayctl(&sandbox, &["explain", &execution]).await.text(0);
    insta::assert_snapshot!("an_answer_that_is_due", text);
}

async fn until_begun(sandbox: &Sandbox, command: &str, node: &str) {
    eventually(&format!("the script on {node}"), async || {
        let json = relayctl_json_any(sandbox, command).await;
        let nodes = json["Commands"][0]["Nodes"].as_array().cloned().unwrap_or_default();
        let has_begun =
            |one: &Value| one["InstanceId"] == node && one["StartedDateTime"].is_string();
        nodes.iter().any(has_begun).then_some(())
    })
    .await;
}

async fn relayctl_json_any(sandbox: &Sandbox, command: &str) -> Value {
    let said = relayctl(sandbox, &["explain", command, "--output", "json"]).await;
    said.json(said.code.expect("an exit code"))
}
