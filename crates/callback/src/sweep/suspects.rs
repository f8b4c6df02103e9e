//! Settles completed commands whose task still waited when an earlier sweep looked.

use futures_util::future::join_all;
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
        let settled = tokio::time::timeout(time, async {
            for some in suspects.chunks(SETTLED_AT_ONCE) {
                self.settle_all(some).await;
            }
        });
        let in_time = settled.await.is_ok();
        self.report.truncated |= !in_time;
    }

    /// Settles one command that takes minutes to read, and much room. The next sweep settles the
    /// next one: heartbeats come between.
    pub(super) async fn settle_large_suspect(&mut self) {
        if let Some(one) = self.memory.suspects_to_settle(true).first() {
            self.settle_all(std::slice::from_ref(one)).await;
        }
    }

    async fn settle_all(&mut self, suspects: &[(CommandId, Suspect)]) {
        let (now, recent) = (self.now, self.scope.overlap());
        let (run_command, tasks) = (self.run_command, self.tasks);
        let settled = suspects.iter().map(async |(id, suspect)| {
            let hint = suspect.hint(now, OVERDUE_AGE, recent);
            (id, settle(run_command, tasks, id, hint).await)
        });
        for (id, _) in suspects {
            self.memory.tries(id);
        }
        for (id, result) in join_all(settled).await {
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
                Err(SettleError::Answer { source, .. })
                    if source.kind == CallErrorKind::Permanent =>
                {
                    self.memory.dismiss(id);
                    self.report.refuse(self.memory, id, now, &source);
                }
                Err(error) => {
                    match error {
                        // It is older than a read can lag: Run Command has forgotten it. Listed once
                        // more, it is looked at once more.
                        SettleError::NotFound { .. } => self.memory.dismiss(id),
                        // No later try can answer it, and no heartbeat shall keep its task.
                        SettleError::OutputRefused { .. } => self.memory.acquit(id),
                        _ => self.memory.suspect_again(id, now),
                    }
                    self.report.count_failure(id, &error);
                }
            }
        }
    }
}
