//! Chaos, end to end: many executions at once, while events get lost, doubled, late and out of
//! order, API calls are throttled, processes of the functions are killed and executions are stopped.
//!
//! Events and calls suffer to the end. Kills end with the last script: a sweep that is killed time
//! and again promises nothing but that the next ones find what it has left.
//!
//! `CHAOS_EXECUTIONS` says how many executions, `CHAOS_SEED` where the choices start: which script
//! runs where, what is stopped and when, how often and which process is killed. The order in which
//! the processes of the machine get on is not a choice, so that no two runs are quite the same.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_ssm::types::{Command, CommandStatus};
use futures_util::stream::{self, StreamExt};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sandbox_client::{Ended, NODES, Sandbox, task_token};
use serde_json::{Value, json};

/// Without `CHAOS_EXECUTIONS`: few enough for every run of the tests.
const EXECUTIONS: u32 = 60;
/// Without `CHAOS_SEED`.
const SEED: u64 = 1;
/// Faults beside those that the test makes itself. The sweep and Lambda's retries come as much
/// sooner than in production as the scripts are shorter.
const FAULTS: [&str; 14] = [
    "--drop-events",
    "0.3",
    "--duplicate-events",
    "0.3",
    "--reorder-events",
    "0.3",
    "--delay-events",
    "0.3",
    "--throttle",
    "0.2",
    "--schedule-seconds",
    "10",
    "--retry-seconds",
    "1",
];
const STATE_MACHINE: &str = "run-command-by-instance-ids";
const RELAY: &str = "run-command-relay-relay";

/// How many calls of Step Functions the test makes at once.
const CALLS_AT_ONCE: usize = 8;
const SCRIPT_MILLIS_MAX: u64 = 3_000;
/// A script that only a cancellation ends within the time of a test.
const ENDLESS_MILLIS: u64 = 3_600_000;
const STOP_MILLIS_MAX: u64 = 2_500;
/// Executions that are stopped, and the part of them whose script is endless.
const STOPPED: f64 = 0.2;
const ENDLESS: f64 = 0.5;
/// Between two kills.
const KILL_PAUSE_MILLIS: std::ops::Range<u64> = 100..900;
/// An event comes at most this late (five and a half seconds), and a little.
const EVENT_DELAY_MAX: Duration = Duration::from_secs(7);
/// Everything that is waited for, whatever the number of executions, and for each of them more.
const WAIT_MAX: Duration = Duration::from_mins(5);
const WAIT_MAX_PER_EXECUTION: Duration = Duration::from_millis(600);
const WAIT_PAUSE: Duration = Duration::from_secs(1);
/// The end of a token by which it is found.
const TRACE_BYTES: usize = 16;

/// What one execution is to do, and what is done to it.
#[derive(Debug)]
struct Plan {
    number: u32,
    node: &'static str,
    millis: u64,
    exit_code: u8,
    stop_after: Option<Duration>,
}

impl Plan {
    fn draw(number: u32, random: &mut SmallRng) -> Self {
        let node = NODES[random.random_range(0..NODES.len())];
        // A third takes no time at all.
        let millis = random.random_range(0..SCRIPT_MILLIS_MAX * 3 / 2);
        let millis = millis.saturating_sub(SCRIPT_MILLIS_MAX / 2);
        // 194 would ask for a reboot.
        let exit_code = if random.random_bool(0.5) { 0 } else { random.random_range(1..=99) };
        let stop_after = Duration::from_millis(random.random_range(0..STOP_MILLIS_MAX));
        let is_stopped = random.random_bool(STOPPED);
        let is_endless = random.random_bool(ENDLESS);
        Self {
            number,
            node,
            millis: if is_stopped && is_endless { ENDLESS_MILLIS } else { millis },
            exit_code,
            stop_after: is_stopped.then_some(stop_after),
        }
    }

    fn input(&self) -> Value {
        let sleep = format!("sleep {}.{:03}", self.millis / 1_000, self.millis % 1_000);
        let exit = format!("exit {}", self.exit_code);
        json!({ "InstanceIds": [self.node], "Commands": [self.line(), sleep, exit] })
    }

    /// The line of the script by which its command is known.
    fn line(&self) -> String {
        format!("echo number {}", self.number)
    }

    fn is_endless(&self) -> bool {
        self.millis == ENDLESS_MILLIS
    }

