//! Errors with their causes, for logs.

use std::error::Error;
use std::fmt::Write as _;

/// The error and everything that caused it, in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
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
    use crate::id::CommandId;
    use crate::ports::{CallError, CallErrorKind};
    use crate::settle::SettleError;

    #[test]
    fn a_cause_follows_what_it_caused() {
        let error = SettleError::ReadCommand {
            command_id: CommandId::parse("0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00").unwrap(),
            source: CallError {
                operation: "ListCommands",
                code: "ThrottlingException".into(),
                request_id: None,
                kind: CallErrorKind::Transient,
            },
        };
        assert_eq!(
            chain(&error),
            "reading command 0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00: ListCommands failed: ThrottlingException"
        );
    }
}
