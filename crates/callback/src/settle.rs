//! Settles one command: reads it, decides, and answers its task. Nothing else answers a task.
//!
//! An event is only a hint. Apart from the command ID and whether the command is said to have
//! ended, everything is read from Run Command. So late, repeated, reordered, or forged events
//! cannot cause a wrong answer. Step Functions accepts one answer per token; a second answer finds
//! the task closed, which is a normal outcome.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{self, TryStreamExt};

use crate::command::{Command, Invocation, OnFailure};
use crate::id::CommandId;
use crate::limits::CAUSE_BYTES_MAX;
use crate::output::Output;
use crate::ports::{
    AnswerReceipt, CallError, CallErrorKind, LISTED_OUTPUTS_NODES_MAX, NODES_MAX, Outputs,
    RunCommand, Tasks,
};
use crate::report::{Unread, error_name, report, report_without_nodes, report_without_outputs};
use crate::status::{StatusDetails, has_ended};
use crate::token::TaskToken;
use crate::verdict::{Verdict, verdict};

/// Maximum number of nodes whose outputs are read in full (`GetCommandInvocation`).
pub const FULL_OUTPUT_NODES_MAX: usize = 10;
/// Maximum number of failed nodes of a large command whose listed outputs are read.
pub const FAILED_OUTPUT_NODES_MAX: usize = 50;
/// How many outputs are read concurrently.
const OUTPUT_READS_AT_ONCE: usize = 5;
/// Pauses between reads of a command that is said to have ended but still reads as running: 3 s in
/// total.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
];

/// Pause between the end of a large command and the only read of its nodes: as long as the nodes of
/// other commands are read again.
const PAUSE_OF_LARGE: Duration = Duration::from_secs(3);

/// Maximum length of unknown status details in an error, in bytes. Known details have up to 17.
const QUOTED_DETAILS_BYTES_MAX: usize = 64;

/// What is known about a command before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Something changed. The command may still be running.
    Changed,
    /// The command is said to have ended. If it reads as running, the read lags.
    Ended,
    /// The command is said to have ended, and is so old that a node without a visible end is
    /// assumed never to have run it.
    Overdue,
}

/// What became of a command's callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The task was answered with a success. With `onFailure` = `Report`, this includes failed
    /// commands.
    Succeeded,
    /// The task was answered with a failure.
    Failed {
        /// The error name, such as `RunCommand.Failed`.
        error: String,
    },
    /// The command is still running; its task was not answered.
    Running,
    /// The task was closed before: answered, timed out, or stopped.
    AlreadyClosed,
    /// The command has no task token, so no task ever waited for it.
    NoToken,
    /// Step Functions rejects the command's task token.
    TokenRejected,
}

impl Outcome {
    /// One word for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed { .. } => "Failed",
            Self::Running => "Running",
            Self::AlreadyClosed => "AlreadyClosed",
            Self::NoToken => "NoToken",
            Self::TokenRejected => "TokenRejected",
        }
    }
}

/// Why a command could not be settled now. It is safe to try again later, and of use except after
/// [`OutputRefused`](Self::OutputRefused).
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// `ListCommands` failed.
    #[error("reading command {command_id}")]
    ReadCommand {
        /// The command.
        command_id: CommandId,
        /// The call that failed.
        source: CallError,
    },
    /// `ListCommandInvocations` failed.
    #[error("reading the invocations of command {command_id}")]
    ReadInvocations {
        /// The command.
        command_id: CommandId,
        /// The call that failed.
        source: CallError,
    },
    /// `GetCommandInvocation` failed.
    #[error("reading the output of command {command_id}")]
    ReadOutput {
        /// The command.
        command_id: CommandId,
        /// The call that failed.
        source: CallError,
    },
    /// Run Command does not know the command.
    #[error("command {command_id} was not found in this account and Region")]
    NotFound {
        /// The command.
        command_id: CommandId,
    },
    /// The command is said to have ended, but still reads as running.
    #[error("command {command_id} is reported to have ended, but its status is {status_details}")]
    NotEnded {
        /// The command.
        command_id: CommandId,
        /// The status details of the last read.
        status_details: StatusDetails,
    },
    /// The command has ended, but the end of some nodes has not been seen.
    #[error(
        "command {command_id} has ended, but not visibly on each of its {target_count} nodes \
         ({read_count} invocations were read)"
    )]
    Unseen {
        /// The command.
        command_id: CommandId,
        /// The number of targeted nodes.
        target_count: u32,
        /// The number of invocations that were read, including those still running.
        read_count: usize,
    },
    /// `SendTaskSuccess` or `SendTaskFailure` failed. The answer may have taken effect.
    #[error("answering the task of command {command_id}")]
    Answer {
        /// The command.
        command_id: CommandId,
        /// The call that failed.
        source: CallError,
    },
    /// Step Functions rejected every answer, the last one a failure with nothing but the command's
    /// own counts. Permanent: no later try can answer the task.
    #[error(
        "Step Functions rejects every answer to the task of command {command_id}: with and without \
         script output, and without its nodes"
    )]
    OutputRefused {
        /// The command.
        command_id: CommandId,
    },
}

