//! The AWS CLI, as a user at a terminal has it.

use sandbox_client::{NODES, Sandbox, eventually};
use serde_json::{Value, json};

use crate::node;

#[tokio::test]
async fn the_aws_cli_runs_a_command_and_reads_it_back() {
    let sandbox = Sandbox::shared().await;
    let sent = sandbox.aws_cli(&[
        "ssm",
        "send-command",
        "--document-name",
        "AWS-RunShellScript",
        "--targets",
        &format!("Key=InstanceIds,Values={},{}", NODES[0], NODES[1]),
        "--comment",
        "from a terminal",
        "--parameters",
        "commands=[\"echo out\",\"echo err >&2\",\"exit 2\"]",
        "--max-errors",
        "5",
    ]);
    let id = sent["Command"]["CommandId"].as_str().expect("an id").to_owned();
    // Run Command finds the nodes of targets later.
    assert_eq!(sent["Command"]["TargetCount"], 0);
    sandbox.command_ended(&id).await;

    let listed = sandbox.aws_cli(&["ssm", "list-commands", "--command-id", &id]);
    let command = &listed["Commands"][0];
    assert_eq!(
        (&command["Status"], &command["StatusDetails"]),
        (&json!("Failed"), &json!("Failed"))
    );
    assert_eq!((&command["TargetCount"], &command["ErrorCount"]), (&json!(2), &json!(2)));
    assert_eq!(command["Comment"], "from a terminal");

    let listed =
        sandbox.aws_cli(&["ssm", "list-command-invocations", "--command-id", &id, "--details"]);
    let invocations = listed["CommandInvocations"].as_array().expect("a list");
    assert_eq!(invocations.len(), 2);
    for invocation in invocations {
        let plugin = &invocation["CommandPlugins"][0];
        assert_eq!(plugin["ResponseCode"], 2);
        let output = plugin["Output"].as_str().expect("a text");
        assert!(output.starts_with("out\n\n----------ERROR-------\nerr\n"), "{output:?}");
    }

    let read = sandbox.aws_cli(&[
        "ssm",
        "get-command-invocation",
        "--command-id",
        &id,
        "--instance-id",
        NODES[1],
    ]);
    assert_eq!(
        (&read["ResponseCode"], &read["StandardOutputContent"]),
        (&json!(2), &json!("out\n"))
    );
    let stderr = read["StandardErrorContent"].as_str().expect("a text");
    assert!(stderr.starts_with("err\n"), "{stderr:?}");
}

#[tokio::test]
async fn the_aws_cli_cancels_a_command() {
    let sandbox = Sandbox::shared().await;
    let gate = sandbox.gate(NODES[2]);
    let parameters = json!({ "commands": [gate.line()] }).to_string();
    let sent = sandbox.aws_cli(&[
        "ssm",
        "send-command",
        "--document-name",
        "AWS-RunShellScript",
        "--instance-ids",
        NODES[2],
        "--parameters",
        &parameters,
    ]);
    let id = sent["Command"]["CommandId"].as_str().expect("an id").to_owned();
    sandbox.aws_cli(&["ssm", "cancel-command", "--command-id", &id]);
    let cancelled = sandbox.command_ended(&id).await;
    assert_eq!(cancelled.status_details.as_deref(), Some("Cancelled"));
}

#[tokio::test]
async fn the_aws_cli_runs_a_state_machine() {
    let sandbox = Sandbox::shared().await;
    let machine = Sandbox::state_machine("run-command-by-instance-ids");
    let input = json!({ "InstanceIds": [NODES[0]], "Commands": ["echo hello"] }).to_string();
    let started = sandbox.aws_cli(&[
        "stepfunctions",
        "start-execution",
        "--state-machine-arn",
        &machine,
        "--input",
        &input,
    ]);
    let execution = started["executionArn"].as_str().expect("an ARN").to_owned();
    let described = eventually("the end of the execution", async || {
        let described = sandbox.aws_cli(&[
            "stepfunctions",
            "describe-execution",
            "--execution-arn",
            &execution,
        ]);
        (described["status"] != "RUNNING").then_some(described)
    })
    .await;
    assert_eq!(described["status"], "SUCCEEDED");
    let output = described["output"].as_str().expect("an output");
    let report: Value = serde_json::from_str(output).expect("an output is JSON");
    assert_eq!(node(&report, NODES[0])["StandardOutputContent"], "hello\n");
}
