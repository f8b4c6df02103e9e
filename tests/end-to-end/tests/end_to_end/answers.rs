//! What a task is told: status, output, error and cause, for every way in which a command ends.

use std::fs;

use aws_sdk_sfn::types::ExecutionStatus;
use rstest::rstest;
use sandbox_client::{NODES, OWN_DOCUMENT, Sandbox, eventually};
use serde_json::{Value, json};

use crate::{borrowed, name_of, node, shell_task, task};

/// The names of the fields of an object, in alphabetical order.
fn fields(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    let mut fields: Vec<_> = object.keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

/// Checks that a report has the fields that are promised, no others, and each of its type.
#[track_caller]
fn check_shape(report: &Value) {
    let mut wanted = [
        "CommandId",
        "DocumentName",
        "Status",
        "StatusDetails",
        "RequestedDateTime",
        "TargetCount",
        "CompletedCount",
        "ErrorCount",
        "DeliveryTimedOutCount",
        "Invocations",
        "InvocationsOmitted",
    ];
    wanted.sort_unstable();
    // A task need not give its command a comment.
    let told: Vec<_> = fields(report).into_iter().filter(|name| *name != "Comment").collect();
    assert_eq!(told, wanted);
    for text in ["CommandId", "DocumentName", "Status", "StatusDetails", "RequestedDateTime"] {
        assert!(report[text].is_string(), "{text}: {report}");
    }
    for count in [
        "TargetCount",
        "CompletedCount",
        "ErrorCount",
        "DeliveryTimedOutCount",
        "InvocationsOmitted",
    ] {
        assert!(report[count].is_u64(), "{count}: {report}");
    }
    let mut wanted = [
        "InstanceId",
        "Status",
        "StatusDetails",
        "ResponseCode",
        "ExecutionStartDateTime",
        "ExecutionEndDateTime",
        "StandardOutputContent",
        "StandardErrorContent",
        "OutputTruncated",
        "StandardOutputUrl",
        "StandardErrorUrl",
    ];
    wanted.sort_unstable();
    for entry in report["Invocations"].as_array().expect("a list") {
        assert_eq!(fields(entry), wanted);
        assert!(entry["ResponseCode"].is_i64(), "{entry}");
        assert!(entry["OutputTruncated"].is_boolean(), "{entry}");
    }
}

#[rstest]
#[case::json_path("run-command-by-instance-ids")]
#[case::jsonata("run-command-by-instance-ids-jsonata")]
#[tokio::test]
async fn a_script_on_one_node_succeeds_with_its_output(#[case] state_machine: &str) {
    let sandbox = Sandbox::shared().await;
    let input = json!({
        "InstanceIds": [NODES[0]],
        "Commands": ["echo \"hello from $AWS_SSM_INSTANCE_ID\"", "echo careful >&2"],
    });
    let execution = sandbox.start_execution(&Sandbox::state_machine(state_machine), &input).await;
    let ended = sandbox.execution_ended(&execution).await;

    let output = ended.success();
    check_shape(output);
    let commands = sandbox.commands_of(&execution).await;
    assert_eq!([output["CommandId"].as_str().unwrap()], *commands);
    assert_eq!(output["DocumentName"], "SfnRunShellScript");
    assert_eq!(output["Comment"], name_of(&execution));
    assert_eq!(
        (&output["Status"], &output["StatusDetails"]),
        (&json!("Success"), &json!("Success"))
    );
    let counts = ["TargetCount", "CompletedCount", "ErrorCount", "DeliveryTimedOutCount"];
    assert_eq!(counts.map(|count| &output[count]), [1, 1, 0, 0]);
    assert_eq!(output["Invocations"].as_array().unwrap().len(), 1);
    assert_eq!(output["InvocationsOmitted"], 0);
    let node = node(output, NODES[0]);
    assert_eq!((&node["Status"], &node["StatusDetails"]), (&json!("Success"), &json!("Success")));
    assert_eq!(node["ResponseCode"], 0);
    assert_eq!(node["StandardOutputContent"], format!("hello from {}\n", NODES[0]));
    assert_eq!(node["StandardErrorContent"], "careful\n");
    assert_eq!(node["OutputTruncated"], false);
    let times = ["ExecutionStartDateTime", "ExecutionEndDateTime"].map(|name| {
        let time: jiff::Timestamp = node[name].as_str().unwrap().parse().expect("a time");
        time
    });
    assert!(times.is_sorted(), "{times:?}");
}

#[rstest]
#[case::json_path("run-command-by-targets")]
#[case::jsonata("run-command-by-targets-jsonata")]
#[tokio::test]
async fn a_script_on_three_nodes_by_tag_succeeds_with_three_outputs(#[case] state_machine: &str) {
    let sandbox = Sandbox::shared().await;
    let input = json!({
        "Targets": [{ "Key": "tag:Role", "Values": ["web"] }],
        "Commands": ["echo \"hello from $AWS_SSM_INSTANCE_ID\""],
    });
    let ended = sandbox.run(&Sandbox::state_machine(state_machine), &input).await;

    let output = ended.success();
    check_shape(output);
    assert_eq!((&output["TargetCount"], &output["CompletedCount"]), (&json!(3), &json!(3)));
    let entries = output["Invocations"].as_array().unwrap();
    let ids: Vec<_> = entries.iter().map(|entry| entry["InstanceId"].as_str().unwrap()).collect();
    assert_eq!(ids, NODES);
    for id in NODES {
        assert_eq!(node(output, id)["StandardOutputContent"], format!("hello from {id}\n"));
    }
}

#[rstest]
#[case::json_path("run-command-by-instance-ids")]
#[case::jsonata("run-command-by-instance-ids-jsonata")]
#[tokio::test]
async fn a_script_that_exits_3_fails_and_the_cause_tells_all(#[case] state_machine: &str) {
    let sandbox = Sandbox::shared().await;
    let input = json!({
        "InstanceIds": [NODES[1]],
        "Commands": ["echo 'so \"far\" so good'", "echo 'disk is full' >&2", "exit 3"],
    });
    let ended = sandbox.run(&Sandbox::state_machine(state_machine), &input).await;

    let cause = ended.failure("RunCommand.Failed");
    check_shape(&cause);
    assert_eq!((&cause["Status"], &cause["StatusDetails"]), (&json!("Failed"), &json!("Failed")));
    assert_eq!((&cause["TargetCount"], &cause["ErrorCount"]), (&json!(1), &json!(1)));
    let node = node(&cause, NODES[1]);
    assert_eq!(node["ResponseCode"], 3);
    assert_eq!(node["StandardOutputContent"], "so \"far\" so good\n");
    let stderr = node["StandardErrorContent"].as_str().unwrap();
    assert!(stderr.starts_with("disk is full\n"), "{stderr}");
}

#[rstest]
#[case::json_path("run-command-by-instance-ids", json!("5"))]
#[case::jsonata("run-command-by-instance-ids-jsonata", json!(5))]
#[tokio::test]
async fn a_script_over_its_execution_timeout_fails(
    #[case] state_machine: &str,
    #[case] execution_timeout: Value,
) {
    let sandbox = Sandbox::shared().await;
    let input = json!({
        "InstanceIds": [NODES[2]],
        "Commands": ["echo started", "sleep 60"],
        "ExecutionTimeout": execution_timeout,
    });
    let ended = sandbox.run(&Sandbox::state_machine(state_machine), &input).await;

    let cause = ended.failure("RunCommand.ExecutionTimedOut");
    check_shape(&cause);
    assert_eq!(cause["Status"], "TimedOut");
    let node = node(&cause, NODES[2]);
    assert_eq!(node["StatusDetails"], "ExecutionTimedOut");
    assert_eq!(node["ResponseCode"], 137);
    assert_eq!(node["StandardOutputContent"], "started\n");
}

#[tokio::test]
async fn two_executions_at_once_get_their_own_outputs() {
    let sandbox = Sandbox::shared().await;
    let machine = Sandbox::state_machine("run-command-by-instance-ids");
    let barriers = [sandbox.barrier(NODES[0]), sandbox.barrier(NODES[0])];
    let input = |name: &str, barrier: &str| json!({ "InstanceIds": [NODES[0]], "Commands": [barrier, format!("echo {name}")] });
    let (first, second) =
        (input("first", &barriers[0].line()), input("second", &barriers[1].line()));
    let first = sandbox.start_execution(&machine, &first).await;
    let second = sandbox.start_execution(&machine, &second).await;
    // Both run, and the later one ends first.
    let commands = [sandbox.commands_of(&first).await, sandbox.commands_of(&second).await].concat();
    barriers[1].open();
    let second = sandbox.execution_ended(&second).await;
    barriers[0].open();
    let first = sandbox.execution_ended(&first).await;

    for (ended, name, command) in
        [(first, "first\n", &commands[0]), (second, "second\n", &commands[1])]
    {
        let output = ended.success();
        assert_eq!(output["CommandId"], **command);
        assert_eq!(node(output, NODES[0])["StandardOutputContent"], name);
    }
}

#[tokio::test]
async fn a_failure_can_be_caught_by_its_name_and_read_from_its_cause() {
    let sandbox = Sandbox::shared().await;
    let mut run = shell_task(&[NODES[0]], &["echo half", "exit 5"]);
    run["Catch"] = json!([{ "ErrorEquals": ["RunCommand.Failed"], "Next": "ReadCause" }]);
    let definition = json!({
        "StartAt": "RunScript",
        "States": {
            "RunScript": run,
            "ReadCause": {
                "Type": "Pass",
                "Parameters": { "Report.$": "States.StringToJson($.Cause)" },
                "OutputPath": "$.Report",
                "End": true,
            },
        },
    });
    let machine = sandbox.create_state_machine(&definition).await;
    let ended = sandbox.run(&machine, &json!({})).await;
    let report = ended.success();
    check_shape(report);
    let node = node(report, NODES[0]);
    assert_eq!(
        (&node["ResponseCode"], &node["StandardOutputContent"]),
        (&json!(5), &json!("half\n"))
    );
}

#[tokio::test]
async fn every_attempt_of_a_task_gets_the_answer_of_its_own_command() {
    let sandbox = Sandbox::shared().await;
    let barrier = sandbox.barrier(NODES[1]);
    // The first attempt finds the barrier closed, opens it for the second one, and fails.
    let script = format!("[ -e {0} ] || {{ touch {0}; exit 1; }}", barrier.name());
    let mut run = shell_task(&[NODES[1]], &[&script, "echo second"]);
    run["Retry"] = json!([{
        "ErrorEquals": ["RunCommand.Failed"], "IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 1,
    }]);
    let execution = sandbox.start_task(&run).await;
    let ended = sandbox.execution_ended(&execution).await;
    let output = ended.success();
    assert_eq!(node(output, NODES[1])["StandardOutputContent"], "second\n");
    let commands = sandbox.commands_of(&execution).await;
    assert_eq!(commands.len(), 2);
    assert_eq!(output["CommandId"], *commands[1]);
    for (command, outcome) in commands.iter().zip(["Failed", "Succeeded"]) {
        assert_eq!(sandbox.relay_outcomes_of(command, 1).await, [outcome]);
    }
}

#[tokio::test]
async fn on_failure_report_answers_a_failure_as_data() {
    let sandbox = Sandbox::shared().await;
    let mut run = shell_task(&[NODES[0]], &["echo checked", "exit 7"]);
    run["Parameters"]["Parameters"]["onFailure"] = json!(["Report"]);
    let ended = sandbox.run_task(&run).await;
    let output = ended.success();
    check_shape(output);
    assert_eq!((&output["Status"], &output["StatusDetails"]), (&json!("Failed"), &json!("Failed")));
    let node = node(output, NODES[0]);
    assert_eq!(
        (&node["ResponseCode"], &node["StandardOutputContent"]),
        (&json!(7), &json!("checked\n"))
    );
}

#[tokio::test]
async fn targets_that_match_no_node_are_a_failure() {
    let sandbox = Sandbox::shared().await;
    let input = json!({
        "Targets": [{ "Key": "tag:Role", "Values": ["nobody-has-this"] }],
        "Commands": ["echo never"],
    });
    let ended = sandbox.run(&Sandbox::state_machine("run-command-by-targets"), &input).await;
    let cause = ended.failure("RunCommand.NoInstancesInTag");
    check_shape(&cause);
    // The trap: Run Command itself calls this a success.
    assert_eq!((&cause["Status"], &cause["TargetCount"]), (&json!("Success"), &json!(0)));
    assert_eq!(cause["Invocations"], json!([]));
}

#[tokio::test]
async fn a_success_that_four_of_five_nodes_never_saw_is_a_failure() {
    let sandbox = Sandbox::shared().await;
    let mut nodes = sandbox.add_nodes(["undeliverable"; 4]);
    nodes.push(NODES[0].to_owned());
    let ended = sandbox.run_task(&shell_task(&borrowed(&nodes), &["echo here"])).await;
    let cause = ended.failure("RunCommand.Incomplete");
    check_shape(&cause);
    // The trap: Run Command itself calls this a success.
    assert_eq!((&cause["Status"], &cause["TargetCount"]), (&json!("Success"), &json!(5)));
    assert_eq!(node(&cause, NODES[0])["StandardOutputContent"], "here\n");
    for undelivered in &nodes[..4] {
        let entry = node(&cause, undelivered);
        assert_eq!(entry["StatusDetails"], "Undeliverable");
        assert_eq!(entry["ResponseCode"], -1);
    }
    // Failed nodes come first.
    assert_eq!(cause["Invocations"][4]["InstanceId"], NODES[0]);
}

#[tokio::test]
async fn nodes_that_refuse_a_command_fail_it() {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["access-denied"; 2]);
    let ended = sandbox.run_task(&shell_task(&borrowed(&nodes), &["echo never"])).await;
    let cause = ended.failure("RunCommand.AccessDenied");
    assert_eq!(node(&cause, &nodes[1])["StatusDetails"], "AccessDenied");
}