    /// Starts the execution, stops it if that is planned, and returns its ARN.
    async fn carry_out(&self, sandbox: &Sandbox, state_machine: &str) -> String {
        let execution = sandbox.start_execution(state_machine, &self.input()).await;
        if let Some(after) = self.stop_after {
            tokio::time::sleep(after).await;
            sandbox.stop_execution(&execution).await;
        }
        execution
    }

    /// Checks how the execution has ended, and what has become of its command.
    fn check(&self, ended: &Ended, answers: usize, command: Option<&Command>) {
        let details = command.and_then(|command| command.status_details.as_deref());
        let own = if self.exit_code == 0 { "Success" } else { "Failed" };
        if ended.status == ExecutionStatus::Aborted {
            assert!(self.stop_after.is_some(), "{self:?}: nobody has stopped it: {ended:?}");
            // An answer may come just before the stop, which then ends what came after the task.
            let answers_max = usize::from(!self.is_endless());
            assert!(answers <= answers_max, "{self:?}: {answers} answers to a stopped task");
            // Stopped before it had sent its command, cancelled, or too late to be cancelled.
            let is_right = match details {
                None | Some("Cancelled") => true,
                Some(details) => !self.is_endless() && details == own,
            };
            assert!(is_right, "{self:?}: its command has ended as {details:?}");
            return;
        }
        assert!(!self.is_endless(), "{self:?}: only a stop ends it: {ended:?}");
        assert_eq!(answers, 1, "{self:?}");
        assert_eq!(details, Some(own), "{self:?}");
        let report = match self.exit_code {
            0 => ended.success().clone(),
            _ => ended.failure("RunCommand.Failed"),
        };
        let id = command.and_then(|command| command.command_id.as_deref());
        assert_eq!(report["CommandId"].as_str(), id, "{self:?}");
        let nodes = report["Invocations"].as_array().expect("the invocations");
        assert_eq!(nodes.len(), 1, "{self:?}: {report}");
        assert_eq!(nodes[0]["InstanceId"], self.node, "{self:?}");
        assert_eq!(nodes[0]["ResponseCode"], self.exit_code, "{self:?}");
        let output = format!("number {}\n", self.number);
        assert_eq!(nodes[0]["StandardOutputContent"], output, "{self:?}");
    }
}

/// The ids of the processes in a directory: where `link` of `/proc` (`exe`, `cwd`) points to.
fn processes(link: &str, directory: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("the list of processes");
    entries
        .flatten()
        .filter_map(|entry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            // A process of somebody else, or one that has just ended, cannot be read.
            let path = fs::read_link(entry.path().join(link)).ok()?;
            path.starts_with(directory).then(|| Pid::from_raw(id))?
        })
        .collect()
}

/// Kills processes of the functions, and keeps count of that and of the scripts that it saw.
struct Killer {
    functions: PathBuf,
    nodes: PathBuf,
    random: SmallRng,
    kills: usize,
    scripts_max: usize,
}

impl Killer {
    fn new(directory: &Path, random: SmallRng) -> Self {
        let (functions, nodes) = (directory.join("functions"), directory.join("nodes"));
        Self { functions, nodes, random, kills: 0, scripts_max: 0 }
    }

    /// Kills one process after the other, until the future is dropped.
    async fn kill(&mut self) {
        loop {
            let pause = self.random.random_range(KILL_PAUSE_MILLIS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            self.kill_one();
            self.scripts_max = self.scripts_max.max(processes("cwd", &self.nodes).len());
        }
    }

    fn kill_one(&mut self) {
        let found = processes("exe", &self.functions);
        if found.is_empty() {
            return;
        }
        let process = found[self.random.random_range(0..found.len())];
        // It may have ended by itself, and another one may have got its id meanwhile.
        let Ok(held) = pidfd_open(process, PidfdFlags::empty()) else { return };
        let is_still_there = processes("exe", &self.functions).contains(&process);
        if is_still_there && pidfd_send_signal(&held, Signal::KILL).is_ok() {
            self.kills += 1;
        }
    }
}

/// What the sandbox has told of deliveries and asynchronous invocations.
struct Deliveries(Vec<Value>);

impl Deliveries {
    fn read(sandbox: &Sandbox) -> Self {
        let text = fs::read_to_string(sandbox.directory().join("logs/delivery.log"))
            .expect("the log of deliveries");
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = complete.lines().map(|line| serde_json::from_str(line).expect("a JSON line"));
        Self(lines.collect())
    }

    fn count(&self, is_one: impl Fn(&Value) -> bool) -> usize {
        self.0.iter().filter(|line| is_one(line)).count()
    }

