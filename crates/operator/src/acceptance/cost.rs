//! What a run cost, as an upper bound.

use serde_json::{Value, json};

/// List prices in dollars, as in infra/README.md, "Cost".
const TRANSITION: f64 = 0.000_025;
const AUTOMATION_STEP: f64 = 0.002;
/// Lambda.
const REQUEST: f64 = 0.000_000_2;
const GIGABYTE_SECOND: f64 = 0.000_013_3;
/// A request, and a second at 0.25 GB, which is more than it takes.
const INVOCATION: f64 = REQUEST + 0.25 * GIGABYTE_SECOND;
/// SQS, Standard queues. It is not in infra/README.md.
const QUEUE_REQUEST: f64 = 0.000_000_4;
/// Charged steps of one of the stack's automations.
const STEPS: usize = 2;
/// A command and a status event each invoke a function, which may be tried three times.
const INVOCATIONS_MAX: usize = 6;

/// What was used.
#[derive(Debug, Default, Clone, Copy)]
pub struct Used {
    /// State transitions.
    pub transitions: usize,
    /// Commands.
    pub commands: usize,
    /// Automations.
    pub automations: usize,
    /// Requests to SQS, with the events that were sent to the queue.
    pub queue_requests: usize,
}

impl Used {
    /// The next whole cent, in dollars.
    pub fn dollars_max(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "thousands at the most")]
        let times = |count: usize, price: f64| count as f64 * price;
        let sum = times(self.transitions, TRANSITION)
            + times(self.automations * STEPS, AUTOMATION_STEP)
            + times(self.commands * INVOCATIONS_MAX, INVOCATION)
            + times(self.queue_requests, QUEUE_REQUEST);
        (sum * 100.0).ceil() / 100.0
    }

    /// In words.
    pub fn said(&self) -> String {
        format!(
            "less than ${:.2} at list prices: {} state transitions, {} commands, {} automations",
            self.dollars_max(),
            self.transitions,
            self.commands,
            self.automations
        )
    }

    /// For programs.
    pub fn to_json(self) -> Value {
        json!({
            "DollarsMax": self.dollars_max(),
            "StateTransitions": self.transitions,
            "Commands": self.commands,
            "Automations": self.automations,
            "QueueRequests": self.queue_requests,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that follows this text in the section "Cost" of infra/README.md, each time.
    #[track_caller]
    fn told(before: &str) -> Vec<f64> {
        let readme = include_str!("../../../../infra/README.md");
        let (_, section) = readme.split_once("\n## Cost\n").expect("the section");
        let is_of_number = |char: char| char.is_ascii_digit() || char == '.';
        let numbers = section.split(before).skip(1).map(|rest| {
            let end = rest.find(|char| !is_of_number(char)).unwrap_or(rest.len());
            rest[..end].parse().expect("a number")
        });
        let numbers: Vec<f64> = numbers.collect();
        assert!(!numbers.is_empty(), "{before} is not in the section");
        numbers
    }

    #[test]
    fn prices_are_those_of_the_readme() {
        let are = |told: Vec<f64>, price: f64| {
            assert!(told.iter().all(|told| (told / price - 1.0).abs() < 1e-9), "{told:?}, {price}");
        };
        are(told("transitions × $"), TRANSITION);
        are(told("charged steps × $"), AUTOMATION_STEP);
        let millions = told("relay, requests | 1,000 × $");
        are(millions.iter().map(|price| price / 1e6).collect(), REQUEST);
        are(told("0.25 GB × $"), GIGABYTE_SECOND);
    }

    #[test]
    fn automations_are_what_costs() {
        let used = Used { transitions: 60, commands: 30, automations: 4, queue_requests: 200 };
        assert!((used.dollars_max() - 0.02).abs() < 1e-9, "{used:?}");
        assert!(used.said().starts_with("less than $0.02 at list prices"));
    }
}
