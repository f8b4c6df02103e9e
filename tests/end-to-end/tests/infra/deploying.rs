//! Deploying: the script behind `make deploy`, and `cargo lambda deploy` for one function.

use std::fs;
use std::process::Command;

use end_to_end::architecture;
use sandbox_client::{ACCOUNT, NODES, REGION, Sandbox, python_tool, unique_number, workspace};
use serde_json::{Value, json};

use crate::deploy_script::{
    as_another_account, aws_cli, built_functions, create_stack, fail, foreign_stack, keys,
    new_bucket, python_beside, script, script_of, seen, small_functions, user,
};
use crate::events::{EXTRA_DOCUMENTS_CHARACTERS_MAX, EXTRA_DOCUMENTS_MAX};
use crate::{TEMPLATE, deploy_script, succeed};

#[tokio::test]
async fn a_stack_is_deployed_updated_and_deleted() {
    let sandbox = Sandbox::shared().await;
    let stack = new_bucket(&sandbox, "deployed");
    let functions = small_functions();
    let parameters = format!("DocumentNamePrefix={stack}- StateMachineArns=*");
    let deploy = |parameters: &str| {
        let mut script = script(&sandbox, "deploy", &stack);
        script.args(["--bucket", &stack, "--architecture", architecture()]);
        script.arg("--functions").arg(functions.path());
        succeed(script.args(["--parameters", parameters]))
    };

    let said = deploy(&parameters);
    let expected = [("RelayFunctionName", "relay"), ("SweepFunctionName", "sweep")];
    for (output, function) in expected {
        assert!(row(&said, output).ends_with(&format!(" {stack}-{function}")), "{said}");
    }
    assert!(
        row(&said, "RunShellScriptDocumentName").ends_with(&format!(" {stack}-SfnRunShellScript"))
    );
    assert_eq!(said.matches("uploading").count(), 2, "{said}");
    let reach = format!(
        "stack {stack} may answer the tasks of every state machine of account {ACCOUNT} in {REGION}"
    );
    assert!(said.contains(&reach), "{said}");

    let said = deploy("LogLevel=warn NodeTagValue='a value' ExtraDocumentNames=OwnOne,OwnTwo");
    assert_eq!(said.matches("uploading").count(), 2, "the same code: {said}");
    let variables = variables(&sandbox, &format!("{stack}-sweep"));
    assert_eq!(variables["LOG_LEVEL"], "warn");
    let names = ["SfnRunShellScript", "SfnRunPowerShellScript", "SfnRunDocument"];
    let names = names.map(|name| format!("{stack}-{name}")).join(",");
    // What is not given keeps its value: the prefix and the state machines.
    assert_eq!(variables["DOCUMENT_NAMES"], json!(format!("{names},OwnOne,OwnTwo")));
    assert!(said.contains(&reach), "{said}");
    let described = sandbox.aws_cli(&["cloudformation", "describe-stacks", "--stack-name", &stack]);
    let value = json!({ "ParameterKey": "NodeTagValue", "ParameterValue": "a value" });
    let parameters = described["Stacks"][0]["Parameters"].as_array().expect("parameters");
    assert!(parameters.contains(&value), "{parameters:?}");

    let machine = format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:one");
    let said = deploy(&format!("StateMachineArns={machine}"));
    assert!(!said.contains("every state machine"), "{said}");

    succeed(script(&sandbox, "destroy", &stack).args(["--confirm", &stack]));
    let said = fail(&mut script(&sandbox, "destroy", &stack));
    assert!(said.contains(&format!("there is no stack {stack} in {REGION}")), "{said}");
}

/// Parameters of a stack that can be deployed into the sandbox beside its own.
const GOOD_PARAMETERS: &str = "DocumentNamePrefix=Mine- StateMachineArns=*";

