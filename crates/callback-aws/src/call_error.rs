//! Sorts what a call failed with, by error *code*: operations do not model every code that they
//! answer (throttling, above all).
//!
//! The message of an answer is dropped. It can quote the request, and so a task token. Its code and
//! its request id are kept where they look like one.

use aws_sdk_ssm::config::http::HttpResponse;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::operation::RequestId;
use callback::ports::{CallError, CallErrorKind};

/// Codes that a later call may not meet again. Codes that speak of throttling are recognized by
/// that word.
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
/// The longest error code that is kept, in characters. The longest of both services has 46.
const CODE_CHARS_MAX: usize = 64;
/// The longest request id that is kept, in characters. A real one is a UUID.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// The failure of `operation` as the ports tell it.
pub(crate) fn call_error<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    CallError {
        operation,
        code: code(error),
        request_id: error.request_id().filter(|id| is_request_id(id)).map(str::to_owned),
        kind: if is_transient(error) { CallErrorKind::Transient } else { CallErrorKind::Permanent },
    }
}

/// An answer that came and does not hold what it must.
pub(crate) fn odd_answer(operation: &'static str, what: &str) -> CallError {
    CallError { operation, code: what.to_owned(), request_id: None, kind: CallErrorKind::Permanent }
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    if let Some(code) = error.code().filter(|code| is_code(code)) {
        return code.to_owned();
    }
    match error {
        SdkError::ConstructionFailure(_) => "the request could not be built".to_owned(),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            "no answer in time".to_owned()
        }
        SdkError::DispatchFailure(failure) if failure.is_io() => "not reached".to_owned(),
        SdkError::DispatchFailure(_) => "the request could not be sent".to_owned(),
        _ => match status(error) {
            Some(status) => format!("an answer that is none of the API's, HTTP status {status}"),
            None => "an answer that is none of the API's".to_owned(),
        },
    }
}

/// Whether a text looks like an error code, and not like something that a broken answer echoes: no
/// code of both services holds a digit, and hardly a token does without.
fn is_code(text: &str) -> bool {
    (1..=CODE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether a text looks like a request id.
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
        // Not sent, not answered, or answered with something unreadable. An answer without a code
        // is as unreadable.
        _ => true,
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
