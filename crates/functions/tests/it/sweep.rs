//! What an invocation of the sweep gives back, logs and counts, whatever it finds.

use std::time::Duration;

use callback::testing::sample::{command, command_id, invocation};
use callback::testing::world::{Answer, Fault, Op, World};
use callback::{Command, CommandId, Scope, SweepReport};
use functions::Sweep;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::invoked::{FUNCTION_NAME, Invoked, REQUEST_ID, TOKEN, invoked};
use crate::lent_world::LentWorld;
use crate::log_line::LogLine;

/// Who logs what a sweep did, and who logs what it met on its way.
pub(crate) const FUNCTION: &str = "functions::sweep";
const SWEEP: &str = "callback::sweep";

const DOCUMENT: &str = "SfnRunShellScript";
/// Slices of one document: 12 probe ages, and 13 ranges of age for executing commands.
const SLICES: u64 = 25;
/// The time that the schedule tells, long ago.
const SCHEDULED_AT_S: i64 = 1_735_689_600;
/// The time that an invocation has.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
/// An age at which a completed command is probed, and one at which it is not.
const PROBED: SignedDuration = SignedDuration::from_secs(150);
const NOT_PROBED: SignedDuration = SignedDuration::from_mins(11);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// Longer ago than an event's time and the clock of the process differ.
const A_WHILE_AGO: SignedDuration = SignedDuration::from_secs(10);

type SweepOf<'a> = Sweep<LentWorld<'a>, LentWorld<'a>>;

fn sweep_of<'a>(world: &'a World, document_names: &[&str]) -> SweepOf<'a> {
    let scope = Scope {
        document_names: document_names.iter().map(|&name| name.to_owned()).collect(),
        interval: Duration::from_mins(1),
        lookback: Duration::from_hours(49),
    };
    Sweep::new(LentWorld(world), LentWorld(world), scope, FUNCTION_NAME.to_owned())
}

fn sweep_in(world: &World) -> SweepOf<'_> {
    sweep_of(world, &[DOCUMENT])
}

// Events.

fn scheduled_at() -> Timestamp {
    Timestamp::from_second(SCHEDULED_AT_S).unwrap()
}

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

async fn invoke(sweep: &SweepOf<'_>, event: &Value) -> Invoked {
    invoke_until(sweep, event, Timestamp::now() + TIMEOUT).await
}

async fn invoke_until(sweep: &SweepOf<'_>, event: &Value, deadline: Timestamp) -> Invoked {
    invoke_text(sweep, &event.to_string(), deadline).await
}

async fn invoke_text(sweep: &SweepOf<'_>, event_json: &str, deadline: Timestamp) -> Invoked {
    invoked(async |metrics| sweep.handle(event_json, REQUEST_ID, deadline, metrics).await).await
}

/// The event comes in, as the first of a process.
pub(crate) async fn swept_by(world: &World, event_json: &str) -> Invoked {
    invoke_text(&sweep_in(world), event_json, Timestamp::now() + TIMEOUT).await
}

/// The first sweep of a process, by schedule.
async fn swept(world: &World) -> Invoked {
    swept_by(world, &scheduled(scheduled_at()).to_string()).await
}

// Commands.

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
    put(world, number, "InProgress", scheduled_at() - MINUTE)
}

/// A command that executes, and whose task is closed.
fn put_abandoned(world: &World, number: u32) -> CommandId {
    world.close_task(&token(number));
    put(world, number, "InProgress", scheduled_at() - MINUTE)
}

/// A command that has ended, and whose task still waits, at an age at which it is probed.
fn put_lost(world: &World, number: u32, details: &str) -> CommandId {
    world.open_task(&token(number));
    put(world, number, details, scheduled_at() - PROBED)
}

// What is expected.

/// A sweep of everything that found nothing.
fn nothing() -> SweepReport {
    SweepReport::default()
}

