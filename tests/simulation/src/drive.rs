//! Lets a history happen: executions, events, the relay and the sweeps, in simulated time.

use std::sync::Arc;
use std::time::Duration;

use callback::{CommandId, Documents, Hint, Memory, Scope, settle, sweep, sweep_executing};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::chance::Chance;
use crate::ending::Ending;
use crate::fault::Fault;
use crate::figures::Figures;
use crate::flow::{FlowId, FlowKind};
use crate::history::{ARN_PREFIX, HOUR, History, MINUTE, Ms, SECOND, SWEPT_DOCUMENTS, Settings};
use crate::rules::{self, Violation};
use crate::sent_command::SentCommand;
use crate::simulated_aws::{Closed, Lost, Port, SimulatedAws};

/// How often Lambda invokes the relay for one event.
const RELAY_ATTEMPTS: u64 = 3;
/// How long an invocation of the relay may take.
const RELAY_TIMEOUT: Duration = Duration::from_mins(5);
/// How often a task is tried again, with a new token.
const RETRIES_MAX: u64 = 2;
/// The first place of commands that others send.
const OTHERS_PLACE: u64 = 1_000_000;
/// The longest history, after its faults have ended. It ends sooner when all is done.
const AFTERMATH_MAX: Ms = 8 * HOUR;

/// What came of a history.
#[derive(Debug)]
pub struct Course {
    /// What happened, in figures.
    pub figures: Figures,
    /// The first rule that was broken, and when.
    pub violation: Option<Violation>,
    /// What happened, line by line; empty unless it was asked for.
    pub log: Vec<String>,
}

/// Lets a history happen.
///
/// # Panics
///
/// When the runtime cannot be built.
pub fn run(history: &History, keeps_log: bool) -> Course {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime with nothing but a timer");
    let local = LocalSet::new();
    let aws = local.block_on(&runtime, async {
        let aws = Arc::new(SimulatedAws::new(history.settings(), keeps_log));
        begin(&aws, history);
        until_the_end(&aws).await;
        aws
    });
    let mut state = aws.state();
    state.figures.histories = 1;
    Course {
        figures: state.figures.clone(),
        violation: state.violation.take(),
        log: state.log.take().unwrap_or_default(),
    }
}

fn begin(aws: &Arc<SimulatedAws>, history: &History) {
    let settings = aws.state().settings.clone();
    for number in (0..settings.executions).filter(|number| !history.dropped.contains(number)) {
        tokio::task::spawn_local(execution(aws.clone(), settings.clone(), number));
        let place = settings.chance.of("unknown event").nth(number);
        let at = place.between(0, settings.faults_end);
        if aws.state().strikes(Fault::EventUnknown, place, at) {
            let id = CommandId::parse(&format!("ffffffff-0000-4000-8000-{number:012x}"))
                .expect("a UUID");
            tokio::task::spawn_local(deliver(aws.clone(), place, id, Hint::Ended, at));
        }
    }
    if settings.others > 0 {
        tokio::task::spawn_local(others(aws.clone(), settings.clone()));
    }
    tokio::task::spawn_local(sweeper(aws.clone(), settings));
}

/// Waits until a rule is broken, or all is done and every limit has passed.
async fn until_the_end(aws: &SimulatedAws) {
    let (interval, faults_end) = {
        let state = aws.state();
        (state.settings.interval, state.settings.faults_end)
    };
    let last = faults_end + AFTERMATH_MAX;
    let mut at = faults_end + 3 * interval;
    while at < last {
        tokio::select! {
            biased;
            () = aws.broken.notified() => return,
            () = aws.sleep_until(at) => {}
        }
        at += interval;
        if is_done(aws) {
            break;
        }
    }
    let mut state = aws.state();
    let checked = rules::check_promises(&state, aws.now());
    aws.accuse(&mut state, checked);
}

fn is_done(aws: &SimulatedAws) -> bool {
    let now = aws.now();
    let state = aws.state();
    let last_start = state.settings.faults_end + 2 * state.settings.faults_end.min(HOUR);
    now > last_start
        && state.flows.is_empty()
        && state.entries.iter().enumerate().all(|(index, entry)| {
            let is_closed = entry.task.as_ref().is_none_or(|task| task.closed.is_some());
            let is_out_of_reach = !state.is_in_scope(index) || state.are_answers_refused(index);
            entry.command.has_ended(now) && (is_closed || is_out_of_reach)
        })
}

// ---- Step Functions ------------------------------------------------------------------------------