#[tokio::test]
async fn a_node_that_is_not_heard_of_fails_the_command_in_the_end() {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["silent"]);
    let mut run = shell_task(&borrowed(&nodes), &["echo never"]);
    // The shortest that Run Command and the document take: 35 seconds together.
    run["Parameters"]["TimeoutSeconds"] = json!(30);
    run["Parameters"]["Parameters"]["executionTimeout"] = json!(["5"]);
    let ended = sandbox.run_task(&run).await;
    let cause = ended.failure("RunCommand.DeliveryTimedOut");
    check_shape(&cause);
    assert_eq!(cause["DeliveryTimedOutCount"], 1);
    assert_eq!(node(&cause, &nodes[0])["StatusDetails"], "DeliveryTimedOut");
}

#[tokio::test]
async fn a_cancelled_command_fails_its_task() {
    let sandbox = Sandbox::shared().await;
    let barrier = sandbox.barrier(NODES[2]);
    let execution =
        sandbox.start_task(&shell_task(&[NODES[2]], &["echo begun", &barrier.line()])).await;
    let commands = sandbox.commands_of(&execution).await;
    let cancelled = sandbox.ssm.cancel_command().command_id(&commands[0]).send().await;
    cancelled.expect("the command is cancelled");
    let cause = sandbox.execution_ended(&execution).await.failure("RunCommand.Cancelled");
    check_shape(&cause);
    assert_eq!(cause["Status"], "Cancelled");
}

