//! What a sweep looks at, whatever the times are: no holes, and nothing is found too late.

use std::collections::BTreeSet;
use std::time::Duration;

use callback::Scope;
use callback::ports::Stage;
use callback::sweep::Slice;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn default_scope(documents: usize) -> Scope {
    scope(documents, MINUTE, 49 * HOUR)
}

fn scope(documents: usize, interval: Duration, lookback: Duration) -> Scope {
    let document_names = (1..=documents).map(|number| format!("Document{number}")).collect();
    Scope { document_names, interval, lookback }
}

/// Intervals of 1 s to 10 min with a lookback of 1 to 720 h, longer than the first slices.
fn any_scope(documents: usize) -> impl Strategy<Value = Scope> {
    let interval = prop_oneof![Just(60), 1_u64..=600].prop_map(Duration::from_secs);
    let lookback = prop_oneof![Just(49), 1_u64..=720].prop_map(Duration::from_hours);
    (interval, lookback).prop_map(move |(interval, lookback)| scope(documents, interval, lookback))
}

/// A moment of some weeks, by the millisecond.
fn any_moment() -> impl Strategy<Value = Timestamp> {
    (0_i64..3_000_000_000).prop_map(|ms| moment(1_795_341_600_000 + ms))
}

fn moment(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time + SignedDuration::try_from(by).unwrap()
}

/// A part of `whole`, from nothing to all of it.
fn part(whole: Duration, share: f64) -> Duration {
    whole.mul_f64(share).min(whole)
}

/// The slices at `now` that hold a command requested at that time.
fn holding(scope: &Scope, now: Timestamp, stage: Stage, requested_at: Timestamp) -> Vec<Slice> {
    let mut slices = scope.slices(now);
    slices.retain(|slice| slice.listing.stage == stage && slice.holds(requested_at));
    slices
}

/// At which ages a command that ended at age `end` is seen to be complete, when the first sweep is
/// at age `phase`. Looks only at the few sweeps around each probe age, so it may miss some.
fn ages_when_seen(
    scope: &Scope,
    requested_at: Timestamp,
    phase: Duration,
    end: Duration,
) -> impl Iterator<Item = Duration> {
    let sweeps_until = |age: Duration| {
        let sweeps = age.saturating_sub(phase).as_nanos() / scope.interval.as_nanos();
        u32::try_from(sweeps).unwrap()
    };
    let sweeps: BTreeSet<_> = scope
        .probe_ages()
        .into_iter()
        .flat_map(|age| sweeps_until(age).saturating_sub(2)..sweeps_until(age) + 4)
        .collect();
    sweeps.into_iter().map(move |sweep| phase + scope.interval * sweep).filter(move |age| {
        let now = later(requested_at, *age);
        *age >= end && !holding(scope, now, Stage::Complete, requested_at).is_empty()
    })
}

/// Before which age the documentation says that it is found.
fn documented_age(scope: &Scope, end: Duration, missed_sweeps: u32) -> Duration {
    (2 * end).max(2 * scope.interval) + scope.interval * (1 + missed_sweeps)
}

/// Checks that a lost event is found in time, also when the very sweep that would find it is missed.
fn check_found(
    scope: &Scope,
    requested_at: Timestamp,
    phase: Duration,
    end: Duration,
) -> Result<(), TestCaseError> {
    let mut found = ages_when_seen(scope, requested_at, phase, end);
    for missed_sweeps in [0, 1] {
        let found = found.next();
        let by = documented_age(scope, end, missed_sweeps);
        prop_assert!(
            found.is_some_and(|found| found < by),
            "ended at {end:?}, found at {found:?}, not before {by:?}, {missed_sweeps} missed"
        );
    }
    Ok(())
}

