//! What every operation of the API has in common: how a request is read and refused.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An error as the API answers it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The HTTP status: 400 when the caller is to blame, 500 when the sandbox is.
    pub status: u16,
    /// The error's name in the service model, such as `InvalidInstanceId`.
    pub code: String,
    /// What was expected and what came. Never holds the value of a command's parameter, because one
    /// of them may be a task token.
    pub message: String,
}

impl ApiError {
    /// An error that the caller can correct.
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }

    /// A member of the request breaks a constraint of the service model.
    pub fn validation(member: &str, constraint: &str) -> Self {
        Self::refused(
            "ValidationException",
            format!(
                "1 validation error detected: Value at '{member}' failed to satisfy constraint: \
                 {constraint}"
            ),
        )
    }

    /// The sandbox itself could not do its work.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { status: 500, code: "InternalServerError".to_owned(), message: message.into() }
    }
}

/// Reads the body of a request.
///
/// # Errors
///
/// `SerializationException` with the place of the mistake. The text at that place is not
/// repeated: it may be a task token in place of a list.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let reason = if error.is_data() {
            "a value is not of the type in the service model"
        } else {
            "the body is not JSON"
        };
        let (line, column) = (error.line(), error.column());
        ApiError::refused(
            "SerializationException",
            format!("{reason} (line {line}, column {column})"),
        )
    })
}

/// A required member.
///
/// # Errors
///
/// `ValidationException`, if it is missing.
pub fn required<'a>(member: &str, value: Option<&'a String>) -> Result<&'a str, ApiError> {
    value.map(String::as_str).ok_or_else(|| ApiError::validation(member, "Member must not be null"))
}

/// The answer of an operation as JSON.
///
/// # Errors
///
/// `InternalServerError`, if it cannot be written as JSON.
pub fn answer(answer: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(answer).map_err(|error| ApiError::internal(error.to_string()))
}
