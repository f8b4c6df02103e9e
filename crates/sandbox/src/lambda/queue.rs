//! The queue of asynchronous invocations, as Lambda has it: a failed event is retried, and finally
//! sent to the on-failure destination.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::functions::{Admission, InvokeError, Lambda, Occasion};
use super::process::InvocationResult;
use crate::arn::ACCOUNT;
use crate::aws::Client;
use crate::error_chain::error_chain;
use crate::record::{Entry, Record};
use crate::sqs::send_to_queue;

/// The queue of invocations that nobody waits for.
#[derive(Debug, Clone)]
pub struct InvocationQueue {
    lambda: Lambda,
    moto: Client,
    record: Record,
    region: Arc<str>,
    retry_after: Duration,
}

/// A function's settings for asynchronous invocations; the defaults are Lambda's.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventInvokeConfig {
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u64>,
    #[serde(default)]
    destination_config: DestinationConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DestinationConfig {
    on_failure: Destination,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Destination {
    destination: Option<String>,
}

impl EventInvokeConfig {
    fn attempts_max(&self) -> u32 {
        1 + self.maximum_retry_attempts.unwrap_or(2)
    }

    fn age_max(&self) -> Duration {
        Duration::from_secs(self.maximum_event_age_in_seconds.unwrap_or(21_600))
    }
}

/// Why Lambda stopped trying an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    RetriesExhausted,
    EventAgeExceeded,
}

impl Condition {
    fn name(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "RetriesExhausted",
            Self::EventAgeExceeded => "EventAgeExceeded",
        }
    }
}

/// An event that Lambda stopped trying.
struct Failure {
    request_id: String,
    condition: Condition,
    attempts: u32,
    outcome: Option<InvocationResult>,
}

impl InvocationQueue {
    /// Invocations of these functions; the first retry comes after `retry_after`, the second after
    /// twice that.
    pub fn new(
        lambda: Lambda,
        moto: Client,
        record: Record,
        region: &str,
        retry_after: Duration,
    ) -> Self {
        Self { lambda, moto, record, region: region.into(), retry_after }
    }

    /// Takes a payload for a function, which came with the event of this id if a rule sent it.
    pub fn submit(&self, function: &str, payload: Bytes, event: Option<String>) {
        let (invocations, function) = (self.clone(), function.to_owned());
        tokio::spawn(async move { invocations.work(&function, payload, event).await });
    }

    async fn work(&self, function: &str, payload: Bytes, event: Option<String>) {
        let config = self.config(function).await;
        let Err(failure) = self.attempt(function, &payload, event, &config).await else {
            return;
        };
        let destination = config.destination_config.on_failure.destination;
        let outcome = match &destination {
            None => "given up; there is no on-failure destination".to_owned(),
            Some(arn) => {
                let message = self.destination_record(function, &payload, &failure);
                match send_to_queue(&self.moto, arn, &message.to_string(), &[]).await {
                    Ok(()) => "sent to the on-failure destination".to_owned(),
                    Err(error) => {
                        format!("given up; the on-failure destination: {}", error_chain(&error))
                    }
                }
            }
        };
        self.record.add(&Entry::GivenUp {
            function: function.to_owned(),
            condition: failure.condition.name().to_owned(),
            outcome,
        });
    }

    async fn attempt(
        &self,
        function: &str,
        payload: &Bytes,
        event: Option<String>,
        config: &EventInvokeConfig,
    ) -> Result<(), Failure> {
        let expires = Instant::now() + config.age_max();
        let mut failure = Failure {
            request_id: Uuid::new_v4().to_string(),
            condition: Condition::RetriesExhausted,
            attempts: 0,
            outcome: None,
        };
        for attempt in 1..=config.attempts_max() {
            if Instant::now() >= expires {
                failure.condition = Condition::EventAgeExceeded;
                break;
            }
            let admission = Admission::WaitUntil(expires);
            let occasion = Occasion { attempt: Some(attempt), event: event.clone() };
            let result = self.lambda.invoke(function, payload.clone(), admission, occasion).await;
            if matches!(result, Err(InvokeError::TooManyRequests)) {
                failure.condition = Condition::EventAgeExceeded;
                break;
            }
            let failed = result.as_ref().map_or(true, |done| done.outcome.failed);
            if let Err(error) = &result {
                self.tell_not_invoked(function, attempt, error);
            }
            if !failed {
                return Ok(());
            }
            failure.attempts = attempt;
            if let Ok(done) = result {
                failure.request_id = done.request_id;
                failure.outcome = Some(done.outcome);
            }
            if attempt < config.attempts_max() {
                sleep(self.retry_after * attempt).await;
            }
        }
        Err(failure)
    }

    /// The function's settings; Lambda's defaults if it has none, or if they cannot be read.
    async fn config(&self, function: &str) -> EventInvokeConfig {
        let path = format!("/2019-09-25/functions/{function}/event-invoke-config");
        let answer = self.moto.get("lambda", "GetFunctionEventInvokeConfig", &path).await;
        let config = answer.ok().flatten();
        config.and_then(|config| serde_json::from_value(config).ok()).unwrap_or_default()
    }

    fn tell_not_invoked(&self, function: &str, attempt: u32, error: &InvokeError) {
        self.record.add(&Entry::Invocation {
            function: function.to_owned(),
            request_id: None,
            attempt: Some(attempt),
            outcome: format!("not invoked: {}", error_chain(error)),
            killed: false,
        });
    }

    /// What Lambda sends to an on-failure destination.
    fn destination_record(&self, function: &str, payload: &Bytes, failure: &Failure) -> Value {
        let arn = format!("arn:aws:lambda:{}:{ACCOUNT}:function:{function}:$LATEST", self.region);
        let mut record = json!({
            "version": "1.0",
            "timestamp": Timestamp::now().to_string(),
            "requestContext": {
                "requestId": failure.request_id,
                "functionArn": arn,
                "condition": failure.condition.name(),
                "approximateInvokeCount": failure.attempts,
            },
            "requestPayload": json_or_text(payload),
        });
        if let Some(outcome) = &failure.outcome {
            record["responseContext"] = json!({
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            });
            record["responsePayload"] = json_or_text(&outcome.payload);
        }
        record
    }
}

fn json_or_text(payload: &[u8]) -> Value {
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| String::from_utf8_lossy(payload).into_owned().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::EventInvokeConfig;

    #[test]
    fn without_settings_lambda_retries_twice_within_six_hours() {
        let config = EventInvokeConfig::default();
        assert_eq!(config.attempts_max(), 3);
        assert_eq!(config.age_max().as_secs(), 21_600);
    }

    #[test]
    fn settings_are_read_as_the_api_gives_them() {
        let config: EventInvokeConfig = serde_json::from_value(json!({
            "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:relay",
            "LastModified": "2026-11-22T10:00:00.000+0000",
            "MaximumRetryAttempts": 0,
            "MaximumEventAgeInSeconds": 60,
            "DestinationConfig": { "OnFailure": { "Destination": "arn:aws:sqs:r:a:failed" } },
        }))
        .expect("a configuration");
        assert_eq!(config.attempts_max(), 1);
        assert_eq!(config.age_max().as_secs(), 60);
        let destination = config.destination_config.on_failure.destination;
        assert_eq!(destination.as_deref(), Some("arn:aws:sqs:r:a:failed"));
    }
}
