//! The statuses of commands and invocations.
//!
//! Source: SSM API, `Status` and `StatusDetails` of `Command` and `CommandInvocation`; Systems
//! Manager user guide, "Understanding command statuses".

use std::fmt;

/// Defines an enum of API values, with one more variant that keeps an unknown value as received.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $(= $alias:literal)*,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A value unknown to this version, as received.
            Other(String),
        }

        impl $name {
            /// All known values.
            pub const KNOWN: &[Self] = &[$(Self::$variant),*];

            /// Parses a value as spelled by the API, the events, or the documentation: spaces,
            /// hyphens, underscores, and case are ignored. An unknown value is kept.
            pub fn parse(text: &str) -> Self {
                $(if same_word(text, stringify!($variant)) $(|| same_word(text, $alias))* {
                    return Self::$variant;
                })*
                Self::Other(text.to_owned())
            }

            /// The value as one word, in the API's spelling; an unknown value as received.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                    Self::Other(text) => text,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

fn same_word(text: &str, word: &str) -> bool {
    let mut letters = text.bytes().filter(|byte| !matches!(byte, b' ' | b'-' | b'_'));
    word.bytes().all(|wanted| letters.next().is_some_and(|byte| byte.eq_ignore_ascii_case(&wanted)))
        && letters.next().is_none()
}

words! {
    /// The `Status` of a command or invocation.
    Status {
        /// Not yet sent to the node.
        Pending,
        /// Sent to the node or running there.
        InProgress,
        /// Waiting for the node to become available. Invocations only.
        Delayed,
        /// Cancellation was requested.
        Cancelling = "Canceling",
        /// Succeeded, but not necessarily on every node, or on any: see [`StatusDetails`].
        Success,
        /// Cancelled.
        Cancelled = "Canceled",
        /// Failed.
        Failed,
        /// Not delivered or not completed in time.
        TimedOut,
    }
}

words! {
    /// The `StatusDetails` of a command or invocation.
    StatusDetails {
        /// Not yet sent to the node.
        Pending,
        /// Sent to the node or running there.
        InProgress,
        /// Waiting for the node to become available. Invocations only.
        Delayed,
        /// Cancellation was requested.
        Cancelling = "Canceling",
        /// Exit code 0. For a command, not necessarily on every node.
        Success,
        /// A nonzero exit code.
        Failed,
        /// The agent reported that `executionTimeout` expired.
        ExecutionTimedOut,
        /// The node did not respond in time.
        DeliveryTimedOut,
        /// Cancelled.
        Cancelled = "Canceled",
        /// The command exceeded `MaxErrors`, so this invocation was stopped or never started.
        Terminated,
        /// The node could not be reached or does not exist.
        Undeliverable,
        /// The document does not support the node's platform.
        InvalidPlatform,
        /// The node or the caller lacks permission.
        AccessDenied,
        /// Attempted on every node, but did not succeed on all; too few failures for Failed.
        Incomplete,
        /// Cancelled before it ran, because too many commands were pending.
        RateExceeded = "LimitExceeded",
        /// No node matched the targets. `Status` says Success.
        NoInstancesInTag,
        /// The agent did not run the step. Steps only.
        Skipped,
    }
}

impl Status {
    /// Whether a command or invocation with this status has ended; `None` if the status is unknown.
    pub fn has_ended(&self) -> Option<bool> {
        match self {
            Self::Pending | Self::InProgress | Self::Delayed | Self::Cancelling => Some(false),
            Self::Success | Self::Cancelled | Self::Failed | Self::TimedOut => Some(true),
            Self::Other(_) => None,
        }
    }
}

impl StatusDetails {
    /// Whether a command or invocation with these details has ended; `None` if they are unknown.
    pub fn has_ended(&self) -> Option<bool> {
        match self {
            Self::Pending | Self::InProgress | Self::Delayed | Self::Cancelling => Some(false),
            Self::Other(_) => None,
            _ => Some(true),
        }
    }
}

/// Whether a command or invocation with this status and these details has ended.
///
/// A value that means running wins over one that means ended, because reads can lag. Two unknown
/// values do not count as ended.
pub fn has_ended(status: &Status, details: &StatusDetails) -> bool {
    match (status.has_ended(), details.has_ended()) {
        (Some(false), _) | (_, Some(false)) | (None, None) => false,
        (Some(true), _) | (_, Some(true)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_read_in_every_spelling() {
        for (text, expected) in [
            ("DeliveryTimedOut", StatusDetails::DeliveryTimedOut),
            ("Delivery Timed Out", StatusDetails::DeliveryTimedOut),
            ("execution timed out", StatusDetails::ExecutionTimedOut),
            ("Canceled", StatusDetails::Cancelled),
            ("Cancelled", StatusDetails::Cancelled),
            ("Canceling", StatusDetails::Cancelling),
            ("In Progress", StatusDetails::InProgress),
            ("Invalid Platform", StatusDetails::InvalidPlatform),
            ("LimitExceeded", StatusDetails::RateExceeded),
            ("Rate Exceeded", StatusDetails::RateExceeded),
            ("NoInstancesInTag", StatusDetails::NoInstancesInTag),
            ("Success ", StatusDetails::Success),
            ("Successful", StatusDetails::Other("Successful".into())),
            ("Succes", StatusDetails::Other("Succes".into())),
            ("", StatusDetails::Other(String::new())),
        ] {
            assert_eq!(StatusDetails::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn known_values_are_read_back_from_their_own_word() {
        for details in StatusDetails::KNOWN {
            assert_eq!(&StatusDetails::parse(details.as_str()), details);
        }
        for status in Status::KNOWN {
            assert_eq!(&Status::parse(status.as_str()), status);
        }
    }

    #[test]
    fn an_end_is_believed_only_when_nothing_says_otherwise() {
        let other = |text: &str| StatusDetails::Other(text.into());
        let unknown = Status::Other("Paused".into());
        assert!(has_ended(&Status::Success, &StatusDetails::Success));
        assert!(has_ended(&Status::Failed, &other("BatteryEmpty")));
        assert!(has_ended(&unknown, &StatusDetails::Failed));
        assert!(!has_ended(&Status::InProgress, &StatusDetails::Success));
        assert!(!has_ended(&Status::Success, &StatusDetails::InProgress));
        assert!(!has_ended(&Status::InProgress, &other("Rebooting")));
        assert!(!has_ended(&unknown, &other("Rebooting")));
    }
}
