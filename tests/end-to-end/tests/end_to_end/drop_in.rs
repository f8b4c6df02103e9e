//! State machines that start an automation, as their users wrote them before, and the documents
//! that make them go on working.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_ssm::types::{
    AutomationExecution, AutomationExecutionStatus, Command, CommandStatus, DocumentFormat,
};
use rstest::rstest;
use sandbox_client::{NODES, Sandbox, eventually, workspace};
use serde_json::{Value, json};

use crate::{borrowed, node};

/// The node in the state machine of `tests/end-to-end/fixtures`.
const NODE_OF_FIXTURE: &str = "i-1234567890abcdef0";

/// A token that no task has, and long enough to be found in a log.
const TOKEN_OF_NOBODY: &str = "a-token-that-no-task-has-and-nobody-waits-for";

/// The state machine that users have, with only the node changed.
fn state_machine_of_users(node: &str) -> Value {
    let path = workspace().join("tests/end-to-end/fixtures/drop-in.asl.json");
    let definition = fs::read_to_string(path).expect("the state machine that users have");
    assert_eq!(definition.matches(NODE_OF_FIXTURE).count(), 1);
    serde_json::from_str(&definition.replace(NODE_OF_FIXTURE, node)).expect("it is JSON")
}

/// A task that starts an automation document, and waits.
fn automation_task(document: &str, parameters: &Value) -> Value {
    let mut parameters = parameters.clone();
    parameters["taskToken.$"] = json!("States.Array($$.Task.Token)");
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:startAutomationExecution.waitForTaskToken",
        "Parameters": { "DocumentName": document, "Parameters": parameters },
        "End": true,
    })
}

/// A task that runs a script on these nodes by way of `SfnRunCommandByInstanceIds`.
fn by_instance_ids(nodes: &[&str], script: &[&str]) -> Value {
    let parameters = json!({ "InstanceIds": nodes, "Commands": script });
    automation_task("SfnRunCommandByInstanceIds", &parameters)
}

/// An automation execution, once it has ended.
async fn automation_ended(sandbox: &Sandbox, id: &str) -> AutomationExecution {
    eventually(&format!("the end of automation execution {id}"), async || {
        let request = sandbox.ssm.get_automation_execution().automation_execution_id(id);
        let got = request.send().await.expect("the automation execution is there");
        let execution = got.automation_execution.expect("an automation execution");
        let status = execution.automation_execution_status();
        (status != Some(&AutomationExecutionStatus::Inprogress)).then_some(execution)
    })
    .await
}

/// The one command that holds this text in its script.
async fn command_with(sandbox: &Sandbox, text: &str) -> Command {
    eventually(&format!("a command with {text}"), async || {
        let commands = sandbox.commands().await;
        commands.into_iter().find(|command| {
            let script = command.parameters().and_then(|parameters| parameters.get("commands"));
            script.is_some_and(|script| script.iter().any(|line| line.contains(text)))
        })
    })
    .await
}

#[tokio::test]
async fn the_state_machine_that_users_have_ends_with_the_result() {
    let sandbox = Sandbox::shared().await;
    let id = sandbox.add_nodes(["online"]).remove(0);
    let home = sandbox.directory().join("nodes").join(&id);
    // Its script sleeps for 100 seconds: on this node they pass faster.
    let own_programs = home.join("bin");
    fs::create_dir(&own_programs).expect("a directory for programs");
    let sleep = own_programs.join("sleep");
    let script = "#!/bin/sh\necho asked for $*\nPATH=/usr/bin:/bin exec sleep 1\n";
    fs::write(&sleep, script).expect("a program");
    fs::set_permissions(&sleep, fs::Permissions::from_mode(0o755)).expect("it can be run");

    let machine = sandbox.create_state_machine(&state_machine_of_users(&id)).await;
    let ended = sandbox.run(&machine, &json!({})).await;

    let output = ended.success();
    assert_eq!(output["DocumentName"], "SfnRunShellScript");
    assert_eq!((&output["Status"], &output["TargetCount"]), (&json!("Success"), &json!(1)));
    let node = node(output, &id);
    assert_eq!(node["ResponseCode"], 0);
    assert_eq!(node["StandardOutputContent"], "asked for 100\n");
    let log = fs::read_to_string(home.join("home/ssm-user/automation.log"));
    assert_eq!(log.expect("its log"), "This is a test running automation waitForTaskToken\n");
}

