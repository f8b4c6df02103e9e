//! Settles one command: reads it, decides, and answers its task. Nothing else answers a task.
//!
//! An event is only a hint. Apart from the command ID and whether the command is said to have
//! ended, everything is read from Run Command. So late, repeated, reordered, or forged events
//! cannot cause a wrong answer. Step Functions accepts one answer per token; a second answer finds
//! the task closed, which is a normal outcome.

use std::time::Duration;

use futures_util::future::{TryFutureExt, try_join};
use futures_util::stream::{self, TryStreamExt};

use crate::command::{Command, Invocation, OnFailure};
use crate::id::CommandId;
use crate::output::Output;
use crate::ports::{AnswerReceipt, CallError, CallErrorKind, RunCommand, Tasks};
use crate::report::{
    CAUSE_BYTES_MAX, OUTPUT_BYTES_MAX, error_name, report, report_without_outputs,
};
use crate::status::StatusDetails;
use crate::token::TaskToken;
use crate::verdict::{Verdict, verdict};

/// Maximum number of nodes whose outputs are read in full (`GetCommandInvocation`).
pub const FULL_OUTPUT_NODES_MAX: usize = 10;
/// How many full outputs are read concurrently.
const OUTPUT_READS_AT_ONCE: usize = 5;
/// Pauses between reads of a command that is said to have ended but still reads as running: 3 s in
/// total.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
];

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

/// Why a command could not be settled now. It is safe to try again later.
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
    /// Step Functions rejected even the report without outputs.
    #[error(
        "Step Functions rejects the output of command {command_id}, both with and without script \
         output"
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
/// Makes two reads concurrently, one more per step with long output (on up to ten nodes), and one
/// answer. If the reads contradict the hint, it reads up to five times within 3 s.
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
        let (command, mut invocations) = settling.read().await?;
        let pause = pauses.next();
        let attempt = if pause.is_some() { Attempt::Early } else { Attempt::Last };
        match settling.next_step(command, &invocations, attempt) {
            Step::Done(outcome) => return Ok(outcome),
            Step::Answer { command, token, failure } => {
                settling.complete_outputs(&mut invocations).await?;
                return settling.answer(&token, &command, &invocations, failure.as_ref()).await;
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

/// What to do after a read.
enum Step {
    Done(Outcome),
    /// The command has ended; `failure` is the reason if it failed.
    Answer {
        command: Command,
        token: TaskToken,
        failure: Option<StatusDetails>,
    },
    /// The read lags. The error to return if it was the last one.
    ReadAgain(SettleError),
}

impl<R: RunCommand, T: Tasks> Settling<'_, R, T> {
    async fn read(&self) -> Result<(Option<Command>, Vec<Invocation>), SettleError> {
        let command_id = || self.id.clone();
        let command = self
            .run_command
            .command(self.id)
            .map_err(|source| SettleError::ReadCommand { command_id: command_id(), source });
        let invocations = self
            .run_command
            .invocations(self.id)
            .map_err(|source| SettleError::ReadInvocations { command_id: command_id(), source });
        try_join(command, invocations).await
    }

    fn next_step(
        &self,
        command: Option<Command>,
        invocations: &[Invocation],
        attempt: Attempt,
    ) -> Step {
        let command_id = self.id.clone();
        let Some(mut command) = command else {
            return Step::ReadAgain(SettleError::NotFound { command_id });
        };
        let token = match command.callback.task_token.take() {
            None => return Step::Done(Outcome::NoToken),
            Some(Err(_)) => return Step::Done(Outcome::TokenRejected),
            Some(Ok(token)) => token,
        };
        match verdict(&command, invocations) {
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
                Step::Answer { command, token, failure: Some(reason) }
            }
            Verdict::Success => Step::Answer { command, token, failure: None },
        }
    }

    /// If there are few nodes, reads in full the outputs that the listing truncated or mixed up.
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
                            command_id = %self.id, %instance_id, %error,
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

    /// Answers the task of a command that has ended.
    async fn answer(
        &self,
        token: &TaskToken,
        command: &Command,
        invocations: &[Invocation],
        failure: Option<&StatusDetails>,
    ) -> Result<Outcome, SettleError> {
        let failed = |source| SettleError::Answer { command_id: command.id.clone(), source };
        let (receipt, accepted) = match failure {
            Some(reason) if command.callback.on_failure == OnFailure::Fail => {
                let error = error_name(reason);
                let cause = report(command, invocations, CAUSE_BYTES_MAX);
                let receipt = self.tasks.fail(token, &error, &cause).await.map_err(failed)?;
                (receipt, Outcome::Failed { error })
            }
            _ => {
                let output = report(command, invocations, OUTPUT_BYTES_MAX);
                let mut receipt = self.tasks.succeed(token, &output).await.map_err(failed)?;
                if receipt == AnswerReceipt::OutputRejected {
                    let output = report_without_outputs(command, invocations, OUTPUT_BYTES_MAX);
                    receipt = self.tasks.succeed(token, &output).await.map_err(failed)?;
                }
                (receipt, Outcome::Succeeded)
            }
        };
        match receipt {
            AnswerReceipt::Accepted => Ok(accepted),
            AnswerReceipt::AlreadyClosed => Ok(Outcome::AlreadyClosed),
            AnswerReceipt::TokenRejected => Ok(Outcome::TokenRejected),
            AnswerReceipt::OutputRejected => {
                Err(SettleError::OutputRefused { command_id: command.id.clone() })
            }
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
