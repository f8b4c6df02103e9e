//! Commands and invocations, as Run Command reports them.
//!
//! Source: SSM API, `ListCommands` and `ListCommandInvocations`.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::id::{CommandId, InstanceId};
use crate::limits::{ERROR_BYTES_MAX, OUTPUT_BYTES_MAX};
use crate::output::{Output, Trace};
use crate::status::{Status, StatusDetails};
use crate::token::{InvalidToken, TaskToken};

/// A command (SSM API, `ListCommands`).
#[derive(Debug, Clone)]
pub struct Command {
    /// The command's ID.
    pub id: CommandId,
    /// The document that the command runs, as named in `SendCommand`.
    pub document_name: String,
    /// The comment of `SendCommand`: up to 100 characters. Empty if there is none.
    pub comment: String,
    /// The CloudWatch Logs group to which the command writes its output (SSM API,
    /// `CloudWatchOutputConfig`). Empty if there is none, or if Run Command does not name it.
    pub log_group_name: String,
    /// The overall status.
    pub status: Status,
    /// The detailed status, which decides the outcome.
    pub status_details: StatusDetails,
    /// When the command was requested.
    pub requested_at: Timestamp,
    /// The number of targeted nodes.
    pub target_count: u32,
    /// The number of nodes on which the command has ended, with any status.
    pub completed_count: u32,
    /// The number of nodes with status Failed or Execution Timed Out.
    pub error_count: u32,
    /// The number of nodes with status Delivery Timed Out.
    pub delivery_timed_out_count: u32,
    /// Which task to answer, and how.
    pub callback: Callback,
}

/// The parameters of a command that control its callback.
#[derive(Debug, Clone)]
pub struct Callback {
    /// `taskToken`. `None` if the command has no such parameter, so that no task waits for it.
    pub task_token: Option<Result<TaskToken, InvalidToken>>,
    /// `onFailure`: how to answer when the command failed.
    pub on_failure: OnFailure,
    /// `onAbandon`: what to do with the command when its task is closed.
    pub on_abandon: OnAbandon,
    /// `outputBytes`: the maximum length of the answer.
    pub output_bytes: OutputBytes,
    /// `errorName`: the name of every failure, instead of `RunCommand.…`. `None` if there is none,
    /// or if it is not a valid name.
    pub error_name: Option<String>,
}

/// How to answer when the command failed: document parameter `onFailure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// With `SendTaskFailure`. The default, also for unknown values.
    #[default]
    Fail,
    /// With `SendTaskSuccess` and an output that describes the failure.
    Report,
}

/// What to do with a running command whose task is closed: document parameter `onAbandon`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnAbandon {
    /// Cancel it. The default.
    #[default]
    Cancel,
    /// Let it run. Also used for unknown values, because a wrong cancellation does more harm than
    /// none.
    Continue,
}

/// The maximum length of an answer, in bytes: document parameter `outputBytes`.
///
/// The output of a state may have as many bytes as the output of a task. A state that keeps its
/// input beside the output, and a Map or Parallel that collects outputs, needs room for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputBytes(usize);

impl OutputBytes {
    /// The smallest value, in bytes. Enough for a report without nodes.
    pub const MIN: usize = 2_048;
    /// The greatest value, in bytes: the limit of Step Functions.
    pub const MAX: usize = OUTPUT_BYTES_MAX;
    /// The value where none is given, in bytes: three quarters of the limit.
    pub const DEFAULT: usize = 196_608;

    /// The value that a parameter holds. The default if it holds no number of bytes within bounds.
    pub fn from_parameter(word: Option<&str>) -> Self {
        let bytes = word.and_then(|word| word.parse().ok());
        Self(bytes.filter(|bytes| (Self::MIN..=Self::MAX).contains(bytes)).unwrap_or(Self::DEFAULT))
    }

    /// The number of bytes.
    pub fn get(self) -> usize {
        self.0
    }
}

