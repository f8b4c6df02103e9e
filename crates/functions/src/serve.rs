//! Takes invocations from Lambda, one after the other, as long as the process lives.

use std::future::Future;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::invocation_error::InvocationError;
use crate::panics::caught;

/// Answers each invocation with what `handler` makes of it.
///
/// # Errors
///
/// When Lambda's Runtime API is not reached or answers what nobody can read.
pub async fn serve<T, Handling>(
    handler: impl Fn(LambdaEvent<Box<RawValue>>) -> Handling,
) -> Result<(), Error>
where
    T: Serialize,
    Handling: Future<Output = Result<T, InvocationError>>,
{
    let handler = &handler;
    // Boxed, because the compiler has a limit for how deep futures are nested.
    let invocation = |event| caught(async move { Box::pin(handler(event)).await });
    lambda_runtime::run(service_fn(invocation)).await
}