impl SettleError {
    /// One word for the error metric and for alarms: which operation failed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReadCommand { .. } => "ReadCommandFailed",
            Self::ReadInvocations { .. } => "ReadInvocationsFailed",
            Self::ReadOutput { .. } => "ReadOutputFailed",
            Self::NotFound { .. } => "CommandNotFound",
            Self::NotEnded { .. } => "CommandNotEnded",
            Self::Unseen { .. } => "InvocationsUnseen",
            Self::Answer { .. } => "AnswerFailed",
            Self::OutputRefused { .. } => "OutputRefused",
        }
    }
}

/// Reads the command, decides, and answers its task.
///
/// Makes two reads concurrently, one more per step whose output the listing truncates or cannot
/// split for certain (on up to ten nodes), and one answer. If the reads contradict the hint, it reads
/// up to five times within 3 s.
///
/// A command with more than [`LISTED_OUTPUTS_NODES_MAX`] nodes is large: it takes minutes to read.
/// So its nodes are read once, 3 s after the command reads as ended. Of their outputs only the
/// beginnings are kept, and the listed outputs of up to [`FAILED_OUTPUT_NODES_MAX`] failed nodes are
/// read again.
///
/// A command with more than [`NODES_MAX`] nodes is answered from its own counts. So is one whose
/// nodes can never be read, or whose report Step Functions rejects.
///
/// # Errors
///
/// [`SettleError`] if a call fails, or if the reads still contradict the hint. The task is never
/// answered by guess, so it is safe to try again later.
pub async fn settle(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    id: &CommandId,
    hint: Hint,
) -> Result<Outcome, SettleError> {
    let settling = Settling { run_command, tasks, id, hint };
    let mut pauses = PAUSES.iter();
    loop {
        let (command, nodes) = settling.read().await?;
        let is_last = command.as_ref().is_some_and(|command| is_large(command) && ended(command));
        let pause = pauses.next().filter(|_| !is_last);
        let attempt = if pause.is_some() { Attempt::Early } else { Attempt::Last };
        match settling.next_step(command, nodes, attempt)? {
            Step::Done(outcome) => return Ok(outcome),
            Step::Answer { command, token, mut invocations, failure } => {
                if is_large(&command) {
                    settling.complete_failed_outputs(&mut invocations).await?;
                } else {
                    settling.complete_outputs(&mut invocations).await?;
                }
                return settling.answer(&token, &command, &invocations, failure.as_ref()).await;
            }
            Step::AnswerUnread { command, token, unread } => {
                return settling.answer_unread(&token, &command, unread).await;
            }
            Step::ReadAgain(lag) => match pause {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(lag),
            },
        }
    }
}

/// A command that is being settled.
struct Settling<'a, R, T> {
    run_command: &'a R,
    tasks: &'a T,
    id: &'a CommandId,
    hint: Hint,
}

/// Whether another read can follow a read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Early,
    Last,
}

/// The nodes of a command as they were read, or why they were not.
type Nodes = Result<Vec<Invocation>, CallError>;