#[tokio::test]
async fn a_failing_script_fails_with_its_own_error() {
    let sandbox = Sandbox::shared().await;
    let ended = sandbox.run_task(&by_instance_ids(&[NODES[0]], &["echo half", "exit 4"])).await;
    let cause = ended.failure("RunCommand.Failed");
    let node = node(&cause, NODES[0]);
    assert_eq!(node["ResponseCode"], 4);
    assert_eq!(node["StandardOutputContent"], "half\n");
}

#[tokio::test]
async fn a_command_that_cannot_start_fails_with_the_way_to_the_reason() {
    let sandbox = Sandbox::shared().await;
    let unknown = "i-0000000000000dead";
    let task = by_instance_ids(&[unknown], &["echo never"]);
    let cause = sandbox.run_task(&task).await.failure("RunCommand.StartFailed");

    let id = cause["AutomationExecutionId"].as_str().expect("the id of the automation execution");
    let message = cause["Message"].as_str().expect("a sentence for the reader");
    assert!(message.contains("GetAutomationExecution"), "{message}");
    let execution = automation_ended(&sandbox, id).await;
    let reason = execution.failure_message().expect("the reason");
    assert!(reason.contains("InvalidInstanceId") && reason.contains(unknown), "{reason}");
    assert_eq!(
        execution.automation_execution_status(),
        Some(&AutomationExecutionStatus::Failed),
        "{execution:?}"
    );
    let failed = execution.step_executions().iter().find(|step| step.failure_message().is_some());
    assert_eq!(
        failed.and_then(|step| step.failure_message()),
        reason.split_once(": ").map(|(_, said)| said)
    );
}

#[tokio::test]
async fn a_stopped_execution_cancels_its_script() {
    let sandbox = Sandbox::shared().await;
    let barrier = sandbox.barrier(NODES[1]);
    let execution = sandbox.start_task(&by_instance_ids(&[NODES[1]], &[&barrier.line()])).await;
    let command = command_with(&sandbox, barrier.name()).await;
    let id = command.command_id().expect("a command has an id");
    sandbox.stop_execution(&execution).await;
    assert_eq!(sandbox.execution_ended(&execution).await.status, ExecutionStatus::Aborted);
    let command = sandbox.command_ended(id).await;
    assert_eq!(command.status(), Some(&CommandStatus::Cancelled));
}

#[tokio::test]
async fn the_automation_has_ended_while_the_script_still_runs() {
    let sandbox = Sandbox::shared().await;
    let barrier = sandbox.barrier(NODES[2]);
    let document = "SfnRunCommandByInstanceIds";
    let id = sandbox.aws_cli(&[
        "ssm",
        "start-automation-execution",
        "--document-name",
        document,
        "--parameters",
        &json!({
            "InstanceIds": [NODES[2]], "Commands": [barrier.line()], "taskToken": [TOKEN_OF_NOBODY],
        })
        .to_string(),
    ])["AutomationExecutionId"]
        .take();
    let id = id.as_str().expect("the id of the automation execution");
    let execution = automation_ended(&sandbox, id).await;
    assert_eq!(
        execution.automation_execution_status(),
        Some(&AutomationExecutionStatus::Success),
        "{execution:?}"
    );
    assert_eq!(execution.document_name(), Some(document));

    let arguments = ["ssm", "get-automation-execution", "--automation-execution-id", id];
    let told = sandbox.aws_cli(&arguments);
    let steps = told["AutomationExecution"]["StepExecutions"].as_array().expect("steps");
    let outputs = steps.iter().find_map(|step| step["Outputs"]["CommandId"][0].as_str());
    let command = outputs.expect("the id of the command");
    assert_eq!(sandbox.command(command).await.status(), Some(&CommandStatus::InProgress));
    barrier.open();
    let command = sandbox.command_ended(command).await;
    assert_eq!(command.status(), Some(&CommandStatus::Success));
}

