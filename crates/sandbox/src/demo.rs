//! `sandbox demo`: four commands through state machines, and what comes of them, at a glance.

use std::{error::Error, fmt::Write as _, process::ExitCode, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    aws::{Client, STATES},
    cli::Options,
    sandbox::{NODE_TAG, Sandbox},
    up::{failed, runtime},
};

const NODES: u16 = 3;
const EXECUTION_MAX: Duration = Duration::from_secs(25);
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// A command, and what must come of it.
struct Case {
    title: &'static str,
    state_machine: &'static str,
    input: Value,
    expected: Expected,
}

/// How an execution must end.
enum Expected {
    /// With what each of so many nodes wrote to stdout.
    Success { nodes: usize, stdout: &'static str },
    /// With this error, and this exit code in its cause.
    Failure { error: &'static str, response_code: i64 },
}

/// How an execution ended.
struct Ended {
    status: String,
    error: Option<String>,
    /// The output, or the cause as JSON.
    report: Value,
    /// The output or the cause as it came.
    text: String,
}

/// Runs the demo; succeeds only if every case ended as it must.
#[allow(clippy::needless_pass_by_value)] // It is all there is to do.
pub fn run(options: Options) -> ExitCode {
    match runtime().block_on(demo(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(error.as_ref()),
    }
}

async fn demo(options: &Options) -> Result<bool, Box<dyn Error>> {
    let begun = Instant::now();
    let progress = |step: &str| println!("▸ {step} …");
    let sandbox = tokio::select! {
        sandbox = Sandbox::start(0, NODES, options, progress) => sandbox?,
        _ = tokio::signal::ctrl_c() => return Ok(false),
    };
    let result = tokio::select! {
        result = run_cases(&sandbox, options) => result,
        _ = tokio::signal::ctrl_c() => Ok(false),
    };
    sandbox.stop().await;
    println!("{:.1} s, everything stopped", begun.elapsed().as_secs_f64());
    result
}

async fn run_cases(sandbox: &Sandbox, options: &Options) -> Result<bool, Box<dyn Error>> {
    let client = Client::new(sandbox.endpoint(), &options.region)?;
    let cases = cases(sandbox.nodes());
    println!("▸ running {} executions …\n", cases.len());
    let executions = cases.iter().map(|case| {
        let machine = sandbox.stack().state_machines.get(case.state_machine);
        execute(&client, machine.map(String::as_str), case)
    });
    let mut all_right = true;
    for (case, ended) in cases.iter().zip(join_all(executions).await) {
        let ended = ended?;
        let problems = problems(&case.expected, &ended);
        all_right &= problems.is_empty();
        println!("{}", show(case, &ended, &problems));
    }
    let verdict = if all_right { "all ended as they must" } else { "NOT all ended as they must" };
    println!("{} executions: {verdict}", cases.len());
    Ok(all_right)
}

fn cases(nodes: &[String]) -> [Case; 4] {
    let first = nodes.first();
    let (tag, value) = NODE_TAG;
    [
        Case {
            title: "1  a script on one node, by id",
            state_machine: "run-command-by-instance-ids",
            input: json!({
                "InstanceIds": [first],
                "Commands": ["echo \"hello from $AWS_SSM_INSTANCE_ID\""],
            }),
            expected: Expected::Success { nodes: 1, stdout: "hello from i-" },
        },
        Case {
            title: "2  a script on three nodes, by tag",
            state_machine: "run-command-by-targets",
            input: json!({
                "Targets": [{ "Key": format!("tag:{tag}"), "Values": [value] }],
                "Commands": ["echo \"hello from $AWS_SSM_INSTANCE_ID\""],
            }),
            expected: Expected::Success { nodes: usize::from(NODES), stdout: "hello from i-" },
        },
        Case {
            title: "3  a script that exits 3",
            state_machine: "run-command-by-instance-ids",
            input: json!({
                "InstanceIds": [first],
                "Commands": ["echo 'so far so good'", "echo 'disk is full' >&2", "exit 3"],
            }),
            expected: Expected::Failure { error: "RunCommand.Failed", response_code: 3 },
        },
        Case {
            title: "4  a script that outlives its executionTimeout of 2 s",
            state_machine: "run-command-by-instance-ids",
            input: json!({
                "InstanceIds": [first],
                "Commands": ["echo started", "sleep 60"],
                "ExecutionTimeout": "2",
            }),
            expected: Expected::Failure {
                error: "RunCommand.ExecutionTimedOut",
                response_code: 137,
            },
        },
    ]
}

/// Starts an execution and waits for its end.
async fn execute(
    client: &Client,
    state_machine: Option<&str>,
    case: &Case,
) -> Result<Ended, Box<dyn Error>> {
    let arn =
        state_machine.ok_or_else(|| format!("there is no state machine {}", case.state_machine))?;
    let body = json!({ "stateMachineArn": arn, "input": case.input.to_string() });
    let started = client.json(STATES, "StartExecution", &body).await?;
    let execution = json!({ "executionArn": started["executionArn"] });
    let deadline = Instant::now() + EXECUTION_MAX;
    loop {
        let described = client.json(STATES, "DescribeExecution", &execution).await?;
        if described["status"] != "RUNNING" || Instant::now() >= deadline {
            return Ok(ended(&described));
        }
        sleep(POLL_PAUSE).await;
    }
}

fn ended(described: &Value) -> Ended {
    let text = described["output"].as_str().or(described["cause"].as_str());
    let text = text.unwrap_or_default().to_owned();
    Ended {
        status: described["status"].as_str().unwrap_or_default().to_owned(),
        error: described["error"].as_str().map(str::to_owned),
        report: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}

/// In what an execution differs from what is expected.
fn problems(expected: &Expected, ended: &Ended) -> Vec<String> {
    let invocations = invocations(&ended.report);
    let mut problems = Vec::new();
    let mut check = |right: bool, wanted: String| {
        if !right {
            problems.push(wanted);
        }
    };
    match expected {
        Expected::Success { nodes, stdout } => {
            check(ended.status == "SUCCEEDED", "status SUCCEEDED".to_owned());
            check(invocations.len() == *nodes, format!("{nodes} nodes"));
            let said = |invocation: &&Value| {
                let output = invocation["StandardOutputContent"].as_str();
                output.is_some_and(|output| output.contains(stdout))
            };
            let all = invocations.iter().filter(said).count() == *nodes;
            check(all, format!("{stdout:?} from each"));
        }
        Expected::Failure { error, response_code } => {
            check(ended.status == "FAILED", "status FAILED".to_owned());
            check(ended.error.as_deref() == Some(*error), format!("error {error}"));
            let coded = |invocation: &Value| invocation["ResponseCode"] == *response_code;
            let code = format!("ResponseCode {response_code} in the cause");
            check(invocations.iter().any(coded), code);
        }
    }
    problems
}

fn invocations(report: &Value) -> &[Value] {
    report["Invocations"].as_array().map_or(&[], Vec::as_slice)
}

fn show(case: &Case, ended: &Ended, problems: &[String]) -> String {
    let mut text = format!("── {}\n", case.title);
    let mut line = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "   {name:<10} {value}");
    };
    line("execution", &ended.status);
    if let Some(error) = &ended.error {
        line("error", error);
    }
    match ended.report["CommandId"].as_str() {
        Some(id) => line("command", id),
        None => line("answer", if ended.text.is_empty() { "none" } else { &ended.text }),
    }
    for invocation in invocations(&ended.report) {
        let field = |name: &str| invocation[name].as_str().unwrap_or_default();
        let exit = &invocation["ResponseCode"];
        let summary = format!("{}: {}, exit {exit}", field("InstanceId"), field("StatusDetails"));
        line("node", &summary);
        for (name, stream) in
            [("  stdout", "StandardOutputContent"), ("  stderr", "StandardErrorContent")]
        {
            for content in field(stream).lines() {
                line(name, content);
            }
        }
    }
    match problems {
        [] => line("✓", "as it must"),
        problems => line("✗", &format!("expected: {}", problems.join(", "))),
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Expected, ended, problems};

    #[test]
    fn a_success_must_say_what_each_node_wrote() {
        let expected = Expected::Success { nodes: 1, stdout: "hello" };
        let output = |stdout: &str| {
            let report = json!({ "Invocations": [{ "StandardOutputContent": stdout }] });
            ended(&json!({ "status": "SUCCEEDED", "output": report.to_string() }))
        };
        assert_eq!(problems(&expected, &output("hello\n")), Vec::<String>::new());
        assert_eq!(problems(&expected, &output("")), ["\"hello\" from each"]);
        let empty = ended(&json!({ "status": "SUCCEEDED", "output": "{}" }));
        assert_eq!(problems(&expected, &empty).len(), 2);
    }

    #[test]
    fn a_failure_must_have_its_error_and_its_exit_code() {
        let expected = Expected::Failure { error: "RunCommand.Failed", response_code: 3 };
        let cause = json!({ "Invocations": [{ "ResponseCode": 3 }] }).to_string();
        let failure =
            |error: &str| ended(&json!({ "status": "FAILED", "error": error, "cause": cause }));
        assert_eq!(problems(&expected, &failure("RunCommand.Failed")), Vec::<String>::new());
        assert_eq!(problems(&expected, &failure("States.Timeout")), ["error RunCommand.Failed"]);
        let running = ended(&json!({ "status": "RUNNING" }));
        assert_eq!(problems(&expected, &running).len(), 3);
    }
}
