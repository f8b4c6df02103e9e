//! Has the command ended, and was it a success? Pure: the same reads give the same verdict.

use std::collections::HashSet;

use crate::command::{Command, Invocation, StatusDetails, has_ended};

/// What the reads of a command say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The command runs, or is not known to have ended. The task is not answered.
    Running,
    /// The command says that it has ended, but the end of some targeted node has not been seen:
    /// its invocation is missing or still runs. Reads lag, so reading again may tell; if it never
    /// does, the command was no success, and this is the reason to give.
    Unseen(StatusDetails),
    /// Every targeted node ran the document and ended with Success; at least one was targeted.
    Success,
    /// The command has ended and was no success, for this reason.
    Failure(StatusDetails),
}

/// Decides from a command and all of its invocations.
///
/// Three reads of Run Command look like a success and are none: no node was targeted
/// (`NoInstancesInTag`), the command says Success although some nodes were never reached (told as
/// `Incomplete`), and a node says Success although it skipped every step (`Incomplete`, or
/// `InvalidPlatform` when all nodes did). See "Understanding command statuses" in the Systems
/// Manager user guide.
pub fn verdict(command: &Command, invocations: &[Invocation]) -> Verdict {
    if !has_ended(&command.status, &command.status_details) {
        return Verdict::Running;
    }
    let is_seen = is_seen_everywhere(command, invocations);
    let reason = match &command.status_details {
        StatusDetails::Success if command.target_count == 0 && invocations.is_empty() => {
            StatusDetails::NoInstancesInTag
        }
        StatusDetails::Success if is_seen && invocations.iter().all(Invocation::has_succeeded) => {
            return Verdict::Success;
        }
        StatusDetails::Success if is_seen && invocations.iter().all(Invocation::was_skipped) => {
            StatusDetails::InvalidPlatform
        }
        StatusDetails::Success => StatusDetails::Incomplete,
        other => other.clone(),
    };
    if is_seen { Verdict::Failure(reason) } else { Verdict::Unseen(reason) }
}

/// Counts nodes, not invocations: a page that moved between two reads can bring a node twice.
fn is_seen_everywhere(command: &Command, invocations: &[Invocation]) -> bool {
    let nodes: HashSet<_> = invocations.iter().map(|invocation| &invocation.instance_id).collect();
    usize::try_from(command.target_count).is_ok_and(|targets| targets == nodes.len())
        && invocations
            .iter()
            .all(|invocation| has_ended(&invocation.status, &invocation.status_details))
}
