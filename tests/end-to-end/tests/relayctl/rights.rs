//! The policies for relayctl in infra/README.md: each command works with them, needs each of their actions,
//! and calls nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sandbox_client::{ACCOUNT, NODES, Sandbox, workspace};
use serde_json::{Value, json};

use crate::{EXECUTION_NAME, NO_SWEEPS, Said, check_lines, command_of, program, run, task};

const ROLE: &str = "reader";
const POLICY: &str = "relayctl";
/// Headings of infra/README.md.
const READS: &str = "\n### A role that only reads\n";
const RUNS: &str = "\n### The acceptance run\n";
/// The account in the README.
const ACCOUNT_OF_EXAMPLE: &str = "111122223333";
/// Calls by REST, as the log has them: method and the end of the path.
const BY_PATH: [(&str, &str); 5] = [
    ("/account-settings", "GetAccountSettings"),
    ("/concurrency", "GetFunctionConcurrency"),
    ("/configuration", "GetFunctionConfiguration"),
    ("/event-invoke-config", "GetFunctionEventInvokeConfig"),
    ("/policy", "GetPolicy"),
];

#[tokio::test]
async fn the_policy_is_what_the_commands_need_and_no_more() {
    let options = [&NO_SWEEPS[..], &["--enforce-policies"]].concat();
    let sandbox = &Sandbox::start(&options).await;
    let commands = commands(sandbox).await;
    let policy = policy(READS);
    let role = create_role(sandbox);
    put(sandbox, POLICY, &policy);
    let credentials = assume(sandbox, &role);

    // With the whole policy.
    let mut called: BTreeMap<String, &Vec<String>> = BTreeMap::new();
    for command in &commands {
        let since = calls(sandbox).len();
        let said = relayctl(sandbox, &credentials, command);
        assert!(matches!(said.code, Some(0 | 1)), "{command:?}: {said:?}");
        assert_eq!(missing(&said), BTreeSet::new(), "{command:?}: {said:?}");
        for call in &calls(sandbox)[since..] {
            assert!(call["refused"].is_null(), "{call}");
            called.entry(action_of(call)).or_insert(command);
        }
    }
    let actions = actions(&policy);
    assert_eq!(called.keys().cloned().collect::<BTreeSet<_>>(), actions);

    // Without one action.
    for action in &actions {
        put(sandbox, POLICY, &without(&policy, action));
        let said = relayctl(sandbox, &credentials, called[action]);
        assert!(matches!(said.code, Some(1 | 2)), "without {action}: {said:?}");
        assert_eq!(missing(&said), BTreeSet::from([action.clone()]), "{said:?}");
    }
}

/// The acceptance run with the policy of its section and that of a role that only reads, which `check`
/// needs. Each action of the former is called.
#[tokio::test]
async fn the_policies_are_what_the_acceptance_run_needs() {
    let sandbox = &Sandbox::start(&["--enforce-policies", "--schedule-seconds", "5"]).await;
    let (reads, runs) = (policy(READS), policy(RUNS));
    let role = create_role(sandbox);
    put(sandbox, POLICY, &reads);
    put(sandbox, "relayctl-run", &runs);
    let credentials = assume(sandbox, &role);
    let directory = tempfile::tempdir().expect("a directory");
    let report = directory.path().join("report").display().to_string();
    let cases = ["--case", "stopped", "--case", "automation-ids", "--case", "lost-event"];
    let words = ["check", "--run", "--disturb", "--node", NODES[0], "--report", &report];
    let words: Vec<_> = words.into_iter().chain(cases).map(str::to_owned).collect();
    let said = relayctl(sandbox, &credentials, &words);
    assert_eq!(missing(&said), BTreeSet::new(), "{said:?}");
    let (_, of_run) = said.stdout.split_once("Acceptance run ").expect("what came of the run");
    let fitting = of_run.lines().filter(|line| line.starts_with("  √ ")).count();
    assert_eq!((fitting, of_run.contains('×')), (3, false), "{of_run}");
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");

    let calls = calls(sandbox);
    for call in &calls {
        assert!(call["refused"].is_null(), "{call}");
    }
    let called: BTreeSet<_> = calls.iter().map(action_of).collect();
    let (reads, runs) = (actions(&reads), actions(&runs));
    let not_called: Vec<_> = runs.difference(&called).collect();
    assert_eq!(not_called, [] as [&String; 0]);
    let unknown: Vec<_> =
        called.iter().filter(|one| !runs.contains(*one) && !reads.contains(*one)).collect();
    assert_eq!(unknown, [] as [&String; 0]);
}

