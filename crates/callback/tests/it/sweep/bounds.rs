//! Time, rate and many commands.

use std::collections::BTreeMap;

use super::*;

// Time.

/// A world in which so many commands are executing, and heartbeats take a second.
fn world_of_slow_heartbeats(commands: u32) -> World {
    let world = world_of_executing(commands);
    world.slow(Op::SendTaskHeartbeat, SECOND);
    world
}

#[tokio::test(start_paused = true)]
async fn a_sweep_stops_when_its_time_is_up_and_tells_what_was_done() {
    // Whether the rest of the list was read, or not.
    for commands in [40, 150] {
        let (world, mut process) = (world_of_slow_heartbeats(commands), Process::new());
        let started = Instant::now();
        process.time_left = Duration::from_millis(1_500);
        let report = process.sweep(&world, 0).await;
        assert_eq!(started.elapsed(), process.time_left);
        let executing = u64::from(commands.min(50));
        assert_eq!((report.executing, report.truncated), (executing, true));
        assert!((32..40).contains(&report.heartbeats), "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_just_ends_in_time_is_not_truncated() {
    let (world, mut process) = (world_of_slow_heartbeats(30), Process::new());
    process.time_left = Duration::from_millis(1_200);
    let report = process.sweep(&world, 0).await;
    assert_eq!(report, SweepReport { executing: 30, heartbeats: 30, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn a_sweep_without_time_does_nothing() {
    for time_left in [Duration::ZERO, Duration::from_millis(999)] {
        let (world, mut process) = (world_of_thirty(), Process::new());
        world.slow(Op::ListPage, SECOND);
        process.time_left = time_left;
        let report = process.sweep(&world, 0).await;
        assert_eq!(report, SweepReport { truncated: true, ..nothing() });
        assert_eq!(heartbeats(&world), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_read_two_pages_each_reach_every_command() {
    let (world, mut process) = (World::new(), Process::new());
    for number in 0..300 {
        given(number, MINUTE * number, "InProgress").put_abandoned(&world);
        given(1_000 + number, MINUTE * number, "Success").put_waited_for(&world);
    }
    world.slow(Op::ListPage, SECOND);
    process.time_left = Duration::from_millis(2_900);
    // Neither list leaves time for the other one.
    let report = process.sweeps(&world, 0..60).await;
    assert_eq!((report.cancelled, report.recovered, report.failed), (300, 300, 0));
    assert!(report.truncated);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_again_after_a_sweep_was_cut_short_is_not_asked_again() {
    let (world, mut process) = (world_of_slow_heartbeats(40), Process::new());
    process.time_left = Duration::from_millis(1_500);
    let first = process.sweep(&world, 0).await;
    process.time_left = TIME_LEFT;
    let second = process.sweep(&world, 1).await;
    assert_eq!(first.heartbeats + second.heartbeats, 40);
    assert_eq!(process.sweep(&world, 2).await.heartbeats, 40);
}

/// Sweeps once per minute, so often; the longest time from one heartbeat of a task to the next,
/// which is also the longest to its first one, and from its last one to the end.
async fn longest_gap(commands: u32, per_second: u32, page: Duration, sweeps: u32) -> Duration {
    let world = world_of_executing(commands);
    world.slow(Op::ListPage, page);
    let tasks = OtherTasks::new(&world);
    let mut process = Process::new();
    process.scope.heartbeats_per_second = per_second;
    let began = Instant::now();
    for minute in 0..sweeps {
        tokio::time::sleep_until(began + MINUTE * minute).await;
        process.sweep_with(&tasks, &world, minute).await;
    }
    let ended = Instant::now();
    let mut last: BTreeMap<_, _> = (0..commands).map(|number| (token(number), began)).collect();
    let mut longest = Duration::ZERO;
    let finals: Vec<_> = last.keys().map(|token| (token.clone(), ended)).collect();
    for (token, at) in tasks.heartbeats().into_iter().chain(finals) {
        let before = last.insert(token, at).unwrap();
        longest = longest.max(at - before);
    }
    assert_eq!(changes(&world), 0);
    longest
}

#[tokio::test(start_paused = true)]
async fn more_than_a_sweep_can_do_is_done_by_the_next_ones_and_no_task_waits_longer_than_a_round() {
    // A page takes 0.5 s, and its 50 heartbeats 1 s: 600 s, of which each minute has 50. As long as
    // 100,000 commands take with 0.1 s for a page and 250 heartbeats per second.
    let gap = longest_gap(20_000, 50, SECOND / 2, 30).await;
    assert!((12 * MINUTE..=13 * MINUTE).contains(&gap), "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn seven_thousand_executing_commands_get_their_heartbeats_in_each_sweep() {
    let gap = longest_gap(7_000, 250, SECOND / 10, 5).await;
    assert!(gap < MINUTE + SECOND, "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn settling_leaves_time_for_heartbeats_and_reaches_every_command() {
    let (world, mut process) = (World::new(), Process::new());
    given(0, MINUTE, "InProgress").put_waited_for(&world);
    // Each read of their nodes takes a minute and more, so that no sweep gets to all.
    for number in 1..=30 {
        given(number, MINUTE, "Success").put_waited_for(&world);
    }
    world.slow(Op::ListCommandInvocations, 40 * SECOND);
    process.time_left = 5 * MINUTE;
    process.sweep(&world, 0).await;
    let mut answered = Vec::new();
    for minute in 1..=4 {
        let began = Instant::now();
        let report = process.sweep(&world, minute).await;
        assert!(began.elapsed() <= MINUTE + SECOND, "{:?}", began.elapsed());
        assert_eq!(report.heartbeats, 1, "of the executing one");
        answered.push((report.recovered, report.truncated));
    }
    assert_eq!(answered, [(10, true), (10, true), (10, false), (0, false)]);
}

#[tokio::test(start_paused = true)]
async fn one_large_command_is_settled_by_each_sweep_when_all_else_is_done() {
    let (world, mut process) = (World::new(), Process::new());
    for number in 1..=3 {
        given(number, MINUTE, "Success").of_nodes(1_050).put_waited_for(&world);
    }
    given(4, MINUTE, "Success").put_waited_for(&world);
    given(5, MINUTE, "InProgress").put_waited_for(&world);
    process.sweep(&world, 0).await;
    // One of them takes 21 pages of 5 s.
    world.slow(Op::ListCommandInvocations, 5 * SECOND);
    process.time_left = 200 * SECOND;
    for (minute, recovered) in [(1, 2), (2, 1), (3, 1), (4, 0)] {
        let report = process.sweep(&world, minute).await;
        assert_eq!(report.recovered, recovered, "in minute {minute}");
        assert_eq!(report.heartbeats, 1, "of the executing one");
        assert!(world.most_at_once(Op::ListCommandInvocations) <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn large_commands_are_settled_one_after_the_other_until_an_interval_is_over() {
    let (world, mut process) = (World::new(), Process::new());
    for number in 1..=3 {
        given(number, MINUTE, "Success").of_nodes(1_050).put_waited_for(&world);
    }
    process.sweep(&world, 0).await;
    // One of them takes 21 pages of 2 s: the third one would begin after 84 s and more.
    world.slow(Op::ListCommandInvocations, 2 * SECOND);
    process.time_left = 200 * SECOND;
    for (minute, recovered) in [(1, 2), (2, 1)] {
        let report = process.sweep(&world, minute).await;
        assert_eq!((report.recovered, report.truncated), (recovered, minute == 1));
        assert!(world.most_at_once(Op::ListCommandInvocations) <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn commands_with_too_many_nodes_wait_for_no_large_one() {
    let (world, mut process) = (World::new(), Process::new());
    given(1, MINUTE, "Success").of_nodes(1_050).put_waited_for(&world);
    for number in 2..=4 {
        Given { unseen_nodes: 20_001, ..given(number, MINUTE, "Success") }.put_waited_for(&world);
    }
    process.sweep(&world, 0).await;
    world.slow(Op::ListCommandInvocations, 20 * SECOND);
    // There is no time for the large one.
    let report = process.sweep(&world, 1).await;
    assert_eq!((report.recovered, report.truncated), (3, true));
    for (_, answer) in world.answers() {
        assert!(
            matches!(answer, Answer::Failure { error, .. } if error == "RunCommand.TooManyNodes")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_settled_before_the_time_is_up_is_counted() {
    let (world, mut process) = (World::new(), Process::new());
    // It is read again for three seconds.
    Given { unseen_nodes: 1, ..given(1, MINUTE, "Success") }.put_waited_for(&world);
    for number in 2..=30 {
        given(number, MINUTE, "Success").put_waited_for(&world);
    }
    process.sweep(&world, 0).await;
    process.time_left = 2 * SECOND;
    let report = process.sweep(&world, 1).await;
    assert_eq!(report, SweepReport { recovered: 29, truncated: true, ..nothing() });
}

#[tokio::test(start_paused = true)]
async fn a_large_command_that_takes_longer_than_a_sweep_holds_up_no_other() {
    let (world, mut process) = (World::new(), Process::new());
    given(1, MINUTE, "Success").of_nodes(3_000).put_waited_for(&world);
    given(2, MINUTE, "Success").of_nodes(1_050).put_waited_for(&world);
    process.sweep(&world, 0).await;
    // 60 pages, and 21.
    world.slow(Op::ListCommandInvocations, 5 * SECOND);
    process.time_left = 200 * SECOND;
    for (minute, recovered) in [(1, 0), (2, 1)] {
        assert_eq!(process.sweep(&world, minute).await.recovered, recovered, "in minute {minute}");
    }
}

// Rate.

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_their_rate() {
    // Zero counts as one.
    for (per_second, commands, seconds) in [(250, 1_000, 4), (10, 100, 10), (1, 5, 5), (0, 5, 5)] {
        for details in ["InProgress", "Success"] {
            let (world, mut process) = (World::new(), Process::new());
            for number in 0..commands {
                given(number, SECOND, details).put_waited_for(&world);
            }
            process.scope.heartbeats_per_second = per_second;
            let tasks = OtherTasks::new(&world);
            let began = Instant::now();
            process.sweep_with(&tasks, &world, 0).await;
            let took = began.elapsed();
            // The first one waits for nothing.
            let expected = SECOND * seconds * (commands - 1) / commands;
            assert!((expected..=SECOND * seconds).contains(&took), "{per_second}: {took:?}");
            // They are spread evenly: no second has more of them than one more than allowed.
            let times: Vec<_> = tasks.heartbeats().into_iter().map(|(_, at)| at).collect();
            let per_second = usize::try_from(per_second.max(1)).unwrap();
            for (early, late) in times.iter().zip(times.iter().skip(per_second + 1)) {
                assert!(*late - *early >= SECOND, "{details}");
            }
        }
    }
    let (world, mut process) = (world_of_executing(10), Process::new());
    process.scope.heartbeats_per_second = u32::MAX;
    assert_eq!(process.sweep(&world, 0).await.heartbeats, 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_executing_keeps_the_rate_when_it_has_ended() {
    let (world, mut process) = (World::new(), Process::new());
    let given = |number| given(number, 20 * HOUR, "InProgress");
    (0..100).for_each(|number| drop(given(number).put_waited_for(&world)));
    process.sweep(&world, 0).await;
    (0..100).for_each(|number| drop(given(number).is_now("Success").put(&world)));
    process.scope.heartbeats_per_second = 10;
    let began = Instant::now();
    process.sweep(&world, 1).await;
    assert!(began.elapsed() >= 9 * SECOND);
}

// Many commands.

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_are_bounded() {
    let (world, mut process) = (World::new(), Process::new());
    for number in 0..1_000 {
        given(number, MINUTE, "InProgress").put_abandoned(&world);
        given(1_000 + number, MINUTE, "Success").put_waited_for(&world);
        given(2_000 + number, 20 * HOUR, "InProgress").put_waited_for(&world);
    }
    for op in Op::ALL {
        world.slow(op, Duration::from_millis(200));
    }
    process.time_left = HOUR;
    process.sweep(&world, 0).await;
    (2_000..3_000).for_each(|number| drop(given(number, 20 * HOUR, "Success").put(&world)));
    let report = process.sweeps(&world, 1..3).await;
    assert_eq!((world.cancelled().len(), report.recovered), (1_000, 2_000));
    for (op, most) in [
        (Op::ListPage, 1),
        (Op::SendTaskHeartbeat, 32),
        (Op::CancelCommand, 32),
        (Op::ListCommands, 10),
        (Op::ListCommandInvocations, 10),
        (Op::SendTaskSuccess, 10),
    ] {
        assert!(world.most_at_once(op) <= most, "{op:?}: {}", world.most_at_once(op));
        assert!(world.most_at_once(op) > most / 2, "{op:?}: {}", world.most_at_once(op));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_reads_on_only_when_it_has_done_what_it_has_read() {
    for seconds in [5, 20, 45] {
        let (world, mut process) = (world_of_slow_heartbeats(4_000), Process::new());
        process.time_left = Duration::from_secs(seconds) + SECOND / 2;
        let report = process.sweep(&world, 0).await;
        let done = usize::try_from(report.heartbeats).unwrap();
        // 50 of a page take two rounds.
        assert!(done >= usize::try_from(seconds).unwrap() * 50 / 3, "{done}");
        let pages = world.calls(Op::ListPage);
        assert!(pages <= done / 50 + 1, "{pages} pages read for {done}");
    }
}

#[tokio::test(start_paused = true)]
async fn sweeps_cost_what_there_is_to_do_and_no_more() {
    // Of 1,000 executing commands, and of 1,900 completed ones in 38 hours, every tenth has no
    // token, and every hundredth is abandoned or has lost its event.
    let (world, mut process) = (World::new(), Process::new());
    let put = |number: u32, age, details| {
        let given = given(number, age, details);
        let is_odd = number % 100 == 47;
        match (number % 10 != 3, is_odd == (details == "Success")) {
            (false, _) => given.without_token().put(&world),
            (true, true) => given.put_waited_for(&world),
            (true, false) => given.put_abandoned(&world),
        };
    };
    (0..1_000).for_each(|number| put(number, MINUTE * number, "InProgress"));
    (0..1_900).for_each(|number| put(10_000 + number, 72 * SECOND * number, "Success"));

    let first = process.sweep(&world, 0).await;
    // 20 pages of executing ones, 2 of the last hour, and 30 of the 39 of the lookback. Ten that were
    // just cancelled are in these, and known.
    let expected = SweepReport { executing: 900, heartbeats: 890 + 15, cancelled: 10, ..nothing() };
    assert_eq!(first, expected);
    assert_eq!(world.calls(Op::ListPage), 20 + 2 + 30);
    assert_eq!(world.calls(Op::CancelCommand), 10);

    let second = process.sweep(&world, 1).await;
    let expected = SweepReport { executing: 890, heartbeats: 890 + 4, recovered: 15, ..nothing() };
    assert_eq!(second, expected);
    let third = process.sweep(&world, 2).await;
    assert_eq!(third, SweepReport { executing: 890, heartbeats: 890, recovered: 4, ..nothing() });
    assert_eq!(heartbeats(&world), 900 + 1_710 + 2 * 890);
    for op in [Op::ListCommands, Op::ListCommandInvocations, Op::SendTaskSuccess] {
        assert_eq!(world.calls(op), 19, "{op:?}");
    }
    let before = all_calls(&world);
    let fourth = process.sweep(&world, 3).await;
    assert_eq!(fourth, SweepReport { executing: 890, heartbeats: 890, ..nothing() });
    // 990 are executing, on 20 pages.
    assert_eq!(all_calls(&world) - before, 890 + 20 + 1);
}
