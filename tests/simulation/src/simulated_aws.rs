//! Run Command and Step Functions in a history, and the product's view of them: a [`Port`] per
//! invocation of a function.
//!
//! This does not stand on `callback::testing::world::World`, the fake for tests of single flows.
//! There, a test changes the state, and a read that lags shows the state before the last change.
//! Here, each command is a function of simulated time, and a read that lags shows any earlier
//! moment; faults are drawn per call; and each call is checked before it takes effect, by rules
//! that share nothing with the product ([`crate::rules`]). What both have in common is shared: the
//! operations, the answers, and how the agent truncates a listed output.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callback::command::OnAbandon;
use callback::output::Output;
use callback::ports::{
    AnswerReceipt, CallError, CallErrorKind, CallErrorReason, CommandListing, CommandPage, Outputs,
    PageToken, Pulse, Stage,
};
use callback::testing::world::{Answer, Op};
use callback::{Command, CommandId, InstanceId, Invocation, RunCommand, TaskToken, Tasks};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::fault::Fault;
use crate::figures::Figures;
use crate::flow::{Flow, FlowId, FlowKind};
use crate::history::{MINUTE, Ms, SECOND, Settings};
use crate::rules::{Violation, answer_name, has_text, is_last_resort, names_nodes};
use crate::sent_command::{SentCommand, TokenKind};

/// How long reads of a command by one operation lag in the same way.
const LAG_LASTS: Ms = 20 * SECOND;
/// The longest that a read lags after the faults have ended that end.
pub(crate) const LAG_MAX: Ms = 10 * SECOND;
/// How long a list that fails, or has no end, does so.
const LIST_FAILS_FOR: Ms = 7 * MINUTE;
/// The most commands on one page of a list.
pub(crate) const PAGE_COMMANDS_MAX: usize = 50;
/// The most nodes on one page of a list.
const PAGE_NODES_MAX: u64 = 50;
/// How long a page of nodes takes, in public reports.
const PAGE_OF_NODES_TAKES: Ms = 500;

fn is_of_tasks(op: Op) -> bool {
    matches!(op, Op::SendTaskSuccess | Op::SendTaskFailure | Op::SendTaskHeartbeat)
}

/// Where a command stands in a list: by descending time, then by id.
type ListKey = (Reverse<Ms>, CommandId);

/// Where a page of a list begins.
#[derive(Debug)]
struct PageStart {
    /// When it was told.
    told: Ms,
    /// How many pages were before it.
    page: u64,
    /// The last command before it.
    last: Option<ListKey>,
}

impl PageStart {
    fn of(PageToken(token): &PageToken) -> Self {
        let mut parts = token.split(' ');
        let mut number = || parts.next()?.parse().ok();
        let told = number().expect("a page token of this simulation");
        let page = number().expect("a page token of this simulation");
        let requested = number();
        let id = parts.next().and_then(|id| CommandId::parse(id).ok());
        Self { told, page, last: requested.map(Reverse).zip(id) }
    }

    fn token(&self) -> PageToken {
        let Self { told, page, last } = self;
        PageToken(match last {
            None => format!("{told} {page}"),
            Some((Reverse(requested), id)) => format!("{told} {page} {requested} {id}"),
        })
    }
}

/// What can be odd about a page. Another one follows.
#[derive(Debug, Clone, Copy)]
enum OddPage {
    Empty,
    Short,
    /// The next page tells its last commands again.
    Overlapping,
}

/// A task that waits, or waited, for a command.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) closed: Option<(Ms, Closed)>,
    pub(crate) last_beat: Ms,
    /// Closes the task when so long no heartbeat comes.
    pub(crate) heartbeat: Option<Ms>,
    /// Tells the execution that an answer was taken.
    pub(crate) answered: Arc<Notify>,
}

/// Why a task is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    Answered(Answer),
    MissedHeartbeat,
    TimedOut,
    Stopped,
}

/// A command with its task and what the simulation needs to know of both.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) command: SentCommand,
    pub(crate) task: Option<Task>,
    /// The first sweep that was told that it has ended.
    pub(crate) seen_ended: Option<FlowId>,
    /// When Step Functions refused for good to answer its task, to the process of now.
    pub(crate) refusals: Vec<Ms>,
    /// How often the process of now was told that its task is closed, after the command had ended.
    pub(crate) told_closed: u64,
    /// When the sweep was told that its execution was stopped.
    pub(crate) stop_told: Option<Ms>,
    /// Tells its announcer that its end has moved.
    pub(crate) end_moved: Arc<Notify>,
}

