//! What Run Command reports of a command and of its invocations.
//!
//! Source of the values: SSM API, `ListCommands` and `ListCommandInvocations`; Systems Manager
//! user guide, "Understanding command statuses".

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;

use crate::id::{CommandId, InstanceId};
use crate::token::{InvalidToken, TaskToken};

/// A command as `ListCommands` describes it.
#[derive(Debug, Clone)]
pub struct Command {
    /// The command's id.
    pub id: CommandId,
    /// The document that the command runs, as it was named in `SendCommand`.
    pub document_name: String,
    /// The overall status.
    pub status: Status,
    /// The detailed status; the one that decides.
    pub status_details: StatusDetails,
    /// When the command was requested.
    pub requested_at: Timestamp,
    /// Managed nodes that were targeted.
    pub target_count: u32,
    /// Nodes on which the command has ended, in whatever way.
    pub completed_count: u32,
    /// Nodes with status Failed or Execution Timed Out.
    pub error_count: u32,
    /// Nodes with status Delivery Timed Out.
    pub delivery_timed_out_count: u32,
    /// Which task to answer, and how.
    pub callback: Callback,
}

/// The parameters of a command that concern its callback.
#[derive(Debug, Clone)]
pub struct Callback {
    /// `taskToken`: `None` when the command has no such parameter and so nobody waits for it.
    pub task_token: Option<Result<TaskToken, InvalidToken>>,
    /// `onFailure`: how a failed command is answered.
    pub on_failure: OnFailure,
    /// `onAbandon`: what becomes of the command when its task is closed.
    pub on_abandon: OnAbandon,
}

/// How a failed command is answered: document parameter `onFailure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// With `SendTaskFailure`. The default, and what any unknown value means.
    #[default]
    Fail,
    /// With `SendTaskSuccess` and an output that tells the failure.
    Report,
}

/// What becomes of a running command whose task is closed: document parameter `onAbandon`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnAbandon {
    /// It is cancelled. The default.
    #[default]
    Cancel,
    /// It goes on. Also what an unknown value means: a wrong cancel is worse than none.
    Continue,
}

impl Callback {
    /// Reads the parameters `taskToken`, `onFailure` and `onAbandon` of a command. All values of
    /// Run Command are lists of strings.
    pub fn from_parameters(parameters: &HashMap<String, Vec<String>>) -> Self {
        let word =
            |name| parameters.get(name).and_then(|values| values.first()).map(|word| word.trim());
        Self {
            task_token: parameters.get("taskToken").map(|values| TaskToken::from_parameter(values)),
            on_failure: match word("onFailure") {
                Some(word) if word.eq_ignore_ascii_case("Report") => OnFailure::Report,
                _ => OnFailure::Fail,
            },
            on_abandon: match word("onAbandon") {
                None | Some("") => OnAbandon::Cancel,
                Some(word) if word.eq_ignore_ascii_case("Cancel") => OnAbandon::Cancel,
                Some(_) => OnAbandon::Continue,
            },
        }
    }
}

/// A command's run on one managed node, as `ListCommandInvocations` describes it, with the
/// outputs of its plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The managed node.
    pub instance_id: InstanceId,
    /// The overall status.
    pub status: Status,
    /// The detailed status; the one that decides.
    pub status_details: StatusDetails,
    /// The document's steps on that node, in their order.
    pub plugins: Vec<Plugin>,
    /// Where the whole standard output is, when the command writes to a bucket or a log group.
    pub standard_output_url: String,
    /// Where the whole standard error is.
    pub standard_error_url: String,
}

/// How the agent begins the output of a step that it did not run: another platform, or a
/// precondition that does not hold. It reports such a step as a success (SSM Agent, plugin runner).
const STEP_SKIPPED: &str = "Step execution skipped due to";

impl Invocation {
    /// Whether the document ran on this node and succeeded. When all of its steps were skipped,
    /// Run Command says Success, and nothing ran.
    pub fn has_succeeded(&self) -> bool {
        self.status_details == StatusDetails::Success && !self.was_skipped()
    }

    /// Whether the agent skipped all steps of the document.
    pub fn was_skipped(&self) -> bool {
        let is_skipped =
            |plugin: &Plugin| plugin.output.stdout.trim_start().starts_with(STEP_SKIPPED);
        !self.plugins.is_empty() && self.plugins.iter().all(is_skipped)
    }
}

/// One step of the document on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// The step's name in the document; `GetCommandInvocation` wants it.
    pub name: String,
    /// How the step stands.
    pub status_details: StatusDetails,
    /// Exit code; `None` when the step has not started.
    pub response_code: Option<i32>,
    /// When the step started.
    pub started_at: Option<Timestamp>,
    /// When the step ended.
    pub ended_at: Option<Timestamp>,
    /// What it printed.
    pub output: Output,
}

