//! A token that two commands carry: somebody has read it, and sent a command of his own with it.

use callback::testing::log::Log;

use super::*;

/// A command with the token of command 1, requested so long before [`now`].
fn reusing(number: u32, age: Duration, details: &'static str) -> Given {
    given(number, age, details).parameter("taskToken", &token(1))
}

#[tokio::test(start_paused = true)]
async fn a_token_that_two_commands_carry_is_a_warning_with_both_ids_once() {
    // Whichever list tells them.
    for (older, newer) in [
        ("InProgress", "InProgress"),
        ("InProgress", "Success"),
        ("Success", "InProgress"),
        ("Success", "Success"),
    ] {
        let log = Log::capture();
        let (world, mut process) = (World::new(), Process::new());
        let first = given(1, 5 * MINUTE, older).put_waited_for(&world);
        let second = reusing(2, MINUTE, newer).put(&world);
        assert_eq!(process.sweep(&world, 0).await.reused, 1, "{older} {newer}");
        assert_eq!(process.sweeps(&world, 1..5).await.reused, 0, "{older} {newer}");
        let log = log.text();
        let warnings: Vec<_> =
            log.lines().filter(|line| line.contains("carries the same task token")).collect();
        let [warning] = warnings[..] else { panic!("{log}") };
        assert!(warning.contains(&format!(" command_id={second}")), "{warning}");
        assert!(warning.contains(&format!(" older_command_id={first}")), "{warning}");
        assert!(!log.contains(TOKEN));
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_older_command_is_answered_for() {
    let (world, mut process) = (World::new(), Process::new());
    let first = given(1, 5 * MINUTE, "InProgress");
    first.clone().put_waited_for(&world);
    reusing(2, MINUTE, "Success").put(&world);
    // The other one has ended, and its event was lost. The task waits for the first.
    assert_eq!(process.sweeps(&world, 0..5).await.recovered, 0);
    assert_eq!(world.answers(), []);
    first.is_now("Failed").put(&world);
    assert_eq!(process.sweeps(&world, 5..9).await.recovered, 1);
    assert_eq!(the_error(&world), "RunCommand.Failed");
}

#[tokio::test(start_paused = true)]
async fn the_older_one_may_be_told_last() {
    // Lists tell the newest commands first, here on two pages.
    let (world, mut process) = (World::new(), Process::new());
    given(1, 50 * MINUTE, "Failed").put_waited_for(&world);
    (100..150).for_each(|number| drop(given(number, 30 * MINUTE, "Success").put_abandoned(&world)));
    reusing(2, 5 * MINUTE, "Success").put(&world);
    let report = process.sweeps(&world, 0..3).await;
    assert_eq!((report.reused, report.recovered), (1, 1));
    assert_eq!(the_error(&world), "RunCommand.Failed");
}

#[tokio::test(start_paused = true)]
async fn a_newer_one_that_was_seen_executing_is_not_answered_for_when_it_has_ended() {
    let (world, mut process) = (World::new(), Process::new());
    given(1, 5 * MINUTE, "InProgress").put_waited_for(&world);
    let second = reusing(2, MINUTE, "InProgress");
    second.clone().put(&world);
    process.sweep(&world, 0).await;
    second.is_now("Success").put(&world);
    assert_eq!(process.sweeps(&world, 1..6).await.recovered, 0);
    assert_eq!(world.answers(), []);
}

#[tokio::test(start_paused = true)]
async fn both_are_cancelled_when_nobody_waits() {
    let (world, mut process) = (World::new(), Process::new());
    let first = given(1, 5 * MINUTE, "InProgress").put_abandoned(&world);
    let second = reusing(2, MINUTE, "InProgress").put(&world);
    assert_eq!(process.sweep(&world, 0).await.cancelled, 2);
    let mut cancelled = world.cancelled();
    cancelled.sort();
    assert_eq!(cancelled, [first, second]);
}
