//! What sweeps do with every kind of command, by a clock that the test sets.

use std::sync::Mutex;
use std::time::Duration;

use callback::ports::{
    AnswerReceipt, CallError, CallErrorKind, CallErrorReason, CommandListing, Pulse, Stage,
};
use callback::testing::sample::{command, command_id, invocation};
use callback::testing::world::{Answer, Op, World};
use callback::{
    Command, CommandId, Documents, Memory, RunCommand, Scope, SweepReport, TaskToken, Tasks, sweep,
    sweep_executing,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

mod bounds;
mod completed;
mod executing;
mod failures;
mod lists;
mod memory;
mod promise;
mod reused;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

const DOCUMENT: &str = "SfnRunShellScript";
const THREE_DOCUMENTS: [&str; 3] = [DOCUMENT, "SfnRunPowerShellScript", "SfnRunDocument"];
const ARN_PREFIX: &str = "arn:aws:ssm:eu-central-1:111122223333:document/";
/// How long a sweep may take, as in the function.
const TIME_LEFT: Duration = Duration::from_secs(50);
/// What every token of these tests begins with.
const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAtokenThatWaits";

/// When the first sweep is.
fn now() -> Timestamp {
    Timestamp::from_second(1_795_338_000).unwrap()
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time - SignedDuration::try_from(by).unwrap()
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time + SignedDuration::try_from(by).unwrap()
}

/// The default settings.
fn scope_of(document_names: &[&str]) -> Scope {
    let names = document_names.iter().map(|&name| name.to_owned()).collect();
    Scope {
        documents: Documents::new(names, Some(ARN_PREFIX.to_owned())),
        interval: MINUTE,
        lookback: 49 * HOUR,
        heartbeats_per_second: 250,
    }
}

/// A process that sweeps: what it remembers, and what it may do.
struct Process {
    memory: Memory,
    /// The age in the last report. The reports that tests get tell none, so that they can be compared.
    oldest_waiting_s: u64,
    scope: Scope,
    time_left: Duration,
}

impl Process {
    fn new() -> Self {
        Self::of(scope_of(&[DOCUMENT]))
    }

    fn of(scope: Scope) -> Self {
        Self { memory: Memory::default(), oldest_waiting_s: 0, scope, time_left: TIME_LEFT }
    }

    /// Sweeps once, so many minutes after [`now`].
    async fn sweep(&mut self, world: &World, minute: u32) -> SweepReport {
        self.sweep_at(world, world, later(now(), MINUTE * minute)).await
    }

    /// Sweeps once per minute; the sum of the reports.
    async fn sweeps(
        &mut self,
        world: &World,
        minutes: impl IntoIterator<Item = u32>,
    ) -> SweepReport {
        let mut sum = nothing();
        for minute in minutes {
            add(&mut sum, self.sweep(world, minute).await);
        }
        sum
    }

    async fn sweep_with(&mut self, tasks: &impl Tasks, world: &World, minute: u32) -> SweepReport {
        self.sweep_at(world, tasks, later(now(), MINUTE * minute)).await
    }

    async fn sweep_at(
        &mut self,
        run_command: &impl RunCommand,
        tasks: &impl Tasks,
        now: Timestamp,
    ) -> SweepReport {
        let Self { memory, scope, time_left, .. } = self;
        let report = sweep(run_command, tasks, scope, memory, now, *time_left).await;
        self.without_age(report)
    }

    /// Looks after executing commands only, so many seconds after [`now`].
    async fn sweep_executing(&mut self, world: &World, second: u32) -> SweepReport {
        let Self { memory, scope, time_left, .. } = self;
        let now = later(now(), SECOND * second);
        let report = sweep_executing(world, world, scope, memory, now, *time_left).await;
        self.without_age(report)
    }

    fn without_age(&mut self, mut report: SweepReport) -> SweepReport {
        self.oldest_waiting_s = std::mem::take(&mut report.oldest_waiting_s);
        report
    }
}

/// The first sweep of a process.
async fn sweep_once(world: &World) -> SweepReport {
    Process::new().sweep(world, 0).await
}

/// Adds up what several sweeps have done.
fn add(sum: &mut SweepReport, report: SweepReport) {
    sum.executing += report.executing;
    sum.heartbeats += report.heartbeats;
    sum.recovered += report.recovered;
    sum.cancelled += report.cancelled;
    sum.rejected += report.rejected;
    sum.refused += report.refused;
    sum.reused += report.reused;
    sum.failed += report.failed;
    sum.truncated |= report.truncated;
    sum.blind = sum.blind.take().or(report.blind);
}

/// The report of a sweep that came to its end and found nothing.
fn nothing() -> SweepReport {
    SweepReport::default()
}

fn failures(failed: u64) -> SweepReport {
    SweepReport { failed, ..nothing() }
}

fn token(number: u32) -> String {
    format!("{TOKEN}{number}")
}

/// A command to put into a world.
#[derive(Clone)]
struct Given {
    number: u32,
    requested_at: Timestamp,
    document: String,
    details: &'static str,
    parameters: Vec<(&'static str, String)>,
    nodes: u32,
    unseen_nodes: u32,
}

/// A command with a token that was requested so long before [`now`].
fn given(number: u32, age: Duration, details: &'static str) -> Given {
    Given {
        number,
        requested_at: earlier(now(), age),
        document: DOCUMENT.to_owned(),
        details,
        parameters: vec![("taskToken", token(number))],
        nodes: 1,
        unseen_nodes: 0,
    }
}

/// A command without a token, of a document of somebody else.
fn foreign(number: u32, age: Duration, details: &'static str) -> Given {
    given(number, age, details).without_token().document("AWS-RunPatchBaseline")
}

impl Given {
    fn parameter(mut self, name: &'static str, value: &str) -> Self {
        self.parameters.retain(|(other, _)| *other != name);
        self.parameters.push((name, value.to_owned()));
        self
    }

    fn without_token(mut self) -> Self {
        self.parameters.clear();
        self
    }

    fn document(self, document: &str) -> Self {
        Self { document: document.to_owned(), ..self }
    }

    fn of_nodes(self, nodes: u32) -> Self {
        Self { nodes, ..self }
    }

    /// The same command, later.
    fn is_now(&self, details: &'static str) -> Self {
        Self { details, ..self.clone() }
    }

    /// Puts the command into the world; Step Functions does not know its token.
    fn put(self, world: &World) -> CommandId {
        let id = command_id(self.number);
        let parameters: Vec<_> =
            self.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let node = |number| invocation(number, self.details, "Hello\n", "");
        let nodes: Vec<_> = (1..=self.nodes).map(node).collect();
        let mut command = Command {
            requested_at: self.requested_at,
            document_name: self.document,
            ..command(&id, &parameters, self.details, &nodes)
        };
        command.target_count += self.unseen_nodes;
        world.put_command(command, nodes);
        id
    }

    /// As [`put`](Self::put), and a task waits for the command.
    fn put_waited_for(self, world: &World) -> CommandId {
        world.open_task(&token(self.number));
        self.put(world)
    }

    /// As [`put`](Self::put), and the command's task is closed.
    fn put_abandoned(self, world: &World) -> CommandId {
        world.close_task(&token(self.number));
        self.put(world)
    }
}

/// Ten executing commands that are waited for, ten abandoned ones, and ten whose event was lost.
fn world_of_thirty() -> World {
    let world = World::new();
    for number in 0..10 {
        let age = 3 * MINUTE + SECOND * number;
        given(number, age, "InProgress").put_waited_for(&world);
        given(100 + number, age, "InProgress").put_abandoned(&world);
        given(200 + number, age, "Success").put_waited_for(&world);
    }
    world
}

/// A world in which so many commands are executing and waited for, one requested each second.
fn world_of_executing(commands: u32) -> World {
    let world = World::new();
    for number in 0..commands {
        given(number, SECOND * number, "InProgress").put_waited_for(&world);
    }
    world
}

/// Calls that change something, besides heartbeats.
fn changes(world: &World) -> usize {
    [Op::CancelCommand, Op::SendTaskSuccess, Op::SendTaskFailure]
        .map(|op| world.calls(op))
        .iter()
        .sum()
}

fn heartbeats(world: &World) -> usize {
    world.calls(Op::SendTaskHeartbeat)
}

fn all_calls(world: &World) -> usize {
    Op::ALL.map(|op| world.calls(op)).iter().sum()
}

/// The error of the only answer.
#[track_caller]
fn the_error(world: &World) -> String {
    match world.answers().as_slice() {
        [(_, Answer::Failure { error, .. })] => error.clone(),
        answers => panic!("expected one failure, got {answers:?}"),
    }
}

fn listing(stage: Stage, invoked_after: Option<Timestamp>) -> CommandListing {
    CommandListing { document_name: None, stage, invoked_after }
}

/// Step Functions as in a world, with another answer to some calls. Tells whom it was asked about.
struct OtherTasks<'a> {
    world: &'a World,
    pulse: Option<Result<Pulse, CallError>>,
    delivery: Option<Result<AnswerReceipt, CallError>>,
    heartbeats: Mutex<Vec<(String, Instant)>>,
    answers: Mutex<Vec<String>>,
}

impl<'a> OtherTasks<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            pulse: None,
            delivery: None,
            heartbeats: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// The tokens of all heartbeats in their order, and when each was sent.
    fn heartbeats(&self) -> Vec<(String, Instant)> {
        self.heartbeats.lock().unwrap().clone()
    }

    /// How many answers were sent.
    fn answers(&self) -> usize {
        self.answers.lock().unwrap().len()
    }
}

impl Tasks for OtherTasks<'_> {
    async fn succeed(&self, token: &TaskToken, output: &str) -> Result<AnswerReceipt, CallError> {
        self.answers.lock().unwrap().push(token.expose().to_owned());
        match &self.delivery {
            Some(delivery) => delivery.clone(),
            None => self.world.succeed(token, output).await,
        }
    }

    async fn fail(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> Result<AnswerReceipt, CallError> {
        self.answers.lock().unwrap().push(token.expose().to_owned());
        match &self.delivery {
            Some(delivery) => delivery.clone(),
            None => self.world.fail(token, error, cause).await,
        }
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<Pulse, CallError> {
        self.heartbeats.lock().unwrap().push((token.expose().to_owned(), Instant::now()));
        match &self.pulse {
            Some(pulse) => pulse.clone(),
            None => self.world.heartbeat(token).await,
        }
    }
}

/// A call that the caller may not make.
fn denied(operation: &'static str) -> CallError {
    CallError {
        operation,
        reason: CallErrorReason::Api("AccessDeniedException".to_owned()),
        request_id: None,
        kind: CallErrorKind::Permanent,
    }
}
