//! What is told of a panic: where it happened, and nothing that was put together at run time.
//!
//! A panic's message can quote whatever was in hand: a text that was sliced at a wrong place, the
//! debug output of an error. So it can hold a task token. Left alone, Rust writes it to standard
//! error, and the Lambda runtime makes it the error that Lambda returns and keeps.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, set_hook};

use futures_util::FutureExt;
use tracing::error;

use crate::invocation_error::InvocationError;

/// From now on, a panic anywhere in the process is logged with its place. Its message is told only
/// if it is a text of the program itself.
pub fn log_places() {
    set_hook(Box::new(log));
}

/// Runs an invocation; a panic becomes an error that tells nothing of its message.
///
/// Nothing is left half done that the next invocation would build on: what an invocation leaves
/// behind is at most a memory of commands seen, and a sweep works with any.
///
/// # Errors
///
/// What the invocation fails with, or [`InvocationError::Panicked`].
pub async fn caught<T>(
    invocation: impl Future<Output = Result<T, InvocationError>>,
) -> Result<T, InvocationError> {
    let result = AssertUnwindSafe(invocation).catch_unwind().await;
    result.unwrap_or(Err(InvocationError::Panicked))
}

fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    error!(place, said = literal(panic.payload()), "panicked");
}

/// A message that is a literal of the program. Any other was put together at run time.
fn literal(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}
