//! Whether a stack is right: a fine one, and one that is broken on purpose, line by line.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use callback_aws::testing::aws_server::{AwsServer, Reply};
use sandbox_client::{ACCOUNT, NODES, REGION, Sandbox, eventually, python_tool, workspace};
use serde_json::{Value, json};

use crate::{STACK, check_lines, machines, program, relayctl, relayctl_json, run, shape};

/// The sandbox's nodes have this tag.
const TAG: [&str; 4] = ["--parameter", "NodeTagKey=Role", "--parameter", "NodeTagValue=web"];
const TOPIC: &str = "AlarmTopicArn=arn:aws:sns:us-east-1:123456789012:ops";
const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": []}"#;

#[tokio::test]
async fn a_fine_stack_is_fine() {
    let sandbox = &Sandbox::start(&[&TAG[..], &["--parameter", TOPIC]].concat()).await;
    sweep(sandbox).await;
    let role = role(sandbox, "nightly", &["StartCommandsPolicyArn"]);
    let fine = json!({ "TimeoutSeconds": 3600, "HeartbeatSeconds": 240 });
    create(sandbox, "nightly", &role, &state("sendCommand", "SfnRunShellScript", &fine), &[]);
    let arguments = ["check", "--state-machine", &machines("nightly")];
    insta::assert_snapshot!("a_fine_stack", relayctl(sandbox, &arguments).await.text(0));
    let json = relayctl_json(sandbox, &arguments, 0).await;
    insta::assert_json_snapshot!("shape_of_check", shape(&json));
    assert_eq!(to_look_at(&json), [].into());
}

