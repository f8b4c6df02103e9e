//! What an invocation of the sweep gives back, logs and counts, whatever it finds.

use std::sync::LazyLock;
use std::time::Duration;

use callback::testing::sample::{command, command_id, invocation};
use callback::testing::world::{Answer, Fault, Op, World};
use callback::{Command, CommandId, Documents, Scope, SweepReport};
use functions::Sweep;
use functions::sweep::InvocationContext;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::invoked::{FUNCTION_ARN, FUNCTION_NAME, Invoked, REQUEST_ID, TOKEN, invoked};
use crate::lent_world::LentWorld;
use crate::log_line::LogLine;

/// Who logs what a sweep did, and who logs what it met on its way.
pub(crate) const FUNCTION: &str = "functions::sweep";
const SWEEP: &str = "callback::sweep";

const DOCUMENT: &str = "SfnRunShellScript";
/// The lists of a sweep in a quiet account, and of the first one of a process.
const LISTS: usize = 2;
const FIRST_LISTS: usize = 3;
/// The time that an invocation has.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// Longer ago than an event's time and the clock of the process differ.
const A_WHILE: Duration = Duration::from_secs(10);

/// When the tests began.
static BEGAN: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

/// A process of the function. Its clock goes with that of the test.
struct Process<'a> {
    sweep: Sweep<LentWorld<'a>, LentWorld<'a>>,
    since: Instant,
    /// The time that an invocation has; `None`: for ever.
    timeout: Option<SignedDuration>,
}

impl<'a> Process<'a> {
    fn in_world(world: &'a World) -> Self {
        Self::of(world, &[DOCUMENT])
    }

    fn of(world: &'a World, document_names: &[&str]) -> Self {
        let names = document_names.iter().map(|&name| name.to_owned()).collect();
        let scope = Scope {
            documents: Documents::new(names, None),
            interval: MINUTE,
            lookback: Duration::from_hours(49),
            heartbeats_per_second: 1_000,
        };
        let (run_command, tasks) = (LentWorld(world), LentWorld(world));
        let sweep = Sweep::new(run_command, tasks, scope, FUNCTION_NAME.to_owned());
        Self { sweep, since: Instant::now(), timeout: Some(TIMEOUT) }
    }

    fn now(&self) -> Timestamp {
        *BEGAN + self.since.elapsed()
    }

    fn context(&self) -> InvocationContext<'static> {
        let now = self.now();
        InvocationContext {
            request_id: REQUEST_ID,
            function_arn: FUNCTION_ARN,
            now,
            deadline: self.timeout.map_or(Timestamp::MAX, |timeout| now + timeout),
        }
    }

    async fn invoke(&self, event: &Value) -> Invoked {
        self.invoke_text(&event.to_string()).await
    }

    async fn invoke_text(&self, event_json: &str) -> Invoked {
        let context = self.context();
        invoked(async |metrics| self.sweep.handle(event_json, context, metrics).await).await
    }

    /// A sweep by schedule.
    async fn sweep(&self) -> Invoked {
        self.invoke(&scheduled(self.now())).await
    }

    /// A sweep for an execution that has just ended.
    async fn sweep_for_execution(&self) -> Invoked {
        self.invoke(&execution_ended(self.now())).await
    }
}

// Events.

fn scheduled(at: Timestamp) -> Value {
    json!({
        "source": "aws.events", "detail-type": "Scheduled Event", "detail": {},
        "time": at.to_string(),
    })
}

fn execution_ended(at: Timestamp) -> Value {
    json!({
        "source": "aws.states", "detail-type": "Step Functions Execution Status Change",
        "detail": { "status": "ABORTED", "input": TOKEN }, "time": at.to_string(),
    })
}

/// The event comes in, as the first of a process.
pub(crate) async fn swept_by(world: &World, event_json: &str) -> Invoked {
    Process::in_world(world).invoke_text(event_json).await
}

/// The first sweep of a process, by schedule.
async fn swept(world: &World) -> Invoked {
    Process::in_world(world).sweep().await
}

/// The first two sweeps of a process, by schedule.
async fn swept_twice(world: &World) -> [Invoked; 2] {
    let process = Process::in_world(world);
    let first = process.sweep().await;
    sleep(MINUTE).await;
    [first, process.sweep().await]
}

// Commands.

fn a_minute_ago() -> Timestamp {
    *BEGAN - MINUTE
}

