//! All that can be seen of one invocation. No part of it may show a task token.

use callback::testing::log::Log;
use functions::invocation_error::InvocationError;
use jiff::Timestamp;
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::Value;

use crate::log_line::LogLine;

/// The function's name, and Lambda's id of the invocation.
pub(crate) const FUNCTION_NAME: &str = "stack-function";
pub(crate) const FUNCTION_ARN: &str =
    "arn:aws:lambda:eu-central-1:111122223333:function:stack-function";
pub(crate) const REQUEST_ID: &str = "8f2d1c3a-0b1e-4e57-a0a0-0000000000ff";
/// What every task token of these tests begins with. As a real one, it is longer than anything that
/// an error quotes.
pub(crate) const TOKEN: &str = concat!(
    "AQCEAAAAKgAAAAMAAAAA/8yE1qk0fVd3nQ+",
    "V2hhdCBhIHN0YXRlIG1hY2hpbmUgd2FpdHMgZm9yIGFuZCBub2JvZHkgbWF5IHJlYWQ/",
    "tokenThatWaits",
);
/// What is in every token: those of these tests, and those in the files of events.
const TOKEN_PARTS: [&str; 3] = ["AQCEAAAAKgAAAAMAAAAA", "tokenThatWaits", "example+only"];

/// What an invocation gave back, logged and counted.
#[derive(Debug)]
pub(crate) struct Invoked {
    /// The JSON that Lambda gives back: the response, or type and message of the error.
    pub(crate) returned: Value,
    /// Whether that is an error.
    pub(crate) has_failed: bool,
    pub(crate) log: Vec<LogLine>,
    /// Records of CloudWatch embedded metric format.
    pub(crate) metrics: Vec<Value>,
}

/// Runs an invocation, which writes its metrics to the buffer.
pub(crate) async fn invoked<T: Serialize>(
    invocation: impl AsyncFnOnce(&mut Vec<u8>) -> Result<T, InvocationError>,
) -> Invoked {
    let log = Log::capture();
    let mut metrics = Vec::new();
    let result = invocation(&mut metrics).await;
    let has_failed = result.is_err();
    let returned = match result {
        Ok(response) => serde_json::to_value(response),
        Err(error) => serde_json::to_value(Diagnostic::from(error)),
    }
    .unwrap();
    let (log, metrics) = (log.text(), String::from_utf8(metrics).unwrap());
    for seen in [&returned.to_string(), &log, &metrics] {
        assert_holds_no_token(seen);
    }
    // The next line of standard output begins a line of its own.
    assert!(metrics.is_empty() || metrics.ends_with('\n'), "{metrics}");
    let log: Vec<_> = log.lines().map(LogLine::parse).collect();
    for line in log.iter().filter(|line| ["WARN", "ERROR"].contains(&line.level.as_str())) {
        assert!(line.field("runbook").is_some(), "no heading of the runbook: {line:?}");
    }
    Invoked { returned, has_failed, log, metrics: metrics.lines().map(record).collect() }
}

impl Invoked {
    /// The only line that this module has logged.
    #[track_caller]
    pub(crate) fn line_of(&self, target: &str) -> &LogLine {
        let lines: Vec<_> = self.log.iter().filter(|line| line.is_of(target)).collect();
        let [line] = lines[..] else { panic!("expected one line of {target}, got {:?}", self.log) };
        line
    }

    /// The only record of metrics.
    #[track_caller]
    pub(crate) fn record(&self) -> &Value {
        let [record] = &self.metrics[..] else { panic!("expected one record, got {self:?}") };
        record
    }

    /// Type and message of the error. The message is short and is one line.
    #[track_caller]
    pub(crate) fn error(&self) -> (&str, &str) {
        assert!(self.has_failed, "{self:?}");
        let text = |name: &str| self.returned[name].as_str().expect("a text");
        let (error_type, message) = (text("errorType"), text("errorMessage"));
        assert!((1..=400).contains(&message.chars().count()), "{message}");
        assert!(!message.contains('\n'), "{message}");
        (error_type, message)
    }
}

#[track_caller]
pub(crate) fn assert_holds_no_token(text: &str) {
    for part in TOKEN_PARTS {
        assert!(!text.contains(part), "a task token is told: {text}");
    }
}

/// A record as CloudWatch takes it ("Specification: Embedded metric format"): it defines each
/// number as a metric, and has a text for each dimension.
fn record(line: &str) -> Value {
    let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let metadata = &record["_aws"];
    let timestamp_ms = metadata["Timestamp"].as_i64().expect("a time");
    // By the clock of the test, which may be simulated.
    let age_ms = Timestamp::now().as_millisecond() - timestamp_ms;
    assert!(age_ms.abs() < 3_600_000, "{age_ms} ms old: {line}");
    let [directive] = &metadata["CloudWatchMetrics"].as_array().expect("directives")[..] else {
        panic!("expected one directive: {line}")
    };
    assert_eq!(directive["Namespace"], "RunCommandRelay");
    let [dimensions] = &directive["Dimensions"].as_array().expect("sets of dimensions")[..] else {
        panic!("expected one set of dimensions: {line}")
    };
    for dimension in dimensions.as_array().expect("names") {
        let value = record[dimension.as_str().expect("a name")].as_str();
        assert!(value.is_some_and(|value| !value.is_empty()), "{dimension}: {line}");
    }
    let metrics = directive["Metrics"].as_array().expect("metrics");
    let mut defined: Vec<_> = metrics.iter().filter_map(|metric| metric["Name"].as_str()).collect();
    let numbers = record.as_object().expect("an object").iter().filter(|(_, v)| v.is_number());
    let mut numbers: Vec<_> = numbers.map(|(name, _)| name.as_str()).collect();
    defined.sort_unstable();
    numbers.sort_unstable();
    assert_eq!(defined, numbers, "{line}");
    record
}

#[test]
#[should_panic(expected = "a task token is told")]
fn a_token_that_is_told_is_noticed() {
    assert_holds_no_token(&format!("TaskToken({TOKEN})"));
}
