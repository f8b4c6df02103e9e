//! What a sweep found and did.

use jiff::Timestamp;
use tracing::{debug, warn};

use crate::error_chain;
use crate::id::CommandId;
use crate::ports::CallError;
use crate::settle::SettleError;
use crate::sweep::memory::{Memory, Refusal};

/// What a sweep found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Executing commands that have a task token.
    pub executing: u64,
    /// Heartbeats that reached a waiting task.
    pub heartbeats: u64,
    /// Age in seconds of the oldest executing command whose task waits, or may wait because its
    /// heartbeat failed. 0 if there is none.
    pub oldest_waiting_s: u64,
    /// Commands whose completion event was lost, and whose task has now been answered.
    pub recovered: u64,
    /// Commands whose cancel was requested, because nobody waited any more.
    pub cancelled: u64,
    /// Commands with a token that Step Functions rejects.
    pub rejected: u64,
    /// Commands whose task the caller may not answer, seen for the first time by this process.
    pub refused: u64,
    /// Commands with the task token of an older command, seen for the first time by this process.
    pub reused: u64,
    /// Lists and commands that could not be read, and commands for which a call failed. The next
    /// sweep tries again.
    pub failed: u64,
    /// Whether the time was up, or a list too long, before everything had been looked at.
    pub truncated: bool,
    /// Why no list of executing commands could be read, if none could: the sweep did nothing.
    pub blind: Option<CallError>,
}

impl SweepReport {
    /// Whether everything that there was to do is done.
    pub fn is_whole(&self) -> bool {
        self.failed == 0 && !self.truncated
    }

    /// Notes the age of an executing command whose task waits.
    pub(super) fn note_waiting(&mut self, requested_at: Timestamp, now: Timestamp) {
        let age_s = now.duration_since(requested_at).as_secs();
        // A clock that is ahead makes no age.
        self.oldest_waiting_s = self.oldest_waiting_s.max(age_s.try_into().unwrap_or_default());
    }

    pub(super) fn count_failure(&mut self, id: &CommandId, error: &SettleError) {
        warn!(
            command_id = %id, runbook = error.name(), error = error_chain(error),
            "sweeping a command failed"
        );
        self.failed += 1;
    }

    /// Counts a token that Step Functions rejects; logs it once.
    pub(super) fn reject(&mut self, memory: &mut Memory, id: &CommandId, now: Timestamp) {
        if memory.refuse(id, Refusal::Rejected, now) {
            warn!(
                command_id = %id, runbook = "TokenRejected",
                "Step Functions rejects the command's task token"
            );
        }
        self.rejected += 1;
    }

    /// Counts a token that two commands carry, and logs it.
    pub(super) fn reuse(&mut self, older: &CommandId, newer: &CommandId) {
        warn!(
            command_id = %newer, older_command_id = %older, runbook = "TokenReused",
            "an older command carries the same task token: the sweep answers for that one only"
        );
        self.reused += 1;
    }

    /// Counts what is refused for good, and logs it, once per command and process.
    pub(super) fn refuse(
        &mut self,
        memory: &mut Memory,
        id: &CommandId,
        now: Timestamp,
        error: &CallError,
    ) {
        if memory.refuse(id, Refusal::Denied, now) {
            warn!(
                command_id = %id, runbook = "Refused", %error,
                "the task of this command may not be answered from here"
            );
            self.refused += 1;
        } else {
            debug!(command_id = %id, %error, "still refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists are told newest first, and heartbeats come back in any order.
    #[test]
    fn the_oldest_that_waits_counts_wherever_it_comes() {
        let now = Timestamp::from_second(1_795_338_000).unwrap();
        for ages_s in [[7_200, 60, 3_600], [60, 3_600, 7_200], [-30, 7_200, -30]] {
            let mut report = SweepReport::default();
            for age_s in ages_s {
                report.note_waiting(now - jiff::SignedDuration::from_secs(age_s), now);
            }
            assert_eq!(report.oldest_waiting_s, 7_200, "{ages_s:?}");
        }
    }
}
