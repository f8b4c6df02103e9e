//! `sandbox demo`: eight scripts through state machines, with their results at a glance: six that end
//! by themselves, one whose event is lost, and one whose execution is stopped.

mod case;

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::case::{Case, Ended, Expected, ended, problems, show};
use crate::aws::{Client, SSM, STATES};
use crate::faults::Switch;
use crate::sandbox::{self, NODE_TAG, Sandbox};
use crate::stop::StopSignal;

const NODES: u16 = 3;
const EXECUTION_MAX: Duration = Duration::from_secs(25);
const POLL_PAUSE: Duration = Duration::from_millis(100);
/// How often the demo sweeps. On AWS it is a minute.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// A script whose first line fails.
const BACKUP: [&str; 2] = ["cp data.tar /no-such-directory/", "echo 'the backup is done'"];
/// Where the script of the stopped execution leaves its process id.
const PID_FILE: &str = "stopped-execution.pid";

/// How to run the demo.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sandbox to start.
    pub sandbox: sandbox::Settings,
    /// Where the page is written.
    pub page: PathBuf,
}

/// Why the page could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing {path} (--page takes another one)")]
struct PageError {
    path: PathBuf,
    source: io::Error,
}

/// The settings of the demo, which takes a free port and a few nodes, and sweeps often.
pub fn settings(settings: sandbox::Settings, page: PathBuf) -> Settings {
    let every = settings.schedule_every.unwrap_or(SWEEP_EVERY);
    let sandbox =
        sandbox::Settings { port: 0, nodes: NODES, schedule_every: Some(every), ..settings };
    Settings { sandbox, page }
}

