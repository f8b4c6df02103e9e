//! Executing commands: heartbeats and cancels, and the look at them alone.

use callback::testing::world::Fault;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_command_that_is_waited_for_gets_a_heartbeat_and_nothing_else() {
    for age in [Duration::ZERO, SECOND, 2 * MINUTE, 59 * MINUTE, 40 * HOUR, 49 * HOUR, 700 * HOUR] {
        for details in ["Pending", "InProgress", "Delayed", "Cancelling"] {
            let (world, mut process) = (World::new(), Process::new());
            given(1, age, details).put_waited_for(&world);
            for minute in 0..4 {
                let report = process.sweep(&world, minute).await;
                assert_eq!(report, SweepReport { executing: 1, heartbeats: 1, ..nothing() });
            }
            assert_eq!((heartbeats(&world), changes(&world)), (4, 0), "{age:?} {details}");
            assert_eq!(world.calls(Op::ListCommands), 0);
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
            let (world, mut process) = (World::new(), Process::new());
            let id = given(1, age, details).put_abandoned(&world);
            let report = process.sweep(&world, 0).await;
            assert_eq!(report, SweepReport { executing: 1, cancelled: 1, ..nothing() });
            assert_eq!(world.cancelled(), [id]);

            assert_eq!(process.sweeps(&world, 1..5).await, nothing());
            assert_eq!((heartbeats(&world), changes(&world)), (1, 1), "{age:?} {details}");
            assert_eq!(world.calls(Op::ListCommands), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_closes_while_its_command_executes_gets_it_cancelled() {
    let (world, mut process) = (World::new(), Process::new());
    let id = given(1, HOUR, "InProgress").put_waited_for(&world);
    process.sweeps(&world, 0..3).await;
    assert_eq!(world.cancelled(), []);
    world.close_task(&token(1));
    assert_eq!(process.sweeps(&world, 3..8).await.cancelled, 1);
    assert_eq!((world.cancelled(), heartbeats(&world)), (vec![id], 4));
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
async fn what_was_closed_while_it_executed_gets_no_look_when_it_completes() {
    for age in [MINUTE, 20 * HOUR] {
        let (world, mut process) = (World::new(), Process::new());
        let given = given(1, age, "InProgress").parameter("onAbandon", "Continue");
        given.clone().put_abandoned(&world);
        process.sweeps(&world, 0..3).await;
        assert_eq!(heartbeats(&world), 3);
        given.is_now("Success").put(&world);
        assert_eq!(process.sweeps(&world, 3..8).await, nothing());
        assert_eq!((heartbeats(&world), changes(&world)), (3, 0));
        assert_eq!(world.calls(Op::ListCommands), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn executing_commands_are_read_to_the_end_before_everything_else() {
    let (world, mut process) = (world_of_executing(120), Process::new());
    given(500, HOUR / 2, "Success").put_waited_for(&world);
    process.scope.heartbeats_per_second = 10;
    // 12 s of heartbeats: not all of them in the first sweep, and in the second one just these.
    process.time_left = 8 * SECOND;
    let first = process.sweep(&world, 0).await;
    assert!(first.truncated && first.heartbeats < 120, "{first:?}");
    assert_eq!(world.listings(), [listing(Stage::Executing, None)]);
    let second = process.sweep(&world, 1).await;
    assert_eq!(first.heartbeats + second.heartbeats, 121);
    let lists: Vec<_> = world.listings().into_iter().map(|listing| listing.stage).collect();
    assert_eq!(lists, [Stage::Executing, Stage::Complete, Stage::Complete]);
}

// The oldest that waits.

#[tokio::test(start_paused = true)]
async fn the_age_of_the_oldest_that_waits_is_told() {
    let (world, mut process) = (World::new(), Process::new());
    process.sweep(&world, 0).await;
    assert_eq!(process.oldest_waiting_s, 0, "nothing waits");
    given(1, MINUTE, "InProgress").put_waited_for(&world);
    process.sweep(&world, 0).await;
    assert_eq!(process.oldest_waiting_s, 60);
    for (number, age) in [(2, 3 * HOUR), (3, HOUR), (4, 2 * HOUR)] {
        given(number, age, "InProgress").put_waited_for(&world);
    }
    process.sweep(&world, 1).await;
    assert_eq!(process.oldest_waiting_s, 3 * 3_600 + 60);
    process.sweep_executing(&world, 120).await;
    assert_eq!(process.oldest_waiting_s, 3 * 3_600 + 120);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_is_known_to_wait_for_has_no_age() {
    let (world, mut process) = (World::new(), Process::new());
    // Its task is closed, and so is that of one that goes on; one has ended, and one has no token.
    given(1, 9 * HOUR, "InProgress").put_abandoned(&world);
    given(2, 9 * HOUR, "InProgress").parameter("onAbandon", "Continue").put_abandoned(&world);
    given(3, 9 * HOUR, "Success").put_waited_for(&world);
    given(4, 9 * HOUR, "InProgress").without_token().put(&world);
    // Step Functions does not know its token.
    given(5, 9 * HOUR, "InProgress").put(&world);
    let first = process.sweep(&world, 0).await;
    assert_eq!((first.executing, first.rejected), (3, 1));
    assert_eq!(process.oldest_waiting_s, 0);

    // Its heartbeat is denied, and then not sent.
    let (world, mut process) = (World::new(), Process::new());
    given(1, 9 * HOUR, "InProgress").put_waited_for(&world);
    world.fail_next(Op::SendTaskHeartbeat, Fault::Denied);
    for minute in 0..2 {
        process.sweep(&world, minute).await;
        assert_eq!(process.oldest_waiting_s, 0, "minute {minute}");
    }
    assert_eq!(heartbeats(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_wait_because_its_heartbeat_failed_has_an_age() {
    let (world, mut process) = (World::new(), Process::new());
    given(1, HOUR, "InProgress").put_waited_for(&world);
    world.fail_next(Op::SendTaskHeartbeat, Fault::Throttled);
    assert_eq!(process.sweep(&world, 0).await.failed, 1);
    assert_eq!(process.oldest_waiting_s, 3_600);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_makes_no_age() {
    let (world, mut process) = (World::new(), Process::new());
    let requested_at = later(now(), 30 * SECOND);
    Given { requested_at, ..given(1, MINUTE, "InProgress") }.put_waited_for(&world);
    assert_eq!(process.sweep(&world, 0).await.heartbeats, 1);
    assert_eq!(process.oldest_waiting_s, 0);
}

// The look at executing commands alone.

#[tokio::test(start_paused = true)]
async fn a_look_at_executing_commands_cancels_what_is_abandoned_and_touches_nothing_else() {
    let (world, mut process) = (world_of_thirty(), Process::new());
    let report = process.sweep_executing(&world, 0).await;
    let expected = SweepReport { executing: 20, heartbeats: 10, cancelled: 10, ..nothing() };
    assert_eq!(report, expected);
    assert_eq!(world.listings(), [listing(Stage::Executing, None)]);
    assert_eq!((world.cancelled().len(), world.answers().len()), (10, 0));
    // One list, 20 heartbeats and 10 cancels.
    assert_eq!(all_calls(&world), 31);
    // The cancelled ones are known to be closed.
    let report = process.sweep(&world, 1).await;
    assert_eq!(report, SweepReport { executing: 10, heartbeats: 20, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn a_look_at_executing_commands_settles_no_suspect_and_forgets_none() {
    let (world, mut process) = (World::new(), Process::new());
    let given = given(1, HOUR / 2, "Success");
    given.clone().put_waited_for(&world);
    process.sweep(&world, 0).await;
    // Its list lags, and tells once more that it executes.
    given.is_now("InProgress").put(&world);
    assert_eq!(process.sweep_executing(&world, 30).await.heartbeats, 1);
    assert_eq!(changes(&world), 0);
    given.put(&world);
    assert_eq!(process.sweep(&world, 1).await.recovered, 1);
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_list_goes_on_after_a_look_at_executing_commands() {
    let (world, mut process) = (world_of_executing(200), Process::new());
    let last = given(199, SECOND * 199, "InProgress");
    let old = given(500, 20 * HOUR, "InProgress");
    old.clone().put_waited_for(&world);
    process.sweeps(&world, 0..3).await;
    // It is read newest first, so the old one comes last.
    process.scope.heartbeats_per_second = 10;
    process.time_left = 12 * SECOND;
    let first = process.sweep(&world, 3).await;
    assert!(first.truncated && (50..200).contains(&first.heartbeats), "{first:?}");

    process.time_left = TIME_LEFT;
    let alone = process.sweep_executing(&world, 200).await;
    assert_eq!(alone, SweepReport { executing: 201, heartbeats: 201, ..nothing() });

    let before = heartbeats(&world);
    let second = process.sweep(&world, 4).await;
    assert_eq!(first.heartbeats + second.heartbeats, 201, "it went on where it stopped");
    assert_eq!(heartbeats(&world) - before, usize::try_from(second.heartbeats).unwrap());

    // What was told before, between and after is remembered: no event is lost for good.
    old.is_now("Success").put(&world);
    last.is_now("Success").put(&world);
    given(0, Duration::ZERO, "Failed").put(&world);
    assert_eq!(process.sweeps(&world, 5..8).await.recovered, 3);
}

#[tokio::test(start_paused = true)]
async fn a_look_at_executing_commands_ends_nothing() {
    // The first page was told before the look, and the look comes to its end.
    let (world, mut process) = (world_of_executing(200), Process::new());
    process.scope.heartbeats_per_second = 10;
    process.time_left = 12 * SECOND;
    process.sweep(&world, 0).await;
    process.time_left = TIME_LEFT;
    process.sweep_executing(&world, 30).await;
    process.sweeps(&world, 1..4).await;
    assert_eq!(world.calls(Op::ListCommands), 0);
}
