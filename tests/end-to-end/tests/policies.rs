//! The roles of the stack: with every call checked against the policy of its role, all cases go
//! well; and without any single action that a policy grants, one of them does not. So no grant is
//! missing, and none is unused.
//!
//! While single actions are missing, no event arrives: the test itself invokes the functions, so
//! that each refusal has one cause.

use std::collections::BTreeSet;
use std::fs;

use aws_sdk_sfn::types::ExecutionStatus;
use end_to_end::READ_AGAIN;
use sandbox_client::{ACCOUNT, Barrier, NODES, REGION, Sandbox, event_of, eventually};
use serde_json::{Value, json};

/// No regular sweep comes within this test.
const OPTIONS: [&str; 3] = ["--enforce-policies", "--schedule-seconds", "3600"];
/// What the name of each role holds, and its policy.
const ROLES: [(&str, &str); 3] =
    [("RelayRole", "relay"), ("SweepRole", "sweep"), ("SSMSyncRole", "start-command")];
/// Granted, and never called by the code: Lambda calls it under the function's role.
const CALLED_BY_LAMBDA: [(&str, &str); 3] = [
    ("logs:CreateLogStream", "called by Lambda, for each process of the function"),
    ("logs:PutLogEvents", "called by Lambda, for what the function prints"),
    ("sqs:SendMessage", "called by Lambda, for events that could not be handled"),
];
const SWEEP: &str = "run-command-relay-sweep";
/// More than what comes without `GetCommandInvocation`, 2,500.
const LONG_OUTPUT_CHARACTERS: usize = 5000;
const READ_OUTPUT: &str = "ssm:GetCommandInvocation";
const CANCEL: &str = "ssm:CancelCommand";
const HEARTBEAT: &str = "states:SendTaskHeartbeat";
/// A node that is not there, so that no command can be started on it.
const NODE_OF_NOBODY: &str = "i-0fffffffffffffff0";

#[tokio::test]
async fn each_granted_action_is_needed_and_no_other_one() {
    let sandbox = Sandbox::start(&OPTIONS).await;
    let roles = ROLES.map(|(id, policy_name)| Role::read(&sandbox, id, policy_name));
    let [relay, sweep, automations] = &roles;

    Box::pin(with_all_events(&sandbox)).await;
    disable_rules(&sandbox).await;
    without_any_event(&sandbox).await;
    let refused = refused_calls(&sandbox, 0);
    assert!(refused.is_empty(), "with the policies as they are: {refused:?}");
    for role in &roles {
        let called = role.calls(&sandbox);
        let granted = role.called_actions();
        assert_eq!(called, BTreeSet::from_iter(granted), "what {} is used for", role.id);
    }

    let mut table = by_lambda(&roles);
    for action in relay.called_actions() {
        table.push(relay_without(&sandbox, relay, &action).await);
    }
    table.append(&mut sweeps_without(&sandbox, sweep).await);
    for action in automations.called_actions() {
        table.push(automation_without(&sandbox, automations, &action).await);
    }
    let nodes = Role::read(&sandbox, "SSMSyncRole", "nodes");
    table.push(automation_without(&sandbox, &nodes, "ssm:SendCommand").await);
    automation_without_power_shell(&sandbox, automations).await;
    table.sort();
    let granted = roles.iter().chain([&nodes]).map(|role| role.actions().len()).sum::<usize>();
    assert_eq!(table.len(), granted);
    for [role, action, effect] in table {
        println!("{role:<12} {action:<27} {effect}");
    }
}

// ---- All cases, with the policies as they are ------------------------------------------------------

