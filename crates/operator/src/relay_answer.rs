//! What the relay would answer now: [`settle`] itself, with tasks that note an answer and send none.

use std::sync::Mutex;

use callback::ports::{AnswerReceipt, CallError, Pulse};
use callback::{
    Command, Hint, Invocation, RunCommand, SettleError, TaskToken, Tasks, Verdict, settle, verdict,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// From this age on, the sweep takes a node without a visible end for one that never ran the command.
const OVERDUE_AGE: SignedDuration = SignedDuration::from_hours(1);

/// What the relay would answer.
#[derive(Debug, Clone, PartialEq)]
pub enum RelayAnswer {
    /// Nothing yet: the command is running.
    Running,
    /// Nothing: the command has no token that can be used.
    Nobody,
    /// A success, with this output.
    Success(Value),
    /// A failure with this error name and cause.
    Failure {
        /// The error name, such as `RunCommand.Failed`.
        error: String,
        /// The cause.
        cause: Value,
    },
}

/// What the relay would answer to the task of a command that was read so.
pub async fn relay_answer(
    run_command: &impl RunCommand,
    command: &Command,
    invocations: &[Invocation],
    now: Timestamp,
) -> Result<RelayAnswer, SettleError> {
    if verdict(command, invocations) == Verdict::Running {
        return Ok(RelayAnswer::Running);
    }
    let is_overdue = now.duration_since(command.requested_at) > OVERDUE_AGE;
    let hint = if is_overdue { Hint::Overdue } else { Hint::Ended };
    let notes = Notes::default();
    settle(run_command, &notes, &command.id, hint).await?;
    Ok(notes.answer.into_inner().ok().flatten().unwrap_or(RelayAnswer::Nobody))
}

/// Tasks that take every answer, note it, and send nothing.
#[derive(Default)]
struct Notes {
    answer: Mutex<Option<RelayAnswer>>,
}

impl Notes {
    fn note(&self, answer: RelayAnswer) -> AnswerReceipt {
        if let Ok(mut noted) = self.answer.lock() {
            *noted = Some(answer);
        }
        AnswerReceipt::Accepted
    }
}

impl Tasks for Notes {
    async fn succeed(&self, _: &TaskToken, output: &str) -> Result<AnswerReceipt, CallError> {
        Ok(self.note(RelayAnswer::Success(json_or_text(output))))
    }

    async fn fail(
        &self,
        _: &TaskToken,
        error: &str,
        cause: &str,
    ) -> Result<AnswerReceipt, CallError> {
        let (error, cause) = (error.to_owned(), json_or_text(cause));
        Ok(self.note(RelayAnswer::Failure { error, cause }))
    }

    /// Not called by `settle`.
    async fn heartbeat(&self, _: &TaskToken) -> Result<Pulse, CallError> {
        Ok(Pulse::Rejected)
    }
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