/// Each line that can be wrong or deserve attention in a stack that still works.
#[tokio::test]
async fn what_was_changed_is_named() {
    let sandbox = &Sandbox::start(&[&TAG[..], &["--parameter", TOPIC]].concat()).await;
    fail_update(sandbox);
    let names = physical_ids(sandbox);
    let aws = |arguments: &[&str]| sandbox.aws_cli(arguments);
    let (relay, sweep) = (format!("{STACK}-relay"), format!("{STACK}-sweep"));

    aws(&["events", "disable-rule", "--name", &names["CommandEndedRule"]]);
    let target = format!("Id=other,Arn=arn:aws:sqs:{REGION}:{ACCOUNT}:other");
    let rule = ["--rule", &names["CommandEndedRule"]];
    aws(&[&["events", "put-targets"], &rule[..], &["--targets", &target]].concat());
    let rule = ["--rule", &names["ExecutionStoppedRule"]];
    aws(&[&["events", "remove-targets"], &rule[..], &["--ids", "sweep"]].concat());
    let pattern = r#"{"source": ["aws.states"], "detail": {"status": ["ABORTED"]}}"#;
    let rule = ["--name", &names["ExecutionStoppedRule"]];
    aws(&[&["events", "put-rule"], &rule[..], &["--event-pattern", pattern]].concat());
    let rule = ["--name", &names["SweepScheduleRule"]];
    aws(&[&["events", "put-rule"], &rule[..], &["--schedule-expression", "rate(2 hours)"]].concat());
    let target = json!([{ "Id": "sweep", "Arn": lambda_arn(&sweep) }]).to_string();
    let rule = ["--rule", &names["SweepScheduleRule"]];
    aws(&[&["events", "put-targets"], &rule[..], &["--targets", &target]].concat());
    for statement in statements(sandbox, &sweep, &names["SweepScheduleRule"]) {
        let statement = ["--statement-id", &statement];
        aws(&[&["lambda", "remove-permission", "--function-name", &sweep], &statement[..]].concat());
    }

    for (function, reserved) in [(&relay, "5"), (&sweep, "0")] {
        let reserved = ["--reserved-concurrent-executions", reserved];
        let put = ["lambda", "put-function-concurrency", "--function-name", function];
        aws(&[&put[..], &reserved].concat());
    }
    aws(&["lambda", "delete-function-event-invoke-config", "--function-name", &relay]);
    let configure = ["lambda", "update-function-configuration", "--function-name"];
    aws(&[&configure[..], &[&relay, "--runtime", "provided.al2"]].concat());
    let environment = ["--environment", "Variables={DOCUMENT_NAMES=Other}"];
    aws(&[&configure[..], &[&sweep], &environment].concat());

    aws(&["ssm", "delete-document", "--name", "SfnRunDocument"]);
    let content = aws(&["ssm", "get-document", "--name", "SfnRunShellScript"])["Content"]
        .as_str()
        .expect("content")
        .replace("for a Step Functions task", "for a task");
    let update = ["ssm", "update-document", "--name", "SfnRunShellScript", "--document-version"];
    aws(&[&update[..], &["$LATEST", "--content", &content]].concat());

    let sqs = |arguments: &[&str]| {
        // For SQS, the AWS CLI does not read the endpoint from its environment.
        let queue = ["--queue-url", &names["OnFailureQueue"]];
        aws(&[&["--endpoint-url", sandbox.endpoint_url(), "sqs"], arguments, &queue].concat())
    };
    sqs(&["send-message", "--message-body", "{}"]);
    sqs(&["set-queue-attributes", "--attributes", "Policy="]);

    alarm(sandbox, &names["SweepErrorsAlarm"], "ALARM");
    aws(&["cloudwatch", "delete-alarms", "--alarm-names", &names["RecoveredAlarm"]]);
    let quiet = ["--alarm-names", &names["SweepTruncatedAlarm"]];
    aws(&[&["cloudwatch", "disable-alarm-actions"], &quiet[..]].concat());
    for (function, metric, hours_ago) in
        [(&sweep, "Invocations", 2), (&relay, "Errors", 0), (&sweep, "Throttles", 0)]
    {
        metric_value(sandbox, function, metric, hours_ago);
    }
    silence(sandbox, NODES[0]);

    let json = relayctl_json(sandbox, &["check"], 1).await;
    let expected = [
        ("AlarmActions", "Attention"),
        ("CommandEndedRuleEnabled", "Wrong"),
        ("CommandEndedRuleOtherTargets", "Attention"),
        ("ExecutionStoppedRulePattern", "Wrong"),
        ("ExecutionStoppedRuleTarget", "Wrong"),
        ("NodesOnline", "Attention"),
        ("OnFailureQueueEmpty", "Wrong"),
        ("OnFailureQueuePolicy", "Wrong"),
        ("RecoveredAlarm", "Wrong"),
        ("RelayFunctionCode", "Wrong"),
        ("RelayFunctionConcurrency", "Attention"),
        ("RelayFunctionErrors", "Wrong"),
        ("RelayFunctionEvents", "Wrong"),
        ("RunDocumentDocument", "Wrong"),
        ("RunShellScriptDocument", "Wrong"),
        ("StackComplete", "Attention"),
        ("SweepErrorsAlarm", "Wrong"),
        ("SweepFunctionConcurrency", "Wrong"),
        ("SweepFunctionEnvironment", "Wrong"),
        ("SweepFunctionThrottles", "Attention"),
        ("SweepLastInvocation", "Wrong"),
        ("SweepScheduleRulePermission", "Wrong"),
        ("SweepScheduleRuleSchedule", "Wrong"),
        ("SweepScheduleRuleTarget", "Wrong"),
    ];
    assert_eq!(to_look_at(&json), expected.map(|(id, state)| (id.into(), state.into())).into());
    insta::assert_snapshot!("a_changed_stack", relayctl(sandbox, &["check"]).await.text(1));
    check_headings(&json);
}

/// Functions, rules and a queue that are gone, and parameters that deserve a look.
#[tokio::test]
async fn what_is_gone_is_named() {
    let parameters = [
        "--parameter",
        "ReserveConcurrency=false",
        "--parameter",
        "ExtraDocumentNames=Absent,WithoutToken,WithToken",
        "--parameter",
        "NodeTagValue=that-no-node-has",
    ];
    let sandbox = &Sandbox::start(&parameters).await;
    sandbox.create_script_document("WithoutToken", &[]).await;
    sandbox.create_script_document("WithToken", &["taskToken"]).await;
    let names = physical_ids(sandbox);
    let aws = |arguments: &[&str]| sandbox.aws_cli(arguments);
    sweep(sandbox).await;
    let json = relayctl_json(sandbox, &["check"], 1).await;
    let deserving = [
        ("AlarmActions", "Attention"),
        ("ExtraDocument", "Attention Wrong"),
        ("LambdaConcurrency", "Attention"),
        ("NodesTagged", "Attention"),
    ];
    let deserving: BTreeMap<String, String> =
        deserving.map(|(id, state)| (id.to_owned(), state.to_owned())).into();
    assert_eq!(to_look_at(&json), deserving);

    aws(&["lambda", "delete-function", "--function-name", &format!("{STACK}-relay")]);
    let rule = ["--rule", &names["SweepScheduleRule"]];
    aws(&[&["events", "remove-targets"], &rule[..], &["--ids", "sweep"]].concat());
    aws(&["events", "delete-rule", "--name", &names["SweepScheduleRule"]]);
    let queue = ["--queue-url", &names["OnFailureQueue"]];
    let endpoint = ["--endpoint-url", sandbox.endpoint_url()];
    aws(&[&endpoint[..], &["sqs", "delete-queue"], &queue].concat());
    let json = relayctl_json(sandbox, &["check"], 1).await;
    let mut expected = deserving;
    for id in [
        "CommandEndedRulePermission",
        "OnFailureQueueEmpty",
        "RelayFunctionActive",
        "SweepScheduleRuleEnabled",
    ] {
        expected.insert(id.to_owned(), "Wrong".to_owned());
    }
    assert_eq!(to_look_at(&json), expected);
    check_headings(&json);
    let text = relayctl(sandbox, &["check"]).await.text(1);
    let lost = "× Expected function run-command-relay-relay, the relay, got none: it was deleted. Tasks \
                 are answered by the sweep only, and late. See \
                 infra/RUNBOOK.md#resources-that-are-missing.";
    assert!(text.contains(lost), "{text}");
}

