//! `relayctl` against the stack in the sandbox: what it prints, its exit codes, and that it prints no
//! task token.

mod acceptance;
mod bad_input;
mod before;
mod check;
mod explain;
mod queue;
mod rights;
mod waiting;

use std::path::PathBuf;
use std::process::{Command, Output};

use end_to_end::secret::Secret;
use regex::{Captures, Regex};
use sandbox_client::{ACCOUNT, REGION, Sandbox, task_token};
use serde_json::{Value, json};

/// The stack of each sandbox.
const STACK: &str = "run-command-relay";
/// No regular sweep comes within a test.
const NO_SWEEPS: [&str; 2] = ["--schedule-seconds", "3600"];
const WIDTH_MAX: usize = 100;

/// What a run of relayctl printed.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    /// The object that it printed, with this exit code.
    fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text that it printed, with this exit code, in lines that are not wrapped, and with
    /// placeholders for what differs from run to run.
    fn text(&self, code: i32) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(code), ""), "{self:?}");
        steady(&self.stdout)
    }

    /// The sentence that it printed to stderr because something could not be found out.
    fn problem(&self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{self:?}");
        steady(&self.stderr.trim_end().replace('\n', " "))
    }
}

/// Runs relayctl against a sandbox. Checks that lines are not too wide, and that no task token of any
/// command is printed.
async fn relayctl(sandbox: &Sandbox, arguments: &[&str]) -> Said {
    let mut command = program(sandbox);
    command.args(arguments).args(["--stack", STACK]);
    let said = run(&mut command);
    if !arguments.contains(&"json") {
        check_lines(&said);
    }
    for command in sandbox.commands().await {
        if let Some(token) = task_token(&command) {
            let secret = Secret::new(token);
            let shows = secret.is_in(&said.stdout) || secret.is_in(&said.stderr);
            assert!(!shows, "{arguments:?} printed a token");
        }
    }
    said
}

/// The same with `--output json`, and this exit code.
async fn relayctl_json(sandbox: &Sandbox, arguments: &[&str], code: i32) -> Value {
    relayctl(sandbox, &[arguments, &["--output", "json"]].concat()).await.json(code)
}

fn run(command: &mut Command) -> Said {
    said(command.output().expect("relayctl runs"))
}

fn said(Output { status, stdout, stderr }: Output) -> Said {
    Said {
        code: status.code(),
        stdout: String::from_utf8(stdout).expect("UTF-8"),
        stderr: String::from_utf8(stderr).expect("UTF-8"),
    }
}

fn check_lines(said: &Said) {
    for line in said.stdout.lines().chain(said.stderr.lines()) {
        assert!(line.chars().count() <= WIDTH_MAX, "{line}");
    }
    assert!(!said.stdout.contains('\u{1b}'), "colours without a terminal: {said:?}");
}

/// relayctl with the credentials of the sandbox, and no configuration of whoever runs the tests.
fn program(sandbox: &Sandbox) -> Command {
    let mut command = bare_program();
    command
        .env("AWS_ENDPOINT_URL", sandbox.endpoint_url())
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", sandbox.access_key_id())
        .env("AWS_SECRET_ACCESS_KEY", sandbox.secret_access_key());
    command
}

/// relayctl without region, credentials and configuration.
fn bare_program() -> Command {
    let mut command = Command::new(path());
    command.env_clear().env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// It is built with the other programs, next to the directory of this one.
fn path() -> PathBuf {
    let test = std::env::current_exe().expect("where the tests are");
    let path = test.parent().and_then(std::path::Path::parent).expect("a directory");
    let path = path.join("relayctl");
    let missing = "`cargo build --workspace --bins` builds it";
    assert!(path.is_file(), "{} is missing: {missing}", path.display());
    path
}

/// A text with placeholders for IDs, times, durations and names used once. Each ID has a number.
fn steady(text: &str) -> String {
    // Where a line is wrapped depends on durations.
    let text = text.replace("\n    ", " ");
    let replace =
        |text: &str, pattern: &str, with: &str| regex(pattern).replace_all(text, with).into_owned();
    let mut text = replace(&text, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME");
    let mut ids: Vec<String> = Vec::new();
    let number = |found: &Captures| {
        let at = ids.iter().position(|id| *id == found[0]).unwrap_or_else(|| {
            ids.push(found[0].to_owned());
            ids.len() - 1
        });
        format!("ID-{}", at + 1)
    };
    text = regex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").replace_all(&text, number).into();
    for (pattern, with) in [
        (r"\b(\d+ min )?\d+ (s|min) ago", "AGE ago"),
        (r"(?m)^\d+ (s|min)( \d+ s)?\b", "AGE"),
        (r"\bin \d+ (s|min|h)( \d+ (s|min))?", "in DURATION"),
        (r"i-e[0-9a-f]{16}", "NODE"),
        (r"end-to-end-\d+", "MACHINE"),
        // What CloudFormation adds to a name, and what this machine is.
        (r"\b(OnFailureQueue)-[A-Z0-9]+", "$1-SUFFIX"),
        (r"code for (x86_64|arm64)", "code for ARCHITECTURE"),
        // Columns are as wide as they are, whatever stands in them.
        (r"(\S) {2,}", "$1  "),
    ] {
        text = replace(&text, pattern, with);
    }
    text
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern")
}

/// The names and types of the fields of a JSON value. Of an array, those of its first element.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(values) => values.iter().take(1).map(shape).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect())
        }
    }
}

/// A task that runs this script and waits. The command's comment is this path of the context object.
fn task(nodes: &[&str], script: &[&str], comment: &str) -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
        "Parameters": {
            "DocumentName": "SfnRunShellScript",
            "InstanceIds": nodes,
            "Comment.$": comment,
            "Parameters": { "commands": script, "taskToken.$": "States.Array($$.Task.Token)" },
        },
        // Longer than the command's own limit, two hours, so that the order of both is certain.
        "TimeoutSeconds": 9000,
        "HeartbeatSeconds": 600,
        "End": true,
    })
}

/// The path of the name of an execution, as our state machines put it into the comment.
const EXECUTION_NAME: &str = "$$.Execution.Name";

/// The only command of an execution.
async fn command_of(sandbox: &Sandbox, execution: &str) -> String {
    let [id] = &sandbox.commands_of(execution).await[..] else { panic!("one command") };
    id.clone()
}

/// The ARNs of the state machines whose names match.
fn machines(name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}")
}
