//! Run Command and Step Functions in memory: a stateful fake of both ports of `callback`.
//!
//! A test puts commands and waiting tasks into a [`World`], lets the product act on it, and asks
//! what has become of them. The world keeps the rules that the product relies on: a task takes
//! one answer, an answer has limits, a listed output is cut, a read may lag. A fault is an event
//! in the world ([`World::fail_next`]) and not a scripted answer, so that a call that fails can
//! have taken effect.
//!
//! Every call gives way to other tasks once before it does anything, so that two flows that run
//! at the same time meet in the middle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::command::{Output, has_ended};
use crate::ports::{
    CallError, CallErrorKind, CommandListing, CommandPage, Delivery, PageToken, Pulse, Stage,
};
use crate::{
    Command, CommandId, InstanceId, Invocation, RunCommand, Status, StatusDetails, TaskToken, Tasks,
};
use jiff::Timestamp;

/// The longest output that Step Functions takes, in bytes.
const OUTPUT_BYTES_MAX: usize = 262_144;
/// The longest error name that Step Functions takes, in characters.
const ERROR_CHARS_MAX: usize = 256;
/// The longest cause that Step Functions takes, in characters.
const CAUSE_CHARS_MAX: usize = 32_768;
/// The most commands on one page of a list.
const PAGE_COMMANDS_MAX: usize = 50;
/// The most of a step's output that is listed, in characters.
const LISTED_CHARS_MAX: usize = 2_500;
/// What is left of a standard output or a standard error that is too long to be listed.
const LISTED_PART_CHARS: usize = 1_200;

/// An operation of AWS behind the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Reads a command.
    ListCommands,
    /// Reads a page of a list of commands: `ListCommands` with filters.
    ListPage,
    /// Cancels a command.
    CancelCommand,
    /// Reads the invocations of a command.
    ListCommandInvocations,
    /// Reads the whole output of a step on a node.
    GetCommandInvocation,
    /// Answers a task with an output.
    SendTaskSuccess,
    /// Answers a task with an error.
    SendTaskFailure,
    /// Asks whether a task waits.
    SendTaskHeartbeat,
}

impl Op {
    /// All operations.
    pub const ALL: [Self; 8] = [
        Self::ListCommands,
        Self::ListPage,
        Self::CancelCommand,
        Self::ListCommandInvocations,
        Self::GetCommandInvocation,
        Self::SendTaskSuccess,
        Self::SendTaskFailure,
        Self::SendTaskHeartbeat,
    ];

    /// The operation's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListCommands | Self::ListPage => "ListCommands",
            Self::CancelCommand => "CancelCommand",
            Self::ListCommandInvocations => "ListCommandInvocations",
            Self::GetCommandInvocation => "GetCommandInvocation",
            Self::SendTaskSuccess => "SendTaskSuccess",
            Self::SendTaskFailure => "SendTaskFailure",
            Self::SendTaskHeartbeat => "SendTaskHeartbeat",
        }
    }

    fn error(self, code: &str, kind: CallErrorKind) -> CallError {
        CallError { operation: self.name(), code: code.to_owned(), request_id: None, kind }
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Too many calls; nothing happened.
    Throttled,
    /// The caller may not; nothing happened.
    Denied,
    /// The request was lost on its way; nothing happened.
    TimedOut,
    /// It happened, and the answer was lost on its way back.
    TimedOutAfterTakingEffect,
}

impl Fault {
    fn takes_effect(self) -> bool {
        self == Self::TimedOutAfterTakingEffect
    }

    fn error(self, op: Op) -> CallError {
        match self {
            Self::Throttled => op.error("ThrottlingException", CallErrorKind::Transient),
            Self::Denied => op.error("AccessDeniedException", CallErrorKind::Permanent),
            Self::TimedOut | Self::TimedOutAfterTakingEffect => {
                op.error("Timeout", CallErrorKind::Transient)
            }
        }
    }
}

/// An answer that a task has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `SendTaskSuccess`.
    Success {
        /// The task's output, JSON.
        output: String,
    },
    /// `SendTaskFailure`.
    Failure {
        /// The error name that a state machine can catch.
        error: String,
        /// The cause.
        cause: String,
    },
}

