//! Fires the rules that have a schedule.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, interval};

use super::delivery::Delivery;
use super::event::event;
use super::rules::Rules;
use crate::record::{Entry, Record};

/// How often it looks whether a rule is due.
const TICK: Duration = Duration::from_millis(250);

/// Fires each scheduled rule at its rate, or at the rate of `every` if that is given. The first time
/// is one interval after the rule is first seen, as on AWS.
pub async fn run(
    rules: Rules,
    delivery: Delivery,
    region: String,
    every: Option<Duration>,
    record: Record,
) {
    let mut due: HashMap<String, Instant> = HashMap::new();
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        // If the rules cannot be read, the next tick reads them.
        let Ok(rules) = rules.enabled().await else {
            continue;
        };
        let now = Instant::now();
        due.retain(|arn, _| rules.iter().any(|rule| rule.arn == *arn));
        for rule in rules.iter() {
            let Some(schedule) = &rule.schedule else {
                continue;
            };
            let Some(period) = every.or_else(|| rate(schedule)) else {
                if due.insert(rule.arn.clone(), now).is_none() {
                    record.add(&Entry::Schedule {
                        rule: rule.name.clone(),
                        outcome: format!("never fires: {schedule} is not a rate"),
                    });
                }
                continue;
            };
            let next = due.entry(rule.arn.clone()).or_insert(now + period);
            if *next <= now {
                // Without drift; missed times are skipped.
                *next = (*next + period).max(now);
                let resources = [rule.arn.clone()];
                let event = event("aws.events", "Scheduled Event", &region, &resources, &json!({}));
                delivery.deliver_by_rule(rule, &event).await;
            }
        }
    }
}

/// The period of `rate(5 minutes)`.
fn rate(expression: &str) -> Option<Duration> {
    let (count, unit) = expression.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let seconds = match unit {
        "minute" | "minutes" => 60,
        "hour" | "hours" => 3600,
        "day" | "days" => 86_400,
        _ => return None,
    };
    let count: u32 = count.parse().ok()?;
    (count > 0).then(|| Duration::from_secs(seconds) * count)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::rate;

    #[test]
    fn a_rate_is_a_period() {
        assert_eq!(rate("rate(1 minute)"), Some(Duration::from_mins(1)));
        assert_eq!(rate("rate(5 minutes)"), Some(Duration::from_mins(5)));
        assert_eq!(rate("rate(2 days)"), Some(Duration::from_hours(48)));
    }

    #[test]
    fn anything_else_is_none() {
        for other in ["cron(0 * * * ? *)", "rate(0 minutes)", "rate(5)", "rate(x minutes)", ""] {
            assert_eq!(rate(other), None, "{other}");
        }
    }
}
