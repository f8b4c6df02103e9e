//! The promise: a task is answered within three intervals of its command's end.

use std::ops::Range;

use callback::{Hint, settle};

use super::*;

/// What goes wrong. Sweeps are counted from the first one after the command's end.
#[derive(Debug, Clone, Copy)]
struct Losses {
    is_event_lost: bool,
    /// The sweep that is missed.
    missed: Option<i32>,
    /// The sweep before which the process is replaced.
    replaced: Option<i32>,
}

/// The sweeps that something may happen to.
const SWEEPS: Range<i32> = -2..5;
/// The sweeps of a process before the command begins, and again before it ends.
const SWEEPS_BEFORE: i32 = 6;
/// For how long commands run.
const RAN: [Duration; 12] = [
    Duration::ZERO,
    SECOND,
    Duration::from_secs(59),
    MINUTE,
    Duration::from_secs(61),
    Duration::from_secs(150),
    Duration::from_mins(10),
    Duration::from_mins(59),
    Duration::from_mins(61),
    Duration::from_hours(5),
    Duration::from_hours(24),
    Duration::from_hours(48),
];
/// How long after a command's end the next sweep comes.
const WAITS: [Duration; 4] =
    [Duration::ZERO, SECOND, Duration::from_secs(30), Duration::from_secs(59)];

/// How long after its command's end a task was answered by a sweep; `None`: by the event.
async fn answered_after(ran: Duration, wait: Duration, losses: Losses) -> Option<Duration> {
    let (world, mut process) = (World::new(), Process::new());
    let command = given(1, ran, "InProgress");
    let mut has_begun = false;
    let mut has_ended = false;
    let first = -i32::try_from(ran.as_secs().div_ceil(60)).unwrap() - 2 * SWEEPS_BEFORE;
    for sweep in (first..first + SWEEPS_BEFORE).chain(-SWEEPS_BEFORE..SWEEPS.end + 3) {
        let time = later(now(), wait) + SignedDuration::from_mins(i64::from(sweep));
        if time >= command.requested_at && !has_begun {
            has_begun = true;
            command.clone().put_waited_for(&world);
        }
        if time >= now() && !has_ended {
            has_ended = true;
            let id = command.is_now("Success").put(&world);
            if !losses.is_event_lost {
                settle(&world, &world, &id, Hint::Ended).await.unwrap();
            }
        }
        if losses.replaced == Some(sweep) {
            process = Process::new();
        }
        if losses.missed == Some(sweep) {
            continue;
        }
        let report = process.sweep_at(&world, &world, time).await;
        assert_eq!((report.failed, report.cancelled), (0, 0));
        if report.recovered > 0 {
            assert!(losses.is_event_lost, "{losses:?}");
            return Some(Duration::try_from(time - now()).unwrap());
        }
    }
    assert_eq!(world.answers().len(), 1, "ran {ran:?}, never answered: {losses:?}");
    None
}

/// Every way to lose a sweep and a process, or neither.
fn all_losses(is_event_lost: bool) -> impl Iterator<Item = Losses> {
    let one_or_none = || [None].into_iter().chain(SWEEPS.map(Some));
    one_or_none().flat_map(move |missed| {
        one_or_none().map(move |replaced| Losses { is_event_lost, missed, replaced })
    })
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_made_good_within_three_intervals_and_four_if_both_are_lost_besides() {
    let mut longest = [Duration::ZERO; 2];
    for ran in RAN {
        for wait in WAITS {
            for losses in all_losses(true) {
                let after = answered_after(ran, wait, losses).await.unwrap();
                // The first look is forgotten, and a sweep is missing on top of that.
                let is_both = losses.missed.is_some_and(|missed| missed >= 0)
                    && losses.replaced.is_some_and(|replaced| replaced > 0);
                let promised = (3 + u32::from(is_both)) * MINUTE;
                assert!(after < promised, "ran {ran:?}, answered after {after:?}: {losses:?}");
                let longest = &mut longest[usize::from(is_both)];
                *longest = after.max(*longest);
            }
        }
    }
    // The bounds are met.
    let expected = [Duration::from_secs(179), Duration::from_secs(239)];
    assert_eq!(longest, expected);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_came_is_never_counted_as_lost_whatever_else_is_lost() {
    for ran in RAN {
        for losses in all_losses(false) {
            assert_eq!(answered_after(ran, SECOND, losses).await, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_other_losses_the_second_sweep_answers() {
    for ran in RAN {
        for wait in WAITS {
            let losses = Losses { is_event_lost: true, missed: None, replaced: None };
            assert_eq!(answered_after(ran, wait, losses).await, Some(wait + MINUTE), "{ran:?}");
        }
    }
}
