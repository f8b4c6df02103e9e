//! A message of the on-failure queue, in one of two envelopes.
//!
//! - Lambda's, from the on-failure destination: the event is `requestPayload`, and the relay's error is
//!   `responsePayload` (Lambda developer guide, "Retaining records of asynchronous invocations").
//! - EventBridge's, a dead letter: the event is the body, and the reason is in message attributes
//!   (EventBridge user guide, "Using dead-letter queues"). Whether the body is the event before or
//!   after the input transformer is not documented. Before, it holds the command's task token.
//!
//! So nothing is kept of an event but what the relay reads: IDs, times and statuses.

use std::collections::HashMap;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use callback::CommandId;
use jiff::Timestamp;
use serde_json::{Value, json};

/// `source` and `detail-type` of the events that the relay takes from the stack's rule.
const EVENT: (&str, &str) = ("aws.ssm", "EC2 Command Status-change Notification");
/// The headings of the runbook for the relay's errors.
const ERROR_HEADINGS: [&str; 10] = [
    "ReadCommandFailed",
    "ReadInvocationsFailed",
    "ReadOutputFailed",
    "CommandNotFound",
    "CommandNotEnded",
    "InvocationsUnseen",
    "AnswerFailed",
    "OutputRefused",
    "InvalidEvent",
    "Panicked",
];
/// The heading for other errors of Lambda, such as a timeout.
const OTHER_ERRORS: &str = "invocations-that-log-no-error";
/// The heading for everything else.
const MESSAGES: &str = "messages-in-the-on-failure-queue";
/// Maximum length of a word from a message, in characters.
const WORD_CHARS_MAX: usize = 64;

/// What is kept of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) receipt_handle: String,
    pub(super) sender: Sender,
    /// The command, if the event is one of Run Command.
    pub(super) command_id: Option<CommandId>,
    /// Why it is here: the relay's error, or the code of EventBridge.
    pub(super) failure: String,
    /// The anchor of the runbook's heading.
    pub(super) heading: String,
    pub(super) sent_at: Option<Timestamp>,
    status: Option<String>,
    time: Option<String>,
}

/// Who has sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Lambda,
    EventBridge,
    Other,
}

impl Sender {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lambda => "Lambda",
            Self::EventBridge => "EventBridge",
            Self::Other => "an unknown sender",
        }
    }
}

impl Letter {
    pub(super) fn parse(message: Message) -> Self {
        let body: Value = message
            .body
            .as_deref()
            .and_then(|body| serde_json::from_str(body).ok())
            .unwrap_or_default();
        let attributes = message.message_attributes.unwrap_or_default();
        let (sender, event, failure) = opened(&body, &attributes);
        let heading = match sender {
            Sender::Lambda if ERROR_HEADINGS.contains(&failure.as_str()) => failure.to_lowercase(),
            Sender::Lambda => OTHER_ERRORS.to_owned(),
            Sender::EventBridge | Sender::Other => MESSAGES.to_owned(),
        };
        let sent = message.attributes.as_ref();
        let sent = sent.and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
        let detail = &event["detail"];
        let is_ours = (event["source"].as_str(), event["detail-type"].as_str())
            == (Some(EVENT.0), Some(EVENT.1));
        let command_id = detail["command-id"].as_str().filter(|_| is_ours);
        Self {
            receipt_handle: message.receipt_handle.unwrap_or_default(),
            sender,
            command_id: command_id.and_then(|id| CommandId::parse(id).ok()),
            failure,
            heading,
            sent_at: sent
                .and_then(|text| text.parse().ok())
                .and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            status: detail["status"].as_str().and_then(word),
            time: event["time"]
                .as_str()
                .and_then(|time| Some(time.parse::<Timestamp>().ok()?.to_string())),
        }
    }

    /// The event as the rule's input transformer gives it to the relay. `None` if it is not one of a
    /// command.
    pub(super) fn event(&self) -> Option<Value> {
        let id = self.command_id.as_ref()?;
        let mut event = json!({
            "source": EVENT.0,
            "detail-type": EVENT.1,
            "detail": { "command-id": id.as_str() },
        });
        if let Some(status) = &self.status {
            event["detail"]["status"] = status.as_str().into();
        }
        if let Some(time) = &self.time {
            event["time"] = time.as_str().into();
        }
        Some(event)
    }
}

