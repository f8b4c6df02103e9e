//! What would stop `make deploy`.

use std::process::Command;

use callback_aws::testing::aws_server::{AwsServer, Reply};
use sandbox_client::{ACCOUNT, Sandbox};
use serde_json::{Value, json};

use crate::{STACK, Said, check_lines, program, run, shape};

const USER: &str = "arn:aws:iam::123456789012:user/deployer";
const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": []}"#;
const LAMBDA: &str = r#"[{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
    "Action": "sts:AssumeRole"}]"#;

/// Who is said to call. The sandbox knows its owner only.
async fn caller(arn: &'static str) -> AwsServer {
    let server = AwsServer::start().await;
    let body = format!(
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>1</UserId>\
         <Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    );
    server.script("", [Reply::Raw(200, Box::leak(body.into_boxed_str()))]);
    server
}

/// `check --before` with this stack and more arguments.
async fn before(sandbox: &Sandbox, sts: &AwsServer, stack: &str, arguments: &[&str]) -> Said {
    let mut command: Command = program(sandbox);
    command.env("AWS_ENDPOINT_URL_STS", sts.endpoint_url());
    command.args(["check", "--before", "--stack", stack]).args(arguments);
    // The process calls a server of this runtime.
    let said = tokio::task::spawn_blocking(move || run(&mut command)).await.expect("a run");
    if !arguments.contains(&"json") {
        check_lines(&said);
    }
    said
}

/// The lines that are neither good nor a fact.
fn to_look_at(said: &Said, code: i32) -> Vec<String> {
    let json = said.json(code);
    let groups = json["Groups"].as_array().expect("groups").iter();
    let checks = groups.flat_map(|group| group["Checks"].as_array().expect("checks"));
    let found = checks.filter(|check| !["Good", "Fact"].map(Value::from).contains(&check["State"]));
    found
        .map(|check| {
            let text = |name: &str| check[name].as_str().expect("a text").to_owned();
            format!("{} {}", text("Id"), text("State"))
        })
        .collect()
}

fn may(sandbox: &Sandbox, user: &str, policy: &Value) {
    let put = ["iam", "put-user-policy", "--user-name", user, "--policy-name", "rights"];
    sandbox.aws_cli(&[&put[..], &["--policy-document", &policy.to_string()]].concat());
}

fn statement(effect: &str, action: &str, condition: &Value) -> Value {
    json!({ "Effect": effect, "Action": action, "Resource": "*", "Condition": condition })
}

#[tokio::test]
async fn nothing_stops_a_deployment() {
    let sandbox = &Sandbox::shared().await;
    sandbox.aws_cli(&["iam", "create-user", "--user-name", "deployer"]);
    let everything = statement("Allow", "*", &json!({}));
    may(sandbox, "deployer", &json!({ "Version": "2012-10-17", "Statement": [everything] }));
    let sts = caller(USER).await;
    let beside = ["--parameter", "DocumentNamePrefix=Relay-", "--parameter", "StateMachineArns=*"];
    let said = before(sandbox, &sts, "second", &beside).await;
    insta::assert_snapshot!("nothing_stops", said.text(0));
    let in_json = [&beside[..], &["--output", "json"]].concat();
    let in_json = before(sandbox, &sts, "second", &in_json).await;
    insta::assert_json_snapshot!("shape_of_before", shape(&in_json.json(0)));

    // A stack that is there takes an update. What it has is its own.
    let update = before(sandbox, &sts, STACK, &["--output", "json"]).await;
    assert_eq!(to_look_at(&update, 0), [""; 0]);
}