async fn with_all_events(sandbox: &Sandbox) {
    let succeeding = async {
        let ended = sandbox.run_task(&task(NODES[0], &["echo done"])).await;
        assert_eq!(ended.success()["Invocations"][0]["StandardOutputContent"], "done\n");
    };
    let failing = async {
        let ended = sandbox.run_task(&task(NODES[1], &["exit 3"])).await;
        assert_eq!(ended.failure("RunCommand.Failed")["Invocations"][0]["ResponseCode"], 3);
    };
    let with_long_output = async {
        let ended = sandbox.run_task(&task(NODES[2], &[&long_output()])).await;
        let output = &ended.success()["Invocations"][0]["StandardOutputContent"];
        assert_eq!(output.as_str().map(str::len), Some(LONG_OUTPUT_CHARACTERS));
    };
    let started_by_automation = async {
        let ended = sandbox.run_task(&automation_task(NODES[0], &["echo automated"])).await;
        assert_eq!(ended.success()["Invocations"][0]["StandardOutputContent"], "automated\n");
    };
    let not_started = async {
        let ended = sandbox.run_task(&automation_task(NODE_OF_NOBODY, &["true"])).await;
        assert_eq!(ended.error.as_deref(), Some("RunCommand.StartFailed"), "{ended:?}");
    };
    let in_power_shell = async {
        // There is none on the node: its command fails, but it was sent.
        let ended = sandbox.run_task(&power_shell_task()).await;
        let cause = ended.failure("RunCommand.Failed");
        assert_eq!(cause["DocumentName"], "SfnRunPowerShellScript");
    };
    tokio::join!(
        succeeding,
        failing,
        with_long_output,
        started_by_automation,
        not_started,
        in_power_shell
    );
    let stopped = Waiting::start(sandbox, "true").await;
    sandbox.stop_execution(&stopped.execution).await;
    stopped.is_cancelled(sandbox).await;
}

async fn without_any_event(sandbox: &Sandbox) {
    let long = long_output();
    let waiting = [
        Waiting::start(sandbox, "echo lost").await,
        Waiting::start(sandbox, "exit 3").await,
        Waiting::start(sandbox, &long).await,
    ];
    let stopped = Waiting::start(sandbox, "true").await;
    invoke_sweep(sandbox).await;
    sandbox.stop_execution(&stopped.execution).await;
    for waiting in &waiting {
        waiting.end(sandbox).await;
    }
    // Seen executing, seen no longer, recovered.
    invoke_sweep(sandbox).await;
    invoke_sweep(sandbox).await;
    stopped.is_cancelled(sandbox).await;
    let [succeeded, failed, long] = waiting;
    let ended = sandbox.execution_ended(&succeeded.execution).await;
    assert_eq!(ended.success()["Invocations"][0]["StandardOutputContent"], "lost\n");
    sandbox.execution_ended(&failed.execution).await.failure("RunCommand.Failed");
    let ended = sandbox.execution_ended(&long.execution).await;
    let output = &ended.success()["Invocations"][0]["StandardOutputContent"];
    assert_eq!(output.as_str().map(str::len), Some(LONG_OUTPUT_CHARACTERS));
}

// ---- One action less -------------------------------------------------------------------------------

/// A line of the table: role, action, and what becomes of it without the action.
type Line = [String; 3];

fn line(role: &Role, action: &str, effect: impl Into<String>) -> Line {
    [role.id.to_owned(), action.to_owned(), effect.into()]
}

/// The actions that are not for the code to call.
fn by_lambda(roles: &[Role]) -> Vec<Line> {
    let mut lines = Vec::new();
    for role in roles {
        for action in role.actions() {
            if let Some((_, reason)) = CALLED_BY_LAMBDA.iter().find(|(name, _)| *name == action) {
                lines.push(line(role, &action, *reason));
            }
        }
    }
    lines
}

/// The relay cannot settle a command, or not wholly, and can once the action is granted again.
async fn relay_without(sandbox: &Sandbox, role: &Role, action: &str) -> Line {
    let waiting = Waiting::start(sandbox, &script_that_needs(action)).await;
    waiting.end(sandbox).await;
    let command = sandbox.command(&waiting.command).await;
    let event = event_of(&command, "Success");

    let before = calls(sandbox).len();
    role.put_policy(sandbox, &role.policy_without(action)).await;
    let invoked = sandbox.invoke_relay(&event).await;
    only_refused(sandbox, before, role, action);
    role.put_policy(sandbox, &role.policy).await;
    if action == READ_OUTPUT {
        return line(role, action, waiting.has_cut_output(sandbox).await);
    }
    assert!(invoked.failed, "{action}: {invoked:?}");
    assert_eq!(sandbox.answers_of(&waiting.execution).await, 0, "{action}");
    assert!(!sandbox.invoke_relay(&event).await.failed, "{action} is granted again");
    sandbox.execution_ended(&waiting.execution).await;
    line(role, action, format!("the relay fails: {}", invoked.outcome()))
}