/// What a step printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether one of them was cut.
    pub truncated: bool,
    /// Whether `stdout` and `stderr` are certainly told apart, up to a cut.
    pub exact: bool,
}

/// The agent's line between standard output and standard error in a listed output.
const ERROR_SEPARATOR: &str = "\n----------ERROR-------\n";
/// The agent's mark at the end of a cut standard output in a listed output.
const STDOUT_CUT: &str = "\n---Output truncated---";
/// The agent's mark at the end of a cut standard error in a listed output.
const STDERR_CUT: &str = "\n---Error truncated----";
/// The most that `ListCommandInvocations` returns of one plugin, in characters.
const LISTED_CHARS_MAX: usize = 2_500;
/// The most that `GetCommandInvocation` returns of standard output, in characters.
const STDOUT_CHARS_MAX: usize = 24_000;
/// The most that `GetCommandInvocation` returns of standard error, in characters.
const STDERR_CHARS_MAX: usize = 8_000;
/// The agent's mark at the end of an output that was longer than it keeps.
const FULL_CUT: &str = "--output truncated--";

impl Output {
    /// Splits the `Output` of a plugin in `ListCommandInvocations`: at most 2,500 characters of
    /// standard output and standard error with the agent's separator between them.
    pub fn from_listing(text: &str) -> Self {
        let (stdout, stderr) = text.split_once(ERROR_SEPARATOR).unwrap_or((text, ""));
        let whole_stdout = stdout.strip_suffix(STDOUT_CUT);
        let whole_stderr = stderr.strip_suffix(STDERR_CUT);
        let truncated =
            whole_stdout.is_some() || whole_stderr.is_some() || reaches(text, LISTED_CHARS_MAX);
        Self {
            stdout: whole_stdout.unwrap_or(stdout).to_owned(),
            stderr: whole_stderr.unwrap_or(stderr).to_owned(),
            truncated,
            exact: !stderr.contains(ERROR_SEPARATOR),
        }
    }

    /// Takes `StandardOutputContent` and `StandardErrorContent` of `GetCommandInvocation`: at most
    /// 24,000 and 8,000 characters.
    pub fn from_invocation(stdout: String, stderr: String) -> Self {
        let truncated = reaches(&stdout, STDOUT_CHARS_MAX)
            || reaches(&stderr, STDERR_CHARS_MAX)
            || stdout.trim_end().ends_with(FULL_CUT)
            || stderr.trim_end().ends_with(FULL_CUT);
        Self { stdout, stderr, truncated, exact: true }
    }
}

/// Whether a text has so many characters. One has a byte at least, so most texts need no counting.
fn reaches(text: &str, chars: usize) -> bool {
    text.len() >= chars && text.chars().nth(chars - 1).is_some()
}

/// Defines an enum of the words of an API, with one more variant that keeps an unknown word as it
/// came.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $(= $alias:literal)*,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A value that this version does not know, as it came.
            Other(String),
        }

        impl $name {
            /// All known values.
            pub const KNOWN: &[Self] = &[$(Self::$variant),*];

            /// Reads a value as the API, the events or the documentation spell it: spaces,
            /// hyphens, underscores and case make no difference. An unknown value is kept.
            pub fn parse(text: &str) -> Self {
                $(if same_word(text, stringify!($variant)) $(|| same_word(text, $alias))* {
                    return Self::$variant;
                })*
                Self::Other(text.to_owned())
            }

            /// The value as one word, in the API's spelling; an unknown one as it came.
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
    /// The `Status` of a command or an invocation.
    Status {
        /// Not yet sent to the node.
        Pending,
        /// Sent to the node, or running there.
        InProgress,
        /// Waiting for the node to be free. Invocations only.
        Delayed,
        /// A cancel was asked for.
        Cancelling = "Canceling",
        /// Ended well; not everywhere, and perhaps nowhere: see [`StatusDetails`].
        Success,
        /// Cancelled.
        Cancelled = "Canceled",
        /// Ended badly.
        Failed,
        /// Not delivered, or not ended, in time.
        TimedOut,
    }
}

