//! `infra/deploy.py` as the tests run it, and what it finds in the sandbox.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use end_to_end::architecture;
use sandbox_client::{REGION, Sandbox, python_tool, unique_number, workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::words;

/// The variables that the script takes for options. `make test` has them in its environment.
pub(crate) const OPTIONS: [&str; 9] =
    ["STACK", "REGION", "BUCKET", "FUNCTIONS", "ARCH", "PARAMETERS", "TAGS", "CONFIRM", "ALL"];

/// The script with the credentials of nobody in particular, and the sandbox as its AWS.
pub(crate) fn script(sandbox: &Sandbox, command: &str, stack: &str) -> Command {
    script_of(&python_tool("python"), sandbox, command, stack)
}

/// The script as this Python runs it.
pub(crate) fn script_of(python: &Path, sandbox: &Sandbox, command: &str, stack: &str) -> Command {
    let mut script = Command::new(python);
    user(sandbox, &mut script);
    script.arg(workspace().join("infra/deploy.py"));
    script.args([command, "--stack", stack, "--region", REGION]);
    script
}

/// The script that deploys these functions, with their code in a bucket called like the stack.
pub(crate) fn deploy(sandbox: &Sandbox, stack: &str, functions: &TempDir) -> Command {
    let mut script = script(sandbox, "deploy", stack);
    script.args(["--bucket", stack, "--architecture", architecture()]);
    script.arg("--functions").arg(functions.path());
    script.args(["--parameters", &format!("DocumentNamePrefix={stack}- StateMachineArns=*")]);
    script
}

/// A Python that has this program for its AWS CLI: the script takes the one that is beside it.
pub(crate) fn python_beside(cli: &str) -> TempDir {
    let programs = tempfile::tempdir().expect("a directory");
    symlink(python_tool("python"), programs.path().join("python")).expect("a link");
    let path = programs.path().join("aws");
    fs::write(&path, cli).expect("a program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    programs
}

/// Runs a program at a terminal, where it reads what comes to the stdin of this one.
const AT_A_TERMINAL: &str = "\
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

/// Runs the script at a terminal where this is typed. Returns whether it succeeded, and what it said.
pub(crate) fn at_a_terminal(sandbox: &Sandbox, script: &Command, line: &str) -> (bool, String) {
    let mut terminal = Command::new(python_tool("python"));
    user(sandbox, &mut terminal);
    terminal.args(["-c", AT_A_TERMINAL]).arg(script.get_program()).args(script.get_args());
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = terminal.spawn().expect("a terminal");
    let mut keyboard = running.stdin.take().expect("stdin is piped");
    keyboard.write_all(line.as_bytes()).expect("it is read");
    let output = running.wait_with_output().expect("it ends");
    (output.status.success(), words(&output))
}

/// A name for a stack and its bucket, and the bucket.
pub(crate) fn new_bucket(sandbox: &Sandbox, kind: &str) -> String {
    let name = format!("{kind}-{}", unique_number());
    sandbox.aws_cli(&["s3api", "create-bucket", "--bucket", &name]);
    name
}

/// The keys of a bucket's objects.
pub(crate) fn keys(sandbox: &Sandbox, bucket: &str) -> Vec<String> {
    let listed = sandbox.aws_cli(&["s3api", "list-objects-v2", "--bucket", bucket]);
    let objects = listed["Contents"].as_array().map_or(&[][..], Vec::as_slice);
    objects.iter().map(|object| object["Key"].as_str().expect("a key").to_owned()).collect()
}

/// What can be seen of a stack and of its template.
pub(crate) fn seen(sandbox: &Sandbox, stack: &str) -> [Value; 3] {
    ["describe-stacks", "describe-stack-resources", "get-template"]
        .map(|call| sandbox.aws_cli(&["cloudformation", call, "--stack-name", stack]))
}

/// A stack of another application, which holds a bucket called like the stack.
pub(crate) fn foreign_stack(sandbox: &Sandbox) -> String {
    let stack = format!("foreign-{}", unique_number());
    let template = json!({
        "Resources": {
            "Bucket": { "Type": "AWS::S3::Bucket", "Properties": { "BucketName": stack } },
        },
        "Outputs": { "BucketName": { "Value": { "Ref": "Bucket" } } },
    });
    create_stack(sandbox, &stack, &template);
    stack
}

/// Makes a stack.
pub(crate) fn create_stack(sandbox: &Sandbox, stack: &str, template: &Value) {
    let create = ["cloudformation", "create-stack", "--stack-name", stack, "--template-body"];
    // It is read as YAML, which takes control characters only when they are escaped.
    let template = template.to_string().replace('\u{9b}', r"\u009b");
    sandbox.aws_cli(&[&create[..], &[&template]].concat());
}

/// A user of the sandbox, who has no configuration of whoever runs the tests.
pub(crate) fn user(sandbox: &Sandbox, command: &mut Command) {
    for name in ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"].iter().chain(&OPTIONS) {
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

/// Gives a program the credentials of another account.
pub(crate) fn as_another_account(sandbox: &Sandbox, command: &mut Command) {
    let role = "arn:aws:iam::210987654321:role/other";
    let assume = ["sts", "assume-role", "--role-arn", role, "--role-session-name", "other"];
    let keys = sandbox.aws_cli(&assume)["Credentials"].take();
    for (variable, key) in [
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "SessionToken"),
    ] {
        command.env(variable, keys[key].as_str().expect("a text"));
    }
}

/// The AWS CLI of a user of the sandbox.
pub(crate) fn aws_cli(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut aws = Command::new(python_tool("aws"));
    user(sandbox, &mut aws);
    aws.args(["--region", REGION]).args(arguments);
    aws
}

/// Where the Rust tools keep their own: `CARGO_HOME` and `RUSTUP_HOME`, or their defaults.
fn tool_home(name: &str) -> PathBuf {
    let default = if name == "CARGO_HOME" { ".cargo" } else { ".rustup" };
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(default);
    env::var_os(name).map_or_else(home, PathBuf::from)
}

/// What a program says that fails.
pub(crate) fn fail(command: &mut Command) -> String {
    let output: Output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(!output.status.success(), "{command:?}: {}", words(&output));
    words(&output)
}

/// The functions that were built with the tests, where `cargo lambda build` would put them.
pub(crate) fn built_functions() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["relay", "sweep"] {
        let function = directory.path().join(name);
        fs::create_dir(&function).expect("a directory");
        symlink(built(name), function.join("bootstrap")).expect("a link");
    }
    directory
}

/// Functions that are quick to upload, and do nothing: as much of a program as the script looks at.
pub(crate) fn small_functions() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["relay", "sweep"] {
        let function = directory.path().join(name);
        fs::create_dir(&function).expect("a directory");
        let program = fs::read(built(name)).expect("a program");
        fs::write(function.join("bootstrap"), [&program[..64], name.as_bytes()].concat())
            .expect("a program");
    }
    directory
}

/// A binary beside the test program.
fn built(name: &str) -> PathBuf {
    let test = env::current_exe().expect("where the tests are");
    let profile = test.parent().and_then(Path::parent).expect("a directory of a profile");
    profile.join(name)
}