    fn lost(&self) -> usize {
        self.count(|line| line["outcome"] == "lost by --drop-events")
    }

    /// Events that were given to the relay.
    fn invoked(&self) -> usize {
        self.count(|line| {
            let target = line["target"].as_str().unwrap_or_default();
            line["outcome"] == "invoked" && target.ends_with(&format!(":{RELAY}"))
        })
    }

    fn handled(&self) -> usize {
        self.count(|line| line["function"] == RELAY && line["outcome"] == "done")
    }

    fn sent_to_queue(&self) -> usize {
        self.count(|line| {
            line["function"] == RELAY && line["outcome"] == "sent to the on-failure destination"
        })
    }
}

/// Waits until this is so, within a bound that grows with the number of executions.
async fn until(what: &str, executions: u32, mut is_so: impl AsyncFnMut() -> bool) {
    let bound = WAIT_MAX + WAIT_MAX_PER_EXECUTION * executions;
    let deadline = Instant::now() + bound;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}: not within {} s", bound.as_secs());
        tokio::time::sleep(WAIT_PAUSE).await;
    }
}

async fn executions_ended(sandbox: &Sandbox, state_machine: &str, executions: u32) {
    until("the end of all executions", executions, async || {
        let request = sandbox.step_functions.list_executions().state_machine_arn(state_machine);
        let request = request.status_filter(ExecutionStatus::Running).max_results(1);
        request.send().await.expect("a list of executions").executions.is_empty()
    })
    .await;
}

async fn commands_ended(sandbox: &Sandbox, executions: u32) -> Vec<Command> {
    let mut commands = Vec::new();
    until("the end of all commands", executions, async || {
        commands = sandbox.commands().await;
        commands.iter().all(|command| {
            use CommandStatus::{Cancelling, InProgress, Pending};
            !matches!(command.status, Some(Pending | InProgress | Cancelling))
        })
    })
    .await;
    commands
}

/// Waits until every event has been handled or given up; returns the messages of those given up.
async fn events_handled(sandbox: &Sandbox, executions: u32) -> Vec<Value> {
    tokio::time::sleep(EVENT_DELAY_MAX).await;
    until("the end of all invocations of the relay", executions, async || {
        let deliveries = Deliveries::read(sandbox);
        deliveries.invoked() == deliveries.handled() + deliveries.sent_to_queue()
    })
    .await;
    let sent = Deliveries::read(sandbox).sent_to_queue();
    let mut messages = Vec::new();
    until("all messages of the on-failure queue", executions, async || {
        messages = sandbox.failed_events().await;
        messages.len() >= sent
    })
    .await;
    assert_eq!(messages.len(), sent, "messages that no invocation has sent");
    messages
}

/// Their commands by the line of the script that names the plan. No plan has two.
fn by_line(commands: &[Command]) -> HashMap<&str, &Command> {
    let mut found = HashMap::new();
    for command in commands {
        let script = command.parameters.as_ref().and_then(|values| values.get("commands"));
        let line = script.and_then(|lines| lines.first()).expect("a command has a script");
        let other = found.insert(line.as_str(), command);
        assert!(other.is_none(), "two commands of one execution: {line}");
    }
    found
}

/// Which of these texts, by name, hold the end of a token.
fn with_a_token<'a>(texts: &'a [(String, String)], tokens: &[&str]) -> Vec<&'a str> {
    let trace = |token: &str| token.as_bytes()[token.len() - TRACE_BYTES..].to_vec();
    let traces: HashSet<Vec<u8>> = tokens.iter().map(|token| trace(token)).collect();
    let holds = |text: &str| text.as_bytes().windows(TRACE_BYTES).any(|part| traces.contains(part));
    texts.iter().filter(|(_, text)| holds(text)).map(|(name, _)| name.as_str()).collect()
}

/// Everything that was logged or answered, by name.
fn texts(sandbox: &Sandbox, messages: &[Value]) -> Vec<(String, String)> {
    let files = fs::read_dir(sandbox.directory().join("logs")).expect("the logs");
    let logs = files.map(|file| {
        let path = file.expect("a log").path();
        let text = fs::read(&path).expect("a log can be read");
        (path.display().to_string(), String::from_utf8_lossy(&text).into_owned())
    });
    let mut texts: Vec<_> = logs.collect();
    texts.push(("stdout and stderr of the sandbox".to_owned(), sandbox.words()));
    // The event beside an answer is as Lambda got it, token included.
    texts.extend(messages.iter().map(|message| {
        ("the on-failure queue".to_owned(), message["responsePayload"].to_string())
    }));
    texts
}

