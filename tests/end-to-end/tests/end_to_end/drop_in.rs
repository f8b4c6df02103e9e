//! State machines that start an automation, as their users wrote them before, and the documents
//! that make them go on working.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_ssm::types::{
    AutomationExecution, AutomationExecutionStatus, Command, CommandStatus, DocumentFormat,
};
use rstest::rstest;
use sandbox_client::{NODES, Sandbox, eventually, task_token, workspace};
use serde_json::{Value, json};

use crate::{borrowed, node, shell_task};

/// A token that no task has, and long enough to be found in a log.
const TOKEN_OF_NOBODY: &str = "a-token-that-no-task-has-and-nobody-waits-for";

/// The state machines that AWS has published, and the nodes in them.
const PUBLISHED_2022: (&str, &[&str]) = ("published-2022", &["i-1234567890abcdef0"]);
/// See [`PUBLISHED_2022`].
const PUBLISHED_TODAY_BY_INSTANCE_IDS: (&str, &[&str]) =
    ("published-today-by-instance-ids", &["i-1234567890abcdef0"]);
/// See [`PUBLISHED_2022`].
const PUBLISHED_TODAY_BY_TARGETS: (&str, &[&str]) =
    ("published-today-by-targets", &["i-02573cafcfEXAMPLE", "i-0471e04240EXAMPLE"]);
/// The last line of their scripts.
const SLEEP: &str = "sleep 100";

/// A published state machine on these nodes, with nothing else changed.
fn published((name, nodes): (&str, &[&str]), own: &[String]) -> String {
    let path = workspace().join(format!("tests/end-to-end/fixtures/{name}.asl.json"));
    let mut definition = fs::read_to_string(path).expect("a published state machine");
    for (node, own) in nodes.iter().zip(own) {
        assert_eq!(definition.matches(node).count(), 1);
        definition = definition.replace(node, own);
    }
    definition
}

/// Nodes on which the published scripts, which sleep for 100 seconds, take one.
fn fast_nodes(sandbox: &Sandbox, count: usize) -> Vec<String> {
    let nodes = sandbox.add_nodes(vec!["online"; count]);
    for node in &nodes {
        let script = "echo asked for $*\nPATH=/usr/bin:/bin exec sleep 1\n";
        add_program(sandbox, node, "sleep", script);
    }
    nodes
}

/// Gives a node a program of its own: a shell script.
fn add_program(sandbox: &Sandbox, node: &str, name: &str, script: &str) {
    let programs = sandbox.node_directory(node).join("bin");
    fs::create_dir_all(&programs).expect("a directory for programs");
    let program = programs.join(name);
    fs::write(&program, format!("#!/bin/sh\n{script}")).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be run");
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
        let status = execution.automation_execution_status().expect("a status");
        let runs = [AutomationExecutionStatus::Inprogress, AutomationExecutionStatus::Cancelling];
        (!runs.contains(status)).then_some(execution)
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

#[rstest]
#[case::of_2022(PUBLISHED_2022)]
#[case::by_instance_ids(PUBLISHED_TODAY_BY_INSTANCE_IDS)]
#[case::by_targets(PUBLISHED_TODAY_BY_TARGETS)]
#[tokio::test]
async fn a_published_state_machine_ends_with_the_result(#[case] machine: (&str, &[&str])) {
    let sandbox = Sandbox::shared().await;
    let nodes = fast_nodes(&sandbox, machine.1.len());
    let definition: Value = serde_json::from_str(&published(machine, &nodes)).expect("JSON");
    let machine = sandbox.create_state_machine(&definition).await;
    let ended = sandbox.run(&machine, &json!({})).await;

    let output = ended.success();
    assert_eq!(output["DocumentName"], "SfnRunShellScript");
    assert_eq!(
        (&output["Status"], &output["TargetCount"]),
        (&json!("Success"), &json!(nodes.len()))
    );
    for id in &nodes {
        let node = node(output, id);
        assert_eq!(node["ResponseCode"], 0);
        assert_eq!(node["StandardOutputContent"], "asked for 100\n");
        let log =
            fs::read_to_string(sandbox.node_directory(id).join("home/ssm-user/automation.log"));
        assert_eq!(log.expect("its log"), "This is a test running automation waitForTaskToken\n");
    }
}

#[rstest]
#[case::of_2022(PUBLISHED_2022)]
#[case::by_instance_ids(PUBLISHED_TODAY_BY_INSTANCE_IDS)]
#[case::by_targets(PUBLISHED_TODAY_BY_TARGETS)]
#[tokio::test]
async fn a_published_state_machine_fails_with_its_script(#[case] machine: (&str, &[&str])) {
    let sandbox = Sandbox::shared().await;
    let nodes = fast_nodes(&sandbox, machine.1.len());
    let definition = published(machine, &nodes).replace(SLEEP, "exit 4");
    let definition: Value = serde_json::from_str(&definition).expect("JSON");
    let machine = sandbox.create_state_machine(&definition).await;
    let cause = sandbox.run(&machine, &json!({})).await.failure("RunCommand.Failed");
    assert_eq!(node(&cause, &nodes[0])["ResponseCode"], 4);
}

#[tokio::test]
async fn a_power_shell_script_runs_with_its_own_document() {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["online"]);
    add_program(&sandbox, &nodes[0], "pwsh", "echo PowerShell runs; cat \"$2\"\n");
    let mut task = by_instance_ids(&borrowed(&nodes), &["Get-Date"]);
    task["Parameters"]["Parameters"]["shell"] = json!(["PowerShell"]);
    let ended = sandbox.run_task(&task).await;
    assert_eq!(ended.success()["DocumentName"], "SfnRunPowerShellScript");
    let output = node(ended.success(), &nodes[0])["StandardOutputContent"].as_str().expect("text");
    assert!(output.starts_with("PowerShell runs\n") && output.contains("Get-Date"), "{output}");
}

