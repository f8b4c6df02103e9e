//! What relayctl is given that is wrong: one sentence says what was expected, what came, and what to do.

use callback_aws::testing::aws_server::{AwsServer, Reply};
use sandbox_client::{ACCOUNT, NODES, REGION, Sandbox};

use crate::{STACK, Said, bare_program, check_lines, program, relayctl, run};

/// A stack that is not a Run Command Relay.
const OTHER_STACK: &str = "a-stack-of-others";
const TEMPLATE: &str = r#"{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}"#;
const DENIED_XML: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
     <Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>";

#[tokio::test]
async fn one_sentence_says_what_is_wrong() {
    let sandbox = &Sandbox::shared().await;
    let create = ["cloudformation", "create-stack", "--stack-name", OTHER_STACK];
    sandbox.aws_cli(&[&create[..], &["--template-body", TEMPLATE]].concat());
    let arn = |region: &str, account: &str, rest: &str| {
        format!("arn:aws:states:{region}:{account}:{rest}")
    };
    let mut problems = Vec::new();
    let explained = [
        NODES[0].to_owned(),
        "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00".to_owned(),
        arn(REGION, ACCOUNT, "stateMachine:run-command-by-targets"),
        arn(REGION, ACCOUNT, "execution:run-command-by-targets:nobodys"),
        arn(REGION, "111122223333", "execution:ops:nightly"),
    ];
    for subject in explained {
        problems.push(relayctl(sandbox, &["explain", &subject]).await.problem());
    }
    let elsewhere = arn("eu-central-1", ACCOUNT, "execution:ops:nightly");
    let arguments = ["explain", &elsewhere, "--region", REGION];
    problems.push(relayctl(sandbox, &arguments).await.problem());
    problems.push(relayctl(sandbox, &["waiting", "--region", "Frankfurt"]).await.problem());
    for stack in ["nobodys", OTHER_STACK] {
        let said = run(program(sandbox).args(["waiting", "--stack", stack]));
        check_lines(&said);
        problems.push(said.problem());
    }
    insta::assert_snapshot!(problems.join("\n\n"));
}

#[test]
fn credentials_region_and_endpoint_that_are_missing_are_named() {
    let waiting = |variables: &[(&str, &str)]| {
        let mut command = bare_program();
        command.args(["waiting", "--stack", STACK]).envs(variables.iter().copied());
        let said = run(&mut command);
        check_lines(&said);
        said.problem()
    };
    let key = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let region = [("AWS_REGION", REGION)];
    let nobody = [("AWS_ENDPOINT_URL", "http://127.0.0.1:9")];
    let problems =
        [waiting(&key), waiting(&region), waiting(&[&key[..], &region, &nobody].concat())];
    insta::assert_snapshot!(problems.join("\n\n"));
}

/// The sandbox lets its owner do everything, so another server denies single calls.
#[tokio::test]
async fn a_missing_right_is_named() {
    let sandbox = &Sandbox::shared().await;
    let server = AwsServer::start().await;
    // CloudFormation's protocol names no operation where the server looks for it.
    server.script("", [Reply::Raw(403, DENIED_XML)]);
    for operation in ["ListCommands", "DescribeExecution", "ReceiveMessage"] {
        server.script(operation, [Reply::Error(400, "AccessDeniedException", "no")]);
    }
    let execution = format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:ops:nightly");
    for (service, arguments, right) in [
        ("CLOUDFORMATION", &["waiting"][..], "cloudformation:DescribeStacks"),
        ("SSM", &["waiting"], "ssm:ListCommands"),
        ("SFN", &["explain", &execution], "states:DescribeExecution"),
        ("SQS", &["queue"], "sqs:ReceiveMessage"),
    ] {
        let mut command = program(sandbox);
        command.env(format!("AWS_ENDPOINT_URL_{service}"), server.endpoint_url());
        command.args(arguments).args(["--stack", STACK]);
        // The process calls a server of this runtime.
        let said = tokio::task::spawn_blocking(move || run(&mut command)).await.expect("a run");
        check_lines(&said);
        let problem = said.problem();
        let expected = format!("relayctl: the right {right} is missing: ");
        assert!(problem.starts_with(&expected), "{problem}");
    }
}

#[test]
fn usage_is_told_with_exit_code_2() {
    for arguments in [&["waiting"][..], &["explain", "--stack", STACK], &["queue", "--purge"]] {
        let Said { code, stdout, stderr } = run(bare_program().args(arguments));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains("Usage: relayctl"), "{stderr}");
    }
}
