//! The bucket of the code: one is made if none is given, and what becomes of it.
//!
//! It belongs to an account and region, so each test has a region of its own.

use std::process::Command;

use end_to_end::architecture;
use sandbox_client::{ACCOUNT, REGION, Sandbox, unique_number};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deploy_script::{aws_cli, fail, keys, new_bucket, script, small_functions};
use crate::{deploy_script, succeed};

#[tokio::test]
async fn without_a_bucket_one_is_made_that_nobody_else_can_use() {
    let sandbox = Sandbox::shared().await;
    let stack = format!("no-bucket-{}", unique_number());
    let functions = small_functions();
    let bucket = default_bucket(REGION);
    let deploy = || deploy(&sandbox, &stack, REGION, &functions);
    let tags = ["--tags", "Team='The Ops' Stage=test"];

    succeed(deploy().args(tags).arg("--only-check"));
    assert!(!exists(&sandbox, &bucket, REGION), "the check has made it");
    succeed(deploy().args(["--functions", "/nowhere", "--only-check"]));
    let said = fail(deploy().args(["--functions", "/nowhere"]));
    assert!(said.contains("make build"), "{said}");
    assert!(!exists(&sandbox, &bucket, REGION), "it was made although the code is missing");

    let said = succeed(deploy().args(tags));
    assert!(said.contains(&format!("creating bucket {bucket} in {REGION}")), "{said}");
    let s3 = |operation: &str| sandbox.aws_cli(&["s3api", operation, "--bucket", &bucket]);
    let blocked = &s3("get-public-access-block")["PublicAccessBlockConfiguration"];
    for what in
        ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]
    {
        assert_eq!(blocked[what], true, "{what}");
    }
    let encryption = &s3("get-bucket-encryption")["ServerSideEncryptionConfiguration"]["Rules"][0];
    assert_eq!(encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256");
    let policy = || s3("get-bucket-policy")["Policy"].as_str().expect("a policy").to_owned();
    let only_tls: Value = serde_json::from_str(&policy()).expect("JSON");
    assert_eq!(
        only_tls["Statement"],
        json!([{
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }])
    );
    let expected = json!([
        { "Key": "Team", "Value": "The Ops" }, { "Key": "Stage", "Value": "test" },
    ]);
    assert_eq!(s3("get-bucket-tagging")["TagSet"], expected);
    assert_eq!(tags_of(&sandbox, &stack), expected);
    assert_eq!(keys(&sandbox, &bucket).len(), 3);

    // A bucket whose making was cut short is finished, and one of which this is not so is left alone.
    sandbox.aws_cli(&["s3api", "delete-bucket-policy", "--bucket", &bucket]);
    let said = succeed(deploy().args(["--tags", "Stage=production"]));
    assert!(!said.contains("creating bucket"), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&policy()).expect("JSON"), only_tls);
    assert_eq!(tags_of(&sandbox, &stack), json!([{ "Key": "Stage", "Value": "production" }]));
    let own = only_tls.to_string().replace("s3:*", "s3:PutObject*");
    sandbox.aws_cli(&["s3api", "put-bucket-policy", "--bucket", &bucket, "--policy", &own]);
    succeed(deploy().args(["--parameters", "LogLevel=warn"]));
    assert!(policy().contains("s3:PutObject*"), "{}", policy());
    // Tags that are not given stay, too.
    assert_eq!(tags_of(&sandbox, &stack), json!([{ "Key": "Stage", "Value": "production" }]));

    let said = succeed(script(&sandbox, "destroy", &stack).args(["--confirm", &stack]));
    let command = format!("make destroy STACK={stack} REGION={REGION} CONFIRM={stack} ALL=1");
    assert!(said.contains(&command), "{said}");
    assert_eq!(keys(&sandbox, &bucket).len(), 3);
    // As it says, now that there is no stack.
    let said = fail(script(&sandbox, "destroy", &stack).args(["--all", "1"]));
    assert!(said.contains(&format!("expected CONFIRM={stack}")), "{said}");
    assert_eq!(keys(&sandbox, &bucket).len(), 3);
    succeed(script(&sandbox, "destroy", &stack).args(["--all", "1", "--confirm", &stack]));
    assert!(!exists(&sandbox, &bucket, REGION));
}

