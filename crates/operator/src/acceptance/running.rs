//! Runs cases: executions of `CheckStateMachine`, and what is done to them.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::acceptance::calls::{Calls, described};
use crate::acceptance::came::Came;
use crate::acceptance::cases::{Case, Doing, file};
use crate::aws::Aws;
use crate::call::{answer, found};
use crate::problem::Problem;
use crate::stack::Stack;

/// From one look at an execution to the next.
const POLL_PAUSE: Duration = Duration::from_secs(1);
/// How long a look on the node waits for what it looks for, in seconds.
const LOOK_SECONDS: u64 = 60;
/// The same for a script that must be gone within half of it, and on top of two intervals of the sweep.
const GONE_LOOK_SECONDS: u64 = 20;
/// A task needs at least this many intervals of the sweep for its heartbeat.
const HEARTBEAT_INTERVALS: u64 = 5;

/// A run.
#[derive(Debug)]
pub struct Run {
    /// Its id.
    pub id: String,
    node: String,
    machine: String,
    document: String,
    interval_s: u64,
    step_functions: aws_sdk_sfn::Client,
    ssm: aws_sdk_ssm::Client,
    /// The executions that were started, and whether they have ended.
    executions: Mutex<BTreeMap<String, bool>>,
}

/// A case that has ended.
#[derive(Debug)]
pub struct Done {
    /// The case.
    pub case: Case,
    /// What came of it.
    pub came: Came,
    /// How long it took.
    pub seconds: f64,
    /// All responses: those of the case, and those of its looks on the node.
    pub calls: Vec<Calls>,
}

impl Run {
    /// A run that has not begun.
    pub fn new(aws: &Aws, stack: &Stack, id: String, node: &str, machine: &str) -> Self {
        Self {
            id,
            node: node.to_owned(),
            machine: machine.to_owned(),
            document: stack.output("RunShellScriptDocumentName").unwrap_or_default().to_owned(),
            interval_s: stack.sweep_interval.as_secs(),
            step_functions: aws.step_functions.clone(),
            ssm: aws.ssm.clone(),
            executions: Mutex::default(),
        }
    }

    /// The ARN of the state machine.
    pub fn machine(&self) -> &str {
        &self.machine
    }

    /// Says on a terminal how far it is.
    pub fn progress(text: &str) {
        if stderr().is_terminal() {
            eprintln!("relayctl: {text}");
        }
    }

    /// Runs a case to its end.
    pub async fn case(&self, case: Case) -> Result<Done, Problem> {
        let began = Instant::now();
        Self::progress(&format!("{}: begins", case.name));
        let input = self.input(&case);
        let arn = self.start(case.name, &input).await?;
        let mut result = Came::default();
        let mut calls = Vec::new();
        let looked = match case.doing {
            Doing::Wait | Doing::LoseEvent => None,
            Doing::Stop | Doing::Abandon | Doing::TimeOut => {
                Some(self.interfere(&case, &arn, &mut calls).await?)
            }
        };
        let read = self.ended(&arn, case.task_seconds).await?;
        if let Some((seen, seen_at)) = looked {
            result.watched = Some(seen);
            let ended_at = task_timed_out_at(&read)
                .or_else(|| read.of("DescribeExecution").last()?["stopDate"].as_f64());
            result.watched_s = seen_at.zip(ended_at).map(|(seen, ended)| (seen - ended).max(0.0));
        }
        fill(&mut result, &read, self.interval_s);
        calls.insert(0, read);
        let seconds = began.elapsed().as_secs_f64();
        Self::progress(&format!("{}: {}", case.name, result.said()));
        Ok(Done { case, came: result, seconds, calls })
    }

