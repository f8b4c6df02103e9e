//! Errors as the API answers them.

/// An error as the API answers it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The HTTP status: 400 when the caller is to blame, 500 when the sandbox is.
    pub status: u16,
    /// The error's name in the service model, such as `InvalidInstanceId`.
    pub code: String,
    /// What came and what was wanted. Never holds the value of a command's parameter, because one
    /// of them may be a task token.
    pub message: String,
}

impl ApiError {
    /// An error that the caller can mend.
    pub(crate) fn refused(code: &str, message: impl Into<String>) -> ApiError {
        ApiError { status: 400, code: code.to_owned(), message: message.into() }
    }

    /// A member of the request breaks a constraint of the service model.
    pub(crate) fn validation(member: &str, constraint: &str) -> ApiError {
        ApiError::refused(
            "ValidationException",
            format!(
                "1 validation error detected: Value at '{member}' failed to satisfy constraint: \
                 {constraint}"
            ),
        )
    }

    /// The sandbox itself could not do its work.
    pub(crate) fn internal(message: impl Into<String>) -> ApiError {
        ApiError { status: 500, code: "InternalServerError".to_owned(), message: message.into() }
    }
}
