//! The function `sweep`: sweeps all commands on a schedule, and the executing ones when an execution
//! ends.

use std::io::Write;
use std::time::Duration;

use callback::{
    Memory, RunCommand, Scope, SweepReport, Tasks, error_chain, sweep, sweep_executing,
};
use jiff::{SignedDuration, Timestamp};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::event::{SweepCause, SweepTrigger};
use crate::invocation_error::InvocationError;
use crate::metrics::{SWEEP_FIGURES, SweepMetrics, millis};

/// Time reserved before the deadline for logging and metrics.
const TIME_KEPT: Duration = Duration::from_secs(3);
/// How long after the end of an execution a sweep must have started to have seen its task closed
/// for certain. Event times are whole seconds, and clocks differ.
const SEEN_AFTER: SignedDuration = SignedDuration::from_secs(2);
/// From one sweep for an execution that ended to the next one: state machines that have nothing to
/// do with us fail, too.
const BETWEEN_EXECUTIONS: SignedDuration = SignedDuration::from_secs(10);

/// The function with its ports. Created once per process.
#[derive(Debug)]
pub struct Sweep<R, T> {
    run_command: R,
    tasks: T,
    scope: Scope,
    function_name: String,
    past: Mutex<PastSweeps>,
}

/// What Lambda tells of an invocation.
#[derive(Debug, Clone, Copy)]
pub struct InvocationContext<'a> {
    /// The ID of the invocation.
    pub request_id: &'a str,
    /// The ARN of the function. Own documents are in its partition, region and account.
    pub function_arn: &'a str,
    /// When the invocation began.
    pub now: Timestamp,
    /// When Lambda ends it.
    pub deadline: Timestamp,
}

/// What the sweeps of a process pass on to the next.
#[derive(Debug, Default)]
struct PastSweeps {
    memory: Memory,
    /// When the last sweep of everything began, or the first invocation if there was none.
    last_of_everything: Option<Timestamp>,
    /// When the last sweep for an execution began, whatever came of it.
    last_for_execution: Option<Timestamp>,
    /// When the last sweep began that looked at all executing commands.
    last_of_all_executing: Option<Timestamp>,
    /// Whether the next scheduled sweep may go on in a list of which the last one has read a part.
    goes_on: bool,
}

/// The response to an invocation, for people who invoke the function by hand: each figure of the
/// report by its name, and `Truncated`, which is whether the sweep stopped early.
#[derive(Debug, Clone, Default)]
pub struct SweepResponse(SweepReport);

impl<R: RunCommand, T: Tasks> Sweep<R, T> {
    /// Creates the function with these ports and documents. `function_name` becomes a metric
    /// dimension.
    pub fn new(run_command: R, tasks: T, scope: Scope, function_name: String) -> Self {
        Self { run_command, tasks, scope, function_name, past: Mutex::default() }
    }

