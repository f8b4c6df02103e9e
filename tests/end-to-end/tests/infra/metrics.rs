//! Alarms and dashboard show what the functions really emit.

use std::collections::BTreeSet;
use std::fs;

use callback::{Outcome, SweepReport};
use functions::metrics::SweepMetrics;
use jiff::Timestamp;
use sandbox_client::{NODES, Sandbox, eventually, workspace};
use serde_json::{Value, json};

use crate::{TEMPLATE, resources};

const NAMESPACE: &str = "RunCommandRelay";
const STATE_MACHINE: &str =
    "arn:aws:states:us-east-1:123456789012:stateMachine:run-command-by-instance-ids";
const FUNCTIONS: [(&str, &str); 2] =
    [("RelayFunction", "run-command-relay-relay"), ("SweepFunction", "run-command-relay-sweep")];

/// Metrics of AWS, with the one dimension that we use of each.
const METRICS_OF_AWS: [(&str, &str, &str); 4] = [
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("AWS/Lambda", "Invocations", "FunctionName"),
    ("AWS/Lambda", "Throttles", "FunctionName"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
];

/// What must raise an alarm.
const ALARMS: [(&str, &str); 11] = [
    ("ApproximateNumberOfMessagesVisible", "OnFailureQueue"),
    ("Errors", "RelayFunction"),
    ("Errors", "SweepFunction"),
    ("Failed", "SweepFunction"),
    ("Invocations", "SweepFunction"),
    ("OldestWaiting", "SweepFunction"),
    ("Recovered", "SweepFunction"),
    ("Rejected", "SweepFunction"),
    ("Reused", "SweepFunction"),
    ("Settled", "RelayFunction"),
    ("Truncated", "SweepFunction"),
];

/// What the dashboard must show.
const SHOWN: [(&str, &str); 16] = [
    ("ApproximateNumberOfMessagesVisible", "OnFailureQueue"),
    ("Cancelled", "SweepFunction"),
    ("Errors", "RelayFunction"),
    ("Errors", "SweepFunction"),
    ("EventToAnswer", "RelayFunction"),
    ("Executing", "SweepFunction"),
    ("Failed", "SweepFunction"),
    ("OldestWaiting", "SweepFunction"),
    ("Recovered", "SweepFunction"),
    ("Refused", "SweepFunction"),
    ("Rejected", "SweepFunction"),
    ("Reused", "SweepFunction"),
    ("Settled", "RelayFunction"),
    ("Throttles", "RelayFunction"),
    ("Throttles", "SweepFunction"),
    ("Truncated", "SweepFunction"),
];

/// A metric as CloudWatch tells it from others; the value of `FunctionName` or `QueueName` is a
/// resource of the template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Metric {
    namespace: String,
    name: String,
    dimensions: BTreeSet<String>,
    resource: String,
}

#[tokio::test]
async fn alarms_and_dashboard_use_the_metrics_that_the_functions_emit() {
    let sandbox = Sandbox::shared().await;
    let mut emitted = emitted_by_relay(&sandbox).await;
    emitted.append(&mut emitted_by_sweep(&sandbox).await);
    let used: BTreeSet<_> = alarms().into_iter().chain(shown()).collect();
    for metric in used {
        if metric.namespace == NAMESPACE {
            assert!(emitted.contains(&metric), "{metric:?} is emitted, among {emitted:#?}");
        } else {
            let [dimension] = &Vec::from_iter(&metric.dimensions)[..] else {
                panic!("{metric:?} has one dimension");
            };
            let known = (&*metric.namespace, &*metric.name, dimension.as_str());
            assert!(METRICS_OF_AWS.contains(&known), "{metric:?} is a metric of AWS");
        }
    }
}

#[test]
fn what_needs_somebody_raises_an_alarm() {
    let alarms = alarms();
    let named: BTreeSet<_> = alarms.iter().map(|alarm| (&*alarm.name, &*alarm.resource)).collect();
    assert_eq!(named, BTreeSet::from(ALARMS));
}

#[test]
fn the_cost_counts_each_alarm_and_each_metric_of_the_sweep() {
    let readme = fs::read_to_string(workspace().join("infra/README.md")).expect("the README");
    let is_optional = |id: &str| TEMPLATE["Resources"][id].get("Condition").is_some();
    let all = resources("AWS::CloudWatch::Alarm");
    let alarms = all.filter(|(id, _)| !is_optional(id)).count();
    let row = format!("| alarms | {alarms} × $0.10 | {}.{}0 |", alarms / 10, alarms % 10);
    assert!(readme.contains(&row), "{row}");
    let metrics = format!("sweep up to {}.", metrics_of_sweep(FUNCTIONS[1]).len());
    assert!(readme.contains(&metrics), "{metrics}");
}

#[test]
fn what_is_going_on_is_on_the_dashboard() {
    let shown = shown();
    let named: BTreeSet<_> =
        shown.iter().map(|metric| (&*metric.name, &*metric.resource)).collect();
    assert_eq!(named, BTreeSet::from(SHOWN));
}