#[tokio::test]
async fn all_removes_the_code_in_a_second_region_with_its_versions_and_nothing_else() {
    const REGION: &str = "eu-west-1";
    let sandbox = Sandbox::shared().await;
    let stack = format!("second-region-{}", unique_number());
    let bucket = default_bucket(REGION);
    let functions = small_functions();
    succeed(&mut deploy(&sandbox, &stack, REGION, &functions));
    let s3 = |operation: &str, options: &[&str]| {
        let call = ["--region", REGION, "s3api", operation, "--bucket", &bucket];
        sandbox.aws_cli(&[&call[..], options].concat())
    };
    assert_eq!(s3("get-bucket-location", &[])["LocationConstraint"], REGION);

    s3("put-bucket-versioning", &["--versioning-configuration", "Status=Enabled"]);
    succeed(&mut deploy(&sandbox, &stack, REGION, &functions));
    let key = keys(&sandbox, &bucket).remove(0);
    s3("delete-object", &["--key", &key]);
    let mine = [format!("{stack}/mine.zip"), format!("{stack}-other/relay-{}.zip", "0".repeat(32))];
    for key in &mine {
        s3("put-object", &["--key", key]);
    }
    let listed = s3("list-object-versions", &[]);
    assert_eq!(listed["Versions"].as_array().expect("versions").len(), 3 + 3 + 2);
    assert_eq!(listed["DeleteMarkers"].as_array().expect("delete markers").len(), 1);

    let mut destroy = script(&sandbox, "destroy", &stack);
    let said = succeed(destroy.args(["--region", REGION, "--confirm", &stack, "--all", "1"]));
    assert!(said.contains("removed 7 objects"), "{said}");
    assert!(said.contains(&format!("bucket {bucket} stays")), "{said}");
    let listed = s3("list-object-versions", &[]);
    let left: Vec<_> = listed["Versions"].as_array().expect("versions").iter().collect();
    assert!(left.iter().all(|left| mine.iter().any(|key| left["Key"] == *key)), "{left:?}");
    assert_eq!((left.len(), &listed["DeleteMarkers"]), (2, &Value::Null));
}

#[tokio::test]
async fn an_upgrade_keeps_the_bucket_that_was_given_and_all_does_too() {
    let sandbox = Sandbox::shared().await;
    let stack = new_bucket(&sandbox, "given");
    let functions = small_functions();
    succeed(&mut deploy_script::deploy(&sandbox, &stack, &functions));
    let said = succeed(&mut deploy(&sandbox, &stack, REGION, &functions));
    assert!(said.contains(&format!("uploading s3://{stack}/")), "{said}");
    let mut destroy = script(&sandbox, "destroy", &stack);
    succeed(destroy.args(["--confirm", &stack, "--all", "1", "--bucket", "another"]));
    assert_eq!(keys(&sandbox, &stack), Vec::<String>::new());
    assert!(exists(&sandbox, &stack, REGION), "a bucket of the user's own is removed");
}

#[tokio::test]
async fn a_bucket_of_this_name_that_belongs_to_another_account_is_refused() {
    const REGION: &str = "ap-south-1";
    let sandbox = Sandbox::shared().await;
    let bucket = default_bucket(REGION);
    let place = format!("LocationConstraint={REGION}");
    let create = ["--region", REGION, "s3api", "create-bucket", "--bucket", &bucket];
    let mut create =
        aws_cli(&sandbox, &[&create[..], &["--create-bucket-configuration", &place]].concat());
    deploy_script::as_another_account(&sandbox, &mut create);
    succeed(&mut create);
    let functions = small_functions();
    let said = fail(&mut deploy(&sandbox, "my-stack", REGION, &functions));
    assert!(said.contains(&format!("expected a bucket of account {ACCOUNT}")), "{said}");
    assert!(said.contains("To use another: BUCKET=NAME\n"), "{said}");
}

/// The script that deploys into this region, without a bucket.
fn deploy(sandbox: &Sandbox, stack: &str, region: &str, functions: &TempDir) -> Command {
    let mut script = script(sandbox, "deploy", stack);
    script.args(["--region", region, "--architecture", architecture(), "--functions"]);
    script.arg(functions.path());
    script.args(["--parameters", &format!("DocumentNamePrefix={stack}- StateMachineArns=*")]);
    script
}

fn default_bucket(region: &str) -> String {
    format!("run-command-relay-{ACCOUNT}-{region}")
}

fn exists(sandbox: &Sandbox, bucket: &str, region: &str) -> bool {
    let head = ["--region", region, "s3api", "head-bucket", "--bucket", bucket];
    aws_cli(sandbox, &head).output().expect("the AWS CLI runs").status.success()
}

fn tags_of(sandbox: &Sandbox, stack: &str) -> Value {
    let described = sandbox.aws_cli(&["cloudformation", "describe-stacks", "--stack-name", stack]);
    described["Stacks"][0]["Tags"].clone()
}