    /// Sweeps once, logs the result, and counts it in `metrics_to`. Ends three seconds before the
    /// deadline.
    ///
    /// The end of an execution starts a sweep of the executing commands only, and at most one in ten
    /// seconds: an event that comes earlier waits. An event that a previous sweep has covered starts
    /// no sweep, and its response is all zeros. When the schedule is half an interval late, an event
    /// starts a sweep of everything instead: many of them could keep the schedule out.
    ///
    /// # Errors
    ///
    /// [`InvocationError`] if the event does not trigger sweeps, or if no list of executing commands
    /// could be read. Any other failed call is counted and is not an error, because the next sweep
    /// tries again.
    pub async fn handle(
        &self,
        event_json: &str,
        context: InvocationContext<'_>,
        metrics_to: &mut impl Write,
    ) -> Result<SweepResponse, InvocationError> {
        let clock = Clock { began: context.now, since: Instant::now() };
        let trigger = SweepTrigger::parse(event_json).map_err(|invalid| {
            let error = InvocationError::from(invalid);
            error!(runbook = error.name(), error = error_chain(&error), "not swept");
            error
        })?;
        let mut past = self.past.lock().await;
        let is_for_execution = trigger.cause == SweepCause::ExecutionEnded
            && !past.everything_is_due(clock.now(), self.scope.interval);
        if is_for_execution {
            if past.have_covered(trigger) {
                debug!(cause = ?trigger.cause, "not swept: a sweep that started after this event covered it");
                return Ok(SweepResponse::default());
            }
            // If the time does not suffice, what is left of it is none, and the sweep says so.
            let wait = past.wait(clock.now()).min(clock.time_left(context.deadline));
            tokio::time::sleep(wait).await;
        }

        let (began, started) = (clock.now(), Instant::now());
        let mut scope = self.scope.clone();
        let prefix = document_arn_prefix(context.function_arn);
        scope.documents = scope.documents.with_arn_prefix(prefix);
        let time_left = clock.time_left(context.deadline);
        let Self { run_command, tasks, .. } = self;
        let report = if !is_for_execution {
            past.last_of_everything = Some(began);
            let memory = &mut past.memory;
            let report = sweep(run_command, tasks, &scope, memory, began, time_left).await;
            past.note(&report, began);
            report
        } else if past.wait(began).is_zero() {
            past.last_for_execution = Some(began);
            let memory = &mut past.memory;
            let report =
                sweep_executing(run_command, tasks, &scope, memory, began, time_left).await;
            past.note_for_execution(&report, began);
            report
        } else {
            SweepReport { truncated: true, ..SweepReport::default() }
        };

        let duration_ms = millis(started.elapsed().as_millis());
        log(&report, trigger, duration_ms);
        let metrics = SweepMetrics {
            function_name: &self.function_name,
            report: &report,
            sweep_duration: duration_ms,
            request_id: context.request_id,
        };
        if let Err(error) = metrics.emit(metrics_to, began) {
            error!(runbook = "MetricsFailed", %error, "writing metrics failed");
        }
        match report.blind {
            Some(error) => Err(InvocationError::ListExecuting(error)),
            None => Ok(SweepResponse(report)),
        }
    }
}

impl Serialize for SweepResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (figure, value) in SWEEP_FIGURES {
            map.serialize_entry(figure.name, &value(&self.0))?;
        }
        map.serialize_entry("Truncated", &self.0.truncated)?;
        map.end()
    }
}

/// The clock as it was when the invocation began, and what has passed since.
struct Clock {
    began: Timestamp,
    since: Instant,
}

impl Clock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::MAX);
        self.began.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn time_left(&self, deadline: Timestamp) -> Duration {
        let time_left = Duration::try_from(deadline.duration_since(self.now()));
        time_left.unwrap_or_default().saturating_sub(TIME_KEPT)
    }
}

impl PastSweeps {
    /// Whether a sweep of all executing commands started after the execution of this event had
    /// ended.
    fn have_covered(&self, trigger: SweepTrigger) -> bool {
        let covered = self.last_of_all_executing.zip(trigger.occurred_at);
        covered.is_some_and(|(began, ended)| began.duration_since(ended) >= SEEN_AFTER)
    }

    /// Whether the schedule is half an interval late.
    fn everything_is_due(&mut self, now: Timestamp, interval: Duration) -> bool {
        let last = *self.last_of_everything.get_or_insert(now);
        Duration::try_from(now.duration_since(last)).is_ok_and(|passed| passed > interval * 3 / 2)
    }

    /// How long the next sweep for an execution has to wait.
    fn wait(&self, now: Timestamp) -> Duration {
        let Some(last) = self.last_for_execution else { return Duration::ZERO };
        // A clock that was set back makes no wait longer.
        let passed = now.duration_since(last).max(SignedDuration::ZERO);
        Duration::try_from(BETWEEN_EXECUTIONS - passed).unwrap_or_default()
    }

    fn note(&mut self, report: &SweepReport, began: Timestamp) {
        if report.is_whole() && !self.goes_on {
            self.last_of_all_executing = Some(began);
        }
        self.goes_on = !report.is_whole();
    }

    fn note_for_execution(&mut self, report: &SweepReport, began: Timestamp) {
        if report.is_whole() {
            self.last_of_all_executing = Some(began);
        }
    }
}

/// What the ARNs of own documents begin with, by the ARN of the function:
/// `arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME`.
fn document_arn_prefix(function_arn: &str) -> Option<String> {
    let mut parts = function_arn.split(':');
    let ("arn", partition, "lambda", region, account, "function") =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
    else {
        return None;
    };
    Some(format!("arn:{partition}:ssm:{region}:{account}:document/"))
}