#[tokio::test]
async fn whose_tasks_a_stack_may_answer_must_be_said() {
    let sandbox = Sandbox::shared().await;
    let machine = format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine");
    let deploy = |machines: &str| {
        let mut script = script(&sandbox, "deploy", "my-stack");
        script.args(["--bucket", "sandbox-code", "--only-check", "--parameters"]);
        script.arg(format!("DocumentNamePrefix=Mine- {machines}"));
        script
    };
    for (given, got) in [
        ("", "got none"),
        ("StateMachineArns=", "got none"),
        ("StateMachineArns=ops-*", "got 'ops-*'"),
        ("StateMachineArns=arn:aws:states:*:*:stateMachine:*", "got 'arn:aws:states:*"),
        ("StateMachineArns=*,*", "got '*,*'"),
        ("StateMachineArns=arn:aws:iam::123456789012:role/x", "got 'arn:aws:iam::"),
    ] {
        let said = fail(&mut deploy(given));
        assert!(said.contains("expected StateMachineArns in PARAMETERS"), "{given}: {said}");
        assert!(said.contains(got), "{given}: {said}");
        // The ways out, ready to be copied.
        let some = format!("PARAMETERS=\"StateMachineArns={machine}:nightly-job,{machine}:ops-*\"");
        assert!(
            said.contains(&some) && said.contains("PARAMETERS=\"StateMachineArns=*\""),
            "{said}"
        );
    }
    for given in ["*", &format!("{machine}:ops-*"), &format!("'{machine}:one, {machine}:two'")] {
        succeed(&mut deploy(&format!("StateMachineArns={given}")));
    }
}

#[tokio::test]
async fn documents_of_the_sample_are_seen_before_anything_is_created() {
    let sandbox = Sandbox::shared().await;
    let prefix = format!("sample-{}-", unique_number());
    let sample = json!({
        "Resources": { "Document": {
            "Type": "AWS::SSM::Document",
            "Properties": {
                "Name": format!("{prefix}SfnRunCommandByTargets"),
                "DocumentType": "Automation",
                "DocumentFormat": "JSON",
                "Content": {
                    "schemaVersion": "0.3",
                    "mainSteps": [{
                        "name": "Sleep", "action": "aws:sleep", "inputs": { "Duration": "PT1S" },
                    }],
                },
            },
        } },
    });
    create_stack(&sandbox, &format!("{prefix}stack"), &sample);
    let stack = new_bucket(&sandbox, "beside-sample");
    let functions = small_functions();
    let deploy = |parameters: &str| {
        let mut script = deploy_script::deploy(&sandbox, &stack, &functions);
        script
            .args(["--parameters", &format!("StateMachineArns=* DocumentNamePrefix={parameters}")]);
        script
    };
    for option in [&["--only-check"][..], &[]] {
        let said = fail(deploy(&prefix).args(option));
        let expected =
            format!("in {REGION} outside the stack, got {prefix}SfnRunCommandByTargets\n");
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("PARAMETERS=\"DocumentNamePrefix=Relay-\""), "{said}");
    }
    assert_eq!(keys(&sandbox, &stack), Vec::<String>::new());
    fail(&mut aws_cli(&sandbox, &["cloudformation", "describe-stacks", "--stack-name", &stack]));

    // Those of the sandbox's own stack have the sample's names.
    let said = fail(deploy("").arg("--only-check"));
    assert!(said.contains("\"Moving over from AWS's sample\" in infra/README.md"), "{said}");
    // Beside it, or without Automation documents, there is room. The stack's own are no obstacle.
    succeed(deploy(&format!("{prefix}two-")).arg("--only-check"));
    succeed(&mut deploy(&format!("{prefix} AutomationDocuments=none")));
    succeed(deploy(&format!("{prefix} AutomationDocuments=none")).arg("--only-check"));
    fail(deploy(&format!("{prefix} AutomationDocuments=tagged")).arg("--only-check"));
}

#[tokio::test]
async fn more_documents_than_a_rule_has_room_for_are_refused() {
    let sandbox = Sandbox::shared().await;
    let deploy = |names: &[String]| {
        let mut script = script(&sandbox, "deploy", "my-stack");
        script.args(["--bucket", "sandbox-code", "--only-check", "--parameters"]);
        script.arg(format!("{GOOD_PARAMETERS} ExtraDocumentNames={}", names.join(",")));
        script
    };
    let names = |count: usize, length: usize| vec!["x".repeat(length); count];
    succeed(&mut deploy(&names(EXTRA_DOCUMENTS_MAX, EXTRA_DOCUMENTS_CHARACTERS_MAX / 20)));
    for (count, length, got) in
        [(EXTRA_DOCUMENTS_MAX + 1, 3, "got 21 with 63"), (8, 126, "got 8 with 1,008")]
    {
        let said = fail(&mut deploy(&names(count, length)));
        assert!(said.contains("expected ExtraDocumentNames to be at most 20 documents"), "{said}");
        assert!(said.contains(got), "{said}");
    }
}