/// Each command that only reads, where there is something to read.
async fn commands(sandbox: &Sandbox) -> Vec<Vec<String>> {
    let silent = &sandbox.add_nodes(["silent"])[0];
    let waiting = sandbox.start_task(&task(&[silent], &["true"], EXECUTION_NAME)).await;
    let waiting_id = command_of(sandbox, &waiting).await;
    // Its output is longer than what is listed.
    let long = "head -c 5000 /dev/zero | tr '\\0' x; exit 3";
    let ended = sandbox.start_task(&task(&NODES[..1], &[long], EXECUTION_NAME)).await;
    sandbox.execution_ended(&ended).await.failure("RunCommand.Failed");
    let ended_id = command_of(sandbox, &ended).await;
    let automation = sandbox
        .start_task(&json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ssm:startAutomationExecution.waitForTaskToken",
            "Parameters": {
                "DocumentName": "SfnRunCommandByInstanceIds",
                "Parameters": {
                    "InstanceIds": [silent],
                    "taskToken.$": "States.Array($$.Task.Token)",
                    "Commands": ["true"],
                },
            },
            "End": true,
        }))
        .await;
    let event = json!({
        "source": "aws.ssm",
        "detail-type": "EC2 Command Status-change Notification",
        "detail": { "command-id": ended_id, "status": "Failed" },
    });
    let message = json!({
        "QueueUrl": sandbox.ready().stack.outputs["OnFailureQueueUrl"],
        "MessageBody": json!({ "requestPayload": event }).to_string(),
    });
    sandbox.call("sqs", "AmazonSQS.SendMessage", &message).await;
    let machine = Sandbox::state_machine("run-command-by-instance-ids");
    [
        &["waiting"][..],
        &["explain", &waiting],
        &["explain", &waiting_id],
        &["explain", &ended_id],
        &["explain", &automation],
        &["queue"],
        &["check", "--state-machine", &machine],
    ]
    .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
    .to_vec()
}

/// relayctl with the session of a role.
fn relayctl(sandbox: &Sandbox, credentials: &Value, words: &[String]) -> Said {
    let text = |name: &str| credentials[name].as_str().expect("credentials");
    let mut command = program(sandbox);
    command
        .env("AWS_ACCESS_KEY_ID", text("AccessKeyId"))
        .env("AWS_SECRET_ACCESS_KEY", text("SecretAccessKey"))
        .env("AWS_SESSION_TOKEN", text("SessionToken"))
        .args(words)
        .args(["--stack", crate::STACK]);
    let said = run(&mut command);
    check_lines(&said);
    said
}

/// The rights that are said to be missing.
fn missing(said: &Said) -> BTreeSet<String> {
    let text = format!("{} {}", said.stdout, said.stderr);
    let words: Vec<_> = text.split_whitespace().collect();
    let found = words.windows(5).filter(|words| {
        words[..2] == ["the", "right"] && words[3] == "is" && words[4].starts_with("missing")
    });
    found.map(|words| words[2].to_owned()).collect()
}

fn create_role(sandbox: &Sandbox) -> String {
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{ACCOUNT}:root") },
            "Action": "sts:AssumeRole",
        }],
    });
    let create = ["iam", "create-role", "--role-name", ROLE, "--assume-role-policy-document"];
    let created = sandbox.aws_cli(&[&create[..], &[&trust.to_string()]].concat());
    created["Role"]["Arn"].as_str().expect("an ARN").to_owned()
}

fn put(sandbox: &Sandbox, name: &str, policy: &Value) {
    let put = ["iam", "put-role-policy", "--role-name", ROLE, "--policy-name", name];
    let document = policy.to_string();
    sandbox.aws_cli(&[&put[..], &["--policy-document", &document]].concat());
}

fn assume(sandbox: &Sandbox, role: &str) -> Value {
    let assume = ["sts", "assume-role", "--role-session-name", "night", "--role-arn", role];
    sandbox.aws_cli(&assume)["Credentials"].take()
}

/// The policy in the section of infra/README.md with this heading, for the account of the sandbox.
fn policy(heading: &str) -> Value {
    let readme = fs::read_to_string(workspace().join("infra/README.md")).expect("the README");
    let (_, section) = readme.split_once(heading).expect("the section");
    let (_, json) = section.split_once("```json\n").expect("the policy");
    let (json, _) = json.split_once("```").expect("the end of the policy");
    serde_json::from_str(&json.replace(ACCOUNT_OF_EXAMPLE, ACCOUNT)).expect("JSON")
}

/// The actions of a statement.
fn actions_of(statement: &Value) -> Vec<String> {
    let actions = match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        action => vec![action.clone()],
    };
    actions.iter().map(|action| action.as_str().expect("an action").to_owned()).collect()
}

fn actions(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().expect("statements");
    statements.iter().flat_map(actions_of).collect()
}

fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().expect("statements");
    for statement in statements.iter_mut() {
        let left: Vec<_> = actions_of(statement).into_iter().filter(|one| one != action).collect();
        statement["Action"] = left.into();
    }
    statements.retain(|statement| statement["Action"] != json!([]));
    policy
}

/// The calls under the role so far: complete lines of the log.
fn calls(sandbox: &Sandbox) -> Vec<Value> {
    let log = sandbox.directory().join("logs/calls.log");
    let text = fs::read_to_string(log).expect("the log of calls");
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = complete.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    lines.filter(|call: &Value| call["role"] == ROLE).collect()
}

/// The action that a call needs.
fn action_of(call: &Value) -> String {
    let text = |name: &str| call[name].as_str().unwrap_or_default();
    let service = match text("service") {
        "monitoring" => "cloudwatch",
        service => service,
    };
    let operation = text("operation");
    let by_path = BY_PATH.iter().find(|(end, _)| operation.trim_end_matches('/').ends_with(end));
    let operation = by_path.map_or(operation, |(_, name)| name);
    // Of several messages.
    format!("{service}:{}", operation.trim_end_matches("Batch"))
}