fn log(report: &SweepReport, trigger: SweepTrigger, duration_ms: u64) {
    let cause = trigger.cause;
    let SweepReport {
        executing,
        heartbeats,
        oldest_waiting_s,
        recovered,
        cancelled,
        rejected,
        refused,
        reused,
        failed,
        truncated,
        ref blind,
    } = *report;
    let error = blind.as_ref().map(ToString::to_string);
    macro_rules! swept {
        ($level:ident $(, runbook = $heading:literal)?) => {
            $level!(
                ?cause,
                executing,
                heartbeats,
                oldest_waiting_s,
                recovered,
                cancelled,
                rejected,
                refused,
                reused,
                failed,
                truncated,
                duration_ms,
                error,
                $(runbook = $heading,)?
                "swept"
            )
        };
    }
    if blind.is_some() {
        swept!(error, runbook = "ListCommandsFailed");
    } else if recovered > 0 || rejected > 0 || refused > 0 || reused > 0 || failed > 0 || truncated
    {
        swept!(warn, runbook = "Swept");
    } else if cause == SweepCause::Schedule && *report == SweepReport::default() {
        swept!(debug);
    } else {
        swept!(info);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended_at(second: i64) -> SweepTrigger {
        SweepTrigger { cause: SweepCause::ExecutionEnded, occurred_at: Some(at(second)) }
    }

    #[test]
    fn an_end_that_a_whole_sweep_came_after_is_covered() {
        for note in [PastSweeps::note, PastSweeps::note_for_execution] {
            let mut past = PastSweeps::default();
            assert!(!past.have_covered(ended_at(0)), "there was none");
            note(&mut past, &SweepReport::default(), at(100));
            assert!(past.have_covered(ended_at(98)));
            assert!(!past.have_covered(ended_at(99)), "it may have ended just after");
            assert!(!past.have_covered(ended_at(100)));
            assert!(!past.have_covered(SweepTrigger { occurred_at: None, ..ended_at(0) }));
        }
    }

    #[test]
    fn a_sweep_that_left_something_out_covers_nothing() {
        let nothing = SweepReport::default;
        for report in
            [SweepReport { failed: 1, ..nothing() }, SweepReport { truncated: true, ..nothing() }]
        {
            for note in [PastSweeps::note, PastSweeps::note_for_execution] {
                let mut past = PastSweeps::default();
                note(&mut past, &report, at(100));
                assert!(!past.have_covered(ended_at(0)), "{report:?}");
            }
            // The next one goes on in its list, and the one after that begins anew.
            let mut past = PastSweeps::default();
            for (report, began, covered) in [(report, 100, false), (nothing(), 160, false)] {
                past.note(&report, at(began));
                assert_eq!(past.have_covered(ended_at(0)), covered);
            }
            past.note_for_execution(&nothing(), at(170));
            assert!(past.have_covered(ended_at(168)) && !past.have_covered(ended_at(169)));
            past.note(&nothing(), at(220));
            assert!(past.have_covered(ended_at(218)));
        }
    }

    #[test]
    fn sweeps_for_executions_begin_ten_seconds_apart() {
        let mut past = PastSweeps::default();
        assert_eq!(past.wait(at(100)), Duration::ZERO);
        past.last_for_execution = Some(at(100));
        for (now, wait) in [(100, 10), (101, 9), (109, 1), (110, 0), (500, 0), (90, 10)] {
            assert_eq!(past.wait(at(now)), Duration::from_secs(wait), "at {now}");
        }
    }

    #[test]
    fn everything_is_due_when_the_schedule_is_late() {
        let mut past = PastSweeps::default();
        for (now, is_due) in [(100, false), (190, false), (191, true), (90, false)] {
            assert_eq!(past.everything_is_due(at(now), Duration::from_mins(1)), is_due, "{now}");
        }
        past.last_of_everything = Some(at(170));
        assert!(!past.everything_is_due(at(260), Duration::from_mins(1)));
    }

    #[test]
    fn own_documents_are_where_the_function_is() {
        for (function_arn, prefix) in [
            (
                "arn:aws:lambda:eu-central-1:111122223333:function:stack-sweep",
                Some("arn:aws:ssm:eu-central-1:111122223333:document/"),
            ),
            (
                "arn:aws-cn:lambda:cn-north-1:111122223333:function:stack-sweep:live",
                Some("arn:aws-cn:ssm:cn-north-1:111122223333:document/"),
            ),
            ("stack-sweep", None),
            ("arn:aws:ssm:eu-central-1:111122223333:document/Mine", None),
            ("", None),
        ] {
            assert_eq!(document_arn_prefix(function_arn).as_deref(), prefix, "{function_arn}");
        }
    }
}