/// Something of the sweeps that was lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loss {
    pub(crate) at: Ms,
    pub(crate) what: Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// A sweep did not take place, or did not get to its end.
    Sweep,
    /// The process of the sweeps was replaced.
    Memory,
}

pub(crate) struct SimulatedAws {
    state: Mutex<State>,
    started: Instant,
    /// Tells the driver that a rule was broken.
    pub(crate) broken: Notify,
    /// Tells the sweeper that an execution has ended.
    pub(crate) execution_ended: Notify,
}

pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) entries: Vec<Entry>,
    by_id: BTreeMap<CommandId, usize>,
    by_token: BTreeMap<String, usize>,
    calls: BTreeMap<(Op, u64), u64>,
    pub(crate) flows: BTreeMap<FlowId, Flow>,
    flows_begun: FlowId,
    /// What was lost of the sweeps.
    pub(crate) losses: Vec<Loss>,
    /// When the last sweep of the process of now came to its end.
    pub(crate) swept_at: Option<Ms>,
    /// Whether a page failed, and since then no sweep has read all of its pages.
    has_half_read_list: bool,
    pub(crate) violation: Option<Violation>,
    /// What happened, when somebody wants to read it.
    pub(crate) log: Option<Vec<String>>,
    pub(crate) figures: Figures,
}