#[tokio::test]
async fn what_is_missing_is_told_with_how_to_get_it() {
    let sandbox = Sandbox::shared().await;
    let refused = |arguments: &[&str], expected: &str| {
        let said = fail(script(&sandbox, "deploy", "my-stack").args(arguments));
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    let bucket = format!("no-bucket-{}", unique_number());
    let default = format!("To have one made: BUCKET=run-command-relay-{ACCOUNT}-{REGION}\n");
    refused(&["--bucket", &bucket], &default);
    let parameters = ["--parameters", GOOD_PARAMETERS];
    let nowhere = ["--bucket", "sandbox-code", "--functions", "/nowhere"];
    refused(&[&nowhere[..], &parameters].concat(), "make build ARCH=arm64");
    refused(&["--bucket", "sandbox-code", "--parameters", "LogLevel"], "expected Key=Value pairs");
    let option = "--role-arn=arn:aws:iam::210987654321:role/other";
    refused(&["--bucket", "b", &format!("--parameters={option}")], "expected Key=Value pairs");
    refused(&["--bucket", "sandbox-code", "--parameters", "CodeBucket=b"], "set it with BUCKET=");
    refused(&["--bucket", "b", "--architecture", "arm"], "expected ARCH to be arm64 or x86_64");
    refused(&["--stack", "my_stack"], "got 'my_stack'");
    refused(&["--region", "somewhere"], "got 'somewhere'");

    let other = if architecture() == "arm64" { "x86_64" } else { "arm64" };
    let functions = built_functions();
    let directory = functions.path().display().to_string();
    let arguments =
        ["--bucket", "sandbox-code", "--functions", &directory, "--architecture", other];
    let arguments = [&arguments[..], &parameters].concat();
    refused(&arguments, &format!("a program for {other}, got one for {}", architecture()));

    let mut without_credentials = script(&sandbox, "deploy", "my-stack");
    without_credentials.args(["--bucket", "sandbox-code"]).env_remove("AWS_ACCESS_KEY_ID");
    let said = fail(&mut without_credentials);
    assert!(said.contains("Set AWS_PROFILE"), "{said}");
}

#[tokio::test]
async fn the_environment_gives_what_the_command_line_does_not() {
    let sandbox = Sandbox::shared().await;
    let mut script = Command::new(python_tool("python"));
    user(&sandbox, &mut script);
    script.arg(workspace().join("infra/deploy.py")).args(["deploy", "--only-check"]);
    let values = [("STACK", "my-stack"), ("REGION", REGION), ("BUCKET", "sandbox-code")];
    succeed(script.envs(values).env("PARAMETERS", GOOD_PARAMETERS));
    for (variable, value) in
        [("STACK", "my_stack"), ("REGION", "somewhere"), ("ARCH", "arm"), ("PARAMETERS", "none")]
    {
        let said = fail(
            script.envs(values).env_remove("ARCH").env_remove("PARAMETERS").env(variable, value),
        );
        assert!(said.contains(variable) && said.contains(&format!("'{value}'")), "{said}");
    }
}

#[tokio::test]
async fn a_stack_of_another_application_is_not_replaced() {
    let sandbox = Sandbox::shared().await;
    let stack = foreign_stack(&sandbox);
    let before = seen(&sandbox, &stack);
    let functions = small_functions();
    for option in [&["--only-check"][..], &[]] {
        let said = fail(deploy_script::deploy(&sandbox, &stack, &functions).args(option));
        let refusal = format!(
            "stack {stack} in {REGION} is not a Run Command Relay and stays unchanged: \
             expected the outputs RelayFunctionName and SweepFunctionName, got BucketName\n"
        );
        assert!(said.contains(&refusal), "{said}");
    }
    assert_eq!(seen(&sandbox, &stack), before);
    // The bucket is there, and nothing was uploaded.
    assert_eq!(keys(&sandbox, &stack), Vec::<String>::new());
}

#[tokio::test]
async fn what_lies_under_the_keys_of_the_code_and_the_template_is_overwritten() {
    let sandbox = Sandbox::shared().await;
    let stack = new_bucket(&sandbox, "planted");
    let functions = small_functions();
    let deploy = || succeed(&mut deploy_script::deploy(&sandbox, &stack, &functions));
    deploy();
    let code = |function: &str| {
        configuration(&sandbox, &format!("{stack}-{function}"))["CodeSha256"].take()
    };
    let built = ["relay", "sweep"].map(code);
    succeed(script(&sandbox, "destroy", &stack).args(["--confirm", &stack]));

    let keys = keys(&sandbox, &stack);
    let ends = [".zip", ".zip", ".template"];
    assert!(ends.iter().all(|end| keys.iter().any(|key| key.ends_with(end))), "{keys:?}");
    let planted = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&planted, "planted").expect("a file");
    let path = planted.path().display().to_string();
    for key in &keys {
        let put = ["s3api", "put-object", "--bucket", &stack, "--body", &path, "--key", key];
        sandbox.aws_cli(&put);
    }
    deploy();
    assert_eq!(["relay", "sweep"].map(code), built);
    for key in &keys {
        let head = ["s3api", "head-object", "--bucket", &stack, "--key", key];
        assert_ne!(sandbox.aws_cli(&head)["ContentLength"], "planted".len(), "{key}");
    }
}

