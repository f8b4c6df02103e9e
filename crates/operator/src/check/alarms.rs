//! The alarms of the stack, and whether somebody is told.

use aws_sdk_cloudwatch::types::{AlarmType, MetricAlarm, StateValue};

use crate::aws::Aws;
use crate::call::answer;
use crate::check::deployed::Deployed;
use crate::checks::{Check, Group};
use crate::problem::Problem;

const ALARM: &str = "AWS::CloudWatch::Alarm";
/// Maximum number of alarms in one call (CloudWatch API, `DescribeAlarms`, `AlarmNames`).
const ALARMS_MAX: i32 = 100;

/// The state of each alarm.
pub(super) async fn group(aws: &Aws, deployed: &Deployed) -> Group {
    let name = "Alarms".to_owned();
    match read(aws, deployed).await {
        Ok((own, alarms)) => Group { name, checks: judge(&own, &alarms) },
        Err(problem) => {
            let checks = vec![Check::unknown("Alarms", "The state of the alarms", &problem)];
            Group { name, checks }
        }
    }
}

/// The alarms of the stack, by their names in the template and in AWS, and those that are there.
type Reading = (Vec<(String, String)>, Vec<MetricAlarm>);

async fn read(aws: &Aws, deployed: &Deployed) -> Result<Reading, Problem> {
    let own: Vec<_> = deployed
        .all()?
        .iter()
        .filter(|(_, resource)| resource.kind == ALARM)
        .map(|(id, resource)| (id.clone(), resource.physical_id.clone()))
        .collect();
    let names = own.iter().map(|(_, name)| name.clone()).collect();
    let request = aws.cloudwatch.describe_alarms().set_alarm_names(Some(names));
    let request = request.alarm_types(AlarmType::MetricAlarm).max_records(ALARMS_MAX);
    let answer = answer("cloudwatch:DescribeAlarms", request.send().await)?;
    Ok((own, answer.metric_alarms.unwrap_or_default()))
}

fn judge(own: &[(String, String)], alarms: &[MetricAlarm]) -> Vec<Check> {
    let of = |name: &str| alarms.iter().find(|alarm| alarm.alarm_name.as_deref() == Some(name));
    let mut checks: Vec<_> = own.iter().map(|(id, name)| state(id, of(name))).collect();
    let silent: Vec<_> = own
        .iter()
        .filter(|(_, name)| of(name).is_some_and(|alarm| !tells(alarm)))
        .map(|(id, _)| id.as_str())
        .collect();
    checks.push(match silent.len() {
        0 => Check::good("AlarmActions", "A topic is told of each alarm."),
        count if count == alarms.len() => Check::attention(
            "AlarmActions",
            "Nobody is told of an alarm.",
            "Set AlarmTopicArn, unless you watch the alarms: see infra/README.md#alarms-and-dashboard.",
        ),
        _ => Check::attention(
            "AlarmActions",
            format!("Nobody is told of {}.", silent.join(", ")),
            "See infra/RUNBOOK.md#resources-that-were-changed.",
        ),
    });
    checks
}

/// Whether the alarm does something when it begins.
fn tells(alarm: &MetricAlarm) -> bool {
    alarm.actions_enabled != Some(false)
        && alarm.alarm_actions.as_ref().is_some_and(|actions| !actions.is_empty())
}

fn state(id: &str, alarm: Option<&MetricAlarm>) -> Check {
    let owned = id.to_owned();
    let Some(alarm) = alarm else {
        return Check::wrong(
            owned,
            format!("Expected {id}, got none: it was deleted."),
            "See infra/RUNBOOK.md#resources-that-are-missing.",
        );
    };
    match alarm.state_value {
        Some(StateValue::Ok) => Check::good(owned, format!("{id} is off.")),
        Some(StateValue::Alarm) => Check::wrong(
            owned,
            format!("{id} is on."),
            format!("See infra/RUNBOOK.md#{}.", id.to_lowercase()),
        ),
        // Until CloudWatch has evaluated it for the first time, or has data.
        _ => Check::fact(owned, format!("{id} has no data yet.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;

    fn alarm(state: StateValue, action: Option<&str>) -> MetricAlarm {
        MetricAlarm::builder()
            .alarm_name("relay-SweepMissingAlarm-1")
            .state_value(state)
            .set_alarm_actions(action.map(|arn| vec![arn.to_owned()]))
            .build()
    }

    fn found(alarms: &[MetricAlarm]) -> [Found; 2] {
        let own = [("SweepMissingAlarm".to_owned(), "relay-SweepMissingAlarm-1".to_owned())];
        let checks = judge(&own, alarms);
        let [state, actions] = &checks[..] else { panic!("two lines: {checks:?}") };
        [state.found, actions.found]
    }

    #[test]
    fn an_alarm_is_off_or_names_its_heading() {
        let topic = Some("arn:topic");
        assert_eq!(found(&[alarm(StateValue::Ok, topic)]), [Found::Good, Found::Good]);
        assert_eq!(found(&[alarm(StateValue::Alarm, topic)]), [Found::Wrong, Found::Good]);
        assert_eq!(found(&[alarm(StateValue::InsufficientData, topic)])[0], Found::Fact);
        assert_eq!(found(&[])[0], Found::Wrong);
        let on = state("SweepMissingAlarm", Some(&alarm(StateValue::Alarm, topic)));
        assert_eq!(on.todo, "See infra/RUNBOOK.md#sweepmissingalarm.");
    }

    #[test]
    fn an_alarm_that_tells_nobody_deserves_attention() {
        assert_eq!(found(&[alarm(StateValue::Ok, None)])[1], Found::Attention);
        let disabled = MetricAlarm::builder()
            .alarm_name("relay-SweepMissingAlarm-1")
            .alarm_actions("arn:topic")
            .actions_enabled(false)
            .build();
        assert_eq!(found(&[disabled])[1], Found::Attention);
    }
}