/// Runs the demo; succeeds only if every case ended as expected.
pub async fn run(settings: &Settings, mark: &str) -> Result<ExitCode, Box<dyn Error>> {
    let begun = Instant::now();
    let mut stop = StopSignal::listen()?;
    let progress = |step: &str| println!("▸ {step} …");
    let sandbox = tokio::select! {
        sandbox = Sandbox::start(mark, &settings.sandbox, progress) => sandbox?,
        () = stop.received() => return Ok(ExitCode::FAILURE),
    };
    println!("▸ the page of this run: {}", sandbox.page().address());
    let result = tokio::select! {
        result = run_cases(&sandbox) => result,
        () = stop.received() => Ok(false),
    };
    let page = write_page(&settings.page, &sandbox.page().recording().await);
    sandbox.stop().await;
    page?;
    println!("{} shows what happened; open it in a browser", settings.page.display());
    println!("{:.1} s, everything stopped", begun.elapsed().as_secs_f64());
    Ok(if result? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_page(path: &Path, html: &str) -> Result<(), PageError> {
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    parent
        .and_then(|()| fs::write(path, html))
        .map_err(|source| PageError { path: path.to_owned(), source })
}

async fn run_cases(sandbox: &Sandbox) -> Result<bool, Box<dyn Error>> {
    let client = Client::new(sandbox.endpoint(), sandbox.region(), sandbox.credentials())?;
    let cases = cases(sandbox.nodes());
    println!("▸ running {} executions …\n", cases.len());
    let executions = cases.iter().map(|case| execute(&client, sandbox, case));
    let mut all_right = true;
    for (case, ended) in cases.iter().zip(join_all(executions).await) {
        all_right &= judge(case, &ended?);
    }

    println!("▸ losing all events; now only the sweep can find that a command has ended …\n");
    sandbox.switch(Switch::LoseAll, true);
    let case = lost_event(sandbox.nodes());
    let ended = execute(&client, sandbox, &case).await;
    sandbox.switch(Switch::LoseAll, false);
    all_right &= judge(&case, &ended?);

    println!("▸ stopping an execution whose script would run for 5 minutes …\n");
    all_right &= stopped_execution(&client, sandbox).await?;

    let verdict = if all_right { "all ended as expected" } else { "NOT all ended as expected" };
    println!("{} executions: {verdict}", cases.len() + 2);
    Ok(all_right)
}

/// Shows how an execution ended; true if that is as expected.
fn judge(case: &Case, ended: &Ended) -> bool {
    let problems = problems(&case.expected, ended);
    println!("{}", show(case, ended, &problems));
    problems.is_empty()
}

fn cases(nodes: &[String]) -> [Case; 6] {
    let first = nodes.first();
    let (tag, value) = NODE_TAG;
    [
        Case {
            title: "1  a script on one node, by id",
            state_machine: "run-command-by-instance-ids",
            input: json!({
                "InstanceIds": [first],
                "Commands": ["set -eu", "echo \"hello from $AWS_SSM_INSTANCE_ID\""],
            }),
            expected: Expected::Success { nodes: 1, stdout: "hello from i-" },
        },
        Case {
            title: "2  a script on three nodes, by tag",
            state_machine: "run-command-by-targets",
            input: json!({
                "Targets": [{ "Key": format!("tag:{tag}"), "Values": [value] }],
                "Commands": ["set -eu", "echo \"hello from $AWS_SSM_INSTANCE_ID\""],
            }),
            expected: Expected::Success { nodes: usize::from(NODES), stdout: "hello from i-" },
        },
        Case {
            title: "3  a script that exits 3",
            state_machine: "run-command-by-instance-ids",
            input: json!({
                "InstanceIds": [first],
                "Commands": ["set -eu", "echo 'so far so good'", "echo 'disk is full' >&2", "exit 3"],
            }),
            expected: Expected::Failure { error: "RunCommand.Failed", response_code: 3 },
        },
        Case {
            title: "4  a script that outlives its executionTimeout of 5 s",
            state_machine: "run-command-by-instance-ids",
            input: json!({
                "InstanceIds": [first],
                "Commands": ["set -eu", "echo started", "sleep 60"],
                "ExecutionTimeout": "5",
            }),
            expected: Expected::Failure {
                error: "RunCommand.ExecutionTimedOut",
                response_code: 137,
            },
        },
        Case {
            title: "5  a script whose first line fails: the exit code is that of the last line",
            state_machine: "run-command-by-instance-ids",
            input: json!({ "InstanceIds": [first], "Commands": BACKUP }),
            expected: Expected::Success { nodes: 1, stdout: "the backup is done" },
        },
        Case {
            title: "6  the same script after `set -eu`",
            state_machine: "run-command-by-instance-ids",
            input: json!({ "InstanceIds": [first], "Commands": ["set -eu", BACKUP[0], BACKUP[1]] }),
            expected: Expected::Failure { error: "RunCommand.Failed", response_code: 1 },
        },
    ]
}

fn lost_event(nodes: &[String]) -> Case {
    Case {
        title: "7  a script whose event is lost",
        state_machine: "run-command-by-instance-ids",
        input: json!({
            "InstanceIds": [nodes.first()],
            "Commands": ["set -eu", "echo 'nobody told you'"],
        }),
        expected: Expected::Success { nodes: 1, stdout: "nobody told you" },
    }
}

/// Stops an execution while its script runs. The script must be gone, and its command cancelled.
async fn stopped_execution(client: &Client, sandbox: &Sandbox) -> Result<bool, Box<dyn Error>> {
    let node = sandbox.nodes().first().ok_or("the sandbox has no node")?;
    let pid_file = sandbox.directory().join("nodes").join(node).join(PID_FILE);
    let script = ["set -eu".to_owned(), format!("echo $$ > {PID_FILE}"), "sleep 300".to_owned()];
    let input = json!({ "InstanceIds": [node], "Commands": script });
    let execution = start(client, sandbox, "run-command-by-instance-ids", &input).await?;

    let process = within(EXECUTION_MAX, async || process(&pid_file))
        .await
        .ok_or("the script of the execution to be stopped did not start")?;
    let command = newest_command(client, node).await?;
    client.json(STATES, "StopExecution", &json!({ "executionArn": execution })).await?;
    let stopped_at = Instant::now();
    let gone =
        within(EXECUTION_MAX, async || (!process.exists()).then(|| stopped_at.elapsed())).await;
    let cancelled = within(EXECUTION_MAX, async || {
        let status = command_status(client, &command).await.ok()?;
        (status == "Cancelled").then_some(())
    })
    .await;
    let ended = describe(client, &execution).await?;

    println!("── 8  a script whose execution is stopped");
    println!("   execution  {}", ended.status);
    println!("   command    {command}");
    println!("   status     {}", command_status(client, &command).await?);
    match gone {
        Some(after) => println!("   process    gone after {:.1} s", after.as_secs_f64()),
        None => println!("   process    still there: {}", process.display()),
    }
    let is_right = ended.status == "ABORTED" && gone.is_some() && cancelled.is_some();
    let expected = "expected: ABORTED, command Cancelled, process gone";
    println!("   {}\n", if is_right { "✓          as expected" } else { expected });
    Ok(is_right)
}

/// Where the process with the id in this file is listed, once the file exists.
fn process(pid_file: &Path) -> Option<PathBuf> {
    let pid: u32 = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    Some(PathBuf::from(format!("/proc/{pid}")))
}

async fn newest_command(client: &Client, node: &str) -> Result<String, Box<dyn Error>> {
    let answer = client.json(SSM, "ListCommands", &json!({ "InstanceId": node })).await?;
    let id = answer["Commands"][0]["CommandId"].as_str();
    Ok(id.ok_or("the node has no command")?.to_owned())
}

async fn command_status(client: &Client, command: &str) -> Result<String, Box<dyn Error>> {
    let answer = client.json(SSM, "ListCommands", &json!({ "CommandId": command })).await?;
    Ok(answer["Commands"][0]["Status"].as_str().unwrap_or_default().to_owned())
}

/// Asks repeatedly until there is an answer, or the time is up.
async fn within<T>(time: Duration, ask: impl AsyncFn() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        let answer = ask().await;
        if answer.is_some() || Instant::now() >= deadline {
            return answer;
        }
        sleep(POLL_PAUSE).await;
    }
}

/// Starts an execution; its ARN.
async fn start(
    client: &Client,
    sandbox: &Sandbox,
    state_machine: &str,
    input: &Value,
) -> Result<String, Box<dyn Error>> {
    let arn = sandbox
        .state_machines()
        .get(state_machine)
        .ok_or_else(|| format!("expected a state machine {state_machine}, got none"))?;
    let body = json!({ "stateMachineArn": arn, "input": input.to_string() });
    let started = client.json(STATES, "StartExecution", &body).await?;
    Ok(started["executionArn"]
        .as_str()
        .ok_or("StartExecution: the answer has no executionArn")?
        .to_owned())
}

/// Starts an execution and waits for its end.
async fn execute(client: &Client, sandbox: &Sandbox, case: &Case) -> Result<Ended, Box<dyn Error>> {
    let execution = start(client, sandbox, case.state_machine, &case.input).await?;
    let ended = within(EXECUTION_MAX, async || {
        let ended = describe(client, &execution).await.ok()?;
        (ended.status != "RUNNING").then_some(ended)
    });
    match ended.await {
        Some(ended) => Ok(ended),
        None => describe(client, &execution).await,
    }
}

async fn describe(client: &Client, execution: &str) -> Result<Ended, Box<dyn Error>> {
    let body = json!({ "executionArn": execution });
    Ok(ended(&client.json(STATES, "DescribeExecution", &body).await?))
}