#[tokio::test]
async fn errors_over_the_limit_end_the_command_on_the_nodes_that_are_left() {
    let sandbox = Sandbox::shared().await;
    let mut run = shell_task(&NODES, &["exit 1"]);
    run["Parameters"]["MaxConcurrency"] = json!("1");
    run["Parameters"]["MaxErrors"] = json!("0");
    let cause = sandbox.run_task(&run).await.failure("RunCommand.Failed");
    assert_eq!((&cause["TargetCount"], &cause["ErrorCount"]), (&json!(3), &json!(1)));
    let details = NODES.map(|id| node(&cause, id)["StatusDetails"].as_str().unwrap());
    let count = |wanted: &str| details.iter().filter(|details| **details == wanted).count();
    assert_eq!((count("Failed"), count("Terminated")), (1, 2), "{details:?}");
}

#[tokio::test]
async fn a_command_that_was_never_sent_fails_its_task_at_once() {
    let sandbox = Sandbox::shared().await;
    let ended = sandbox.run_task(&shell_task(&["i-0123456789abcdef0"], &["echo never"])).await;
    assert_eq!(ended.status, ExecutionStatus::Failed);
    assert_eq!(ended.error.as_deref(), Some("Ssm.InvalidInstanceIdException"), "{ended:?}");
}

