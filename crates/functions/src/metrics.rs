//! Metrics: one line of CloudWatch embedded metric format per invocation, on standard output.
//!
//! CloudWatch makes metrics of such lines by itself; no call is made for them. See "Specification:
//! Embedded metric format" in the CloudWatch user guide.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

/// The namespace of all metrics.
const NAMESPACE: &str = "RunCommandRelay";

/// What one invocation of `relay` did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RelayMetrics<'a> {
    /// Dimension: the function, and so the stack.
    pub function_name: &'a str,
    /// Dimension: what became of the callback, or the name of the error.
    pub outcome: &'static str,
    /// Always 1, so that its sum counts the invocations by outcome.
    pub settled: u32,
    /// From the event to the answer, in milliseconds. EventBridge gives whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_to_answer: Option<u64>,
    /// How long settling took, in milliseconds.
    pub settle_duration: u64,
    /// A property, not a dimension: the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<&'a str>,
    /// A property, not a dimension: the invocation.
    pub request_id: &'a str,
}

/// What one invocation of `sweep` found and did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SweepMetrics<'a> {
    /// Dimension: the function, and so the stack.
    pub function_name: &'a str,
    /// Executing commands that have a task token.
    pub executing: u64,
    /// Heartbeats that reached a waiting task.
    pub heartbeats: u64,
    /// Lost events that were made good.
    pub recovered: u64,
    /// Commands that were cancelled because nobody waited any more.
    pub cancelled: u64,
    /// Commands whose token Step Functions does not take.
    pub rejected: u64,
    /// Calls that failed.
    pub failed: u64,
    /// 1 when the sweep did not get to its end.
    pub truncated: u64,
    /// How long it took, in milliseconds.
    pub sweep_duration: u64,
    /// A property, not a dimension: the invocation.
    pub request_id: &'a str,
}

#[derive(Serialize)]
struct Record<'a, V> {
    #[serde(rename = "_aws")]
    metadata: Metadata<'a>,
    #[serde(flatten)]
    values: V,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: i64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'static str,
    dimensions: &'a [&'a [&'static str]],
    metrics: &'a [Definition],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    unit: &'static str,
}

impl Definition {
    const fn count(name: &'static str) -> Self {
        Self { name, unit: "Count" }
    }

    const fn milliseconds(name: &'static str) -> Self {
        Self { name, unit: "Milliseconds" }
    }
}

impl RelayMetrics<'_> {
    /// Writes the record as one line to `to`.
    ///
    /// # Errors
    ///
    /// When `to` cannot be written.
    pub fn emit(&self, to: &mut impl Write, now: Timestamp) -> io::Result<()> {
        to.write_all(&self.line(now)?)
    }

    fn line(&self, now: Timestamp) -> io::Result<Vec<u8>> {
        const COUNT: Definition = Definition::count("Settled");
        const DURATION: Definition = Definition::milliseconds("SettleDuration");
        const LATENCY: Definition = Definition::milliseconds("EventToAnswer");
        let metrics: &[Definition] = match self.event_to_answer {
            Some(_) => &[COUNT, DURATION, LATENCY],
            None => &[COUNT, DURATION],
        };
        line(self, &[&["FunctionName", "Outcome"]], metrics, now)
    }
}

impl SweepMetrics<'_> {
    /// Writes the record as one line to `to`.
    ///
    /// # Errors
    ///
    /// When `to` cannot be written.
    pub fn emit(&self, to: &mut impl Write, now: Timestamp) -> io::Result<()> {
        to.write_all(&self.line(now)?)
    }

    fn line(&self, now: Timestamp) -> io::Result<Vec<u8>> {
        const METRICS: &[Definition] = &[
            Definition::count("Executing"),
            Definition::count("Heartbeats"),
            Definition::count("Recovered"),
            Definition::count("Cancelled"),
            Definition::count("Rejected"),
            Definition::count("Failed"),
            Definition::count("Truncated"),
            Definition::milliseconds("SweepDuration"),
        ];
        line(self, &[&["FunctionName"]], METRICS, now)
    }
}

/// A duration in milliseconds as a metric: what does not fit counts as 0.
pub fn millis<N>(millis: N) -> u64
where
    u64: TryFrom<N>,
{
    u64::try_from(millis).unwrap_or_default()
}

/// One line of embedded metric format: the values, and which of them are dimensions and metrics.
fn line(
    values: &impl Serialize,
    dimensions: &[&[&'static str]],
    metrics: &[Definition],
    now: Timestamp,
) -> io::Result<Vec<u8>> {
    let directive = Directive { namespace: NAMESPACE, dimensions, metrics };
    let metadata = Metadata { timestamp: now.as_millisecond(), cloud_watch_metrics: [directive] };
    let mut line = serde_json::to_vec(&Record { metadata, values })?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_defines_every_metric_that_it_holds() {
        let values = RelayMetrics {
            function_name: "stack-relay",
            outcome: "Succeeded",
            settled: 1,
            event_to_answer: Some(812),
            settle_duration: 41,
            command_id: Some("0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00"),
            request_id: "request",
        };
        let line = values.line(Timestamp::UNIX_EPOCH).unwrap();
        insta::assert_snapshot!(str::from_utf8(&line).unwrap());
    }

    #[test]
    fn a_record_of_a_sweep_defines_every_metric_that_it_holds() {
        let values = SweepMetrics {
            function_name: "stack-sweep",
            executing: 8,
            heartbeats: 7,
            recovered: 6,
            cancelled: 5,
            rejected: 4,
            failed: 3,
            truncated: 1,
            sweep_duration: 2,
            request_id: "request",
        };
        let line = values.line(Timestamp::UNIX_EPOCH).unwrap();
        insta::assert_snapshot!(str::from_utf8(&line).unwrap());
    }
}
