//! Metrics within the lines of a log: the embedded metric format (CloudWatch user guide,
//! "Specification: Embedded metric format").

use serde::Deserialize;
use serde_json::Value;

use super::datum::Datum;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    timestamp: i64,
    cloud_watch_metrics: Vec<Directive>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: String,
    dimensions: Vec<Vec<String>>,
    metrics: Vec<Definition>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: String,
    unit: Option<String>,
}

/// The metrics in a line of a log. None if it is not in this format.
pub fn metrics_in(line: &str) -> Vec<Datum> {
    // Most lines are not, and need not be read.
    if !line.contains("\"_aws\"") {
        return Vec::new();
    }
    let Ok(line) = serde_json::from_str::<Value>(line) else { return Vec::new() };
    let Ok(metadata) = Metadata::deserialize(&line["_aws"]) else { return Vec::new() };
    let mut found = Vec::new();
    for directive in &metadata.cloud_watch_metrics {
        for names in &directive.dimensions {
            let value_of = |name: &String| Some((name.clone(), line[name].as_str()?.to_owned()));
            let Some(dimensions) = names.iter().map(value_of).collect::<Option<Vec<_>>>() else {
                continue;
            };
            for metric in &directive.metrics {
                found.extend(values(&line[&metric.name]).map(|value| Datum {
                    namespace: directive.namespace.clone(),
                    name: metric.name.clone(),
                    dimensions: dimensions.clone(),
                    unit: metric.unit.clone().unwrap_or_else(|| "None".to_owned()),
                    epoch_seconds: metadata.timestamp.div_euclid(1000),
                    value,
                }));
            }
        }
    }
    found
}

/// A number, or each of an array of numbers.
fn values(value: &Value) -> impl Iterator<Item = f64> {
    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    values.iter().filter_map(Value::as_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::metrics_in;

    #[test]
    fn each_value_has_its_metric_and_its_dimensions() {
        let line = json!({
            "_aws": {
                "Timestamp": 1_700_000_000_900_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "N",
                    "Dimensions": [["Stack"], ["Stack", "Outcome"], ["Missing"]],
                    "Metrics": [{ "Name": "Settled", "Unit": "Count" }, { "Name": "Lag" }],
                }],
            },
            "Stack": "s", "Outcome": "ok", "Settled": 1, "Lag": [2.5, 3], "message": "settled",
        });
        let found = metrics_in(&line.to_string());
        let told = |number: usize| {
            let datum = &found[number];
            let dimensions: Vec<_> = datum.dimensions.iter().map(|(_, value)| &**value).collect();
            (&*datum.name, &*datum.unit, datum.value, dimensions.join(","))
        };
        assert_eq!(found.len(), 6);
        assert_eq!(told(0), ("Settled", "Count", 1.0, "s".to_owned()));
        assert_eq!(told(2), ("Lag", "None", 3.0, "s".to_owned()));
        assert_eq!(told(3), ("Settled", "Count", 1.0, "s,ok".to_owned()));
        assert_eq!(found[0].epoch_seconds, 1_700_000_000);
    }

    #[test]
    fn other_lines_have_none() {
        for line in ["", "plain \"_aws\"", r#"{"message":"x"}"#, r#"{"_aws":{"Timestamp":1}}"#] {
            assert_eq!(metrics_in(line), [], "{line}");
        }
    }
}
