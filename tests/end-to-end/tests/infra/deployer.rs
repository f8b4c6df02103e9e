//! Whoever deploys needs the policy in infra/README.md, and no more than it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use end_to_end::architecture;
use sandbox_client::{ACCOUNT, Sandbox, python_tool, unique_number, workspace};
use serde_json::Value;

use crate::deploy_script::{python_beside, small_functions, user};
use crate::{TEMPLATE, succeed};

/// An AWS CLI that notes every call that it makes, also those within its own commands.
const NOTING_CLI: &str = r#"#!PYTHON
import sys
from awscli.clidriver import create_clidriver

def note(model, **_):
    with open("CALLS", "a") as calls:
        print(f"{model.service_model.signing_name}:{model.name}", file=calls)

driver = create_clidriver()
driver.session.register("before-call", note)
sys.exit(driver.main(sys.argv[1:]))
"#;
/// The calls whose actions have other names, or whose rights are more than one.
const OTHER_ACTIONS: [(&str, &[&str]); 5] = [
    ("s3:DeleteObjects", &["s3:DeleteObject", "s3:DeleteObjectVersion"]),
    ("s3:ListObjectVersions", &["s3:ListBucketVersions"]),
    ("s3:PutBucketEncryption", &["s3:PutEncryptionConfiguration"]),
    ("s3:PutPublicAccessBlock", &["s3:PutBucketPublicAccessBlock"]),
    // Everyone may make this call.
    ("sts:GetCallerIdentity", &[]),
];
/// What CloudFormation calls for each type of resource, with the rights of whoever deploys.
const BY_TYPE: [(&str, &[&str]); 13] = [
    ("AWS::CloudWatch::Alarm", &["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"]),
    ("AWS::CloudWatch::Dashboard", &["cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"]),
    (
        "AWS::Events::Rule",
        &["events:PutRule", "events:PutTargets", "events:RemoveTargets", "events:DeleteRule"],
    ),
    (
        "AWS::IAM::ManagedPolicy",
        &[
            "iam:CreatePolicy",
            "iam:CreatePolicyVersion",
            "iam:DeletePolicyVersion",
            "iam:DeletePolicy",
        ],
    ),
    (
        "AWS::IAM::Role",
        &[
            "iam:CreateRole",
            "iam:PassRole",
            "iam:AttachRolePolicy",
            "iam:DetachRolePolicy",
            "iam:PutRolePolicy",
            "iam:PutRolePermissionsBoundary",
            "iam:TagRole",
            "iam:UpdateAssumeRolePolicy",
            "iam:DeleteRolePolicy",
            "iam:DeleteRole",
        ],
    ),
    (
        "AWS::Lambda::EventInvokeConfig",
        &["lambda:PutFunctionEventInvokeConfig", "lambda:DeleteFunctionEventInvokeConfig"],
    ),
    (
        "AWS::Lambda::Function",
        &[
            "lambda:CreateFunction",
            "lambda:PutFunctionConcurrency",
            "lambda:UpdateFunctionCode",
            "lambda:UpdateFunctionConfiguration",
            "lambda:DeleteFunction",
            // The code.
            "s3:GetObject",
        ],
    ),
    ("AWS::Lambda::Permission", &["lambda:AddPermission", "lambda:RemovePermission"]),
    (
        "AWS::Logs::LogGroup",
        &["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:DeleteLogGroup"],
    ),
    ("AWS::SQS::Queue", &["sqs:CreateQueue", "sqs:SetQueueAttributes", "sqs:DeleteQueue"]),
    ("AWS::SQS::QueuePolicy", &["sqs:SetQueueAttributes"]),
    (
        "AWS::SSM::Document",
        &[
            "ssm:CreateDocument",
            "ssm:UpdateDocument",
            "ssm:UpdateDocumentDefaultVersion",
            "ssm:DeleteDocument",
        ],
    ),
    (
        "AWS::StepFunctions::StateMachine",
        &[
            "states:CreateStateMachine",
            "states:DescribeStateMachine",
            "states:ListTagsForResource",
            "states:TagResource",
            "states:UntagResource",
            "states:UpdateStateMachine",
            "states:DeleteStateMachine",
        ],
    ),
];