#[rstest]
#[case::by_tag(json!({ "Key": "tag:Role", "Values": ["web"] }))]
#[case::by_id(json!({ "Key": "InstanceIds", "Values": NODES }))]
#[tokio::test]
async fn targets_are_found_and_all_of_them_answer(#[case] target: Value) {
    let sandbox = Sandbox::shared().await;
    let parameters = json!({
        "Targets": [target.to_string()],
        "Commands": ["echo \"$AWS_SSM_INSTANCE_ID\""],
    });
    let ended = sandbox.run_task(&automation_task("SfnRunCommandByTargets", &parameters)).await;
    let output = ended.success();
    assert_eq!(output["TargetCount"], 3);
    for id in NODES {
        assert_eq!(node(output, id)["StandardOutputContent"], format!("{id}\n"));
    }
}

#[rstest]
#[case::left_out(None, "")]
#[case::two_quote_characters(Some("\"\""), "")]
#[case::a_directory(Some("/srv/app"), "/srv/app")]
#[tokio::test]
async fn a_script_runs_in_the_directory_that_is_asked_for(
    #[case] working_directory: Option<&str>,
    #[case] below_home: &str,
) {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["online"]);
    let mut task = by_instance_ids(&borrowed(&nodes), &["pwd"]);
    if let Some(directory) = working_directory {
        task["Parameters"]["Parameters"]["workingDirectory"] = json!([directory]);
    }
    let home = sandbox.directory().join("nodes").join(&nodes[0]);
    fs::create_dir_all(home.join(below_home.trim_start_matches('/'))).expect("the directory");
    let ended = sandbox.run_task(&task).await;
    let directory = format!("{}{below_home}\n", home.display());
    assert_eq!(node(ended.success(), &nodes[0])["StandardOutputContent"], directory);
}

#[rstest]
#[case::too_long("172801", false)]
#[case::longest("172800", true)]
#[case::shortest("5", true)]
#[case::too_short("4", false)]
#[case::none("0", false)]
#[case::words("1 hour", false)]
#[tokio::test]
async fn an_execution_timeout_is_taken_or_refused_at_the_start(
    #[case] seconds: &str,
    #[case] is_good: bool,
    #[values("SfnRunCommandByInstanceIds", "SfnRunCommandByTargets", "SfnRunShellScript")]
    document: &str,
) {
    let sandbox = Sandbox::shared().await;
    let texts = |text: &str| vec![text.to_owned()];
    let refused = if document == "SfnRunShellScript" {
        let request = sandbox.ssm.send_command().document_name(document).instance_ids(NODES[0]);
        let request = request.parameters("commands", texts("true"));
        let request = request.parameters("taskToken", texts(TOKEN_OF_NOBODY));
        let sent = request.parameters("executionTimeout", texts(seconds)).send().await;
        sent.err().map(|error| {
            assert!(error.into_service_error().is_invalid_parameters());
        })
    } else {
        let target = json!({ "Key": "InstanceIds", "Values": [NODES[0]] }).to_string();
        let (name, value) = match document {
            "SfnRunCommandByTargets" => ("Targets", target.as_str()),
            _ => ("InstanceIds", NODES[0]),
        };
        let request = sandbox.ssm.start_automation_execution().document_name(document);
        let request = request.parameters(name, texts(value)).parameters("Commands", texts("true"));
        let request = request.parameters("taskToken", texts(TOKEN_OF_NOBODY));
        let started = request.parameters("executionTimeout", texts(seconds)).send().await;
        started.err().map(|error| {
            let error = error.into_service_error();
            assert!(error.is_invalid_automation_execution_parameters_exception(), "{error:?}");
        })
    };
    assert_eq!(refused.is_none(), is_good);
}