/// Run Command and Step Functions, as they are at this moment.
#[derive(Default)]
pub struct World {
    state: Mutex<State>,
}

struct State {
    commands: BTreeMap<CommandId, Stored>,
    /// The same commands by whether they have ended, and by time.
    listed: BTreeMap<bool, BTreeMap<Timestamp, BTreeSet<CommandId>>>,
    tasks: BTreeMap<String, Task>,
    answers: Vec<(String, Answer)>,
    cancelled: Vec<CommandId>,
    listings: Vec<CommandListing>,
    output_bytes_max: usize,
    faults: BTreeMap<Op, VecDeque<Fault>>,
    durations: BTreeMap<Op, Duration>,
    calls: BTreeMap<Op, usize>,
    underway: BTreeMap<Op, usize>,
    most_at_once: BTreeMap<Op, usize>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            commands: BTreeMap::new(),
            listed: BTreeMap::new(),
            tasks: BTreeMap::new(),
            answers: Vec::new(),
            cancelled: Vec::new(),
            listings: Vec::new(),
            output_bytes_max: OUTPUT_BYTES_MAX,
            faults: BTreeMap::new(),
            durations: BTreeMap::new(),
            calls: BTreeMap::new(),
            underway: BTreeMap::new(),
            most_at_once: BTreeMap::new(),
        }
    }
}

/// A command as it is and, for reads that lag, as it was.
struct Stored {
    now: Reading,
    before: Option<Reading>,
    /// How many more reads by this operation show `before`.
    lagging: BTreeMap<Op, usize>,
    /// Whether it is described in a way that cannot be read.
    is_spoilt: bool,
}

/// A command and its invocations; outputs are whole.
struct Reading {
    command: Command,
    invocations: Vec<Invocation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Waiting,
    Closed,
}

impl World {
    /// A world without commands, tasks and faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a command, or changes it. Outputs are what `GetCommandInvocation` shall tell; the
    /// listing cuts them itself.
    pub fn put_command(&self, command: Command, invocations: Vec<Invocation>) {
        let mut state = self.state();
        let id = command.id.clone();
        let (before, lagging) = match state.commands.remove(&id) {
            Some(stored) => {
                state.unlist(&stored.now.command);
                (Some(stored.now), stored.lagging)
            }
            None => (None, BTreeMap::new()),
        };
        state.enlist(&command);
        let now = Reading { command, invocations };
        state.commands.insert(id, Stored { now, before, lagging, is_spoilt: false });
    }

    /// Lets Run Command describe the command in a way that cannot be read.
    ///
    /// # Panics
    ///
    /// When there is no such command.
    pub fn spoil(&self, id: &CommandId) {
        let mut state = self.state();
        let stored = state.commands.get_mut(id).expect("the command was put into this world");
        stored.is_spoilt = true;
    }

    /// Lets the next `reads` of the command, and as many of its invocations, show what was before
    /// the last [`put_command`](Self::put_command). `usize::MAX`: all reads.
    ///
    /// # Panics
    ///
    /// When there is no such command.
    pub fn lag_reads(&self, id: &CommandId, reads: usize) {
        self.lag_reads_of(Op::ListCommands, id, reads);
        self.lag_reads_of(Op::ListCommandInvocations, id, reads);
    }

    /// As [`lag_reads`](Self::lag_reads), for reads by one operation only.
    ///
    /// # Panics
    ///
    /// When there is no such command.
    pub fn lag_reads_of(&self, op: Op, id: &CommandId, reads: usize) {
        let mut state = self.state();
        let stored = state.commands.get_mut(id).expect("the command was put into this world");
        stored.lagging.insert(op, reads);
    }

    /// Lets a task wait for an answer to this token.
    pub fn open_task(&self, token: &str) {
        self.state().tasks.insert(token.to_owned(), Task::Waiting);
    }

    /// Closes a task without an answer: it timed out, or its execution was stopped.
    pub fn close_task(&self, token: &str) {
        self.state().tasks.insert(token.to_owned(), Task::Closed);
    }

