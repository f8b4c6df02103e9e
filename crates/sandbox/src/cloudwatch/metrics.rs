//! What Lambda reports of invocations, and the metrics that functions write into their logs.
//!
//! They reach moto within two seconds. On AWS it takes a minute or more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use sandbox_run_command::locked::Locked;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::datum::Datum;
use super::embedded::metrics_in;
use crate::aws::Client;

const PAUSE: Duration = Duration::from_secs(1);
/// How much of a log is read at a time. A longer line is skipped.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where invocations are noted.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pending: Arc<Mutex<Pending>>,
}

/// What moto was not told yet.
#[derive(Debug, Default)]
struct Pending {
    minutes: BTreeMap<Key, Statistics>,
    /// The functions that may have written into their logs.
    functions: BTreeSet<String>,
}

/// Namespace, name, dimensions, unit, and the first second of the minute.
type Key = (String, String, Vec<(String, String)>, String, i64);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Statistics {
    count: u32,
    sum: f64,
    min: f64,
    max: f64,
}

impl Metrics {
    /// Notes an invocation that reached its function. The duration includes the start of the process.
    pub fn invoked(&self, function: &str, started: Timestamp, duration: Duration, failed: bool) {
        let mut pending = self.pending.locked();
        let failed = if failed { 1.0 } else { 0.0 };
        pending.add_of_lambda(function, "Invocations", 1.0, started);
        pending.add_of_lambda(function, "Errors", failed, started);
        pending.add_of_lambda(function, "Throttles", 0.0, started);
        pending.add_of_lambda(function, DURATION, duration.as_secs_f64() * 1000.0, started);
        pending.functions.insert(function.to_owned());
    }

    /// Notes an invocation that found all processes of its function busy. One that waits in the queue
    /// is noted once; Lambda counts each attempt.
    pub fn throttled(&self, function: &str) {
        let mut pending = self.pending.locked();
        pending.add_of_lambda(function, "Throttles", 1.0, Timestamp::now());
    }

    /// Tells moto what was noted and what functions have written into their logs, every second.
    pub async fn run(self, moto: Client, region: String, logs: PathBuf) {
        let mut read = BTreeMap::new();
        loop {
            sleep(PAUSE).await;
            let told = self.told(&logs, &mut read);
            if told.is_empty() {
                continue;
            }
            let url = format!("{}/moto-api/metrics", moto.base());
            let body = json!({ "region": region, "data": told });
            // It only fails at the end of the sandbox.
            let _ = moto.http().post(url).json(&body).send().await;
        }
    }

    /// What moto is to be told now. `read` holds how much of each log was read.
    fn told(&self, logs: &Path, read: &mut BTreeMap<String, u64>) -> Vec<Value> {
        let Pending { mut minutes, functions } = std::mem::take(&mut *self.pending.locked());
        for function in functions {
            let offset = read.entry(function.clone()).or_default();
            let log = logs.join(format!("{function}.log"));
            // A function that has not started has no log.
            let lines = new_lines(&log, offset).unwrap_or_default();
            for datum in lines.lines().flat_map(metrics_in) {
                add(&mut minutes, datum);
            }
        }
        minutes.into_iter().map(|(key, statistics)| in_json(key, statistics)).collect()
    }
}

const DURATION: &str = "Duration";

impl Pending {
    fn add_of_lambda(&mut self, function: &str, name: &str, value: f64, time: Timestamp) {
        let datum = Datum {
            namespace: "AWS/Lambda".to_owned(),
            name: name.to_owned(),
            dimensions: vec![("FunctionName".to_owned(), function.to_owned())],
            unit: if name == DURATION { "Milliseconds" } else { "Count" }.to_owned(),
            epoch_seconds: time.as_second(),
            value,
        };
        add(&mut self.minutes, datum);
    }
}

fn add(minutes: &mut BTreeMap<Key, Statistics>, datum: Datum) {
    let Datum { namespace, name, dimensions, unit, epoch_seconds, value } = datum;
    let minute = epoch_seconds.div_euclid(60) * 60;
    minutes
        .entry((namespace, name, dimensions, unit, minute))
        .and_modify(|so_far| {
            so_far.count += 1;
            so_far.sum += value;
            so_far.min = so_far.min.min(value);
            so_far.max = so_far.max.max(value);
        })
        .or_insert(Statistics { count: 1, sum: value, min: value, max: value });
}

/// A datum of `PutMetricData`, with its namespace.
fn in_json(key: Key, statistics: Statistics) -> Value {
    let (namespace, name, dimensions, unit, minute) = key;
    let dimension = |(name, value)| json!({ "Name": name, "Value": value });
    json!({
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": dimensions.into_iter().map(dimension).collect::<Vec<_>>(),
        "Unit": unit,
        "Timestamp": minute,
        "StatisticValues": {
            "SampleCount": statistics.count,
            "Sum": statistics.sum,
            "Minimum": statistics.min,
            "Maximum": statistics.max,
        },
    })
}

/// The complete lines of a log that follow the offset, which moves behind them.
fn new_lines(log: &Path, offset: &mut u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(*offset))?;
    let mut bytes = Vec::new();
    let count = file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    let complete = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None if count as u64 == LOG_BYTES_MAX => count,
        None => 0,
    };
    bytes.truncate(complete);
    *offset += complete as u64;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn invocations_become_the_statistics_of_their_minute() {
        let metrics = Metrics::default();
        let started = Timestamp::from_second(1_700_000_030).expect("a time");
        metrics.invoked("f", started, Duration::from_millis(30), false);
        metrics.invoked("f", started, Duration::from_millis(10), true);
        let told = metrics.told(Path::new("/none"), &mut BTreeMap::new());
        let statistics = |name: &str| {
            let datum = told.iter().find(|datum| datum["MetricName"] == name).expect(name);
            assert_eq!(datum["Namespace"], "AWS/Lambda");
            assert_eq!(datum["Dimensions"], json!([{ "Name": "FunctionName", "Value": "f" }]));
            assert_eq!(datum["Timestamp"], 1_699_999_980);
            datum["StatisticValues"].clone()
        };
        let expected = |sum: f64, min: f64, max: f64| json!({ "SampleCount": 2, "Sum": sum, "Minimum": min, "Maximum": max });
        assert_eq!(statistics("Invocations"), expected(2.0, 1.0, 1.0));
        assert_eq!(statistics("Errors"), expected(1.0, 0.0, 1.0));
        assert_eq!(statistics("Throttles"), expected(0.0, 0.0, 0.0));
        assert_eq!(statistics("Duration"), expected(40.0, 10.0, 30.0));
        assert!(metrics.told(Path::new("/none"), &mut BTreeMap::new()).is_empty(), "told twice");
    }

    #[test]
    fn a_log_is_read_once_and_only_in_complete_lines() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("f.log");
        let mut offset = 0;
        for (text, expected) in [("a\nb", "a\n"), ("a\nbc\nd\n", "bc\nd\n"), ("a\nbc\nd\n", "")] {
            fs::write(&log, text).expect("a log");
            assert_eq!(new_lines(&log, &mut offset).expect("its lines"), expected);
        }
    }
}
