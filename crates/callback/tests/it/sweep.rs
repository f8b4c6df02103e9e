//! What a sweep does with every kind of command, by a clock that the test sets.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use callback::output::Output;
use callback::ports::{
    AnswerReceipt, CallError, CommandPage, CommandSlice, Outputs, PageToken, Pulse,
};
use callback::sweep::SLICE_PAGES_MAX;
use callback::testing::log::Log;
use callback::testing::sample::{command, command_id, invocation};
use callback::testing::world::{Answer, Fault, Op, World};
use callback::{
    Command, CommandId, InstanceId, Invocation, Memory, RunCommand, Scope, SweepReport, TaskToken,
    Tasks, sweep,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

const DOCUMENT: &str = "SfnRunShellScript";
/// When the sweep is that most tests look at. Its first slice is the youngest executing commands.
const NOW_S: i64 = 1_795_338_000;
/// How long a sweep may take, as in the function.
const TIME_LEFT: Duration = Duration::from_secs(50);
/// Slices of one document: 12 probe ages, and 13 ranges of age for executing commands.
const SLICES: u64 = 25;
/// An age at which a completed command is probed.
const PROBED: Duration = Duration::from_secs(150);
/// What every token of these tests begins with.
const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAtokenThatWaits";

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time - SignedDuration::try_from(by).unwrap()
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time + SignedDuration::try_from(by).unwrap()
}

/// The default settings.
fn scope_of(document_names: &[&str]) -> Scope {
    Scope {
        document_names: document_names.iter().map(|&name| name.to_owned()).collect(),
        interval: MINUTE,
        lookback: 49 * HOUR,
    }
}

async fn sweep_at(world: &World, now: Timestamp) -> SweepReport {
    sweep(world, world, &scope_of(&[DOCUMENT]), &mut Memory::default(), now, TIME_LEFT).await
}

async fn sweep_once(world: &World) -> SweepReport {
    sweep_at(world, now()).await
}

fn token(number: u32) -> String {
    format!("{TOKEN}{number}")
}

