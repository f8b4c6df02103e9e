//! When the functions last ran, and whether they failed, as CloudWatch has it.

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, StatusCode};
use jiff::{SignedDuration, Timestamp};

use crate::aws::Aws;
use crate::call::answer;
use crate::check::deployed::Deployed;
use crate::check::functions::Function;
use crate::checks::{Check, Group};
use crate::problem::Problem;
use crate::stack::Stack;
use crate::times::{ago, duration};

/// How far back metrics are read. CloudWatch keeps periods of a minute for 15 days (CloudWatch user guide,
/// metrics retention).
const LOOKBACK: SignedDuration = SignedDuration::from_hours(24);
/// Errors and throttles of this time count.
const RECENT: SignedDuration = SignedDuration::from_hours(1);
const PERIOD_S: i32 = 60;
/// How late metrics of Lambda can be. It is not documented; a few minutes are usual.
const DELAY: SignedDuration = SignedDuration::from_mins(3);
/// Maximum number of pages. One has up to 100,800 values, and all metrics together have 8,640.
const PAGES_MAX: usize = 10;
const METRICS: [&str; 3] = ["Invocations", "Errors", "Throttles"];

/// The values of one metric of a function, that are not zero: the begin of a minute, and the sum.
type Values = Vec<(Timestamp, f64)>;

/// What a function did.
#[derive(Debug, Default)]
struct Activity {
    /// In the order of [`METRICS`].
    metrics: [Values; 3],
}

/// The last invocations, errors and throttles of both functions.
pub(super) async fn group(aws: &Aws, stack: &Stack, deployed: &Deployed, now: Timestamp) -> Group {
    let name = "Invocations".to_owned();
    match read(aws, deployed, now).await {
        Ok([relay, sweep]) => {
            let mut checks = vec![last_sweep(stack, &sweep, now)];
            checks.push(last_relay(&relay, now));
            for (function, activity) in [(Function::Relay, &relay), (Function::Sweep, &sweep)] {
                checks.push(errors(function, activity, now));
                checks.push(throttles(function, activity, now));
            }
            Group { name, checks }
        }
        Err(problem) => {
            let checks = vec![Check::unknown("Invocations", "When the functions ran", &problem)];
            Group { name, checks }
        }
    }
}

async fn read(aws: &Aws, deployed: &Deployed, now: Timestamp) -> Result<[Activity; 2], Problem> {
    let mut queries = Vec::new();
    let functions = [Function::Relay, Function::Sweep];
    for function in functions {
        let name = deployed.physical_id(function.logical_id())?.unwrap_or_default();
        for metric in METRICS {
            queries.push(query(function, name, metric));
        }
    }
    let (start, end) = (DateTime::from_secs((now - LOOKBACK).as_second()), now.as_second());
    let mut activities = [Activity::default(), Activity::default()];
    let mut next_token = None;
    for _ in 0..PAGES_MAX {
        let request =
            aws.cloudwatch.get_metric_data().set_metric_data_queries(Some(queries.clone()));
        let request = request.start_time(start).end_time(DateTime::from_secs(end));
        let page = request.set_next_token(next_token).send().await;
        let page = answer("cloudwatch:GetMetricData", page)?;
        for result in page.metric_data_results.unwrap_or_default() {
            if result.status_code == Some(StatusCode::Forbidden) {
                return Err(Problem::new(
                    "the right cloudwatch:GetMetricData is missing for a metric",
                ));
            }
            let id = result.id.unwrap_or_default();
            let times = result.timestamps.unwrap_or_default().into_iter();
            let values = times.zip(result.values.unwrap_or_default());
            let values = values.filter(|(_, value)| *value > 0.0).filter_map(|(time, value)| {
                Some((Timestamp::from_second(time.secs()).ok()?, value))
            });
            for (function, activity) in functions.into_iter().zip(&mut activities) {
                for (metric, own) in METRICS.into_iter().zip(&mut activity.metrics) {
                    if id == query_id(function, metric) {
                        own.extend(values.clone());
                    }
                }
            }
        }
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            break;
        }
    }
    Ok(activities)
}

/// The name of a query, which begins with a small letter.
fn query_id(function: Function, metric: &str) -> String {
    format!("{}{metric}", function.word())
}

fn query(function: Function, name: &str, metric: &str) -> MetricDataQuery {
    let dimension = Dimension::builder().name("FunctionName").value(name).build();
    let which = Metric::builder().namespace("AWS/Lambda").metric_name(metric);
    let which = which.dimensions(dimension).build();
    let sum = MetricStat::builder().metric(which).period(PERIOD_S).stat("Sum").build();
    MetricDataQuery::builder().id(query_id(function, metric)).metric_stat(sum).build()
}

impl Activity {
    /// The begin of the last minute with an invocation.
    fn last(&self) -> Option<Timestamp> {
        self.metrics[0].iter().map(|(time, _)| *time).max()
    }

    /// The sum of a metric in the last hour.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of invocations"
    )]
    fn recent(&self, metric: usize, now: Timestamp) -> u64 {
        let recent = self.metrics[metric].iter().filter(|(time, _)| *time > now - RECENT);
        recent.map(|(_, value)| *value as u64).sum()
    }
}