/// Lost events stay lost and abandoned commands go on, until the action is granted again.
async fn sweeps_without(sandbox: &Sandbox, role: &Role) -> Vec<Line> {
    let mut cases = Vec::new();
    for action in role.called_actions() {
        let waiting = Waiting::start(sandbox, &script_that_needs(&action)).await;
        cases.push((action, waiting));
    }

    let mut lines = Vec::new();
    for (action, waiting) in &cases {
        replace_sweep(sandbox, action).await;
        if action == CANCEL {
            sandbox.stop_execution(&waiting.execution).await;
        } else {
            waiting.end(sandbox).await;
            if action != HEARTBEAT {
                // Sees that it has ended and its task waits. The next one settles it.
                invoke_sweep(sandbox).await;
            }
        }
        let before = calls(sandbox).len();
        role.put_policy(sandbox, &role.policy_without(action)).await;
        invoke_sweep(sandbox).await;
        only_refused(sandbox, before, role, action);
        role.put_policy(sandbox, &role.policy).await;
        let effect = match action.as_str() {
            CANCEL => {
                let command = sandbox.command(&waiting.command).await;
                assert_eq!(command.status_details.as_deref(), Some("InProgress"));
                "an abandoned command runs on"
            }
            READ_OUTPUT => waiting.has_cut_output(sandbox).await,
            _ => {
                assert_eq!(sandbox.answers_of(&waiting.execution).await, 0, "{action}");
                "a lost event stays lost"
            }
        };
        lines.push(line(role, action, effect));
    }

    replace_sweep(sandbox, "with all actions").await;
    invoke_sweep(sandbox).await;
    invoke_sweep(sandbox).await;
    for (action, waiting) in &cases {
        if action == CANCEL {
            waiting.is_cancelled(sandbox).await;
        } else {
            sandbox.execution_ended(&waiting.execution).await;
        }
    }
    lines
}

/// The automation cannot start the command, or cannot say that it could not.
async fn automation_without(sandbox: &Sandbox, role: &Role, action: &str) -> Line {
    let before = calls(sandbox).len();
    role.put_policy(sandbox, &role.policy_without(action)).await;
    let effect = if action == "ssm:SendCommand" {
        let ended = sandbox.run_task(&automation_task(NODES[0], &["true"])).await;
        assert_eq!(ended.error.as_deref(), Some("RunCommand.StartFailed"), "{ended:?}");
        "the task fails: RunCommand.StartFailed"
    } else {
        let task = automation_task(NODE_OF_NOBODY, &["true"]);
        let execution = sandbox.start_task(&task).await;
        eventually("a refused call", async || {
            (!refused_calls(sandbox, before).is_empty()).then_some(())
        })
        .await;
        assert_eq!(sandbox.answers_of(&execution).await, 0, "{action}");
        sandbox.stop_execution(&execution).await;
        "a task whose command cannot be started waits on"
    };
    only_refused(sandbox, before, role, action);
    role.put_policy(sandbox, &role.policy).await;
    line(role, action, effect)
}

/// Each shell needs its own document.
async fn automation_without_power_shell(sandbox: &Sandbox, role: &Role) {
    let mut policy = role.policy.clone();
    let documents = policy["Statement"][0]["Resource"].as_array_mut().expect("two documents");
    assert_eq!(documents.len(), 2);
    documents.retain(|document| document.as_str().is_some_and(|arn| !arn.contains("PowerShell")));
    role.put_policy(sandbox, &policy).await;
    let before = calls(sandbox).len();
    let ended = sandbox.run_task(&power_shell_task()).await;
    assert_eq!(ended.error.as_deref(), Some("RunCommand.StartFailed"), "{ended:?}");
    only_refused(sandbox, before, role, "ssm:SendCommand");
    let execution = sandbox.start_task(&automation_task(NODES[0], &["true"])).await;
    eventually("the command of an automation", async || {
        let calls = calls(sandbox);
        let mut calls = calls.iter().skip(before);
        calls
            .any(|call| {
                call["role"] == role.name.as_str()
                    && call["operation"] == "SendCommand"
                    && call["refused"].is_null()
            })
            .then_some(())
    })
    .await;
    sandbox.stop_execution(&execution).await;
    role.put_policy(sandbox, &role.policy).await;
}

/// A script whose command cannot be answered without this action.
fn script_that_needs(action: &str) -> String {
    match action {
        READ_OUTPUT => long_output(),
        "states:SendTaskFailure" => "exit 3".to_owned(),
        _ => "true".to_owned(),
    }
}

