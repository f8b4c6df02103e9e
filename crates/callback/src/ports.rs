//! The two ports to the outside: [`RunCommand`] and [`Tasks`], and how they fail.

use std::fmt;
use std::future::Future;

use jiff::Timestamp;

use crate::command::{Command, Invocation, Output};
use crate::id::{CommandId, InstanceId};
use crate::token::TaskToken;

/// Run Command, the part of SSM that keeps commands and their invocations.
pub trait RunCommand: Sync {
    /// The command with its parameters (SSM API, `ListCommands` by id). `None`: Run Command does
    /// not know it, not yet, or no more.
    fn command(
        &self,
        id: &CommandId,
    ) -> impl Future<Output = Result<Option<Command>, CallError>> + Send;

    /// All invocations of the command with the first 2,500 characters of their outputs (SSM API,
    /// `ListCommandInvocations` with details).
    ///
    /// # Errors
    ///
    /// Besides what the API answers: more than
    /// [`INVOCATIONS_MAX`] invocations.
    fn invocations(
        &self,
        id: &CommandId,
    ) -> impl Future<Output = Result<Vec<Invocation>, CallError>> + Send;

    /// What one step printed on one node, up to 24,000 characters of standard output and 8,000 of
    /// standard error (SSM API, `GetCommandInvocation`).
    fn output(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
        plugin_name: &str,
    ) -> impl Future<Output = Result<Output, CallError>> + Send;

    /// One page of a list of commands, newest first (SSM API, `ListCommands` with filters).
    /// A command that cannot be read is an error of its own, and not one of the page.
    fn commands(
        &self,
        listing: &CommandListing,
        page: Option<&PageToken>,
    ) -> impl Future<Output = Result<CommandPage, CallError>> + Send;

    /// Asks Run Command to cancel a command on all of its nodes (SSM API, `CancelCommand`). Best
    /// effort: a script may have ended before. For a command that has ended it does nothing.
    fn cancel(&self, id: &CommandId) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// Which commands to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandListing {
    /// Only commands of the document that was named so in `SendCommand`; `None`: of all documents.
    pub document_name: Option<String>,
    /// Executing or completed.
    pub stage: Stage,
    /// Only commands that were requested at this time or later.
    pub invoked_after: Option<Timestamp>,
}

/// Whether a command has ended (SSM API, command filter `ExecutionStage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Pending, in progress, or cancelling.
    Executing,
    /// Ended, in whatever way.
    Complete,
}

/// Where the next page of a list begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(pub String);

/// Some of the commands of a list.
#[derive(Debug)]
pub struct CommandPage {
    /// The commands, each read for itself.
    pub commands: Vec<Result<Command, CallError>>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<PageToken>,
}

/// The most invocations of one command that are read. A command with more is not answered.
pub const INVOCATIONS_MAX: usize = 10_000;

/// The waiting tasks of Step Functions.
pub trait Tasks: Sync {
    /// Answers a task with its output (Step Functions API, `SendTaskSuccess`).
    fn succeed(
        &self,
        token: &TaskToken,
        output: &str,
    ) -> impl Future<Output = Result<Delivery, CallError>> + Send;

    /// Answers a task with an error name and a cause (Step Functions API, `SendTaskFailure`).
    fn fail(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> impl Future<Output = Result<Delivery, CallError>> + Send;

    /// Tells a task that its work goes on, and learns whether it waits (Step Functions API,
    /// `SendTaskHeartbeat`).
    fn heartbeat(&self, token: &TaskToken)
    -> impl Future<Output = Result<Pulse, CallError>> + Send;
}

/// Whether a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// It does.
    Alive,
    /// Nobody waits any more (`TaskTimedOut`, `TaskDoesNotExist`).
    Closed,
    /// Step Functions does not take this token (`InvalidToken`), and so does not say.
    Rejected,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The task has it.
    Accepted,
    /// Nobody waits any more: answered before, timed out, or stopped (`TaskTimedOut`,
    /// `TaskDoesNotExist`).
    AlreadyClosed,
    /// Step Functions does not take this token (`InvalidToken`).
    TokenRejected,
    /// Step Functions does not take this output (`InvalidOutput`).
    OutputRejected,
}

/// A call to AWS that failed, after the retries of the client.
///
/// It holds the error's code and no text of the answer: a message can quote the request, and a
/// request can hold a task token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The operation, such as `ListCommands`.
    pub operation: &'static str,
    /// The error code of the answer, such as `ThrottlingException`, or what happened instead of an
    /// answer.
    pub code: String,
    /// The request id of the answer, for AWS Support.
    pub request_id: Option<String>,
    /// Whether the same call may succeed later.
    pub kind: CallErrorKind,
}

/// Whether a failed call is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallErrorKind {
    /// Throttled, timed out, not reached, or an error of the service: later it may succeed.
    Transient,
    /// Refused or not understood: the same call fails again.
    Permanent,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.operation, self.code)?;
        if let Some(request_id) = &self.request_id {
            write!(f, " (request id {request_id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for CallError {}
