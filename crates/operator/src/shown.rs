//! Texts that others wrote, as they are printed: without the command's task token, and without
//! characters that a terminal obeys.

use callback::Command;
use serde_json::Value;

/// A text of or about a command.
pub fn shown(command: &Command, text: &str) -> String {
    printable(&without_token(command, text))
}

/// Replaces the command's task token in all texts of a JSON value. JSON itself escapes what a
/// terminal obeys.
pub fn redact(command: &Command, value: &mut Value) {
    match value {
        Value::String(text) => *text = without_token(command, text),
        Value::Array(values) => values.iter_mut().for_each(|value| redact(command, value)),
        Value::Object(fields) => fields.values_mut().for_each(|value| redact(command, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text in one line, with nothing that a terminal obeys.
pub fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// The last part of a text between colons, such as the name in an ARN.
pub fn after_colon(text: &str) -> &str {
    text.rsplit(':').next().unwrap_or(text)
}

fn without_token(command: &Command, text: &str) -> String {
    match &command.callback.task_token {
        Some(Ok(token)) => token.redaction().redact(text).into_owned(),
        _ => text.to_owned(),
    }
}
