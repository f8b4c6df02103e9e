//! The sweep in the sandbox: events that are lost, executions that are stopped, tasks that time
//! out. With real scripts, whose processes are looked for by their ids.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::stream::{self, StreamExt};
use sandbox_client::{NODES, Sandbox, eventually, unique_number};
use serde_json::{Value, json};

/// No event of Run Command or Step Functions arrives, and the sweep runs every second.
const SWEEP_ALONE: [&str; 4] = ["--drop-events", "1.0", "--schedule-seconds", "1"];

/// A task that runs a script for a minute on one node.
fn long_task(node: &str, process: &Process, more: &Value) -> Value {
    let mut task = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
        "Parameters": {
            "DocumentName": "SfnRunShellScript",
            "InstanceIds": [node],
            "Parameters": {
                "commands": [process.line(), "sleep 60"],
                "taskToken.$": "States.Array($$.Task.Token)",
            },
        },
        "End": true,
    });
    merge(&mut task, more);
    task
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// The process of a script, which writes its id into a file in its node's directory.
struct Process {
    file_name: String,
    path: PathBuf,
}

impl Process {
    fn on(sandbox: &Sandbox, node: &str) -> Self {
        let file_name = format!("pid-{}", unique_number());
        let path = sandbox.node_directory(node).join(&file_name);
        Self { file_name, path }
    }

    /// The line of the script that writes the id.
    fn line(&self) -> String {
        format!("echo $$ > {}", self.file_name)
    }

    fn pid(&self) -> Option<u32> {
        fs::read_to_string(&self.path).ok()?.trim().parse().ok()
    }

    fn runs(&self) -> bool {
        self.pid().is_some_and(|pid| PathBuf::from(format!("/proc/{pid}")).exists())
    }

    async fn has_started(&self) {
        eventually("the start of a script", async || self.runs().then_some(())).await;
    }

    async fn is_gone(&self) {
        assert!(self.pid().is_some(), "the script had started");
        eventually("the end of a script", async || (!self.runs()).then_some(())).await;
    }
}

async fn status(sandbox: &Sandbox, execution: &str) -> String {
    let commands = sandbox.commands_of(execution).await;
    let command = sandbox.command_ended(&commands[0]).await;
    command.status_details.unwrap_or_default()
}

#[tokio::test]
async fn two_hundred_lost_events_are_made_good_by_the_sweep_alone() {
    let sandbox = Sandbox::start(&SWEEP_ALONE).await;
    let machine = Sandbox::state_machine("run-command-by-instance-ids");
    let start = async |number: usize| {
        let script = [format!("echo number {number}"), format!("exit {}", number % 3)];
        let input = json!({ "InstanceIds": [NODES[number % 3]], "Commands": script });
        (number, sandbox.start_execution(&machine, &input).await)
    };
    let started: Vec<_> = stream::iter(0..200).map(start).buffer_unordered(4).collect().await;
    sandbox.all_executions_ended(&machine).await;
    for (number, execution) in started {
        let ended = sandbox.execution_ended(&execution).await;
        let report = match number % 3 {
            0 => ended.success().clone(),
            _ => ended.failure("RunCommand.Failed"),
        };
        let node = &report["Invocations"][0];
        assert_eq!(node["InstanceId"], NODES[number % 3]);
        assert_eq!(node["ResponseCode"], number % 3);
        assert_eq!(node["StandardOutputContent"], format!("number {number}\n"));
    }
    assert_eq!(sandbox.relay_log(), Vec::<Value>::new(), "no event reached the relay");
}

