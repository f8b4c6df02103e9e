//! Deploying: the script behind `make deploy`, and `cargo lambda deploy` for one function.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::sandbox::{NODES, REGION, Sandbox, python_tool, unique_number, workspace};

use crate::{TEMPLATE, succeed, words};

#[tokio::test]
async fn a_stack_is_deployed_updated_and_deleted() {
    let sandbox = Sandbox::shared().await;
    let stack = format!("deployed-{}", unique_number());
    sandbox.aws_cli(&["s3api", "create-bucket", "--bucket", &stack]);
    let functions = built_functions();
    let prefix = format!("DocumentNamePrefix={stack}-");
    let deploy = |parameters: &str| {
        let mut script = script(&sandbox, "deploy", &stack);
        script.args(["--bucket", &stack, "--architecture", architecture()]);
        script.arg("--functions").arg(functions.path());
        succeed(script.args(["--parameters", parameters]))
    };

    let said = deploy(&prefix);
    let expected = [("RelayFunctionName", "relay"), ("SweepFunctionName", "sweep")];
    for (output, function) in expected {
        assert!(row(&said, output).ends_with(&format!(" {stack}-{function}")), "{said}");
    }
    assert!(
        row(&said, "RunShellScriptDocumentName").ends_with(&format!(" {stack}-SfnRunShellScript"))
    );
    assert_eq!(said.matches("uploading").count(), 2, "{said}");

    let said = deploy("LogLevel=warn ExtraDocumentNames='Own One,OwnTwo'");
    assert_eq!(said.matches("is there already").count(), 2, "the same code: {said}");
    let variables = variables(&sandbox, &format!("{stack}-sweep"));
    assert_eq!(variables["LOG_LEVEL"], "warn");
    let names = ["SfnRunShellScript", "SfnRunPowerShellScript", "SfnRunDocument"];
    let names = names.map(|name| format!("{stack}-{name}")).join(",");
    // What is not given keeps its value: the prefix.
    assert_eq!(variables["DOCUMENT_NAMES"], json!(format!("{names},Own One,OwnTwo")));

    succeed(&mut script(&sandbox, "destroy", &stack));
    let said = fail(&mut script(&sandbox, "destroy", &stack));
    assert!(said.contains(&format!("There is no stack {stack} in {REGION}.")), "{said}");
}

#[tokio::test]
async fn what_is_missing_is_told_with_how_to_get_it() {
    let sandbox = Sandbox::shared().await;
    let refused = |arguments: &[&str], expected: &str| {
        let said = fail(script(&sandbox, "deploy", "my-stack").args(arguments));
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    let bucket = format!("no-bucket-{}", unique_number());
    refused(&[], "BUCKET is missing");
    refused(&["--bucket", &bucket], "aws s3 mb s3://NAME --region us-east-1");
    refused(&["--bucket", "sandbox-code", "--functions", "/nowhere"], "make build ARCH=arm64");
    refused(&["--bucket", "sandbox-code", "--parameters", "LogLevel"], "must hold Key=Value pairs");
    refused(&["--bucket", "sandbox-code", "--parameters", "CodeBucket=b"], "say it with BUCKET=");
    refused(&["--stack", "my_stack"], "STACK is 'my_stack'");
    refused(&["--region", "somewhere"], "REGION is 'somewhere'");

    let other = if architecture() == "arm64" { "x86_64" } else { "arm64" };
    let functions = built_functions();
    let directory = functions.path().display().to_string();
    let arguments =
        ["--bucket", "sandbox-code", "--functions", &directory, "--architecture", other];
    refused(&arguments, &format!("is a program for {}, and {other} is wanted", architecture()));

    let mut without_credentials = script(&sandbox, "deploy", "my-stack");
    without_credentials.args(["--bucket", "sandbox-code"]).env_remove("AWS_ACCESS_KEY_ID");
    let said = fail(&mut without_credentials);
    assert!(said.contains("Set AWS_PROFILE"), "{said}");
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

/// The script with the credentials of nobody in particular, and the sandbox as its AWS.
fn script(sandbox: &Sandbox, command: &str, stack: &str) -> Command {
    let mut script = Command::new(python_tool("python"));
    user(sandbox, &mut script);
    script.arg(workspace().join("infra/deploy.py"));
    script.args([command, "--stack", stack, "--region", REGION]);
    script
}

/// A user of the sandbox, who has no configuration of whoever runs the tests.
fn user(sandbox: &Sandbox, command: &mut Command) {
    for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"] {
        command.env_remove(name);
    }
    command
        .env("HOME", sandbox.directory())
        // cargo is found there all the same.
        .envs(["CARGO_HOME", "RUSTUP_HOME"].map(|name| (name, tool_home(name))))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL", sandbox.endpoint_url())
        .env("AWS_ACCESS_KEY_ID", sandbox.access_key_id())
        .env("AWS_SECRET_ACCESS_KEY", sandbox.secret_access_key());
}

/// Where the Rust tools keep their own: `CARGO_HOME` and `RUSTUP_HOME`, or their defaults.
fn tool_home(name: &str) -> PathBuf {
    let default = if name == "CARGO_HOME" { ".cargo" } else { ".rustup" };
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(default);
    env::var_os(name).map_or_else(home, PathBuf::from)
}

/// What a program says that fails.
fn fail(command: &mut Command) -> String {
    let output: Output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(!output.status.success(), "{command:?}: {}", words(&output));
    words(&output)
}

/// The line of the table of outputs for this one.
fn row<'a>(said: &'a str, output: &str) -> &'a str {
    let begin = format!("  {output} ");
    let row = said.lines().find(|line| line.starts_with(&begin));
    row.unwrap_or_else(|| panic!("{output} is not told: {said}"))
}

/// The functions that were built with the tests, where `cargo lambda build` would put them.
fn built_functions() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["relay", "sweep"] {
        let function = directory.path().join(name);
        fs::create_dir(&function).expect("a directory");
        std::os::unix::fs::symlink(built(name), function.join("bootstrap")).expect("a link");
    }
    directory
}

/// A binary beside the test program.
fn built(name: &str) -> PathBuf {
    let test = env::current_exe().expect("where the tests are");
    let profile = test.parent().and_then(Path::parent).expect("a directory of a profile");
    profile.join(name)
}

/// What Lambda calls this machine's architecture.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

fn configuration(sandbox: &Sandbox, function: &str) -> Value {
    sandbox.aws_cli(&["lambda", "get-function-configuration", "--function-name", function])
}

fn variables(sandbox: &Sandbox, function: &str) -> Value {
    configuration(sandbox, function)["Environment"]["Variables"].take()
}
