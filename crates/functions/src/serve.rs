//! Handles invocations from Lambda, one at a time, until the process ends.

use std::future::Future;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::invocation_error::InvocationError;
use crate::panics::caught;

/// Handles every invocation with `handler`.
///
/// # Errors
///
/// If Lambda's Runtime API is unreachable or its response is invalid.
pub async fn serve<T, Handling>(
    handler: impl Fn(LambdaEvent<Box<RawValue>>) -> Handling,
) -> Result<(), Error>
where
    T: Serialize,
    Handling: Future<Output = Result<T, InvocationError>>,
{
    let handler = &handler;
    // Boxed because the compiler limits how deeply futures can be nested.
    let invocation = |event| caught(async move { Box::pin(handler(event)).await });
    lambda_runtime::run(service_fn(invocation)).await
}
