//! Settles one command: reads it, decides, and answers its task. The only thing that answers.
//!
//! An event is a hint: nothing is taken from it but the command id and whether the command is
//! said to have ended. So late, repeated, reordered or forged events cannot make a wrong answer.
//! Step Functions accepts one answer per token; a second one is told that the task is closed,
//! which is a normal outcome here.

use std::time::Duration;

use futures_util::future::{TryFutureExt, try_join};
use futures_util::stream::{self, TryStreamExt};

use crate::command::{Command, Invocation, OnFailure, Output, StatusDetails};
use crate::id::CommandId;
use crate::ports::{CallError, CallErrorKind, Delivery, RunCommand, Tasks};
use crate::report::{
    CAUSE_BYTES_MAX, OUTPUT_BYTES_MAX, error_name, report, report_without_outputs,
};
use crate::token::TaskToken;
use crate::verdict::{Verdict, verdict};

/// Up to this many nodes, outputs are read in full (`GetCommandInvocation`).
pub const FULL_OUTPUT_NODES_MAX: usize = 10;
/// How many full outputs are read at the same time.
const OUTPUT_READS_AT_ONCE: usize = 5;
/// Pauses between reads of a command that has ended but does not say so yet: 3 s together.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
];

/// The longest unknown details that an error quotes. Known ones have up to 17 letters.
const QUOTED_DETAILS_BYTES_MAX: usize = 64;

/// What is known about the command before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Something changed. Still running is a fine outcome.
    Changed,
    /// The command is said to have ended. Still running means that the read lags.
    Ended,
    /// The command is said to have ended, and was requested so long ago that a node whose end is
    /// not seen now is taken for one that never ran it.
    Overdue,
}

/// What became of a command's callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The task has been told that the command succeeded, or, with `onFailure` = `Report`, how it
    /// failed.
    Succeeded,
    /// The task has been told that the command failed, under this error name.
    Failed {
        /// Such as `RunCommand.Failed`.
        error: String,
    },
    /// The command still runs; the task was not answered.
    Running,
    /// Nobody waits any more: answered before, timed out, or stopped.
    AlreadyClosed,
    /// The command has no task token: nobody ever waited for it.
    NoToken,
    /// The command's task token is none that Step Functions takes.
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

/// Why a command could not be settled now. Its task was not answered; the caller tries again.
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
    #[error("reading an output of command {command_id}")]
    ReadOutput {
        /// The command.
        command_id: CommandId,
        /// The call that failed.
        source: CallError,
    },
    /// Run Command does not know the command.
    #[error("command {command_id} was not found in this account and region")]
    NotFound {
        /// The command.
        command_id: CommandId,
    },
    /// An event says that the command has ended, and Run Command still says that it runs.
    #[error("command {command_id} is said to have ended, but reads as {status_details}")]
    NotEnded {
        /// The command.
        command_id: CommandId,
        /// What the last read said.
        status_details: StatusDetails,
    },
    /// The command has ended, and the end of some nodes has not been seen.
    #[error(
        "the end of command {command_id} was not seen on each of its {target_count} nodes \
         ({read_count} invocations were read)"
    )]
    Unseen {
        /// The command.
        command_id: CommandId,
        /// Nodes that were targeted.
        target_count: u32,
        /// Invocations that were read; some may still run.
        read_count: usize,
    },
    /// `SendTaskSuccess` or `SendTaskFailure` failed.
    #[error("answering the task of command {command_id}")]
    Answer {
        /// The command.
        command_id: CommandId,
        /// The call that failed.
        source: CallError,
    },
    /// Step Functions refused even the report without outputs.
    #[error(
        "Step Functions refused the output of command {command_id}, with and without the scripts' outputs"
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
/// Makes two reads at the same time, one more per step whose output is long (up to ten nodes), and
/// one answer. When the reads lag behind the hint it reads again, five times within 3 s.
///
/// # Errors
///
/// [`SettleError`] when a call failed, or when the reads still lag behind the hint. The task has
/// then not been answered by guess, so trying again later is safe.
pub async fn settle(
    run_command: &impl RunCommand,
    tasks: &impl Tasks,
    id: &CommandId,
    hint: Hint,
) -> Result<Outcome, SettleError> {
    let mut pauses = PAUSES.iter();
    loop {
        let (command, mut invocations) = read(run_command, id).await?;
        let pause = pauses.next();
        match next_step(id, command, &invocations, hint, pause.is_none()) {
            Step::Done(outcome) => return Ok(outcome),
            Step::Answer { command, token, failure } => {
                complete_outputs(run_command, id, &mut invocations).await?;
                return answer(tasks, &token, &command, &invocations, failure.as_ref()).await;
            }
            Step::ReadAgain(lag) => match pause {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(lag),
            },
        }
    }
}