impl SimulatedAws {
    pub(crate) fn new(settings: Settings, keeps_log: bool) -> Self {
        let state = State {
            settings,
            entries: Vec::new(),
            by_id: BTreeMap::new(),
            by_token: BTreeMap::new(),
            calls: BTreeMap::new(),
            flows: BTreeMap::new(),
            flows_begun: 0,
            losses: Vec::new(),
            swept_at: None,
            has_half_read_list: false,
            violation: None,
            log: keeps_log.then(Vec::new),
            figures: Figures::default(),
        };
        Self {
            state: Mutex::new(state),
            started: Instant::now(),
            broken: Notify::new(),
            execution_ended: Notify::new(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Ms {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(Ms::MAX)
    }

    pub(crate) async fn sleep_until(&self, at: Ms) {
        tokio::time::sleep_until(self.started + Duration::from_millis(at)).await;
    }

    /// Notes a rule that was broken, and stops the history.
    pub(crate) fn accuse(&self, state: &mut State, checked: Result<(), Violation>) {
        if let Err(violation) = checked {
            state.note(self.now(), || format!("BROKEN {violation}"));
            state.violation.get_or_insert(violation);
            self.broken.notify_one();
        }
    }
}

impl State {
    pub(crate) fn note(&mut self, now: Ms, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let (s, ms) = (now / SECOND, now % SECOND);
            log.push(format!("{s:>6}.{ms:03} {}", what()));
        }
    }

    /// Whether a fault strikes here; counts it if it does.
    pub(crate) fn strikes(&mut self, fault: Fault, place: Chance, now: Ms) -> bool {
        let strikes = self.would_strike(fault, place, now);
        if strikes {
            self.figures.count(fault);
        }
        strikes
    }

    /// Whether a fault strikes here.
    fn would_strike(&self, fault: Fault, place: Chance, now: Ms) -> bool {
        let rate = self.settings.rates[fault.index()];
        let is_over = now >= self.settings.faults_end;
        let rate = if is_over { rate.min(fault.lasting_rate_max()) } else { rate };
        rate > 0 && place.of(fault.name()).hits(rate)
    }

    /// Notes what was lost of the sweeps.
    pub(crate) fn lose(&mut self, what: Lost, at: Ms) {
        self.losses.push(Loss { at, what });
    }

    /// Whether the faults that end have ended, and what they left behind, too, and no list goes on
    /// after a page that failed.
    pub(crate) fn is_calm(&self, now: Ms) -> bool {
        !self.settings.is_tight
            && now >= self.settings.faults_end + 3 * self.settings.interval
            && !self.has_half_read_list
    }

    /// Whether lists tell a command in a way that cannot be understood, now and ever.
    pub(crate) fn is_unreadable(&self, index: usize) -> bool {
        self.has(Fault::CommandUnreadable, index)
    }

    /// Whether Step Functions refuses every answer to a command's task.
    pub(crate) fn are_answers_refused(&self, index: usize) -> bool {
        self.has(Fault::AnswersRefused, index)
    }

    /// Whether the list of a command's nodes cannot be understood, now and ever.
    pub(crate) fn are_nodes_unreadable(&self, index: usize) -> bool {
        self.has(Fault::NodesUnreadable, index)
    }

    /// Whether a command has this fault, now and ever.
    fn has(&self, fault: Fault, index: usize) -> bool {
        let place = self.settings.chance.of("command has").nth(index as u64);
        self.would_strike(fault, place, 0)
    }

    /// Whether the sweeps can look after a command.
    pub(crate) fn is_in_scope(&self, index: usize) -> bool {
        self.entries[index].command.is_swept() && !self.is_unreadable(index)
    }

    /// Adds a command, and its task if it has one.
    pub(crate) fn add(&mut self, command: SentCommand, heartbeat: Option<Ms>) -> usize {
        let index = self.entries.len();
        self.by_id.insert(command.id.clone(), index);
        self.by_token.insert(command.token.clone(), index);
        let task = (command.token_kind == TokenKind::OfTask).then(|| Task {
            closed: None,
            last_beat: command.requested,
            heartbeat,
            answered: Arc::new(Notify::new()),
        });
        self.figures.commands += 1;
        self.figures.nodes += command.nodes.len() as u64;
        let end_moved = Arc::new(Notify::new());
        self.entries.push(Entry {
            command,
            task,
            seen_ended: None,
            refusals: Vec::new(),
            told_closed: 0,
            stop_told: None,
            end_moved,
        });
        index
    }

    pub(crate) fn with_token(&self, token: &str) -> Option<usize> {
        self.by_token.get(token).copied()
    }

    pub(crate) fn with_id(&self, id: &CommandId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn open_flow(&mut self, kind: FlowKind, place: Chance, now: Ms) -> FlowId {
        let most = if kind == FlowKind::Relay { 8 } else { 60 };
        let dies_at = self.strikes(Fault::FunctionDies, place, now).then(|| {
            let place = place.of("death");
            (place.between(0, most), place.of("after").hits(500))
        });
        self.flows_begun += 1;
        self.flows.insert(self.flows_begun, Flow::new(kind, dies_at));
        self.flows_begun
    }

    /// How the command reads to this call: now, or some time ago.
    fn as_of(&mut self, op: Op, index: usize, now: Ms) -> Ms {
        // A copy that lags does so for a while, so reading again at once may not help.
        let period = now / LAG_LASTS;
        // Lists and reads by id may lag each on its own.
        let place = self.settings.chance.of("lag").of(&format!("{op:?}"));
        let place = place.nth(index as u64).nth(period);
        if !self.strikes(Fault::ReadLags, place, now) {
            return now;
        }
        let lag = place.of("lag").weigh(&[
            (70, place.of("short").between(1, 2 * SECOND)),
            (20, place.of("long").between(2 * SECOND, LAG_MAX)),
            (10, place.of("very long").between(LAG_MAX, 90 * SECOND)),
        ]);
        let is_over = now >= self.settings.faults_end;
        now.saturating_sub(if is_over { lag.min(LAG_MAX) } else { lag })
    }

    pub(crate) fn time(&self) -> impl Fn(Ms) -> Timestamp + Copy + use<> {
        let begins_s = self.settings.begins_s;
        move |at| {
            let ms = i64::try_from(begins_s * SECOND + at).unwrap_or(i64::MAX);
            Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
        }
    }

    fn flow(&mut self, flow: FlowId) -> &mut Flow {
        self.flows.get_mut(&flow).expect("a call is made by a flow that was opened")
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    takes: Ms,
    /// The function dies: before (`false`) or after (`true`) the call took effect.
    dies: Option<bool>,
    fault: Option<Fault>,
}

/// AWS as one invocation of a function sees it.
pub(crate) struct Port {
    pub(crate) aws: Arc<SimulatedAws>,
    pub(crate) flow: FlowId,
}

impl Port {
    async fn call<T>(
        &self,
        op: Op,
        subject: u64,
        act: impl FnOnce(&mut State, Ms) -> Result<T, CallError> + Send,
    ) -> Result<T, CallError> {
        self.long_call(op, subject, 0, act).await
    }

    /// A call that takes so long at least.
    async fn long_call<T>(
        &self,
        op: Op,
        subject: u64,
        takes: Ms,
        act: impl FnOnce(&mut State, Ms) -> Result<T, CallError> + Send,
    ) -> Result<T, CallError> {
        let fate = self.fate(op, subject);
        match fate.takes + takes {
            0 => tokio::task::yield_now().await,
            ms => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        if fate.dies == Some(false) {
            self.die(op).await;
        }
        match fate.fault {
            Some(Fault::CallThrottled) => {
                return Err(op.api_error("ThrottlingException", CallErrorKind::Transient));
            }
            Some(Fault::CallDenied) => {
                return Err(op.api_error("AccessDeniedException", CallErrorKind::Permanent));
            }
            Some(Fault::CallLost) => {
                return Err(op.error(CallErrorReason::TimedOut, CallErrorKind::Transient));
            }
            _ => {}
        }
        let result = act(&mut self.aws.state(), self.aws.now());
        if fate.dies == Some(true) {
            self.die(op).await;
        }
        match fate.fault {
            Some(Fault::AnswerLost) => {
                Err(op.error(CallErrorReason::TimedOut, CallErrorKind::Transient))
            }
            _ => result,
        }
    }

    fn fate(&self, op: Op, subject: u64) -> Fate {
        let now = self.aws.now();
        let mut state = self.aws.state();
        state.figures.calls += 1;
        let nth = state.calls.entry((op, subject)).or_default();
        *nth += 1;
        let nth = *nth;
        let place = state.settings.chance.of("call").of(op.name()).nth(subject).nth(nth);
        let flow = state.flow(self.flow);
        flow.calls += 1;
        let dies = flow.dies_at.filter(|(at, _)| flow.calls > *at).map(|(_, after)| after);
        let failing = [Fault::CallThrottled, Fault::CallDenied, Fault::CallLost, Fault::AnswerLost];
        // Whose tasks may not be answered is refused for good, and not now and then.
        let may_strike = |fault: &Fault| !(is_of_tasks(op) && *fault == Fault::CallDenied);
        let mut failing = failing.into_iter().filter(may_strike);
        let fault = failing.find(|fault| state.strikes(*fault, place, now));
        let takes = if state.strikes(Fault::CallSlow, place, now) {
            place.of("slow").between(SECOND, 20 * SECOND)
        } else {
            place.of("takes").between(0, 60).saturating_sub(40)
        };
        if let Some(fault) = fault {
            state.note(now, || format!("{} of {subject:x}: {fault}", op.name()));
        }
        Fate { takes, dies, fault }
    }

    /// The function's process ends here: this never returns.
    async fn die(&self, op: Op) {
        let died = {
            let now = self.aws.now();
            let mut state = self.aws.state();
            let flow = self.flow;
            state.note(now, || format!("function {flow} dies at {}", op.name()));
            state.flow(flow).died.clone()
        };
        died.notify_one();
        std::future::pending::<()>().await;
    }

    /// One answer to a task: checked, and taken if the task waits.
    async fn answer(
        &self,
        op: Op,
        token: &TaskToken,
        answer: Answer,
    ) -> Result<AnswerReceipt, CallError> {
        let subject = self.aws.state().with_token(token.expose());
        let is_last = is_last_resort(&answer);
        let called = self.call(op, subject.map_or(u64::MAX, |index| index as u64), |state, now| {
            state.refuses(op, subject)?;
            let checked =
                crate::rules::check_answer(state, self.flow, token.expose(), &answer, now);
            self.aws.accuse(state, checked);
            // A success is tried again without script output.
            let is_shortest = !(answer.is_success() && has_text(&answer));
            let receipt = state.take_answer(token.expose(), answer, now);
            let flow = state.flow(self.flow);
            flow.accepted += u64::from(receipt == AnswerReceipt::Accepted);
            if let (Some(index), AnswerReceipt::OutputRejected) = (subject, receipt) {
                flow.of(index).report_refused |= is_shortest;
            }
            Ok(receipt)
        });
        let result = called.await;
        if let (Some(index), Ok(AnswerReceipt::OutputRejected), true) = (subject, &result, is_last)
        {
            let now = self.aws.now();
            self.aws.state().flow(self.flow).of(index).refused_at = Some(now);
        }
        result
    }
}

impl State {
    fn take_answer(&mut self, token: &str, answer: Answer, now: Ms) -> AnswerReceipt {
        let closed_is_invalid = self.settings.closed_is_invalid;
        let Some(index) = self.with_token(token) else {
            return AnswerReceipt::TokenRejected;
        };
        let place = self.settings.chance.of("answer").nth(index as u64);
        let refuses_text = self.settings.rates[Fault::OutputRefused.index()] > 0
            && place.of(Fault::OutputRefused.name()).hits(300)
            && answer.is_success()
            && has_text(&answer);
        if refuses_text {
            self.figures.count(Fault::OutputRefused);
            return AnswerReceipt::OutputRejected;
        }
        if self.are_answers_refused(index) {
            self.figures.count(Fault::AnswersRefused);
            return AnswerReceipt::OutputRejected;
        }
        if self.has(Fault::ReportRefused, index) && names_nodes(&answer) {
            self.figures.count(Fault::ReportRefused);
            return AnswerReceipt::OutputRejected;
        }
        let entry = &mut self.entries[index];
        let Some(task) = &mut entry.task else {
            return AnswerReceipt::TokenRejected;
        };
        if task.closed.is_some() {
            return if closed_is_invalid {
                AnswerReceipt::TokenRejected
            } else {
                AnswerReceipt::AlreadyClosed
            };
        }
        task.answered.notify_one();
        let place = entry.command.place;
        let what = answer_name(&answer);
        task.closed = Some((now, Closed::Answered(answer)));
        self.figures.answers += 1;
        self.note(now, || format!("task {place:?} takes {what}"));
        AnswerReceipt::Accepted
    }

    fn beat(&mut self, index: Option<usize>, now: Ms) -> Pulse {
        let Settings { closed_is_invalid, beats_need_limit, .. } = self.settings;
        let task = index.and_then(|index| self.entries[index].task.as_mut());
        match task {
            None => Pulse::Rejected,
            Some(task) if task.closed.is_some() && closed_is_invalid => Pulse::Rejected,
            Some(task) if task.closed.is_some() => Pulse::Closed,
            Some(task) if beats_need_limit && task.heartbeat.is_none() => Pulse::Rejected,
            Some(task) => {
                task.last_beat = now;
                Pulse::Alive
            }
        }
    }

    /// Where the faults of a list are drawn, which last for minutes.
    fn list_place(&self, stage: Stage, now: Ms) -> Chance {
        self.settings.chance.of("list").of(&format!("{stage:?}")).nth(now / LIST_FAILS_FOR)
    }

    /// One page of a list, newest first.
    fn page(
        &mut self,
        flow: FlowId,
        listing: &CommandListing,
        page: Option<&PageToken>,
        now: Ms,
    ) -> CommandPage {
        let time = self.time();
        let after = page.map(PageStart::of);
        let number = after.as_ref().map_or(0, |after| after.page);
        let last = after.and_then(|after| after.last);
        let mut found: Vec<(ListKey, usize, Ms)> = Vec::new();
        for index in 0..self.entries.len() {
            let command = &self.entries[index].command;
            // The filters know whole seconds.
            let second = time(command.requested).as_second();
            let wanted = listing.document_name.as_ref();
            let is_in = wanted.is_none_or(|name| command.document_name == *name)
                && listing.invoked_after.is_none_or(|after| second >= after.as_second());
            if !is_in {
                continue;
            }
            let key = (Reverse(command.requested), command.id.clone());
            if last.as_ref().is_some_and(|last| key <= *last) {
                continue;
            }
            let at = self.as_of(Op::ListPage, index, now);
            let command = &self.entries[index].command;
            let stage = if command.has_ended(at) { Stage::Complete } else { Stage::Executing };
            if at >= command.requested && stage == listing.stage {
                found.push((key, index, at));
            }
        }
        found.sort_unstable();
        let mut is_last = found.len() <= PAGE_COMMANDS_MAX;
        found.truncate(PAGE_COMMANDS_MAX);
        let mut next_last = found.last().map(|(key, ..)| key.clone()).or(last.clone());

        let stage = format!("{:?}", listing.stage);
        let place = self.settings.chance.of("page").of(&stage).nth(number).nth(now);
        if self.strikes(Fault::PageOdd, place, now) {
            is_last = false;
            match place.of("how").pick(&[OddPage::Empty, OddPage::Short, OddPage::Overlapping]) {
                OddPage::Empty => {
                    found.clear();
                    next_last = last;
                }
                OddPage::Short => {
                    let length = place.of("length").between(0, found.len() as u64);
                    found.truncate(usize::try_from(length).unwrap_or_default());
                    next_last = found.last().map(|(key, ..)| key.clone()).or(last);
                }
                OddPage::Overlapping => {
                    let shared = usize::try_from(place.of("shared").between(1, 3)).unwrap_or(1);
                    let before = found.iter().rev().nth(shared);
                    next_last = before.map(|(key, ..)| key.clone()).or(last);
                }
            }
            self.flow(flow).odd_pages += 1;
        }
        let place = self.list_place(listing.stage, now);
        if is_last && self.strikes(Fault::ListEndless, place, now) {
            is_last = false;
            self.flow(flow).odd_pages += 1;
        }
        let next = PageStart { told: now, page: number + 1, last: next_last };
        let commands = found
            .into_iter()
            .map(|(_, index, at)| self.listed(flow, listing.stage, index, at))
            .collect();
        CommandPage { commands, next: (!is_last).then(|| next.token()) }
    }

    fn listed(
        &mut self,
        flow: FlowId,
        stage: Stage,
        index: usize,
        at: Ms,
    ) -> Result<Command, CallError> {
        let is_swept = self.entries[index].command.is_swept();
        self.flow(flow).rows += 1;
        self.flow(flow).swept_rows += u64::from(is_swept);
        if self.is_unreadable(index) {
            self.figures.count(Fault::CommandUnreadable);
            return Err(Op::ListPage.error(
                CallErrorReason::InvalidResponse("unreadable".to_owned()),
                CallErrorKind::Permanent,
            ));
        }
        let command = &self.entries[index].command;
        let is_cancelling = command.is_cancelling(at);
        let read = command.read(at, self.time()).expect("a listed command was requested");
        if stage == Stage::Executing {
            *self.flow(flow).executing.entry(index).or_default() |= !is_cancelling;
        } else {
            self.flow(flow).completed.insert(index);
            self.sees_ended(flow, index);
        }
        Ok(read)
    }
}

impl RunCommand for Port {
    async fn command(&self, id: &CommandId) -> Result<Option<Command>, CallError> {
        let index = self.aws.state().with_id(id);
        self.call(Op::ListCommands, index.map_or(u64::MAX, |index| index as u64), |state, now| {
            let Some(index) = index else { return Ok(None) };
            let at = state.as_of(Op::ListCommands, index, now);
            let reads = state.flow(self.flow).of(index);
            reads.command_reads += 1;
            reads.command_as_of = at;
            if state.entries[index].command.has_ended(at) {
                state.sees_ended(self.flow, index);
            }
            Ok(state.entries[index].command.read(at, state.time()))
        })
        .await
    }

    async fn invocations(
        &self,
        id: &CommandId,
        outputs: Outputs,
    ) -> Result<Vec<Invocation>, CallError> {
        let op = Op::ListCommandInvocations;
        let (index, takes) = {
            let state = self.aws.state();
            let index = state.with_id(id);
            let nodes = index.map_or(0, |index| state.entries[index].command.target_count());
            let nodes = nodes.min(2 * outputs.nodes_max());
            (index, u64::from(nodes) / PAGE_NODES_MAX * PAGE_OF_NODES_TAKES)
        };
        let subject = index.map_or(u64::MAX, |index| index as u64);
        self.long_call(op, subject, takes, |state, now| {
            let Some(index) = index else { return Ok(Vec::new()) };
            let at = state.as_of(op, index, now);
            let reads = state.flow(self.flow).of(index);
            reads.invocation_reads += 1;
            reads.invocations_as_of = at;
            let too_many = state.entries[index].command.target_count() > 2 * outputs.nodes_max();
            if too_many || state.are_nodes_unreadable(index) {
                if !too_many {
                    state.figures.count(Fault::NodesUnreadable);
                }
                let reason = CallErrorReason::InvalidResponse("unreadable".to_owned());
                return Err(op.error(reason, CallErrorKind::Permanent));
            }
            let mut invocations = state.entries[index].command.invocations(at, state.time());
            for step in invocations.iter_mut().flat_map(|node| &mut node.plugins) {
                step.output = outputs.keep(std::mem::take(&mut step.output));
            }
            Ok(invocations)
        })
        .await
    }

    async fn invocation(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
    ) -> Result<Option<Invocation>, CallError> {
        let op = Op::ListNodeInvocation;
        let index = self.aws.state().with_id(id);
        self.call(op, index.map_or(u64::MAX, |index| index as u64), |state, now| {
            let Some(index) = index else { return Ok(None) };
            let at = state.as_of(op, index, now);
            let command = &state.entries[index].command;
            let is_stale =
                command.nodes.iter().any(|node| node.id == *instance_id && at < node.ends);
            let reads = state.flow(self.flow).of(index);
            reads.node_reads += 1;
            reads.has_stale_output |= is_stale;
            let invocations = state.entries[index].command.invocations(at, state.time());
            Ok(invocations.into_iter().find(|node| node.instance_id == *instance_id))
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
        let unknown = || op.api_error("InvocationDoesNotExist", CallErrorKind::Permanent);
        let index = self.aws.state().with_id(id).ok_or_else(unknown)?;
        self.call(op, index as u64, |state, now| {
            let at = state.as_of(op, index, now);
            let node =
                state.entries[index].command.listed_nodes(at).find(|node| node.id == *instance_id);
            let is_stale = node.is_none_or(|node| at < node.ends);
            let output = node.and_then(|node| node.output(at, plugin_name)).ok_or_else(unknown);
            let reads = state.flow(self.flow).of(index);
            reads.output_reads += 1;
            reads.has_stale_output |= is_stale;
            output
        })
        .await
    }

    async fn commands(
        &self,
        listing: &CommandListing,
        page: Option<&PageToken>,
    ) -> Result<CommandPage, CallError> {
        let op = Op::ListPage;
        let subject = Chance::new(0).of(&format!("{listing:?}")).number();
        self.call(op, subject, |state, now| {
            let checked = crate::rules::check_list(state, self.flow, listing, page, now);
            self.aws.accuse(state, checked);
            let place = state.list_place(listing.stage, now);
            if state.strikes(Fault::ListFails, place, now) {
                // Too slow, or forbidden by a policy that somebody mends.
                return Err(if place.of("is slow").hits(500) {
                    op.error(CallErrorReason::TimedOut, CallErrorKind::Transient)
                } else {
                    op.api_error("AccessDeniedException", CallErrorKind::Permanent)
                });
            }
            let place = state.settings.chance.of("page fails").nth(now).nth(subject);
            if state.strikes(Fault::PageFails, place, now) {
                state.has_half_read_list = true;
                if !std::mem::replace(&mut state.flow(self.flow).misses_page, true) {
                    state.lose(Lost::Sweep, now);
                }
                return Err(op.api_error("ThrottlingException", CallErrorKind::Transient));
            }
            if let Some(page) = page {
                let place = state.settings.chance.of("page").of(&page.0);
                let told = PageStart::of(page).told;
                if state.strikes(Fault::PageRefused, place, told) {
                    return Err(op.api_error("InvalidNextToken", CallErrorKind::Permanent));
                }
            }
            Ok(state.page(self.flow, listing, page, now))
        })
        .await
    }

    async fn cancel(&self, id: &CommandId) -> Result<(), CallError> {
        let index = self.aws.state().with_id(id);
        let subject = index.map_or(u64::MAX, |index| index as u64);
        self.call(Op::CancelCommand, subject, |state, now| {
            let checked = crate::rules::check_cancel(state, self.flow, index);
            self.aws.accuse(state, checked);
            if let Some(index) = index {
                state.flow(self.flow).of(index).cancels += 1;
                state.cancel(index, now);
            }
            Ok(())
        })
        .await
    }
}

impl State {
    /// A function is told that a command has ended.
    fn sees_ended(&mut self, flow: FlowId, index: usize) {
        if self.flow(flow).kind.is_sweep() {
            self.entries[index].seen_ended.get_or_insert(flow);
        }
    }

    /// Whether the caller may not answer the task of this command.
    fn refuses(&self, op: Op, index: Option<usize>) -> Result<(), CallError> {
        let is_foreign =
            |index: usize| self.entries[index].command.token_kind == TokenKind::OfForeignMachine;
        if index.is_some_and(is_foreign) {
            return Err(op.api_error("AccessDeniedException", CallErrorKind::Permanent));
        }
        Ok(())
    }

    /// Notes what the process of the sweeps has learned in a sweep: all but what came just when its
    /// time was up.
    pub(crate) fn learn(&mut self, flow: FlowId, now: Ms, is_cut: bool) {
        let Some(flow) = self.flows.get(&flow) else { return };
        if flow.kind == FlowKind::Sweep {
            self.swept_at = Some(now);
        }
        let is_known = |at: Ms| !is_cut || at < now;
        let refused = flow.each().filter(|(_, calls)| calls.refused_at.is_some_and(is_known));
        for index in refused.map(|(index, _)| index).collect::<Vec<_>>() {
            self.entries[index].refusals.push(now);
        }
    }

    /// A sweep has come to its end.
    pub(crate) fn note_pages(&mut self, flow: FlowId, is_cut: bool) {
        let flow = &self.flows[&flow];
        if flow.kind == FlowKind::Sweep {
            self.has_half_read_list &= flow.misses_page || is_cut;
        }
    }

    /// The sweeps' process begins anew.
    pub(crate) fn forget_process(&mut self) {
        self.swept_at = None;
        for entry in &mut self.entries {
            entry.refusals.clear();
            entry.told_closed = 0;
        }
    }

    /// Somebody cancels a command.
    pub(crate) fn cancel(&mut self, index: usize, now: Ms) {
        let entry = &mut self.entries[index];
        entry.command.cancel(now);
        entry.end_moved.notify_one();
        let place = entry.command.place;
        self.note(now, || format!("command {place:?}: cancel asked for"));
    }

    /// Whether a sweep has to cancel the command when its task is closed.
    pub(crate) fn is_to_be_cancelled(&self, index: usize) -> bool {
        let command = &self.entries[index].command;
        self.is_in_scope(index)
            && command.token_kind == TokenKind::OfTask
            && command.on_abandon == OnAbandon::Cancel
            && !self.settings.closed_is_invalid
            && !self.are_beats_rejected(index)
    }

    /// Whether heartbeats are rejected though the task waits: whether it still does is not asked
    /// again for an hour.
    pub(crate) fn are_beats_rejected(&self, index: usize) -> bool {
        let task = self.entries[index].task.as_ref();
        self.settings.beats_need_limit && task.is_some_and(|task| task.heartbeat.is_none())
    }
}

impl Tasks for Port {
    async fn succeed(&self, token: &TaskToken, output: &str) -> Result<AnswerReceipt, CallError> {
        let answer = Answer::Success { output: output.to_owned() };
        self.answer(Op::SendTaskSuccess, token, answer).await
    }

    async fn fail(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> Result<AnswerReceipt, CallError> {
        let answer = Answer::Failure { error: error.to_owned(), cause: cause.to_owned() };
        self.answer(Op::SendTaskFailure, token, answer).await
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<Pulse, CallError> {
        let index = self.aws.state().with_token(token.expose());
        let subject = index.map_or(u64::MAX, |index| index as u64);
        if let Some(index) = index {
            let now = self.aws.now();
            let mut state = self.aws.state();
            let has_ended = state.entries[index].command.has_ended(now);
            let flow = state.flow(self.flow);
            let is_again = flow.of(index).heartbeats > 0;
            // No list of executing commands told it, or none of a second reading.
            if !flow.executing.contains_key(&index) || is_again && has_ended {
                state.sees_ended(self.flow, index);
            }
        }
        let called = self.call(Op::SendTaskHeartbeat, subject, |state, now| {
            state.refuses(Op::SendTaskHeartbeat, index)?;
            let pulse = state.beat(index, now);
            let Some(index) = index else { return Ok(pulse) };
            let reads = state.flow(self.flow).of(index);
            reads.heartbeats += 1;
            reads.alive += u64::from(pulse == Pulse::Alive);
            reads.pulse = Some(pulse);
            if pulse == Pulse::Closed {
                let checked = crate::rules::check_told_closed(state, index, now);
                self.aws.accuse(state, checked);
            }
            Ok(pulse)
        });
        let result = called.await;
        let is_refused = result.as_ref().is_err_and(|error| error.kind == CallErrorKind::Permanent);
        if let (Some(index), true) = (index, is_refused) {
            let now = self.aws.now();
            self.aws.state().entries[index].refusals.push(now);
        }
        result
    }
}

/// The pages that a sweep has asked for, and how often.
pub(crate) type Asked = BTreeMap<(String, Option<String>), u64>;
