//! The runbook has a heading for each alarm, outcome, error and warning, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox_client::{NODES, REGION, Sandbox, python_tool, task_token, unique_number, workspace};
use serde_json::{Value, json};

use crate::deploy_script::user;
use crate::{resources, succeed};

/// The crates of the functions.
const CRATES: [&str; 3] = ["callback", "callback-aws", "functions"];
/// Where the outcomes and the errors have their names.
const OUTCOMES: (&str, &str) = ("callback/src/settle.rs", "impl Outcome {");
const ERRORS: [(&str, &str); 2] = [
    ("callback/src/settle.rs", "impl SettleError {"),
    ("functions/src/invocation_error.rs", "impl InvocationError {"),
];
/// How an invalid environment ends a function: the name of its type.
const INVALID_ENVIRONMENT: &str = "ConfigError";
/// The beginnings of calls that log a warning or an error.
const LOUD: [&str; 4] = ["warn!(", "error!(", "swept!(warn", "swept!(error"];
/// Values for the words that a reader replaces.
const REPLACED: [(&str, &str); 9] = [
    ("=REGION", "=us-east-1"),
    ("=STACK", "=run-command-relay"),
    ("-FUNCTION\"", "-relay\""),
    (" HEADING", " Panicked"),
    (" COMMAND_ID", " 0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00"),
    (" RECEIPT_HANDLE", " handle"),
    (" RULE\n", " rule\n"),
    (" STATE_MACHINE_ARN", " arn:aws:states:us-east-1:123456789012:stateMachine:one"),
    (" EXECUTION_ARN", " arn:aws:states:us-east-1:123456789012:execution:one:two"),
];
/// Notes that the AWS CLI would call AWS, and fails if it would not. Gives any value.
const CALLS_NOBODY: &str = r#"
aws() {
  local said
  said=$("$AWS" "$@" --endpoint-url http://127.0.0.1:9 2>&1) || true
  case "$said" in
    *"Could not connect to the endpoint URL"*) echo call >> calls; echo value ;;
    *) echo "aws $*: $said" >&2; exit 1 ;;
  esac
}
grep() { cat; }"#;

#[test]
fn each_alarm_has_a_heading_and_names_it() {
    let alarms: BTreeSet<_> =
        resources("AWS::CloudWatch::Alarm").map(|(id, _)| id.to_owned()).collect();
    assert_eq!(headings("Alarms"), alarms);
    for (id, alarm) in resources("AWS::CloudWatch::Alarm") {
        let description = alarm["AlarmDescription"].as_str().expect("a description");
        let link = format!(" See infra/RUNBOOK.md#{}", id.to_lowercase());
        assert!(description.ends_with(&link), "{id}: {description}");
    }
}

#[test]
fn each_outcome_has_a_heading() {
    assert_eq!(headings("Outcomes"), names(OUTCOMES));
}

#[test]
fn each_error_has_a_heading() {
    let mut errors: BTreeSet<_> = ERRORS.into_iter().flat_map(names).collect();
    let invalid = std::any::type_name::<functions::config::ConfigError>();
    assert!(invalid.ends_with(&format!("::{INVALID_ENVIRONMENT}")), "{invalid}");
    errors.insert(INVALID_ENVIRONMENT.to_owned());
    assert_eq!(headings("Errors"), errors);
}

/// Each says so in a field `runbook`: a heading as a text, or the name of an outcome or an error.
#[test]
fn each_warning_and_error_in_the_log_names_its_heading() {
    let mut named = BTreeSet::new();
    for call in loud_calls() {
        let (_, runbook) =
            call.split_once("runbook = ").unwrap_or_else(|| panic!("no heading: {call}"));
        if let Some(literal) = runbook.strip_prefix('"') {
            named.insert(literal.split('"').next().unwrap_or_default().to_owned());
        } else {
            let is_name = ["outcome,", "error.name(),"].iter().any(|end| runbook.starts_with(end));
            assert!(is_name, "{call}");
        }
    }
    let known: BTreeSet<_> = ["Outcomes", "Errors"].into_iter().flat_map(headings).collect();
    let warnings: BTreeSet<_> = named.difference(&known).cloned().collect();
    assert_eq!(headings("Warnings"), warnings);
}