#[tokio::test]
async fn a_bad_parameter_fails_the_task_at_once() {
    let sandbox = Sandbox::shared().await;
    let mut task = by_instance_ids(&[NODES[0]], &["echo never"]);
    task["Parameters"]["Parameters"]["executionTimeout"] = json!(["172801"]);
    let ended = sandbox.run_task(&task).await;
    assert_eq!(ended.status, ExecutionStatus::Failed);
    let error = ended.error.expect("an error");
    assert!(error.contains("InvalidAutomationExecutionParameters"), "{error}");
}

#[rstest]
#[case("onFailure", "Ignore", false)]
#[case("onFailure", "Report", true)]
#[case("onAbandon", "cancel", false)]
#[case("onAbandon", "Continue", true)]
#[case("taskToken", "", false)]
#[case("taskToken", "two words", false)]
#[tokio::test]
async fn what_a_command_document_takes_is_checked(
    #[case] parameter: &str,
    #[case] value: &str,
    #[case] is_good: bool,
    #[values("SfnRunShellScript", "SfnRunPowerShellScript", "SfnRunDocument")] document: &str,
) {
    let sandbox = Sandbox::shared().await;
    let mut parameters = match document {
        "SfnRunDocument" => vec![("documentName", "AWS-RunShellScript")],
        _ => vec![("commands", "true")],
    };
    if document == "SfnRunDocument" {
        parameters.push(("documentParameters", r#"{"commands":["true"]}"#));
    }
    parameters.push(("taskToken", TOKEN_OF_NOBODY));
    parameters.retain(|(name, _)| *name != parameter);
    parameters.push((parameter, value));
    let mut request = sandbox.ssm.send_command().document_name(document).instance_ids(NODES[0]);
    for (name, value) in parameters {
        request = request.parameters(name, vec![value.to_owned()]);
    }
    let refused = request.send().await.err();
    let refused = refused.map(|error| assert!(error.into_service_error().is_invalid_parameters()));
    assert_eq!(refused.is_none(), is_good);
}

/// A task that runs another document on a node by way of `SfnRunDocument`.
fn run_document_task(document: &str, parameters: &Value) -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
        "Parameters": {
            "DocumentName": "SfnRunDocument",
            "InstanceIds": [NODES[0]],
            "Parameters": {
                "documentName": [document],
                "documentParameters": [parameters.to_string()],
                "taskToken.$": "States.Array($$.Task.Token)",
            },
        },
        "End": true,
    })
}

#[rstest]
#[case::of_amazon("AWS-RunShellScript")]
#[case::of_the_user("DropInOwnDocument")]
#[tokio::test]
async fn any_other_document_can_be_waited_for(#[case] document: &str) {
    let sandbox = Sandbox::shared().await;
    sandbox.create_script_document("DropInOwnDocument", &[]).await;
    let good = json!({ "commands": ["echo 'a \"b\"'"] });
    let ended = sandbox.run_task(&run_document_task(document, &good)).await;
    let output = ended.success();
    assert_eq!(output["DocumentName"], "SfnRunDocument");
    let stdout = node(output, NODES[0])["StandardOutputContent"].as_str().expect("a text");
    assert!(stdout.contains("a \"b\"\n"), "{stdout}");

    let bad = json!({ "commands": ["echo before", "exit 6"] });
    let ended = sandbox.run_task(&run_document_task(document, &bad)).await;
    let cause = ended.failure("RunCommand.Failed");
    let stdout = node(&cause, NODES[0])["StandardOutputContent"].as_str().expect("a text");
    assert!(stdout.contains("before\n"), "{stdout}");
}

