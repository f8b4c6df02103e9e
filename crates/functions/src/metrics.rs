//! Writes metrics to standard output: one line of CloudWatch embedded metric format per invocation.
//!
//! CloudWatch extracts metrics from these lines without an API call. Source: CloudWatch user guide,
//! "Specification: Embedded metric format".

use std::io::{self, Write};

use callback::SweepReport;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// The namespace of all metrics.
const NAMESPACE: &str = "RunCommandRelay";

/// What one invocation of `relay` did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RelayMetrics<'a> {
    /// Dimension: the function, and so the stack.
    pub function_name: &'a str,
    /// Dimension: the outcome, or the name of the error.
    pub outcome: &'static str,
    /// Always 1, so that the sum counts invocations by outcome.
    pub settled: u32,
    /// Time from the event to the answer, in milliseconds. Event times are whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_to_answer: Option<u64>,
    /// Duration of settling, in milliseconds.
    pub settle_duration: u64,
    /// A property, not a dimension: the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<&'a str>,
    /// A property, not a dimension: the invocation.
    pub request_id: &'a str,
}

/// What one invocation of `sweep` found and did. Only figures that are not zero are metrics, because
/// a metric is billed for each hour in which it has data.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SweepMetrics<'a> {
    /// Dimension: the function, and so the stack.
    pub function_name: &'a str,
    /// Its figures; see `SWEEP_FIGURES`, and `Truncated`.
    #[serde(flatten, serialize_with = "serialize_figures")]
    pub report: &'a SweepReport,
    /// Duration of the sweep, in milliseconds.
    pub sweep_duration: u64,
    /// A property, not a dimension: the invocation.
    pub request_id: &'a str,
}

/// A figure of a sweep, and where it is in the report.
pub(crate) type Figure = (Definition, fn(&SweepReport) -> u64);

/// The figures of a sweep, as metrics and in its response.
pub(crate) const SWEEP_FIGURES: [Figure; 9] = [
    (Definition::count("Executing"), |report| report.executing),
    (Definition::count("Heartbeats"), |report| report.heartbeats),
    (Definition::seconds("OldestWaiting"), |report| report.oldest_waiting_s),
    (Definition::count("Recovered"), |report| report.recovered),
    (Definition::count("Cancelled"), |report| report.cancelled),
    (Definition::count("Rejected"), |report| report.rejected),
    (Definition::count("Refused"), |report| report.refused),
    (Definition::count("Reused"), |report| report.reused),
    (Definition::count("Failed"), |report| report.failed),
];

fn serialize_figures<S: Serializer>(
    report: &SweepReport,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures(report).map(|(definition, value)| (definition.name, value)))
}

/// The figures that are not zero. `Truncated` is 1 if the sweep stopped early.
fn figures(report: &SweepReport) -> impl Iterator<Item = (Definition, u64)> {
    let figures = SWEEP_FIGURES.into_iter().map(|(definition, value)| (definition, value(report)));
    let truncated = (Definition::count("Truncated"), u64::from(report.truncated));
    figures.chain([truncated]).filter(|(_, value)| *value > 0)
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

/// A metric: its name and its unit.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    unit: &'static str,
}

impl Definition {
    const fn count(name: &'static str) -> Self {
        Self { name, unit: "Count" }
    }

    const fn seconds(name: &'static str) -> Self {
        Self { name, unit: "Seconds" }
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
    /// If writing to `to` fails.
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
    /// Writes the record as one line to `to`, unless all figures are zero.
    ///
    /// # Errors
    ///
    /// If writing to `to` fails.
    pub fn emit(&self, to: &mut impl Write, now: Timestamp) -> io::Result<()> {
        if figures(self.report).next().is_none() {
            return Ok(());
        }
        to.write_all(&self.line(now)?)
    }

    fn line(&self, now: Timestamp) -> io::Result<Vec<u8>> {
        let figures = figures(self.report).map(|(definition, _)| definition);
        let metrics: Vec<_> = figures.chain([Definition::milliseconds("SweepDuration")]).collect();
        line(self, &[&["FunctionName"]], &metrics, now)
    }
}

/// A duration in milliseconds as a metric. A value that does not fit counts as 0.
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

    fn of_sweep(report: &SweepReport) -> String {
        let metrics = SweepMetrics {
            function_name: "stack-sweep",
            report,
            sweep_duration: 2,
            request_id: "request",
        };
        let mut to = Vec::new();
        metrics.emit(&mut to, Timestamp::UNIX_EPOCH).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn a_record_of_a_sweep_defines_every_metric_that_it_holds() {
        insta::assert_snapshot!(of_sweep(&SweepReport {
            executing: 8,
            heartbeats: 7,
            oldest_waiting_s: 11,
            recovered: 6,
            cancelled: 5,
            rejected: 4,
            refused: 9,
            reused: 10,
            failed: 3,
            truncated: true,
            blind: None,
        }));
    }

    #[test]
    fn what_is_zero_is_no_metric() {
        let report = SweepReport { recovered: 6, ..SweepReport::default() };
        insta::assert_snapshot!(of_sweep(&report));
        assert_eq!(of_sweep(&SweepReport::default()), "");
    }
}
