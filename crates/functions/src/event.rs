//! Parses the events that EventBridge sends. Fields that are not needed can have any shape.
//!
//! From a Run Command event, only the command ID is used, and the status as a hint that the command
//! has ended. The documentation, its samples, and production disagree on other fields. For example,
//! `parameters` is an object, a JSON string, or absent.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use callback::id::InvalidId;
use callback::{CommandId, Hint, Status, StatusDetails};
use jiff::Timestamp;
use serde_json::Value;

/// `source` of Run Command events.
const RUN_COMMAND_SOURCE: &str = "aws.ssm";
/// `detail-type` of an event about a command.
const COMMAND_DETAIL_TYPE: &str = "EC2 Command Status-change Notification";
/// `detail-type` of an event about a command on one node.
const INVOCATION_DETAIL_TYPE: &str = "EC2 Command Invocation Status-change Notification";
/// `source` and `detail-type` of an event from a scheduled rule.
const SCHEDULED: (&str, &str) = ("aws.events", "Scheduled Event");
/// `source` and `detail-type` of an event about a state machine execution.
const EXECUTION: (&str, &str) = ("aws.states", "Step Functions Execution Status Change");
/// Maximum length of a quote from an event in an error, in characters.
const QUOTED_CHARS_MAX: usize = 64;

/// A status change of a command or of one of its invocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandChange {
    /// The command.
    pub command_id: CommandId,
    /// Whether the event says that the command has ended.
    pub hint: Hint,
    /// When EventBridge received the event, to the second.
    pub occurred_at: Option<Timestamp>,
}

/// What triggered a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepCause {
    /// The schedule.
    Schedule,
    /// An execution ended, so its commands may be abandoned.
    ExecutionEnded,
}

/// An event that triggers a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepTrigger {
    /// What triggered it.
    pub cause: SweepCause,
    /// The time of the event, to the second. For a schedule, the scheduled time.
    pub occurred_at: Option<Timestamp>,
}

/// An event that the function does not handle. Values are quoted only from fields that cannot
/// contain a task token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// A field is missing or has the wrong type.
    #[error("event field `{field}`: {problem}")]
    Malformed {
        /// The path of the field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The event is followed by more data.
    #[error("unexpected data after the event")]
    TrailingData,
    /// An event of another kind.
    #[error("expected {expected}, got `{detail_type}` from `{source_name}`")]
    Unexpected {
        /// What the function handles.
        expected: &'static str,
        /// The `detail-type` of the event.
        detail_type: String,
        /// The `source` of the event.
        source_name: String,
    },
    /// The command ID is malformed.
    #[error("event field `detail.command-id`")]
    CommandId(#[source] InvalidId),
}

impl CommandChange {
    /// Parses a Run Command event about a command or one of its invocations.
    ///
    /// # Errors
    ///
    /// [`InvalidEvent`] if it is another event, or if a field is missing or malformed.
    pub fn parse(json: &str) -> Result<Self, InvalidEvent> {
        let event = envelope(json)?;
        let is_command = event.detail_type == COMMAND_DETAIL_TYPE;
        let is_invocation = event.detail_type == INVOCATION_DETAIL_TYPE;
        if event.source != RUN_COMMAND_SOURCE || !(is_command || is_invocation) {
            return Err(unexpected(
                &event,
                "a status change of a command or invocation from `aws.ssm`",
            ));
        }
        let command_id = text_field(&event.detail, "command-id")?;
        // The end of one node says nothing about the others.
        let says_ended =
            is_command && event.detail.get("status").and_then(Value::as_str).is_some_and(is_end);
        Ok(Self {
            command_id: CommandId::parse(command_id).map_err(InvalidEvent::CommandId)?,
            hint: if says_ended { Hint::Ended } else { Hint::Changed },
            occurred_at: occurred_at(&event),
        })
    }
}

impl SweepTrigger {
    /// Parses a scheduled event or an event about a state machine execution.
    ///
    /// # Errors
    ///
    /// [`InvalidEvent`] if it is another event or malformed.
    pub fn parse(json: &str) -> Result<Self, InvalidEvent> {
        let event = envelope(json)?;
        let cause = match (event.source.as_str(), event.detail_type.as_str()) {
            SCHEDULED => SweepCause::Schedule,
            EXECUTION => SweepCause::ExecutionEnded,
            _ => {
                return Err(unexpected(
                    &event,
                    "a scheduled event or an execution status change from `aws.states`",
                ));
            }
        };
        Ok(Self { cause, occurred_at: occurred_at(&event) })
    }
}

fn unexpected(event: &EventBridgeEvent, expected: &'static str) -> InvalidEvent {
    InvalidEvent::Unexpected {
        expected,
        detail_type: quoted(&event.detail_type),
        source_name: quoted(&event.source),
    }
}

fn occurred_at(event: &EventBridgeEvent) -> Option<Timestamp> {
    event.time.and_then(|time| Timestamp::from_millisecond(time.timestamp_millis()).ok())
}

/// Whether an event's status means that the command has ended. Events use values of `Status`, but
/// values of `StatusDetails` can occur.
fn is_end(status: &str) -> bool {
    Status::parse(status).has_ended() == Some(true)
        || StatusDetails::parse(status).has_ended() == Some(true)
}

fn envelope(json: &str) -> Result<EventBridgeEvent, InvalidEvent> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let event = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let message = error.inner().to_string();
        InvalidEvent::Malformed {
            field: quoted(&error.path().to_string()),
            // Any other message can quote the event.
            problem: match message.split_once(" at line ") {
                Some((missing, _)) if missing.starts_with("missing field") => missing.to_owned(),
                _ => "wrong type".to_owned(),
            },
        }
    })?;
    deserializer.end().map_err(|_| InvalidEvent::TrailingData)?;
    Ok(event)
}