#[test]
fn the_alarm_of_rejected_tokens_has_the_word_of_the_code() {
    let alarm = &TEMPLATE["Resources"]["RelayTokensRejectedAlarm"]["Properties"];
    let outcome = json!({ "Name": "Outcome", "Value": Outcome::TokenRejected.name() });
    assert!(alarm["Dimensions"].as_array().expect("dimensions").contains(&outcome), "{alarm}");
}

/// The sandbox makes no alarms, so a deployed stack does not show it.
#[test]
fn the_alarm_of_what_waits_is_off_without_its_threshold() {
    let threshold = json!({ "Ref": "OldestWaitingSeconds" });
    let alarm = &TEMPLATE["Resources"]["OldestWaitingAlarm"];
    assert_eq!(alarm["Properties"]["Threshold"], threshold);
    let is_on = &TEMPLATE["Conditions"][text(&alarm["Condition"])];
    assert_eq!(*is_on, json!({ "Fn::Not": [{ "Fn::Equals": [threshold, "0"] }] }));
    assert_eq!(TEMPLATE["Parameters"]["OldestWaitingSeconds"]["Default"], 0);
}

#[test]
fn every_alarm_tells_the_topic_when_it_begins_and_when_it_ends() {
    let told = json!({ "Fn::If": [
        "HasAlarmTopic", [{ "Ref": "AlarmTopicArn" }], { "Ref": "AWS::NoValue" },
    ] });
    for (id, alarm) in resources("AWS::CloudWatch::Alarm") {
        assert_eq!((&alarm["AlarmActions"], &alarm["OKActions"]), (&told, &told), "{id}");
        assert!(alarm["AlarmDescription"].is_string(), "{id} says what it means");
        assert!(alarm["TreatMissingData"].is_string(), "{id} says what silence means");
    }
}

/// Alarms about sweeps count intervals, or periods of at least the longest. Three are enough: a task
/// whose `HeartbeatSeconds` are four of them must not end before.
#[test]
fn alarms_about_sweeps_fit_every_interval() {
    let seconds = |interval: &Value| -> u64 {
        text(&interval["Seconds"]).parse().expect("a number of seconds")
    };
    let intervals = TEMPLATE["Mappings"]["SweepIntervals"].as_object().expect("intervals");
    let longest = intervals.values().map(seconds).max().expect("an interval");
    let interval = json!({
        "Fn::FindInMap": ["SweepIntervals", { "Ref": "SweepIntervalMinutes" }, "Seconds"],
    });
    let sweep = json!({ "Ref": "SweepFunction" });
    let mut counted = 0;
    for (id, alarm) in resources("AWS::CloudWatch::Alarm") {
        let periods = alarm["EvaluationPeriods"].as_u64().expect("a number of periods");
        let to_alarm = alarm["DatapointsToAlarm"].as_u64().unwrap_or(periods);
        if alarm["Dimensions"][0]["Value"] != sweep || (periods, to_alarm) == (1, 1) {
            continue;
        }
        counted += 1;
        let period = &alarm["Period"];
        assert!(*period == interval || period.as_u64() >= Some(longest), "{id}: {period}");
        assert!((2..=3).contains(&to_alarm), "{id}: {to_alarm}");
        // CloudWatch's maximum for periods of less than an hour is a day.
        assert!(periods * longest <= 86_400, "{id}: {periods}");
    }
    assert_eq!(counted, 4);
    // A single empty period is one sweep that began late.
    let missing = &TEMPLATE["Resources"]["SweepMissingAlarm"]["Properties"];
    assert_eq!((&missing["EvaluationPeriods"], &missing["Period"]), (&json!(2), &interval));
}

/// The metrics of the alarms.
fn alarms() -> Vec<Metric> {
    let metric = |alarm: &Value| {
        let dimensions = alarm["Dimensions"].as_array().expect("an alarm has dimensions");
        let name = |dimension: &Value| text(&dimension["Name"]);
        let resource = dimensions.iter().find_map(|dimension| {
            let value = &dimension["Value"];
            Some(text(value.get("Ref").or_else(|| value.get("Fn::GetAtt")?.get(0))?))
        });
        Metric {
            namespace: text(&alarm["Namespace"]),
            name: text(&alarm["MetricName"]),
            dimensions: dimensions.iter().map(name).collect(),
            resource: resource.expect("a dimension names a resource"),
        }
    };
    resources("AWS::CloudWatch::Alarm").map(|(_, alarm)| metric(alarm)).collect()
}

/// The metrics of the dashboard.
fn shown() -> Vec<Metric> {
    let (_, dashboard) = resources("AWS::CloudWatch::Dashboard").next().expect("a dashboard");
    let body = dashboard["DashboardBody"]["Fn::Sub"].as_str().expect("a text with references");
    let body: Value = serde_json::from_str(body).expect("the body is JSON");
    let widgets = body["widgets"].as_array().expect("widgets").iter();
    let metrics = widgets.flat_map(|widget| {
        widget["properties"]["metrics"].as_array().expect("a widget shows metrics")
    });
    metrics.map(|metric| searched(metric).unwrap_or_else(|| named(metric))).collect()
}