    /// Lets Step Functions take only outputs of at most `bytes`, fewer than documented.
    pub fn take_outputs_up_to(&self, bytes: usize) {
        self.state().output_bytes_max = bytes;
    }

    /// Lets the next call of this operation fail; called twice, the next two calls.
    pub fn fail_next(&self, op: Op, fault: Fault) {
        self.state().faults.entry(op).or_default().push_back(fault);
    }

    /// Lets every call of this operation take so long.
    pub fn slow(&self, op: Op, duration: Duration) {
        self.state().durations.insert(op, duration);
    }

    /// All answers that tasks have taken, in their order, with the token of each.
    pub fn answers(&self) -> Vec<(String, Answer)> {
        self.state().answers.clone()
    }

    /// All commands for which a cancel was asked, in their order.
    pub fn cancelled(&self) -> Vec<CommandId> {
        self.state().cancelled.clone()
    }

    /// All lists of commands whose first page was asked for, in their order, failed ones included.
    pub fn listings(&self) -> Vec<CommandListing> {
        self.state().listings.clone()
    }

    /// How many calls of this operation were made, failed ones included.
    pub fn calls(&self, op: Op) -> usize {
        self.state().calls.get(&op).copied().unwrap_or(0)
    }

    /// How many calls of this operation were under way at the same time, at most.
    pub fn most_at_once(&self, op: Op) -> usize {
        self.state().most_at_once.get(&op).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the world")
    }

    /// One call: it gives way, is counted, takes its time, and happens or fails. When it is dropped
    /// before its time is over, it does not happen.
    async fn call<T>(
        &self,
        op: Op,
        effect: impl FnOnce(&mut State) -> Result<T, CallError> + Send,
    ) -> Result<T, CallError> {
        tokio::task::yield_now().await;
        let _underway = Underway::begin(self, op);
        let duration = self.state().durations.get(&op).copied();
        if let Some(duration) = duration {
            tokio::time::sleep(duration).await;
        }
        let mut state = self.state();
        match state.faults.get_mut(&op).and_then(VecDeque::pop_front) {
            None => effect(&mut state),
            Some(fault) => {
                if fault.takes_effect() {
                    effect(&mut state)?;
                }
                Err(fault.error(op))
            }
        }
    }
}

/// A call that is counted, and under way until it is dropped.
struct Underway<'a> {
    world: &'a World,
    op: Op,
}

impl<'a> Underway<'a> {
    fn begin(world: &'a World, op: Op) -> Self {
        let mut state = world.state();
        *state.calls.entry(op).or_default() += 1;
        let underway = state.underway.entry(op).or_default();
        *underway += 1;
        let underway = *underway;
        let most = state.most_at_once.entry(op).or_default();
        *most = underway.max(*most);
        Self { world, op }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if let Some(underway) = self.world.state().underway.get_mut(&self.op) {
            *underway -= 1;
        }
    }
}

impl State {
    /// What a read by this operation shows of a command, if anything.
    fn read(&mut self, op: Op, id: &CommandId) -> Option<&Reading> {
        let stored = self.commands.get_mut(id)?;
        match stored.lagging.get_mut(&op) {
            Some(reads) if *reads > 0 => {
                *reads -= 1;
                stored.before.as_ref()
            }
            _ => Some(&stored.now),
        }
    }

    /// What a read by this operation tells of a command, if anything.
    fn describe(&mut self, op: Op, id: &CommandId) -> Result<Option<Command>, CallError> {
        if self.commands.get(id).is_some_and(|stored| stored.is_spoilt) {
            return Err(op.error("a command without a status", CallErrorKind::Permanent));
        }
        Ok(self.read(op, id).map(|reading| reading.command.clone()))
    }

    fn enlist(&mut self, command: &Command) {
        let times = self.listed.entry(list_key(command)).or_default();
        times.entry(command.requested_at).or_default().insert(command.id.clone());
    }

    fn unlist(&mut self, command: &Command) {
        let times = self.listed.get_mut(&list_key(command));
        if let Some(ids) = times.and_then(|times| times.get_mut(&command.requested_at)) {
            ids.remove(&command.id);
        }
    }

