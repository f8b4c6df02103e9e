//! Formats an error with its causes, for logs.

use std::error::Error;
use std::fmt::Write as _;

/// The error and its chain of sources in one line, separated by colons.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(line, ": {cause}").expect("writing to a string does not fail");
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{CallError, CallErrorKind, CallErrorReason};
    use crate::settle::SettleError;
    use crate::testing::sample::command_id;

    #[test]
    fn a_cause_follows_what_it_caused() {
        let error = SettleError::ReadCommand {
            command_id: command_id(1),
            source: CallError {
                operation: "ListCommands",
                reason: CallErrorReason::Api("ThrottlingException".into()),
                request_id: None,
                kind: CallErrorKind::Transient,
            },
        };
        assert_eq!(
            error_chain(&error),
            "reading command 00000001-1b2c-4d3e-8f4a-5b6c7d8e9f00: ListCommands failed: ThrottlingException"
        );
    }
}
