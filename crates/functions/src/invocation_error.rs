//! The error of a failed invocation, as Lambda reports it: a stable error type and one line.

use callback::ports::CallError;
use callback::{SettleError, error_chain};
use lambda_runtime::Diagnostic;

use crate::event::InvalidEvent;

/// Why an invocation failed. Lambda retries an event of `relay`, and then sends it to the on-failure
/// queue. The next sweep repeats what one of `sweep` has missed.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// The function does not handle this event.
    #[error("parsing the event")]
    InvalidEvent(#[from] InvalidEvent),
    /// The command could not be settled.
    #[error("settling the command")]
    Settle(#[from] SettleError),
    /// No list of executing commands could be read, so a sweep could do nothing for them.
    #[error("listing executing commands")]
    ListExecuting(#[source] CallError),
    /// The function panicked. Its message is withheld; see [`crate::panics`].
    #[error("the function panicked; its log shows the location")]
    Panicked,
}

impl InvocationError {
    /// One word for the operation that failed: Lambda's `errorType`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidEvent(_) => "InvalidEvent",
            Self::Settle(error) => error.name(),
            Self::ListExecuting(_) => "ListCommandsFailed",
            Self::Panicked => "Panicked",
        }
    }
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        Self { error_type: error.name().to_owned(), error_message: error_chain(&error) }
    }
}