    /// One page of a list of commands, newest first, and where the next one begins.
    fn list(
        &self,
        listing: &CommandListing,
        page: Option<&PageToken>,
    ) -> (Vec<CommandId>, Option<PageToken>) {
        let last = page.map(place);
        let oldest = listing.invoked_after.unwrap_or(Timestamp::MIN);
        let newest = last.as_ref().map_or(Timestamp::MAX, |(time, _)| *time);
        let found = self.listed.get(&(listing.stage == Stage::Complete));
        let found = found.filter(|_| oldest <= newest);
        let is_wanted = |id: &CommandId| {
            listing.document_name.as_ref().is_none_or(|wanted| {
                self.commands.get(id).is_some_and(|one| one.now.command.document_name == *wanted)
            })
        };
        let mut ids = found
            .into_iter()
            .flat_map(|times| times.range(oldest..=newest).rev())
            .flat_map(|(time, ids)| ids.iter().rev().map(|id| (*time, id)))
            .filter(|(_, id)| is_wanted(id))
            .map(|(time, id)| (time, id.clone()))
            .skip_while(|found| last.as_ref().is_some_and(|last| found >= last))
            .peekable();
        let page: Vec<_> = ids.by_ref().take(PAGE_COMMANDS_MAX).collect();
        let last = page.last().filter(|_| ids.peek().is_some());
        let next = last.map(|(time, id)| PageToken(format!("{time} {id}")));
        (page.into_iter().map(|(_, id)| id).collect(), next)
    }

    /// Ends a command that still runs, as a cancel does.
    fn cancel(&mut self, id: &CommandId) {
        self.cancelled.push(id.clone());
        let Some(mut stored) = self.commands.remove(id) else { return };
        self.unlist(&stored.now.command);
        stored.now.cancel();
        self.enlist(&stored.now.command);
        self.commands.insert(id.clone(), stored);
    }

    /// Gives an answer to the task that waits for this token, if one does.
    fn answer(&mut self, token: &TaskToken, answer: Answer) -> Delivery {
        match self.tasks.get_mut(token.expose()) {
            None => Delivery::TokenRejected,
            Some(Task::Closed) => Delivery::AlreadyClosed,
            Some(task @ Task::Waiting) => {
                *task = Task::Closed;
                self.answers.push((token.expose().to_owned(), answer));
                Delivery::Accepted
            }
        }
    }
}

impl Reading {
    fn cancel(&mut self) {
        let Self { command, invocations } = self;
        if has_ended(&command.status, &command.status_details) {
            return;
        }
        (command.status, command.status_details) = (Status::Cancelled, StatusDetails::Cancelled);
        for one in invocations {
            if !has_ended(&one.status, &one.status_details) {
                (one.status, one.status_details) = (Status::Cancelled, StatusDetails::Cancelled);
            }
        }
    }
}

impl RunCommand for World {
    async fn command(&self, id: &CommandId) -> Result<Option<Command>, CallError> {
        let op = Op::ListCommands;
        self.call(op, |state| state.describe(op, id)).await
    }

    async fn invocations(&self, id: &CommandId) -> Result<Vec<Invocation>, CallError> {
        let op = Op::ListCommandInvocations;
        self.call(op, |state| {
            let reading = state.read(op, id);
            Ok(reading.iter().flat_map(|reading| &reading.invocations).map(listed).collect())
        })
        .await
    }

    async fn output(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
        plugin_name: &str,
    ) -> Result<Output, CallError> {
        let op = Op::GetCommandInvocation;
        self.call(op, |state| {
            let reading = state.read(op, id);
            reading
                .iter()
                .flat_map(|reading| &reading.invocations)
                .filter(|invocation| invocation.instance_id == *instance_id)
                .flat_map(|invocation| &invocation.plugins)
                .find(|plugin| plugin.name == plugin_name)
                .map(|plugin| {
                    let Output { stdout, stderr, .. } = plugin.output.clone();
                    Output::from_invocation(stdout, stderr)
                })
                .ok_or_else(|| op.error("InvocationDoesNotExist", CallErrorKind::Permanent))
        })
        .await
    }