#[tokio::test]
async fn the_policy_allows_each_call_of_a_deployment_and_a_deletion() {
    // In another region than those of the tests of buckets.
    const REGION: &str = "ca-central-1";
    let sandbox = Sandbox::shared().await;
    let stack = format!("deployer-{}", unique_number());
    let functions = small_functions();
    let calls = functions.path().join("calls");
    let cli = NOTING_CLI
        .replace("PYTHON", &python_tool("python").display().to_string())
        .replace("CALLS", &calls.display().to_string());
    let programs = python_beside(&cli);
    let run = |command: &str, more: &str| {
        let mut script = Command::new(programs.path().join("python"));
        user(&sandbox, &mut script);
        script.arg(workspace().join("infra/deploy.py")).args([command, "--stack", &stack]);
        script.args(["--region", REGION]).env("ARCH", architecture()).env("TAGS", "Stage=test");
        script.env("FUNCTIONS", functions.path()).env("CONFIRM", &stack).env("ALL", "1");
        let parameters = format!("StateMachineArns=* DocumentNamePrefix={stack}- {more}");
        succeed(script.env("PARAMETERS", parameters));
    };
    run("deploy", "");
    // A change of documents, whose default versions are set.
    run("deploy", "AutomationErrorName=Other");
    run("destroy", "");

    let calls: BTreeSet<String> =
        fs::read_to_string(calls).expect("calls").lines().map(str::to_owned).collect();
    for call in ["s3:CreateBucket", "ssm:UpdateDocumentDefaultVersion", "ssm:ListCommands"] {
        assert!(calls.contains(call), "{call} was not made: {calls:?}");
    }
    let allowed = allowed_actions();
    for call in &calls {
        let other = OTHER_ACTIONS.iter().find(|(name, _)| name == call);
        for action in other.map_or(&[call.as_str()][..], |(_, actions)| actions) {
            assert!(allows(&allowed, action), "{call} needs {action}");
        }
    }
    // No call of the script itself is allowed for nothing.
    let needed: BTreeSet<&str> = calls
        .iter()
        .flat_map(|call| {
            let other = OTHER_ACTIONS.iter().find(|(name, _)| name == call);
            other.map_or(vec![call.as_str()], |(_, actions)| actions.to_vec())
        })
        // CloudFormation and Lambda read the uploaded objects.
        .chain(["s3:GetObject", "s3:GetObjectVersion"])
        .collect();
    for action in allowed
        .iter()
        .filter(|action| action.starts_with("s3:") || action.starts_with("cloudformation:"))
    {
        assert!(needed.contains(action.as_str()), "nothing calls {action}");
    }
}

#[test]
fn the_policy_allows_what_each_type_of_resource_needs() {
    let allowed = allowed_actions();
    for resource in TEMPLATE["Resources"].as_object().expect("resources").values() {
        let kind = resource["Type"].as_str().expect("a type");
        let (_, actions) = BY_TYPE
            .iter()
            .find(|(name, _)| *name == kind)
            .unwrap_or_else(|| panic!("what does {kind} need? Add it here and to infra/README.md"));
        for action in *actions {
            assert!(allows(&allowed, action), "{kind} needs {action}");
        }
    }
}

#[test]
fn roles_are_passed_to_the_services_that_assume_them_and_to_no_others() {
    let policy = policy();
    let statements = policy["Statement"].as_array().expect("statements");
    let passing = statements.iter().find(|statement| statement["Sid"] == "PassRoles");
    let passed = &passing.expect("a statement")["Condition"]["StringEquals"]["iam:PassedToService"];
    let passed: BTreeSet<&str> =
        passed.as_array().expect("services").iter().filter_map(Value::as_str).collect();
    let assuming: BTreeSet<&str> = crate::resources("AWS::IAM::Role")
        .filter_map(|(_, role)| role["AssumeRolePolicyDocument"]["Statement"].as_array())
        .flatten()
        .filter_map(|statement| statement["Principal"]["Service"].as_str())
        .collect();
    assert_eq!(passed, assuming);
    for statement in statements.iter().filter(|each| each["Sid"] != "WithoutResource") {
        let resources = statement["Resource"].to_string();
        assert!(!resources.contains("\"*\""), "{statement}");
        assert!(!resources.contains(ACCOUNT), "the example is of no account of the tests");
    }
}

/// The policy in the section of infra/README.md.
fn policy() -> Value {
    let readme = fs::read_to_string(workspace().join("infra/README.md")).expect("the README");
    let (_, section) = readme.split_once("\n### Who may deploy\n").expect("the section");
    let (_, json) = section.split_once("```json\n").expect("the policy");
    let (json, _) = json.split_once("```").expect("the end of the policy");
    serde_json::from_str(json).expect("JSON")
}

fn allowed_actions() -> BTreeSet<String> {
    let policy = policy();
    let statements = policy["Statement"].as_array().expect("statements");
    let actions = statements.iter().flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        action => vec![action.clone()],
    });
    actions.map(|action| action.as_str().expect("an action").to_owned()).collect()
}

fn allows(allowed: &BTreeSet<String>, action: &str) -> bool {
    let service = action.split(':').next().unwrap_or_default();
    allowed.contains(action) || allowed.contains(&format!("{service}:*"))
}