#[test]
fn probes_are_at_doubling_ages_up_to_the_lookback() {
    let minutes: Vec<_> =
        default_scope(1).probe_ages().iter().map(|age| age.as_secs() / 60).collect();
    assert_eq!(minutes, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 2_940]);
    let short = scope(1, Duration::from_secs(5), MINUTE);
    let seconds: Vec<_> = short.probe_ages().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [10, 20, 40, 60]);
    // On a probe age, and below the first one.
    assert_eq!(scope(1, MINUTE, 8 * MINUTE).probe_ages(), [2 * MINUTE, 4 * MINUTE, 8 * MINUTE]);
    assert_eq!(scope(1, MINUTE, MINUTE).probe_ages(), [2 * MINUTE]);
}

#[test]
fn an_interval_of_nothing_counts_as_a_second() {
    let none = scope(1, Duration::ZERO, HOUR);
    assert_eq!(none.probe_ages(), scope(1, Duration::from_secs(1), HOUR).probe_ages());
    let now = moment(1_795_341_600_000);
    assert_eq!(none.slices(now), scope(1, Duration::from_secs(1), HOUR).slices(now));
}

#[test]
fn every_document_has_its_slices() {
    let now = moment(1_795_341_600_000);
    assert_eq!(default_scope(0).slices(now), []);
    for documents in 1..=3 {
        let slices = default_scope(documents).slices(now);
        assert_eq!(slices.len(), documents * 25);
        for number in 1..=documents {
            let name = format!("Document{number}");
            let own = slices.iter().filter(|slice| slice.listing.document_name == name);
            assert_eq!(own.count(), 25);
        }
    }
}

#[test]
fn a_slice_knows_the_least_age_of_its_commands() {
    let now = moment(1_795_341_600_000);
    for slice in default_scope(1).slices(now) {
        let newest = slice.listing.invoked_before.unwrap_or(now);
        assert_eq!(now.duration_since(newest), SignedDuration::try_from(slice.age).unwrap());
    }
}

#[test]
fn each_slice_is_first_once_in_a_round() {
    for documents in 1..=4 {
        let scope = default_scope(documents);
        let slices = documents * 25;
        for phase_ms in [0, 1, 59_999] {
            let firsts: BTreeSet<_> = (0..slices)
                .map(|sweep| i64::try_from(sweep).unwrap() * 60_000 + phase_ms)
                .map(|ms| moment(1_795_341_600_000 + ms))
                .map(|now| {
                    let Slice { listing, age } = scope.slices(now).swap_remove(0);
                    (listing.document_name, listing.stage == Stage::Complete, age)
                })
                .collect();
            assert_eq!(firsts.len(), slices);
        }
    }
}

