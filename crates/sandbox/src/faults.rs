//! Faults on demand: events that are lost, duplicated, late or out of order, and API calls of the
//! functions that are throttled or fail. All of them follow from one seed.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// An event that is late arrives within this time.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// An event that is overtaken arrives within this time: long enough for the next ones to pass it.
const REORDER_MAX: Duration = Duration::from_millis(500);

/// The rate of each fault: a probability from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// Events that are lost.
    pub drop_events: f64,
    /// Events that are delivered twice.
    pub duplicate_events: f64,
    /// Events that arrive up to 5 seconds late.
    pub delay_events: f64,
    /// Events that later ones may overtake.
    pub reorder_events: f64,
    /// API calls of the functions that are throttled, or fail with status 500 (one in four of these).
    pub throttle: f64,
    /// The seed of all faults: the same seed and the same order of events give the same faults.
    pub seed: u64,
}

/// A fault of an API call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFault {
    /// `ThrottlingException`.
    Throttled,
    /// `InternalServerError`, with status 500.
    Failed,
}

/// The faults to come.
#[derive(Debug)]
pub struct FaultPlan {
    faults: Faults,
    random: SmallRng,
}

impl FaultPlan {
    /// The plan that these settings and their seed lead to.
    pub fn new(faults: Faults) -> Self {
        Self { faults, random: SmallRng::seed_from_u64(faults.seed) }
    }

    /// The delay of each copy of the next event. Without a copy, it is lost.
    pub fn next_event(&mut self) -> Vec<Duration> {
        // Always the same number of draws, so that one fault's rate does not shift the others.
        let lost = self.random.random_bool(self.faults.drop_events);
        let copies = 1 + usize::from(self.random.random_bool(self.faults.duplicate_events));
        let late = self.random.random_bool(self.faults.delay_events);
        let overtaken = self.random.random_bool(self.faults.reorder_events);
        let fraction: f64 = self.random.random();
        if lost {
            return Vec::new();
        }
        let mut delay = Duration::ZERO;
        if late {
            delay += DELAY_MAX.mul_f64(fraction);
        }
        if overtaken {
            delay += REORDER_MAX.mul_f64(fraction);
        }
        vec![delay; copies]
    }

    /// The fault of the next API call of a function, if it has one.
    pub fn next_call(&mut self) -> Option<CallFault> {
        let hit = self.random.random_bool(self.faults.throttle);
        let failed = self.random.random_bool(0.25);
        hit.then_some(if failed { CallFault::Failed } else { CallFault::Throttled })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CallFault, FaultPlan, Faults};

    fn events(faults: Faults) -> Vec<Vec<Duration>> {
        let mut plan = FaultPlan::new(faults);
        (0..200).map(|_| plan.next_event()).collect()
    }

    #[test]
    fn without_faults_each_event_arrives_once_and_at_once() {
        assert_eq!(events(Faults::default()), vec![vec![Duration::ZERO]; 200]);
        assert_eq!(FaultPlan::new(Faults::default()).next_call(), None);
    }

    #[test]
    fn certain_loss_loses_every_event() {
        let faults = Faults { drop_events: 1.0, duplicate_events: 1.0, ..Faults::default() };
        assert_eq!(events(faults), vec![Vec::new(); 200]);
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let faults = Faults {
            drop_events: 0.3,
            duplicate_events: 0.3,
            delay_events: 0.3,
            reorder_events: 0.3,
            ..Faults::default()
        };
        assert_eq!(events(faults), events(faults));
        assert_ne!(events(faults), events(Faults { seed: 1, ..faults }));
        let lost = events(faults).iter().filter(|copies| copies.is_empty()).count();
        assert!((30..90).contains(&lost), "{lost} of 200 lost at 0.3");
    }

    #[test]
    fn throttling_also_fails_some_calls() {
        let mut plan = FaultPlan::new(Faults { throttle: 1.0, ..Faults::default() });
        let calls: Vec<_> = (0..200).filter_map(|_| plan.next_call()).collect();
        assert_eq!(calls.len(), 200);
        assert!(calls.contains(&CallFault::Failed));
        assert!(calls.contains(&CallFault::Throttled));
    }
}