fn text_field<'a>(detail: &'a Value, name: &str) -> Result<&'a str, InvalidEvent> {
    let problem = match detail.get(name) {
        Some(Value::String(text)) => return Ok(text),
        None => "missing",
        Some(Value::Null) => "expected a string, got null",
        Some(Value::Bool(_)) => "expected a string, got a boolean",
        Some(Value::Number(_)) => "expected a string, got a number",
        Some(Value::Array(_)) => "expected a string, got an array",
        Some(Value::Object(_)) => "expected a string, got an object",
    };
    Err(InvalidEvent::Malformed { field: format!("detail.{name}"), problem: problem.to_owned() })
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";

    fn event(detail_type: &str, detail: &str) -> String {
        format!(
            r#"{{"source":"aws.ssm","detail-type":"{detail_type}","time":"2026-11-22T10:00:00Z","detail":{detail}}}"#
        )
    }

    fn command(detail: &str) -> Result<CommandChange, InvalidEvent> {
        CommandChange::parse(&event(COMMAND_DETAIL_TYPE, detail))
    }

    fn problem(json: &str) -> String {
        callback::error_chain(&CommandChange::parse(json).unwrap_err())
    }

    #[test]
    fn an_end_is_told_by_any_word_for_it() {
        for (status, hint) in [
            (r#""Success""#, Hint::Ended),
            (r#""Canceled""#, Hint::Ended),
            (r#""TimedOut""#, Hint::Ended),
            (r#""Delivery Timed Out""#, Hint::Ended),
            (r#""InProgress""#, Hint::Changed),
            (r#""Melted""#, Hint::Changed),
            ("17", Hint::Changed),
            ("null", Hint::Changed),
        ] {
            let change = command(&format!(r#"{{"command-id":"{ID}","status":{status}}}"#)).unwrap();
            assert_eq!(change.hint, hint, "{status}");
        }
    }

    #[test]
    fn the_end_of_one_invocation_is_not_the_end_of_the_command() {
        let detail = format!(r#"{{"command-id":"{ID}","status":"Success"}}"#);
        let change = CommandChange::parse(&event(INVOCATION_DETAIL_TYPE, &detail)).unwrap();
        assert_eq!(change.hint, Hint::Changed);
    }

    #[test]
    fn parameters_may_have_any_shape() {
        for parameters in
            [r#""{\"commands\":[\"id\"]}""#, r#"{"commands":["id"]}"#, "null", "[]", "1"]
        {
            let detail = format!(r#"{{"command-id":"{ID}","parameters":{parameters},"new":{{}}}}"#);
            assert_eq!(command(&detail).unwrap().command_id.as_str(), ID);
        }
    }

    #[test]
    fn an_error_names_the_field_and_what_came() {
        let other = event("EC2 Instance State-change Notification", "{}");
        let problems = [
            problem(&event(COMMAND_DETAIL_TYPE, "{}")),
            problem(&event(COMMAND_DETAIL_TYPE, r#"{"command-id":7}"#)),
            problem(&event(COMMAND_DETAIL_TYPE, r#"{"command-id":"x"}"#)),
            problem(&event(COMMAND_DETAIL_TYPE, r#""text""#)),
            problem(&other),
            problem("{}"),
            problem("[]"),
            problem(r#"{"source":"aws.ssm","detail-type":5,"detail":{}}"#),
        ];
        insta::assert_snapshot!(problems.join("\n"));
    }

    #[test]
    fn an_error_quotes_nothing_that_could_be_a_token() {
        for json in [
            r#"{"source":"aws.ssm","detail-type":{"taskToken":"SECRET"},"detail":{}}"#,
            r#""SECRET""#,
            r#"{"source":"aws.ssm","detail-type":"EC2 Command Status-change Notification","detail":"SECRET"}"#,
            r#"{"source":"aws.ssm","detail-type":"EC2 Command Status-change Notification","time":"SECRET","detail":{}}"#,
        ] {
            let error = CommandChange::parse(json).unwrap_err();
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
    }

    /// Found by `make fuzz`.
    #[test]
    fn an_event_that_something_follows_is_refused() {
        let event = event(COMMAND_DETAIL_TYPE, &format!(r#"{{"command-id":"{ID}"}}"#));
        assert!(CommandChange::parse(&format!("{event}\n")).is_ok());
        for more in ["x", "{}", &event] {
            assert_eq!(problem(&format!("{event}{more}")), "unexpected data after the event");
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let json = event(COMMAND_DETAIL_TYPE, &"[".repeat(200_000));
        assert!(CommandChange::parse(&json).is_err());
    }

    #[test]
    fn a_sweep_starts_by_schedule_and_when_an_execution_ends() {
        let trigger = |source: &str, detail_type: &str| {
            SweepTrigger::parse(&format!(
                r#"{{"source":"{source}","detail-type":"{detail_type}","time":"2026-11-22T10:00:00Z","detail":{{}}}}"#
            ))
        };
        let scheduled = trigger("aws.events", "Scheduled Event").unwrap();
        assert_eq!(scheduled.cause, SweepCause::Schedule);
        assert_eq!(scheduled.occurred_at.unwrap().to_string(), "2026-11-22T10:00:00Z");
        let ended = trigger("aws.states", "Step Functions Execution Status Change").unwrap();
        assert_eq!(ended.cause, SweepCause::ExecutionEnded);
        let error = trigger("aws.ssm", "EC2 Command Status-change Notification").unwrap_err();
        insta::assert_snapshot!(error, @"expected a scheduled event or an execution status change from `aws.states`, got `EC2 Command Status-change Notification` from `aws.ssm`");
    }
}
