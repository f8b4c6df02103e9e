//! What Lambda is told when an invocation fails: a stable word for the error and one line.

use callback::SettleError;
use callback::chain::chain;
use lambda_runtime::Diagnostic;

use crate::event::InvalidEvent;

/// Why an invocation failed. Lambda tries an event again, and then keeps it in the queue for
/// failures.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// The event is none that the function takes.
    #[error("reading the event")]
    InvalidEvent(#[from] InvalidEvent),
    /// The command could not be settled.
    #[error("settling the command")]
    Settle(#[from] SettleError),
    /// The function panicked. What it said is withheld, see [`crate::panics`].
    #[error("the function panicked; its log tells where")]
    Panicked,
}

impl InvocationError {
    /// One word that names the operation that failed: Lambda's `errorType`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidEvent(_) => "InvalidEvent",
            Self::Settle(error) => error.name(),
            Self::Panicked => "Panicked",
        }
    }
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        Self { error_type: error.name().to_owned(), error_message: chain(&error) }
    }
}
