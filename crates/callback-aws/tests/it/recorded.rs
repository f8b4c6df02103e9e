//! Answers of Run Command in the shapes that production sends, and what the task is told: from the
//! wire through `settle` to the wire.

use callback::{CommandId, Hint, settle};
use callback_aws::testing::aws_server::Reply;
use serde_json::{Value, json};

use crate::wire::server_and_clients;

const COMMAND_ID: &str = "5d1c3a70-2b4e-4f6a-9c8d-0e1f2a3b4c5d";
const NODE: &str = "i-0aaaaaaaaaaaaaaa1";
const TOKEN: &str = "AAAAKgAAAAIAAAAAAAAAAUTokenOfTheRecordedAnswers+/==";
const SEPARATOR: &str = "\n----------ERROR-------\n";

/// The answers of Run Command about one command.
struct Recorded {
    command: Value,
    invocations: Vec<Value>,
    /// What `GetCommandInvocation` answers for each step that is read in full, in order.
    outputs: Vec<Value>,
}

/// A command that ended so on these nodes.
fn recorded(status: &str, details: &str, invocations: Vec<Value>) -> Recorded {
    let command = json!({
        "CommandId": COMMAND_ID, "DocumentName": "SfnRunShellScript", "DocumentVersion": "",
        "Comment": "", "ExpiresAfter": 1_795_345_200.5,
        "Parameters": { "commands": ["make all"], "taskToken": [TOKEN] },
        "InstanceIds": [NODE], "Targets": [], "RequestedDateTime": 1_795_341_600.5,
        "Status": status, "StatusDetails": details,
        "OutputS3BucketName": "", "OutputS3KeyPrefix": "", "MaxConcurrency": "50", "MaxErrors": "0",
        "TargetCount": invocations.len(), "CompletedCount": invocations.len(), "ErrorCount": 0,
        "DeliveryTimedOutCount": 0, "ServiceRole": "",
        "NotificationConfig":
            { "NotificationArn": "", "NotificationEvents": [], "NotificationType": "" },
        "CloudWatchOutputConfig": { "CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false }
    });
    Recorded { command, invocations, outputs: Vec::new() }
}

fn invocation(node: &str, status: &str, details: &str, steps: Vec<Value>) -> Value {
    json!({
        "CommandId": COMMAND_ID, "InstanceId": node, "InstanceName": "", "Comment": "",
        "DocumentName": "SfnRunShellScript", "DocumentVersion": "",
        "RequestedDateTime": 1_795_341_600.5, "Status": status, "StatusDetails": details,
        "StandardOutputUrl": "", "StandardErrorUrl": "", "CommandPlugins": Value::Array(steps)
    })
}

/// A step that began and ended.
fn step(name: &str, details: &str, code: i32, output: &str) -> Value {
    json!({
        "Name": name, "Status": if details == "ExecutionTimedOut" { "TimedOut" } else { details },
        "StatusDetails": details, "ResponseCode": code,
        "ResponseStartDateTime": 1_795_341_601.25, "ResponseFinishDateTime": 1_795_341_602.25,
        "Output": output, "StandardOutputUrl": "", "StandardErrorUrl": "",
        "OutputS3Region": "eu-central-1", "OutputS3BucketName": "", "OutputS3KeyPrefix": ""
    })
}

fn one_step(details: &str, code: i32, output: &str) -> Vec<Value> {
    vec![step("aws:runShellScript", details, code, output)]
}

fn full_output(stdout: &str, stderr: &str) -> Value {
    json!({ "StandardOutputContent": stdout, "StandardErrorContent": stderr, "ResponseCode": 0 })
}

/// What the task is told: the error name if it fails, and the report.
async fn told(recorded: Recorded) -> (Option<String>, Value) {
    let (server, clients) = server_and_clients().await;
    let Recorded { command, invocations, outputs } = recorded;
    let reads = outputs.len();
    server.script("ListCommands", [Reply::Answer(json!({ "Commands": [command] }))]);
    let page = json!({ "CommandInvocations": invocations });
    server.script("ListCommandInvocations", [Reply::Answer(page)]);
    server.script("GetCommandInvocation", outputs.into_iter().map(Reply::Answer));
    for answer in ["SendTaskSuccess", "SendTaskFailure"] {
        server.script(answer, [Reply::Answer(json!({}))]);
    }
    let id = CommandId::parse(COMMAND_ID).unwrap();

    settle(&clients.ssm, &clients.step_functions, &id, Hint::Ended).await.unwrap();

    assert_eq!(server.calls("GetCommandInvocation").len(), reads);
    let answers = [server.calls("SendTaskSuccess"), server.calls("SendTaskFailure")].concat();
    let [answer] = &answers[..] else { panic!("one answer expected: {answers:?}") };
    let report = answer["output"].as_str().or(answer["cause"].as_str()).unwrap();
    assert_eq!(answer["taskToken"], TOKEN);
    assert!(!report.contains(TOKEN));
    (answer["error"].as_str().map(str::to_owned), serde_json::from_str(report).unwrap())
}

async fn told_as_success(recorded: Recorded) -> Value {
    let (error, output) = told(recorded).await;
    assert_eq!(error, None);
    output
}

async fn told_as_failure(recorded: Recorded, expected: &str) -> Value {
    let (error, cause) = told(recorded).await;
    assert_eq!(error.as_deref(), Some(expected));
    cause
}

#[tokio::test]
async fn standard_error_of_16_000_characters_is_whole() {
    let (stdout, stderr) = ("Unpacking …\n", format!("‘tool.deb’ {}\n", ".".repeat(16_300)));
    let listed = format!("{stdout}{SEPARATOR}{}\n---Error truncated----", &stderr[..2_400]);
    let node = invocation(NODE, "Success", "Success", one_step("Success", 0, &listed));
    let outputs = vec![full_output(stdout, &stderr)];
    let output =
        told_as_success(Recorded { outputs, ..recorded("Success", "Success", vec![node]) }).await;
    let node = &output["Invocations"][0];
    assert_eq!((&node["StandardErrorContent"], &node["ResponseCode"]), (&json!(stderr), &json!(0)));
    assert_eq!(node["OutputTruncated"], false);
}

#[tokio::test]
async fn standard_output_that_the_agent_cut_at_24_000_bytes_is_truncated() {
    let listed = format!("{}\n---Output truncated---", "x".repeat(2_476));
    let node = invocation(NODE, "Success", "Success", one_step("Success", 0, &listed));
    let kept = format!("{}--output truncated--", "x".repeat(23_980));
    let outputs = vec![full_output(&kept, "")];
    let output =
        told_as_success(Recorded { outputs, ..recorded("Success", "Success", vec![node]) }).await;
    let node = &output["Invocations"][0];
    assert_eq!(node["StandardOutputContent"], kept);
    assert_eq!(node["OutputTruncated"], true);
}

#[tokio::test]
async fn an_answer_without_newer_fields_is_understood() {
    let step = one_step("Success", 0, "eth0: up\n");
    let mut recorded =
        recorded("Success", "Success", vec![invocation(NODE, "Success", "Success", step)]);
    let command = recorded.command.as_object_mut().unwrap();
    for newer in ["DeliveryTimedOutCount", "CloudWatchOutputConfig", "DocumentVersion"] {
        command.remove(newer).unwrap();
    }
    let output = told_as_success(recorded).await;
    assert_eq!(output["DeliveryTimedOutCount"], 0);
    assert_eq!(output["Invocations"][0]["StandardOutputContent"], "eth0: up\n");
}

#[tokio::test]
async fn the_comment_and_the_log_group_are_those_of_the_command() {
    let node = |id| {
        let mut node = invocation(id, "Success", "Success", one_step("Success", 0, "ok"));
        node["Comment"] = json!("00000000-0000-0000-0000-000000000000:of-the-service");
        node["OutputS3KeyPrefix"] = json!("logs/of/this/node");
        node
    };
    let mut recorded =
        recorded("Success", "Success", vec![node(NODE), node("mi-00000000000000002")]);
    recorded.command["Comment"] = json!("nightly");
    recorded.command["CloudWatchOutputConfig"] =
        json!({ "CloudWatchLogGroupName": "/fleet", "CloudWatchOutputEnabled": true });
    let output = told_as_success(recorded).await;
    assert_eq!(output["Comment"], "nightly");
    assert_eq!(output["CloudWatchLogGroupName"], "/fleet");
    assert_eq!(output["Invocations"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_log_group_that_gets_no_output_and_an_empty_comment_are_not_told() {
    let node = invocation(NODE, "Success", "Success", one_step("Success", 0, ""));
    let mut recorded = recorded("Success", "Success", vec![node]);
    recorded.command["CloudWatchOutputConfig"]["CloudWatchLogGroupName"] = json!("/fleet");
    let output = told_as_success(recorded).await;
    assert!(output.get("CloudWatchLogGroupName").is_none() && output.get("Comment").is_none());
    assert!(output["Invocations"][0].get("TraceOutput").is_none());
}

#[tokio::test]
async fn a_script_that_ran_too_long_has_exit_code_137() {
    let step = one_step("ExecutionTimedOut", 137, "");
    let node = invocation(NODE, "TimedOut", "ExecutionTimedOut", step);
    let recorded = recorded("TimedOut", "ExecutionTimedOut", vec![node]);
    let cause = told_as_failure(recorded, "RunCommand.ExecutionTimedOut").await;
    assert_eq!(cause["Invocations"][0]["ResponseCode"], 137);
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_has_no_exit_code_with_or_without_a_step() {
    let pending = json!({
        "Name": "aws:runShellScript", "Status": "Failed", "StatusDetails": "Undeliverable",
        "ResponseCode": -1, "Output": ""
    });
    for steps in [vec![pending], vec![]] {
        let node = invocation(NODE, "Failed", "Undeliverable", steps);
        let recorded = recorded("Failed", "Undeliverable", vec![node]);
        let cause = told_as_failure(recorded, "RunCommand.Undeliverable").await;
        let node = &cause["Invocations"][0];
        assert_eq!(
            (&node["ResponseCode"], &node["ExecutionStartDateTime"]),
            (&json!(-1), &json!(""))
        );
    }
}

#[tokio::test]
async fn a_document_that_is_named_by_its_arn_is_told_so_and_colours_come_through() {
    let text = "resolving \u{1b}[32m+++\u{1b}[0m\tdone\n";
    let node = invocation(NODE, "Success", "Success", one_step("Success", 0, text));
    let mut recorded = recorded("Success", "Success", vec![node]);
    let arn = "arn:aws:ssm:eu-central-1::document/SfnRunShellScript";
    recorded.command["DocumentName"] = json!(arn);
    let output = told_as_success(recorded).await;
    assert_eq!(output["DocumentName"], arn);
    assert_eq!(output["Invocations"][0]["StandardOutputContent"], text);
}

#[tokio::test]
async fn a_status_in_capitals_is_understood_and_a_step_without_a_name_too() {
    let nameless = json!({
        "Name": "", "Status": "Success", "StatusDetails": "Success", "ResponseCode": -1, "Output": ""
    });
    let node = invocation(NODE, "SUCCESS", "SUCCESS", vec![nameless]);
    let output = told_as_success(recorded("SUCCESS", "SUCCESS", vec![node])).await;
    assert_eq!(
        (&output["Status"], &output["StatusDetails"]),
        (&json!("Success"), &json!("Success"))
    );
    assert_eq!(output["Invocations"][0]["ResponseCode"], -1);
}

#[tokio::test]
async fn a_document_that_the_agent_refused_tells_why_and_never_the_token() {
    let mut node = invocation(NODE, "Failed", "Failed", vec![]);
    node["TraceOutput"] = json!(format!("value /{TOKEN}/ is not allowed, {}", &TOKEN[..20]));
    let cause =
        told_as_failure(recorded("Failed", "Failed", vec![node]), "RunCommand.Failed").await;
    let node = &cause["Invocations"][0];
    assert_eq!(node["TraceOutput"], "value /[task token]/ is not allowed, [task token]");
    assert_eq!(node["ResponseCode"], -1);
}

#[tokio::test]
async fn a_trace_of_a_step_that_ran_is_not_told() {
    let step = one_step("Failed", 1, &format!("{SEPARATOR}failed to run commands: exit status 1"));
    let mut node = invocation(NODE, "Failed", "Failed", step);
    node["TraceOutput"] = json!("of no use");
    let cause =
        told_as_failure(recorded("Failed", "Failed", vec![node]), "RunCommand.Failed").await;
    assert!(cause["Invocations"][0].get("TraceOutput").is_none());
}

const SKIPPED: &str = "Step execution skipped due to unsatisfied preconditions: \
                       '\"StringEquals\": [platformType, Windows]'. Step name: onWindows";

#[tokio::test]
async fn a_skipped_step_beside_one_that_ran_is_no_output_of_the_script() {
    let after_exit = "Plugin with name aws:runShellScript and id last skipped due to prior step \
                      with an exit condition";
    let steps = vec![
        step("onWindows", "Success", 0, SKIPPED),
        step("onLinux", "Success", 168, "done\n"),
        step("last", "Success", 0, after_exit),
    ];
    let node = invocation(NODE, "Success", "Success", steps);
    let output = told_as_success(recorded("Success", "Success", vec![node])).await;
    let node = &output["Invocations"][0];
    assert_eq!(
        (&node["StandardOutputContent"], &node["ResponseCode"]),
        (&json!("done\n"), &json!(168))
    );
    assert!(node.get("TraceOutput").is_none());
}

#[tokio::test]
async fn a_node_whose_steps_were_all_skipped_tells_why() {
    let silent = json!({
        "Name": "onMacOS", "Status": "Success", "StatusDetails": "Skipped", "ResponseCode": 0
    });
    let steps = vec![step("onWindows", "Success", 0, SKIPPED), silent];
    let node = invocation(NODE, "Success", "Success", steps);
    let recorded = recorded("Success", "Success", vec![node]);
    let cause = told_as_failure(recorded, "RunCommand.InvalidPlatform").await;
    let node = &cause["Invocations"][0];
    assert_eq!(node["StandardOutputContent"], "");
    assert_eq!(node["TraceOutput"], SKIPPED);
}

#[tokio::test]
async fn a_script_that_prints_the_agents_separator_is_told_whole() {
    let stdout = format!("first{SEPARATOR}second\n");
    let node = invocation(NODE, "Success", "Success", one_step("Success", 0, &stdout));
    let outputs = vec![full_output(&stdout, "")];
    let output =
        told_as_success(Recorded { outputs, ..recorded("Success", "Success", vec![node]) }).await;
    let node = &output["Invocations"][0];
    assert_eq!(
        (&node["StandardOutputContent"], &node["StandardErrorContent"]),
        (&json!(stdout), &json!(""))
    );
}