words! {
    /// The `StatusDetails` of a command or an invocation.
    StatusDetails {
        /// Not yet sent to the node.
        Pending,
        /// Sent to the node, or running there.
        InProgress,
        /// Waiting for the node to be free. Invocations only.
        Delayed,
        /// A cancel was asked for.
        Cancelling = "Canceling",
        /// Exit code 0. For a command: not necessarily on every node.
        Success,
        /// An exit code other than 0.
        Failed,
        /// The agent reported that `executionTimeout` passed.
        ExecutionTimedOut,
        /// Nothing was heard from the node in time.
        DeliveryTimedOut,
        /// Cancelled.
        Cancelled = "Canceled",
        /// The command went over `MaxErrors`, so this invocation was ended or never started.
        Terminated,
        /// The node could not be reached or does not exist.
        Undeliverable,
        /// The node's platform is not one of the document's.
        InvalidPlatform,
        /// The node or the caller was not allowed to.
        AccessDenied,
        /// Attempted everywhere, not everywhere a success, too few failures to be Failed.
        Incomplete,
        /// Cancelled before it ran, because too many commands were waiting.
        RateExceeded = "LimitExceeded",
        /// No node matched the targets. `Status` says Success.
        NoInstancesInTag,
    }
}

impl Status {
    /// Whether a command or invocation with this status has ended; `None` for an unknown status.
    pub fn has_ended(&self) -> Option<bool> {
        match self {
            Self::Pending | Self::InProgress | Self::Delayed | Self::Cancelling => Some(false),
            Self::Success | Self::Cancelled | Self::Failed | Self::TimedOut => Some(true),
            Self::Other(_) => None,
        }
    }
}

impl StatusDetails {
    /// Whether a command or invocation with these details has ended; `None` for unknown details.
    pub fn has_ended(&self) -> Option<bool> {
        match self {
            Self::Pending | Self::InProgress | Self::Delayed | Self::Cancelling => Some(false),
            Self::Other(_) => None,
            _ => Some(true),
        }
    }
}

/// Whether something with this status and these details has ended. Both have their say: one that
/// is known to run wins over one that is known to have ended, since reads lag; two unknown values
/// are not taken for an end.
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

    #[test]
    fn a_listed_output_is_split_at_the_agents_separator() {
        let output = Output::from_listing(
            "out\n----------ERROR-------\nfailed to run commands: exit status 3",
        );
        assert_eq!(output.stdout, "out");
        assert_eq!(output.stderr, "failed to run commands: exit status 3");
        assert!(!output.truncated && output.exact);
        assert_eq!(Output::from_listing("only out\n").stdout, "only out\n");
        assert_eq!(Output::from_listing("\n----------ERROR-------\nonly err").stderr, "only err");
    }

    #[test]
    fn a_cut_listed_output_says_so() {
        let output = Output::from_listing(
            "o\n---Output truncated---\n----------ERROR-------\ne\n---Error truncated----",
        );
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("o", "e"));
        assert!(output.truncated);
        assert!(Output::from_listing(&"ä".repeat(2_500)).truncated);
        assert!(!Output::from_listing(&"ä".repeat(2_499)).truncated);
    }

    #[test]
    fn a_script_that_prints_the_separator_is_noticed() {
        let output =
            Output::from_listing("a\n----------ERROR-------\nb\n----------ERROR-------\nc");
        assert!(!output.exact);
    }

    #[test]
    fn a_full_output_at_its_limit_is_truncated() {
        assert!(!Output::from_invocation("x".repeat(23_999), "y".repeat(7_999)).truncated);
        assert!(Output::from_invocation("x".repeat(24_000), String::new()).truncated);
        assert!(Output::from_invocation(String::new(), "y".repeat(8_000)).truncated);
        assert!(Output::from_invocation("x\n--output truncated--".into(), String::new()).truncated);
    }

    fn callback(parameters: &[(&str, &str)]) -> Callback {
        let parameters =
            parameters.iter().map(|(name, value)| ((*name).into(), vec![(*value).into()]));
        Callback::from_parameters(&parameters.collect())
    }

    #[test]
    fn callback_parameters_have_defaults() {
        let none = callback(&[]);
        assert!(none.task_token.is_none());
        assert_eq!((none.on_failure, none.on_abandon), (OnFailure::Fail, OnAbandon::Cancel));
        let all =
            callback(&[("taskToken", "t"), ("onFailure", "report"), ("onAbandon", "Continue")]);
        assert_eq!(all.task_token.unwrap().unwrap().expose(), "t");
        assert_eq!((all.on_failure, all.on_abandon), (OnFailure::Report, OnAbandon::Continue));
    }

    #[test]
    fn an_unknown_choice_is_the_careful_one() {
        let unknown = callback(&[("onFailure", "Ignore"), ("onAbandon", "Leave")]);
        assert_eq!(
            (unknown.on_failure, unknown.on_abandon),
            (OnFailure::Fail, OnAbandon::Continue)
        );
    }
}