/// What to do after a read.
enum Step {
    Done(Outcome),
    /// The command has ended; `failure` is the reason if it failed.
    Answer {
        command: Command,
        token: TaskToken,
        invocations: Vec<Invocation>,
        failure: Option<StatusDetails>,
    },
    /// The command has ended, and its nodes cannot be told.
    AnswerUnread {
        command: Command,
        token: TaskToken,
        unread: Unread,
    },
    /// The read lags. The error to return if it was the last one.
    ReadAgain(SettleError),
}

impl<R: RunCommand, T: Tasks> Settling<'_, R, T> {
    /// Reads the command and its nodes. Those of a large command are not read before it has ended,
    /// and those of one with too many nodes not at all.
    async fn read(&self) -> Result<(Option<Command>, Nodes), SettleError> {
        let (command, nodes) = self.read_at_once().await?;
        match &command {
            Some(large) if is_large(large) => {
                let nodes = self.read_large(large).await;
                Ok((command, nodes))
            }
            _ => Ok((command, nodes)),
        }
    }

    /// Reads the command and, concurrently, its nodes, until the command turns out to be large.
    async fn read_at_once(&self) -> Result<(Option<Command>, Nodes), SettleError> {
        let failed = |source| SettleError::ReadCommand { command_id: self.id.clone(), source };
        let command = pin!(self.run_command.command(self.id));
        let nodes = pin!(self.run_command.invocations(self.id, Outputs::Listed));
        match select(command, nodes).await {
            Either::Left((command, nodes)) => match command.map_err(failed)? {
                Some(large) if is_large(&large) => Ok((Some(large), Ok(Vec::new()))),
                command => Ok((command, nodes.await)),
            },
            Either::Right((nodes, command)) => Ok((command.await.map_err(failed)?, nodes)),
        }
    }

    async fn read_large(&self, command: &Command) -> Nodes {
        let is_awaited = matches!(command.callback.task_token, Some(Ok(_)));
        if !is_awaited || !ended(command) || command.target_count > NODES_MAX {
            return Ok(Vec::new());
        }
        tokio::time::sleep(PAUSE_OF_LARGE).await;
        self.run_command.invocations(self.id, Outputs::Beginnings).await
    }

    fn next_step(
        &self,
        command: Option<Command>,
        nodes: Nodes,
        attempt: Attempt,
    ) -> Result<Step, SettleError> {
        let command_id = self.id.clone();
        let Some(command) = command else {
            return Ok(Step::ReadAgain(SettleError::NotFound { command_id }));
        };
        // The command keeps its token: the report replaces it in texts of others.
        let token = match &command.callback.task_token {
            None => return Ok(Step::Done(Outcome::NoToken)),
            Some(Err(_)) => return Ok(Step::Done(Outcome::TokenRejected)),
            Some(Ok(token)) => token.clone(),
        };
        if ended(&command) && command.target_count > NODES_MAX {
            let unread = Unread::TooManyNodes;
            return Ok(Step::AnswerUnread { command, token, unread });
        }
        let invocations = match nodes {
            Ok(invocations) => invocations,
            // A running command is not answered, whatever becomes of its nodes.
            Err(_) if !ended(&command) => Vec::new(),
            Err(error) if error.is_final() => {
                tracing::warn!(
                    %command_id, runbook = "NodesUnreadable", %error,
                    "the command's nodes can never be read"
                );
                return Ok(Step::AnswerUnread { command, token, unread: Unread::Unreadable });
            }
            Err(source) => return Err(SettleError::ReadInvocations { command_id, source }),
        };
        Ok(match verdict(&command, &invocations) {
            Verdict::Running if self.hint == Hint::Changed => Step::Done(Outcome::Running),
            Verdict::Running => Step::ReadAgain(SettleError::NotEnded {
                command_id,
                status_details: quotable(command.status_details),
            }),
            // An unconfirmed success may still be one, so it does not count as a failure before it
            // is overdue.
            Verdict::Unseen(_)
                if attempt == Attempt::Early
                    || (command.status_details == StatusDetails::Success
                        && self.hint != Hint::Overdue) =>
            {
                Step::ReadAgain(SettleError::Unseen {
                    command_id,
                    target_count: command.target_count,
                    read_count: invocations.len(),
                })
            }
            Verdict::Unseen(reason) | Verdict::Failure(reason) => {
                Step::Answer { command, token, invocations, failure: Some(reason) }
            }
            Verdict::Success => Step::Answer { command, token, invocations, failure: None },
        })
    }

    /// If there are few nodes, reads in full the outputs that the listing truncated or perhaps split
    /// in the wrong place.
    async fn complete_outputs(&self, invocations: &mut [Invocation]) -> Result<(), SettleError> {
        if invocations.len() > FULL_OUTPUT_NODES_MAX {
            return Ok(());
        }
        let incomplete = invocations.iter_mut().flat_map(|invocation| {
            let Invocation { instance_id, plugins, .. } = invocation;
            plugins
                .iter_mut()
                .filter(|plugin| plugin.output.truncated || !plugin.output.exact)
                .map(|plugin| (&*instance_id, plugin))
        });
        stream::iter(incomplete.map(Ok))
            .try_for_each_concurrent(OUTPUT_READS_AT_ONCE, |(instance_id, plugin)| async move {
                match self.run_command.output(self.id, instance_id, &plugin.name).await {
                    Ok(output) if is_at_least_as_long(&output, &plugin.output) => {
                        plugin.output = output;
                    }
                    // Each read lags on its own: this one is older than the listing.
                    Ok(_) => plugin.output.truncated = true,
                    // The listed output is shorter but correct. Do not leave the task waiting.
                    Err(error) if error.kind == CallErrorKind::Permanent => {
                        plugin.output.truncated = true;
                        tracing::warn!(
                            command_id = %self.id, runbook = "OutputTruncated", %instance_id, %error,
                            "output stays truncated: reading it in full failed"
                        );
                    }
                    Err(source) => {
                        let command_id = self.id.clone();
                        return Err(SettleError::ReadOutput { command_id, source });
                    }
                }
                Ok(())
            })
            .await
    }

    /// Reads the listed outputs of the failed nodes that a large command's report begins with, where
    /// only a beginning was kept.
    async fn complete_failed_outputs(
        &self,
        invocations: &mut [Invocation],
    ) -> Result<(), SettleError> {
        let mut failed: Vec<_> =
            invocations.iter_mut().filter(|invocation| !invocation.has_succeeded()).collect();
        failed.sort_unstable_by(|one, other| one.instance_id.cmp(&other.instance_id));
        failed.truncate(FAILED_OUTPUT_NODES_MAX);
        failed.retain(|invocation| invocation.is_truncated());
        stream::iter(failed.into_iter().map(Ok))
            .try_for_each_concurrent(OUTPUT_READS_AT_ONCE, |invocation| async move {
                let instance_id = &invocation.instance_id;
                match self.run_command.invocation(self.id, instance_id).await {
                    Ok(read) => take_outputs(invocation, read),
                    // Do not leave the task waiting for an output that cannot be read.
                    Err(error) if error.kind == CallErrorKind::Permanent => tracing::warn!(
                        command_id = %self.id, runbook = "OutputTruncated", %instance_id, %error,
                        "output stays truncated: reading the node failed"
                    ),
                    Err(source) => {
                        let command_id = self.id.clone();
                        return Err(SettleError::ReadInvocations { command_id, source });
                    }
                }
                Ok(())
            })
            .await
    }

    /// Answers the task of a command that has ended.
    async fn answer(
        &self,
        token: &TaskToken,
        command: &Command,
        invocations: &[Invocation],
        failure: Option<&StatusDetails>,
    ) -> Result<Outcome, SettleError> {
        let failed = |source| SettleError::Answer { command_id: command.id.clone(), source };
        let bytes_max = command.callback.output_bytes.get();
        let (receipt, accepted) = match failure {
            Some(reason) if command.callback.on_failure == OnFailure::Fail => {
                let error = name_of_failure(command, error_name(reason));
                let cause = report(command, invocations, bytes_max.min(CAUSE_BYTES_MAX));
                let receipt = self.tasks.fail(token, &error, &cause).await.map_err(failed)?;
                (receipt, Outcome::Failed { error })
            }
            _ => {
                let output = report(command, invocations, bytes_max);
                let mut receipt = self.tasks.succeed(token, &output).await.map_err(failed)?;
                if receipt == AnswerReceipt::OutputRejected {
                    let output = report_without_outputs(command, invocations, bytes_max);
                    receipt = self.tasks.succeed(token, &output).await.map_err(failed)?;
                }
                (receipt, Outcome::Succeeded)
            }
        };
        if let Some(outcome) = outcome(receipt, accepted) {
            return Ok(outcome);
        }
        tracing::warn!(
            command_id = %self.id, runbook = "ReportRejected",
            "Step Functions rejects the command's report"
        );
        self.answer_unread(token, command, Unread::Unreadable).await
    }

    /// Answers the task of a command that has ended from the command's own counts.
    async fn answer_unread(
        &self,
        token: &TaskToken,
        command: &Command,
        unread: Unread,
    ) -> Result<Outcome, SettleError> {
        let failed = |source| SettleError::Answer { command_id: command.id.clone(), source };
        let report = report_without_nodes(command);
        let error = name_of_failure(command, unread.error_name().to_owned());
        if unread == Unread::TooManyNodes && command.callback.on_failure == OnFailure::Report {
            let receipt = self.tasks.succeed(token, &report).await.map_err(failed)?;
            if let Some(outcome) = outcome(receipt, Outcome::Succeeded) {
                return Ok(outcome);
            }
        }
        let receipt = self.tasks.fail(token, &error, &report).await.map_err(failed)?;
        outcome(receipt, Outcome::Failed { error })
            .ok_or_else(|| SettleError::OutputRefused { command_id: command.id.clone() })
    }
}