#[tokio::test]
async fn other_code_than_was_built_stops_the_deployment() {
    let sandbox = Sandbox::shared().await;
    let stack = new_bucket(&sandbox, "other-code");
    let functions = small_functions();
    succeed(&mut deploy_script::deploy(&sandbox, &stack, &functions));
    for function in ["relay", "sweep"] {
        let function = format!("{stack}-{function}");
        let built = configuration(&sandbox, &function);
        let built = built["CodeSha256"].as_str().expect("a hash");
        let other = keys(&sandbox, &stack);
        let other = other.iter().find(|key| key.ends_with(".template")).expect("the template");
        let update = ["lambda", "update-function-code", "--function-name", &function];
        sandbox.aws_cli(&[&update[..], &["--s3-bucket", &stack, "--s3-key", other]].concat());
        let there = configuration(&sandbox, &function);
        let there = there["CodeSha256"].as_str().expect("a hash");

        let said = fail(&mut deploy_script::deploy(&sandbox, &stack, &functions));
        let expected = format!(
            "function {function} does not run the uploaded code: \
             expected CodeSha256 {built}, got {there}\n"
        );
        assert!(said.contains(&expected), "{said}");
        // What it says to do helps.
        let (_, way_out) =
            said.split_once("To install the uploaded code: aws ").expect("a way out");
        let way_out: Vec<_> = way_out.split_whitespace().collect();
        sandbox.aws_cli(&way_out);
        assert_eq!(configuration(&sandbox, &function)["CodeSha256"], built);
    }
}

#[tokio::test]
async fn a_bucket_of_another_account_is_refused() {
    let sandbox = Sandbox::shared().await;
    let bucket = format!("other-account-{}", unique_number());
    let mut create = aws_cli(&sandbox, &["s3api", "create-bucket", "--bucket", &bucket]);
    as_another_account(&sandbox, &mut create);
    succeed(&mut create);
    // Without a word on its owner, it is a bucket like any other.
    sandbox.aws_cli(&["s3api", "get-bucket-location", "--bucket", &bucket]);

    let said = fail(script(&sandbox, "deploy", "my-stack").args(["--bucket", &bucket]));
    assert!(said.contains(&format!("expected a bucket of account {ACCOUNT}")), "{said}");
    assert!(said.contains("(AccessDenied)"), "{said}");
}