#[tokio::test]
async fn a_state_machine_must_be_able_to_start_commands_and_wait() {
    let only = format!("StateMachineArns={}", machines("ops-*"));
    let parameters = [&TAG[..], &["--parameter", &only, "--parameter", TOPIC]].concat();
    let sandbox = &Sandbox::start(&parameters).await;
    sweep(sandbox).await;
    let with = role(sandbox, "with", &["StartCommandsPolicyArn", "StartAutomationsPolicyArn"]);
    let without = role(sandbox, "without", &[]);
    let deleted = format!("arn:aws:iam::{ACCOUNT}:role/deleted");
    let command = |more: &Value| state("sendCommand", "SfnRunShellScript", more);
    let automation =
        |more: &Value| state("startAutomationExecution", "SfnRunCommandByTargets", more);
    let fine = json!({ "TimeoutSeconds": 3600, "HeartbeatSeconds": 240 });
    let express = &["--type", "EXPRESS"][..];
    for (name, role, task, options, code, expected) in [
        ("ops-fine", &with, command(&fine), &[][..], 0, &[][..]),
        ("ops-automation", &with, automation(&fine), &[], 0, &[]),
        ("ops-denied", &without, command(&fine), &[], 1, &[("StateMachineSendCommand", "Wrong")]),
        (
            "ops-denied-automation",
            &without,
            automation(&fine),
            &[],
            1,
            &[("StateMachineStartAutomation", "Wrong")],
        ),
        ("ops-deleted", &deleted, command(&fine), &[], 1, &[("StateMachineSendCommand", "Wrong")]),
        ("other", &with, command(&fine), &[], 1, &[("StateMachineAnswered", "Wrong")]),
        (
            "ops-short",
            &with,
            command(&json!({ "HeartbeatSeconds": 120 })),
            &[],
            0,
            &[("StateMachineHeartbeats", "Attention"), ("StateMachineTimeouts", "Attention")],
        ),
        (
            "ops-impossible",
            &with,
            command(&json!({ "TimeoutSeconds": 3600, "HeartbeatSeconds": 60 })),
            &[],
            1,
            &[("StateMachineHeartbeats", "Wrong")],
        ),
        ("ops-express", &with, command(&fine), express, 1, &[("StateMachineStandard", "Wrong")]),
    ] {
        create(sandbox, name, role, &task, options);
        let arguments = ["check", "--state-machine", &machines(name)];
        let json = relayctl_json(sandbox, &arguments, code).await;
        let expected = expected.iter().map(|&(id, state)| (id.to_owned(), state.to_owned()));
        assert_eq!(to_look_at(&json), expected.collect(), "{name}");
    }
    let (denied, nobodys) = (machines("ops-denied"), machines("ops-nobodys"));
    let both = ["check", "--state-machine", &denied, "--state-machine", &nobodys];
    let text = relayctl(sandbox, &both).await.text(1);
    let (_, of_machines) = text.split_once("\nState machine ").expect("a state machine");
    insta::assert_snapshot!("state_machines", of_machines);

    let elsewhere = machines("ops").replace(REGION, "eu-central-1");
    let problem = relayctl(sandbox, &["check", "--state-machine", &elsewhere]).await.problem();
    assert!(problem.contains("expected the ARN of a state machine of account"), "{problem}");
}