/// One execution: a task that sends a command and waits, tried again with a new token.
async fn execution(aws: Arc<SimulatedAws>, settings: Settings, number: u64) {
    let chance = settings.chance.of("execution").nth(number);
    let spread = if settings.executions > 50 { settings.interval } else { settings.faults_end };
    let after_faults = chance.of("late").hits(300);
    let begins = chance.of("begins").between(0, spread)
        + if after_faults { settings.faults_end + settings.interval } else { 0 };
    let retries = chance.of("retries").between(0, RETRIES_MAX);
    aws.sleep_until(begins).await;
    for attempt in 0..=retries {
        match task(&aws, &settings, chance.nth(attempt), (number, attempt)).await {
            Some(Closed::Answered(answer)) if answer.is_success() => return,
            Some(Closed::Stopped) | None => return,
            Some(Closed::Answered(_) | Closed::MissedHeartbeat | Closed::TimedOut) => {}
        }
    }
}

/// Sends a command and waits for its answer; tells why the task was closed. `None`: nobody waits.
async fn task(
    aws: &Arc<SimulatedAws>,
    settings: &Settings,
    chance: Chance,
    place: (u64, u64),
) -> Option<Closed> {
    let now = aws.now();
    let heartbeat = chance.of("heartbeat").pick(&[None, Some(2), Some(4), Some(10)]);
    let heartbeat =
        heartbeat.map(|intervals| intervals * settings.interval * settings.sweeps_of_a_round());
    let (index, answered) = {
        let mut state = aws.state();
        let command = SentCommand::new(settings, place, now);
        state.note(now, || {
            let SentCommand { id, ending, ends, nodes, token_kind, .. } = &command;
            format!(
                "command {place:?} {id}: {ending:?} on {} nodes at {ends} ms, token {token_kind:?}, \
                 document {}, onFailure {:?}, onAbandon {:?}, heartbeat {heartbeat:?}",
                nodes.len(), command.document_name, command.on_failure, command.on_abandon,
            )
        });
        let index = state.add(command, heartbeat);
        (index, state.entries[index].task.as_ref().map(|task| task.answered.clone()))
    };
    tokio::task::spawn_local(announce(aws.clone(), index, chance.of("announce")));
    let answered = answered?;
    let gives_up = {
        let mut state = aws.state();
        let mut strikes = |fault: Fault, closed| {
            let place = chance.of("gives up");
            let at = now + place.of(fault.name()).of("at").between(SECOND, 15 * MINUTE);
            state.strikes(fault, place, now).then_some((at, closed))
        };
        let stops = strikes(Fault::ExecutionStops, Closed::Stopped);
        stops.or_else(|| strikes(Fault::TaskTimesOut, Closed::TimedOut))
    };
    let closed = wait(aws, index, &answered, gives_up).await;
    if closed == Closed::Stopped {
        // The event that tells it is best effort, too.
        let place = chance.of("execution event");
        let is_lost = aws.state().strikes(Fault::EventLost, place, aws.now());
        if !is_lost {
            aws.state().entries[index].stop_told = Some(aws.now());
            aws.execution_ended.notify_one();
        }
    }
    Some(closed)
}

/// Waits until the task is answered, or closes it when its time is up.
async fn wait(
    aws: &SimulatedAws,
    index: usize,
    answered: &Notify,
    gives_up: Option<(Ms, Closed)>,
) -> Closed {
    loop {
        let now = aws.now();
        let until = {
            let mut state = aws.state();
            let entry = &mut state.entries[index];
            let place = entry.command.place;
            let task = entry.task.as_mut().expect("this command has a task");
            if let Some((_, closed)) = &task.closed {
                return closed.clone();
            }
            let misses = task.heartbeat.map(|limit| task.last_beat + limit);
            let closed = match (&gives_up, misses) {
                (Some((at, closed)), _) if *at <= now => Some(closed.clone()),
                (_, Some(at)) if at <= now => Some(Closed::MissedHeartbeat),
                _ => None,
            };
            if let Some(closed) = closed {
                task.closed = Some((now, closed.clone()));
                state.note(now, || format!("task {place:?} is closed: {closed:?}"));
                return closed;
            }
            gives_up.iter().map(|(at, _)| *at).chain(misses).min()
        };
        match until {
            Some(at) => tokio::select! {
                biased;
                () = answered.notified() => {}
                () = aws.sleep_until(at) => {}
            },
            None => answered.notified().await,
        }
    }
}

