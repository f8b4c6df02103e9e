//! Events, from `PutEvents` through the rules to the function, and beyond when it fails.

use sandbox::aws::{EVENTS, SQS};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::running::shared;

const POLLS_MAX: u32 = 200;

/// Puts an event, and gives its id.
async fn put_event(detail_type: &str, detail: &Value) -> String {
    let entry = json!({
        "Source": "test",
        "DetailType": detail_type,
        "Detail": detail.to_string(),
        "Resources": ["arn:aws:test:::resource"],
    });
    let body = json!({ "Entries": [entry] });
    let answer = shared().running.client().json(EVENTS, "PutEvents", &body).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer["FailedEntryCount"], 0, "{answer}");
    answer["Entries"][0]["EventId"].as_str().expect("an id").to_owned()
}

async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    for _ in 0..POLLS_MAX {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        sleep(Duration::from_millis(50)).await;
    }
    None
}

/// The body of the message in a queue that holds this text.
async fn message(queue: &str, holding: &str) -> Option<Value> {
    let message = whole_message(queue, holding).await?;
    serde_json::from_str(message["Body"].as_str()?).ok()
}

/// The message in a queue whose body holds this text.
async fn whole_message(queue: &str, holding: &str) -> Option<Value> {
    let client = shared().running.client();
    let url = client.json(SQS, "GetQueueUrl", &json!({ "QueueName": queue })).await;
    let url = url.expect("a queue")["QueueUrl"].clone();
    eventually(async || {
        let body = json!({
            "QueueUrl": url,
            "VisibilityTimeout": 0,
            "MaxNumberOfMessages": 10,
            "MessageAttributeNames": ["All"],
        });
        let answer = client.json(SQS, "ReceiveMessage", &body).await.expect("an answer");
        let messages = answer["Messages"].as_array()?.clone();
        let holds =
            |message: &Value| message["Body"].as_str().is_some_and(|body| body.contains(holding));
        messages.into_iter().find(holds)
    })
    .await
}

/// The text of a message's attribute.
fn attribute(message: &Value, name: &str) -> String {
    let text = message["MessageAttributes"][name]["StringValue"].as_str();
    text.unwrap_or_else(|| panic!("{name} is not in {message}")).to_owned()
}

fn received(id: &str) -> usize {
    shared().log("obedient.log").matches(id).count()
}

#[tokio::test]
async fn an_event_that_matches_reaches_the_function_once() {
    let matching = put_event("allowed", &json!({})).await;
    let other = put_event("of no rule", &json!({})).await;
    let arrived = eventually(async || (received(&matching) > 0).then_some(())).await;
    assert!(arrived.is_some(), "{}", shared().log("delivery.log"));
    sleep(Duration::from_millis(500)).await;
    assert_eq!((received(&matching), received(&other)), (1, 0));
}

#[tokio::test]
async fn an_event_that_fails_is_retried_twice_and_then_sent_to_the_on_failure_queue() {
    let id = put_event("allowed", &json!({ "do": "fail" })).await;
    let record = message("failed", &id).await.expect("a message in the on-failure queue");
    assert_eq!(received(&id), 3);
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(record["requestPayload"]["id"], id.as_str());
    assert_eq!(record["requestPayload"]["resources"], json!(["arn:aws:test:::resource"]));
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    assert_eq!(record["responsePayload"]["errorType"], "Told");
}

#[tokio::test]
async fn a_rule_without_permission_does_not_reach_the_function() {
    let id = put_event("forbidden", &json!({})).await;
    let undelivered = whole_message("undelivered", &id).await;
    let undelivered = undelivered.unwrap_or_else(|| panic!("{}", shared().log("delivery.log")));
    assert_eq!(received(&id), 0);
    assert_eq!(attribute(&undelivered, "ERROR_CODE"), "NO_PERMISSIONS");
    let rule = attribute(&undelivered, "RULE_ARN");
    assert!(rule.starts_with("arn:aws:events:") && rule.ends_with(":rule/forbidden"), "{rule}");
    assert!(attribute(&undelivered, "TARGET_ARN").ends_with(":function:obedient"));
    assert!(attribute(&undelivered, "ERROR_MESSAGE").contains("no permission"));
    assert_eq!(attribute(&undelivered, "RETRY_ATTEMPTS"), "0");
    let attributes = undelivered["MessageAttributes"].as_object().expect("attributes");
    assert_eq!(attributes.len(), 5, "{attributes:?}");
    let line = eventually(async || {
        let told = shared().journal("delivery.log");
        told.into_iter().find(|line| line["kind"] == "delivery" && line["event"] == id.as_str())
    });
    let line = line.await.expect("a line in the log");
    let outcome = line["outcome"].as_str().expect("an outcome");
    assert!(outcome.contains("no permission for rule forbidden"), "{outcome}");
}

#[tokio::test]
async fn a_function_that_is_gone_is_told_in_the_dead_letter() {
    let id = put_event("gone", &json!({})).await;
    let undelivered = whole_message("undelivered", &id).await;
    let undelivered = undelivered.unwrap_or_else(|| panic!("{}", shared().log("delivery.log")));
    assert_eq!(attribute(&undelivered, "ERROR_CODE"), "NO_RESOURCE");
    assert!(attribute(&undelivered, "TARGET_ARN").ends_with(":function:obedient-gone"));
}

#[tokio::test]
async fn a_scheduled_rule_fires_again_and_again() {
    let fired = || shared().log("obedient.log").matches("event Scheduled Event").count();
    let twice = eventually(async || (fired() >= 2).then_some(())).await;
    assert!(twice.is_some(), "{}", shared().log("delivery.log"));
}

#[tokio::test]
async fn an_entry_that_is_no_event_is_refused_alone() {
    let good = json!({ "Source": "test", "DetailType": "of no rule", "Detail": "{}" });
    let bad = json!({ "Source": "test", "DetailType": "of no rule", "Detail": "no JSON" });
    let body = json!({ "Entries": [good, bad] });
    let answer = shared().running.client().json(EVENTS, "PutEvents", &body).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer["FailedEntryCount"], 1);
    assert!(answer["Entries"][0]["EventId"].is_string());
    assert_eq!(answer["Entries"][1]["ErrorCode"], "MalformedDetail");
}