/// The sender, the event and the reason in an envelope.
fn opened<'a>(
    body: &'a Value,
    attributes: &HashMap<String, MessageAttributeValue>,
) -> (Sender, &'a Value, String) {
    if body.get("requestPayload").is_some() {
        let error = body["responsePayload"]["errorType"].as_str().and_then(word);
        // Without an attempt, such as one that was too old.
        let error = error.or_else(|| body["requestContext"]["condition"].as_str().and_then(word));
        return (
            Sender::Lambda,
            &body["requestPayload"],
            error.unwrap_or_else(|| "no error".to_owned()),
        );
    }
    let code = attributes.get("ERROR_CODE").and_then(|value| value.string_value.as_deref());
    let sender = match code {
        None if body.get("detail-type").is_none() => Sender::Other,
        _ => Sender::EventBridge,
    };
    (sender, body, code.and_then(word).unwrap_or_else(|| "no error code".to_owned()))
}

/// A text that is one word of letters, digits, dots and underscores.
fn word(text: &str) -> Option<String> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._".contains(&byte);
    ((1..=WORD_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_good))
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";

    fn event() -> Value {
        json!({
            "source": "aws.ssm",
            "detail-type": "EC2 Command Status-change Notification",
            "time": "2026-11-22T10:00:00Z",
            "detail": { "command-id": ID, "status": "Success", "parameters": { "taskToken": ["SECRET"] } },
        })
    }

    fn parse(body: &Value, error_code: Option<&str>) -> Letter {
        let mut message = Message::builder().body(body.to_string()).receipt_handle("handle");
        message = message.attributes(MessageSystemAttributeName::SentTimestamp, "1795341600000");
        if let Some(code) = error_code {
            let value = MessageAttributeValue::builder().data_type("String").string_value(code);
            message = message.message_attributes("ERROR_CODE", value.build().unwrap());
        }
        Letter::parse(message.build())
    }

    #[test]
    fn both_envelopes_hold_the_same_event() {
        let record = json!({
            "requestContext": { "condition": "RetriesExhausted" },
            "requestPayload": event(),
            "responsePayload": { "errorType": "AnswerFailed", "errorMessage": "SECRET" },
        });
        let lambda = parse(&record, None);
        let event_bridge = parse(&event(), Some("NO_PERMISSIONS"));
        assert_eq!((lambda.sender, event_bridge.sender), (Sender::Lambda, Sender::EventBridge));
        assert_eq!((&*lambda.failure, &*event_bridge.failure), ("AnswerFailed", "NO_PERMISSIONS"));
        assert_eq!((&*lambda.heading, &*event_bridge.heading), ("answerfailed", MESSAGES));
        assert_eq!(lambda.sent_at.unwrap().to_string(), "2026-11-22T10:00:00Z");
        let expected = json!({
            "source": "aws.ssm",
            "detail-type": "EC2 Command Status-change Notification",
            "time": "2026-11-22T10:00:00Z",
            "detail": { "command-id": ID, "status": "Success" },
        });
        for letter in [lambda, event_bridge] {
            assert_eq!(letter.event(), Some(expected.clone()));
            assert!(!format!("{letter:?}").contains("SECRET"), "{letter:?}");
        }
    }

    #[test]
    fn an_event_without_an_error_tells_the_condition() {
        let record = json!({ "requestContext": { "condition": "EventAgeExceeded" }, "requestPayload": event() });
        let letter = parse(&record, None);
        assert_eq!((&*letter.failure, &*letter.heading), ("EventAgeExceeded", OTHER_ERRORS));
        let timed_out = json!({
            "requestPayload": event(),
            "responsePayload": { "errorType": "Sandbox.Timedout", "errorMessage": "…" },
        });
        assert_eq!(parse(&timed_out, None).heading, OTHER_ERRORS);
    }

    #[test]
    fn anything_else_is_listed_and_not_redriven() {
        let mut schedule = event();
        schedule["source"] = "aws.events".into();
        for body in [json!("text"), json!({}), json!({ "requestPayload": "text" }), schedule] {
            let letter = parse(&body, None);
            assert_eq!((&letter.command_id, letter.event()), (&None, None), "{body}");
        }
    }

    #[test]
    fn each_heading_is_in_the_runbook() {
        let runbook = include_str!("../../../../infra/RUNBOOK.md");
        let anchors: Vec<_> = runbook
            .lines()
            .filter(|line| line.starts_with("##"))
            .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
            .collect();
        let others = [OTHER_ERRORS, MESSAGES, "first", "refused", "tokenrejected", "failed-calls"];
        for heading in ERROR_HEADINGS.into_iter().chain(others) {
            assert!(anchors.contains(&heading.to_lowercase()), "{heading}");
        }
    }
}
