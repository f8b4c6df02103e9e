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
    let good = "DocumentNamePrefix=Mine- StateMachineArns=*";
    let check = |parameters: &str| {
        let mut script = script(&sandbox, "deploy", "my-stack");
        script.args(["--bucket", "sandbox-code", "--only-check", "--parameters"]);
        script.arg(format!("{good} {parameters}"));
        script
    };
    for (parameter, expected) in [
        ("LogLevl=debug", "unexpected LogLevl in PARAMETERS: expected one of AlarmTopicArn, "),
        ("LimitSweepConcurrency=false", "ReserveConcurrency took its place"),
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
        let said = fail(&mut check(parameter));
        assert!(said.contains(expected), "{parameter}: {said}");
    }
    succeed(&mut check("LogRetentionDays=3 RelayTimeoutSeconds=15 'ExtraDocumentNames=One, Two'"));
}

/// Checks parameters together, as they would be after the deployment.
const TOGETHER: &str = r#"
import json, sys
sys.path.insert(0, sys.argv[1])
import deploy
values = json.loads(sys.argv[2])
deploy.check_network(values)
deploy.check_key(values, "eu-central-1")
"#;

#[tokio::test]
async fn parameters_that_cannot_work_together_are_refused() {
    let sandbox = Sandbox::shared().await;
    let check = |values: &Value| {
        let mut python = Command::new(python_tool("python"));
        user(&sandbox, &mut python);
        python.args(["-c", TOGETHER]).arg(workspace().join("infra")).arg(values.to_string());
        python
    };
    let key = |region: &str| format!("arn:aws:kms:{region}:111122223333:key/1234");
    for (values, expected) in [
        (json!({ "SubnetIds": "subnet-1" }), "expected SecurityGroupIds in PARAMETERS"),
        (
            json!({ "SecurityGroupIds": "sg-1", "SubnetIds": "" }),
            "expected SubnetIds in PARAMETERS",
        ),
        (
            json!({ "KmsKeyArn": key("eu-west-1") }),
            "expected KmsKeyArn in PARAMETERS to be a key in eu",
        ),
        (json!({ "KmsKeyArn": "alias/mine" }), "got 'alias/mine'"),
    ] {
        let said = fail(&mut check(&values));
        assert!(said.contains(expected), "{values}: {said}");
    }
    for values in [
        json!({}),
        json!({ "SubnetIds": "subnet-1,subnet-2", "SecurityGroupIds": "sg-1" }),
        json!({ "SubnetIds": "", "SecurityGroupIds": "", "KmsKeyArn": "" }),
        json!({ "KmsKeyArn": key("eu-central-1") }),
    ] {
        succeed(&mut check(&values));
    }
}

#[tokio::test]
async fn a_tag_that_aws_would_refuse_is_told() {
    let sandbox = Sandbox::shared().await;
    let check = |tags: &str| {
        let mut script = script(&sandbox, "deploy", "my-stack");
        script.args(["--bucket", "sandbox-code", "--only-check", "--parameters"]);
        script.args(["DocumentNamePrefix=Mine- StateMachineArns=*", "--tags", tags]);
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