fn last_sweep(stack: &Stack, sweep: &Activity, now: Timestamp) -> Check {
    const ID: &str = "SweepLastInvocation";
    const ADVICE: &str = "See infra/RUNBOOK.md#sweepmissingalarm.";
    let interval = SignedDuration::try_from(stack.sweep_interval).unwrap_or(SignedDuration::MAX);
    // The value of a minute bears the time of its begin.
    let limit = interval * 2 + DELAY + SignedDuration::from_secs(PERIOD_S.into());
    match sweep.last() {
        Some(last) if now.duration_since(last) <= limit => {
            Check::good(ID, format!("The last sweep began {}.", ago(last, now)))
        }
        Some(last) => Check::wrong(
            ID,
            format!(
                "Expected a sweep every {}, got the last one {}.",
                duration(interval),
                ago(last, now)
            ),
            ADVICE,
        ),
        None if stack.created_at.is_some_and(|created| now.duration_since(created) <= limit) => {
            Check::attention(
                ID,
                "No sweep is known of yet: the stack is new.",
                "Check again in some minutes.",
            )
        }
        None => Check::wrong(
            ID,
            format!("Expected a sweep every {}, got none in 24 hours.", duration(interval)),
            ADVICE,
        ),
    }
}

fn last_relay(relay: &Activity, now: Timestamp) -> Check {
    const ID: &str = "RelayLastInvocation";
    match relay.last() {
        Some(last) => Check::fact(ID, format!("The relay was last invoked {}.", ago(last, now))),
        None => Check::fact(ID, "The relay was not invoked in the last 24 hours."),
    }
}

fn errors(function: Function, activity: &Activity, now: Timestamp) -> Check {
    let (id, word) = (format!("{}Errors", function.logical_id()), function.word());
    let todo = match function {
        Function::Relay => "See infra/RUNBOOK.md#relayerrorsalarm.",
        Function::Sweep => "See infra/RUNBOOK.md#sweeperrorsalarm.",
    };
    match (activity.recent(1, now), activity.recent(0, now)) {
        (0, _) => Check::good(id, format!("No invocation of the {word} failed in the last hour.")),
        (errors, all) => {
            let sentence = format!(
                "Invocations of the {word} that failed in the last hour: {errors} of {all}."
            );
            if errors >= all {
                Check::wrong(id, sentence, todo)
            } else {
                Check::attention(id, sentence, todo)
            }
        }
    }
}

fn throttles(function: Function, activity: &Activity, now: Timestamp) -> Check {
    let (id, word) = (format!("{}Throttles", function.logical_id()), function.word());
    match activity.recent(2, now) {
        0 => {
            Check::good(id, format!("No invocation of the {word} was throttled in the last hour."))
        }
        count => Check::attention(
            id,
            format!("Invocations of the {word} that were throttled in the last hour: {count}."),
            "See infra/RUNBOOK.md#reserved-concurrency.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;
    use crate::stack::tests::stack;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn activity(metrics: [&[(&str, f64)]; 3]) -> Activity {
        let values = |all: &[(&str, f64)]| all.iter().map(|(time, sum)| (at(time), *sum)).collect();
        Activity { metrics: metrics.map(values) }
    }

    #[test]
    fn a_sweep_is_late_after_two_intervals_and_the_delay_of_metrics() {
        let now = at("2026-11-22T10:00:00Z");
        // The stack's interval is five minutes.
        let last = |time| last_sweep(&stack("*"), &activity([&[(time, 1.0)], &[], &[]]), now);
        assert_eq!(last("2026-11-22T09:46:00Z").found, Found::Good);
        let late = last("2026-11-22T09:45:00Z");
        assert_eq!(
            (late.found, late.sentence.as_str()),
            (Found::Wrong, "Expected a sweep every 5 min, got the last one 15 min ago.")
        );
        let mut stack = stack("*");
        assert_eq!(last_sweep(&stack, &Activity::default(), now).found, Found::Wrong);
        stack.created_at = Some(at("2026-11-22T09:55:00Z"));
        assert_eq!(last_sweep(&stack, &Activity::default(), now).found, Found::Attention);
    }

    #[test]
    fn failures_of_the_last_hour_count() {
        let now = at("2026-11-22T10:00:00Z");
        let (old, new) = ("2026-11-22T08:00:00Z", "2026-11-22T09:30:00Z");
        let found = |invocations, failures: (&str, f64)| {
            let activity = activity([&[(new, invocations)], &[failures], &[failures]]);
            let both = [
                errors(Function::Relay, &activity, now),
                throttles(Function::Relay, &activity, now),
            ];
            both.map(|check| check.found)
        };
        assert_eq!(found(2.0, (old, 1.0)), [Found::Good, Found::Good]);
        assert_eq!(found(2.0, (new, 1.0)), [Found::Attention, Found::Attention]);
        assert_eq!(found(2.0, (new, 2.0))[0], Found::Wrong);
    }
}
