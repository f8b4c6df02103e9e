//! Classifies failed calls by error *code*, because operations do not model every code that they
//! return, such as those for throttling.
//!
//! The error message is dropped: it can quote the request, and with it a task token. The error code
//! and the request ID are kept only if they are well-formed.

use aws_sdk_ssm::config::http::HttpResponse;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::operation::RequestId;
use callback::ports::{CallError, CallErrorKind, CallErrorReason};

/// Error codes that are worth another try, besides those that contain `throttl`.
const TRANSIENT_CODES: [&str; 9] = [
    "ExpiredTokenException",
    "InternalFailure",
    "InternalServerError",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "TooManyRequestsException",
];
/// Maximum length of an error code, in characters. The longest of both services has 46.
const CODE_CHARS_MAX: usize = 64;
/// Maximum length of a request ID, in characters. AWS uses UUIDs, which have 36.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// The error of `operation`, as the ports report it.
pub fn call_error<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    CallError {
        operation,
        reason: reason(error),
        request_id: error.request_id().filter(|id| is_request_id(id)).map(str::to_owned),
        kind: if is_transient(error) { CallErrorKind::Transient } else { CallErrorKind::Permanent },
    }
}

/// The error of a response that lacks required content. `problem` is a phrase for the error text.
pub(crate) fn invalid_response(operation: &'static str, problem: &str) -> CallError {
    permanent(operation, CallErrorReason::InvalidResponse(problem.to_owned()))
}

/// The error of a request that could not be built from its parameters.
pub(crate) fn not_built(operation: &'static str) -> CallError {
    permanent(operation, CallErrorReason::NotBuilt)
}

fn permanent(operation: &'static str, reason: CallErrorReason) -> CallError {
    CallError { operation, reason, request_id: None, kind: CallErrorKind::Permanent }
}

fn reason<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> CallErrorReason {
    if let Some(code) = error.code().filter(|code| is_code(code)) {
        return CallErrorReason::Api(code.to_owned());
    }
    match error {
        SdkError::ConstructionFailure(_) => CallErrorReason::NotBuilt,
        SdkError::TimeoutError(_) => CallErrorReason::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => CallErrorReason::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_io() => CallErrorReason::NotConnected,
        SdkError::DispatchFailure(_) => CallErrorReason::NotSent,
        _ => CallErrorReason::UnexpectedResponse(status(error)),
    }
}

/// Whether a text looks like an error code rather than part of an echoed request. No code of either
/// service contains a digit, and almost every token does.
fn is_code(text: &str) -> bool {
    (1..=CODE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether a text looks like a request ID.
fn is_request_id(text: &str) -> bool {
    (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(_) => {
            error.code().is_none_or(|code| {
                TRANSIENT_CODES.contains(&code) || code.to_ascii_lowercase().contains("throttl")
            }) || status(error).is_some_and(|status| status == 429 || status >= 500)
        }
        // No request, no response, or an unreadable one.
        _ => true,
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