#[tokio::test]
async fn the_latest_version_of_each_document_is_made_the_default() {
    let sandbox = Sandbox::shared().await;
    let stack = new_bucket(&sandbox, "versions");
    let functions = small_functions();
    succeed(&mut deploy_script::deploy(&sandbox, &stack, &functions));
    let versions = |name: &str| {
        let name = format!("{stack}-{name}");
        let mut described = sandbox.aws_cli(&["ssm", "describe-document", "--name", &name]);
        ["LatestVersion", "DefaultVersion"].map(|version| described["Document"][version].take())
    };
    assert_eq!(versions("SfnRunCommandByTargets"), ["1", "1"]);

    // This is part of two documents.
    let parameters =
        format!("StateMachineArns=* DocumentNamePrefix={stack}- AutomationErrorName=Other");
    let mut script = deploy_script::deploy(&sandbox, &stack, &functions);
    let said = succeed(script.args(["--parameters", &parameters]));
    for name in ["SfnRunCommandByTargets", "SfnRunCommandByInstanceIds"] {
        assert_eq!(versions(name), ["2", "2"], "{name}");
        let told = format!("made version 2 of document {stack}-{name} its default, which was 1");
        assert!(said.contains(&told), "{said}");
    }
    assert_eq!(versions("SfnRunShellScript"), ["1", "1"]);
    assert_eq!(said.matches("its default").count(), 2, "{said}");
}

/// An AWS CLI that answers with control characters wherever others than AWS choose the words.
const HOSTILE_CLI: &str = r#"#!/bin/sh
owned='\u001b]0;owned\u0007\r\u009b31m\u007f'
functions="{\"OutputKey\": \"RelayFunctionName\", \"OutputValue\": \"f$owned\"},
  {\"OutputKey\": \"SweepFunctionName\", \"OutputValue\": \"f$owned\"}"
case "$*" in
*get-caller-identity*)
  echo '{"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/u"}' ;;
*describe-document*) echo 'An error occurred (InvalidDocument)' >&2; exit 254 ;;
*get-account-settings*)
  echo '{"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}}' ;;
*describe-document*) echo '{"Document": {"LatestVersion": "1", "DefaultVersion": "1"}}' ;;
*describe-stacks*)
  printf '%s\n' "{\"Stacks\": [{\"StackName\": \"s\", \"StackStatus\": \"UPDATE_COMPLETE\",
    \"StackId\": \"id\", \"Parameters\": [{\"ParameterKey\": \"StateMachineArns\", \"ParameterValue\": \"*\"}],
    \"Outputs\": [$functions, {\"OutputKey\": \"Other\", \"OutputValue\": \"$owned\nLast\"}]}]}" ;;
*describe-stack-events*"--max-items 1 "*) echo '{"StackEvents": [{"EventId": "1"}]}' ;;
*describe-stack-events*)
  printf '%s\n' "{\"StackEvents\": [{\"ResourceStatus\": \"CREATE_FAILED\", \"EventId\": \"2\",
    \"LogicalResourceId\": \"Relay\", \"ResourceStatusReason\": \"because $owned\"}]}" ;;
*"cloudformation deploy"*)
  if [ -n "$FAILS" ]; then printf 'the CLI fails\033[31m\nfor a reason\n' >&2; exit 1; fi ;;
*s3api*"--expected-bucket-owner 123456789012"*) echo '{}' ;;
*s3api*) echo "whose bucket it is was not asked: $*" >&2; exit 1 ;;
*get-function-configuration*) printf '%s\n' "{\"CodeSha256\": \"$owned\"}" ;;
*) echo '{}' ;;
esac
"#;

