//! From one sweep to the next: what was executing, what failed, and what is remembered.

use callback::testing::world::Fault;

use super::*;

/// A world with a command that has run for 20 hours, and a process that knows that it executes.
async fn world_of_a_remembered_command() -> (World, Process) {
    let (world, mut process) = (World::new(), Process::new());
    given(1, 20 * HOUR, "InProgress").put_waited_for(&world);
    let report = process.sweep(&world, 0).await;
    assert_eq!(report, SweepReport { executing: 1, heartbeats: 1, ..nothing() });
    (world, process)
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_of_a_remembered_command_is_answered_within_two_intervals() {
    let (world, mut process) = world_of_a_remembered_command().await;
    given(1, 20 * HOUR, "Success").put(&world);
    // Its event may still be on its way.
    let report = process.sweep(&world, 1).await;
    assert_eq!(report, SweepReport { heartbeats: 1, ..nothing() });
    assert_eq!((world.calls(Op::ListCommands), changes(&world)), (0, 0));
    let report = process.sweep(&world, 2).await;
    assert_eq!(report, SweepReport { recovered: 1, ..nothing() });
    assert_eq!(world.answers().len(), 1);
    assert_eq!(process.sweeps(&world, 3..6).await, nothing());
    assert_eq!(heartbeats(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn a_remembered_command_whose_event_came_costs_one_heartbeat() {
    let (world, mut process) = world_of_a_remembered_command().await;
    given(1, 20 * HOUR, "Success").put(&world);
    world.close_task(&token(1));
    assert_eq!(process.sweeps(&world, 1..5).await, nothing());
    assert_eq!(heartbeats(&world), 2);
    assert_eq!((world.calls(Op::ListCommands), changes(&world)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_remembered_command_that_is_read_late_is_settled_later() {
    let (world, mut process) = world_of_a_remembered_command().await;
    given(1, 20 * HOUR, "Success").put(&world);
    // The list tells that it has ended, and the reads by its id do not yet.
    world.lag_reads_of(Op::ListCommands, &command_id(1), 5);
    let report = process.sweeps(&world, 1..3).await;
    assert_eq!(report, SweepReport { heartbeats: 1, ..failures(1) });
    assert_eq!(process.sweep(&world, 3).await, SweepReport { recovered: 1, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn a_command_that_one_list_leaves_out_is_not_forgotten() {
    let (world, mut process) = world_of_a_remembered_command().await;
    // For one sweep it is in the list of another document.
    let given = given(1, 20 * HOUR, "InProgress");
    given.clone().document("Elsewhere").put(&world);
    assert_eq!(process.sweep(&world, 1).await, SweepReport { heartbeats: 1, ..nothing() });
    given.clone().put(&world);
    assert_eq!(process.sweep(&world, 2).await.heartbeats, 1);
    given.is_now("Failed").put(&world);
    assert_eq!(process.sweeps(&world, 3..5).await.recovered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_remembered_command_that_is_known_no_more_is_forgotten() {
    let (mut process, world) = (Process::new(), World::new());
    given(1, 20 * HOUR, "InProgress").put_waited_for(&world);
    process.sweep(&world, 0).await;
    // Its task waits, and Run Command has forgotten it.
    let empty = World::new();
    empty.open_task(&token(1));
    let report = process.sweeps(&empty, 1..60).await;
    assert_eq!(report, SweepReport { heartbeats: 1, ..failures(1) });
    assert_eq!(empty.answers(), []);
}

#[tokio::test(start_paused = true)]
async fn a_completed_command_for_which_a_call_failed_is_looked_at_by_the_next_sweep() {
    for (op, recovers_in) in [
        (Op::SendTaskHeartbeat, 1),
        (Op::ListCommands, 2),
        (Op::ListCommandInvocations, 2),
        (Op::SendTaskSuccess, 2),
    ] {
        let (world, mut process) = (World::new(), Process::new());
        given(1, 2 * MINUTE, "Success").put_waited_for(&world);
        world.fail_next(op, Fault::Throttled);
        let failed = process.sweeps(&world, 0..recovers_in).await;
        assert_eq!((failed.failed, failed.recovered), (1, 0), "{op:?}");
        // By then it is in no list.
        let report = process.sweep(&world, 40).await;
        assert_eq!(report, SweepReport { recovered: 1, ..nothing() }, "{op:?}");
        assert_eq!(process.sweep(&world, 41).await, nothing());
        assert_eq!(world.answers().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_remembered_command_for_which_a_call_failed_is_looked_at_by_the_next_sweep() {
    let (world, mut process) = world_of_a_remembered_command().await;
    given(1, 20 * HOUR, "Success").put(&world);
    world.fail_next(Op::SendTaskHeartbeat, Fault::Throttled);
    assert_eq!(process.sweep(&world, 1).await, failures(1));
    // An answer tells what the heartbeat did not.
    world.fail_next(Op::ListCommands, Fault::Throttled);
    assert_eq!(process.sweep(&world, 2).await, failures(1));
    assert_eq!(process.sweep(&world, 3).await, SweepReport { recovered: 1, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn what_a_sweep_did_not_get_to_has_not_ended() {
    // Its time was up, or a list failed.
    for is_slow in [true, false] {
        let (world, mut process) = (world_of_executing(200), Process::new());
        assert_eq!(process.sweep(&world, 0).await.heartbeats, 200);
        if is_slow {
            world.slow(Op::SendTaskHeartbeat, 20 * SECOND);
        } else {
            world.fail_next(Op::ListPage, Fault::Throttled);
        }
        let report = process.sweep(&world, 1).await;
        // 32 at the same time, two times in 50 s; the first page holds 50.
        assert_eq!(report.heartbeats, if is_slow { 50 } else { 0 });
        assert_eq!(report.truncated, is_slow);
        world.slow(Op::SendTaskHeartbeat, Duration::ZERO);
        let report = process.sweep(&world, 2).await;
        assert_eq!(report.heartbeats, if is_slow { 150 } else { 200 });
        let report = process.sweep(&world, 3).await;
        assert_eq!(report, SweepReport { executing: 200, heartbeats: 200, ..nothing() });
        assert_eq!(world.calls(Op::ListCommands), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_in_one_sweep_is_done_by_the_next() {
    let transient = [Fault::Throttled, Fault::TimedOut].as_slice();
    let any = [Fault::Throttled, Fault::TimedOut, Fault::Denied].as_slice();
    for (op, faults) in [
        (Op::SendTaskHeartbeat, transient),
        (Op::CancelCommand, any),
        (Op::ListCommands, any),
        (Op::ListCommandInvocations, any),
        (Op::SendTaskSuccess, transient),
        (Op::ListPage, any),
    ] {
        for fault in faults {
            let (world, mut process) = (World::new(), Process::new());
            let abandoned = given(1, 3 * MINUTE, "InProgress").put_abandoned(&world);
            given(2, 2 * MINUTE, "Success").put_waited_for(&world);
            world.fail_next(op, *fault);
            let report = process.sweeps(&world, 0..3).await;
            let done = (report.failed, report.cancelled, report.recovered);
            assert_eq!(done, (1, 1, 1), "{op:?} {fault:?}");
            assert_eq!(process.sweep(&world, 3).await, nothing());
            // A cancel that failed is asked once more, for a command that is the same.
            assert_eq!(world.cancelled(), [abandoned]);
            assert_eq!(world.answers().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_on_its_way_back_is_found_closed_by_the_next() {
    let (world, mut process) = (World::new(), Process::new());
    given(1, 2 * MINUTE, "Success").put_waited_for(&world);
    world.fail_next(Op::SendTaskSuccess, Fault::TimedOutAfterTakingEffect);
    let report = process.sweeps(&world, 0..2).await;
    assert_eq!(report, SweepReport { heartbeats: 1, ..failures(1) });
    assert_eq!(process.sweeps(&world, 2..6).await, nothing());
    assert_eq!(world.answers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_holds_no_token() {
    let (world, mut process) = (world_of_thirty(), Process::new());
    given(300, MINUTE, "InProgress").put(&world);
    given(301, MINUTE, "Success").put(&world);
    given(302, MINUTE, "Success").parameter("taskToken", &TOKEN.repeat(100)).put(&world);
    process.time_left = 20 * SECOND;
    world.slow(Op::ListPage, 6 * SECOND);
    for minute in 0..6 {
        process.sweep(&world, minute).await;
        let told = format!("{:?}", process.memory);
        assert!(told.contains(command_id(0).as_str()), "{told}");
        assert!(!told.contains(TOKEN), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_ends_between_the_two_lists_gets_one_heartbeat_more() {
    for is_closed in [false, true] {
        let (world, mut process) = (World::new(), Process::new());
        given(1, MINUTE, "InProgress").put_waited_for(&world);
        // A page takes a second: the command ends after the first list, and is in the second.
        world.slow(Op::ListPage, SECOND);
        let ending = async {
            tokio::time::sleep(SECOND * 3 / 2).await;
            given(1, MINUTE, "Success").put(&world);
            if is_closed {
                world.close_task(&token(1));
            }
        };
        tokio::join!(process.sweep(&world, 0), ending);
        assert_eq!(heartbeats(&world), 2);
        let report = process.sweeps(&world, 1..4).await;
        assert_eq!(report.recovered, u64::from(!is_closed));
        assert_eq!(heartbeats(&world), 2);
    }
}