/// A command to put into a world.
struct Given {
    number: u32,
    requested_at: Timestamp,
    document: &'static str,
    details: &'static str,
    parameters: Vec<(&'static str, String)>,
    unseen_nodes: u32,
}

/// A command with a token that was requested so long before [`now`].
fn given(number: u32, age: Duration, details: &'static str) -> Given {
    Given {
        number,
        requested_at: earlier(now(), age),
        document: DOCUMENT,
        details,
        parameters: vec![("taskToken", token(number))],
        unseen_nodes: 0,
    }
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

    /// Puts the command into the world; Step Functions does not know its token.
    fn put(self, world: &World) -> CommandId {
        let id = command_id(self.number);
        let parameters: Vec<_> =
            self.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let nodes = vec![invocation(1, self.details, "Hello\n", "")];
        let mut command = Command {
            requested_at: self.requested_at,
            document_name: self.document.to_owned(),
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

/// The report of a sweep that came to its end and found nothing.
fn nothing() -> SweepReport {
    SweepReport::default()
}

fn failures(failed: u64) -> SweepReport {
    SweepReport { failed, ..nothing() }
}

/// Calls that change something, besides heartbeats.
fn changes(world: &World) -> usize {
    [Op::CancelCommand, Op::SendTaskSuccess, Op::SendTaskFailure]
        .map(|op| world.calls(op))
        .iter()
        .sum()
}

/// The error of the only answer.
#[track_caller]
fn the_error(world: &World) -> String {
    match world.answers().as_slice() {
        [(_, Answer::Failure { error, .. })] => error.clone(),
        answers => panic!("one failure wanted: {answers:?}"),
    }
}

// Executing commands.

#[tokio::test(start_paused = true)]
async fn a_command_that_is_waited_for_gets_a_heartbeat_and_nothing_else() {
    for age in [Duration::ZERO, SECOND, 2 * MINUTE, 59 * MINUTE, 40 * HOUR, 49 * HOUR, 700 * HOUR] {
        for details in ["Pending", "InProgress", "Delayed", "Cancelling"] {
            let world = World::new();
            given(1, age, details).put_waited_for(&world);
            let report = sweep_once(&world).await;
            assert_eq!(report, SweepReport { executing: 1, heartbeats: 1, ..nothing() });
            assert_eq!((world.calls(Op::SendTaskHeartbeat), changes(&world)), (1, 0), "{age:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_of_a_clock_that_is_ahead_gets_its_heartbeat() {
    let world = World::new();
    let requested_at = later(now(), 30 * SECOND);
    Given { requested_at, ..given(1, MINUTE, "InProgress") }.put_waited_for(&world);
    assert_eq!(sweep_once(&world).await.heartbeats, 1);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_nobody_waits_for_is_cancelled_once() {
    for age in [Duration::ZERO, 2 * MINUTE, 59 * MINUTE, 100 * HOUR] {
        for details in ["Pending", "InProgress", "Delayed"] {
            let world = World::new();
            let id = given(1, age, details).put_abandoned(&world);
            let report = sweep_once(&world).await;
            assert_eq!(report, SweepReport { executing: 1, cancelled: 1, ..nothing() });
            assert_eq!(world.cancelled(), [id]);

            assert_eq!(sweep_at(&world, later(now(), MINUTE)).await, nothing());
            assert_eq!(changes(&world), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_being_cancelled_is_not_cancelled_again() {
    let world = World::new();
    given(1, MINUTE, "Cancelling").put_abandoned(&world);
    assert_eq!(sweep_once(&world).await, SweepReport { executing: 1, ..nothing() });
    assert_eq!(changes(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn on_abandon_decides_whether_it_goes_on() {
    for (on_abandon, cancelled) in [
        ("Cancel", 1),
        ("cancel", 1),
        ("", 1),
        ("Continue", 0),
        ("continue", 0),
        // A wrong cancel is worse than none.
        ("Kontinue", 0),
    ] {
        let world = World::new();
        given(1, MINUTE, "InProgress").parameter("onAbandon", on_abandon).put_abandoned(&world);
        let report = sweep_once(&world).await;
        assert_eq!(report, SweepReport { executing: 1, cancelled, ..nothing() }, "{on_abandon}");
        assert_eq!(u64::try_from(changes(&world)).unwrap(), cancelled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_counted_and_its_command_left_alone() {
    for (details, executing) in [("InProgress", 1), ("Success", 0), ("Failed", 0)] {
        let log = Log::capture();
        let world = World::new();
        let id = given(1, PROBED, details).put(&world);
        let report = sweep_once(&world).await;
        assert_eq!(report, SweepReport { executing, rejected: 1, ..nothing() });
        assert_eq!((world.calls(Op::SendTaskHeartbeat), changes(&world)), (1, 0));
        let log = log.text();
        assert!(log.contains("WARN") && log.contains(id.as_str()), "{log}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_token_is_counted_and_never_sent() {
    for malformed in ["", &"t".repeat(2_049)] {
        for details in ["InProgress", "Success"] {
            let world = World::new();
            given(1, PROBED, details).parameter("taskToken", malformed).put(&world);
            assert_eq!(sweep_once(&world).await, SweepReport { rejected: 1, ..nothing() });
            assert_eq!((world.calls(Op::SendTaskHeartbeat), changes(&world)), (0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_token_is_none_of_ours() {
    let world = World::new();
    for (number, details) in (1..).zip(["InProgress", "Success", "Failed"]) {
        given(number, PROBED, details).without_token().put(&world);
    }
    assert_eq!(sweep_once(&world).await, nothing());
    let calls: usize = Op::ALL.map(|op| world.calls(op)).iter().sum();
    assert_eq!(calls, world.calls(Op::ListSlice), "it is listed, and that is all");
}

#[tokio::test(start_paused = true)]
async fn a_command_at_the_border_of_two_slices_is_looked_after_once() {
    for minutes in [2, 4, 2_048, 2_940] {
        let world = World::new();
        given(1, minutes * MINUTE, "InProgress").put_waited_for(&world);
        given(2, minutes * MINUTE, "InProgress").put_abandoned(&world);
        let report = sweep_once(&world).await;
        let expected = SweepReport { executing: 2, heartbeats: 1, cancelled: 1, ..nothing() };
        assert_eq!(report, expected);
    }
}

// Completed commands.

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_made_good_with_a_warning() {
    for (details, error) in [
        ("Success", None),
        ("Failed", Some("RunCommand.Failed")),
        ("ExecutionTimedOut", Some("RunCommand.ExecutionTimedOut")),
        ("Cancelled", Some("RunCommand.Cancelled")),
    ] {
        let log = Log::capture();
        let world = World::new();
        let id = given(1, PROBED, details).put_waited_for(&world);

        let report = sweep_once(&world).await;

        assert_eq!(report, SweepReport { heartbeats: 1, recovered: 1, ..nothing() });
        let answers = world.answers();
        let [(answered, answer)] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(*answered, token(1));
        let told = match answer {
            Answer::Success { output } => {
                assert_eq!(error, None);
                output
            }
            Answer::Failure { error: told, cause } => {
                assert_eq!(Some(told.as_str()), error);
                cause
            }
        };
        let told: Value = serde_json::from_str(told).unwrap();
        assert_eq!(told["CommandId"], id.as_str());
        assert_eq!(told["StatusDetails"], details);
        assert_eq!(told["Invocations"][0]["StandardOutputContent"], "Hello\n");
        let log = log.text();
        let warning = log
            .lines()
            .find(|line| line.contains("answered a task whose completion event was lost"));
        assert!(warning.is_some_and(|line| line.contains("WARN") && line.contains(id.as_str())));

        // The next sweep sees the same command, and nobody waits any more.
        assert_eq!(sweep_at(&world, later(now(), MINUTE)).await, nothing());
        assert_eq!((world.calls(Op::SendTaskHeartbeat), world.answers().len()), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_of_a_reported_failure_is_made_good_as_data() {
    let world = World::new();
    given(1, PROBED, "Failed").parameter("onFailure", "Report").put_waited_for(&world);
    assert_eq!(sweep_once(&world).await.recovered, 1);
    let answers = world.answers();
    let [(_, Answer::Success { output })] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(serde_json::from_str::<Value>(output).unwrap()["Status"], "Failed");
}

#[tokio::test(start_paused = true)]
async fn a_completed_command_whose_task_is_closed_is_left_alone() {
    let world = World::new();
    for (number, details) in (1..).zip(["Success", "Failed", "Cancelled"]) {
        given(number, PROBED, details).put_abandoned(&world);
    }
    assert_eq!(sweep_once(&world).await, nothing());
    assert_eq!((world.calls(Op::SendTaskHeartbeat), changes(&world)), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_completed_command_is_probed_at_its_ages_only() {
    for (age, probes) in [
        (Duration::ZERO, 0),
        (119 * SECOND, 0),
        (2 * MINUTE, 1),
        (Duration::from_millis(239_999), 1),
        (4 * MINUTE, 1),
        (6 * MINUTE, 0),
        (8 * MINUTE, 1),
        (10 * MINUTE, 0),
        (48 * HOUR, 0),
        (49 * HOUR, 1),
        (49 * HOUR + 2 * MINUTE, 0),
        (700 * HOUR, 0),
    ] {
        let world = World::new();
        given(1, age, "Success").put_abandoned(&world);
        sweep_once(&world).await;
        assert_eq!(world.calls(Op::SendTaskHeartbeat), probes, "{age:?}");
    }
}

/// Step Functions, where an event leads to an answer right after each heartbeat.
struct EventAfterHeartbeat<'a>(&'a World);

impl Tasks for EventAfterHeartbeat<'_> {
    async fn succeed(&self, token: &TaskToken, output: &str) -> Result<AnswerReceipt, CallError> {
        self.0.succeed(token, output).await
    }

    async fn fail(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> Result<AnswerReceipt, CallError> {
        self.0.fail(token, error, cause).await
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<Pulse, CallError> {
        let pulse = self.0.heartbeat(token).await;
        assert_eq!(self.0.succeed(token, "{}").await, Ok(AnswerReceipt::Accepted));
        pulse
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_after_the_heartbeat_is_not_counted_as_lost() {
    let world = World::new();
    given(1, PROBED, "Success").put_waited_for(&world);
    let tasks = EventAfterHeartbeat(&world);
    let report =
        sweep(&world, &tasks, &scope_of(&[DOCUMENT]), &mut Memory::default(), now(), TIME_LEFT)
            .await;
    assert_eq!(report, SweepReport { heartbeats: 1, ..nothing() });
    assert_eq!(world.calls(Op::SendTaskSuccess), 2, "they met");
    assert_eq!(world.answers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_sweeps_at_once_answer_once() {
    let world = World::new();
    given(1, PROBED, "Success").put_waited_for(&world);
    let (one, other) = tokio::join!(sweep_once(&world), sweep_once(&world));
    assert_eq!(one.recovered + other.recovered, 1);
    assert_eq!(one.failed + other.failed, 0);
    assert_eq!(world.answers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unseen_node_is_waited_for_until_the_command_is_an_hour_old() {
    for (age, is_overdue) in [
        (PROBED, false),
        (33 * MINUTE, false),
        (64 * MINUTE, true),
        (129 * MINUTE, true),
        (49 * HOUR, true),
    ] {
        let (world, mut memory) = (World::new(), Memory::default());
        Given { unseen_nodes: 1, ..given(1, age, "Success") }.put_waited_for(&world);
        // The first sweep cannot tell whether it has just ended.
        let report = remembering_sweep(&world, &mut memory, 0).await;
        assert_eq!(report, SweepReport { heartbeats: 1, ..failures(1) }, "{age:?}");
        assert_eq!(changes(&world), 0);
        // It is probed and looked back at.
        let report = remembering_sweep(&world, &mut memory, 0).await;
        assert_eq!(report.recovered, u64::from(is_overdue), "{age:?}");
        if is_overdue {
            assert_eq!(the_error(&world), "RunCommand.Incomplete");
        } else {
            assert_eq!(report, SweepReport { heartbeats: 2, ..failures(2) }, "{age:?}");
            assert_eq!(changes(&world), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_the_last_sweep_saw_executing_is_not_overdue() {
    let (world, mut memory) = (World::new(), Memory::default());
    given(1, 64 * MINUTE, "InProgress").put_waited_for(&world);
    remembering_sweep(&world, &mut memory, 0).await;
    // It ends between two sweeps, and the end of its node is read late.
    Given { unseen_nodes: 1, ..given(1, 64 * MINUTE, "Success") }.put(&world);
    let report = remembering_sweep(&world, &mut memory, 0).await;
    assert_eq!(report, SweepReport { heartbeats: 1, ..failures(1) });
    assert_eq!(changes(&world), 0);
    // Then it is read, and the task gets the true answer.
    given(1, 64 * MINUTE, "Success").put(&world);
    assert_eq!(remembering_sweep(&world, &mut memory, 0).await.recovered, 1);
    assert!(matches!(world.answers().as_slice(), [(_, Answer::Success { .. })]));
}

#[tokio::test(start_paused = true)]
async fn a_failure_with_an_unseen_node_is_answered_at_its_first_probe() {
    let world = World::new();
    Given { unseen_nodes: 1, ..given(1, PROBED, "Failed") }.put_waited_for(&world);
    assert_eq!(sweep_once(&world).await.recovered, 1);
    assert_eq!(the_error(&world), "RunCommand.Failed");
}

// From one sweep to the next.

/// Lets a command end at this age, with its event lost, and sweeps once per minute, the first time
/// at this age. Returns at which age the task was answered.
async fn age_when_answered(ended: Duration, first: Duration, missed: fn(u32) -> bool) -> Duration {
    let requested_at = now();
    let world = World::new();
    let put = |details| Given { requested_at, ..given(1, Duration::ZERO, details) }.put(&world);
    put("InProgress");
    world.open_task(&token(1));
    for sweep in 0..=2 * 49 * 60 {
        let age = first + MINUTE * sweep;
        if age + 3 * MINUTE < ended {
            continue;
        }
        if age >= ended {
            put("Success");
        }
        if missed(sweep) {
            continue;
        }
        let report = sweep_at(&world, later(requested_at, age)).await;
        assert_eq!((report.failed, report.cancelled), (0, 0));
        if !world.answers().is_empty() {
            assert_eq!(report.recovered, 1);
            return age;
        }
        assert_eq!(report.heartbeats, u64::from(age < ended), "at {age:?}");
    }
    panic!("ended at {ended:?}, never answered")
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_answered_in_time_and_a_missed_sweep_delays_it_by_one_interval() {
    for ended in [0, 1, 60, 119, 120, 121, 239, 240, 241, 1_000, 3_600, 18_000, 86_400, 172_800] {
        let ended = Duration::from_secs(ended);
        for first in [0, 1, 17, 59].map(Duration::from_secs) {
            let by = (2 * ended).max(2 * MINUTE) + MINUTE;
            let age = age_when_answered(ended, first, |_| false).await;
            assert!(age < by, "ended at {ended:?}, answered at {age:?}");
            for missed in [|sweep| sweep % 2 == 0, |sweep| sweep % 2 == 1] {
                let age = age_when_answered(ended, first, missed).await;
                assert!(age < by + MINUTE, "ended at {ended:?}, answered at {age:?}");
            }
        }
    }
}

/// A world with a command that has run for 20 hours, and a memory in which it executes.
async fn world_of_a_remembered_command() -> (World, Memory) {
    let (world, mut memory) = (World::new(), Memory::default());
    given(1, 20 * HOUR, "InProgress").put_waited_for(&world);
    let report = remembering_sweep(&world, &mut memory, 0).await;
    assert_eq!(report, SweepReport { executing: 1, heartbeats: 1, ..nothing() });
    (world, memory)
}

async fn remembering_sweep(world: &World, memory: &mut Memory, minute: u32) -> SweepReport {
    let now = later(now(), MINUTE * minute);
    sweep(world, world, &scope_of(&[DOCUMENT]), memory, now, TIME_LEFT).await
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_of_a_remembered_command_is_answered_within_two_intervals() {
    let (world, mut memory) = world_of_a_remembered_command().await;
    given(1, 20 * HOUR, "Success").put(&world);
    // Its event may still be on its way.
    assert_eq!(remembering_sweep(&world, &mut memory, 1).await, nothing());
    let report = remembering_sweep(&world, &mut memory, 2).await;
    assert_eq!(report, SweepReport { heartbeats: 1, recovered: 1, ..nothing() });
    assert_eq!(world.answers().len(), 1);
    assert_eq!(remembering_sweep(&world, &mut memory, 3).await, nothing());
    assert_eq!(world.calls(Op::SendTaskHeartbeat), 2);
}

#[tokio::test(start_paused = true)]
async fn a_remembered_command_whose_event_came_costs_one_heartbeat() {
    let (world, mut memory) = world_of_a_remembered_command().await;
    given(1, 20 * HOUR, "Success").put(&world);
    world.close_task(&token(1));
    for minute in 1..5 {
        assert_eq!(remembering_sweep(&world, &mut memory, minute).await, nothing());
    }
    assert_eq!(world.calls(Op::SendTaskHeartbeat), 2);
    assert_eq!((world.calls(Op::ListCommands), changes(&world)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_completed_command_for_which_a_call_failed_is_looked_at_by_the_next_sweep() {
    for op in [Op::SendTaskHeartbeat, Op::ListCommandInvocations, Op::SendTaskSuccess] {
        let (world, mut memory) = (World::new(), Memory::default());
        given(1, PROBED, "Success").put_waited_for(&world);
        world.fail_next(op, Fault::Throttled);
        let failed = remembering_sweep(&world, &mut memory, 0).await;
        assert_eq!((failed.failed, failed.recovered), (1, 0), "{op:?}");
        // By then it is in the slice of no probe.
        let report = remembering_sweep(&world, &mut memory, 4).await;
        assert_eq!(report, SweepReport { heartbeats: 1, recovered: 1, ..nothing() }, "{op:?}");
        assert_eq!(remembering_sweep(&world, &mut memory, 5).await, nothing());
        assert_eq!(world.answers().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_sweep_did_not_get_to_has_not_ended() {
    // Its time was up, or a list failed.
    for is_slow in [true, false] {
        let (world, mut memory) = (World::new(), Memory::default());
        for number in 0..200 {
            given(number, MINUTE / 2, "InProgress").put_waited_for(&world);
        }
        assert_eq!(remembering_sweep(&world, &mut memory, 0).await.heartbeats, 200);
        if is_slow {
            world.slow(Op::SendTaskHeartbeat, 20 * SECOND);
        } else {
            (0..SLICES).for_each(|_| world.fail_next(Op::ListSlice, Fault::Throttled));
        }
        let report = remembering_sweep(&world, &mut memory, 1).await;
        assert_eq!(report.heartbeats, if is_slow { 20 } else { 0 });
        assert!(report.slices_left > 0);
        world.slow(Op::SendTaskHeartbeat, Duration::ZERO);
        for minute in [2, 3] {
            let report = remembering_sweep(&world, &mut memory, minute).await;
            let expected = SweepReport { executing: 200, heartbeats: 200, ..nothing() };
            assert_eq!(report, expected, "in minute {minute}");
        }
        assert_eq!(world.calls(Op::ListCommands), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_in_one_sweep_is_done_by_the_next() {
    for op in [
        Op::SendTaskHeartbeat,
        Op::CancelCommand,
        Op::ListCommands,
        Op::ListCommandInvocations,
        Op::SendTaskSuccess,
    ] {
        for fault in [Fault::Throttled, Fault::TimedOut, Fault::Denied] {
            let world = World::new();
            let abandoned = given(1, 3 * MINUTE, "InProgress").put_abandoned(&world);
            given(2, 2 * MINUTE, "Success").put_waited_for(&world);
            world.fail_next(op, fault);
            assert_eq!(sweep_once(&world).await.failed, 1, "{op:?} {fault:?}");
            assert_eq!(sweep_at(&world, later(now(), MINUTE)).await.failed, 0);
            assert_eq!(world.cancelled(), [abandoned]);
            assert_eq!(world.answers().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_on_its_way_back_is_found_closed_by_the_next() {
    let world = World::new();
    given(1, 2 * MINUTE, "Success").put_waited_for(&world);
    world.fail_next(Op::SendTaskSuccess, Fault::TimedOutAfterTakingEffect);
    assert_eq!(sweep_once(&world).await, SweepReport { heartbeats: 1, ..failures(1) });
    assert_eq!(sweep_at(&world, later(now(), MINUTE)).await, nothing());
    assert_eq!(world.answers().len(), 1);
}

// Nothing stops the others.

/// Ten executing commands that are waited for, ten abandoned ones, and ten whose event was lost.
fn world_of_thirty() -> World {
    let world = World::new();
    for number in 0..10 {
        let age = PROBED + SECOND * number;
        given(number, age, "InProgress").put_waited_for(&world);
        given(100 + number, age, "InProgress").put_abandoned(&world);
        given(200 + number, age, "Success").put_waited_for(&world);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_sweep_does_everything() {
    let world = world_of_thirty();
    let expected =
        SweepReport { executing: 20, heartbeats: 20, recovered: 10, cancelled: 10, ..nothing() };
    assert_eq!(sweep_once(&world).await, expected);
    let cancelled: BTreeSet<_> = world.cancelled().into_iter().collect();
    assert_eq!(cancelled, (100..110).map(command_id).collect());
    let answered: BTreeSet<_> = world.answers().into_iter().map(|(token, _)| token).collect();
    assert_eq!(answered, (200..210).map(token).collect());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_counted_and_stops_nothing_else() {
    for op in [Op::CancelCommand, Op::ListCommands, Op::SendTaskSuccess] {
        let world = world_of_thirty();
        for fault in [Fault::Throttled, Fault::Denied, Fault::TimedOut] {
            world.fail_next(op, fault);
        }
        let report = sweep_once(&world).await;
        assert_eq!((report.executing, report.heartbeats, report.failed), (20, 20, 3), "{op:?}");
        assert_eq!(report.cancelled + report.recovered, 17);
        assert_eq!((report.slices_left, report.truncated), (0, false));
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_heartbeats_are_counted_and_cancel_nothing() {
    let world = world_of_thirty();
    for _ in 0..30 {
        world.fail_next(Op::SendTaskHeartbeat, Fault::Throttled);
    }
    assert_eq!(sweep_once(&world).await, SweepReport { executing: 20, ..failures(30) });
    assert_eq!(changes(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_cannot_be_listed_is_left_and_stops_no_other() {
    let world = world_of_thirty();
    // The first slice of this sweep holds none of them.
    world.fail_next(Op::ListSlice, Fault::Throttled);
    let expected = SweepReport {
        executing: 20,
        heartbeats: 20,
        recovered: 10,
        cancelled: 10,
        slices_left: 1,
        ..failures(1)
    };
    assert_eq!(sweep_once(&world).await, expected);

    let world = world_of_thirty();
    for _ in 0..SLICES {
        world.fail_next(Op::ListSlice, Fault::Denied);
    }
    let expected = SweepReport { slices_left: SLICES, ..failures(SLICES) };
    assert_eq!(sweep_once(&world).await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_was_listed_before_a_page_that_fails_is_looked_after() {
    let world = World::new();
    for number in 0..120 {
        given(number, MINUTE, "InProgress").put_waited_for(&world);
    }
    // The first slice comes first: its second page is read from the first second to the second.
    world.slow(Op::ListSlice, SECOND);
    let failing = async {
        tokio::time::sleep(SECOND * 3 / 2).await;
        world.fail_next(Op::ListSlice, Fault::Throttled);
    };
    let (report, ()) = tokio::join!(sweep_once(&world), failing);
    let expected = SweepReport { executing: 50, heartbeats: 50, slices_left: 1, ..failures(1) };
    assert_eq!(report, expected);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_read_stops_no_other() {
    let world = world_of_thirty();
    for number in [5, 105, 205] {
        world.spoil(&command_id(number));
    }
    let expected =
        SweepReport { executing: 18, heartbeats: 18, recovered: 9, cancelled: 9, ..failures(3) };
    assert_eq!(sweep_once(&world).await, expected);
}

// Documents.

#[tokio::test(start_paused = true)]
async fn commands_of_other_documents_are_not_touched() {
    let world = World::new();
    for (number, document) in (1..).zip(["AWS-RunShellScript", "sfnrunshellscript", ""]) {
        Given { document, ..given(number, MINUTE, "InProgress") }.put_abandoned(&world);
        Given { document, ..given(100 + number, PROBED, "Success") }.put_waited_for(&world);
    }
    assert_eq!(sweep_once(&world).await, nothing());
    assert_eq!((world.calls(Op::SendTaskHeartbeat), changes(&world)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn every_document_of_the_scope_is_looked_after() {
    let world = World::new();
    let documents = [DOCUMENT, "SfnRunPowerShellScript", "SfnRunDocument"];
    for (number, document) in (1..).zip(documents) {
        Given { document, ..given(number, MINUTE, "InProgress") }.put_abandoned(&world);
        Given { document, ..given(100 + number, PROBED, "Success") }.put_waited_for(&world);
    }
    let report =
        sweep(&world, &world, &scope_of(&documents), &mut Memory::default(), now(), TIME_LEFT)
            .await;
    let expected =
        SweepReport { executing: 3, heartbeats: 3, recovered: 3, cancelled: 3, ..nothing() };
    assert_eq!(report, expected);
    assert_eq!(world.calls(Op::ListSlice), 75);
}

#[tokio::test(start_paused = true)]
async fn a_scope_without_documents_is_nothing_to_do() {
    let world = world_of_thirty();
    let report =
        sweep(&world, &world, &scope_of(&[]), &mut Memory::default(), now(), TIME_LEFT).await;
    assert_eq!((report, world.calls(Op::ListSlice)), (nothing(), 0));
}

// Too much to do.

/// A world in which so many commands of one age are executing, and heartbeats take a second.
fn world_of_slow_heartbeats(commands: u32, age: Duration) -> World {
    let world = World::new();
    for number in 0..commands {
        given(number, age, "InProgress").put_waited_for(&world);
    }
    world.slow(Op::SendTaskHeartbeat, SECOND);
    world
}

#[tokio::test(start_paused = true)]
async fn a_sweep_stops_when_its_time_is_up_and_tells_what_was_done() {
    // Whether the rest of the slice was listed, or not.
    for commands in [30, 100] {
        let world = world_of_slow_heartbeats(commands, MINUTE);
        let started = Instant::now();
        let time_left = Duration::from_millis(2_500);
        let report =
            sweep(&world, &world, &scope_of(&[DOCUMENT]), &mut Memory::default(), now(), time_left)
                .await;
        assert_eq!(started.elapsed(), time_left);
        let expected = SweepReport {
            executing: 30,
            heartbeats: 20,
            slices_left: SLICES,
            truncated: true,
            ..nothing()
        };
        assert_eq!(report, expected, "{commands} commands");
    }
}

#[tokio::test(start_paused = true)]
async fn slices_that_were_finished_are_not_left() {
    // The slice of the commands is the last one in the sweep a minute later.
    let world = world_of_slow_heartbeats(100, Duration::ZERO);
    let now = later(now(), MINUTE);
    let time_left = Duration::from_millis(2_500);
    let report =
        sweep(&world, &world, &scope_of(&[DOCUMENT]), &mut Memory::default(), now, time_left).await;
    assert_eq!((report.heartbeats, report.slices_left, report.truncated), (20, 1, true));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_just_ends_in_time_is_not_truncated() {
    let world = world_of_slow_heartbeats(30, MINUTE);
    let scope = scope_of(&[DOCUMENT]);
    let report =
        sweep(&world, &world, &scope, &mut Memory::default(), now(), Duration::from_millis(3_001))
            .await;
    assert_eq!(report, SweepReport { executing: 30, heartbeats: 30, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn a_sweep_without_time_does_nothing() {
    for time_left in [Duration::ZERO, Duration::from_millis(999)] {
        let world = world_of_thirty();
        world.slow(Op::ListSlice, SECOND);
        let report =
            sweep(&world, &world, &scope_of(&[DOCUMENT]), &mut Memory::default(), now(), time_left)
                .await;
        let expected = SweepReport { slices_left: SLICES, truncated: true, ..nothing() };
        assert_eq!(report, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_slice_shares_its_time_with_no_other() {
    // The next two slices are full.
    let world = World::new();
    for number in 0..20 {
        given(number, MINUTE, "InProgress").put_abandoned(&world);
    }
    for (number, age) in (1_000..).zip((0..400).map(|number| PROBED + SECOND * (number % 80))) {
        given(number, age, "InProgress").put_waited_for(&world);
        given(1_000 + number, age, "Success").put_abandoned(&world);
    }
    world.slow(Op::SendTaskHeartbeat, SECOND);
    let scope = scope_of(&[DOCUMENT]);
    let report =
        sweep(&world, &world, &scope, &mut Memory::default(), now(), Duration::from_millis(2_500))
            .await;
    assert_eq!(report.cancelled, 20);
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_finish_one_slice_each_reach_every_command() {
    let documents = [DOCUMENT, "SfnRunPowerShellScript", "SfnRunDocument"];
    let world = World::new();
    let minutes = (0_u32..12).flat_map(|power| [1 << power, (1 << power) + 1, 3 << power]);
    let mut abandoned = BTreeSet::new();
    for ((number, document), minutes) in
        (0..).zip(documents.into_iter().cycle()).zip(minutes.flat_map(|minutes| [minutes; 3]))
    {
        let given = Given { document, ..given(number, MINUTE * minutes, "InProgress") };
        abandoned.insert(given.put_abandoned(&world));
    }
    world.slow(Op::ListSlice, SECOND);

    // As documented: d × (2s + 1), and 2s more while the commands grow older.
    for number in 0..75 + 24 {
        let now = later(now(), MINUTE * number);
        let time_left = Duration::from_millis(1_500);
        let report =
            sweep(&world, &world, &scope_of(&documents), &mut Memory::default(), now, time_left)
                .await;
        assert_eq!((report.slices_left, report.truncated, report.failed), (74, true, 0));
    }
    assert_eq!(world.cancelled().into_iter().collect::<BTreeSet<_>>(), abandoned);
}

/// A list that never ends; nothing else is called.
#[derive(Default)]
struct Endless {
    pages: AtomicUsize,
}

impl RunCommand for Endless {
    async fn command(&self, id: &CommandId) -> Result<Option<Command>, CallError> {
        panic!("{id} was read")
    }

    async fn invocations(&self, id: &CommandId, _: Outputs) -> Result<Vec<Invocation>, CallError> {
        panic!("the invocations of {id} were read")
    }

    async fn invocation(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
    ) -> Result<Option<Invocation>, CallError> {
        panic!("the invocation of {id} on {instance_id} was read")
    }

    async fn output(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
        plugin_name: &str,
    ) -> Result<Output, CallError> {
        panic!("the output of {plugin_name} of {id} on {instance_id} was read")
    }

    async fn commands(
        &self,
        _: &CommandSlice,
        _: Option<&PageToken>,
    ) -> Result<CommandPage, CallError> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(CommandPage { commands: Vec::new(), next: Some(PageToken("again".to_owned())) })
    }

    async fn cancel(&self, id: &CommandId) -> Result<(), CallError> {
        panic!("{id} was cancelled")
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_without_an_end_is_left() {
    let endless = Endless::default();
    let world = World::new();
    let report =
        sweep(&endless, &world, &scope_of(&[DOCUMENT]), &mut Memory::default(), now(), TIME_LEFT)
            .await;
    let expected = SweepReport { slices_left: SLICES, truncated: true, ..nothing() };
    assert_eq!(report, expected);
    let slices = usize::try_from(SLICES).unwrap();
    assert_eq!(endless.pages.into_inner(), slices * SLICE_PAGES_MAX);
}

// Many commands.

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_are_bounded() {
    let world = World::new();
    for number in 0..1_000 {
        let age = MINUTE * (number % 50);
        given(number, age, "InProgress").put_abandoned(&world);
        given(1_000 + number, PROBED, "Success").put_waited_for(&world);
    }
    for op in Op::ALL {
        world.slow(op, Duration::from_millis(20));
    }
    let report = sweep_once(&world).await;
    assert_eq!((report.cancelled, report.recovered), (1_000, 1_000));
    assert_eq!(world.most_at_once(Op::ListSlice), 4);
    for op in Op::ALL.into_iter().filter(|op| *op != Op::ListSlice) {
        assert!(world.most_at_once(op) <= 10, "{op:?}: {}", world.most_at_once(op));
    }
    assert_eq!(world.most_at_once(Op::SendTaskHeartbeat), 10);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_reads_on_only_when_it_has_done_what_it_has_read() {
    for seconds in [5, 20, 45] {
        // 1,000 in each of four slices.
        let world = World::new();
        for number in 0..4_000 {
            let age = [1, 3, 5, 9][usize::try_from(number % 4).unwrap()] * MINUTE;
            given(number, age, "InProgress").put_waited_for(&world);
        }
        world.slow(Op::SendTaskHeartbeat, SECOND);
        let scope = scope_of(&[DOCUMENT]);
        let time_left = Duration::from_secs(seconds) + SECOND / 2;
        let report = sweep(&world, &world, &scope, &mut Memory::default(), now(), time_left).await;
        let done = usize::try_from(seconds * 10).unwrap();
        assert_eq!(usize::try_from(report.heartbeats).unwrap(), done);
        let full_pages = done / 50;
        let pages = world.calls(Op::ListSlice);
        assert!(pages <= full_pages + 4, "{pages} pages read for {full_pages}");
    }
}

/// The ages at which completed commands are probed by default, in minutes, as documented.
const PROBE_AGES_MIN: [u64; 12] = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 2_940];
const MINUTE_MS: u64 = 60_000;

/// Least and greatest ages of the slices, in milliseconds.
fn executing_slices() -> Vec<(u64, u64)> {
    let borders = PROBE_AGES_MIN.map(|minutes| minutes * MINUTE_MS);
    let youngest = [0].into_iter().chain(borders);
    youngest.zip(borders.into_iter().chain([u64::MAX])).collect()
}

fn completed_slices() -> Vec<(u64, u64)> {
    PROBE_AGES_MIN.map(|minutes| (minutes * MINUTE_MS, (minutes + 2) * MINUTE_MS)).to_vec()
}

/// Calls to list these slices of commands of these ages: one per page of 50, and at least one.
fn list_calls(slices: &[(u64, u64)], ages_ms: &[u64]) -> usize {
    let calls = slices.iter().map(|(youngest, oldest)| {
        let listed = ages_ms.iter().filter(|age| (*youngest..=*oldest).contains(age));
        listed.count().div_ceil(50).max(1)
    });
    calls.sum()
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_executing_and_a_hundred_thousand_completed_commands_cost_what_is_documented()
{
    // Every tenth command has no token; every hundredth is abandoned, or has lost its event. None
    // of the abandoned ones is of an age at which it would be probed once it is cancelled.
    fn has_token(number: u32) -> bool {
        number % 10 != 3
    }
    fn is_odd(number: u32) -> bool {
        number % 100 == 47
    }
    let world = World::new();
    let put = |number, age_ms, details| {
        let given = given(number, Duration::from_millis(age_ms), details);
        match (has_token(number), is_odd(number) == (details == "Success")) {
            (false, _) => given.without_token().put(&world),
            (true, true) => given.put_waited_for(&world),
            (true, false) => given.put_abandoned(&world),
        };
    };
    // Spread over 50 hours, some of them just at the border of a slice.
    let executing: Vec<_> = (0..10_000).map(|number: u32| u64::from(number) * 18_000).collect();
    let completed: Vec<_> = (0..100_000).map(|number: u32| u64::from(number) * 1_800).collect();
    for (number, age_ms) in (0..).zip(&executing) {
        put(number, *age_ms, "InProgress");
    }
    for (number, age_ms) in (100_000..).zip(&completed) {
        put(number, *age_ms, "Success");
    }

    let report = sweep_once(&world).await;

    let probed: Vec<u32> = (100_000..)
        .zip(&completed)
        .filter(|(number, age)| {
            let mut slices = completed_slices().into_iter();
            has_token(*number) && slices.any(|(youngest, oldest)| (youngest..oldest).contains(*age))
        })
        .map(|(number, _)| number)
        .collect();
    let lost = probed.iter().filter(|number| is_odd(**number)).count();
    assert!(probed.len() > 600 && lost > 5, "{} probed, {lost} lost", probed.len());

    assert_eq!(
        world.calls(Op::ListSlice),
        list_calls(&executing_slices(), &executing) + list_calls(&completed_slices(), &completed)
    );
    assert_eq!(world.calls(Op::SendTaskHeartbeat), 9_000 + probed.len());
    assert_eq!(world.calls(Op::CancelCommand), 100);
    for op in [Op::ListCommands, Op::ListCommandInvocations, Op::SendTaskSuccess] {
        assert_eq!(world.calls(op), lost, "{op:?}");
    }
    for op in [Op::GetCommandInvocation, Op::SendTaskFailure] {
        assert_eq!(world.calls(op), 0, "{op:?}");
    }
    let lost = u64::try_from(lost).unwrap();
    let expected = SweepReport {
        executing: 9_000,
        heartbeats: 8_900 + lost,
        recovered: lost,
        cancelled: 100,
        ..nothing()
    };
    assert_eq!(report, expected);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_executing_commands_of_one_age_fit_into_a_sweep() {
    let world = World::new();
    for number in 0..10_000 {
        given(number, MINUTE, "InProgress").put_waited_for(&world);
    }
    world.slow(Op::ListSlice, Duration::from_millis(80));
    world.slow(Op::SendTaskHeartbeat, Duration::from_millis(20));
    let report = sweep_once(&world).await;
    assert_eq!(report, SweepReport { executing: 10_000, heartbeats: 10_000, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn completed_commands_between_the_probe_ages_cost_nothing() {
    let world = World::new();
    for number in 0..5_000 {
        given(number, 40 * MINUTE + SECOND * (number % 1_200), "Success").put_waited_for(&world);
    }
    assert_eq!(sweep_once(&world).await, nothing());
    let calls: usize = Op::ALL.map(|op| world.calls(op)).iter().sum();
    assert_eq!(u64::try_from(calls).unwrap(), SLICES);
}

// Logs.

#[tokio::test(start_paused = true)]
async fn no_log_line_and_no_report_holds_a_token() {
    let log = Log::capture();
    let mut told = Vec::new();
    for op in Op::ALL {
        for fault in [Fault::Throttled, Fault::Denied, Fault::TimedOutAfterTakingEffect] {
            let world = world_of_thirty();
            given(300, PROBED, "InProgress").put(&world);
            given(301, PROBED, "Success").put(&world);
            given(302, PROBED, "Failed").put_waited_for(&world);
            given(303, PROBED, "Success")
                .parameter("taskToken", &TOKEN.repeat(100))
                .put_waited_for(&world);
            given(304, PROBED, "Success").put(&world);
            world.spoil(&command_id(304));
            Given { unseen_nodes: 1, ..given(305, PROBED, "Success") }.put_waited_for(&world);
            for _ in 0..2 {
                world.fail_next(op, fault);
            }
            told.push(format!("{:?}", sweep_once(&world).await));
            told.push(format!("{:?}", sweep_at(&world, later(now(), MINUTE)).await));
        }
    }
    let (log, told) = (log.text(), told.join("\n"));
    for line in [
        "answered a task whose completion event was lost",
        "cancelled a command whose task is closed",
        "Step Functions rejects the command's task token",
        "the command's task token is malformed",
        "a listed command could not be read",
        "sweeping a command failed",
        "listing commands failed",
        "SendTaskHeartbeat failed: ThrottlingException",
        "SendTaskSuccess failed: AccessDeniedException",
    ] {
        assert!(log.contains(line), "no `{line}` in the log");
    }
    assert!(!log.contains(TOKEN) && !told.contains(TOKEN));
}