proptest! {
    #[test]
    fn a_lost_event_is_found_in_time(
        scope in any_scope(1),
        requested_at in any_moment(),
        (phase, end) in (0.0..1.0, 0.0..=1.0),
        ends_early in any::<bool>(),
    ) {
        // Half of the ends are at an age of a few intervals, where it is tight.
        let latest = if ends_early { scope.interval * 9 } else { scope.lookback };
        let end = part(latest.min(scope.lookback), end);
        check_found(&scope, requested_at, part(scope.interval, phase), end)?;
    }

    #[test]
    fn a_lost_event_of_an_end_around_a_probe_is_found_in_time(
        scope in any_scope(1),
        requested_at in any_moment(),
        (phase, probe) in (0.0..1.0, any::<Index>()),
        (shift_ms, is_before) in (0_u64..=2, any::<bool>()),
    ) {
        let age = *probe.get(&scope.probe_ages());
        let shift = Duration::from_millis(shift_ms);
        let end = if is_before { age.saturating_sub(shift) } else { age + shift }.min(scope.lookback);
        check_found(&scope, requested_at, part(scope.interval, phase), end)?;
    }

    #[test]
    fn a_completed_command_is_seen_by_two_sweeps_at_each_age(
        scope in any_scope(1),
        requested_at in any_moment(),
        phase in 0.0..1.0,
    ) {
        let phase = part(scope.interval, phase);
        for age in scope.probe_ages() {
            let before = u32::try_from(age.as_nanos() / scope.interval.as_nanos()).unwrap() - 1;
            let seen = (before..before + 5)
                .map(|sweep| later(requested_at, phase + scope.interval * sweep))
                .flat_map(|now| holding(&scope, now, Stage::Complete, requested_at))
                .filter(|slice| slice.age == age);
            prop_assert_eq!(seen.count(), 2, "at age {:?}", age);
        }
    }

    #[test]
    fn an_executing_command_is_in_one_slice_of_its_document(
        scope in any_scope(2),
        now in any_moment(),
        (age, is_early) in (0.0..2.0, any::<bool>()),
    ) {
        // Up to twice the lookback old, or requested by a clock that is a minute ahead.
        let age = SignedDuration::try_from(scope.lookback.mul_f64(age)).unwrap();
        let requested_at = if is_early { now + SignedDuration::from_mins(1) } else { now - age };
        let slices = holding(&scope, now, Stage::Executing, requested_at);
        let names: Vec<_> = slices.iter().map(|slice| &slice.listing.document_name).collect();
        prop_assert!(names == ["Document1", "Document2"] || names == ["Document2", "Document1"]);
    }

    #[test]
    fn executing_slices_meet_without_a_hole(
        scope in any_scope(1),
        now in any_moment(),
    ) {
        let mut slices = scope.slices(now);
        slices.retain(|slice| slice.listing.stage == Stage::Executing);
        slices.sort_unstable_by_key(|slice| slice.age);
        prop_assert_eq!(slices[0].listing.invoked_before, None);
        for pair in slices.windows(2) {
            let border = pair[0].listing.invoked_after;
            prop_assert!(border.is_some());
            prop_assert_eq!(border, pair[1].listing.invoked_before);
            let border = border.unwrap();
            prop_assert!(!pair[0].holds(border) && pair[1].holds(border));
        }
        prop_assert_eq!(slices[slices.len() - 1].listing.invoked_after, None);
    }

    #[test]
    fn every_sweep_has_every_slice(
        scope in any_scope(3),
        now in any_moment(),
        sweeps_later in 0_u32..1_000,
    ) {
        let sorted = |now| {
            let slices = scope.slices(now).into_iter();
            let mut slices: Vec<_> = slices
                .map(|Slice { listing, age }| {
                    (listing.document_name, listing.stage == Stage::Complete, age)
                })
                .collect();
            slices.sort_unstable();
            slices
        };
        let slices = sorted(now);
        let distinct: BTreeSet<_> = slices.iter().collect();
        prop_assert_eq!(distinct.len(), slices.len());
        prop_assert_eq!(slices.len(), 3 * (2 * scope.probe_ages().len() + 1));
        prop_assert_eq!(sorted(later(now, scope.interval * sweeps_later)), slices);
    }

    #[test]
    fn sweeps_of_one_slice_reach_every_executing_command(
        documents in 1_usize..=4,
        interval in prop_oneof![Just(60), 1_u64..=600].prop_map(Duration::from_secs),
        lookback in (1_u64..=49).prop_map(Duration::from_hours),
        begin in any_moment(),
        (age, is_young) in (0.0..1.2, any::<bool>()),
    ) {
        let scope = scope(documents, interval, lookback);
        let oldest = if is_young { interval * 70 } else { lookback };
        let age = SignedDuration::try_from(oldest.mul_f64(age)).unwrap();
        let requested_at = begin - age;
        let reached = |sweep| {
            let slice = &scope.slices(later(begin, interval * sweep))[0];
            slice.listing.document_name == "Document1"
                && slice.listing.stage == Stage::Executing
                && slice.holds(requested_at)
        };
        let ages = scope.probe_ages().len();
        let documented = u32::try_from(documents * (2 * ages + 1) + 2 * ages).unwrap();
        prop_assert!((0..documented).any(reached), "not in {documented} sweeps");
    }
}
