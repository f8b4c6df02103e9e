//! Faults: events that are lost, duplicated, late or out of order, and API calls of the functions that
//! are throttled or fail. Those at a rate follow from one seed. Others are switched on and off
//! ([`Switch`]).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// An event that is late arrives within this time.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// An event that is overtaken arrives within this time: long enough for the next ones to pass it.
const REORDER_MAX: Duration = Duration::from_millis(500);

/// How long [`Switch::Throttle`] throttles calls.
const THROTTLE: Duration = Duration::from_secs(10);

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

/// A fault that is switched on and off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// The next event that a rule would deliver is lost.
    LoseNext,
    /// Every event is lost.
    LoseAll,
    /// Every event is delivered twice.
    Double,
    /// Every event arrives up to 5 seconds late.
    Delay,
    /// Every call of a function is throttled for the next 10 seconds.
    Throttle,
    /// The function of this name is killed at its next call, and the call gets no answer.
    Kill(String),
}

/// What happens to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventFault {
    /// It is lost, and this is why.
    Lost(&'static str),
    /// A copy of it is delivered after each of these times.
    Copies(Vec<Duration>),
}

/// The faults to come.
#[derive(Debug)]
pub struct FaultPlan {
    faults: Faults,
    random: SmallRng,
    switched_on: BTreeSet<Switch>,
    throttle_until: Option<Instant>,
}

impl FaultPlan {
    /// The plan that these settings and their seed lead to.
    pub fn new(faults: Faults) -> Self {
        let random = SmallRng::seed_from_u64(faults.seed);
        Self { faults, random, switched_on: BTreeSet::new(), throttle_until: None }
    }

    /// Switches a fault on or off.
    pub fn switch(&mut self, switch: Switch, on: bool) {
        if switch == Switch::Throttle {
            self.throttle_until = on.then(|| Instant::now() + THROTTLE);
        } else if on {
            self.switched_on.insert(switch);
        } else {
            self.switched_on.remove(&switch);
        }
    }

    /// The faults that are switched on now.
    pub fn switched_on(&self) -> BTreeSet<Switch> {
        let throttled = self.is_throttled().then_some(Switch::Throttle);
        self.switched_on.iter().cloned().chain(throttled).collect()
    }

    /// Whether this is switched on. If so, it is switched off: it happens once.
    pub fn take(&mut self, switch: &Switch) -> bool {
        self.switched_on.remove(switch)
    }

    /// What happens to the next event.
    pub fn next_event(&mut self) -> EventFault {
        // Always the same number of draws, so that one fault's rate does not shift the others.
        let lost = self.random.random_bool(self.faults.drop_events);
        let doubled = self.random.random_bool(self.faults.duplicate_events);
        let late = self.random.random_bool(self.faults.delay_events);
        let overtaken = self.random.random_bool(self.faults.reorder_events);
        let fraction: f64 = self.random.random();
        if self.is_on(&Switch::LoseAll) {
            return EventFault::Lost("lost on demand");
        }
        if lost {
            return EventFault::Lost("lost by --drop-events");
        }
        let mut delay = Duration::ZERO;
        if late || self.is_on(&Switch::Delay) {
            delay += DELAY_MAX.mul_f64(fraction);
        }
        if overtaken {
            delay += REORDER_MAX.mul_f64(fraction);
        }
        let copies = 1 + usize::from(doubled || self.is_on(&Switch::Double));
        EventFault::Copies(vec![delay; copies])
    }

    /// The fault of the next API call of a function, if it has one.
    pub fn next_call(&mut self) -> Option<CallFault> {
        let hit = self.random.random_bool(self.faults.throttle);
        let failed = self.random.random_bool(0.25);
        if self.is_throttled() {
            return Some(CallFault::Throttled);
        }
        hit.then_some(if failed { CallFault::Failed } else { CallFault::Throttled })
    }

    /// Whether a fault that lasts is switched on.
    pub fn is_on(&self, switch: &Switch) -> bool {
        self.switched_on.contains(switch)
    }

    fn is_throttled(&self) -> bool {
        self.throttle_until.is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CallFault, EventFault, FaultPlan, Faults, Switch};

    fn events(faults: Faults) -> Vec<EventFault> {
        let mut plan = FaultPlan::new(faults);
        (0..200).map(|_| plan.next_event()).collect()
    }

    #[test]
    fn without_faults_each_event_arrives_once_and_at_once() {
        let plain = EventFault::Copies(vec![Duration::ZERO]);
        assert_eq!(events(Faults::default()), vec![plain; 200]);
        assert_eq!(FaultPlan::new(Faults::default()).next_call(), None);
    }

    #[test]
    fn certain_loss_loses_every_event() {
        let faults = Faults { drop_events: 1.0, duplicate_events: 1.0, ..Faults::default() };
        let lost = EventFault::Lost("lost by --drop-events");
        assert_eq!(events(faults), vec![lost; 200]);
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
        let lost =
            events(faults).iter().filter(|fault| matches!(fault, EventFault::Lost(_))).count();
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

    #[test]
    fn what_is_switched_on_happens_until_it_is_switched_off() {
        let mut plan = FaultPlan::new(Faults::default());
        let once = EventFault::Copies(vec![Duration::ZERO]);
        plan.switch(Switch::Double, true);
        assert_eq!(plan.next_event(), EventFault::Copies(vec![Duration::ZERO; 2]));
        plan.switch(Switch::Double, false);
        assert_eq!(plan.next_event(), once);
        plan.switch(Switch::LoseAll, true);
        assert_eq!(plan.next_event(), EventFault::Lost("lost on demand"));
        plan.switch(Switch::LoseAll, false);
        plan.switch(Switch::Delay, true);
        assert_ne!(plan.next_event(), once);
        plan.switch(Switch::Throttle, true);
        assert_eq!(plan.next_call(), Some(CallFault::Throttled));
        assert_eq!(plan.switched_on().len(), 2);
        plan.switch(Switch::Throttle, false);
        assert_eq!(plan.next_call(), None);
    }

    #[test]
    fn what_happens_once_is_taken_once() {
        let mut plan = FaultPlan::new(Faults::default());
        let kill = Switch::Kill("relay".to_owned());
        plan.switch(kill.clone(), true);
        assert!(!plan.take(&Switch::Kill("sweep".to_owned())));
        assert!(plan.take(&kill));
        assert!(!plan.take(&kill));
    }
}