fn check_tokens(sandbox: &Sandbox, messages: &[Value], commands: &[Command]) {
    let tokens: Vec<_> = commands.iter().filter_map(task_token).collect();
    assert_eq!(tokens.len(), commands.len(), "every command carries a token");
    assert_eq!(with_a_token(&texts(sandbox, messages), &tokens), [] as [&str; 0]);
    // The check sees a token where there is one.
    for token in &tokens {
        let planted = [("planted".to_owned(), format!("before {token} after"))];
        assert_eq!(with_a_token(&planted, &[*token]), ["planted"]);
    }
}

/// Each message is of an event of a command whose task has been answered, or was stopped.
fn check_queue(messages: &[Value], commands: &[Command]) {
    let ids: HashSet<_> = commands.iter().filter_map(Command::command_id).collect();
    for message in messages {
        assert_eq!(message["requestContext"]["condition"], "RetriesExhausted");
        let id = message["requestPayload"]["detail"]["command-id"].as_str();
        let id = id.expect("the event of a command");
        // The task of every command of ours is closed: see the executions.
        assert!(ids.contains(id), "a message of an unknown command {id}");
    }
}

fn variable<T: std::str::FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

fn lines_with(log: &[Value], message: &str) -> usize {
    log.iter().filter(|line| line["message"] == message).count()
}

#[tokio::test]
async fn under_chaos_every_task_is_answered_and_nothing_runs_for_a_closed_one() {
    let executions: u32 = variable("CHAOS_EXECUTIONS", EXECUTIONS);
    let seed: u64 = variable("CHAOS_SEED", SEED);
    eprintln!("chaos: {executions} executions, seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let plans: Vec<_> = (0..executions).map(|number| Plan::draw(number, &mut random)).collect();

    let seed_option = seed.to_string();
    let sandbox = &Sandbox::start(&[&FAULTS[..], &["--seed", &seed_option]].concat()).await;
    let machine = &Sandbox::state_machine(STATE_MACHINE);
    let mut killer = Killer::new(sandbox.directory(), random);
    let started_at = Instant::now();
    let scripts = async {
        let carried_out = stream::iter(&plans).map(|plan| plan.carry_out(sandbox, machine));
        let started: Vec<_> = carried_out.buffered(CALLS_AT_ONCE).collect().await;
        tokio::time::sleep(Duration::from_millis(SCRIPT_MILLIS_MAX)).await;
        started
    };
    let started = tokio::select! {
        started = scripts => started,
        () = killer.kill() => unreachable!("it kills until it is dropped"),
    };
    executions_ended(sandbox, machine, executions).await;
    let commands = commands_ended(sandbox, executions).await;
    let settled_s = started_at.elapsed().as_secs();
    let messages = events_handled(sandbox, executions).await;

    until("the end of all scripts", executions, async || {
        processes("cwd", &killer.nodes).is_empty()
    })
    .await;
    let of_line = &by_line(&commands);
    let checked = stream::iter(plans.iter().zip(&started)).map(async |(plan, execution)| {
        let ended = sandbox.execution_ended(execution).await;
        let answers = sandbox.answers_of(execution).await;
        plan.check(&ended, answers, of_line.get(plan.line().as_str()).copied());
        (answers, usize::from(ended.status == ExecutionStatus::Aborted))
    });
    let checked: Vec<_> = checked.buffer_unordered(CALLS_AT_ONCE).collect().await;
    check_queue(&messages, &commands);
    check_tokens(sandbox, &messages, &commands);

    let answers: usize = checked.iter().map(|(answers, _)| answers).sum();
    let stopped: usize = checked.iter().map(|(_, stopped)| stopped).sum();
    let is_cancelled = |command: &&Command| command.status_details() == Some("Cancelled");
    let sweeps = sandbox.sweep_log();
    println!(
        "chaos: {executions} executions, {} commands, {stopped} stopped, {} kills, {} events lost, \
         {answers} answers, {} recovered, {} cancelled, {} queue messages, {settled_s} seconds",
        commands.len(),
        killer.kills,
        Deliveries::read(sandbox).lost(),
        lines_with(&sweeps, "a lost event was made good"),
        commands.iter().filter(is_cancelled).count(),
        messages.len(),
    );
    assert!(killer.kills > 0, "no process of a function was found");
    assert!(killer.scripts_max > 0, "no process of a script was ever seen");
}