/// The sweep reports this, and tells so in all three places.
#[track_caller]
fn assert_swept(invoked: &Invoked, level: &str, report: SweepReport) {
    let SweepReport {
        executing,
        heartbeats,
        recovered,
        cancelled,
        rejected,
        failed,
        slices_left,
        truncated,
    } = report;
    assert_eq!(
        invoked.returned,
        json!({
            "Executing": executing, "Recovered": recovered, "Cancelled": cancelled,
            "Truncated": truncated,
        }),
        "{invoked:?}"
    );
    assert!(!invoked.has_failed);

    let line = invoked.line_of(FUNCTION);
    assert_eq!(line.level, level, "{line:?}");
    let record = invoked.record();
    for (field, metric, count) in [
        ("executing", "Executing", executing),
        ("heartbeats", "Heartbeats", heartbeats),
        ("recovered", "Recovered", recovered),
        ("cancelled", "Cancelled", cancelled),
        ("rejected", "Rejected", rejected),
        ("failed", "Failed", failed),
    ] {
        assert!(line.says(field, count), "{field}: {line:?}");
        assert_eq!(record[metric], count, "{metric}");
    }
    assert!(line.says("slices_left", slices_left), "{line:?}");
    assert!(line.says("truncated", truncated), "{line:?}");
    assert_eq!(record["Truncated"], u64::from(truncated));
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
async fn a_sweep_that_finds_nothing_is_no_warning() {
    let world = World::new();
    let invoked = swept(&world).await;
    assert_swept(&invoked, "INFO", nothing());
    assert_eq!(invoked.log.len(), 1, "{invoked:?}");
    assert_eq!(world.calls(Op::ListSlice), 25);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_wait_get_a_heartbeat_each() {
    let world = World::new();
    for number in 1..=60 {
        put_executing(&world, number);
    }
    let report = SweepReport { executing: 60, heartbeats: 60, ..nothing() };
    let invoked = swept(&world).await;
    assert_swept(&invoked, "INFO", report);
    assert_eq!(invoked.log.len(), 1, "{invoked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_a_warning_that_names_command_and_outcome() {
    for (details, outcome) in [("Success", "Succeeded"), ("Failed", "Failed")] {
        let world = World::new();
        let id = put_lost(&world, 1, details);
        let invoked = swept(&world).await;
        assert_swept(&invoked, "WARN", SweepReport { heartbeats: 1, recovered: 1, ..nothing() });
        let line = the_line_about(&invoked, "WARN", &id);
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
    put(&world, 1, "Success", scheduled_at() - PROBED);
    let invoked = swept(&world).await;
    assert_swept(&invoked, "INFO", nothing());
    assert_eq!(world.calls(Op::ListCommands), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_command_is_cancelled_without_a_warning() {
    let world = World::new();
    let id = put_abandoned(&world, 1);
    let invoked = swept(&world).await;
    assert_swept(&invoked, "INFO", SweepReport { executing: 1, cancelled: 1, ..nothing() });
    the_line_about(&invoked, "INFO", &id);
    assert_eq!(world.cancelled(), [id]);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_command_that_shall_go_on_goes_on() {
    let world = World::new();
    world.close_task(&token(1));
    let parameters = [("taskToken", &*token(1)), ("onAbandon", "Continue")];
    put_with(&world, 1, "InProgress", scheduled_at() - MINUTE, &parameters);
    assert_swept(&swept(&world).await, "INFO", SweepReport { executing: 1, ..nothing() });
    assert_eq!(world.cancelled(), []);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_step_functions_rejects_is_a_warning_and_cancels_nothing() {
    let world = World::new();
    let id = put(&world, 1, "InProgress", scheduled_at() - MINUTE);
    let invoked = swept(&world).await;
    assert_swept(&invoked, "WARN", SweepReport { executing: 1, rejected: 1, ..nothing() });
    the_line_about(&invoked, "WARN", &id);
    assert_eq!(world.cancelled(), []);
}

#[tokio::test(start_paused = true)]
async fn a_text_that_cannot_be_a_token_is_a_warning_and_is_not_sent() {
    let world = World::new();
    let text = TOKEN.repeat(100);
    let requested_at = scheduled_at() - MINUTE;
    let id = put_with(&world, 1, "InProgress", requested_at, &[("taskToken", &text)]);
    let invoked = swept(&world).await;
    assert_swept(&invoked, "WARN", SweepReport { rejected: 1, ..nothing() });
    the_line_about(&invoked, "WARN", &id);
    assert_eq!(world.calls(Op::SendTaskHeartbeat), 0);
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_token_is_not_counted() {
    let world = World::new();
    put_with(&world, 1, "InProgress", scheduled_at() - MINUTE, &[]);
    assert_swept(&swept(&world).await, "INFO", nothing());
}

#[tokio::test(start_paused = true)]
async fn the_commands_of_all_documents_of_the_scope_are_counted_and_no_others() {
    let world = World::new();
    for (number, document) in [(1, DOCUMENT), (2, "Mine"), (3, "Theirs")] {
        world.open_task(&token(number));
        let nodes = vec![invocation(1, "InProgress", "", "")];
        let parameters = [("taskToken", &*token(number))];
        let command = command(&command_id(number), &parameters, "InProgress", &nodes);
        world.put_command(Command { document_name: document.to_owned(), ..command }, nodes);
    }
    let sweep = sweep_of(&world, &[DOCUMENT, "Mine"]);
    let invoked = invoke(&sweep, &scheduled(scheduled_at())).await;
    assert_swept(&invoked, "INFO", SweepReport { executing: 2, heartbeats: 2, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn everything_at_once_is_counted_once_each() {
    let world = World::new();
    put_executing(&world, 1);
    put_lost(&world, 2, "Success");
    put_lost(&world, 3, "Failed");
    put_abandoned(&world, 4);
    put(&world, 5, "InProgress", scheduled_at() - MINUTE);
    let spoilt = put_executing(&world, 6);
    world.spoil(&spoilt);
    let report = SweepReport {
        executing: 3,
        heartbeats: 3,
        recovered: 2,
        cancelled: 1,
        rejected: 1,
        failed: 1,
        slices_left: 0,
        truncated: false,
    };
    let invoked = swept(&world).await;
    assert_swept(&invoked, "WARN", report);
    let mut levels: Vec<_> = invoked.log.iter().map(|line| line.level.as_str()).collect();
    levels.sort_unstable();
    assert_eq!(levels, ["INFO", "WARN", "WARN", "WARN", "WARN", "WARN"]);
}

// What fails.

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_fails_is_counted_and_cancels_nothing() {
    for (fault, code) in
        [(Fault::Throttled, "ThrottlingException"), (Fault::Denied, "AccessDeniedException")]
    {
        let world = World::new();
        let id = put_abandoned(&world, 1);
        world.fail_next(Op::SendTaskHeartbeat, fault);
        let invoked = swept(&world).await;
        assert_swept(&invoked, "WARN", SweepReport { executing: 1, failed: 1, ..nothing() });
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
    assert_swept(&invoked, "WARN", SweepReport { executing: 1, failed: 1, ..nothing() });
    let line = the_line_about(&invoked, "WARN", &id);
    assert_tells_call(line, Op::CancelCommand, "AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_that_cannot_be_settled_is_counted_as_failed_only() {
    for op in [Op::ListCommands, Op::ListCommandInvocations, Op::SendTaskSuccess] {
        let world = World::new();
        let id = put_lost(&world, 1, "Success");
        world.fail_next(op, Fault::Throttled);
        let invoked = swept(&world).await;
        assert_swept(&invoked, "WARN", SweepReport { heartbeats: 1, failed: 1, ..nothing() });
        let line = the_line_about(&invoked, "WARN", &id);
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
    assert_swept(&invoked, "WARN", SweepReport { failed: 1, ..nothing() });
    let line = invoked.line_of(SWEEP);
    assert_eq!(line.level, "WARN");
    assert_tells_call(line, Op::ListSlice, "command without a status");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_refused_is_a_warning_that_names_its_document() {
    let world = World::new();
    world.fail_next(Op::ListSlice, Fault::Denied);
    let invoked = swept(&world).await;
    assert_swept(&invoked, "WARN", SweepReport { failed: 1, slices_left: 1, ..nothing() });
    let line = invoked.line_of(SWEEP);
    assert_eq!(line.level, "WARN");
    assert!(line.says("document_name", DOCUMENT), "{line:?}");
    assert_tells_call(line, Op::ListSlice, "AccessDeniedException");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_whose_lists_are_all_refused_is_no_failed_invocation() {
    let world = World::new();
    put_executing(&world, 1);
    for _ in 0..SLICES {
        world.fail_next(Op::ListSlice, Fault::Denied);
    }
    let invoked = swept(&world).await;
    let report = SweepReport { failed: SLICES, slices_left: SLICES, ..nothing() };
    assert_swept(&invoked, "WARN", report);
    assert_eq!(invoked.log.len(), 26, "{invoked:?}");
}

#[tokio::test(start_paused = true)]
async fn metrics_that_cannot_be_written_are_logged_and_fail_nothing() {
    let world = World::new();
    let id = put_abandoned(&world, 1);
    let sweep = sweep_in(&world);
    let event = scheduled(scheduled_at()).to_string();
    let deadline = Timestamp::now() + TIMEOUT;
    let mut full: &mut [u8] = &mut [];
    let invoked =
        invoked(async |_| sweep.handle(&event, REQUEST_ID, deadline, &mut full).await).await;
    assert_eq!(invoked.returned["Cancelled"], 1);
    assert_eq!(invoked.log.last().expect("lines").level, "ERROR");
    assert_eq!(world.cancelled(), [id]);
}

// The time that is left.

#[tokio::test(start_paused = true)]
async fn a_sweep_ends_three_seconds_before_its_invocation_would() {
    let world = World::new();
    world.slow(Op::ListSlice, Duration::from_mins(2));
    let started = Instant::now();
    let invoked = swept(&world).await;
    let report = SweepReport { slices_left: SLICES, truncated: true, ..nothing() };
    assert_swept(&invoked, "WARN", report);
    // By the clock of the tests, in which nothing but waiting takes time.
    let took = started.elapsed();
    assert!((Duration::from_secs(50)..=Duration::from_secs(57)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_is_cut_short_counts_what_it_did() {
    let world = World::new();
    put_executing(&world, 1);
    world.slow(Op::ListSlice, Duration::from_secs(12));
    let invoked = swept(&world).await;
    // One slice alone, and then four at a time: 57 s are enough for 13.
    let line = invoked.line_of(FUNCTION);
    assert!(line.says("slices_left", SLICES - 13) && line.says("truncated", true), "{line:?}");
    assert_eq!(invoked.returned["Truncated"], true);
    assert_eq!(invoked.record()["Truncated"], 1);
    assert_eq!(invoked.record()["Heartbeats"], world.calls(Op::SendTaskHeartbeat));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_without_time_says_that_it_did_nothing() {
    for left in [SignedDuration::from_secs(2), SignedDuration::ZERO, -TIMEOUT] {
        let world = World::new();
        put_abandoned(&world, 1);
        let event = scheduled(scheduled_at());
        let deadline = Timestamp::now() + left;
        let invoked = invoke_until(&sweep_in(&world), &event, deadline).await;
        let report = SweepReport { slices_left: SLICES, truncated: true, ..nothing() };
        assert_swept(&invoked, "WARN", report);
        assert_eq!(world.cancelled(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_cannot_be_read_is_none() {
    let world = World::new();
    put_abandoned(&world, 1);
    let event = scheduled(scheduled_at());
    let invoked = invoke_until(&sweep_in(&world), &event, Timestamp::MAX).await;
    assert_swept(&invoked, "INFO", SweepReport { executing: 1, cancelled: 1, ..nothing() });
}

// What one invocation leaves to the next.

#[tokio::test(start_paused = true)]
async fn a_command_that_was_seen_executing_is_answered_two_sweeps_after_its_end() {
    let world = World::new();
    let sweep = sweep_in(&world);
    world.open_task(&token(1));
    let requested_at = scheduled_at() - NOT_PROBED;
    let id = put(&world, 1, "InProgress", requested_at);
    let executing = SweepReport { executing: 1, heartbeats: 1, ..nothing() };
    assert_swept(&invoke(&sweep, &scheduled(scheduled_at())).await, "INFO", executing);

    put(&world, 1, "Success", requested_at);
    let second = invoke(&sweep, &scheduled(scheduled_at() + MINUTE)).await;
    assert_swept(&second, "INFO", nothing());

    let third = invoke(&sweep, &scheduled(scheduled_at() + 2 * MINUTE)).await;
    assert_swept(&third, "WARN", SweepReport { heartbeats: 1, recovered: 1, ..nothing() });
    the_line_about(&third, "WARN", &id);

    let fourth = invoke(&sweep, &scheduled(scheduled_at() + 3 * MINUTE)).await;
    assert_swept(&fourth, "INFO", nothing());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_failed_is_made_good_by_the_next_invocation() {
    let world = World::new();
    let sweep = sweep_in(&world);
    world.open_task(&token(1));
    // The oldest that is probed: a minute later it is not, but for the memory.
    let oldest = SignedDuration::from_secs(9 * 60 + 30);
    put(&world, 1, "Success", scheduled_at() - oldest);
    world.fail_next(Op::SendTaskHeartbeat, Fault::Throttled);
    let first = invoke(&sweep, &scheduled(scheduled_at())).await;
    assert_swept(&first, "WARN", SweepReport { failed: 1, ..nothing() });
    let second = invoke(&sweep, &scheduled(scheduled_at() + MINUTE)).await;
    assert_swept(&second, "WARN", SweepReport { heartbeats: 1, recovered: 1, ..nothing() });
}

// The time of a sweep.

/// A command that ended lately by the clock of the machine, and whose event is lost, is found by
/// this event.
async fn check_swept_now(event: &Value) {
    let world = World::new();
    world.open_task(&token(1));
    put(&world, 1, "Success", Timestamp::now() - PROBED);
    let invoked = swept_by(&world, &event.to_string()).await;
    assert_swept(&invoked, "WARN", SweepReport { heartbeats: 1, recovered: 1, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_time_sweeps_now() {
    let mut event = scheduled(scheduled_at());
    event.as_object_mut().unwrap().remove("time");
    check_swept_now(&event).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_from_the_future_makes_no_command_older() {
    check_swept_now(&scheduled("2100-01-01T00:00:00Z".parse().unwrap())).await;
    check_swept_now(&execution_ended("2100-01-01T00:00:00Z".parse().unwrap())).await;
}

// Executions that end.

fn says_cause(invoked: &Invoked, cause: &str) -> bool {
    invoked.line_of(FUNCTION).says("cause", cause)
}

/// An invocation that had nothing to do: it is told by zeros and one line, and counts no sweep.
#[track_caller]
fn assert_dealt_with(invoked: &Invoked) {
    let zeros = json!({ "Executing": 0, "Recovered": 0, "Cancelled": 0, "Truncated": false });
    assert_eq!(invoked.returned, zeros);
    assert_eq!(invoked.line_of(FUNCTION).level, "INFO");
    assert_eq!(invoked.log.len(), 1);
    assert_eq!(invoked.metrics, [] as [Value; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_tells_why_it_was_started() {
    let world = World::new();
    let ended = invoke(&sweep_in(&world), &execution_ended(Timestamp::now())).await;
    assert!(says_cause(&ended, "ExecutionEnded"));
    assert!(says_cause(&swept(&world).await, "Schedule"));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_execution_has_its_command_cancelled() {
    let world = World::new();
    let sweep = sweep_in(&world);
    let id = put_abandoned(&world, 1);
    let invoked = invoke(&sweep, &execution_ended(Timestamp::now())).await;
    assert_swept(&invoked, "INFO", SweepReport { executing: 1, cancelled: 1, ..nothing() });
    assert_eq!(world.cancelled(), [id]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_last_sweep_began_is_dealt_with() {
    let world = World::new();
    let sweep = sweep_in(&world);
    let stopped_at = Timestamp::now() - A_WHILE_AGO;
    invoke(&sweep, &scheduled(Timestamp::now())).await;
    let calls = world.calls(Op::ListSlice);
    assert_dealt_with(&invoke(&sweep, &execution_ended(stopped_at)).await);
    assert_eq!(world.calls(Op::ListSlice), calls);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_the_last_sweep_may_have_missed_is_swept() {
    let world = World::new();
    let sweep = sweep_in(&world);
    invoke(&sweep, &scheduled(Timestamp::now())).await;
    let id = put_abandoned(&world, 1);
    let invoked = invoke(&sweep, &execution_ended(Timestamp::now())).await;
    assert_eq!(invoked.record()["Cancelled"], 1);
    assert_eq!(world.cancelled(), [id]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_without_a_time_is_swept() {
    let world = World::new();
    let sweep = sweep_in(&world);
    let mut event = execution_ended(Timestamp::now());
    event.as_object_mut().unwrap().remove("time");
    for _ in 0..2 {
        assert_swept(&invoke(&sweep, &event).await, "INFO", nothing());
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_swept_however_late_it_comes() {
    let world = World::new();
    let sweep = sweep_in(&world);
    for _ in 0..2 {
        assert_swept(&invoke(&sweep, &scheduled(scheduled_at())).await, "INFO", nothing());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_after_a_sweep_that_left_something_out_is_swept() {
    let stopped_at = Timestamp::now() - A_WHILE_AGO;
    for is_cut_short in [true, false] {
        let world = World::new();
        let sweep = sweep_in(&world);
        put_abandoned(&world, 1);
        let deadline = if is_cut_short {
            Timestamp::now()
        } else {
            world.fail_next(Op::SendTaskHeartbeat, Fault::Throttled);
            Timestamp::MAX
        };
        let first = invoke_until(&sweep, &scheduled(Timestamp::now()), deadline).await;
        assert_eq!(first.returned["Truncated"], is_cut_short);
        let second = invoke(&sweep, &execution_ended(stopped_at)).await;
        assert_swept(&second, "INFO", SweepReport { executing: 1, cancelled: 1, ..nothing() });
    }
}

#[tokio::test(start_paused = true)]
async fn many_executions_that_are_stopped_together_are_swept_once() {
    let world = World::new();
    let sweep = sweep_in(&world);
    for number in 1..=20 {
        put_abandoned(&world, number);
    }
    let event = execution_ended(Timestamp::now() - A_WHILE_AGO).to_string();
    let deadline = Timestamp::now() + TIMEOUT;
    let handled = async |_| {
        let mut metrics = Vec::new();
        let response = sweep.handle(&event, REQUEST_ID, deadline, &mut metrics).await;
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
    assert_eq!(world.calls(Op::ListSlice), 25);
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