#[tokio::test]
async fn names_that_are_taken_and_a_low_limit_stop_it() {
    let sandbox = &Sandbox::start(&["--concurrency-limit", "130"]).await;
    let sts = caller("arn:aws:iam::123456789012:root").await;
    let create = ["cloudformation", "create-stack", "--stack-name", "second"];
    let template = r#"{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}"#;
    sandbox.aws_cli(&[&create[..], &["--template-body", template]].concat());
    let bucket = format!("elsewhere-{ACCOUNT}");
    let place = ["--create-bucket-configuration", "LocationConstraint=eu-central-1"];
    sandbox.aws_cli(&[&["s3api", "create-bucket", "--bucket", &bucket], &place[..]].concat());
    let reserve = ["--parameter", "ReserveConcurrency=true", "--parameter", "RolePath"];
    let problem = before(sandbox, &sts, "second", &reserve).await.problem();
    assert_eq!(problem, "relayctl: expected --parameter Key=Value, got `RolePath`");

    let arguments = [&reserve[..2], &["--bucket", &bucket]].concat();
    insta::assert_snapshot!(
        "names_are_taken",
        before(sandbox, &sts, "second", &arguments).await.text(1)
    );
    let absent = ["--bucket", "absent", "--output", "json"];
    let said = before(sandbox, &sts, &format!("{STACK}_"), &absent).await;
    let found = to_look_at(&said, 1);
    for line in ["StackName Wrong", "Bucket Wrong", "Reservation Attention", "Rights Unknown"] {
        assert!(found.iter().any(|found| found == line), "{line}: {found:?}");
    }

    // Functions of the names, without their stack.
    let code = ["--code", "S3Bucket=sandbox-code,S3Key=relay.zip"];
    let trust = TRUST.replace("[]", LAMBDA);
    let create = ["iam", "create-role", "--role-name", "third"];
    sandbox.aws_cli(&[&create[..], &["--assume-role-policy-document", &trust]].concat());
    let role = ["--role", "arn:aws:iam::123456789012:role/third"];
    let kind = ["--runtime", "provided.al2023", "--handler", "bootstrap"];
    let create = ["lambda", "create-function", "--function-name", "third-relay"];
    sandbox.aws_cli(&[&create[..], &code, &role, &kind].concat());
    let said = before(sandbox, &sts, "third", &["--output", "json"]).await;
    let found = to_look_at(&said, 1);
    assert!(found.contains(&"RelayFunctionFree Wrong".to_owned()), "{found:?}");
    assert!(!found.contains(&"SweepFunctionFree Wrong".to_owned()), "{found:?}");
}

#[tokio::test]
async fn rights_and_a_boundary_that_are_missing_are_named() {
    let sandbox = &Sandbox::start(&[]).await;
    // The ARN of a session lacks the path of its role.
    let create = ["iam", "create-role", "--role-name", "deployer", "--path", "/team/"];
    sandbox.aws_cli(&[&create[..], &["--assume-role-policy-document", TRUST]].concat());
    let boundary = format!("arn:aws:iam::{ACCOUNT}:policy/boundary");
    let demanded = json!({ "StringEquals": { "iam:PermissionsBoundary": boundary } });
    let mut rest = statement("Allow", "*", &json!({}));
    rest.as_object_mut().expect("a statement").remove("Action");
    rest["NotAction"] = json!(["iam:CreateRole", "sqs:CreateQueue", "lambda:AddPermission"]);
    let statements = [rest, statement("Allow", "iam:CreateRole", &demanded)];
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let put = ["iam", "put-role-policy", "--role-name", "deployer", "--policy-name", "rights"];
    sandbox.aws_cli(&[&put[..], &["--policy-document", &policy]].concat());
    let sts = caller("arn:aws:sts::123456789012:assumed-role/deployer/session").await;

    let arguments = ["--parameter", "DocumentNamePrefix=Relay-"];
    let text = before(sandbox, &sts, "second", &arguments).await.text(1);
    let (_, rights) = text.split_once("\nRights").expect("rights");
    insta::assert_snapshot!("rights_are_missing", rights);
    let given = format!("PermissionsBoundaryArn={boundary}");
    let arguments = [&arguments[..], &["--parameter", &given, "--output", "json"]].concat();
    let said = before(sandbox, &sts, "second", &arguments).await;
    let expected = ["StateMachineArns Attention", "RightsFunctions Wrong", "RightsQueue Wrong"];
    assert_eq!(to_look_at(&said, 1), expected);
}