/// Others send many commands at once: at the beginning, and when the faults have ended.
async fn others(aws: Arc<SimulatedAws>, settings: Settings) {
    for (burst, at) in [0, settings.faults_end + 2 * settings.interval].into_iter().enumerate() {
        aws.sleep_until(at).await;
        let mut state = aws.state();
        let now = aws.now();
        for number in 0..settings.others {
            let place = (OTHERS_PLACE + number, burst as u64);
            state.add(SentCommand::of_others(&settings, place, now), None);
        }
        state.note(now, || format!("others send {} commands", settings.others));
    }
}

// ---- Run Command and EventBridge -----------------------------------------------------------------

/// Tells of a command's changes, and lets somebody cancel it if that is its ending.
async fn announce(aws: Arc<SimulatedAws>, index: usize, chance: Chance) {
    let (id, requested, ends, ending, end_moved) = {
        let state = aws.state();
        let entry = &state.entries[index];
        let command = &entry.command;
        let end_moved = entry.end_moved.clone();
        (command.id.clone(), command.requested, command.ends, command.ending, end_moved)
    };
    let lasts = ends - requested;
    emit(&aws, chance.of("begins"), &id, Hint::Changed, requested + lasts / 3);
    let place = chance.of("false");
    if aws.state().strikes(Fault::EventFalse, place, requested) {
        let at = requested + place.of("at").between(0, lasts);
        emit(&aws, place, &id, Hint::Ended, at);
    }
    if ending == Ending::IsCancelled && chance.of("cancelled early").hits(500) {
        let at = requested + chance.of("cancelled at").between(0, lasts);
        aws.sleep_until(at).await;
        aws.state().cancel(index, aws.now());
    }
    loop {
        let ends = aws.state().entries[index].command.ends;
        if ends <= aws.now() {
            break;
        }
        tokio::select! {
            biased;
            () = end_moved.notified() => {}
            () = aws.sleep_until(ends) => {}
        }
    }
    emit(&aws, chance.of("ends"), &id, Hint::Ended, aws.now());
}

/// Delivers an event, or does not, or twice, or late.
fn emit(aws: &Arc<SimulatedAws>, place: Chance, id: &CommandId, hint: Hint, at: Ms) {
    let mut state = aws.state();
    if state.strikes(Fault::EventLost, place, at) {
        state.note(at, || format!("event {hint:?} of {id} is lost"));
        return;
    }
    let copies = 1 + u64::from(state.strikes(Fault::EventDoubled, place, at));
    for copy in 0..copies {
        let place = place.of("copy").nth(copy);
        let is_late = state.strikes(Fault::EventDelayed, place, at);
        let delay = place.of("delay").between(1, if is_late { 10 * MINUTE } else { 2 * SECOND });
        let delivery = deliver(aws.clone(), place, id.clone(), hint, at + delay);
        tokio::task::spawn_local(delivery);
    }
}

// ---- Lambda --------------------------------------------------------------------------------------

/// Invokes the relay for an event, as Lambda does: again after a failure, twice.
async fn deliver(aws: Arc<SimulatedAws>, place: Chance, id: CommandId, hint: Hint, at: Ms) {
    aws.sleep_until(at).await;
    aws.state().figures.events += 1;
    for attempt in 0..RELAY_ATTEMPTS {
        let (port, died) = open(&aws, FlowKind::Relay, place.nth(attempt));
        let settled = tokio::select! {
            biased;
            () = died.notified() => "dead".to_owned(),
            result = tokio::time::timeout(RELAY_TIMEOUT, settle(&port, &port, &id, hint)) => {
                match result {
                    Ok(Ok(outcome)) => outcome.name().to_owned(),
                    Ok(Err(error)) => format!("failed: {}", error.name()),
                    Err(_) => "out of time".to_owned(),
                }
            }
        };
        let is_settled = !settled.contains(' ') && settled != "dead";
        close(&aws, port.flow, None, || format!("relay {hint:?} of {id}: {settled}"));
        if is_settled {
            return;
        }
        let minutes = MINUTE * (attempt + 1) + place.of("jitter").nth(attempt).between(0, SECOND);
        tokio::time::sleep(Duration::from_millis(minutes)).await;
    }
    aws.state().figures.dead_letters += 1;
}