/// Name, type and default of every parameter; `None` where the parameter is required.
type Parameters = &'static [(&'static str, &'static str, Option<&'static str>)];

const SCRIPT_PARAMETERS: Parameters = &[
    ("commands", "StringList", None),
    ("workingDirectory", "String", Some("")),
    ("executionTimeout", "String", Some("3600")),
    ("taskToken", "String", None),
    ("onFailure", "String", Some("Fail")),
    ("onAbandon", "String", Some("Cancel")),
];

#[rstest]
#[case("SfnRunShellScript", "Command", "2.2", SCRIPT_PARAMETERS)]
#[case("SfnRunPowerShellScript", "Command", "2.2", SCRIPT_PARAMETERS)]
#[case("SfnRunDocument", "Command", "2.2", &[
    ("documentName", "String", None),
    ("documentParameters", "StringMap", Some("{}")),
    ("taskToken", "String", None),
    ("onFailure", "String", Some("Fail")),
    ("onAbandon", "String", Some("Cancel")),
])]
#[case("SfnRunCommandByInstanceIds", "Automation", "0.3", &[
    ("Commands", "StringList", None),
    ("InstanceIds", "StringList", None),
    ("taskToken", "String", None),
    ("workingDirectory", "String", Some("\"\"")),
    ("executionTimeout", "String", Some("3600")),
])]
#[case("SfnRunCommandByTargets", "Automation", "0.3", &[
    ("Commands", "StringList", None),
    ("Targets", "MapList", None),
    ("taskToken", "String", None),
    ("workingDirectory", "String", Some("\"\"")),
    ("executionTimeout", "String", Some("3600")),
])]
#[tokio::test]
async fn a_deployed_document_takes_what_is_promised(
    #[case] name: &str,
    #[case] document_type: &str,
    #[case] schema_version: &str,
    #[case] parameters: Parameters,
) {
    let sandbox = Sandbox::shared().await;
    let request = sandbox.ssm.get_document().name(name).document_format(DocumentFormat::Json);
    let document = request.send().await.expect("the document is deployed");
    assert_eq!(document.document_type().expect("a type").as_str(), document_type);
    let content = document.content().expect("a document has a content");
    let content: Value = serde_json::from_str(content).expect("a content is JSON");
    assert_eq!(content["schemaVersion"], schema_version);

    let declared = content["parameters"].as_object().expect("parameters");
    assert_eq!(declared.len(), parameters.len(), "{declared:?}");
    for (name, r#type, default) in parameters {
        let parameter = &declared[*name];
        assert_eq!(parameter["type"], *r#type, "{name}");
        let text = parameter.get("default").map(|default| match default {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        assert_eq!(text.as_deref(), *default, "{name}");
    }
}

#[tokio::test]
async fn the_role_of_the_automations_may_do_what_they_do_and_no_more() {
    let sandbox = Sandbox::shared().await;
    let role = sandbox.aws_cli(&["iam", "get-role", "--role-name", "SSMSyncRole"]);
    let trusted = &role["Role"]["AssumeRolePolicyDocument"]["Statement"][0];
    assert_eq!(trusted["Principal"], json!({ "Service": "ssm.amazonaws.com" }));

    let name = ["--role-name", "SSMSyncRole"];
    let listed = sandbox.aws_cli(&[&["iam", "list-role-policies"][..], &name].concat());
    assert_eq!(listed["PolicyNames"], json!(["start-command"]));
    let policy = ["iam", "get-role-policy", "--policy-name", "start-command"];
    let policy = sandbox.aws_cli(&[&policy[..], &name].concat());
    let statements = policy["PolicyDocument"]["Statement"].as_array().expect("statements").clone();
    let actions: Vec<_> = statements.iter().map(|statement| &statement["Action"]).collect();
    assert_eq!(actions, [&json!("ssm:SendCommand"), &json!("states:SendTaskFailure")]);
    assert!(statements.iter().all(|statement| statement["Resource"] != "*"), "{statements:?}");
}
