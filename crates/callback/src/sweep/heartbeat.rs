//! Heartbeats, at a rate: they keep a task alive, and tell whether it waits.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::warn;

use crate::ports::{CallError, CallErrorKind, Pulse, Tasks};
use crate::sweep::waiting::Waiting;

/// How many commands are looked after at the same time. The rate is kept besides.
pub(super) const COMMANDS_AT_ONCE: usize = 32;

/// What a heartbeat told.
pub(super) enum Look {
    Pulse(Pulse),
    /// Later it may be told.
    Failed,
    /// The caller may not ask.
    Refused(CallError),
}

/// Whether the command's task waits.
pub(super) async fn look(tasks: &impl Tasks, pace: &Pace, command: &Waiting) -> Look {
    pace.next().await;
    match tasks.heartbeat(&command.token).await {
        Ok(pulse) => Look::Pulse(pulse),
        Err(error) if error.kind == CallErrorKind::Permanent => Look::Refused(error),
        Err(error) => {
            warn!(
                command_id = %command.id, runbook = "HeartbeatFailed", %error,
                "sweeping a command failed"
            );
            Look::Failed
        }
    }
}

/// Lets so many calls per second begin, evenly.
pub(super) struct Pace {
    interval: Mutex<Interval>,
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        let period = Duration::from_secs(1) / per_second.max(1);
        let mut interval = tokio::time::interval(period.max(Duration::from_nanos(1)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval: Mutex::new(interval) }
    }

    async fn next(&self) {
        self.interval.lock().await.tick().await;
    }
}