#[tokio::test]
async fn the_delivery_timeout_is_that_of_the_command() {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["silent"; 2]);
    for (node, given, expected) in [(&nodes[0], Some("30"), 30), (&nodes[1], None, 3600)] {
        let script = format!("echo not delivered to {node}");
        let mut task = by_instance_ids(&[node], &[&script]);
        if let Some(seconds) = given {
            task["Parameters"]["Parameters"]["deliveryTimeout"] = json!([seconds]);
        }
        let execution = sandbox.start_task(&task).await;
        let command = command_with(&sandbox, &script).await;
        assert_eq!(command.timeout_seconds(), Some(expected));
        sandbox.stop_execution(&execution).await;
    }
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
    let ended = sandbox.run_task(&by_instance_ids(&[unknown], &["echo never"])).await;
    assert_eq!(ended.error.as_deref(), Some("RunCommand.StartFailed"));
    // A sentence, not JSON.
    let cause = ended.cause.expect("a cause");
    let (id, rest) = cause
        .strip_prefix("Automation execution ")
        .and_then(|rest| rest.split_once(' '))
        .expect("the cause names the automation execution");
    assert!(rest.starts_with("did not start the command"), "{cause}");
    assert!(rest.contains("FailureMessage of that step in ssm:GetAutomationExecution"), "{cause}");

    let execution = automation_ended(&sandbox, id).await;
    let reason = execution.failure_message().expect("the reason");
    assert!(reason.contains("InvalidInstanceId") && reason.contains(unknown), "{reason}");
    assert_eq!(
        execution.automation_execution_status(),
        Some(&AutomationExecutionStatus::Failed),
        "{execution:?}"
    );
    let failed = execution.step_executions().iter().find(|step| step.failure_message().is_some());
    let failed = failed.expect("the failed step");
    assert_eq!(failed.step_name(), Some("startCommand"));
    assert_eq!(failed.failure_message(), reason.split_once(": ").map(|(_, said)| said));
}

/// The sample's own error name, and the parameter of the stack that keeps it.
const ERROR_NAME: &str = "Automation document failure";

#[tokio::test]
async fn every_failure_of_an_automation_has_the_name_that_the_stack_gives_it() {
    let parameter = format!("AutomationErrorName={ERROR_NAME}");
    let sandbox = Sandbox::start(&["--parameter", &parameter]).await;
    let failing = async {
        let ended = sandbox.run_task(&by_instance_ids(&[NODES[0]], &["exit 4"])).await;
        let cause = ended.failure(ERROR_NAME);
        assert_eq!(node(&cause, NODES[0])["ResponseCode"], 4);
    };
    let not_started = async {
        let ended = sandbox.run_task(&by_instance_ids(&["i-0000000000000dead"], &["true"])).await;
        assert_eq!(ended.error.as_deref(), Some(ERROR_NAME));
        assert!(ended.cause.is_some_and(|cause| cause.contains("did not start the command")));
    };
    let by_targets = async {
        let target = json!({ "Key": "tag:Role", "Values": ["none"] }).to_string();
        let parameters = json!({ "Targets": [target], "Commands": ["true"] });
        let task = automation_task("SfnRunCommandByTargets", &parameters);
        let cause = sandbox.run_task(&task).await.failure(ERROR_NAME);
        assert_eq!(cause["StatusDetails"], "NoInstancesInTag");
    };
    let of_others = async {
        let ended = sandbox.run_task(&shell_task(&[NODES[1]], &["exit 5"])).await;
        ended.failure("RunCommand.Failed");
    };
    let succeeding = async {
        let ended = sandbox.run_task(&by_instance_ids(&[NODES[2]], &["true"])).await;
        assert_eq!(ended.success()["Status"], "Success");
    };
    tokio::join!(failing, not_started, by_targets, of_others, succeeding);
}

