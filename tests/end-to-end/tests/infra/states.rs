//! A stack in a state that takes no update, and what is said of what failed.

use end_to_end::architecture;
use sandbox_client::{REGION, Sandbox};

use crate::deploy_script::{
    at_a_terminal, deploy, fail, new_bucket, python_beside, script, script_of, small_functions,
};
use crate::succeed;

#[tokio::test]
async fn a_stack_whose_creation_failed_is_deleted_and_created_again_if_its_name_is_typed() {
    let sandbox = Sandbox::shared().await;
    let stack = new_bucket(&sandbox, "failed");
    let functions = small_functions();
    let log_group = ["--log-group-name", &format!("/aws/lambda/{stack}-relay")];
    sandbox.aws_cli(&[&["logs", "create-log-group"], &log_group[..]].concat());
    let deploy = || deploy(&sandbox, &stack, &functions);

    let said = fail(&mut deploy());
    assert!(said.contains("  RelayLogGroup: "), "{said}");
    assert!(said.contains("then run `make deploy` again"), "{said}");
    sandbox.aws_cli(&[&["logs", "delete-log-group"], &log_group[..]].concat());

    // Without a terminal, it says what to run.
    let command = format!("make destroy STACK={stack} REGION={REGION} CONFIRM={stack}\n");
    for option in [&["--only-check"][..], &[]] {
        let said = fail(deploy().args(option));
        assert!(
            said.contains("its creation failed, and its state is ROLLBACK_COMPLETE\n"),
            "{said}"
        );
        assert!(said.contains(&command), "{said}");
    }
    let (deployed, said) = at_a_terminal(&sandbox, &deploy(), "another\n");
    assert!(!deployed && said.contains("Delete it: make destroy"), "{said}");
    assert_eq!(status(&sandbox, &stack), "ROLLBACK_COMPLETE");

    let (deployed, said) = at_a_terminal(&sandbox, &deploy(), &format!("{stack}\n"));
    assert!(deployed && said.contains("RelayFunctionName"), "{said}");
    assert_eq!(status(&sandbox, &stack), "CREATE_COMPLETE");
}

#[tokio::test]
async fn destroy_deletes_a_stack_whose_creation_failed() {
    let sandbox = Sandbox::shared().await;
    let stack = new_bucket(&sandbox, "failed");
    let functions = small_functions();
    let log_group = ["--log-group-name", &format!("/aws/lambda/{stack}-relay")];
    sandbox.aws_cli(&[&["logs", "create-log-group"], &log_group[..]].concat());
    fail(&mut deploy(&sandbox, &stack, &functions));
    sandbox.aws_cli(&[&["logs", "delete-log-group"], &log_group[..]].concat());
    succeed(script(&sandbox, "destroy", &stack).args(["--confirm", &stack]));
    succeed(&mut deploy(&sandbox, &stack, &functions));
}

/// An AWS CLI with a stack in a state, which is asked for nothing but reads.
const STATE_CLI: &str = r#"#!/bin/sh
case "$*" in
*get-caller-identity*)
  echo '{"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/u"}' ;;
*describe-stacks*)
  echo "{\"Stacks\": [{\"StackName\": \"s\", \"StackId\": \"id\", \"StackStatus\": \"$STATE\",
    \"Parameters\": [{\"ParameterKey\": \"RelayCodeKey\"}, {\"ParameterKey\": \"SweepCodeKey\"}]}]}" ;;
*) echo "unexpected call: $*" >&2; exit 1 ;;
esac
"#;

#[tokio::test]
async fn a_state_that_takes_no_update_is_told_with_what_to_do() {
    let sandbox = Sandbox::shared().await;
    let programs = python_beside(STATE_CLI);
    let functions = small_functions();
    let wait = "Wait until that has ended, then repeat the command";
    let delete = "Delete it: make destroy STACK=s REGION=us-east-1 CONFIRM=s";
    for (state, next) in [
        ("CREATE_IN_PROGRESS", wait),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", wait),
        ("DELETE_IN_PROGRESS", wait),
        ("REVIEW_IN_PROGRESS", "aws cloudformation delete-stack --stack-name s --region us-east-1"),
        (
            "UPDATE_ROLLBACK_FAILED",
            "aws cloudformation continue-update-rollback --stack-name s --region us-east-1",
        ),
        ("UPDATE_FAILED", "aws cloudformation rollback-stack --stack-name s --region us-east-1"),
        ("CREATE_FAILED", delete),
        ("ROLLBACK_FAILED", delete),
        ("DELETE_FAILED", delete),
    ] {
        let mut script = script_of(&programs.path().join("python"), &sandbox, "deploy", "s");
        script.args(["--architecture", architecture(), "--functions"]);
        let said = fail(script.arg(functions.path()).env("STATE", state));
        assert!(said.contains(&format!("got {state}\n")), "{state}: {said}");
        assert!(said.contains(next), "{state}: {said}");
        assert!(!said.contains("unexpected call"), "{state}: {said}");
    }
}

/// An AWS CLI whose deployments fail, with an event of a failure before and one since.
const EVENTS_CLI: &str = r#"#!/bin/sh
old='{"EventId": "1", "ResourceStatus": "UPDATE_FAILED", "LogicalResourceId": "Old"}'
newest='{"EventId": "2", "ResourceStatus": "UPDATE_ROLLBACK_COMPLETE", "LogicalResourceId": "s"}'
new='{"EventId": "3", "ResourceStatus": "UPDATE_FAILED", "LogicalResourceId": "New"}'
case "$*" in
*get-caller-identity*)
  echo '{"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/u"}' ;;
*describe-stacks*)
  echo '{"Stacks": [{"StackName": "s", "StackId": "id", "StackStatus": "UPDATE_COMPLETE",
    "Parameters": [{"ParameterKey": "StateMachineArns", "ParameterValue": "*"}],
    "Outputs": [{"OutputKey": "RelayFunctionName", "OutputValue": "f"},
      {"OutputKey": "SweepFunctionName", "OutputValue": "f"}]}]}' ;;
*get-account-settings*)
  echo '{"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}}' ;;
*describe-document*) echo 'An error occurred (InvalidDocument)' >&2; exit 254 ;;
*describe-stack-events*"--max-items 1 "*) echo "{\"StackEvents\": [$newest]}" ;;
*describe-stack-events*) echo "{\"StackEvents\": [$new, $newest, $old]}" ;;
*"cloudformation deploy"* | *delete-stack*) exit 1 ;;
*) echo '{}' ;;
esac
"#;

#[tokio::test]
async fn failures_of_earlier_runs_are_not_told_again() {
    let sandbox = Sandbox::shared().await;
    let programs = python_beside(EVENTS_CLI);
    let functions = small_functions();
    for command in ["deploy", "destroy"] {
        let mut script = script_of(&programs.path().join("python"), &sandbox, command, "s");
        script.env("ARCH", architecture()).env("CONFIRM", "s");
        let said = fail(script.env("FUNCTIONS", functions.path()).env("BUCKET", "b"));
        assert!(said.contains("  New: no reason given\n"), "{command}: {said}");
        assert!(!said.contains("Old"), "{command}: {said}");
    }
}

fn status(sandbox: &Sandbox, stack: &str) -> String {
    let described = sandbox.aws_cli(&["cloudformation", "describe-stacks", "--stack-name", stack]);
    described["Stacks"][0]["StackStatus"].as_str().expect("a status").to_owned()
}