/// The sandbox lets its owner do everything, so another server denies all calls of a service.
#[tokio::test]
async fn a_missing_right_makes_its_own_lines_unknown() {
    let sandbox = &Sandbox::start(&[&TAG[..], &["--parameter", TOPIC]].concat()).await;
    sweep(sandbox).await;
    let server = AwsServer::start().await;
    for operation in ["DescribeDocument", "DescribeInstanceInformation", "DescribeRule"] {
        server.script(operation, [Reply::Error(400, "AccessDeniedException", "no")]);
    }
    for (service, rights, ids) in [
        (
            "SSM",
            &["ssm:DescribeDocument", "ssm:DescribeInstanceInformation"][..],
            &[
                "NodesTagged",
                "RunCommandByInstanceIdsDocument",
                "RunCommandByTargetsDocument",
                "RunDocumentDocument",
                "RunPowerShellScriptDocument",
                "RunShellScriptDocument",
            ][..],
        ),
        (
            "EVENTBRIDGE",
            &["events:DescribeRule"],
            &["CommandEndedRuleEnabled", "ExecutionStoppedRuleEnabled", "SweepScheduleRuleEnabled"],
        ),
    ] {
        let mut command = program(sandbox);
        command.env(format!("AWS_ENDPOINT_URL_{service}"), server.endpoint_url());
        command.args(["check", "--stack", STACK]);
        let mut in_json = program(sandbox);
        in_json.env(format!("AWS_ENDPOINT_URL_{service}"), server.endpoint_url());
        in_json.args(["check", "--stack", STACK, "--output", "json"]);
        // The processes call a server of this runtime.
        let both = tokio::task::spawn_blocking(move || (run(&mut command), run(&mut in_json)));
        let (said, in_json) = both.await.expect("runs");
        check_lines(&said);
        let text = said.text(2);
        for right in rights {
            let named = format!("could not be found out: the right {right} is missing");
            assert!(text.contains(&named), "{text}");
        }
        let expected = ids.iter().map(|&id| (id.to_owned(), "Unknown".to_owned()));
        assert_eq!(to_look_at(&in_json.json(2)), expected.collect());
    }
}

/// The lines that are neither good nor a fact, with what was found. Lines of the same name together.
fn to_look_at(json: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::<String, String>::new();
    for check in checks(json) {
        let state = check["State"].as_str().expect("a state");
        if ["Good", "Fact"].contains(&state) {
            continue;
        }
        let all = found.entry(check["Id"].as_str().expect("an id").to_owned()).or_default();
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(state);
    }
    found
}

fn checks(json: &Value) -> impl Iterator<Item = &Value> {
    let groups = json["Groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["Checks"].as_array().expect("checks"))
}

/// Each line that is wrong leads to a heading of the runbook.
fn check_headings(json: &Value) {
    let runbook = fs::read_to_string(workspace().join("infra/RUNBOOK.md")).expect("the runbook");
    let headings = runbook.lines().filter(|line| line.starts_with('#'));
    let anchors: Vec<_> = headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect();
    for check in checks(json).filter(|check| check["State"] == "Wrong") {
        let todo = check["Do"].as_str().expect("what to do");
        if todo.contains("infra/README.md#") {
            continue;
        }
        let (_, anchor) = todo.split_once("infra/RUNBOOK.md#").expect("a heading");
        assert!(anchors.iter().any(|known| known == anchor.trim_end_matches('.')), "{todo}");
    }
}

/// A sweep, which is in the metrics some time later.
pub(crate) async fn sweep(sandbox: &Sandbox) {
    let event = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
    sandbox.invoke(&format!("{STACK}-sweep"), &event).await;
    eventually("the sweep in the metrics", async || {
        let json = relayctl(sandbox, &["check", "--output", "json"]).await;
        let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
        let mut all = checks(&json);
        all.any(|check| check["Id"] == "SweepLastInvocation" && check["State"] == "Good")
            .then_some(())
    })
    .await;
}

/// The resources of the stack: names in the template, and names in AWS.
fn physical_ids(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let list = ["cloudformation", "list-stack-resources", "--stack-name", STACK];
    let listed = sandbox.aws_cli(&list);
    let all = listed["StackResourceSummaries"].as_array().expect("resources").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|one| (text(&one["LogicalResourceId"]), text(&one["PhysicalResourceId"]))).collect()
}