/// Alarms name theirs by the names in the template.
#[test]
fn each_heading_that_relayctl_names_is_there() {
    let mut named = BTreeSet::new();
    for file in sources(&workspace().join("crates/operator/src")) {
        let text = fs::read_to_string(&file).expect("a source file");
        for link in text.split("infra/RUNBOOK.md#").skip(1) {
            let anchor = link.split(|char: char| !char.is_ascii_lowercase() && char != '-');
            named.extend(anchor.take(1).filter(|anchor| !anchor.is_empty()).map(str::to_owned));
        }
    }
    let anchors = anchors();
    let missing: Vec<_> = named.difference(&anchors).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let checks: BTreeSet<_> = headings("Checks").iter().map(|heading| anchor(heading)).collect();
    let unnamed: Vec<_> = checks.difference(&named).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn each_link_leads_to_a_heading() {
    let text = runbook();
    let anchors = anchors();
    for link in text.split("](#").skip(1) {
        let anchor = link.split(')').next().unwrap_or_default();
        assert!(anchors.contains(anchor), "#{anchor}");
    }
}

/// Runs all commands without anybody to call: the AWS CLI checks operations, options and values.
#[test]
fn the_aws_cli_takes_each_command() {
    let mut commands: String = blocks(&runbook()).concat();
    assert!(!commands.contains("# "), "zsh takes no comments at a prompt: {commands}");
    for (word, value) in REPLACED {
        assert!(commands.contains(word), "{word} is in the runbook");
        commands = commands.replace(word, value);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!("set -euo pipefail\n{CALLS_NOBODY}\n{commands}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).env("AWS", python_tool("aws")).current_dir(&directory);
    bash.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    bash.env("AWS_MAX_ATTEMPTS", "1").env_remove("AWS_PROFILE").env("HOME", directory.path());
    succeed(&mut bash);
    let calls = fs::read_to_string(directory.path().join("calls")).expect("calls");
    // Two of the calls are in functions that are called more often.
    assert!(calls.lines().count() >= commands.matches("aws ").count(), "{script}");
}

#[tokio::test]
async fn a_command_is_shown_without_its_token_and_settled_by_hand() {
    let sandbox = Sandbox::shared().await;
    let machine = Sandbox::state_machine("run-command-by-instance-ids");
    let input = json!({ "InstanceIds": [NODES[0]], "Commands": ["exit 3"] });
    let execution = sandbox.start_execution(&machine, &input).await;
    sandbox.execution_ended(&execution).await.failure("RunCommand.Failed");
    let [id] = &sandbox.commands_of(&execution).await[..] else { panic!("one command") };

    let first = &blocks(&section("First"))[0].replace("=REGION", "=us-east-1");
    let first = first.replace("=STACK", "=run-command-relay");
    let said = run(&sandbox, &format!("{first}\nshow_command {id}"));
    let shown: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&shown[0]["Status"], &shown[0]["Errors"]), (&json!("Failed"), &json!(1)));
    let command = sandbox.command(id).await;
    assert!(!said.contains(task_token(&command).expect("a token")), "{said}");

    let by_hand = blocks(&section("Settle by hand")).concat().replace("COMMAND_ID", id);
    let said = run(&sandbox, &format!("{first}\n{by_hand}"));
    assert!(
        said.contains(&json!({ "CommandId": id, "Outcome": "AlreadyClosed" }).to_string()),
        "{said}"
    );
}

#[tokio::test]
async fn what_matters_of_a_failed_event_is_printed() {
    let sandbox = Sandbox::shared().await;
    let name = format!("messages-{}", unique_number());
    // For SQS, the AWS CLI does not read the endpoint from its environment.
    let sqs = ["--endpoint-url", sandbox.endpoint_url(), "sqs"];
    let call = |arguments: &[&str]| sandbox.aws_cli(&[&sqs, arguments].concat());
    let queue = &call(&["create-queue", "--queue-name", &name])["QueueUrl"];
    let queue = queue.as_str().expect("a URL");
    let id = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";
    let event = json!({ "detail": { "command-id": id, "parameters": "secret" } });
    let record =
        json!({ "requestPayload": event, "responsePayload": { "errorType": "AnswerFailed" } });
    let error = json!({ "ERROR_CODE": { "DataType": "String", "StringValue": "NO_PERMISSIONS" } });
    let send = ["send-message", "--queue-url", queue, "--message-body"];
    call(&[&send[..], &[&record.to_string()]].concat());
    let attributes = [&event.to_string(), "--message-attributes", &error.to_string()];
    call(&[&send[..], &attributes].concat());

    let block = &blocks(&section("Messages in the on-failure queue"))[0];
    let (_, receive) = block.split_once("aws sqs").expect("a call of SQS");
    let said = run(&sandbox, &format!("queue={queue}\naws sqs{receive}"));
    for part in [id, "AnswerFailed", "NO_PERMISSIONS"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("handle ").count(), 2, "{said}");
    assert!(!said.contains("secret"), "{said}");
}

/// What a script prints whose AWS is the sandbox.
fn run(sandbox: &Sandbox, script: &str) -> String {
    let mut bash = Command::new("bash");
    user(sandbox, &mut bash);
    let tools = python_tool("aws").parent().expect("a directory").to_owned();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").expect("PATH"));
    let directory = tempfile::tempdir().expect("a directory");
    let script =
        format!("aws() {{ command aws \"$@\" --endpoint-url \"$AWS_ENDPOINT_URL\"; }}\n{script}");
    bash.args(["-euo", "pipefail", "-c", &script])
        .env("PATH", path)
        .env("AWS_DEFAULT_REGION", REGION);
    succeed(bash.current_dir(&directory))
}

fn runbook() -> String {
    fs::read_to_string(workspace().join("infra/RUNBOOK.md")).expect("the runbook")
}

/// What is below a heading of the second or third level, up to the next one of that level.
fn section(heading: &str) -> String {
    let level = |line: &str| line.len() - line.trim_start_matches('#').len();
    let text = runbook();
    let mut lines = text
        .lines()
        .skip_while(|line| level(line) < 2 || line.trim_start_matches('#').trim_start() != heading);
    let own = level(lines.next().unwrap_or_else(|| panic!("no heading {heading}")));
    let lines = lines.take_while(|line| level(line) == 0 || level(line) > own);
    lines.collect::<Vec<_>>().join("\n")
}

/// The blocks of commands in a text.
fn blocks(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The headings of the third level below one of the second.
fn headings(heading: &str) -> BTreeSet<String> {
    let section = section(heading);
    let found: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let headings: BTreeSet<_> = found.iter().map(|heading| (*heading).to_owned()).collect();
    assert_eq!(found.len(), headings.len(), "each heading once: {found:?}");
    headings
}

/// The anchors of all headings.
fn anchors() -> BTreeSet<String> {
    let text = runbook();
    let headings = text.lines().filter(|line| line.starts_with("##"));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

/// The names that a type gives its values, in the source of its function `name`.
fn names((file, begin): (&str, &str)) -> BTreeSet<String> {
    let text = fs::read_to_string(workspace().join("crates").join(file)).expect("a source file");
    let (_, rest) = text.split_once(begin).expect("the type's functions");
    let (_, rest) = rest.split_once("fn name(&self) -> &'static str {").expect("its names");
    let arms = rest.split("\n    }\n").next().unwrap_or_default().split("=> \"").skip(1);
    arms.map(|arm| arm.split('"').next().unwrap_or_default().to_owned()).collect()
}

/// Each call that logs a warning or an error, in one line: up to the end of its statement.
fn loud_calls() -> Vec<String> {
    let mut calls = Vec::new();
    for name in CRATES {
        for file in sources(&workspace().join("crates").join(name).join("src")) {
            let text = fs::read_to_string(&file).expect("a source file");
            for (begin, _) in LOUD.iter().flat_map(|loud| text.match_indices(loud)) {
                let call = text[begin..].split(';').next().unwrap_or_default();
                calls.push(call.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    assert!(calls.len() >= 20, "{calls:#?}");
    calls
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.collect()
}