/// Sweeps once per interval, and when an execution has ended.
async fn sweeper(aws: Arc<SimulatedAws>, settings: Settings) {
    let scope = Scope {
        documents: Documents::new(
            SWEPT_DOCUMENTS.map(str::to_owned).to_vec(),
            Some(ARN_PREFIX.to_owned()),
        ),
        interval: Duration::from_millis(settings.interval),
        lookback: Duration::from_millis(settings.lookback),
        heartbeats_per_second: settings.heartbeats_per_second(),
    };
    let offset = settings.chance.of("offset").between(0, settings.interval);
    let mut memory = Memory::default();
    let last = settings.faults_end + AFTERMATH_MAX;
    let mut tick = offset;
    let mut next_for_execution = 0;
    while tick < last {
        let is_triggered = tokio::select! {
            biased;
            () = aws.sleep_until(tick) => false,
            () = aws.execution_ended.notified() => true,
        };
        if is_triggered {
            aws.sleep_until(next_for_execution).await;
            next_for_execution = aws.now() + rules::BETWEEN_EXECUTIONS;
        }
        let at = if is_triggered { aws.now() } else { tick };
        let kind = if is_triggered { FlowKind::ExecutingSweep } else { FlowKind::Sweep };
        one_sweep(&aws, &settings, &scope, &mut memory, (kind, at)).await;
        if !is_triggered {
            tick += settings.interval;
        }
        let mut state = aws.state();
        let checked = rules::check_promises(&state, aws.now());
        aws.accuse(&mut state, checked);
    }
}

async fn one_sweep(
    aws: &Arc<SimulatedAws>,
    settings: &Settings,
    scope: &Scope,
    memory: &mut Memory,
    (kind, at): (FlowKind, Ms),
) {
    let place = settings.chance.of("sweep").nth(at);
    let (is_skipped, is_cut, is_replaced, now) = {
        let mut state = aws.state();
        let mut strikes = |fault| state.strikes(fault, place, at);
        // The event of a stopped execution is lost or not: what it starts is not skipped.
        let is_skipped = kind == FlowKind::Sweep && strikes(Fault::SweepSkipped);
        let is_cut = strikes(Fault::SweepCutShort);
        (is_skipped, is_cut, strikes(Fault::ProcessReplaced), state.time()(aws.now()))
    };
    if is_replaced {
        *memory = Memory::default();
        let mut state = aws.state();
        state.note(at, || "the sweep's process is replaced".to_owned());
        state.forget_process();
        state.lose(Lost::Memory, at);
    }
    if is_skipped {
        let mut state = aws.state();
        state.note(at, || "a sweep is skipped".to_owned());
        state.lose(Lost::Sweep, at);
        return;
    }
    let time_left =
        if is_cut { place.of("cut").between(0, SECOND) } else { settings.sweep_takes_max };
    let time_left = Duration::from_millis(time_left);
    let (port, died) = open(aws, kind, place);
    let swept = async {
        match kind {
            FlowKind::ExecutingSweep => {
                sweep_executing(&port, &port, scope, memory, now, time_left).await
            }
            FlowKind::Sweep | FlowKind::Relay => {
                sweep(&port, &port, scope, memory, now, time_left).await
            }
        }
    };
    let report = tokio::select! {
        biased;
        () = died.notified() => None,
        report = swept => Some(report),
    };
    if let Some(report) = &report {
        let mut state = aws.state();
        state.figures.sweeps += 1;
        state.figures.recoveries += report.recovered;
        state.figures.cancellations += report.cancelled;
        state.learn(port.flow, aws.now(), report.truncated);
    } else {
        *memory = Memory::default();
        let mut state = aws.state();
        state.forget_process();
        state.lose(Lost::Memory, at);
        if kind == FlowKind::Sweep {
            state.lose(Lost::Sweep, at);
        }
    }
    close(aws, port.flow, report.as_ref(), || format!("sweep: {report:?}"));
}

fn open(aws: &Arc<SimulatedAws>, kind: FlowKind, place: Chance) -> (Port, Arc<Notify>) {
    let mut state = aws.state();
    let flow = state.open_flow(kind, place, aws.now());
    let died = state.flows[&flow].died.clone();
    (Port { aws: aws.clone(), flow }, died)
}

fn close(
    aws: &SimulatedAws,
    flow: FlowId,
    report: Option<&callback::SweepReport>,
    what: impl FnOnce() -> String,
) {
    let now = aws.now();
    let mut state = aws.state();
    state.note(now, what);
    let checked = rules::check_flow(&state, flow, report, now);
    aws.accuse(&mut state, checked);
    if let Some(report) = report {
        state.note_pages(flow, report.truncated);
    }
    state.flows.remove(&flow);
}
