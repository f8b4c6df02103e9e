//! What the relay would answer now: [`settle`] itself, with tasks that note an answer and send none.

use std::sync::Mutex;

use callback::output::Output;
use callback::ports::{
    AnswerReceipt, CallError, CommandListing, CommandPage, Outputs, PageToken, Pulse,
};
use callback::{
    Command, CommandId, Hint, InstanceId, Invocation, RunCommand, SettleError, TaskToken, Tasks,
    Verdict, settle, verdict,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::problem::Problem;

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

/// What was found out about the relay's answer.
#[derive(Debug)]
pub struct Answered {
    /// The answer, or why there is none.
    pub answer: Result<RelayAnswer, SettleError>,
    /// A read that failed. The relay has rights of its own, so its answer may be another one.
    pub failed: Option<Problem>,
}

/// What the relay would answer to the task of a command that was read so.
pub async fn relay_answer(
    run_command: &impl RunCommand,
    command: &Command,
    invocations: &[Invocation],
    now: Timestamp,
) -> Answered {
    let reads = Reads { run_command, failed: Mutex::default() };
    let answer = answer(&reads, command, invocations, now).await;
    Answered { answer, failed: reads.failed.into_inner().ok().flatten() }
}

async fn answer(
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

/// Reads, of which the first that fails is noted: an answer does without outputs that are denied.
struct Reads<'a, R> {
    run_command: &'a R,
    failed: Mutex<Option<Problem>>,
}

impl<R> Reads<'_, R> {
    /// `action` is the right that the read needs.
    fn noted<T>(&self, action: &str, read: Result<T, CallError>) -> Result<T, CallError> {
        if let (Err(error), Ok(mut failed)) = (&read, self.failed.lock()) {
            failed.get_or_insert_with(|| Problem::call(action, error));
        }
        read
    }
}

impl<R: RunCommand> RunCommand for Reads<'_, R> {
    async fn command(&self, id: &CommandId) -> Result<Option<Command>, CallError> {
        self.noted("ssm:ListCommands", self.run_command.command(id).await)
    }

    async fn invocations(
        &self,
        id: &CommandId,
        outputs: Outputs,
    ) -> Result<Vec<Invocation>, CallError> {
        let read = self.run_command.invocations(id, outputs).await;
        self.noted("ssm:ListCommandInvocations", read)
    }

    async fn invocation(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
    ) -> Result<Option<Invocation>, CallError> {
        let read = self.run_command.invocation(id, instance_id).await;
        self.noted("ssm:ListCommandInvocations", read)
    }

    async fn output(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
        plugin_name: &str,
    ) -> Result<Output, CallError> {
        let read = self.run_command.output(id, instance_id, plugin_name).await;
        self.noted("ssm:GetCommandInvocation", read)
    }

    async fn commands(
        &self,
        listing: &CommandListing,
        page: Option<&PageToken>,
    ) -> Result<CommandPage, CallError> {
        self.noted("ssm:ListCommands", self.run_command.commands(listing, page).await)
    }

    /// Not called by `settle`, and nothing is changed here.
    async fn cancel(&self, _: &CommandId) -> Result<(), CallError> {
        Ok(())
    }
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