#[tokio::test]
async fn an_automation_that_is_cancelled_fails_its_task() {
    let sandbox = Sandbox::shared().await;
    let barrier = sandbox.barrier(NODES[1]);
    let waiting = sandbox.start_task(&shell_task(&[NODES[1]], &[&barrier.line()])).await;
    let command = sandbox.commands_of(&waiting).await.remove(0);
    let command = sandbox.command(&command).await;
    let token = task_token(&command).expect("a task waits");
    // An automation takes milliseconds: one of them is cancelled while it starts its command.
    let mut is_cancelled = false;
    for _ in 0..20 {
        let request = sandbox.ssm.start_automation_execution();
        let request = request.document_name("SfnRunCommandByInstanceIds");
        let request = request.parameters("InstanceIds", vec![NODES[1].to_owned()]);
        let request = request.parameters("Commands", vec![barrier.line()]);
        let request = request.parameters("taskToken", vec![token.to_owned()]);
        let started = request.send().await.expect("it starts");
        let id = started.automation_execution_id().expect("an id");
        let stopped = sandbox.ssm.stop_automation_execution().automation_execution_id(id);
        stopped.send().await.expect("it is cancelled");
        let execution = automation_ended(&sandbox, id).await;
        let status = execution.automation_execution_status();
        assert_eq!(status, Some(&AutomationExecutionStatus::Cancelled), "{execution:?}");
        let first = execution.step_executions()[0].step_status();
        is_cancelled = first == Some(&AutomationExecutionStatus::Cancelled);
        if is_cancelled {
            break;
        }
    }
    assert!(is_cancelled);
    let ended = sandbox.execution_ended(&waiting).await;
    assert_eq!(ended.error.as_deref(), Some("RunCommand.StartFailed"));
    assert!(ended.cause.is_some_and(|cause| cause.contains("was cancelled")));
    barrier.open();
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
    let home = sandbox.node_directory(&nodes[0]);
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

#[rstest]
#[case("executionTimeout", "172801", "expected a match of the pattern")]
#[case("deliveryTimeout", "10", "expected a match of the pattern")]
#[case("deliveryTimeout", "2592001", "expected a match of the pattern")]
#[case("shell", "bash", r#"expected one of ["Shell","PowerShell"]"#)]
#[tokio::test]
async fn a_bad_parameter_fails_the_task_at_once(
    #[case] parameter: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let sandbox = Sandbox::shared().await;
    let mut task = by_instance_ids(&[NODES[0]], &["echo never"]);
    task["Parameters"]["Parameters"][parameter] = json!([value]);
    let ended = sandbox.run_task(&task).await;
    assert_eq!(ended.status, ExecutionStatus::Failed);
    let error = ended.error.expect("an error");
    assert!(error.contains("InvalidAutomationExecutionParameters"), "{error}");
    let cause = ended.cause.expect("a cause");
    assert!(cause.contains(&format!("Parameter {parameter} ")), "{cause}");
    assert!(cause.contains(expected), "{cause}");
}

#[rstest]
#[case("onFailure", "Ignore", false)]
#[case("onFailure", "Report", true)]
#[case("onAbandon", "cancel", false)]
#[case("onAbandon", "Continue", true)]
#[case("errorName", "a/b", false)]
#[case("errorName", "Automation document failure", true)]
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
    ("outputBytes", "String", Some("196608")),
    ("errorName", "String", Some("")),
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
    ("outputBytes", "String", Some("196608")),
    ("errorName", "String", Some("")),
])]
#[case("SfnRunCommandByInstanceIds", "Automation", "0.3", &[
    ("Commands", "StringList", None),
    ("InstanceIds", "StringList", None),
    ("taskToken", "String", None),
    ("shell", "String", Some("Shell")),
    ("workingDirectory", "String", Some("\"\"")),
    ("executionTimeout", "String", Some("3600")),
    ("deliveryTimeout", "Integer", Some("3600")),
])]
#[case("SfnRunCommandByTargets", "Automation", "0.3", &[
    ("Commands", "StringList", None),
    ("Targets", "MapList", None),
    ("taskToken", "String", None),
    ("shell", "String", Some("Shell")),
    ("workingDirectory", "String", Some("\"\"")),
    ("executionTimeout", "String", Some("3600")),
    ("deliveryTimeout", "Integer", Some("3600")),
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
    let (_, role_name) =
        sandbox.ready().stack.outputs["SyncRoleArn"].rsplit_once('/').expect("a role");
    let role = sandbox.aws_cli(&["iam", "get-role", "--role-name", role_name]);
    let trusted = &role["Role"]["AssumeRolePolicyDocument"]["Statement"][0];
    assert_eq!(trusted["Principal"], json!({ "Service": "ssm.amazonaws.com" }));

    let name = ["--role-name", role_name];
    let listed = sandbox.aws_cli(&[&["iam", "list-role-policies"][..], &name].concat());
    assert_eq!(listed["PolicyNames"], json!(["start-command", "nodes"]));
    let mut actions = Vec::new();
    for policy_name in ["start-command", "nodes"] {
        let policy = ["iam", "get-role-policy", "--policy-name", policy_name];
        let policy = sandbox.aws_cli(&[&policy[..], &name].concat());
        let statements = policy["PolicyDocument"]["Statement"].as_array().expect("statements");
        assert!(statements.iter().all(|statement| statement["Resource"] != "*"), "{statements:?}");
        actions.extend(statements.iter().map(|statement| statement["Action"].clone()));
    }
    assert_eq!(actions, ["ssm:SendCommand", "states:SendTaskFailure", "ssm:SendCommand"]);
}
