//! A command that some task waits, or waited, for.

use jiff::Timestamp;

use crate::command::{Command, OnAbandon};
use crate::id::CommandId;
use crate::settle::takes_long;
use crate::status::Status;
use crate::token::{InvalidToken, TaskToken};

/// A command that some task waits, or waited, for.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) id: CommandId,
    pub(super) token: TaskToken,
    pub(super) requested_at: Timestamp,
    pub(super) on_abandon: OnAbandon,
    pub(super) is_cancelling: bool,
    /// Whether it takes minutes to settle.
    pub(super) is_large: bool,
}

impl Waiting {
    /// The command, if it has a token; an error if no task can have that.
    pub(super) fn of(command: Command) -> Option<Result<Self, InvalidToken>> {
        let is_large = takes_long(&command);
        Some(command.callback.task_token?.map(|token| Self {
            id: command.id,
            token,
            requested_at: command.requested_at,
            on_abandon: command.callback.on_abandon,
            is_cancelling: command.status == Status::Cancelling,
            is_large,
        }))
    }

    /// What remembers it.
    pub(super) fn key(&self) -> (Timestamp, CommandId) {
        (self.requested_at, self.id.clone())
    }
}