    async fn commands(
        &self,
        listing: &CommandListing,
        page: Option<&PageToken>,
    ) -> Result<CommandPage, CallError> {
        let op = Op::ListPage;
        if page.is_none() {
            self.state().listings.push(listing.clone());
        }
        self.call(op, |state| {
            let (ids, next) = state.list(listing, page);
            let commands = ids.iter().filter_map(|id| state.describe(op, id).transpose()).collect();
            Ok(CommandPage { commands, next })
        })
        .await
    }

    async fn cancel(&self, id: &CommandId) -> Result<(), CallError> {
        self.call(Op::CancelCommand, |state| {
            state.cancel(id);
            Ok(())
        })
        .await
    }
}

impl Tasks for World {
    async fn succeed(&self, token: &TaskToken, output: &str) -> Result<Delivery, CallError> {
        self.call(Op::SendTaskSuccess, |state| {
            let is_json = serde_json::from_str::<serde_json::Value>(output).is_ok();
            if !is_json || output.len() > state.output_bytes_max {
                return Ok(Delivery::OutputRejected);
            }
            Ok(state.answer(token, Answer::Success { output: output.to_owned() }))
        })
        .await
    }

    async fn fail(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> Result<Delivery, CallError> {
        let op = Op::SendTaskFailure;
        self.call(op, |state| {
            let is_short = error.chars().count() <= ERROR_CHARS_MAX
                && cause.chars().count() <= CAUSE_CHARS_MAX;
            if !is_short {
                return Err(op.error("ValidationException", CallErrorKind::Permanent));
            }
            let answer = Answer::Failure { error: error.to_owned(), cause: cause.to_owned() };
            Ok(state.answer(token, answer))
        })
        .await
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<Pulse, CallError> {
        self.call(Op::SendTaskHeartbeat, |state| {
            Ok(match state.tasks.get(token.expose()) {
                None => Pulse::Rejected,
                Some(Task::Closed) => Pulse::Closed,
                Some(Task::Waiting) => Pulse::Alive,
            })
        })
        .await
    }
}

/// Where a command is listed.
fn list_key(command: &Command) -> bool {
    has_ended(&command.status, &command.status_details)
}

/// The last command before the page.
fn place(PageToken(token): &PageToken) -> (Timestamp, CommandId) {
    let (time, id) = token.split_once(' ').expect("a page token of this world");
    let id = CommandId::parse(id).expect("a page token of this world");
    (time.parse().expect("a page token of this world"), id)
}

/// An invocation as it is listed: with the beginnings of its outputs.
fn listed(invocation: &Invocation) -> Invocation {
    let mut listed = invocation.clone();
    for plugin in &mut listed.plugins {
        let Output { stdout, stderr, .. } = &plugin.output;
        plugin.output = Output::from_listing(&agents_text(stdout, stderr));
    }
    listed
}

/// Both outputs in one text, as the agent writes it for the listing.
fn agents_text(stdout: &str, stderr: &str) -> String {
    let joined = |stdout: &str, stderr: &str| match stderr {
        "" => stdout.to_owned(),
        _ => format!("{stdout}\n----------ERROR-------\n{stderr}"),
    };
    let whole = joined(stdout, stderr);
    if whole.chars().count() < LISTED_CHARS_MAX {
        return whole;
    }
    let cut = |text: &str, mark: &str| match text.char_indices().nth(LISTED_PART_CHARS) {
        Some((end, _)) => format!("{}\n{mark}", &text[..end]),
        None => text.to_owned(),
    };
    joined(&cut(stdout, "---Output truncated---"), &cut(stderr, "---Error truncated----"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample::{command, command_id, invocation};

    fn token(text: &str) -> TaskToken {
        TaskToken::from_parameter(&[text.to_owned()]).unwrap()
    }

    #[tokio::test]
    async fn a_task_takes_one_answer() {
        let world = World::new();
        world.open_task("open");
        assert_eq!(world.succeed(&token("open"), "1").await, Ok(Delivery::Accepted));
        assert_eq!(world.succeed(&token("open"), "2").await, Ok(Delivery::AlreadyClosed));
        assert_eq!(world.fail(&token("open"), "E", "c").await, Ok(Delivery::AlreadyClosed));
        let answer = Answer::Success { output: "1".into() };
        assert_eq!(world.answers(), [("open".to_owned(), answer)]);
        assert_eq!(world.calls(Op::SendTaskSuccess), 2);
    }

    #[tokio::test]
    async fn a_closed_task_and_an_unknown_one_take_none() {
        let world = World::new();
        world.open_task("closed");
        world.close_task("closed");
        assert_eq!(world.succeed(&token("closed"), "1").await, Ok(Delivery::AlreadyClosed));
        assert_eq!(world.fail(&token("unknown"), "E", "c").await, Ok(Delivery::TokenRejected));
        assert_eq!(world.answers(), []);
    }

    #[tokio::test]
    async fn an_answer_has_limits() {
        let world = World::new();
        world.open_task("t");
        let json = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        for output in ["", "{", &json(262_145)] {
            assert_eq!(world.succeed(&token("t"), output).await, Ok(Delivery::OutputRejected));
        }
        let (long, longest) = ("ü".repeat(32_769), "ü".repeat(32_768));
        assert!(world.fail(&token("t"), "E", &long).await.is_err());
        assert!(world.fail(&token("t"), &"ü".repeat(257), "c").await.is_err());
        assert_eq!(world.answers(), []);
        let delivery = world.fail(&token("t"), &"ü".repeat(256), &longest).await;
        assert_eq!(delivery, Ok(Delivery::Accepted));
        world.open_task("u");
        assert_eq!(world.succeed(&token("u"), &json(262_144)).await, Ok(Delivery::Accepted));
    }

    #[tokio::test]
    async fn a_failed_call_may_have_taken_effect() {
        let world = World::new();
        world.open_task("t");
        world.fail_next(Op::SendTaskSuccess, Fault::TimedOut);
        world.fail_next(Op::SendTaskSuccess, Fault::TimedOutAfterTakingEffect);
        assert!(world.succeed(&token("t"), "1").await.is_err());
        assert_eq!(world.answers(), []);
        assert!(world.succeed(&token("t"), "2").await.is_err());
        assert_eq!(world.answers().len(), 1);
        assert_eq!(world.succeed(&token("t"), "3").await, Ok(Delivery::AlreadyClosed));
    }

    #[tokio::test]
    async fn a_read_that_lags_shows_what_was() {
        let world = World::new();
        let id = command_id(1);
        let put = |details: &str| {
            let nodes = vec![invocation(1, details, "", "")];
            world.put_command(command(&id, &[], details, &nodes), nodes);
        };
        let details = async || {
            let command = world.command(&id).await.unwrap();
            command.map(|command| command.status_details.to_string())
        };
        assert_eq!(details().await, None);
        put("InProgress");
        world.lag_reads(&id, 1);
        assert_eq!(details().await, None);
        assert!(world.invocations(&id).await.unwrap().is_empty());
        put("Success");
        world.lag_reads_of(Op::ListCommands, &id, 2);
        assert_eq!(details().await.as_deref(), Some("InProgress"));
        assert_eq!(world.invocations(&id).await.unwrap()[0].status_details.as_str(), "Success");
        assert_eq!(details().await.as_deref(), Some("InProgress"));
        assert_eq!(details().await.as_deref(), Some("Success"));
    }

    #[tokio::test]
    async fn a_listed_output_is_cut_and_a_read_one_is_not() {
        let world = World::new();
        let id = command_id(1);
        let (stdout, stderr) = ("ü".repeat(2_000), "e".repeat(2_000));
        let nodes = vec![
            invocation(1, "Failed", &stdout, &stderr),
            invocation(2, "Success", "short", "also"),
        ];
        world.put_command(command(&id, &[], "Failed", &nodes), nodes.clone());

        let listed = world.invocations(&id).await.unwrap();
        let cut = &listed[0].plugins[0].output;
        assert!(cut.truncated);
        assert_eq!((cut.stdout.as_str(), cut.stderr.len()), (&stdout[..2_400], 1_200));
        assert_eq!(listed[1], nodes[1]);

        let whole = world.output(&id, &nodes[0].instance_id, "runShellScript").await.unwrap();
        assert_eq!(whole, nodes[0].plugins[0].output);
        let unknown = world.output(&id, &nodes[0].instance_id, "other").await.unwrap_err();
        assert_eq!(unknown.kind, CallErrorKind::Permanent);
    }
    /// A command that was requested so many seconds after the others, on this document.
    fn put_at(world: &World, number: u32, second: i64, document: &str, details: &str) -> CommandId {
        let id = command_id(number);
        let nodes = vec![invocation(1, details, "", "")];
        let mut command = command(&id, &[], details, &nodes);
        command.requested_at = moment(second);
        document.clone_into(&mut command.document_name);
        world.put_command(command, nodes);
        id
    }

    fn moment(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn listing(document: Option<&str>, stage: Stage, after: Option<i64>) -> CommandListing {
        let document_name = document.map(ToOwned::to_owned);
        CommandListing { document_name, stage, invoked_after: after.map(moment) }
    }

    fn complete() -> CommandListing {
        listing(None, Stage::Complete, None)
    }

    /// All pages of a list: their commands, or nothing where one cannot be read.
    async fn pages(world: &World, listing: &CommandListing) -> Vec<Vec<Option<CommandId>>> {
        let mut pages = Vec::new();
        let mut token = None;
        loop {
            let page = world.commands(listing, token.as_ref()).await.unwrap();
            pages.push(page.commands.into_iter().map(|one| Some(one.ok()?.id)).collect());
            token = page.next;
            if token.is_none() {
                return pages;
            }
        }
    }

    #[tokio::test]
    async fn a_list_holds_one_stage_and_what_its_filters_let_through() {
        let world = World::new();
        let at = |second: i64, document| {
            let number = u32::try_from(second).unwrap();
            Some(put_at(&world, number, second, document, "Success"))
        };
        let (early, from, late) = (at(99, "Ours"), at(100, "Ours"), at(101, "Ours"));
        let (early_theirs, theirs) = (at(50, "Theirs"), at(150, "Theirs"));
        let running = Some(put_at(&world, 301, 150, "Ours", "InProgress"));

        let found = async |document, stage, after| {
            pages(&world, &listing(document, stage, after)).await.concat()
        };
        let (ours, others, unknown) = (Some("Ours"), Some("Theirs"), Some("ours"));
        let young = [theirs.clone(), late.clone(), from.clone()];
        assert_eq!(found(None, Stage::Complete, Some(100)).await, young);
        assert_eq!(found(ours, Stage::Complete, Some(100)).await, young[1..]);
        assert_eq!(found(others, Stage::Complete, Some(100)).await, young[..1]);
        assert_eq!(found(ours, Stage::Complete, None).await, [late, from, early]);
        assert_eq!(found(others, Stage::Complete, None).await, [theirs, early_theirs]);
        assert_eq!(found(unknown, Stage::Complete, None).await, []);
        let running = [running];
        assert_eq!(found(None, Stage::Executing, Some(100)).await, running);
        assert_eq!(found(ours, Stage::Executing, None).await, running);
        assert_eq!(found(others, Stage::Executing, None).await, []);
        assert_eq!(found(None, Stage::Complete, Some(200)).await, []);
    }

    #[tokio::test]
    async fn a_list_comes_in_pages_of_50_newest_first() {
        for (count, expected) in
            [(0, vec![0]), (50, vec![50]), (51, vec![50, 1]), (120, vec![50, 50, 20])]
        {
            let world = World::new();
            // Seven were requested in the same second each.
            let mut put: Vec<_> = (0..count)
                .map(|number| {
                    let second = i64::from(number / 7);
                    (second, put_at(&world, number, second, "Ours", "Success"))
                })
                .collect();
            put.sort_unstable_by(|one, other| other.cmp(one));
            let pages = pages(&world, &complete()).await;
            assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), expected);
            let put: Vec<_> = put.into_iter().map(|(_, id)| Some(id)).collect();
            assert_eq!(pages.concat(), put);
            assert_eq!(world.calls(Op::ListPage), expected.len());
        }
    }

    #[tokio::test]
    async fn a_list_that_was_asked_for_is_told_once() {
        let world = World::new();
        for number in 0..120 {
            put_at(&world, number, i64::from(number), "Ours", "Success");
        }
        let late = listing(Some("Ours"), Stage::Complete, Some(100));
        pages(&world, &complete()).await;
        pages(&world, &late).await;
        world.fail_next(Op::ListPage, Fault::Throttled);
        assert!(world.commands(&late, None).await.is_err());
        assert_eq!(world.listings(), [complete(), late.clone(), late]);
    }

    #[tokio::test]
    async fn a_command_that_ends_changes_its_list() {
        let world = World::new();
        let id = put_at(&world, 1, 0, "Ours", "InProgress");
        let lists = async || {
            let executing = listing(None, Stage::Executing, None);
            (pages(&world, &executing).await.concat(), pages(&world, &complete()).await.concat())
        };
        assert_eq!(lists().await, (vec![Some(id.clone())], vec![]));
        put_at(&world, 1, 0, "Ours", "Cancelling");
        assert_eq!(lists().await, (vec![Some(id.clone())], vec![]));
        world.cancel(&id).await.unwrap();
        assert_eq!(lists().await, (vec![], vec![Some(id)]));
    }

    #[tokio::test]
    async fn a_cancel_ends_what_runs_and_nothing_else() {
        let world = World::new();
        let details = async |id: &CommandId| {
            let command = world.command(id).await.unwrap().unwrap().status_details;
            (command, world.invocations(id).await.unwrap()[0].status_details.clone())
        };
        let running = put_at(&world, 1, 0, "Ours", "InProgress");
        let ended = put_at(&world, 2, 0, "Ours", "Failed");
        for id in [&running, &ended, &command_id(404)] {
            world.cancel(id).await.unwrap();
        }
        let cancelled = StatusDetails::Cancelled;
        assert_eq!(details(&running).await, (cancelled.clone(), cancelled));
        assert_eq!(details(&ended).await, (StatusDetails::Failed, StatusDetails::Failed));
        assert_eq!(world.cancelled(), [running, ended, command_id(404)]);
    }

    #[tokio::test]
    async fn a_spoilt_command_is_one_error_on_its_page() {
        let world = World::new();
        let id = put_at(&world, 1, 1, "Ours", "Success");
        put_at(&world, 2, 2, "Ours", "Success");
        world.spoil(&command_id(2));
        let listed = pages(&world, &complete()).await;
        assert_eq!(listed, [[None, Some(id)]]);
        assert!(world.command(&command_id(2)).await.is_err());
    }

    #[tokio::test]
    async fn a_heartbeat_tells_whether_a_task_waits() {
        let world = World::new();
        world.open_task("open");
        world.close_task("closed");
        for (text, pulse) in
            [("open", Pulse::Alive), ("closed", Pulse::Closed), ("unknown", Pulse::Rejected)]
        {
            assert_eq!(world.heartbeat(&token(text)).await, Ok(pulse));
        }
        world.succeed(&token("open"), "1").await.unwrap();
        assert_eq!(world.heartbeat(&token("open")).await, Ok(Pulse::Closed));
    }

    #[expect(clippy::disallowed_methods, reason = "the clock is Tokio's, and stands still")]
    #[tokio::test(start_paused = true)]
    async fn a_slow_call_happens_at_its_end_or_not_at_all() {
        let world = World::new();
        world.open_task("t");
        world.slow(Op::SendTaskSuccess, Duration::from_secs(2));
        let token = token("t");
        let hasty = tokio::time::timeout(Duration::from_secs(1), world.succeed(&token, "1"));
        assert!(hasty.await.is_err());
        assert_eq!(world.answers(), []);
        let started = tokio::time::Instant::now();
        let (one, other) = tokio::join!(world.succeed(&token, "2"), world.succeed(&token, "3"));
        assert_eq!((one, other), (Ok(Delivery::Accepted), Ok(Delivery::AlreadyClosed)));
        assert_eq!(started.elapsed(), Duration::from_secs(2));
        assert_eq!(world.calls(Op::SendTaskSuccess), 3);
        assert_eq!(world.most_at_once(Op::SendTaskSuccess), 2);
    }
}