/// The error name that the state machine sees: the command's own, if it has one.
pub fn name_of_failure(command: &Command, reason: String) -> String {
    command.callback.error_name.clone().unwrap_or(reason)
}

/// What became of an answer; `None` if Step Functions rejects what it says.
fn outcome(receipt: AnswerReceipt, accepted: Outcome) -> Option<Outcome> {
    match receipt {
        AnswerReceipt::Accepted => Some(accepted),
        AnswerReceipt::AlreadyClosed => Some(Outcome::AlreadyClosed),
        AnswerReceipt::TokenRejected => Some(Outcome::TokenRejected),
        AnswerReceipt::OutputRejected => None,
    }
}

fn ended(command: &Command) -> bool {
    has_ended(&command.status, &command.status_details)
}

/// Whether a command has too many nodes to keep their listed outputs.
fn is_large(command: &Command) -> bool {
    command.target_count > LISTED_OUTPUTS_NODES_MAX
}

/// Whether the nodes of a command are too many to keep their listed outputs, and few enough to read
/// them. That takes minutes.
pub(crate) fn takes_long(command: &Command) -> bool {
    is_large(command) && command.target_count <= NODES_MAX
}

/// Replaces beginnings of texts by what was read later, unless that read is older.
fn take_outputs(invocation: &mut Invocation, read: Option<Invocation>) {
    let Some(read) = read else { return };
    if read.trace.text.len() >= invocation.trace.text.len() {
        invocation.trace = read.trace;
    }
    for (step, read) in invocation.plugins.iter_mut().zip(read.plugins) {
        if step.name == read.name && is_at_least_as_long(&read.output, &step.output) {
            step.output = read.output;
        }
    }
}

/// Status details that an error may quote: known values, and unknown ones that are words. A broken
/// response could contain anything here, even a task token.
fn quotable(details: StatusDetails) -> StatusDetails {
    let is_word = |byte: u8| byte.is_ascii_alphabetic() || byte == b' ';
    match details {
        StatusDetails::Other(text)
            if text.len() > QUOTED_DETAILS_BYTES_MAX || !text.bytes().all(is_word) =>
        {
            StatusDetails::Other("not a valid status".to_owned())
        }
        details => details,
    }
}

/// Whether a full output has at least as many bytes as the listed one. A listed output can be
/// truncated but is never longer.
fn is_at_least_as_long(full: &Output, listed: &Output) -> bool {
    let bytes = |output: &Output| output.stdout.len() + output.stderr.len();
    bytes(full) >= bytes(listed)
}
