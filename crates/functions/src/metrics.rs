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

impl RelayMetrics<'_> {
    /// Writes the record as one line to standard output.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub fn emit(&self, now: Timestamp) -> io::Result<()> {
        io::stdout().lock().write_all(&self.line(now)?)
    }

    fn line(&self, now: Timestamp) -> io::Result<Vec<u8>> {
        const COUNT: Definition = Definition { name: "Settled", unit: "Count" };
        const DURATION: Definition = Definition { name: "SettleDuration", unit: "Milliseconds" };
        const LATENCY: Definition = Definition { name: "EventToAnswer", unit: "Milliseconds" };
        let metrics: &[Definition] = match self.event_to_answer {
            Some(_) => &[COUNT, DURATION, LATENCY],
            None => &[COUNT, DURATION],
        };
        line(self, &[&["FunctionName", "Outcome"]], metrics, now)
    }
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
}