fn long_output() -> String {
    format!("head -c {LONG_OUTPUT_CHARACTERS} /dev/zero | tr '\\0' x")
}

// ---- The roles of the stack ------------------------------------------------------------------------

/// A role of the deployed stack.
struct Role {
    /// What its name holds.
    id: &'static str,
    name: String,
    policy_name: &'static str,
    policy: Value,
}

impl Role {
    fn read(sandbox: &Sandbox, id: &'static str, policy_name: &'static str) -> Self {
        let roles = sandbox.aws_cli(&["iam", "list-roles", "--query", "Roles[].RoleName"]);
        let name = texts(&roles).into_iter().find(|name| name.contains(id));
        let name = name.unwrap_or_else(|| panic!("{id} is none of {roles}"));
        let mut read = sandbox.aws_cli(&[
            "iam",
            "get-role-policy",
            "--role-name",
            &name,
            "--policy-name",
            policy_name,
        ]);
        Self { id, name, policy_name, policy: read["PolicyDocument"].take() }
    }

    /// What its policy grants.
    fn actions(&self) -> Vec<String> {
        let statements = self.policy["Statement"].as_array().expect("a policy has statements");
        statements.iter().flat_map(|statement| texts(&statement["Action"])).collect()
    }

    /// What its policy grants for the code to call.
    fn called_actions(&self) -> Vec<String> {
        let mut actions = self.actions();
        actions.retain(|action| CALLED_BY_LAMBDA.iter().all(|(name, _)| name != action));
        actions
    }

    fn policy_without(&self, action: &str) -> Value {
        let mut policy = self.policy.clone();
        let statements = policy["Statement"].as_array_mut().expect("a policy has statements");
        for statement in statements.iter_mut() {
            let mut actions = texts(&statement["Action"]);
            actions.retain(|granted| granted != action);
            statement["Action"] = json!(actions);
        }
        statements.retain(|statement| statement["Action"] != json!([]));
        if statements.is_empty() {
            // A policy needs a statement: this one allows what nobody calls.
            let unused =
                json!({ "Effect": "Allow", "Action": "ssm:GetInventory", "Resource": "*" });
            statements.push(unused);
        }
        policy
    }

    /// Replaces its policy.
    async fn put_policy(&self, sandbox: &Sandbox, policy: &Value) {
        let document = policy.to_string();
        let form = [
            ("Action", "PutRolePolicy"),
            ("RoleName", &self.name),
            ("PolicyName", self.policy_name),
            ("PolicyDocument", &document),
        ];
        // The encoding of a query is that of a form.
        let form = reqwest::Url::parse_with_params("http://form/", form).expect("a form");
        let answer = reqwest::Client::new()
            .post(sandbox.endpoint_url())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", sandbox.authorization("iam"))
            .body(form.query().unwrap_or_default().to_owned())
            .send()
            .await
            .expect("an answer of IAM");
        assert!(answer.status().is_success(), "PutRolePolicy: {answer:?}");
    }

    /// The actions that were called under it.
    fn calls(&self, sandbox: &Sandbox) -> BTreeSet<String> {
        let calls = calls(sandbox);
        calls.iter().filter(|call| call["role"] == self.name.as_str()).map(action_of).collect()
    }
}

/// One text or several.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        value => value.as_str().map(str::to_owned).into_iter().collect(),
    }
}

// ---- Calls -----------------------------------------------------------------------------------------

/// The calls so far: complete lines of the log.
fn calls(sandbox: &Sandbox) -> Vec<Value> {
    let log = sandbox.directory().join("logs/calls.log");
    let text = fs::read_to_string(log).expect("the log of calls");
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The calls after so many that were refused for whatever reason of policies: role, action, code.
fn refused_calls(sandbox: &Sandbox, after: usize) -> Vec<[String; 3]> {
    let refused = calls(sandbox).into_iter().skip(after).filter_map(|call| {
        let code = call["refused"].as_str()?.to_owned();
        let role = call["role"].as_str().unwrap_or_default().to_owned();
        Some([role, action_of(&call), code])
    });
    refused.collect()
}

/// Nothing was refused since then but this action, and that for want of permission.
fn only_refused(sandbox: &Sandbox, since: usize, role: &Role, action: &str) {
    let refused = BTreeSet::from_iter(refused_calls(sandbox, since));
    let expected = [role.name.clone(), action.to_owned(), "AccessDeniedException".to_owned()];
    assert_eq!(refused, BTreeSet::from([expected]), "without {action} of {}", role.id);
}

fn action_of(call: &Value) -> String {
    let text = |name: &str| call[name].as_str().unwrap_or_default();
    format!("{}:{}", text("service"), text("operation"))
}

// ---- Tasks, commands, sweeps -----------------------------------------------------------------------

/// A task that runs a script on a node.
fn task(node: &str, script: &[&str]) -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
        "Parameters": {
            "DocumentName": "SfnRunShellScript",
            "InstanceIds": [node],
            "Parameters": { "commands": script, "taskToken.$": "States.Array($$.Task.Token)" },
        },
        "End": true,
    })
}