#[tokio::test]
async fn control_characters_in_what_aws_says_do_not_reach_the_terminal() {
    let sandbox = Sandbox::shared().await;
    let programs = python_beside(HOSTILE_CLI);
    let python = programs.path().join("python");
    let functions = small_functions();
    let told = |command: &str, fails: &str, expected: &[&str]| {
        let mut script = script_of(&python, &sandbox, command, "s");
        script.envs([("BUCKET", "b"), ("ARCH", architecture())]);
        script.env("FUNCTIONS", functions.path());
        let said = fail(script.env("FAILS", fails));
        assert!(said.chars().all(|char| char == '\n' || !char.is_control()), "{said:?}");
        for expected in expected {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    };
    let owned = r"\x1b]0;owned\x07\x0d\x9b31m\x7f";
    let reason = format!("  Relay: because {owned}\n");
    told("deploy", "yes", &["the CLI fails\\x1b[31m\nfor a reason\n", &reason]);
    let output = format!(r"  Other              {owned}\x0aLast");
    let stopped = [format!("function f{owned} does not run"), format!("got {owned}\n")];
    told("deploy", "", &[&output, &stopped[0], &stopped[1]]);
    told("destroy", "", &[&format!("function f{owned} has no variable DOCUMENT_NAMES")]);

    let mut script = script(&sandbox, "deploy", "my-stack");
    let said = fail(script.args(["--bucket", "b\u{1b}[31m"]));
    assert!(said.contains(r"cannot use bucket b\x1b[31m") && !said.contains('\u{1b}'), "{said:?}");
}

#[tokio::test]
async fn cargo_lambda_deploy_puts_a_function_that_answers_and_keeps_its_variables() {
    let sandbox = Sandbox::shared().await;
    let function = format!("relay-{}", unique_number());
    let functions = built_functions();
    let role = configuration(&sandbox, "run-command-relay-relay")["Role"].take();
    let role = role.as_str().expect("the relay has a role");
    let deploy = || {
        let mut cargo_lambda = Command::new(python_tool("cargo-lambda"));
        user(&sandbox, &mut cargo_lambda);
        cargo_lambda
            .args([
                "lambda",
                "deploy",
                "--region",
                REGION,
                "--endpoint-url",
                sandbox.endpoint_url(),
            ])
            .args(["--role", role])
            .arg("--manifest-path")
            .arg(workspace().join("crates/functions/Cargo.toml"))
            .args(["--binary-name", "relay", "--lambda-dir"])
            .arg(functions.path())
            .arg(&function);
        succeed(&mut cargo_lambda);
    };
    deploy();
    let configuration = configuration(&sandbox, &function);
    let of_stack = |parameter: &str| &TEMPLATE["Parameters"][parameter]["Default"];
    for kind in ["Relay", "Sweep"] {
        assert_eq!(configuration["MemorySize"], *of_stack(&format!("{kind}MemoryMegabytes")));
        assert_eq!(configuration["Timeout"], *of_stack(&format!("{kind}TimeoutSeconds")));
    }
    assert_eq!(configuration["Runtime"], "provided.al2023");

    let environment = json!({ "Variables": { "LOG_LEVEL": "debug" } }).to_string();
    let update = ["lambda", "update-function-configuration", "--function-name", &function];
    sandbox.aws_cli(&[&update[..], &["--environment", &environment]].concat());
    deploy();
    assert_eq!(variables(&sandbox, &function)["LOG_LEVEL"], "debug");

    let command =
        sandbox.send_command("AWS-RunShellScript", NODES[0], &[("commands", "true")]).await;
    sandbox.command_ended(&command).await;
    let event = fs::read_to_string(workspace().join("events/foreign-document.json"));
    let mut event: Value = serde_json::from_str(&event.expect("an event")).expect("JSON");
    event["detail"]["command-id"] = json!(command);
    let answer = tempfile::NamedTempFile::new().expect("a file");
    let path = answer.path().display().to_string();
    let invoke = ["lambda", "invoke", "--function-name", &function, "--payload"];
    sandbox.aws_cli(&[&invoke[..], &[&event.to_string(), &path]].concat());
    let answer = fs::read_to_string(path).expect("an answer");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer, json!({ "CommandId": command, "Outcome": "NoToken" }));
}

/// The line of the table of outputs for this one.
fn row<'a>(said: &'a str, output: &str) -> &'a str {
    let begin = format!("  {output} ");
    let row = said.lines().find(|line| line.starts_with(&begin));
    row.unwrap_or_else(|| panic!("{output} is not told: {said}"))
}

fn configuration(sandbox: &Sandbox, function: &str) -> Value {
    sandbox.aws_cli(&["lambda", "get-function-configuration", "--function-name", function])
}

fn variables(sandbox: &Sandbox, function: &str) -> Value {
    configuration(sandbox, function)["Environment"]["Variables"].take()
}
