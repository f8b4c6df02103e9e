//! The two ports to the outside, [`RunCommand`] and [`Tasks`], and how their calls fail.

use std::fmt;
use std::future::Future;

use jiff::Timestamp;

use crate::command::{Command, Invocation};
use crate::id::{CommandId, InstanceId};
use crate::output::{Output, Trace};
use crate::token::TaskToken;

/// Maximum number of targeted nodes of a command whose nodes are read. A listing returns 50 nodes
/// in about half a second, so reading them takes 200 s.
pub const NODES_MAX: u32 = 20_000;
/// Maximum number of targeted nodes of a command whose listed outputs are all kept in memory.
pub const LISTED_OUTPUTS_NODES_MAX: u32 = 1_000;

/// Run Command, the part of the SSM API that keeps commands and their invocations.
///
/// Every method fails with a [`CallError`] if the API rejects the call or does not respond.
pub trait RunCommand: Sync {
    /// Reads a command with its parameters (SSM API, `ListCommands` by ID). `None` if Run Command
    /// does not know the command, either not yet or no longer.
    fn command(
        &self,
        id: &CommandId,
    ) -> impl Future<Output = Result<Option<Command>, CallError>> + Send;

    /// Reads all invocations of a command (SSM API, `ListCommandInvocations` with `Details`). Empty
    /// if Run Command does not know the command.
    ///
    /// # Errors
    ///
    /// Also if the list has no end, or more than twice as many invocations as `outputs` is for.
    fn invocations(
        &self,
        id: &CommandId,
        outputs: Outputs,
    ) -> impl Future<Output = Result<Vec<Invocation>, CallError>> + Send;

    /// Reads one node's invocation, with up to 2,500 characters of output per step (SSM API,
    /// `ListCommandInvocations` with `InstanceId` and `Details`). `None` if there is none.
    fn invocation(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
    ) -> impl Future<Output = Result<Option<Invocation>, CallError>> + Send;

    /// Reads the output of one step on one node (SSM API, `GetCommandInvocation`): of standard output
    /// and of standard error, what the agent keeps of up to 24,000 bytes. The service can truncate
    /// standard error to 8,000.
    fn output(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
        plugin_name: &str,
    ) -> impl Future<Output = Result<Output, CallError>> + Send;

    /// Lists one page of commands, newest first (SSM API, `ListCommands` with filters; up to 50 per
    /// page). `page` is `None` for the first page. A command that cannot be read is an error of its
    /// own and does not fail the page.
    fn commands(
        &self,
        listing: &CommandListing,
        page: Option<&PageToken>,
    ) -> impl Future<Output = Result<CommandPage, CallError>> + Send;

    /// Requests cancellation of a command on all of its nodes (SSM API, `CancelCommand`). Best
    /// effort. Has no effect on a command that has ended.
    fn cancel(&self, id: &CommandId) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// What to keep of the outputs in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// All that is listed: up to 2,500 characters per step. For up to
    /// [`LISTED_OUTPUTS_NODES_MAX`] nodes.
    Listed,
    /// The [beginnings](Output::into_beginning), which are enough to decide and fit into memory.
    /// For up to [`NODES_MAX`] nodes.
    Beginnings,
}

impl Outputs {
    /// How many nodes a listing with these outputs is for.
    pub fn nodes_max(self) -> u32 {
        match self {
            Self::Listed => LISTED_OUTPUTS_NODES_MAX,
            Self::Beginnings => NODES_MAX,
        }
    }

    /// What is kept of one output.
    pub fn keep(self, listed: Output) -> Output {
        match self {
            Self::Listed => listed,
            Self::Beginnings => listed.into_beginning(),
        }
    }

    /// What is kept of one trace.
    pub fn keep_trace(self, listed: Trace) -> Trace {
        match self {
            Self::Listed => listed,
            Self::Beginnings => listed.into_beginning(),
        }
    }
}

/// Which commands to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandListing {
    /// Only commands of the document that `SendCommand` named so; `None` for all documents.
    pub document_name: Option<String>,
    /// Executing or completed commands.
    pub stage: Stage,
    /// Only commands requested at this time or later.
    pub invoked_after: Option<Timestamp>,
}

/// Whether a command has ended (SSM API, `CommandFilter` with key `ExecutionStage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Pending, in progress, or being cancelled.
    Executing,
    /// Ended, with any status.
    Complete,
}

/// Where the next page of a list starts (SSM API, `NextToken`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken(pub String);

/// One page of a list of commands.
#[derive(Debug)]
pub struct CommandPage {
    /// The commands, each with its own result.
    pub commands: Vec<Result<Command, CallError>>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<PageToken>,
}

