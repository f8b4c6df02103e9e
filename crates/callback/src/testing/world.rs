//! Run Command and Step Functions in memory: a stateful fake of both ports.
//!
//! A test puts commands and waiting tasks into a [`World`], lets the code under test act on it, and
//! then inspects the world. The fake keeps the rules that the product relies on: a task takes one
//! answer, answers have limits, listed outputs are truncated, and reads can lag. A fault
//! ([`World::fail_next`]) is an event in the world and not a scripted response, so a call that
//! fails can still have taken effect.
//!
//! Every call yields to other tasks once before it does anything, so that concurrent flows
//! interleave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::output::Output;
use crate::ports::{
    AnswerReceipt, CallError, CallErrorKind, CallErrorReason, CommandListing, CommandPage, Outputs,
    PageToken, Pulse, Stage,
};
use crate::status::has_ended;
use crate::testing::listing::listed_output;
use crate::{
    Command, CommandId, InstanceId, Invocation, RunCommand, Status, StatusDetails, TaskToken, Tasks,
};

/// Maximum length of an output, in bytes (Step Functions service quotas).
const OUTPUT_BYTES_MAX: usize = 262_144;
/// Maximum length of an error name, in characters (Step Functions API, `SendTaskFailure`).
const ERROR_CHARS_MAX: usize = 256;
/// Maximum length of a cause, in characters (Step Functions API, `SendTaskFailure`).
const CAUSE_CHARS_MAX: usize = 32_768;
/// Maximum number of items on one page of a list (SSM API, `ListCommands` and
/// `ListCommandInvocations`).
const PAGE_ITEMS_MAX: usize = 50;

/// An operation of AWS behind the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Reads a command.
    ListCommands,
    /// Lists one page of commands: `ListCommands` with filters.
    ListPage,
    /// Cancels a command.
    CancelCommand,
    /// Reads one page of the invocations of a command.
    ListCommandInvocations,
    /// Reads the invocation of a command on one node: `ListCommandInvocations` with a node.
    ListNodeInvocation,
    /// Reads the full output of a step on a node.
    GetCommandInvocation,
    /// Answers a task with an output.
    SendTaskSuccess,
    /// Answers a task with an error.
    SendTaskFailure,
    /// Sends a heartbeat to a task.
    SendTaskHeartbeat,
}

impl Op {
    /// All operations.
    pub const ALL: [Self; 9] = [
        Self::ListCommands,
        Self::ListPage,
        Self::CancelCommand,
        Self::ListCommandInvocations,
        Self::ListNodeInvocation,
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
            Self::ListCommandInvocations | Self::ListNodeInvocation => "ListCommandInvocations",
            Self::GetCommandInvocation => "GetCommandInvocation",
            Self::SendTaskSuccess => "SendTaskSuccess",
            Self::SendTaskFailure => "SendTaskFailure",
            Self::SendTaskHeartbeat => "SendTaskHeartbeat",
        }
    }

    /// The error of a call that failed for this reason.
    pub fn error(self, reason: CallErrorReason, kind: CallErrorKind) -> CallError {
        CallError { operation: self.name(), reason, request_id: None, kind }
    }

    /// The error of a call that the API answered with this code.
    pub fn api_error(self, code: &str, kind: CallErrorKind) -> CallError {
        self.error(CallErrorReason::Api(code.to_owned()), kind)
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Throttled, without effect.
    Throttled,
    /// Access denied, without effect.
    Denied,
    /// The request was lost, so there is no effect.
    TimedOut,
    /// The call took effect, but the response was lost.
    TimedOutAfterTakingEffect,
    /// The response lacks required content.
    Incomprehensible,
}

impl Fault {
    fn takes_effect(self) -> bool {
        self == Self::TimedOutAfterTakingEffect
    }

    fn error(self, op: Op) -> CallError {
        match self {
            Self::Throttled => op.api_error("ThrottlingException", CallErrorKind::Transient),
            Self::Denied => op.api_error("AccessDeniedException", CallErrorKind::Permanent),
            Self::TimedOut | Self::TimedOutAfterTakingEffect => {
                op.error(CallErrorReason::TimedOut, CallErrorKind::Transient)
            }
            Self::Incomprehensible => op.error(
                CallErrorReason::InvalidResponse("without an ID".to_owned()),
                CallErrorKind::Permanent,
            ),
        }
    }
}

/// An answer to a task.
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

