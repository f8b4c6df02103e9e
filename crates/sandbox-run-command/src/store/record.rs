//! The state of a command, of its invocations, and of their steps.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::timeline::Timeline;
use crate::api::ApiError;
use crate::limit::Limit;
use crate::request::SendCommand;
use crate::status::{Counts, StatusDetails};

/// A command that was sent.
#[derive(Debug)]
pub(crate) struct CommandRecord {
    pub(crate) id: String,
    /// What was sent, as it was sent.
    pub(crate) request: SendCommand,
    /// The document's name without an ARN around it.
    pub(crate) document_name: String,
    pub(crate) requested: Timestamp,
    /// After this time, it no longer starts on any node.
    pub(crate) expires: Timestamp,
    pub(crate) state: Timeline<CommandState>,
    pub(crate) invocations: Vec<InvocationRecord>,
    /// The names of the document's steps.
    pub(crate) step_names: Vec<String>,
    /// Whether the command as a whole was cancelled.
    pub(crate) cancelled: bool,
}

/// What changes about a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommandState {
    pub(crate) details: StatusDetails,
    pub(crate) counts: Counts,
}

/// A command on one node.
#[derive(Debug)]
pub(crate) struct InvocationRecord {
    pub(crate) instance_id: String,
    pub(crate) instance_name: String,
    pub(crate) state: Timeline<InvocationState>,
    /// Turns true to stop the script.
    pub(crate) cancel: watch::Sender<bool>,
}

/// What changes about an invocation.
#[derive(Debug, Clone)]
pub(crate) struct InvocationState {
    pub(crate) details: StatusDetails,
    /// The steps that have begun, in order.
    pub(crate) steps: Arc<[StepReport]>,
    /// Why the agent refused the whole document.
    pub(crate) trace_output: Arc<str>,
}

/// What is known of one step of an invocation.
#[derive(Debug, Clone)]
pub(crate) struct StepReport {
    pub(crate) name: String,
    pub(crate) details: StatusDetails,
    /// −1 until it has ended.
    pub(crate) response_code: i32,
    pub(crate) started: Timestamp,
    pub(crate) finished: Option<Timestamp>,
    /// Both outputs in one, or the reason why there is none.
    pub(crate) output: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandRecord {
    /// The invocation on this node.
    pub(crate) fn invocation(&self, instance_id: &str) -> Option<&InvocationRecord> {
        self.invocations.iter().find(|invocation| invocation.instance_id == instance_id)
    }

    /// The step that a request asks for by its name, or without one if there is but one.
    ///
    /// # Errors
    ///
    /// `InvalidPluginName`, with the names that there are.
    pub(crate) fn plugin(&self, wanted: Option<&str>) -> Result<&str, ApiError> {
        let found = match (wanted, &self.step_names[..]) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(wanted), names) => names.iter().find(|name| *name == wanted),
        };
        found.map(String::as_str).ok_or_else(|| {
            let names = self.step_names.join(", ");
            let message = format!("The plugin name isn't valid; the document has {names}.");
            ApiError::refused("InvalidPluginName", message)
        })
    }

    /// How many nodes may fail before no further node is tried.
    pub(crate) fn errors_max(&self) -> usize {
        // A request is checked before it is stored.
        self.request.errors().unwrap_or(Limit::Count(0)).of(self.state.current().counts.targets)
    }
}

impl InvocationState {
    pub(crate) fn pending() -> Self {
        Self::of(StatusDetails::Pending, &[])
    }

    pub(crate) fn of(details: StatusDetails, steps: &[StepReport]) -> Self {
        Self { details, steps: steps.into(), trace_output: Arc::default() }
    }

    /// The agent refused the document: there are no steps.
    pub(crate) fn refused(reason: &str) -> Self {
        Self { trace_output: reason.into(), ..Self::of(StatusDetails::Failed, &[]) }
    }
}
