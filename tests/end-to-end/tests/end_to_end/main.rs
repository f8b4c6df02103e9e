//! From a state machine to the answer of its task, with everything in between: real scripts, the
//! events of Run Command, the built functions, and Step Functions as moto runs it.

mod answers;
mod aws_cli;
mod deliveries;
mod drop_in;
mod hostile;
mod outputs;
mod secrets;
mod state_machines;
mod tokens;

use serde_json::{Value, json};

/// The task of a state machine that runs a script and waits for its answer; the last state.
fn task(document: &str, nodes: &[&str], script: &[&str]) -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
        "Parameters": {
            "DocumentName": document,
            "InstanceIds": nodes,
            "Parameters": {
                "commands": script,
                "taskToken.$": "States.Array($$.Task.Token)",
            },
        },
        "End": true,
    })
}

/// A task that runs a shell script with the project's own document.
fn shell_task(nodes: &[&str], script: &[&str]) -> Value {
    task("SfnRunShellScript", nodes, script)
}

/// The entry of a node in the report on a command.
fn node<'a>(report: &'a Value, instance_id: &str) -> &'a Value {
    let entries = report["Invocations"].as_array().expect("a report has invocations");
    let entry = entries.iter().find(|entry| entry["InstanceId"] == instance_id);
    entry.unwrap_or_else(|| panic!("{instance_id} is not in {report}"))
}

/// The name in the ARN of an execution.
fn name_of(execution: &str) -> &str {
    execution.rsplit_once(':').expect("an ARN").1
}

/// Borrowed, as the SDKs and the tasks want it.
fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
