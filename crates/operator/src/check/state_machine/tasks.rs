//! The tasks in a definition that start a command or an automation and wait for its token.

use serde_json::Value;

/// Maximum depth of Maps and Parallels within one another.
const DEPTH_MAX: usize = 20;

/// A task that waits for its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// The name of its state.
    pub(super) state: String,
    /// What it starts.
    pub(super) starts: Starts,
    /// The document that it names. `None` if that is an expression.
    pub(super) document: Option<String>,
    /// Its `HeartbeatSeconds`. `None` if it has none, or an expression.
    pub(super) heartbeat_s: Option<u64>,
    /// Whether it has `TimeoutSeconds`, also as an expression.
    pub(super) has_timeout: bool,
}

/// What a task starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Starts {
    /// With `sendCommand`.
    Command,
    /// With `startAutomationExecution`.
    Automation,
}

/// The tasks of a definition.
pub(super) fn of(definition: &str) -> Vec<Task> {
    let definition = serde_json::from_str(definition).unwrap_or_default();
    let mut tasks = Vec::new();
    collect(&definition, 0, &mut tasks);
    tasks
}

/// Adds the tasks of a definition, and of those within its Maps and Parallels.
fn collect(definition: &Value, depth: usize, tasks: &mut Vec<Task>) {
    if depth > DEPTH_MAX {
        return;
    }
    for (name, state) in definition["States"].as_object().into_iter().flatten() {
        tasks.extend(task(name, state));
        let branches = state["Branches"].as_array().into_iter().flatten();
        for inner in branches.chain([&state["ItemProcessor"], &state["Iterator"]]) {
            collect(inner, depth + 1, tasks);
        }
    }
}

fn task(name: &str, state: &Value) -> Option<Task> {
    let starts = match state["Resource"].as_str()?.split_once(":states:::aws-sdk:ssm:")?.1 {
        "sendCommand.waitForTaskToken" => Starts::Command,
        "startAutomationExecution.waitForTaskToken" => Starts::Automation,
        _ => return None,
    };
    // JSONPath and JSONata have names of their own.
    let arguments = ["Parameters", "Arguments"].map(|name| &state[name]["DocumentName"]);
    let document = arguments.into_iter().find_map(Value::as_str);
    let has = |name: &str| !state[name].is_null();
    Some(Task {
        state: name.to_owned(),
        starts,
        document: document.filter(|name| !name.starts_with("{%")).map(str::to_owned),
        heartbeat_s: state["HeartbeatSeconds"].as_u64(),
        has_timeout: has("TimeoutSeconds") || has("TimeoutSecondsPath"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tasks_are_found_wherever_they_are() {
        let resource = |api: &str| format!("arn:aws:states:::aws-sdk:ssm:{api}.waitForTaskToken");
        let command = json!({
            "Type": "Task",
            "Resource": resource("sendCommand"),
            "Parameters": { "DocumentName": "SfnRunShellScript" },
            "HeartbeatSeconds": 240,
            "TimeoutSecondsPath": "$.Timeout",
        });
        let automation = json!({
            "Type": "Task",
            "Resource": resource("startAutomationExecution"),
            "Arguments": { "DocumentName": "{% $document %}" },
        });
        let definition = json!({ "States": {
            "Parallel": { "Branches": [{ "States": { "Run": command } }] },
            "Map": { "ItemProcessor": { "States": { "Start": automation } } },
            "Poll": { "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand" },
            "End": { "Type": "Succeed" },
        }});
        let run = Task {
            state: "Run".to_owned(),
            starts: Starts::Command,
            document: Some("SfnRunShellScript".to_owned()),
            heartbeat_s: Some(240),
            has_timeout: true,
        };
        let start = Task {
            state: "Start".to_owned(),
            starts: Starts::Automation,
            document: None,
            heartbeat_s: None,
            has_timeout: false,
        };
        assert_eq!(of(&definition.to_string()), [start, run]);
        assert!(of("no JSON").is_empty());
    }
}