    /// Waits until the script runs, stops the execution or lets its task time out, and looks what
    /// became of the script. Tells what it saw, and when, in seconds since 1970.
    async fn interfere(
        &self,
        case: &Case,
        arn: &str,
        calls: &mut Vec<Calls>,
    ) -> Result<(String, Option<f64>), Problem> {
        let file = file(&self.id, case.name);
        let began = format!("[ -s {file} ]");
        let (seen, _) = self.look(case.name, "begun", &began, LOOK_SECONDS, calls).await?;
        if seen != "begun" {
            self.stop(arn).await?;
            return Ok(("not begun".to_owned(), None));
        }
        if case.doing == Doing::TimeOut {
            self.timed_out(arn, case.task_seconds).await?;
        } else {
            self.stop(arn).await?;
        }
        let gone = format!("! kill -0 $(cat {file}) 2>/dev/null");
        let (what, test, seconds) = match case.doing {
            Doing::Abandon => ("ended", format!("grep -q ended {file}"), LOOK_SECONDS),
            Doing::TimeOut => ("gone", gone, 2 * self.interval_s + GONE_LOOK_SECONDS),
            _ => ("gone", gone, GONE_LOOK_SECONDS),
        };
        let seen = self.look(case.name, what, &test, seconds, calls).await?;
        if case.doing == Doing::TimeOut {
            // It lingers, so that the sweep had to find the command.
            self.stop(arn).await?;
        }
        Ok(seen)
    }

    /// Looks on the node once a second until a test holds. Tells `what`, or `running` if it never held.
    async fn look(
        &self,
        case: &str,
        what: &str,
        test: &str,
        seconds: u64,
        calls: &mut Vec<Calls>,
    ) -> Result<(String, Option<f64>), Problem> {
        let script = [
            "i=0".to_owned(),
            format!("while [ $i -lt {seconds} ]; do"),
            format!("if {test}; then echo {what}; exit 0; fi"),
            "i=$((i+1)); sleep 1; done".to_owned(),
            "echo running".to_owned(),
        ];
        let read = self.script(&format!("{case}-{what}"), &script, seconds + LOOK_SECONDS).await?;
        let mut result = Came::default();
        fill(&mut result, &read, self.interval_s);
        let ended_at = task_ended_at(&read);
        calls.push(read);
        Ok((result.stdout().trim().to_owned(), ended_at))
    }

    /// Runs a script on the node, and reads its end.
    async fn script(&self, name: &str, lines: &[String], seconds: u64) -> Result<Calls, Problem> {
        let input = json!({
            "Integration": "SendCommand",
            "Arguments": {
                "DocumentName": self.document,
                "InstanceIds": [self.node],
                "Parameters": { "commands": lines },
            },
            "TimeoutSeconds": seconds,
            "HeartbeatSeconds": self.heartbeat_s(),
            "LingerSeconds": 1,
        });
        let arn = self.start(name, &input).await?;
        self.ended(&arn, seconds).await
    }

    fn heartbeat_s(&self) -> u64 {
        HEARTBEAT_INTERVALS * self.interval_s.max(60)
    }

    fn input(&self, case: &Case) -> Value {
        let mut input = json!({
            "Integration": case.integration,
            "Arguments": case.arguments,
            "TimeoutSeconds": case.task_seconds,
            "HeartbeatSeconds": self.heartbeat_s(),
            "LingerSeconds": 2 * self.interval_s + 2 * LOOK_SECONDS,
        });
        if case.input_bytes > 0 {
            input["Padding"] = json!("x".repeat(case.input_bytes));
        }
        input
    }

    async fn start(&self, name: &str, input: &Value) -> Result<String, Problem> {
        let name = format!("relayctl-{}-{name}", self.id);
        let arn = format!("{}:{name}", self.machine.replacen(":stateMachine:", ":execution:", 1));
        // Before it is started, so that it is stopped if the run is interrupted meanwhile.
        self.note(&arn, false);
        let request = self.step_functions.start_execution().state_machine_arn(&self.machine);
        let started = request.name(name).input(input.to_string()).send().await;
        answer("states:StartExecution", started)?;
        Ok(arn)
    }