impl Callback {
    /// Reads the parameters `taskToken`, `onFailure`, `onAbandon`, `outputBytes`, and `errorName` of a
    /// command. In Run Command, every parameter value is a list of strings.
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
            output_bytes: OutputBytes::from_parameter(word("outputBytes")),
            error_name: word("errorName").filter(|word| is_error_name(word)).map(str::to_owned),
        }
    }
}

/// Whether the documents accept this as an error name, apart from the empty default.
fn is_error_name(word: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b" ._:-".contains(&byte);
    (1..=ERROR_BYTES_MAX).contains(&word.len()) && word.bytes().all(is_good)
}

/// One node's part of a command (SSM API, `ListCommandInvocations` with `Details`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The managed node.
    pub instance_id: InstanceId,
    /// The overall status.
    pub status: Status,
    /// The detailed status, which decides the outcome.
    pub status_details: StatusDetails,
    /// The document's steps on this node, in order.
    pub plugins: Vec<Plugin>,
    /// Why no step ran on this node. Empty if one did.
    pub trace: Trace,
    /// The location of the whole standard output, if the command writes to a bucket or log group;
    /// otherwise empty.
    pub standard_output_url: String,
    /// The location of the whole standard error, as above.
    pub standard_error_url: String,
}

impl Invocation {
    /// Whether the document ran on this node and succeeded. `false` if every step was skipped,
    /// although Run Command then reports Success.
    pub fn has_succeeded(&self) -> bool {
        self.status_details == StatusDetails::Success && !self.was_skipped()
    }

    /// Whether the agent skipped every step of the document.
    pub fn was_skipped(&self) -> bool {
        !self.plugins.is_empty() && self.plugins.iter().all(|plugin| plugin.is_skipped)
    }

    /// Whether any of its texts is truncated.
    pub fn is_truncated(&self) -> bool {
        self.trace.truncated || self.plugins.iter().any(|plugin| plugin.output.truncated)
    }
}

/// One step of the document on one node (SSM API, `CommandPlugin`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// The step's name in the document; `GetCommandInvocation` requires it.
    pub name: String,
    /// The step's detailed status.
    pub status_details: StatusDetails,
    /// The exit code; `None` if the step has not started.
    pub response_code: Option<i32>,
    /// When the step started.
    pub started_at: Option<Timestamp>,
    /// When the step ended.
    pub ended_at: Option<Timestamp>,
    /// What the step printed.
    pub output: Output,
    /// Whether the agent skipped the step. It then printed nothing.
    pub is_skipped: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn output_bytes_are_a_number_within_bounds_or_the_default() {
        let bytes = |value| callback(&[("outputBytes", value)]).output_bytes.get();
        for (value, expected) in
            [("2048", 2_048), (" 65536 ", 65_536), ("196608", 196_608), ("262144", 262_144)]
        {
            assert_eq!(bytes(value), expected);
        }
        for bad in ["", "2047", "262145", "-2048", "64 KiB", "2048.5", "99999999999999999999"] {
            assert_eq!(bytes(bad), OutputBytes::DEFAULT, "{bad}");
        }
        assert_eq!(callback(&[]).output_bytes.get(), OutputBytes::DEFAULT);
    }

    #[test]
    fn an_error_name_is_a_short_name_or_none() {
        let name = |value| callback(&[("errorName", value)]).error_name;
        let longest = "x".repeat(ERROR_BYTES_MAX);
        for good in ["Automation document failure", "Own.Error-1:a_b", &longest] {
            assert_eq!(name(good).as_deref(), Some(good));
        }
        assert_eq!(name(" Own ").as_deref(), Some("Own"));
        for bad in ["", " ", "a/b", "ü", "two\nlines", &"x".repeat(ERROR_BYTES_MAX + 1)] {
            assert_eq!(name(bad), None, "{bad}");
        }
        assert_eq!(callback(&[]).error_name, None);
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