/// A metric of a dashboard that is named: namespace, name, dimension, value.
fn named(metric: &Value) -> Metric {
    let reference = text(&metric[3]);
    let resource = reference.trim_start_matches("${").trim_end_matches('}');
    Metric {
        namespace: text(&metric[0]),
        name: text(&metric[1]),
        dimensions: BTreeSet::from([text(&metric[2])]),
        resource: resource.split('.').next().unwrap_or_default().to_owned(),
    }
}

/// A metric of a dashboard that is looked for:
/// `SEARCH('{Namespace,Dimension,…} MetricName="Name" FunctionName="${Function}"', …)`.
fn searched(metric: &Value) -> Option<Metric> {
    let expression = metric[0]["expression"].as_str()?;
    let between = |begin: &str, end: &str| {
        let (_, rest) = expression.split_once(begin).unwrap_or_else(|| panic!("{expression}"));
        rest.split_once(end).unwrap_or_else(|| panic!("{expression}")).0.to_owned()
    };
    let schema = between("'{", "}");
    let (namespace, dimensions) = schema.split_once(',').expect("a namespace and dimensions");
    Some(Metric {
        namespace: namespace.to_owned(),
        name: between("MetricName=\"", "\""),
        dimensions: dimensions.split(',').map(str::to_owned).collect(),
        resource: between("FunctionName=\"${", "}\""),
    })
}

/// The metrics in the lines that the relay has written, after it has done its work once.
async fn emitted_by_relay(sandbox: &Sandbox) -> BTreeSet<Metric> {
    let input = json!({ "InstanceIds": [NODES[0]], "Commands": ["true"] });
    sandbox.run(STATE_MACHINE, &input).await.success();
    eventually("metrics of the relay", async || written(sandbox, FUNCTIONS[0])).await
}

/// All metrics that the sweep can write, each of them if it is not zero.
fn metrics_of_sweep((resource, function): (&str, &str)) -> BTreeSet<Metric> {
    let report = SweepReport {
        executing: 1,
        heartbeats: 1,
        oldest_waiting_s: 1,
        recovered: 1,
        cancelled: 1,
        rejected: 1,
        refused: 1,
        reused: 1,
        failed: 1,
        truncated: true,
        blind: None,
    };
    let (report, request_id) = (&report, "request");
    let metrics = SweepMetrics { function_name: function, report, sweep_duration: 1, request_id };
    let mut line = Vec::new();
    metrics.emit(&mut line, Timestamp::now()).expect("room for a line");
    let record = serde_json::from_slice(&line).expect("a record");
    BTreeSet::from_iter(metrics_of(&record, resource))
}

/// All metrics that the sweep can write. What it has written in the sandbox is among them.
async fn emitted_by_sweep(sandbox: &Sandbox) -> BTreeSet<Metric> {
    let function = FUNCTIONS[1].1;
    let all = metrics_of_sweep(FUNCTIONS[1]);
    let input = json!({ "InstanceIds": [NODES[0]], "Commands": ["sleep 60"] });
    let execution = sandbox.start_execution(STATE_MACHINE, &input).await;
    let event = fs::read_to_string(workspace().join("events/scheduled.json")).expect("an event");
    let written = eventually("metrics of the sweep", async || {
        let invoke = ["lambda", "invoke", "--function-name", function, "--payload"];
        sandbox.aws_cli(&[&invoke[..], &[&event, "/dev/null"]].concat());
        written(sandbox, FUNCTIONS[1])
            .filter(|metrics| metrics.iter().any(|metric| metric.name == "Executing"))
    })
    .await;
    sandbox.stop_execution(&execution).await;
    assert!(written.is_subset(&all), "{written:#?}");
    all
}

/// The metrics in all lines of a function's log; `None` if there are none.
fn written(sandbox: &Sandbox, (resource, function): (&str, &str)) -> Option<BTreeSet<Metric>> {
    let records = records(sandbox, function);
    let metrics: BTreeSet<_> =
        records.iter().flat_map(|record| metrics_of(record, resource)).collect();
    (!metrics.is_empty()).then_some(metrics)
}

/// The lines in embedded metric format in a function's log.
fn records(sandbox: &Sandbox, function: &str) -> Vec<Value> {
    let path = sandbox.directory().join("logs").join(format!("{function}.log"));
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["_aws"].is_object()).collect()
}

fn metrics_of(record: &Value, resource: &str) -> Vec<Metric> {
    let directive = &record["_aws"]["CloudWatchMetrics"][0];
    let dimensions = directive["Dimensions"][0].as_array().expect("a set of dimensions");
    let dimensions: BTreeSet<_> = dimensions.iter().map(text).collect();
    let metrics = directive["Metrics"].as_array().expect("metrics").iter();
    let metric = |metric: &Value| Metric {
        namespace: text(&directive["Namespace"]),
        name: text(&metric["Name"]),
        dimensions: dimensions.clone(),
        resource: resource.to_owned(),
    };
    metrics.map(metric).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is a text")).to_owned()
}