async fn read(
    run_command: &impl RunCommand,
    id: &CommandId,
) -> Result<(Option<Command>, Vec<Invocation>), SettleError> {
    let command = run_command
        .command(id)
        .map_err(|source| SettleError::ReadCommand { command_id: id.clone(), source });
    let invocations = run_command
        .invocations(id)
        .map_err(|source| SettleError::ReadInvocations { command_id: id.clone(), source });
    try_join(command, invocations).await
}

/// What to do after a read.
enum Step {
    Done(Outcome),
    /// The command has ended; `failure` is the reason when it was no success.
    Answer {
        command: Command,
        token: TaskToken,
        failure: Option<StatusDetails>,
    },
    /// The read lags. The error to return when it was the last one.
    ReadAgain(SettleError),
}

fn next_step(
    id: &CommandId,
    command: Option<Command>,
    invocations: &[Invocation],
    hint: Hint,
    is_last_read: bool,
) -> Step {
    let Some(mut command) = command else {
        return Step::ReadAgain(SettleError::NotFound { command_id: id.clone() });
    };
    let token = match command.callback.task_token.take() {
        None => return Step::Done(Outcome::NoToken),
        Some(Err(_)) => return Step::Done(Outcome::TokenRejected),
        Some(Ok(token)) => token,
    };
    match verdict(&command, invocations) {
        Verdict::Running if hint == Hint::Changed => Step::Done(Outcome::Running),
        Verdict::Running => Step::ReadAgain(SettleError::NotEnded {
            command_id: id.clone(),
            status_details: quotable(command.status_details),
        }),
        // A success that some node has not confirmed is not called a failure before it is overdue:
        // it may still be one.
        Verdict::Unseen(_)
            if !is_last_read
                || (command.status_details == StatusDetails::Success && hint != Hint::Overdue) =>
        {
            Step::ReadAgain(SettleError::Unseen {
                command_id: id.clone(),
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

/// Details that an error may quote: known ones, and unknown ones that are words. A broken answer
/// could hold anything there, also a task token.
fn quotable(details: StatusDetails) -> StatusDetails {
    let is_word = |byte: u8| byte.is_ascii_alphabetic() || byte == b' ';
    match details {
        StatusDetails::Other(text)
            if text.len() > QUOTED_DETAILS_BYTES_MAX || !text.bytes().all(is_word) =>
        {
            StatusDetails::Other("something that is no status".to_owned())
        }
        details => details,
    }
}

/// Reads in full what the listing has cut or mixed up, when the nodes are few.
async fn complete_outputs(
    run_command: &impl RunCommand,
    id: &CommandId,
    invocations: &mut [Invocation],
) -> Result<(), SettleError> {
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
            match run_command.output(id, instance_id, &plugin.name).await {
                Ok(output) if tells_no_less(&output, &plugin.output) => plugin.output = output,
                // Reads lag, each for itself: this one shows a time before the listing's.
                Ok(_) => plugin.output.truncated = true,
                // What was listed is shorter, and true. It is no reason to leave the task waiting.
                Err(error) if error.kind == CallErrorKind::Permanent => {
                    plugin.output.truncated = true;
                    tracing::warn!(command_id = %id, %instance_id, %error, "output stays cut");
                }
                Err(source) => {
                    return Err(SettleError::ReadOutput { command_id: id.clone(), source });
                }
            }
            Ok(())
        })
        .await
}

/// Whether a whole output has all that the listing had: a listed one is cut, and never longer.
fn tells_no_less(whole: &Output, listed: &Output) -> bool {
    let bytes = |output: &Output| output.stdout.len() + output.stderr.len();
    bytes(whole) >= bytes(listed)
}

/// Answers the task of a command that has ended.
async fn answer(
    tasks: &impl Tasks,
    token: &TaskToken,
    command: &Command,
    invocations: &[Invocation],
    failure: Option<&StatusDetails>,
) -> Result<Outcome, SettleError> {
    let failed = |source| SettleError::Answer { command_id: command.id.clone(), source };
    let (delivery, accepted) = match failure {
        Some(reason) if command.callback.on_failure == OnFailure::Fail => {
            let error = error_name(reason);
            let cause = report(command, invocations, CAUSE_BYTES_MAX);
            let delivery = tasks.fail(token, &error, &cause).await.map_err(failed)?;
            (delivery, Outcome::Failed { error })
        }
        _ => {
            let output = report(command, invocations, OUTPUT_BYTES_MAX);
            let mut delivery = tasks.succeed(token, &output).await.map_err(failed)?;
            if delivery == Delivery::OutputRejected {
                let output = report_without_outputs(command, invocations, OUTPUT_BYTES_MAX);
                delivery = tasks.succeed(token, &output).await.map_err(failed)?;
            }
            (delivery, Outcome::Succeeded)
        }
    };
    match delivery {
        Delivery::Accepted => Ok(accepted),
        Delivery::AlreadyClosed => Ok(Outcome::AlreadyClosed),
        Delivery::TokenRejected => Ok(Outcome::TokenRejected),
        Delivery::OutputRejected => {
            Err(SettleError::OutputRefused { command_id: command.id.clone() })
        }
    }
}
