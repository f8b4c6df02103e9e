//! Settles completed commands whose task still waited when an earlier sweep looked.

use std::pin::pin;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::SignedDuration;
use tracing::warn;

use crate::id::CommandId;
use crate::ports::{CallErrorKind, RunCommand, Tasks};
use crate::settle::{Outcome, SettleError, settle};
use crate::sweep::memory::Suspect;
use crate::sweep::pass::Pass;

/// How many commands are settled at the same time: each may hold the outputs of many nodes.
const SETTLED_AT_ONCE: usize = 10;
/// From this age on, a completed command whose nodes were not all seen to end is not waited for,
/// if an earlier sweep saw it complete, too: one that has just ended may only read late.
const OVERDUE_AGE: SignedDuration = SignedDuration::from_hours(1);

impl<R: RunCommand, T: Tasks> Pass<'_, R, T> {
    /// Settles for one interval at most, so that heartbeats are not late.
    pub(super) async fn settle_suspects(&mut self) {
        let time = self.scope.interval();
        let suspects = self.memory.suspects_to_settle(false);
        let settled = tokio::time::timeout(time, self.settle_some(&suspects, SETTLED_AT_ONCE));
        let in_time = settled.await.is_ok();
        self.report.truncated |= !in_time;
    }

    /// Settles commands that take minutes to read, and much room: one after the other, and none that
    /// would begin after an interval, so that heartbeats come between.
    pub(super) async fn settle_large_suspects(&mut self) {
        let mut time = pin!(tokio::time::sleep(self.scope.interval()));
        for one in self.memory.suspects_to_settle(true) {
            if time.as_mut().now_or_never().is_some() {
                self.report.truncated = true;
                return;
            }
            self.settle_some(&[one], 1).await;
        }
    }

    /// Settles these, so many at the same time. What has an answer is noted, even if there is no time
    /// for the rest.
    async fn settle_some(&mut self, suspects: &[(CommandId, Suspect)], at_once: usize) {
        let (now, lately) = (self.now, self.scope.overlap());
        let (run_command, tasks) = (self.run_command, self.tasks);
        let mut left = suspects.iter();
        let mut settling = FuturesUnordered::new();
        loop {
            for (id, suspect) in left.by_ref().take(at_once - settling.len()) {
                self.memory.tries(id);
                let hint = suspect.hint(now, OVERDUE_AGE, lately);
                settling.push(async move { (id, settle(run_command, tasks, id, hint).await) });
            }
            let Some((id, result)) = settling.next().await else { return };
            self.note_settled(id, result);
        }
    }

    fn note_settled(&mut self, id: &CommandId, result: Result<Outcome, SettleError>) {
        match result {
            Ok(outcome) => {
                // Any other outcome: its event came after all.
                if matches!(outcome, Outcome::Succeeded | Outcome::Failed { .. }) {
                    warn!(
                        command_id = %id, runbook = "Recovered", outcome = outcome.name(),
                        "answered a task whose completion event was lost"
                    );
                    self.report.recovered += 1;
                }
                self.memory.acquit(id);
            }
            Err(SettleError::Answer { source, .. }) if source.kind == CallErrorKind::Permanent => {
                self.memory.dismiss(id);
                self.report.refuse(self.memory, id, self.now, &source);
            }
            Err(error) => {
                match error {
                    // It is older than a read can lag: Run Command has forgotten it. Listed once
                    // more, it is looked at once more.
                    SettleError::NotFound { .. } => self.memory.dismiss(id),
                    // No later try can answer it, and no heartbeat shall keep its task.
                    SettleError::OutputRefused { .. } => self.memory.acquit(id),
                    SettleError::Unseen { .. } => self.memory.confirm(id, self.now),
                    _ => self.memory.suspect_again(id, self.now),
                }
                self.report.count_failure(id, &error);
            }
        }
    }
}
