//! What the script makes of its options before it calls AWS.

use std::process::Command;

use sandbox_client::{Sandbox, python_tool, workspace};
use serde_json::{Value, json};

use crate::deploy_script::{fail, script, user};
use crate::succeed;

/// Parses the options with every region that the AWS CLI knows, and prints them.
const EVERY_REGION: &str = r#"
import json, sys
from pathlib import Path
from types import SimpleNamespace
import botocore
sys.path.insert(0, sys.argv[1])
import bucket, deploy
data = Path(botocore.__file__).with_name("data") / "partitions.json"
partitions = json.loads(data.read_text())["partitions"]
regions = [region for partition in partitions for region in partition["regions"]]
for region in [region for region in regions if not region.endswith("-global")]:
    options = deploy.parse(["deploy", "--stack", "s", "--region", region])
    name = bucket.default_bucket(SimpleNamespace(account="1" * 12, region=options.region))
    assert len(name) <= 63, name
    print(region)
"#;

#[tokio::test]
async fn every_region_of_every_partition_is_taken() {
    let sandbox = Sandbox::shared().await;
    let mut python = Command::new(python_tool("python"));
    user(&sandbox, &mut python);
    let said = succeed(python.args(["-c", EVERY_REGION]).arg(workspace().join("infra")));
    for region in ["eusc-de-east-1", "us-isof-south-1", "eu-isoe-west-1", "us-gov-west-1"] {
        assert!(said.lines().any(|line| line == region), "{region}: {said}");
    }
}