/// The waiting tasks of Step Functions.
///
/// A closed task and a rejected token are values, not errors, because calling again does not help.
/// Every method fails with a [`CallError`] if the API rejects the call for another reason or does
/// not respond; an answer may then have taken effect.
pub trait Tasks: Sync {
    /// Answers a task with its output, JSON of up to 262,144 bytes (Step Functions API,
    /// `SendTaskSuccess`).
    fn succeed(
        &self,
        token: &TaskToken,
        output: &str,
    ) -> impl Future<Output = Result<AnswerReceipt, CallError>> + Send;

    /// Answers a task with an error name of up to 256 characters and a cause of up to 32,768 (Step
    /// Functions API, `SendTaskFailure`).
    fn fail(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> impl Future<Output = Result<AnswerReceipt, CallError>> + Send;

    /// Sends a heartbeat, and learns whether the task still waits (Step Functions API,
    /// `SendTaskHeartbeat`).
    fn heartbeat(&self, token: &TaskToken)
    -> impl Future<Output = Result<Pulse, CallError>> + Send;
}

/// Whether a task still waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// The task waits.
    Alive,
    /// The task is closed: answered, timed out, or stopped (`TaskTimedOut`, `TaskDoesNotExist`).
    Closed,
    /// Step Functions rejects the token, so this is unknown (`InvalidToken`).
    Rejected,
}

/// How Step Functions responded to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerReceipt {
    /// The task took the answer.
    Accepted,
    /// The task was closed before: answered, timed out, or stopped (`TaskTimedOut`,
    /// `TaskDoesNotExist`).
    AlreadyClosed,
    /// Step Functions rejects the token (`InvalidToken`).
    TokenRejected,
    /// Step Functions rejects the output (`InvalidOutput`).
    OutputRejected,
}

/// A call to AWS that failed, after the client's retries.
///
/// Contains no text from the response beyond an error code and a request ID. An error message can
/// quote the request, and a request can contain a task token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The operation, such as `ListCommands`.
    pub operation: &'static str,
    /// What went wrong.
    pub reason: CallErrorReason,
    /// The request ID of the response, for AWS Support.
    pub request_id: Option<String>,
    /// Whether the same call can succeed later.
    pub kind: CallErrorKind,
}

/// What went wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallErrorReason {
    /// The API responded with this error code, such as `ThrottlingException`.
    Api(String),
    /// No response arrived in time.
    TimedOut,
    /// No connection could be established, or it was lost.
    NotConnected,
    /// The request could not be built from its parameters.
    NotBuilt,
    /// The request could not be sent for another reason.
    NotSent,
    /// A response that the API does not define, with this HTTP status if there was one.
    UnexpectedResponse(Option<u16>),
    /// A response of the API that lacks required content; this phrase says what is wrong.
    InvalidResponse(String),
}

/// Whether a failed call is worth repeating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallErrorKind {
    /// Throttled, timed out, not connected, or a service error: it can succeed later.
    Transient,
    /// Rejected or not understood: the same call fails again.
    Permanent,
}

/// The error code of a request that is wrong whoever sends it and whenever (SSM API, "Common Errors").
const WRONG_REQUEST_CODE: &str = "ValidationException";

impl CallError {
    /// Whether the same call is known to fail whatever happens meanwhile. A permission can be
    /// corrected, and what an unknown code means is not known.
    pub fn is_final(&self) -> bool {
        match &self.reason {
            CallErrorReason::Api(code) => code == WRONG_REQUEST_CODE,
            CallErrorReason::InvalidResponse(_) | CallErrorReason::NotBuilt => true,
            CallErrorReason::TimedOut
            | CallErrorReason::NotConnected
            | CallErrorReason::NotSent
            | CallErrorReason::UnexpectedResponse(_) => false,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.operation, self.reason)?;
        if let Some(request_id) = &self.request_id {
            write!(f, " (request ID {request_id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for CallError {}

impl fmt::Display for CallErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(code) => f.write_str(code),
            Self::TimedOut => f.write_str("timed out"),
            Self::NotConnected => f.write_str("could not connect"),
            Self::NotBuilt => f.write_str("the request could not be built"),
            Self::NotSent => f.write_str("the request could not be sent"),
            Self::UnexpectedResponse(Some(status)) => {
                write!(f, "unexpected response with HTTP status {status}")
            }
            Self::UnexpectedResponse(None) => f.write_str("unexpected response"),
            Self::InvalidResponse(problem) => write!(f, "invalid response: {problem}"),
        }
    }
}