    async fn stop(&self, arn: &str) -> Result<(), Problem> {
        let stopped = self.step_functions.stop_execution().execution_arn(arn).send().await;
        found("states:StopExecution", &["ExecutionDoesNotExist"], stopped)?;
        self.note(arn, true);
        Ok(())
    }

    /// Waits until an execution has ended, and reads all about it.
    async fn ended(&self, arn: &str, task_seconds: u64) -> Result<Calls, Problem> {
        let limit = Duration::from_secs(task_seconds + LOOK_SECONDS);
        let began = Instant::now();
        while described(&self.step_functions, arn).await?["status"] == "RUNNING" {
            if began.elapsed() > limit {
                // Its own limit has passed, and it is told as it is.
                self.stop(arn).await?;
            }
            sleep(POLL_PAUSE).await;
        }
        self.note(arn, true);
        Calls::read(&self.step_functions, &self.ssm, arn).await
    }

    /// Waits until the task of an execution has timed out, which then lingers.
    async fn timed_out(&self, arn: &str, task_seconds: u64) -> Result<(), Problem> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(task_seconds + LOOK_SECONDS) {
            let read = Calls::read(&self.step_functions, &self.ssm, arn).await?;
            if task_timed_out_at(&read).is_some() || task_ended_at(&read).is_some() {
                return Ok(());
            }
            sleep(POLL_PAUSE).await;
        }
        Ok(())
    }

    /// Stops the executions that have not ended, and removes the files on the node.
    pub async fn clean(&self) -> Result<(), Problem> {
        let executions = self.lock().clone();
        for (arn, _) in executions.iter().filter(|(_, has_ended)| !**has_ended) {
            self.stop(arn).await?;
        }
        if !executions.is_empty() {
            let remove = format!("rm -f {}*", file(&self.id, ""));
            self.script("clean-up", &[remove], LOOK_SECONDS).await?;
        }
        Ok(())
    }

    /// How many executions were started.
    pub fn executions(&self) -> usize {
        self.lock().len()
    }

    fn note(&self, arn: &str, has_ended: bool) {
        self.lock().insert(arn.to_owned(), has_ended);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, bool>> {
        self.executions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the task has ended by an answer, in seconds since 1970.
fn task_ended_at(calls: &Calls) -> Option<f64> {
    event_at(calls, &["TaskSucceeded", "TaskFailed"])
}

fn task_timed_out_at(calls: &Calls) -> Option<f64> {
    event_at(calls, &["TaskTimedOut"])
}

fn event_at(calls: &Calls, types: &[&str]) -> Option<f64> {
    let is_one = |event: &&Value| event["type"].as_str().is_some_and(|name| types.contains(&name));
    calls.history().find(is_one)?["timestamp"].as_f64()
}

/// What the responses say about the execution and its command.
fn fill(came: &mut Came, calls: &Calls, interval_s: u64) {
    let described = calls.of("DescribeExecution").last().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    came.status = text(&described["status"]);
    came.cause = text(&described["cause"]);
    came.error = described["error"].as_str().map(str::to_owned);
    if task_timed_out_at(calls).is_some() {
        came.error = Some("States.Timeout".to_owned());
    }
    let output = text(&described["output"]);
    came.output_bytes = output.len();
    let mut output: Value = serde_json::from_str(&output).unwrap_or_default();
    came.report = match output["Result"].take() {
        Value::Null => serde_json::from_str(&came.cause).unwrap_or_default(),
        result => result,
    };
    let listed = calls.of("ListCommandInvocations").last();
    let plugins = listed.map(|body| &body["CommandInvocations"][0]["CommandPlugins"][0]);
    let finished = plugins.and_then(|plugin| plugin["ResponseFinishDateTime"].as_f64());
    came.latency_s = task_ended_at(calls).zip(finished).map(|(task, script)| task - script);
    #[expect(clippy::cast_precision_loss, reason = "minutes")]
    let two_intervals = 2.0 * interval_s as f64;
    came.in_time = came.latency_s.is_some_and(|latency| latency <= two_intervals);
}