fn token(number: u32) -> String {
    format!("{TOKEN}{number}")
}

/// Puts a command into the world that was requested then; Step Functions does not know its token.
fn put(world: &World, number: u32, details: &str, requested_at: Timestamp) -> CommandId {
    put_with(world, number, details, requested_at, &[("taskToken", &token(number))])
}

fn put_with(
    world: &World,
    number: u32,
    details: &str,
    requested_at: Timestamp,
    parameters: &[(&str, &str)],
) -> CommandId {
    let id = command_id(number);
    let nodes = vec![invocation(1, details, "Hello\n", "")];
    let command = Command { requested_at, ..command(&id, parameters, details, &nodes) };
    world.put_command(command, nodes);
    id
}

/// A command that executes, and whose task waits.
fn put_executing(world: &World, number: u32) -> CommandId {
    world.open_task(&token(number));
    put(world, number, "InProgress", a_minute_ago())
}

/// A command that executes, and whose task is closed.
fn put_abandoned(world: &World, number: u32) -> CommandId {
    world.close_task(&token(number));
    put(world, number, "InProgress", a_minute_ago())
}

/// A command that has ended, and whose task still waits.
fn put_lost(world: &World, number: u32, details: &str) -> CommandId {
    world.open_task(&token(number));
    put(world, number, details, a_minute_ago())
}

// What is expected.

/// A sweep of everything that found nothing.
fn nothing() -> SweepReport {
    SweepReport::default()
}

/// The age that the response tells; 0 without one.
fn oldest_waiting_s(invoked: &Invoked) -> u64 {
    invoked.returned["OldestWaiting"].as_u64().unwrap_or_default()
}

/// The sweep reports this, and tells so in all three places. The age of what waits is told alike in
/// all of them, whatever it is.
#[track_caller]
fn assert_swept(invoked: &Invoked, level: &str, report: &SweepReport) {
    let SweepReport {
        executing,
        heartbeats,
        oldest_waiting_s: _,
        recovered,
        cancelled,
        rejected,
        refused,
        reused,
        failed,
        truncated,
        blind,
    } = report;
    let oldest_waiting_s = &oldest_waiting_s(invoked);
    let counts = [
        ("executing", "Executing", executing),
        ("heartbeats", "Heartbeats", heartbeats),
        ("oldest_waiting_s", "OldestWaiting", oldest_waiting_s),
        ("recovered", "Recovered", recovered),
        ("cancelled", "Cancelled", cancelled),
        ("rejected", "Rejected", rejected),
        ("refused", "Refused", refused),
        ("reused", "Reused", reused),
        ("failed", "Failed", failed),
    ];
    assert_eq!(invoked.has_failed, blind.is_some(), "{invoked:?}");
    if blind.is_none() {
        let counts = counts.map(|(_, name, count)| (name.to_owned(), json!(count)));
        let truncated = ("Truncated".to_owned(), json!(truncated));
        let response: Value = counts.into_iter().chain([truncated]).collect();
        assert_eq!(invoked.returned, response, "{invoked:?}");
    }

    let line = invoked.line_of(FUNCTION);
    assert_eq!(line.level, level, "{line:?}");
    for (field, _, count) in counts {
        assert!(line.says(field, count), "{field}: {line:?}");
    }
    assert!(line.says("truncated", truncated), "{line:?}");
    assert_eq!(line.field("error"), blind.as_ref().map(ToString::to_string));

    if *report == nothing() {
        assert_eq!(invoked.metrics, [] as [Value; 0]);
        return;
    }
    let record = invoked.record();
    let truncated = u64::from(*truncated);
    for (name, count) in
        counts.map(|(_, name, count)| (name, count)).into_iter().chain([("Truncated", &truncated)])
    {
        let expected = if *count == 0 { None } else { Some(json!(count)) };
        assert_eq!(record.get(name), expected.as_ref(), "{name}");
    }
    assert!(line.says("duration_ms", &record["SweepDuration"]), "{line:?}");
    assert_eq!(record["FunctionName"], FUNCTION_NAME);
    assert_eq!(record["RequestId"], REQUEST_ID);
    let directive = &record["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Dimensions"], json!([["FunctionName"]]));
}

