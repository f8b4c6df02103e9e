//! Metrics of functions in CloudWatch.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::running::Running;

/// Twice the time after which the sandbox tells of an invocation, and more.
const PATIENCE_SECONDS: u64 = 20;

async fn invoke(running: &Running, what: &str) {
    let path = "/2015-03-31/functions/obedient/invocations";
    let body = json!({ "do": what }).to_string();
    let request = running.client().request(Method::POST, path, "lambda").body(body);
    request.send().await.expect("an answer");
}

/// The sum of a metric in the minutes around now; `None` if there is no data.
async fn sum(running: &Running, namespace: &str, name: &str, dimension: [&str; 2]) -> Option<f64> {
    let seconds = |minutes| (Timestamp::now() + SignedDuration::from_mins(minutes)).as_second();
    let metric = json!({
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{ "Name": dimension[0], "Value": dimension[1] }],
    });
    let stat = json!({ "Metric": metric, "Period": 600, "Stat": "Sum" });
    let answer = running
        .client()
        .request(Method::POST, "/", "monitoring")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", "GraniteServiceVersion20100801.GetMetricData")
        .json(&json!({
            "MetricDataQueries": [{ "Id": "m", "MetricStat": stat }],
            "StartTime": seconds(-4),
            "EndTime": seconds(4),
        }))
        .send()
        .await
        .expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    answer["MetricDataResults"][0]["Values"][0].as_f64()
}

#[tokio::test]
async fn invocations_and_what_functions_measure_are_metrics() {
    let running = Running::start(&[]);
    for what in ["measure", "fail", "measure"] {
        invoke(&running, what).await;
    }
    // Both processes of the function are busy until they time out: there is none for the third.
    tokio::join!(invoke(&running, "sleep"), invoke(&running, "sleep"), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        invoke(&running, "measure").await;
    });
    let of_lambda = ["FunctionName", "obedient"];
    let mut last = Vec::new();
    for _ in 0..PATIENCE_SECONDS {
        last = vec![
            sum(&running, "AWS/Lambda", "Invocations", of_lambda).await,
            sum(&running, "AWS/Lambda", "Errors", of_lambda).await,
            sum(&running, "AWS/Lambda", "Throttles", of_lambda).await,
            sum(&running, "Own", "Measured", ["Stack", "s"]).await,
        ];
        if last == [Some(5.0), Some(3.0), Some(1.0), Some(14.0)] {
            let duration = sum(&running, "AWS/Lambda", "Duration", of_lambda).await;
            assert!(duration.is_some_and(|milliseconds| milliseconds > 0.0), "{duration:?}");
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("the metrics are {last:?}");
}