#[tokio::test]
async fn without_any_event_the_sweep_looks_after_what_runs() {
    let sandbox = &Sandbox::start(&SWEEP_ALONE).await;
    let nodes = &sandbox.add_nodes(["online"; 4]);

    let stopped = async {
        let process = Process::on(sandbox, &nodes[0]);
        let execution = sandbox.start_task(&long_task(&nodes[0], &process, &json!({}))).await;
        process.has_started().await;
        sandbox.stop_execution(&execution).await;
        process.is_gone().await;
        assert_eq!(status(sandbox, &execution).await, "Cancelled");
    };

    let timed_out_and_caught = async {
        let process = Process::on(sandbox, &nodes[1]);
        let more = json!({
            "TimeoutSeconds": 3,
            "Catch": [{ "ErrorEquals": ["States.Timeout"], "Next": "GoOn" }],
        });
        let mut task = long_task(&nodes[1], &process, &more);
        task.as_object_mut().unwrap().remove("End");
        task["Next"] = json!("GoOn");
        let machine = json!({ "StartAt": "RunScript", "States": {
            "RunScript": task,
            "GoOn": { "Type": "Wait", "Seconds": 30, "End": true },
        }});
        let machine = sandbox.create_state_machine(&machine).await;
        let execution = sandbox.start_execution(&machine, &json!({})).await;
        process.has_started().await;
        process.is_gone().await;
        assert_eq!(status(sandbox, &execution).await, "Cancelled");
        let request = sandbox.step_functions.describe_execution().execution_arn(&execution);
        let status = request.send().await.unwrap().status;
        assert_eq!(status, ExecutionStatus::Running, "the execution goes on");
        sandbox.stop_execution(&execution).await;
    };

    let not_abandoned = async {
        let process = Process::on(sandbox, &nodes[2]);
        let more = json!({ "Parameters": { "Parameters": { "onAbandon": ["Continue"] } } });
        let execution = sandbox.start_task(&long_task(&nodes[2], &process, &more)).await;
        process.has_started().await;
        sandbox.stop_execution(&execution).await;
        // Several sweeps have the time to do wrong.
        let sweeps = sandbox.sweep_log().len();
        eventually("five sweeps", async || (sandbox.sweep_log().len() >= sweeps + 5).then_some(()))
            .await;
        assert!(process.runs(), "the command goes on");
        let commands = sandbox.commands_of(&execution).await;
        let command = sandbox.command(&commands[0]).await;
        assert_eq!(command.status_details.as_deref(), Some("InProgress"));
    };

    let kept_alive = async {
        let task = json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
            "Parameters": {
                "DocumentName": "SfnRunShellScript",
                "InstanceIds": [nodes[3]],
                "Parameters": {
                    "commands": ["sleep 12", "echo still wanted"],
                    "taskToken.$": "States.Array($$.Task.Token)",
                },
            },
            "HeartbeatSeconds": 5,
            "End": true,
        });
        let ended = sandbox.run_task(&task).await;
        let node = &ended.success()["Invocations"][0];
        assert_eq!(node["StandardOutputContent"], "still wanted\n");
    };

    tokio::join!(stopped, timed_out_and_caught, not_abandoned, kept_alive);
}

#[tokio::test]
async fn the_end_of_an_execution_starts_a_sweep_at_once() {
    // No regular sweep comes within this test.
    let sandbox = &Sandbox::start(&["--schedule-seconds", "3600"]).await;
    let process = Process::on(sandbox, NODES[0]);
    let execution = sandbox.start_task(&long_task(NODES[0], &process, &json!({}))).await;
    process.has_started().await;
    let commands = sandbox.commands_of(&execution).await;
    let stopped_at = Instant::now();
    sandbox.stop_execution(&execution).await;
    process.is_gone().await;
    assert!(stopped_at.elapsed() < Duration::from_secs(20), "{:?}", stopped_at.elapsed());
    let command = sandbox.command_ended(&commands[0]).await;
    assert_eq!(command.status_details.as_deref(), Some("Cancelled"));
    let swept = eventually("the report of a sweep", async || {
        sandbox.sweep_log().into_iter().find(|line| line["message"] == "swept")
    })
    .await;
    assert_eq!(swept["cause"], "ExecutionEnded");
}
