//! The statuses of commands and invocations, and how those of a command follow from those of its
//! invocations.

/// What `StatusDetails` says, of a command or of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum StatusDetails {
    Pending,
    InProgress,
    Cancelling,
    Success,
    Failed,
    ExecutionTimedOut,
    DeliveryTimedOut,
    Cancelled,
    Terminated,
    Undeliverable,
    InvalidPlatform,
    AccessDenied,
    Incomplete,
    NoInstancesInTag,
}

impl StatusDetails {
    /// The value of `StatusDetails` in an answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Cancelling => "Cancelling",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::ExecutionTimedOut => "ExecutionTimedOut",
            Self::DeliveryTimedOut => "DeliveryTimedOut",
            Self::Cancelled => "Cancelled",
            Self::Terminated => "Terminated",
            Self::Undeliverable => "Undeliverable",
            Self::InvalidPlatform => "InvalidPlatform",
            Self::AccessDenied => "AccessDenied",
            Self::Incomplete => "Incomplete",
            Self::NoInstancesInTag => "NoInstancesInTag",
        }
    }

    /// The value of `Status` that goes with it. `NoInstancesInTag` is a `Success`: a trap of the
    /// API that the sandbox keeps.
    pub fn status(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Cancelling => "Cancelling",
            Self::Success | Self::NoInstancesInTag => "Success",
            Self::ExecutionTimedOut | Self::DeliveryTimedOut => "TimedOut",
            Self::Cancelled | Self::Terminated => "Cancelled",
            Self::Failed
            | Self::Undeliverable
            | Self::InvalidPlatform
            | Self::AccessDenied
            | Self::Incomplete => "Failed",
        }
    }

    /// Whether it never changes again.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress | Self::Cancelling)
    }

    /// Whether an invocation that ended so counts against `MaxErrors`.
    pub fn is_error(self) -> bool {
        matches!(self, Self::Failed | Self::ExecutionTimedOut)
    }

    /// Whether the command never ran on that node, which its command's status ignores as long as
    /// there is another node.
    fn is_set_aside(self) -> bool {
        matches!(self, Self::Undeliverable | Self::InvalidPlatform | Self::AccessDenied)
    }
}

/// How a command ends, given how each of its invocations ended, how many errors it may have, and
/// whether the whole command was cancelled.
///
/// Follows "Understanding command statuses" of the AWS Systems Manager User Guide. Not documented,
/// and chosen here: when every node that counts failed, the command is `Failed` even within
/// `MaxErrors`.
pub fn aggregate(
    invocations: &[StatusDetails],
    errors_max: usize,
    cancelled: bool,
) -> StatusDetails {
    if invocations.is_empty() {
        let nobody = StatusDetails::NoInstancesInTag;
        return if cancelled { StatusDetails::Cancelled } else { nobody };
    }
    let counted: Vec<_> =
        invocations.iter().copied().filter(|details| !details.is_set_aside()).collect();
    if counted.is_empty() {
        let denied = invocations.iter().all(|details| *details == StatusDetails::AccessDenied);
        return if denied { StatusDetails::AccessDenied } else { StatusDetails::Failed };
    }
    if cancelled && counted.contains(&StatusDetails::Cancelled) {
        return StatusDetails::Cancelled;
    }
    if counted.iter().all(|details| *details == counted[0]) {
        return counted[0];
    }
    let errors = counted.iter().filter(|details| details.is_error()).count();
    if errors > errors_max || errors == counted.len() {
        let failed = counted.contains(&StatusDetails::Failed);
        return if failed { StatusDetails::Failed } else { StatusDetails::ExecutionTimedOut };
    }
    StatusDetails::Incomplete
}

/// The counts that an answer gives for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// `TargetCount`: the nodes that the command was meant for.
    pub(crate) targets: usize,
    /// `CompletedCount`: the nodes in a terminal status.
    pub(crate) completed: usize,
    /// `ErrorCount`: the nodes that failed or ran out of time.
    pub(crate) errors: usize,
    /// `DeliveryTimedOutCount`: the nodes that were never heard of.
    pub(crate) delivery_timed_out: usize,
}

impl Counts {
    /// Counts one more node in this terminal status.
    pub(crate) fn add(&mut self, details: StatusDetails) {
        self.completed += usize::from(details.is_terminal());
        self.errors += usize::from(details.is_error());
        self.delivery_timed_out += usize::from(details == StatusDetails::DeliveryTimedOut);
    }
}

#[cfg(test)]
mod tests {
    use super::StatusDetails::*;
    use super::*;

    fn check(invocations: &[StatusDetails], expected: StatusDetails) {
        assert_eq!(aggregate(invocations, 0, false), expected, "{invocations:?}");
    }

    #[test]
    fn one_invocation_hands_its_status_to_the_command() {
        for details in [Success, Failed, ExecutionTimedOut, DeliveryTimedOut, Cancelled] {
            check(&[details], details);
        }
    }

    #[test]
    fn nodes_where_the_command_never_ran_are_ignored_unless_there_is_no_other() {
        check(&[Undeliverable, InvalidPlatform, AccessDenied, Undeliverable, Success], Success);
        check(&[Undeliverable, Undeliverable], Failed);
        check(&[InvalidPlatform], Failed);
        check(&[Undeliverable, AccessDenied], Failed);
        check(&[AccessDenied, AccessDenied], AccessDenied);
        check(&[Undeliverable, Failed], Failed);
    }

    #[test]
    fn a_success_without_targets_is_no_instances_in_tag() {
        check(&[], NoInstancesInTag);
        assert_eq!(NoInstancesInTag.status(), "Success");
    }

    #[test]
    fn errors_over_the_limit_fail_the_command_and_errors_within_it_do_not() {
        check(&[Failed, Terminated, Terminated], Failed);
        check(&[ExecutionTimedOut, Success], ExecutionTimedOut);
        check(&[ExecutionTimedOut, Failed, Success], Failed);
        assert_eq!(aggregate(&[Failed, Success], 1, false), Incomplete);
        assert_eq!(aggregate(&[Failed], 1, false), Failed);
        assert_eq!(aggregate(&[Failed, ExecutionTimedOut], 5, false), Failed);
    }

    #[test]
    fn a_lost_node_is_no_error_but_spoils_the_success() {
        check(&[DeliveryTimedOut, Success], Incomplete);
        check(&[DeliveryTimedOut, DeliveryTimedOut], DeliveryTimedOut);
        check(&[DeliveryTimedOut, Failed], Failed);
    }

    #[test]
    fn cancelling_the_command_shows_only_if_it_stopped_something() {
        assert_eq!(aggregate(&[Success, Cancelled], 0, true), Cancelled);
        assert_eq!(aggregate(&[Success, Success], 0, true), Success);
        assert_eq!(aggregate(&[Failed, Cancelled], 0, true), Cancelled);
        assert_eq!(aggregate(&[Success, Cancelled], 0, false), Incomplete);
        assert_eq!(aggregate(&[], 0, true), Cancelled);
    }

    #[test]
    fn status_is_always_one_of_the_service_model() {
        let all = [
            Pending,
            InProgress,
            Cancelling,
            Success,
            Failed,
            ExecutionTimedOut,
            DeliveryTimedOut,
            Cancelled,
            Terminated,
            Undeliverable,
            InvalidPlatform,
            AccessDenied,
            Incomplete,
            NoInstancesInTag,
        ];
        let model =
            ["Pending", "InProgress", "Success", "Cancelled", "Failed", "TimedOut", "Cancelling"];
        for details in all {
            assert!(model.contains(&details.status()), "{}", details.as_str());
        }
    }
}
