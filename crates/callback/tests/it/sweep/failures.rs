//! Calls that fail stop nothing else, and no log line holds a token.

use std::collections::BTreeSet;

use callback::testing::log::Log;
use callback::testing::world::Fault;

use super::*;

#[tokio::test(start_paused = true)]
async fn two_sweeps_do_everything() {
    let (world, mut process) = (world_of_thirty(), Process::new());
    let expected = SweepReport { executing: 20, heartbeats: 20, cancelled: 10, ..nothing() };
    assert_eq!(process.sweep(&world, 0).await, expected);
    let expected = SweepReport { executing: 10, heartbeats: 10, recovered: 10, ..nothing() };
    assert_eq!(process.sweep(&world, 1).await, expected);
    let cancelled: BTreeSet<_> = world.cancelled().into_iter().collect();
    assert_eq!(cancelled, (100..110).map(command_id).collect());
    let answered: BTreeSet<_> = world.answers().into_iter().map(|(token, _)| token).collect();
    assert_eq!(answered, (200..210).map(token).collect());
    assert_eq!(process.sweep(&world, 2).await.heartbeats, 10);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_counted_and_stops_nothing_else() {
    for op in [Op::CancelCommand, Op::ListCommands, Op::ListCommandInvocations, Op::SendTaskSuccess]
    {
        let (world, mut process) = (world_of_thirty(), Process::new());
        let faults = match op {
            // What is denied is refused, and counted as such.
            Op::SendTaskSuccess => [Fault::Throttled, Fault::TimedOut, Fault::Throttled],
            _ => [Fault::Throttled, Fault::Denied, Fault::TimedOut],
        };
        for fault in faults {
            world.fail_next(op, fault);
        }
        let report = process.sweeps(&world, 0..2).await;
        assert_eq!(report.failed, 3, "{op:?}");
        // A cancel that failed leaves a command that executes.
        let left = if op == Op::CancelCommand { 3 } else { 0 };
        assert_eq!((report.executing, report.heartbeats), (30 + left, 30), "{op:?}");
        assert_eq!(report.cancelled, 10);
        assert_eq!(report.recovered, if op == Op::CancelCommand { 10 } else { 7 });
        assert_eq!((report.truncated, report.blind), (false, None));
        assert_eq!(process.sweep(&world, 2).await.recovered, 10 - report.recovered, "{op:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_heartbeats_are_counted_and_cancel_nothing() {
    let (world, mut process) = (world_of_thirty(), Process::new());
    for _ in 0..30 {
        world.fail_next(Op::SendTaskHeartbeat, Fault::Throttled);
    }
    let report = process.sweep(&world, 0).await;
    assert_eq!(report, SweepReport { executing: 20, ..failures(30) });
    assert_eq!(changes(&world), 0);
    let report = process.sweep(&world, 1).await;
    assert_eq!((report.cancelled, report.heartbeats, report.recovered), (10, 10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_stops_no_other() {
    // The list of executing commands comes first; without it there is no lookback.
    let (world, mut process) = (world_of_thirty(), Process::new());
    world.fail_next(Op::ListPage, Fault::Throttled);
    let report = process.sweep(&world, 0).await;
    let expected = CallError {
        operation: "ListCommands",
        reason: callback::ports::CallErrorReason::Api("ThrottlingException".to_owned()),
        request_id: None,
        kind: CallErrorKind::Transient,
    };
    let expected = SweepReport { heartbeats: 10, blind: Some(expected), ..failures(1) };
    assert_eq!(report, expected);
    assert_eq!(world.listings().len(), 2);
    let report = process.sweep(&world, 1).await;
    let expected =
        SweepReport { executing: 20, heartbeats: 10, recovered: 10, cancelled: 10, ..nothing() };
    assert_eq!(report, expected);

    // All of them fail.
    let (world, mut process) = (world_of_thirty(), Process::new());
    (0..2).for_each(|_| world.fail_next(Op::ListPage, Fault::Denied));
    let report = process.sweep(&world, 0).await;
    let code = report.blind.as_ref().map(|error| (error.operation, error.reason.to_string()));
    assert_eq!(code, Some(("ListCommands", "AccessDeniedException".to_owned())));
    assert_eq!((report.failed, all_calls(&world)), (2, 2));
    let report = process.sweeps(&world, 1..3).await;
    assert_eq!((report.cancelled, report.recovered, report.blind), (10, 10, None));
}

/// Sweeps once, with the page failing that is read so many seconds after its beginning.
async fn sweep_with_a_failing_page(
    world: &World,
    process: &mut Process,
    second: u32,
    fault: Fault,
) -> SweepReport {
    world.slow(Op::ListPage, SECOND);
    let failing = async {
        tokio::time::sleep(SECOND * second).await;
        world.fail_next(Op::ListPage, fault);
    };
    let (report, ()) = tokio::join!(process.sweep(world, 0), failing);
    world.slow(Op::ListPage, Duration::ZERO);
    report
}

#[tokio::test(start_paused = true)]
async fn what_was_listed_before_a_page_that_fails_is_looked_after() {
    // A page takes a second, and its heartbeats take 0.2 s. A sweep that knew one page is not blind.
    for (fault, heartbeats) in [(Fault::Throttled, 70 + 120), (Fault::Denied, 120)] {
        let (world, mut process) = (world_of_executing(120), Process::new());
        let report = sweep_with_a_failing_page(&world, &mut process, 2, fault).await;
        assert_eq!(report, SweepReport { executing: 50, heartbeats: 50, ..failures(1) });
        // It goes on where it stopped, and then from the beginning: at once, if that place may be what
        // is refused.
        let report = process.sweep(&world, 1).await;
        assert_eq!(report, SweepReport { executing: 120, heartbeats, ..nothing() });
        let report = process.sweep(&world, 2).await;
        assert_eq!(report, SweepReport { executing: 120, heartbeats: 120, ..nothing() });
        assert_eq!(world.calls(Op::ListCommands), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_is_blind_only_without_any_list_of_executing_commands() {
    // The second list fails: that of completed commands, of which a sweep without one can do much.
    let (world, mut process) = (world_of_thirty(), Process::new());
    let report = sweep_with_a_failing_page(&world, &mut process, 2, Fault::Denied).await;
    assert_eq!((report.blind, report.failed, report.cancelled), (None, 1, 10));

    // A look at executing commands alone can be blind, too.
    world.fail_next(Op::ListPage, Fault::Throttled);
    let report = process.sweep_executing(&world, 90).await;
    assert_eq!(
        report.blind.map(|error| error.reason.to_string()).as_deref(),
        Some("ThrottlingException")
    );
    let report = process.sweep_executing(&world, 100).await;
    assert_eq!((report.blind, report.heartbeats), (None, 10));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_read_stops_no_other() {
    let (world, mut process) = (world_of_thirty(), Process::new());
    for number in [5, 105] {
        world.spoil(&command_id(number));
    }
    let expected = SweepReport { executing: 18, heartbeats: 19, cancelled: 9, ..failures(2) };
    assert_eq!(process.sweep(&world, 0).await, expected);

    // A completed one is told by each list of completed commands.
    world.spoil(&command_id(205));
    let report = process.sweep(&world, 1).await;
    assert_eq!((report.recovered, report.heartbeats, report.failed), (9, 9, 2 + 2));
}

#[tokio::test(start_paused = true)]
async fn no_log_line_and_no_report_holds_a_token() {
    let log = Log::capture();
    let mut told = Vec::new();
    let age = 3 * MINUTE;
    for op in Op::ALL {
        for fault in [Fault::Throttled, Fault::Denied, Fault::TimedOutAfterTakingEffect] {
            let (world, mut process) = (world_of_thirty(), Process::new());
            given(300, age, "InProgress").put(&world);
            given(301, age, "Success").put(&world);
            given(302, age, "Failed").put_waited_for(&world);
            given(303, age, "Success")
                .parameter("taskToken", &TOKEN.repeat(100))
                .put_waited_for(&world);
            given(304, age, "Success").put(&world);
            world.spoil(&command_id(304));
            Given { unseen_nodes: 1, ..given(305, age, "Success") }.put_waited_for(&world);
            for minute in 0..3 {
                (0..2).for_each(|_| world.fail_next(op, fault));
                told.push(format!("{:?}", process.sweep(&world, minute).await));
            }
            told.push(format!("{:?}", process.sweep_executing(&world, 200).await));
        }
    }
    let (log, told) = (log.text(), told.join("\n"));
    for line in [
        "answered a task whose completion event was lost",
        "cancelled, because its task is closed",
        "Step Functions rejects the command's task token",
        "no task can have this token",
        "the task of this command may not be answered from here",
        "reading a listed command failed",
        "sweeping a command failed",
        "listing commands failed",
        "listing commands failed",
        "SendTaskHeartbeat failed: ThrottlingException",
        "SendTaskSuccess failed: AccessDeniedException",
    ] {
        assert!(log.contains(line), "no `{line}` in the log");
    }
    assert!(!log.contains(TOKEN) && !told.contains(TOKEN));
}
