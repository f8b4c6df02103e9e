//! Completed commands: one heartbeat, and an answer by the next sweep.

use callback::testing::log::Log;
use callback::{Hint, settle};
use serde_json::Value;

use super::*;

/// An age within the hour that a new process looks back before everything else.
const YOUNG: Duration = Duration::from_secs(150);

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_made_good_with_a_warning() {
    for (details, error) in [
        ("Success", None),
        ("Failed", Some("RunCommand.Failed")),
        ("ExecutionTimedOut", Some("RunCommand.ExecutionTimedOut")),
        ("Cancelled", Some("RunCommand.Cancelled")),
    ] {
        let log = Log::capture();
        let (world, mut process) = (World::new(), Process::new());
        let id = given(1, YOUNG, details).put_waited_for(&world);

        // Its event may be with the relay right now.
        let report = process.sweep(&world, 0).await;
        assert_eq!(report, SweepReport { heartbeats: 1, ..nothing() });
        assert_eq!(changes(&world), 0);
        let report = process.sweep(&world, 1).await;
        assert_eq!(report, SweepReport { recovered: 1, ..nothing() });

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
        let warning = log.lines().find(|line| line.contains("completion event was lost"));
        assert!(warning.is_some_and(|line| line.contains("WARN") && line.contains(id.as_str())));

        // The next sweeps see the same command, and know it.
        assert_eq!(process.sweeps(&world, 2..6).await, nothing());
        assert_eq!((heartbeats(&world), world.answers().len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_of_a_reported_failure_is_made_good_as_data() {
    let (world, mut process) = (World::new(), Process::new());
    given(1, YOUNG, "Failed").parameter("onFailure", "Report").put_waited_for(&world);
    assert_eq!(process.sweeps(&world, 0..2).await.recovered, 1);
    let answers = world.answers();
    let [(_, Answer::Success { output })] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(serde_json::from_str::<Value>(output).unwrap()["Status"], "Failed");
}

#[tokio::test(start_paused = true)]
async fn a_completed_command_whose_task_is_closed_is_left_alone() {
    let (world, mut process) = (World::new(), Process::new());
    for (number, details) in (1..).zip(["Success", "Failed", "Cancelled"]) {
        given(number, YOUNG, details).put_abandoned(&world);
    }
    // Over seven hours: the lookback is repeated, and asks nobody again.
    for minute in (0..6).chain([362, 363, 420]) {
        assert_eq!(process.sweep(&world, minute).await, nothing());
    }
    assert_eq!((heartbeats(&world), changes(&world)), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_command_of_a_clock_that_is_ahead_is_answered() {
    let (world, mut process) = (World::new(), Process::new());
    let requested_at = later(now(), 30 * SECOND);
    Given { requested_at, ..given(1, MINUTE, "Success") }.put_waited_for(&world);
    assert_eq!(process.sweeps(&world, 0..2).await.recovered, 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_after_the_heartbeat_is_not_counted_as_lost() {
    let (world, mut process) = (World::new(), Process::new());
    let id = given(1, YOUNG, "Success").put_waited_for(&world);
    let report = process.sweep(&world, 0).await;
    assert_eq!(report, SweepReport { heartbeats: 1, ..nothing() });
    settle(&world, &world, &id, Hint::Ended).await.unwrap();
    assert_eq!(process.sweeps(&world, 1..6).await, nothing());
    assert_eq!((world.answers().len(), heartbeats(&world)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_while_it_is_settled_leads_to_one_answer() {
    let (world, mut process) = (World::new(), Process::new());
    let id = given(1, YOUNG, "Success").put_waited_for(&world);
    process.sweep(&world, 0).await;
    let (report, settled) =
        tokio::join!(process.sweep(&world, 1), settle(&world, &world, &id, Hint::Ended));
    assert_eq!(world.calls(Op::SendTaskSuccess), 2, "they met");
    assert_eq!((world.answers().len(), report.failed), (1, 0));
    let is_by_event = settled.unwrap() == callback::Outcome::Succeeded;
    assert_eq!(report.recovered, u64::from(!is_by_event));
}

#[tokio::test(start_paused = true)]
async fn two_sweeps_at_once_answer_once() {
    let world = World::new();
    let (mut one, mut other) = (Process::new(), Process::new());
    given(1, YOUNG, "Success").put_waited_for(&world);
    tokio::join!(one.sweep(&world, 0), other.sweep(&world, 0));
    let (one, other) = tokio::join!(one.sweep(&world, 1), other.sweep(&world, 1));
    assert_eq!(one.recovered + other.recovered, 1);
    assert_eq!(one.failed + other.failed, 0);
    assert_eq!((world.calls(Op::SendTaskSuccess), world.answers().len()), (2, 1), "they met");
}

// Nodes whose end is not seen.

#[tokio::test(start_paused = true)]
async fn an_unseen_node_is_waited_for_until_the_command_is_an_hour_old() {
    // The first sweep cannot tell whether it has just ended.
    for (age, minutes) in
        [(YOUNG, 58), (33 * MINUTE, 27), (59 * MINUTE, 1), (64 * MINUTE, 1), (48 * HOUR, 1)]
    {
        let (world, mut process) = (World::new(), Process::new());
        Given { unseen_nodes: 1, ..given(1, age, "Success") }.put_waited_for(&world);
        let report = process.sweep(&world, 0).await;
        assert_eq!(report, SweepReport { heartbeats: 1, ..nothing() }, "{age:?}");
        for minute in 1..minutes {
            assert_eq!(process.sweep(&world, minute).await, failures(1), "{age:?} {minute}");
        }
        assert_eq!(changes(&world), 0);
        let report = process.sweep(&world, minutes).await;
        assert_eq!(report, SweepReport { recovered: 1, ..nothing() }, "{age:?}");
        assert_eq!(the_error(&world), "RunCommand.Incomplete");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_the_last_sweep_saw_executing_is_not_overdue() {
    let (world, mut process) = (World::new(), Process::new());
    given(1, 64 * MINUTE, "InProgress").put_waited_for(&world);
    process.sweep(&world, 0).await;
    // It ends between two sweeps, and the end of its node is read late.
    Given { unseen_nodes: 1, ..given(1, 64 * MINUTE, "Success") }.put(&world);
    let report = process.sweep(&world, 1).await;
    assert_eq!(report, SweepReport { heartbeats: 1, ..nothing() });
    assert_eq!(changes(&world), 0);
    // Then it is read, and the task gets the true answer.
    given(1, 64 * MINUTE, "Success").put(&world);
    assert_eq!(process.sweep(&world, 2).await.recovered, 1);
    assert!(matches!(world.answers().as_slice(), [(_, Answer::Success { .. })]));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_was_seen_complete_long_ago_is_read_once_more_before_it_is_overdue() {
    let (world, mut process) = (World::new(), Process::new());
    Given { unseen_nodes: 1, ..given(1, HOUR, "Success") }.put_waited_for(&world);
    process.sweep(&world, 0).await;
    // Two intervals are lately, and three are not.
    assert_eq!(process.sweep(&world, 3).await, failures(1));
    // What was read as complete stays so, however long ago.
    assert_eq!(process.sweep(&world, 6).await.recovered, 1);
    assert_eq!(the_error(&world), "RunCommand.Incomplete");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_could_not_be_found_is_looked_at_again_when_it_is_listed_again() {
    let (world, mut process) = (World::new(), Process::new());
    let given = given(1, 30 * SECOND, "Success");
    given.clone().put_waited_for(&world);
    process.sweep(&world, 0).await;
    // It is known no more, as by one of several servers, and then again.
    let empty = World::new();
    empty.open_task(&token(1));
    assert_eq!(process.sweep(&empty, 1).await, failures(1));
    given.put_waited_for(&empty);
    let report = process.sweeps(&empty, 2..4).await;
    assert_eq!(report, SweepReport { heartbeats: 1, recovered: 1, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn a_failure_with_an_unseen_node_is_answered_at_its_second_look() {
    let (world, mut process) = (World::new(), Process::new());
    Given { unseen_nodes: 1, ..given(1, YOUNG, "Failed") }.put_waited_for(&world);
    assert_eq!(process.sweeps(&world, 0..2).await.recovered, 1);
    assert_eq!(the_error(&world), "RunCommand.Failed");
}

// Tokens that are none.

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_counted_and_its_command_left_alone() {
    for details in ["InProgress", "Success", "Failed"] {
        let log = Log::capture();
        let (world, mut process) = (World::new(), Process::new());
        let id = given(1, YOUNG, details).put(&world);
        let report = process.sweep(&world, 0).await;
        let executing = u64::from(details == "InProgress");
        assert_eq!(report, SweepReport { executing, rejected: 1, ..nothing() });
        assert_eq!((heartbeats(&world), changes(&world)), (1, 0));
        let report = process.sweeps(&world, 1..5).await;
        assert_eq!(report, SweepReport { executing: 4 * executing, ..nothing() });
        assert_eq!((heartbeats(&world), world.cancelled()), (1, vec![]));
        let log = log.text();
        let rejections: Vec<_> = log.lines().filter(|line| line.contains("rejects")).collect();
        assert_eq!(rejections.len(), 1, "{log}");
        assert!(rejections[0].contains("WARN") && rejections[0].contains(id.as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_heartbeats_are_rejected_is_settled_all_the_same() {
    // Step Functions may know no heartbeat of a task without HeartbeatSeconds.
    for age in [YOUNG, 20 * HOUR] {
        for was_executing in [true, false] {
            let (world, mut process) = (World::new(), Process::new());
            let tasks = OtherTasks { pulse: Some(Ok(Pulse::Rejected)), ..OtherTasks::new(&world) };
            let given = given(1, age, "InProgress");
            world.open_task(&token(1));
            if was_executing {
                given.clone().put(&world);
                let report = process.sweep_with(&tasks, &world, 0).await;
                assert_eq!(report, SweepReport { executing: 1, rejected: 1, ..nothing() });
            }
            given.is_now("Success").put(&world);
            process.sweep_with(&tasks, &world, 1).await;
            assert_eq!(changes(&world), 0, "{age:?}");
            let report = process.sweep_with(&tasks, &world, 2).await;
            assert_eq!(report, SweepReport { recovered: 1, ..nothing() }, "{age:?}");
            assert_eq!(tasks.heartbeats().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_token_is_counted_and_never_sent() {
    for malformed in ["", &"t".repeat(2_049)] {
        for details in ["InProgress", "Success"] {
            let log = Log::capture();
            let (world, mut process) = (World::new(), Process::new());
            given(1, YOUNG, details).parameter("taskToken", malformed).put(&world);
            let report = process.sweeps(&world, 0..4).await;
            assert_eq!(report, SweepReport { rejected: 1, ..nothing() });
            assert_eq!((heartbeats(&world), changes(&world)), (0, 0));
            assert_eq!(log.text().matches("no task can have this token").count(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_token_is_none_of_ours() {
    let (world, mut process) = (World::new(), Process::new());
    for (number, details) in (1..).zip(["InProgress", "Success", "Failed"]) {
        given(number, YOUNG, details).without_token().put(&world);
    }
    assert_eq!(process.sweeps(&world, 0..4).await, nothing());
    assert_eq!(all_calls(&world), world.calls(Op::ListPage), "it is listed, and that is all");
}

// What may not be asked.

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_is_denied_is_sent_once_an_hour() {
    for details in ["InProgress", "Success"] {
        let log = Log::capture();
        let (world, mut process) = (World::new(), Process::new());
        let error = denied("SendTaskHeartbeat");
        let tasks = OtherTasks { pulse: Some(Err(error)), ..OtherTasks::new(&world) };
        let id = given(1, YOUNG, details).put_abandoned(&world);
        let mut sum = nothing();
        for minute in 0..60 {
            add(&mut sum, process.sweep_with(&tasks, &world, minute).await);
        }
        assert_eq!((sum.refused, sum.failed, tasks.heartbeats().len()), (1, 0, 1), "{details}");
        // It is asked again, and counted and logged no more.
        let executing = u64::from(details == "InProgress");
        let report = process.sweep_with(&tasks, &world, 60).await;
        assert_eq!(report, SweepReport { executing, ..nothing() });
        assert_eq!(tasks.heartbeats().len(), 1 + usize::try_from(executing).unwrap());
        assert_eq!(changes(&world), 0, "it is never cancelled");
        let log = log.text();
        let warnings: Vec<_> =
            log.lines().filter(|line| line.contains("may not be answered")).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("WARN") && warnings[0].contains(id.as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_denied_is_sent_once() {
    let log = Log::capture();
    let (world, mut process) = (World::new(), Process::new());
    let error = denied("SendTaskSuccess");
    let tasks = OtherTasks { delivery: Some(Err(error)), ..OtherTasks::new(&world) };
    given(1, YOUNG, "Success").put_waited_for(&world);
    let mut sum = nothing();
    for minute in 0..60 {
        add(&mut sum, process.sweep_with(&tasks, &world, minute).await);
    }
    assert_eq!(sum, SweepReport { heartbeats: 1, refused: 1, ..nothing() });
    assert_eq!((tasks.heartbeats().len(), tasks.answers()), (1, 1));
    assert_eq!(log.text().matches("may not be answered from here").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_takes_no_answer_is_given_up_after_one_try() {
    let log = Log::capture();
    let (world, mut process) = (World::new(), Process::new());
    world.take_outputs_up_to(0);
    world.take_no_causes();
    given(1, YOUNG, "Failed").put_waited_for(&world);
    let mut sum = nothing();
    for minute in 0..60 {
        add(&mut sum, process.sweep(&world, minute).await);
    }
    assert_eq!(sum, SweepReport { heartbeats: 1, failed: 1, ..nothing() });
    assert_eq!((heartbeats(&world), world.answers()), (1, vec![]));
    assert_eq!(log.text().matches("rejects every answer").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_may_be_answered_after_all_is_answered_after_the_next_lookback() {
    let world = World::new();
    for (number, what_is_denied) in (1..).zip(["heartbeats", "answers"]) {
        given(number, YOUNG, "Success").put_waited_for(&world);
        let mut tasks = OtherTasks::new(&world);
        match what_is_denied {
            "heartbeats" => tasks.pulse = Some(Err(denied("SendTaskHeartbeat"))),
            _ => tasks.delivery = Some(Err(denied("SendTaskSuccess"))),
        }
        let mut process = Process::new();
        for minute in 0..4 {
            process.sweep_with(&tasks, &world, minute).await;
        }
        // The policy is mended.
        assert_eq!(process.sweeps(&world, 61..64).await.recovered, 0);
        assert_eq!(process.sweeps(&world, 361..364).await.recovered, 1, "{what_is_denied}");
    }
    // A new process asks at once.
    given(3, YOUNG, "Success").put_waited_for(&world);
    assert_eq!(Process::new().sweeps(&world, 0..2).await.recovered, 1);
}