impl Answer {
    /// The output or the cause.
    pub fn body(&self) -> &str {
        match self {
            Self::Success { output } => output,
            Self::Failure { cause, .. } => cause,
        }
    }

    /// Whether this is a success.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success { .. })
    }
}

/// Run Command and Step Functions at one moment.
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
    takes_causes: bool,
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
            takes_causes: true,
            faults: BTreeMap::new(),
            durations: BTreeMap::new(),
            calls: BTreeMap::new(),
            underway: BTreeMap::new(),
            most_at_once: BTreeMap::new(),
        }
    }
}

/// A command as it is now and, for reads that lag, as it was before.
struct Stored {
    now: Reading,
    before: Option<Reading>,
    /// How many further reads by each operation show `before`.
    lagging: BTreeMap<Op, usize>,
    /// Whether reading it fails.
    is_spoilt: bool,
}

/// A command and its invocations with full outputs.
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
    /// A world without commands, tasks, or faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts or changes a command. Outputs are as `GetCommandInvocation` returns them; the listing
    /// truncates them itself.
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

    /// Makes every read of the command fail, as if its description lacked a status.
    ///
    /// # Panics
    ///
    /// If there is no such command.
    pub fn spoil(&self, id: &CommandId) {
        let mut state = self.state();
        let stored = state.commands.get_mut(id).expect("the command was put into this world");
        stored.is_spoilt = true;
    }

    /// Lets the next `reads` of the command, and as many of its invocations, show the state before
    /// the last [`put_command`](Self::put_command). `usize::MAX` means all reads.
    ///
    /// # Panics
    ///
    /// If there is no such command.
    pub fn lag_reads(&self, id: &CommandId, reads: usize) {
        self.lag_reads_of(Op::ListCommands, id, reads);
        self.lag_reads_of(Op::ListCommandInvocations, id, reads);
    }

    /// Like [`lag_reads`](Self::lag_reads), for reads by one operation only.
    ///
    /// # Panics
    ///
    /// If there is no such command.
    pub fn lag_reads_of(&self, op: Op, id: &CommandId, reads: usize) {
        let mut state = self.state();
        let stored = state.commands.get_mut(id).expect("the command was put into this world");
        stored.lagging.insert(op, reads);
    }

    /// Opens a task that waits for an answer to this token.
    pub fn open_task(&self, token: &str) {
        self.state().tasks.insert(token.to_owned(), Task::Waiting);
    }

    /// Closes a task without an answer: it timed out, or its execution was stopped.
    pub fn close_task(&self, token: &str) {
        self.state().tasks.insert(token.to_owned(), Task::Closed);
    }

    /// Lets Step Functions accept only outputs of at most `bytes`, fewer than documented.
    pub fn take_outputs_up_to(&self, bytes: usize) {
        self.state().output_bytes_max = bytes;
    }

    /// Lets Step Functions refuse every error with its cause.
    pub fn take_no_causes(&self) {
        self.state().takes_causes = false;
    }

    /// Lets the next call of this operation fail. Calling this twice fails the next two calls.
    pub fn fail_next(&self, op: Op, fault: Fault) {
        self.state().faults.entry(op).or_default().push_back(fault);
    }

    /// Lets every call of this operation take this long.
    pub fn slow(&self, op: Op, duration: Duration) {
        self.state().durations.insert(op, duration);
    }

    /// All answers that tasks took, with the token of each, in order.
    pub fn answers(&self) -> Vec<(String, Answer)> {
        self.state().answers.clone()
    }

    /// All commands whose cancellation was requested, in order.
    pub fn cancelled(&self) -> Vec<CommandId> {
        self.state().cancelled.clone()
    }

    /// All lists of commands whose first page was requested, in order, including failed ones.
    pub fn listings(&self) -> Vec<CommandListing> {
        self.state().listings.clone()
    }

    /// The number of calls of this operation, including failed ones.
    pub fn calls(&self, op: Op) -> usize {
        self.state().calls.get(&op).copied().unwrap_or(0)
    }

    /// The largest number of concurrent calls of this operation.
    pub fn most_at_once(&self, op: Op) -> usize {
        self.state().most_at_once.get(&op).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call: it yields, is counted, takes its time, and then takes effect or fails. If it is
    /// dropped before its time is over, it has no effect.
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

/// A call in progress. It is counted, and ends when this is dropped.
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
    /// The state of a command that a read by this operation shows, if any.
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

    /// The command as a read by this operation describes it, if it knows the command.
    fn describe(&mut self, op: Op, id: &CommandId) -> Result<Option<Command>, CallError> {
        if self.commands.get(id).is_some_and(|stored| stored.is_spoilt) {
            return Err(op.error(
                CallErrorReason::InvalidResponse("command without a status".to_owned()),
                CallErrorKind::Permanent,
            ));
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

    /// One page of a list of commands, newest first, and where the next page starts.
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
        let page: Vec<_> = ids.by_ref().take(PAGE_ITEMS_MAX).collect();
        let last = page.last().filter(|_| ids.peek().is_some());
        let next = last.map(|(time, id)| PageToken(format!("{time} {id}")));
        (page.into_iter().map(|(_, id)| id).collect(), next)
    }

    /// Cancels a command that is still running.
    fn cancel(&mut self, id: &CommandId) {
        self.cancelled.push(id.clone());
        let Some(mut stored) = self.commands.remove(id) else { return };
        self.unlist(&stored.now.command);
        stored.now.cancel();
        self.enlist(&stored.now.command);
        self.commands.insert(id.clone(), stored);
    }

    /// Answers the task that waits for this token, if there is one.
    fn answer(&mut self, token: &TaskToken, answer: Answer) -> AnswerReceipt {
        match self.tasks.get_mut(token.expose()) {
            None => AnswerReceipt::TokenRejected,
            Some(Task::Closed) => AnswerReceipt::AlreadyClosed,
            Some(task @ Task::Waiting) => {
                *task = Task::Closed;
                self.answers.push((token.expose().to_owned(), answer));
                AnswerReceipt::Accepted
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

    /// Makes one call per page; the first one reads them all.
    async fn invocations(
        &self,
        id: &CommandId,
        outputs: Outputs,
    ) -> Result<Vec<Invocation>, CallError> {
        let op = Op::ListCommandInvocations;
        let invocations: Vec<_> = self
            .call(op, |state| {
                let reading = state.read(op, id);
                let invocations = reading.iter().flat_map(|reading| &reading.invocations);
                Ok(invocations.map(|invocation| listed(invocation, outputs)).collect())
            })
            .await?;
        for _ in 1..invocations.len().div_ceil(PAGE_ITEMS_MAX) {
            self.call(op, |_| Ok(())).await?;
        }
        Ok(invocations)
    }

    async fn invocation(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
    ) -> Result<Option<Invocation>, CallError> {
        let op = Op::ListNodeInvocation;
        self.call(op, |state| {
            let reading = state.read(op, id);
            let mut invocations = reading.iter().flat_map(|reading| &reading.invocations);
            let found = invocations.find(|invocation| invocation.instance_id == *instance_id);
            Ok(found.map(|invocation| listed(invocation, Outputs::Listed)))
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
                .ok_or_else(|| op.api_error("InvocationDoesNotExist", CallErrorKind::Permanent))
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
    async fn succeed(&self, token: &TaskToken, output: &str) -> Result<AnswerReceipt, CallError> {
        self.call(Op::SendTaskSuccess, |state| {
            let is_json = serde_json::from_str::<serde_json::Value>(output).is_ok();
            if !is_json || output.len() > state.output_bytes_max {
                return Ok(AnswerReceipt::OutputRejected);
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
    ) -> Result<AnswerReceipt, CallError> {
        let op = Op::SendTaskFailure;
        self.call(op, |state| {
            let is_short = error.chars().count() <= ERROR_CHARS_MAX
                && cause.chars().count() <= CAUSE_CHARS_MAX;
            if !is_short {
                return Err(op.api_error("ValidationException", CallErrorKind::Permanent));
            }
            if !state.takes_causes {
                return Ok(AnswerReceipt::OutputRejected);
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

/// The list that contains a command.
fn list_key(command: &Command) -> bool {
    has_ended(&command.status, &command.status_details)
}

/// The last command before the page.
fn place(PageToken(token): &PageToken) -> (Timestamp, CommandId) {
    let (time, id) = token.split_once(' ').expect("a page token of this world");
    let id = CommandId::parse(id).expect("a page token of this world");
    (time.parse().expect("a page token of this world"), id)
}

/// An invocation as listed, with truncated outputs.
fn listed(invocation: &Invocation, outputs: Outputs) -> Invocation {
    let mut listed = invocation.clone();
    for plugin in &mut listed.plugins {
        let Output { stdout, stderr, .. } = &plugin.output;
        plugin.output = outputs.keep(listed_output(stdout, stderr, &plugin.status_details));
    }
    listed.trace = outputs.keep_trace(listed.trace);
    listed
}
