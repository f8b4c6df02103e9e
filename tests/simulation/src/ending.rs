//! How commands end, and what their tasks must be told.
//!
//! The table is written from the user guide ("Understanding command statuses") and from the
//! promise to the user, not from the product's code: each way to end stands next to the error name
//! that a state machine has to see.

/// A way for a command to end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// Every node ran the script, exit code 0.
    Succeeds,
    /// Scripts fail on more nodes than `MaxErrors`; nodes not yet begun are terminated.
    Fails,
    /// Scripts fail on some nodes, not more than `MaxErrors`.
    IsIncomplete,
    /// The scripts ran too long.
    ExecutionTimesOut,
    /// The nodes never answered.
    DeliveryTimesOut,
    /// Somebody cancels the command.
    IsCancelled,
    /// No node could be reached.
    IsUndeliverable,
    /// No node could be reached, and the command says Failed.
    FailsUndeliverable,
    /// No node has the document's platform.
    HasInvalidPlatform,
    /// The caller may not.
    IsDenied,
    /// Some nodes were never reached, and the command says Success.
    SucceedsSomewhere,
    /// Every node skipped every step, and the command says Success.
    IsSkipped,
    /// Some nodes skipped every step, and the command says Success.
    IsSkippedSomewhere,
    /// Cancelled before it ran, because too many commands waited; no node is listed.
    ExceedsRate,
    /// No node matched the targets, and the status says Success.
    MatchesNoNode,
    /// As before, and the details say Success too.
    MatchesNoNodeSilently,
    /// Details that nobody has heard of.
    IsUnheardOf,
    /// The same, longer than an error name may be.
    IsUnheardOfAtLength,
    /// The command says Success, and a node of it is never listed.
    SucceedsUnseen,
    /// The command says Failed, and a node of it is never listed or never ends.
    FailsUnseen,
    /// It has more nodes than can be read in time.
    HasTooManyNodes,
}

/// An unknown value of `StatusDetails`.
const UNHEARD_OF: &str = "BatteryEmpty";
/// One of more than 256 bytes.
const UNHEARD_OF_AT_LENGTH: &str = "BatteryOfTheNodeIsEmptyAndNobodyIsThereToChangeItBecauseTheBuildingIsClosedForTheHolidaysAndTheKeyIsInTheBuildingAndTheJanitorIsOnAShipThatWillNotBeBackBeforeTheNewYearAndTheShipHasNoRadioAndTheRadioOfTheHarbourHasABatteryThatIsEmptyTooSoThatNobodyCanTellThemAnythingAtAll";
/// Of that, what an error name has room for: 256 bytes, 11 of them for `RunCommand.`.
const ERROR_DETAILS_BYTES_MAX: usize = 256 - 11;

impl Ending {
    /// All ways, with how often they are drawn.
    pub(crate) const WEIGHTS: [(u64, Self); 21] = [
        (30, Self::Succeeds),
        (18, Self::Fails),
        (4, Self::IsIncomplete),
        (4, Self::ExecutionTimesOut),
        (4, Self::DeliveryTimesOut),
        (4, Self::IsCancelled),
        (2, Self::IsUndeliverable),
        (2, Self::FailsUndeliverable),
        (2, Self::HasInvalidPlatform),
        (2, Self::IsDenied),
        (5, Self::SucceedsSomewhere),
        (4, Self::IsSkipped),
        (4, Self::IsSkippedSomewhere),
        (2, Self::ExceedsRate),
        (2, Self::MatchesNoNode),
        (2, Self::MatchesNoNodeSilently),
        (2, Self::IsUnheardOf),
        (1, Self::IsUnheardOfAtLength),
        (2, Self::SucceedsUnseen),
        (4, Self::FailsUnseen),
        (2, Self::HasTooManyNodes),
    ];

    /// `Status` and `StatusDetails` of the command at its end.
    pub(crate) fn status(self) -> (&'static str, &'static str) {
        match self {
            Self::Succeeds
            | Self::SucceedsSomewhere
            | Self::IsSkipped
            | Self::IsSkippedSomewhere
            | Self::MatchesNoNodeSilently
            | Self::SucceedsUnseen
            | Self::HasTooManyNodes => ("Success", "Success"),
            Self::Fails | Self::FailsUndeliverable | Self::FailsUnseen => ("Failed", "Failed"),
            Self::IsIncomplete => ("Failed", "Incomplete"),
            Self::ExecutionTimesOut => ("TimedOut", "ExecutionTimedOut"),
            Self::DeliveryTimesOut => ("TimedOut", "DeliveryTimedOut"),
            Self::IsCancelled => ("Cancelled", "Cancelled"),
            Self::IsUndeliverable => ("Failed", "Undeliverable"),
            Self::HasInvalidPlatform => ("Failed", "InvalidPlatform"),
            Self::IsDenied => ("Failed", "AccessDenied"),
            Self::ExceedsRate => ("Failed", "RateExceeded"),
            Self::MatchesNoNode => ("Success", "NoInstancesInTag"),
            Self::IsUnheardOf => ("Failed", UNHEARD_OF),
            Self::IsUnheardOfAtLength => ("Failed", UNHEARD_OF_AT_LENGTH),
        }
    }

    /// What the state machine has to see: `None` for a success, else the error name without
    /// `RunCommand.`.
    pub(crate) fn error(self) -> Option<&'static str> {
        match self {
            Self::Succeeds => None,
            Self::Fails | Self::FailsUndeliverable | Self::FailsUnseen => Some("Failed"),
            Self::IsIncomplete
            | Self::SucceedsSomewhere
            | Self::IsSkippedSomewhere
            | Self::SucceedsUnseen => Some("Incomplete"),
            Self::ExecutionTimesOut => Some("ExecutionTimedOut"),
            Self::DeliveryTimesOut => Some("DeliveryTimedOut"),
            Self::IsCancelled => Some("Cancelled"),
            Self::IsUndeliverable => Some("Undeliverable"),
            Self::HasInvalidPlatform | Self::IsSkipped => Some("InvalidPlatform"),
            Self::IsDenied => Some("AccessDenied"),
            Self::ExceedsRate => Some("RateExceeded"),
            Self::MatchesNoNode | Self::MatchesNoNodeSilently => Some("NoInstancesInTag"),
            Self::HasTooManyNodes => Some("TooManyNodes"),
            Self::IsUnheardOf => Some(UNHEARD_OF),
            Self::IsUnheardOfAtLength => Some(&UNHEARD_OF_AT_LENGTH[..ERROR_DETAILS_BYTES_MAX]),
        }
    }

    /// Whether it takes two nodes.
    pub(crate) fn needs_two_nodes(self) -> bool {
        matches!(
            self,
            Self::IsIncomplete
                | Self::SucceedsSomewhere
                | Self::IsSkippedSomewhere
                | Self::SucceedsUnseen
                | Self::FailsUnseen
        )
    }

    /// Whether no node is targeted.
    pub(crate) fn has_no_node(self) -> bool {
        matches!(self, Self::MatchesNoNode | Self::MatchesNoNodeSilently)
    }
}