/// What was met on the way is told in one line of this level, about this command.
#[track_caller]
fn the_line_about<'a>(invoked: &'a Invoked, level: &str, id: &CommandId) -> &'a LogLine {
    let line = invoked.line_of(SWEEP);
    assert_eq!(line.level, level, "{line:?}");
    assert!(line.says("command_id", id), "{line:?}");
    line
}

/// The line tells the operation and what came.
#[track_caller]
fn assert_tells_call(line: &LogLine, op: Op, code: &str) {
    let error = line.field("error").expect("an error");
    for part in [op.name(), code] {
        assert_eq!(error.matches(part).count(), 1, "{part}: {error}");
    }
}

// What a sweep finds.

#[tokio::test(start_paused = true)]
async fn a_sweep_that_finds_nothing_tells_nothing() {
    let world = World::new();
    let [first, second] = swept_twice(&world).await;
    for invoked in [first, second] {
        assert_swept(&invoked, "DEBUG", &nothing());
        assert_eq!(invoked.log.len(), 1, "{invoked:?}");
    }
    assert_eq!(world.calls(Op::ListPage), FIRST_LISTS + LISTS);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_wait_get_a_heartbeat_each() {
    let world = World::new();
    for number in 1..=60 {
        put_executing(&world, number);
    }
    let report = SweepReport { executing: 60, heartbeats: 60, ..nothing() };
    let invoked = swept(&world).await;
    assert_swept(&invoked, "INFO", &report);
    assert_eq!(invoked.log.len(), 1, "{invoked:?}");
    assert_eq!(oldest_waiting_s(&invoked), 60, "they were requested a minute ago");
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_a_warning_that_names_command_and_outcome() {
    for (details, outcome) in [("Success", "Succeeded"), ("Failed", "Failed")] {
        let world = World::new();
        let id = put_lost(&world, 1, details);
        let [first, second] = swept_twice(&world).await;
        assert_swept(&first, "INFO", &SweepReport { heartbeats: 1, ..nothing() });
        assert_swept(&second, "WARN", &SweepReport { recovered: 1, ..nothing() });
        let line = the_line_about(&second, "WARN", &id);
        assert!(line.says("outcome", outcome), "{line:?}");
        let [(answered, answer)] = &world.answers()[..] else { panic!("expected one answer") };
        assert_eq!(*answered, token(1));
        assert_eq!(matches!(answer, Answer::Success { .. }), details == "Success");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_was_answered_is_left_alone() {
    let world = World::new();
    world.close_task(&token(1));
    put(&world, 1, "Success", a_minute_ago());
    for invoked in swept_twice(&world).await {
        assert_swept(&invoked, "DEBUG", &nothing());
    }
    assert_eq!(world.calls(Op::ListCommands), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_command_is_cancelled_without_a_warning() {
    let world = World::new();
    let id = put_abandoned(&world, 1);
    let invoked = swept(&world).await;
    assert_swept(&invoked, "INFO", &SweepReport { executing: 1, cancelled: 1, ..nothing() });
    the_line_about(&invoked, "INFO", &id);
    assert_eq!(world.cancelled(), [id]);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_command_that_shall_go_on_goes_on() {
    let world = World::new();
    world.close_task(&token(1));
    let parameters = [("taskToken", &*token(1)), ("onAbandon", "Continue")];
    put_with(&world, 1, "InProgress", a_minute_ago(), &parameters);
    assert_swept(&swept(&world).await, "INFO", &SweepReport { executing: 1, ..nothing() });
    assert_eq!(world.cancelled(), []);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_step_functions_rejects_is_a_warning_and_cancels_nothing() {
    let world = World::new();
    let id = put(&world, 1, "InProgress", a_minute_ago());
    let invoked = swept(&world).await;
    assert_swept(&invoked, "WARN", &SweepReport { executing: 1, rejected: 1, ..nothing() });
    the_line_about(&invoked, "WARN", &id);
    assert_eq!(world.cancelled(), []);
}

#[tokio::test(start_paused = true)]
async fn a_text_that_cannot_be_a_token_is_a_warning_and_is_not_sent() {
    let world = World::new();
    let text = TOKEN.repeat(100);
    let id = put_with(&world, 1, "InProgress", a_minute_ago(), &[("taskToken", &text)]);
    let invoked = swept(&world).await;
    assert_swept(&invoked, "WARN", &SweepReport { rejected: 1, ..nothing() });
    the_line_about(&invoked, "WARN", &id);
    assert_eq!(world.calls(Op::SendTaskHeartbeat), 0);
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_token_is_not_counted() {
    let world = World::new();
    put_with(&world, 1, "InProgress", a_minute_ago(), &[]);
    assert_swept(&swept(&world).await, "DEBUG", &nothing());
}

/// A command of this document that executes, and whose task waits.
fn put_of_document(world: &World, number: u32, document: &str) {
    world.open_task(&token(number));
    let nodes = vec![invocation(1, "InProgress", "", "")];
    let parameters = [("taskToken", &*token(number))];
    let command = command(&command_id(number), &parameters, "InProgress", &nodes);
    world.put_command(Command { document_name: document.to_owned(), ..command }, nodes);
}

#[tokio::test(start_paused = true)]
async fn the_commands_of_all_documents_of_the_scope_are_counted_and_no_others() {
    let world = World::new();
    for (number, document) in (1..).zip([DOCUMENT, "Mine", "Theirs"]) {
        put_of_document(&world, number, document);
    }
    let invoked = Process::of(&world, &[DOCUMENT, "Mine"]).sweep().await;
    assert_swept(&invoked, "INFO", &SweepReport { executing: 2, heartbeats: 2, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn own_documents_are_known_by_their_arns_in_the_account_of_the_function() {
    const PREFIX: &str = "arn:aws:ssm:eu-central-1:111122223333:document/";
    let world = World::new();
    put_of_document(&world, 1, &format!("{PREFIX}{DOCUMENT}"));
    // So many of others that lists are filtered by name.
    for number in 1_000..1_200 {
        put_of_document(&world, number, "Theirs");
    }
    let process = Process::in_world(&world);
    let report = SweepReport { executing: 1, heartbeats: 1, ..nothing() };
    for invoked in [process.sweep().await, process.sweep_for_execution().await] {
        assert_swept(&invoked, "INFO", &report);
    }
    let names = world.listings().into_iter().filter_map(|listing| listing.document_name);
    let arns = names.filter(|name| *name == format!("{PREFIX}{DOCUMENT}")).count();
    assert_eq!(arns, 2, "one for each sweep");
}

#[tokio::test(start_paused = true)]
async fn everything_at_once_is_counted_once_each() {
    let world = World::new();
    put_executing(&world, 1);
    put_lost(&world, 2, "Success");
    put_lost(&world, 3, "Failed");
    put_abandoned(&world, 4);
    put(&world, 5, "InProgress", a_minute_ago());
    let spoilt = put_executing(&world, 6);
    world.spoil(&spoilt);
    let [first, second] = swept_twice(&world).await;
    let report = SweepReport {
        executing: 3,
        heartbeats: 3,
        cancelled: 1,
        rejected: 1,
        failed: 1,
        ..nothing()
    };
    assert_swept(&first, "WARN", &report);
    let report = SweepReport { executing: 2, heartbeats: 1, recovered: 2, failed: 1, ..nothing() };
    assert_swept(&second, "WARN", &report);
    for (invoked, expected) in
        [(first, ["INFO", "WARN", "WARN", "WARN"]), (second, ["WARN", "WARN", "WARN", "WARN"])]
    {
        let mut levels: Vec<_> = invoked.log.iter().map(|line| line.level.as_str()).collect();
        levels.sort_unstable();
        assert_eq!(levels, expected);
    }
}

// What fails.

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_fails_or_is_refused_is_counted_and_cancels_nothing() {
    let failed = SweepReport { executing: 1, failed: 1, ..nothing() };
    let refused = SweepReport { executing: 1, refused: 1, ..nothing() };
    for (fault, code, report) in [
        (Fault::Throttled, "ThrottlingException", failed),
        (Fault::Denied, "AccessDeniedException", refused),
    ] {
        let world = World::new();
        let id = put_abandoned(&world, 1);
        world.fail_next(Op::SendTaskHeartbeat, fault);
        let invoked = swept(&world).await;
        assert_swept(&invoked, "WARN", &report);
        let line = the_line_about(&invoked, "WARN", &id);
        assert_tells_call(line, Op::SendTaskHeartbeat, code);
        assert_eq!(world.cancelled(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_fails_is_counted_as_failed_only() {
    let world = World::new();
    let id = put_abandoned(&world, 1);
    world.fail_next(Op::CancelCommand, Fault::Denied);
    let invoked = swept(&world).await;
    assert_swept(&invoked, "WARN", &SweepReport { executing: 1, failed: 1, ..nothing() });
    let line = the_line_about(&invoked, "WARN", &id);
    assert_tells_call(line, Op::CancelCommand, "AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_that_cannot_be_settled_is_counted_as_failed_only() {
    for op in [Op::ListCommands, Op::ListCommandInvocations, Op::SendTaskSuccess] {
        let world = World::new();
        let id = put_lost(&world, 1, "Success");
        world.fail_next(op, Fault::Throttled);
        let [_, second] = swept_twice(&world).await;
        assert_swept(&second, "WARN", &SweepReport { failed: 1, ..nothing() });
        let line = the_line_about(&second, "WARN", &id);
        assert_tells_call(line, op, "ThrottlingException");
        assert_eq!(world.answers(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_read_is_counted() {
    let world = World::new();
    let id = put_executing(&world, 1);
    world.spoil(&id);
    let invoked = swept(&world).await;
    assert_swept(&invoked, "WARN", &SweepReport { failed: 1, ..nothing() });
    let line = invoked.line_of(SWEEP);
    assert_eq!(line.level, "WARN");
    assert_tells_call(line, Op::ListPage, "command without a status");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_cannot_list_what_executes_is_a_failed_invocation() {
    for (fault, code) in [
        (Fault::Throttled, "ThrottlingException"),
        (Fault::Denied, "AccessDeniedException"),
        (Fault::TimedOut, "timed out"),
    ] {
        for is_for_execution in [true, false] {
            let world = World::new();
            put_abandoned(&world, 1);
            let process = Process::in_world(&world);
            world.fail_next(Op::ListPage, fault);
            let invoked = if is_for_execution {
                process.sweep_for_execution().await
            } else {
                process.sweep().await
            };
            let (error_type, message) = invoked.error();
            assert_eq!(error_type, "ListCommandsFailed");
            let expected =
                format!("listing executing commands: {} failed: {code}", Op::ListPage.name());
            assert_eq!(message, expected);
            let line = invoked.line_of(FUNCTION);
            assert_eq!(line.level, "ERROR");
            let error = format!("{} failed: {code}", Op::ListPage.name());
            assert_eq!(line.field("error").as_deref(), Some(&*error));
            assert_eq!(invoked.record()["Failed"], 1);
            assert_eq!(world.cancelled(), []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_completed_commands_that_fails_is_counted_and_no_failed_invocation() {
    let world = World::new();
    world.slow(Op::ListPage, SECOND);
    let process = Process::in_world(&world);
    let failing = async {
        sleep(SECOND * 3 / 2).await;
        world.fail_next(Op::ListPage, Fault::Denied);
    };
    let (invoked, ()) = tokio::join!(process.sweep(), failing);
    assert_swept(&invoked, "WARN", &SweepReport { failed: 1, ..nothing() });
    let line = invoked.line_of(SWEEP);
    assert_eq!(line.level, "WARN");
    assert_tells_call(line, Op::ListPage, "AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn metrics_that_cannot_be_written_are_logged_and_fail_nothing() {
    let world = World::new();
    let id = put_abandoned(&world, 1);
    let process = Process::in_world(&world);
    let event = scheduled(process.now()).to_string();
    let mut full: &mut [u8] = &mut [];
    let context = process.context();
    let invoked = invoked(async |_| process.sweep.handle(&event, context, &mut full).await).await;
    assert_eq!(invoked.returned["Cancelled"], 1);
    assert_eq!(invoked.log.last().expect("lines").level, "ERROR");
    assert_eq!(world.cancelled(), [id]);
}

// The time that is left.

#[tokio::test(start_paused = true)]
async fn a_sweep_ends_three_seconds_before_its_invocation_would() {
    for is_for_execution in [true, false] {
        let world = World::new();
        world.slow(Op::ListPage, 2 * MINUTE);
        let process = Process::in_world(&world);
        let invoked = if is_for_execution {
            process.sweep_for_execution().await
        } else {
            process.sweep().await
        };
        assert_swept(&invoked, "WARN", &SweepReport { truncated: true, ..nothing() });
        // Nothing but waiting takes time here.
        assert_eq!(process.since.elapsed(), Duration::from_secs(57));
        assert_eq!(invoked.record()["SweepDuration"], 57_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_is_cut_short_counts_what_it_did() {
    let world = World::new();
    for number in 1..=60 {
        put_executing(&world, number);
    }
    // The second of two pages does not come in time.
    world.slow(Op::ListPage, Duration::from_secs(40));
    let report = SweepReport { executing: 50, heartbeats: 50, truncated: true, ..nothing() };
    assert_swept(&swept(&world).await, "WARN", &report);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_without_time_says_that_it_did_nothing() {
    for left in [SignedDuration::from_secs(2), SignedDuration::ZERO, -TIMEOUT] {
        let world = World::new();
        put_abandoned(&world, 1);
        let process = Process { timeout: Some(left), ..Process::in_world(&world) };
        let report = SweepReport { truncated: true, ..nothing() };
        assert_swept(&process.sweep().await, "WARN", &report);
        assert_swept(&process.sweep_for_execution().await, "WARN", &report);
        assert_eq!(world.cancelled(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_cannot_be_read_is_none() {
    let world = World::new();
    put_abandoned(&world, 1);
    let process = Process { timeout: None, ..Process::in_world(&world) };
    let report = SweepReport { executing: 1, cancelled: 1, ..nothing() };
    assert_swept(&process.sweep().await, "INFO", &report);
}

// What one invocation leaves to the next.

#[tokio::test(start_paused = true)]
async fn a_command_that_was_seen_executing_is_answered_by_the_second_sweep_after_its_end() {
    let world = World::new();
    let process = Process::in_world(&world);
    world.open_task(&token(1));
    let requested_at = *BEGAN - Duration::from_hours(20);
    let id = put(&world, 1, "InProgress", requested_at);
    let executing = SweepReport { executing: 1, heartbeats: 1, ..nothing() };
    assert_swept(&process.sweep().await, "INFO", &executing);

    put(&world, 1, "Success", requested_at);
    let next = async || {
        sleep(MINUTE).await;
        process.sweep().await
    };
    assert_swept(&next().await, "INFO", &SweepReport { heartbeats: 1, ..nothing() });
    let third = next().await;
    assert_swept(&third, "WARN", &SweepReport { recovered: 1, ..nothing() });
    the_line_about(&third, "WARN", &id);
    assert_swept(&next().await, "DEBUG", &nothing());
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_time_or_of_another_time_sweeps_now() {
    for time in [Value::Null, json!("2001-01-01T00:00:00Z"), json!("2100-01-01T00:00:00Z")] {
        let world = World::new();
        put_lost(&world, 1, "Success");
        let process = Process::in_world(&world);
        let mut event = scheduled(process.now());
        event["time"] = time;
        assert_eq!(process.invoke(&event).await.returned["Heartbeats"], 1);
        sleep(MINUTE).await;
        assert_eq!(process.invoke(&event).await.returned["Recovered"], 1);
    }
}

// Executions that end.

fn says_cause(invoked: &Invoked, cause: &str) -> bool {
    invoked.line_of(FUNCTION).says("cause", cause)
}

/// An invocation that had nothing to do: it is told by zeros, and counts no sweep.
#[track_caller]
fn assert_covered(invoked: &Invoked) {
    assert!(!invoked.has_failed);
    for (name, value) in invoked.returned.as_object().expect("a response") {
        assert!(*value == 0 || *value == false, "{name}: {value}");
    }
    assert_eq!(invoked.line_of(FUNCTION).level, "DEBUG");
    assert_eq!(invoked.log.len(), 1);
    assert_eq!(invoked.metrics, [] as [Value; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_tells_why_it_was_started() {
    let world = World::new();
    let process = Process::in_world(&world);
    assert!(says_cause(&process.sweep_for_execution().await, "ExecutionEnded"));
    assert!(says_cause(&process.sweep().await, "Schedule"));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_execution_has_its_command_cancelled_and_nothing_else_is_looked_at() {
    let world = World::new();
    let id = put_abandoned(&world, 1);
    put_lost(&world, 2, "Success");
    let process = Process::in_world(&world);
    let invoked = process.sweep_for_execution().await;
    assert_swept(&invoked, "INFO", &SweepReport { executing: 1, cancelled: 1, ..nothing() });
    assert_eq!(world.cancelled(), [id]);
    assert_eq!(world.calls(Op::ListPage), 1);
    // A sweep that finds nothing was asked for, and tells so.
    sleep(A_WHILE).await;
    assert_swept(&process.sweep_for_execution().await, "INFO", &nothing());
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_last_sweep_began_is_covered() {
    for is_for_execution in [true, false] {
        let world = World::new();
        let process = Process::in_world(&world);
        let stopped_at = process.now();
        sleep(2 * SECOND).await;
        if is_for_execution {
            process.sweep_for_execution().await;
        } else {
            process.sweep().await;
        }
        let calls = world.calls(Op::ListPage);
        assert_covered(&process.invoke(&execution_ended(stopped_at)).await);
        assert_eq!(world.calls(Op::ListPage), calls);
        assert_eq!(process.since.elapsed(), 2 * SECOND, "it waits for nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_the_last_sweep_may_have_missed_is_swept() {
    let world = World::new();
    let process = Process::in_world(&world);
    sleep(SECOND).await;
    process.sweep().await;
    let id = put_abandoned(&world, 1);
    let invoked = process.invoke(&execution_ended(*BEGAN)).await;
    assert_eq!(invoked.record()["Cancelled"], 1);
    assert_eq!(world.cancelled(), [id]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_soon_after_a_sweep_for_another_waits_until_ten_seconds_have_passed() {
    // Whatever came of that sweep.
    for fails in [true, false] {
        let world = World::new();
        let process = Process::in_world(&world);
        if fails {
            world.fail_next(Op::ListPage, Fault::Throttled);
        }
        assert_eq!(process.sweep_for_execution().await.has_failed, fails);
        sleep(3 * SECOND).await;
        let id = put_abandoned(&world, 1);
        let invoked = process.sweep_for_execution().await;
        assert_swept(&invoked, "INFO", &SweepReport { executing: 1, cancelled: 1, ..nothing() });
        assert_eq!(world.cancelled(), [id]);
        assert_eq!(process.since.elapsed(), 10 * SECOND);
        assert_eq!(invoked.record()["SweepDuration"], 0, "waiting is not sweeping");
    }
}

#[tokio::test(start_paused = true)]
async fn stops_that_keep_the_schedule_out_make_up_for_it() {
    let world = World::new();
    let process = Process::in_world(&world);
    put_executing(&world, 1);
    let lost = put_lost(&world, 2, "Success");
    // A hundred in a minute, for five minutes.
    while process.since.elapsed() < 5 * MINUTE {
        process.sweep_for_execution().await;
        sleep(SECOND * 3 / 5).await;
    }
    let answered: Vec<_> = world.answers().into_iter().map(|(token, _)| token).collect();
    assert_eq!(answered, [token(2)], "{lost}");
    // Six sweeps a minute with one list each, and three of everything with two or three.
    let lists = world.calls(Op::ListPage);
    assert!((30 + 3..=30 + 3 * 3).contains(&lists), "{lists}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_would_wait_past_its_deadline_says_that_it_did_nothing() {
    let world = World::new();
    let timeout = Some(SignedDuration::from_secs(8));
    let process = Process { timeout, ..Process::in_world(&world) };
    process.sweep_for_execution().await;
    put_abandoned(&world, 1);
    let invoked = process.sweep_for_execution().await;
    assert_swept(&invoked, "WARN", &SweepReport { truncated: true, ..nothing() });
    assert_eq!(process.since.elapsed(), 5 * SECOND);
    assert_eq!(world.calls(Op::ListPage), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_without_a_time_is_swept() {
    let world = World::new();
    let process = Process::in_world(&world);
    let mut event = execution_ended(process.now());
    event.as_object_mut().unwrap().remove("time");
    for calls in 1..=2 {
        assert_swept(&process.invoke(&event).await, "INFO", &nothing());
        assert_eq!(world.calls(Op::ListPage), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_swept_at_once_however_late_it_comes() {
    let world = World::new();
    let process = Process::in_world(&world);
    process.sweep_for_execution().await;
    for calls in [FIRST_LISTS, LISTS] {
        let before = world.calls(Op::ListPage);
        let late = scheduled(process.now() - Duration::from_hours(1));
        assert_swept(&process.invoke(&late).await, "DEBUG", &nothing());
        assert_eq!(world.calls(Op::ListPage) - before, calls);
    }
    assert_eq!(process.since.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_stop_after_a_sweep_that_left_something_out_is_swept() {
    for is_cut_short in [true, false] {
        let world = World::new();
        let mut process = Process::in_world(&world);
        let stopped_at = process.now() - A_WHILE;
        put_abandoned(&world, 1);
        if is_cut_short {
            process.timeout = Some(SignedDuration::ZERO);
        } else {
            world.fail_next(Op::SendTaskHeartbeat, Fault::Throttled);
        }
        assert_eq!(process.sweep().await.returned["Truncated"], is_cut_short);
        process.timeout = Some(TIMEOUT);
        let second = process.invoke(&execution_ended(stopped_at)).await;
        assert_swept(&second, "INFO", &SweepReport { executing: 1, cancelled: 1, ..nothing() });
    }
}

#[tokio::test(start_paused = true)]
async fn many_executions_that_are_stopped_together_are_swept_once() {
    let world = World::new();
    let process = Process::in_world(&world);
    for number in 1..=20 {
        put_abandoned(&world, number);
    }
    let event = execution_ended(process.now() - A_WHILE).to_string();
    let context = process.context();
    let handled = async |_| {
        let mut metrics = Vec::new();
        let response = process.sweep.handle(&event, context, &mut metrics).await;
        (response.expect("no error"), metrics)
    };
    let invoked = invoked(async |metrics: &mut Vec<u8>| {
        let (responses, records): (Vec<_>, Vec<_>) =
            join_all((1..=20).map(handled)).await.into_iter().unzip();
        metrics.extend(records.concat());
        Ok(responses)
    })
    .await;
    let responses = invoked.returned.as_array().expect("a response each");
    let cancelled: Vec<_> = responses.iter().filter_map(|one| one["Cancelled"].as_u64()).collect();
    assert_eq!((cancelled.iter().sum::<u64>(), cancelled.iter().max()), (20, Some(&20)));
    assert_eq!(invoked.record()["Cancelled"], 20);
    assert_eq!(world.cancelled().len(), 20);
    assert_eq!(world.calls(Op::ListPage), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_executions_that_fail_in_a_minute_cost_six_calls() {
    // For ten minutes. Every fiftieth execution is ours, and has a command.
    let world = World::new();
    let process = Process::in_world(&world);
    let ended_at = |number: u32| process.since + number * MINUTE / 100;
    let is_ours = |number: &u32| number % 50 == 7;
    let stopping = async {
        for number in (0..1_000).filter(is_ours) {
            tokio::time::sleep_until(ended_at(number)).await;
            put_abandoned(&world, number);
        }
    };
    // The one process is told of them one after the other.
    let handling = async {
        let mut calls = Vec::new();
        for number in 0..1_000 {
            tokio::time::sleep_until(ended_at(number)).await;
            if number % 100 == 0 {
                process.sweep().await;
            }
            let before = world.calls(Op::ListPage);
            let at = *BEGAN + (ended_at(number) - process.since);
            process.invoke(&execution_ended(at)).await;
            calls.extend((before..world.calls(Op::ListPage)).map(|_| Instant::now()));
            let took = Instant::now() - ended_at(number);
            assert!(took <= 13 * SECOND, "{took:?}");
            assert!(!is_ours(&number) || world.cancelled().contains(&command_id(number)));
        }
        calls
    };
    let ((), calls) = tokio::join!(stopping, handling);
    assert!((60..=62).contains(&calls.len()), "{}", calls.len());
    for (early, late) in calls.iter().zip(calls.iter().skip(6)) {
        assert!(*late - *early >= MINUTE, "seven in a minute");
    }
    assert_eq!(world.cancelled().len(), 20);
}

// Events that are none.

#[tokio::test(start_paused = true)]
async fn an_event_that_starts_no_sweep_is_refused() {
    let other = |source: &str, detail_type: &str| {
        json!({ "source": source, "detail-type": detail_type, "detail": { "taskToken": TOKEN } })
            .to_string()
    };
    for event in [
        String::new(),
        "{}".to_owned(),
        format!("\"{TOKEN}\""),
        other("aws.ssm", "EC2 Command Status-change Notification"),
        other("aws.states", "Scheduled Event"),
        other("mine", "Step Functions Execution Status Change"),
    ] {
        let world = World::new();
        let invoked = swept_by(&world, &event).await;
        let (error_type, message) = invoked.error();
        assert_eq!(error_type, "InvalidEvent");
        let line = invoked.line_of(FUNCTION);
        assert_eq!(line.level, "ERROR");
        assert_eq!(line.field("error").as_deref(), Some(message));
        assert_eq!(Op::ALL.map(|op| world.calls(op)), [0; 9]);
    }
}
