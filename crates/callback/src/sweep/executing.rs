//! The look at executing commands: a heartbeat for each, and an end for those that nobody waits for.

use futures_util::stream::{self, StreamExt};
use tracing::{info, warn};

use crate::command::OnAbandon;
use crate::ports::{Pulse, RunCommand, Tasks};
use crate::sweep::heartbeat::{COMMANDS_AT_ONCE, Look, look};
use crate::sweep::pass::{NotRead, Pass};
use crate::sweep::reading::{List, Reading};
use crate::sweep::waiting::Waiting;

impl<R: RunCommand, T: Tasks> Pass<'_, R, T> {
    /// Reads the list of executing commands to its end. `None` if it failed, or has no end.
    pub(super) async fn executing(&mut self) -> Option<Reading> {
        let mut has_page = false;
        self.begin_reading(List::Executing, None);
        loop {
            match self.page(List::Executing).await {
                Ok(Some(page)) => {
                    has_page = true;
                    self.look_after_executing(page.waiting).await;
                    self.turn(List::Executing, page.turn);
                }
                Ok(None) => match self.memory.end_reading(List::Executing) {
                    // What has been requested since it began stands before the place where it went
                    // on.
                    Some(reading) if reading.has_failed => {
                        self.report.executing = 0;
                        self.begin_reading(List::Executing, None);
                    }
                    reading => return reading,
                },
                Err(NotRead::Failed(error)) if !has_page => {
                    self.report.blind = Some(error);
                    return None;
                }
                Err(NotRead::TooLong) => {
                    // More is not to be had.
                    self.memory.knows_executing = true;
                    return None;
                }
                Err(NotRead::Failed(_)) => return None,
            }
        }
    }

    async fn look_after_executing(&mut self, mut commands: Vec<Waiting>) {
        commands.retain(|command| !self.memory.has_seen(&command.id));
        self.report.executing += commands.len() as u64;
        let (now, memory, pace) = (self.now, &mut *self.memory, &self.pace);
        let (tasks, run_command, report) = (self.tasks, self.run_command, &mut self.report);
        let (asked, not_asked): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|command| memory.refusal(&command.id, now).is_none());
        for command in not_asked {
            memory.sees_executing(command);
        }
        let mut looks = stream::iter(asked)
            .map(async |command| {
                let look = look(tasks, pace, &command).await;
                let is_abandoned = matches!(look, Look::Pulse(Pulse::Closed))
                    && !command.is_cancelling
                    && command.on_abandon == OnAbandon::Cancel;
                let cancelled =
                    if is_abandoned { Some(run_command.cancel(&command.id).await) } else { None };
                (command, look, cancelled)
            })
            .buffer_unordered(COMMANDS_AT_ONCE);
        while let Some((command, look, cancelled)) = looks.next().await {
            match cancelled {
                Some(Ok(())) => {
                    info!(command_id = %command.id, "cancelled, because its task is closed");
                    report.cancelled += 1;
                }
                Some(Err(error)) => {
                    warn!(
                        command_id = %command.id, runbook = "CancelFailed", %error,
                        "sweeping a command failed"
                    );
                    report.failed += 1;
                }
                None => {}
            }
            match look {
                Look::Pulse(Pulse::Alive) => {
                    report.heartbeats += 1;
                    report.note_waiting(command.requested_at, now);
                    memory.sees_executing(command);
                }
                // Nobody waits for its end.
                Look::Pulse(Pulse::Closed) => memory.forget_executing(command.key()),
                // A wrong cancel is worse than a late one: it is not known to be abandoned.
                Look::Pulse(Pulse::Rejected) => {
                    report.reject(memory, &command.id, now);
                    memory.sees_executing(command);
                }
                Look::Failed => {
                    report.failed += 1;
                    report.note_waiting(command.requested_at, now);
                    memory.sees_executing(command);
                }
                Look::Refused(error) => {
                    report.refuse(memory, &command.id, now, &error);
                    memory.sees_executing(command);
                }
            }
        }
    }
}