/// The same by way of an automation document.
fn automation_task(node: &str, script: &[&str]) -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:startAutomationExecution.waitForTaskToken",
        "Parameters": {
            "DocumentName": "SfnRunCommandByInstanceIds",
            "Parameters": {
                "InstanceIds": [node],
                "Commands": script,
                "taskToken.$": "States.Array($$.Task.Token)",
            },
        },
        "End": true,
    })
}

/// The same with PowerShell.
fn power_shell_task() -> Value {
    let mut task = automation_task(NODES[1], &["Get-Date"]);
    task["Parameters"]["Parameters"]["shell"] = json!(["PowerShell"]);
    task
}

/// A task whose script waits before it does what it is for.
struct Waiting {
    execution: String,
    command: String,
    barrier: Barrier,
}

impl Waiting {
    async fn start(sandbox: &Sandbox, script: &str) -> Self {
        let barrier = sandbox.barrier(NODES[0]);
        let execution = sandbox.start_task(&task(NODES[0], &[&barrier.line(), script])).await;
        let command = sandbox.commands_of(&execution).await.remove(0);
        Self { execution, command, barrier }
    }

    /// Lets the script end, and waits for that.
    async fn end(&self, sandbox: &Sandbox) {
        self.barrier.open();
        sandbox.command_ended(&self.command).await;
    }

    /// The task is answered all the same, with as much of the output as is in the list.
    async fn has_cut_output(&self, sandbox: &Sandbox) -> &'static str {
        let ended = sandbox.execution_ended(&self.execution).await;
        let node = &ended.success()["Invocations"][0];
        assert_eq!(node["OutputTruncated"], true);
        let output = node["StandardOutputContent"].as_str().expect("an output");
        assert!(output.len() < LONG_OUTPUT_CHARACTERS, "{output}");
        "the output stays cut"
    }

    /// Waits until the command is cancelled, with the execution stopped before.
    async fn is_cancelled(&self, sandbox: &Sandbox) {
        let ended = sandbox.execution_ended(&self.execution).await;
        assert_eq!(ended.status, ExecutionStatus::Aborted);
        let command = sandbox.command_ended(&self.command).await;
        assert_eq!(command.status_details.as_deref(), Some("Cancelled"));
    }
}

/// From now on no event reaches a function.
async fn disable_rules(sandbox: &Sandbox) {
    let rules = sandbox.call("events", "AWSEvents.ListRules", &json!({})).await;
    for rule in rules["Rules"].as_array().expect("a list of rules") {
        let name = rule["Name"].as_str().expect("a rule has a name");
        sandbox.aws_cli(&["events", "disable-rule", "--name", name]);
    }
    tokio::time::sleep(READ_AGAIN).await;
}

/// Lets the next sweep run in a new process, which does not know what was refused.
async fn replace_sweep(sandbox: &Sandbox, description: &str) {
    let update = ["lambda", "update-function-configuration", "--function-name", SWEEP];
    sandbox.aws_cli(&[&update[..], &["--description", description]].concat());
    tokio::time::sleep(READ_AGAIN).await;
}

/// Runs a sweep to its end, and lets it be told of what it could not do.
async fn invoke_sweep(sandbox: &Sandbox) {
    let event = json!({
        "version": "0", "id": "8f2d1c3a-0b1e-4e57-a0a0-00000000000c",
        "source": "aws.events", "detail-type": "Scheduled Event",
        "account": ACCOUNT, "region": REGION, "time": "2026-11-22T10:01:00Z",
        "resources": [], "detail": {},
    });
    // Only one sweep runs at a time.
    let status = sandbox.invoke(SWEEP, &event).await.status();
    assert!(status.is_success(), "{status}");
}
