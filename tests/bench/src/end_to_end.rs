//! End to end in the sandbox: from the end of a script to the next state, for a task that the relay
//! answers and for a state machine that asks every five seconds, on the same engine.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::{Value, json};

use super::Result;
use super::quantiles::Quantiles;
use super::setting::Setting;
use sandbox_client::{NODES, Sandbox};

/// The pause of the state machine that asks.
const POLL_S: u32 = 5;
/// Executions that run at the same time.
const AT_ONCE: usize = 4;

/// One of the two ways.
#[derive(Debug, Clone, Serialize)]
pub struct EndToEnd {
    /// Which one.
    pub way: &'static str,
    /// From the last command of the script to the end of the state machine, whose last state does
    /// nothing.
    pub delay: Quantiles,
}

/// Measures both ways.
pub async fn measure(setting: &Setting) -> Result<Vec<EndToEnd>> {
    let functions = setting.functions.display().to_string();
    let sandbox = Sandbox::start(&["--functions", &functions]).await;
    let executions = setting.times(40, 4);
    let mut results = Vec::new();
    for (way, state_machine) in [("relay", with_relay()), ("poll every 5 s", with_poll())] {
        let arn = sandbox.create_state_machine(&state_machine).await;
        // Not counted: the function and the engine start.
        delay(&sandbox, &arn, 0.1).await?;
        let delays = stream::iter(0..executions)
            // Ends are spread evenly between two questions.
            .map(|number| {
                let part = f64::from(number) / f64::from(executions);
                delay(&sandbox, &arn, 1.0 + part * f64::from(POLL_S))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        results.push(EndToEnd { way, delay: Quantiles::of(delays) });
    }
    Ok(results)
}

/// Runs a script that takes so long, and returns the time from its end to that of the execution.
async fn delay(sandbox: &Sandbox, state_machine: &str, script_s: f64) -> Result<Duration> {
    let script = format!("sleep {script_s:.3}; date +%s.%N");
    let execution = sandbox.start_execution(state_machine, &json!({ "Script": script })).await;
    let ended = sandbox.execution_ended(&execution).await;
    let output = ended.success();
    let described = sandbox.step_functions.describe_execution().execution_arn(&execution);
    let stopped = described.send().await?.stop_date.ok_or("an ended execution has no end")?;
    // The engine makes a list of what a path with an index finds.
    let printed = output["Printed"].as_str().or_else(|| output["Printed"][0].as_str());
    let printed = printed.ok_or_else(|| format!("no printed time in {output}"))?;
    let script_ended: f64 = printed.trim().parse()?;
    Ok(Duration::try_from_secs_f64(stopped.as_secs_f64() - script_ended)?)
}

fn command() -> Value {
    json!({
        "DocumentName": "AWS-RunShellScript",
        "InstanceIds": [NODES[0]],
        "Parameters": { "commands.$": "States.Array($.Script)" },
    })
}

fn with_relay() -> Value {
    let mut command = command();
    command["DocumentName"] = json!("SfnRunShellScript");
    command["Parameters"]["taskToken.$"] = json!("States.Array($$.Task.Token)");
    json!({
        "StartAt": "RunScript",
        "States": {
            "RunScript": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
                "Parameters": command,
                "Next": "Done",
            },
            "Done": {
                "Type": "Pass",
                "Parameters": { "Printed.$": "$.Invocations[0].StandardOutputContent" },
                "End": true,
            },
        },
    })
}

fn with_poll() -> Value {
    json!({
        "StartAt": "RunScript",
        "States": {
            "RunScript": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand",
                "Parameters": command(),
                "Next": "Pause",
            },
            "Pause": { "Type": "Wait", "Seconds": POLL_S, "Next": "Ask" },
            "Ask": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:ssm:getCommandInvocation",
                "Parameters": { "CommandId.$": "$.Command.CommandId", "InstanceId": NODES[0] },
                "ResultPath": "$.Answer",
                "Next": "HasEnded",
            },
            "HasEnded": {
                "Type": "Choice",
                "Choices": [{ "Variable": "$.Answer.Status", "StringEquals": "Success", "Next": "Done" }],
                "Default": "Pause",
            },
            "Done": {
                "Type": "Pass",
                "Parameters": { "Printed.$": "$.Answer.StandardOutputContent" },
                "End": true,
            },
        },
    })
}
