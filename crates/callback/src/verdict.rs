//! Decides whether a command has ended and succeeded. Pure: the same reads give the same verdict.

use std::collections::HashSet;

use crate::command::{Command, Invocation};
use crate::status::{StatusDetails, has_ended};

/// What the reads of a command say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The command is running, or is not known to have ended. Its task is not answered.
    Running,
    /// The command has ended, but the end of some targeted node has not been seen: its invocation
    /// is missing or still running. Another read may show it, because reads lag. If none does, the
    /// command failed for this reason.
    Unseen(StatusDetails),
    /// Every targeted node ran the document and succeeded, and there was at least one.
    Success,
    /// The command has ended and failed for this reason.
    Failure(StatusDetails),
}

/// Decides from a command and all of its invocations.
///
/// Run Command reports Success in three cases that are failures here:
///
/// - The targets matched no node: `NoInstancesInTag`.
/// - Some nodes were never reached: `Incomplete`.
/// - A node skipped every step: `Incomplete`, or `InvalidPlatform` if all nodes did.
///
/// Source: Systems Manager user guide, "Understanding command statuses".
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

/// Counts nodes, not invocations: if pages shift between two reads, a node can be listed twice.
fn is_seen_everywhere(command: &Command, invocations: &[Invocation]) -> bool {
    let nodes: HashSet<_> = invocations.iter().map(|invocation| &invocation.instance_id).collect();
    usize::try_from(command.target_count).is_ok_and(|targets| targets == nodes.len())
        && invocations
            .iter()
            .all(|invocation| has_ended(&invocation.status, &invocation.status_details))
}
