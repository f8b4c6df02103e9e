//! The look at completed commands: one heartbeat for each, which tells whose task still waits.

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::ports::{Pulse, RunCommand, Tasks};
use crate::sweep::heartbeat::{COMMANDS_AT_ONCE, Look, look};
use crate::sweep::memory::{Memory, Refusal};
use crate::sweep::pass::Pass;
use crate::sweep::reading::List;
use crate::sweep::report::SweepReport;
use crate::sweep::waiting::Waiting;

/// How many commands that have ended are looked at, before it is noted that they were.
const ENDED_AT_ONCE: usize = 50;

impl<R: RunCommand, T: Tasks> Pass<'_, R, T> {
    /// Looks after what was executing at the last sweep, and is no longer.
    pub(super) async fn look_after_ended(&mut self) {
        loop {
            let ended = self.memory.some_ended(ENDED_AT_ONCE);
            if ended.is_empty() {
                return;
            }
            let ids: Vec<_> = ended.iter().map(|command| command.id.clone()).collect();
            self.look_after_completed(ended).await;
            for id in ids {
                self.memory.forget_ended(&id);
            }
        }
    }

    /// Reads on in a list of completed commands, so many pages at most; whether it came to its end.
    pub(super) async fn read_completed(&mut self, list: List, pages_max: usize) -> bool {
        for _ in 0..pages_max {
            match self.page(list).await {
                Ok(Some(page)) => {
                    let are_remembered = self.look_after_completed(page.waiting).await;
                    if let Some(reading) = self.memory.reading(list) {
                        reading.has_left_out |= !are_remembered;
                    }
                    self.turn(list, page.turn);
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        self.memory.reading(list).is_none_or(|reading| reading.next().is_none())
    }

    /// Gives each of these commands its one heartbeat; whether all of them could be remembered.
    async fn look_after_completed(&mut self, commands: Vec<Waiting>) -> bool {
        let (now, memory, pace) = (self.now, &mut *self.memory, &self.pace);
        let (tasks, report) = (self.tasks, &mut self.report);
        let mut asked = Vec::new();
        let mut all_are_remembered = true;
        for command in commands {
            match memory.refusal(&command.id, now) {
                _ if memory.is_known(&command.key()) || memory.reuses_token(&command.id) => {}
                Some(Refusal::Denied) => {}
                // An answer will tell whether anybody waits.
                Some(Refusal::Rejected) => {
                    all_are_remembered &= memory.suspect(&command, now);
                }
                None => asked.push(command),
            }
        }
        let mut looks = stream::iter(asked)
            .map(async |command| {
                let look = look(tasks, pace, &command).await;
                (command, look)
            })
            .buffer_unordered(COMMANDS_AT_ONCE);
        while let Some((command, look)) = looks.next().await {
            all_are_remembered &= note_completed(memory, report, &command, look, now);
        }
        all_are_remembered
    }
}

/// Notes what a heartbeat told of a completed command; whether it could be remembered.
fn note_completed(
    memory: &mut Memory,
    report: &mut SweepReport,
    command: &Waiting,
    look: Look,
    now: Timestamp,
) -> bool {
    match look {
        Look::Pulse(Pulse::Closed) => {
            memory.close(command.key());
            true
        }
        Look::Pulse(Pulse::Alive) => {
            report.heartbeats += 1;
            memory.suspect(command, now)
        }
        // Nothing is known of heartbeats without HeartbeatSeconds: an answer will tell.
        Look::Pulse(Pulse::Rejected) => {
            report.reject(memory, &command.id, now);
            memory.suspect(command, now)
        }
        Look::Failed => {
            report.failed += 1;
            memory.suspect(command, now)
        }
        Look::Refused(error) => {
            report.refuse(memory, &command.id, now, &error);
            true
        }
    }
}