#[tokio::test]
async fn what_is_no_region_is_told() {
    let sandbox = Sandbox::shared().await;
    for region in ["somewhere", "eu-central", "EU-CENTRAL-1", "eu-central-1a", "aws-global"] {
        let said = fail(script(&sandbox, "deploy", "my-stack").args(["--region", region]));
        assert!(
            said.contains(&format!(
                "expected REGION to be a region such as eu-central-1, got '{region}'"
            )),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_parameter_that_cloudformation_would_refuse_or_the_cli_ignore_is_told() {
    let sandbox = Sandbox::shared().await;
    for (parameter, expected) in [
        ("LogLevl=debug", "unexpected LogLevl in PARAMETERS: expected one of AlarmTopicArn, "),
        ("LimitSweepConcurrency=false", "ReserveConcurrency took its place"),
        ("SyncRoleNameSuffix=-eu", "leave it out: CloudFormation names the roles, in every region"),
        ("LogLevel=loud", "LogLevel must be one of error, warn, info, debug, trace, got 'loud'"),
        ("LogRetentionDays=2", "LogRetentionDays must be one of 1, 3, 5, "),
        ("RelayTimeoutSeconds=14", "must be a number from 15 to 900, got '14'"),
        ("RelayTimeoutSeconds=901", "must be a number from 15 to 900, got '901'"),
        ("RelayTimeoutSeconds=soon", "must be a number from 15 to 900, got 'soon'"),
        ("RecoveredThreshold=0", "must be a number from 1, got '0'"),
        ("NodeTagKey=", "NodeTagKey must have a length from 1 to 128, got ''"),
        ("AlarmTopicArn=ops", "AlarmTopicArn must be the ARN of an SNS topic, or empty, got 'ops'"),
        ("ExtraDocumentNames=Mine,x!", "ExtraDocumentNames must be names or ARNs of documents"),
        ("DocumentNamePrefix=AWS-", "must not begin with aws, amazon or amzn, got 'AWS-'"),
    ] {
        let said = fail(&mut only_check(&sandbox, parameter));
        assert!(said.contains(expected), "{parameter}: {said}");
    }
    let good = "LogRetentionDays=3 RelayTimeoutSeconds=15 'ExtraDocumentNames=One, Two'";
    succeed(&mut only_check(&sandbox, good));
}

#[tokio::test]
async fn parameters_that_cannot_work_together_are_refused() {
    let sandbox = Sandbox::shared().await;
    let (subnets, groups) = ("SubnetIds=subnet-00000001", "SecurityGroupIds=sg-00000001");
    let key = |region: &str| format!("KmsKeyArn=arn:aws:kms:{region}:111122223333:key/1234");
    for (parameters, expected) in [
        (subnets, "expected SecurityGroupIds in PARAMETERS, because SubnetIds is set"),
        (groups, "expected SubnetIds in PARAMETERS, because SecurityGroupIds is set"),
        (&key("eu-west-1"), "expected KmsKeyArn in PARAMETERS to be a key in us-east-1"),
    ] {
        let said = fail(&mut only_check(&sandbox, parameters));
        assert!(said.contains(expected), "{parameters}: {said}");
    }
    for parameters in [&format!("{subnets} {groups}"), &key("us-east-1"), "SubnetIds= KmsKeyArn="] {
        succeed(&mut only_check(&sandbox, parameters));
    }
}

#[tokio::test]
async fn a_tag_that_aws_would_refuse_is_told() {
    let sandbox = Sandbox::shared().await;
    let check = |tags: &str| {
        let mut script = only_check(&sandbox, "");
        script.args(["--tags", tags]);
        script
    };
    let many =
        |count| (0..count).map(|number| format!("K{number}=v")).collect::<Vec<_>>().join(" ");
    let (key, value) = ("k".repeat(128), "v".repeat(256));
    for (tags, expected) in [
        ("Team", "expected Key=Value pairs in TAGS, got 'Team'".to_owned()),
        ("=Ops", "expected Key=Value pairs in TAGS, got '=Ops'".to_owned()),
        ("AWS:Team=Ops", "AWS reserves keys that begin with aws:".to_owned()),
        ("Team=Ops*", "expected the value of a tag in TAGS to be up to 256 letters".to_owned()),
        (
            &format!("{key}k=v"),
            format!("up to 128 letters, digits, spaces and _.:/=+-@, got '{key}k'"),
        ),
        (&format!("k={value}v"), format!("got '{value}v'")),
        (&many(51), "expected at most 50 tags in TAGS, got 51".to_owned()),
    ] {
        let said = fail(&mut check(tags));
        assert!(said.contains(&expected), "{tags}: {said}");
    }
    for tags in [&format!("{key}={value} Größe='die größte' Empty= Equal=a=b"), &many(50)] {
        succeed(&mut check(tags));
    }
}

/// The script that checks these parameters of a new stack, and ends before the build.
fn only_check(sandbox: &Sandbox, parameters: &str) -> Command {
    let mut script = script(sandbox, "deploy", "my-stack");
    script.args(["--bucket", "sandbox-code", "--only-check", "--parameters"]);
    script.arg(format!("DocumentNamePrefix=Mine- StateMachineArns=* {parameters}"));
    script
}

/// A state machine with this task in a Map, in the sandbox.
async fn machine_with(sandbox: &Sandbox, task: Value) -> String {
    let states = |name: &str, state: Value| json!({"StartAt": name, "States": {name: state}});
    let map = json!({
        "Type": "Map", "ItemsPath": "$.Items", "ItemProcessor": states("Run", task), "End": true,
    });
    sandbox.create_state_machine(&states("Each", map)).await
}

#[tokio::test]
async fn a_task_that_needs_heartbeats_more_often_than_sweeps_come_is_told() {
    let sandbox = Sandbox::shared().await;
    let task = |document: &str, seconds: Value| {
        json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
            "Parameters": {"DocumentName": document},
            "HeartbeatSeconds": seconds,
            "End": true,
        })
    };
    let ours = "Beats-SfnRunShellScript";
    let by_arn = format!("arn:aws:ssm:us-east-1:123456789012:document/{ours}");
    let (refused, advised) = ("expected HeartbeatSeconds of more than 300", "set HeartbeatSeconds");
    for (document, seconds, said) in [
        (ours, json!(300), Some(refused)),
        (&by_arn, json!(299), Some(refused)),
        (ours, json!(301), Some(advised)),
        (ours, json!(1_199), Some(advised)),
        (ours, json!(1_200), None),
        ("SfnRunShellScript", json!(300), None),
    ] {
        let arn = machine_with(&sandbox, task(document, seconds.clone())).await;
        let mut script = script(&sandbox, "deploy", "my-stack");
        script.args(["--bucket", "sandbox-code", "--only-check", "--parameters"]);
        let parameters = "DocumentNamePrefix=Beats- SweepIntervalMinutes=5";
        script.arg(format!("{parameters} StateMachineArns={arn}"));
        let answer = if said == Some(refused) { fail(&mut script) } else { succeed(&mut script) };
        let line = format!("  {seconds} in state Run of {}", arn.rsplit(':').next().unwrap());
        assert_eq!(answer.contains(&line), said.is_some(), "{document} {seconds}: {answer}");
        assert!(said.is_none_or(|said| answer.contains(said)), "{document} {seconds}: {answer}");
    }

    // By a pattern, and one that is not there yet.
    let machine = machine_with(&sandbox, task(ours, json!(60))).await;
    let pattern = format!("{}*", &machine[..machine.len() - 3]);
    let absent = format!("{machine}-absent");
    for (arns, is_refused) in [(pattern, true), (absent, false)] {
        let mut script = script(&sandbox, "deploy", "my-stack");
        script.args(["--bucket", "sandbox-code", "--only-check", "--parameters"]);
        script.arg(format!("DocumentNamePrefix=Beats- StateMachineArns={arns}"));
        let succeeds = script.output().unwrap().status.success();
        assert_eq!(!succeeds, is_refused, "{arns}");
    }
}
