//! Logs the location of a panic, but no message that was formatted at run time.
//!
//! A formatted message can quote any value, such as a sliced string or the debug output of an
//! error, and so a task token. By default, Rust prints the message to standard error, and the
//! Lambda runtime returns it as the error of the invocation.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, set_hook};

use futures_util::FutureExt;
use tracing::error;

use crate::invocation_error::InvocationError;

/// Installs a panic hook that logs the location of every panic in the process. The message is
/// logged only if it is a string literal.
pub fn log_places() {
    set_hook(Box::new(log));
}

/// Runs an invocation, and turns a panic into an error without its message.
///
/// A panic leaves no inconsistent state behind: at most a memory of commands seen, and a sweep
/// works with any.
///
/// # Errors
///
/// The error of the invocation, or [`InvocationError::Panicked`].
pub async fn caught<T>(
    invocation: impl Future<Output = Result<T, InvocationError>>,
) -> Result<T, InvocationError> {
    let result = AssertUnwindSafe(invocation).catch_unwind().await;
    result.unwrap_or(Err(InvocationError::Panicked))
}

fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    error!(runbook = "Panicked", place, said = literal(panic.payload()), "panicked");
}

/// The message, if it is a string literal and so was not formatted at run time.
fn literal(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}