fn output(sandbox: &Sandbox, name: &str) -> String {
    let stacks = sandbox.aws_cli(&["cloudformation", "describe-stacks", "--stack-name", STACK]);
    let mut outputs = stacks["Stacks"][0]["Outputs"].as_array().expect("outputs").iter();
    let output = outputs.find(|output| output["OutputKey"] == name).expect("an output");
    output["OutputValue"].as_str().expect("a text").to_owned()
}

fn lambda_arn(function: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}")
}

/// The statements of a function's policy that are about this rule.
fn statements(sandbox: &Sandbox, function: &str, rule: &str) -> Vec<String> {
    let policy = sandbox.aws_cli(&["lambda", "get-policy", "--function-name", function]);
    let policy: Value =
        serde_json::from_str(policy["Policy"].as_str().expect("a policy")).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements").iter();
    let about_rule = statements.filter(|one| one["Condition"].to_string().contains(rule));
    about_rule.map(|one| one["Sid"].as_str().expect("an id").to_owned()).collect()
}

fn alarm(sandbox: &Sandbox, name: &str, state: &str) {
    let set = ["cloudwatch", "set-alarm-state", "--alarm-name", name, "--state-value", state];
    sandbox.aws_cli(&[&set[..], &["--state-reason", "by hand"]].concat());
}

/// One in a metric of a function, so many hours ago.
fn metric_value(sandbox: &Sandbox, function: &str, metric: &str, hours_ago: i64) {
    let time = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours_ago);
    let dimensions = format!("FunctionName={function}");
    let put = ["cloudwatch", "put-metric-data", "--namespace", "AWS/Lambda", "--value", "1"];
    let which = ["--metric-name", metric, "--dimensions", &dimensions, "--unit", "Count"];
    sandbox.aws_cli(&[&put[..], &which, &["--timestamp", &time.to_string()]].concat());
}

/// An update that Lambda refuses, and that is taken back.
fn fail_update(sandbox: &Sandbox) {
    let template = workspace().join("infra/template.yaml");
    let mut aws = Command::new(python_tool("aws"));
    let given = program(sandbox);
    aws.env_clear().envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
    aws.args(["cloudformation", "deploy", "--stack-name", STACK, "--template-file"]).arg(template);
    aws.args(["--s3-bucket", "sandbox-code", "--capabilities", "CAPABILITY_IAM"]);
    aws.args(["--region", REGION, "--parameter-overrides", "RelayMaxConcurrency=5000"]);
    let said = run(&mut aws);
    assert!(said.stderr.contains("Failed to create/update the stack"), "{said:?}");
}

/// The agent of a node stops.
fn silence(sandbox: &Sandbox, node: &str) {
    let file = sandbox.node_directory(node).join("node.json");
    let text = fs::read_to_string(&file).expect("the file of a node");
    let mut node: Value = serde_json::from_str(&text).expect("JSON");
    node["Agent"] = "silent".into();
    fs::write(file, node.to_string()).expect("the file of a node");
}

/// A role with policies that outputs of the stack name.
fn role(sandbox: &Sandbox, name: &str, policies: &[&str]) -> String {
    let create = ["iam", "create-role", "--role-name", name];
    sandbox.aws_cli(&[&create[..], &["--assume-role-policy-document", TRUST]].concat());
    for policy in policies {
        let attach = ["iam", "attach-role-policy", "--role-name", name, "--policy-arn"];
        sandbox.aws_cli(&[&attach[..], &[&output(sandbox, policy)]].concat());
    }
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// Creates a state machine of one task.
fn create(sandbox: &Sandbox, name: &str, role: &str, task: &Value, options: &[&str]) {
    let definition = json!({ "StartAt": "Run", "States": { "Run": task } }).to_string();
    let create = ["stepfunctions", "create-state-machine", "--name", name, "--role-arn", role];
    sandbox.aws_cli(&[&create[..], &["--definition", &definition], options].concat());
}

/// A task that waits for its token, with more fields.
fn state(api: &str, document: &str, more: &Value) -> Value {
    let mut state = json!({
        "Type": "Task",
        "Resource": format!("arn:aws:states:::aws-sdk:ssm:{api}.waitForTaskToken"),
        "Parameters": { "DocumentName": document },
        "End": true,
    });
    for (name, value) in more.as_object().expect("fields") {
        state[name] = value.clone();
    }
    state
}