#[tokio::test]
async fn a_document_of_the_users_own_is_answered_too() {
    let sandbox = Sandbox::shared().await;
    sandbox.create_script_document(OWN_DOCUMENT, &["taskToken"]).await;
    let ended = sandbox.run_task(&task(OWN_DOCUMENT, &[NODES[0]], &["echo mine"])).await;
    let output = ended.success();
    check_shape(output);
    assert_eq!(output["DocumentName"], OWN_DOCUMENT);
    assert_eq!(node(output, NODES[0])["StandardOutputContent"], "mine\n");
}

#[rstest]
#[case::json_path("run-command-by-instance-ids")]
#[case::jsonata("run-command-by-instance-ids-jsonata")]
#[tokio::test]
async fn a_node_that_was_just_launched_is_waited_for(#[case] machine: &str) {
    let sandbox = Sandbox::shared().await;
    let id = sandbox.add_nodes(["online"]).remove(0);
    let home = sandbox.node_directory(&id);
    // It is no managed node yet.
    let launching = sandbox.directory().join(format!("launching-{id}"));
    fs::rename(&home, &launching).expect("the directory of the node");
    let input = json!({ "InstanceIds": [id], "Commands": ["set -eu", "echo ready"] });
    let execution = sandbox.start_execution(&Sandbox::state_machine(machine), &input).await;
    eventually("a refused attempt", async || {
        let request = sandbox.step_functions.get_execution_history().execution_arn(&execution);
        let history = request.send().await.expect("a history");
        let failed = history.events.iter().find_map(|event| event.task_failed_event_details());
        failed.map(|details| assert_eq!(details.error(), Some("Ssm.InvalidInstanceIdException")))
    })
    .await;
    fs::rename(&launching, &home).expect("the directory of the node");

    let ended = sandbox.execution_ended(&execution).await;
    assert_eq!(node(ended.success(), &id)["StandardOutputContent"], "ready\n");
    let command = sandbox.command(ended.success()["CommandId"].as_str().expect("an id")).await;
    assert_eq!(command.comment(), Some(name_of(&execution)));
}
