//! Who is told what happens to commands, as it happens.

use crate::documents::Given;
use crate::status::StatusDetails;

/// Is told every change. It is called while the store is locked, so it must not call Run Command.
pub trait Observer: Send + Sync {
    /// Something has changed.
    fn observe(&self, change: Change<'_>);
}

/// Nobody is told.
impl Observer for () {
    fn observe(&self, _: Change<'_>) {}
}

/// A change of a command or of one of its invocations.
#[derive(Debug)]
pub enum Change<'a> {
    /// A command was taken. It is `Pending`.
    Sent {
        /// Its id.
        command_id: &'a str,
        /// Its document's name.
        document: &'a str,
        /// The request's comment.
        comment: &'a str,
        /// The request's parameters, which may hold a task token.
        parameters: &'a Given,
    },
    /// The status of a command, or the number of its nodes.
    Command {
        /// The command's id.
        command_id: &'a str,
        /// What its `StatusDetails` is now.
        details: StatusDetails,
        /// On how many nodes it is.
        targets: usize,
    },
    /// The status of a command on one node.
    Invocation {
        /// The command's id.
        command_id: &'a str,
        /// The node.
        instance_id: &'a str,
        /// What its `StatusDetails` is now.
        details: StatusDetails,
        /// Its result, once it has ended and if a step had begun.
        result: Option<InvocationResult>,
        /// Why the agent refused the document; empty if it did not.
        trace_output: &'a str,
    },
}

/// What a command did on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationResult {
    /// The response code of the first step that failed, or else of the last one that ran.
    pub response_code: i32,
    /// The standard outputs of all steps, one after the other.
    pub stdout: String,
    /// Their standard errors.
    pub stderr: String,
}
