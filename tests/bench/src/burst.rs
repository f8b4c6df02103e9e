//! Burst: many commands end at once, and AWS throttles. Events are delivered as Lambda does it: so
//! many processes at most, and an invocation that fails is tried twice more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hyper::body::Bytes;
use serde::Serialize;

use super::Result;
use super::aws::Aws;
use super::fleet::{Finished, Fleet, Printed, Throttled};
use super::function::{Cpu, Function};
use super::setting::{Setting, event};

const PROCESSES: usize = 20;
/// Calls of each operation that are allowed per second, and at once.
const RATE_PER_S: f64 = 200.0;
/// The attempts of an asynchronous invocation.
const ATTEMPTS_MAX: usize = 3;
/// Lambda waits 1 and 2 minutes before it tries again. Here it is not waited that long.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// Calls that a command on one node needs.
const CALLS_NEEDED: usize = 3;

/// What became of a burst.
#[derive(Debug, Clone, Serialize)]
pub struct Burst {
    /// Commands that ended at once.
    pub events: usize,
    /// Processes of the relay.
    pub processes: usize,
    /// Calls of each operation that were allowed per second.
    pub rate_per_s: f64,
    /// Until all tasks were answered.
    pub seconds: f64,
    /// How soon that is possible at this rate.
    pub least_seconds: f64,
    /// Tasks that were answered.
    pub answered: usize,
    /// Calls of AWS.
    pub calls: usize,
    /// Of them, those that were throttled or refused.
    pub throttled_calls: usize,
    /// Of them, those that were answered and had been made before.
    pub wasted_calls: usize,
    /// Invocations that failed, and were tried again as long as Lambda does.
    pub failed_invocations: usize,
}

/// Measures our relay.
pub async fn measure(setting: &Setting) -> Result<Burst> {
    let events = setting.times(5_000, 500);
    let rate_per_s = |_: &str| Some(RATE_PER_S);
    let fleet = Arc::new(Throttled::new(Finished::new(1, Printed::Word), rate_per_s));
    let served: Arc<dyn Fleet> = Arc::<Throttled<Finished>>::clone(&fleet);
    let aws = Aws::start(&setting.authority, setting.latency, served).await?;
    let mut functions = Vec::new();
    for _ in 0..PROCESSES {
        let mut function = Function::start(&setting.relay, setting, &aws, Cpu::Whole).await?;
        function.initialized().await?;
        functions.push(function);
    }
    aws.take_call_log();

    let started = Instant::now();
    let mut queue: VecDeque<_> = (0..events).map(|_| event()).collect();
    let mut failed_invocations = 0;
    let mut ended = started;
    for attempt in 1..=ATTEMPTS_MAX {
        if attempt > 1 && !queue.is_empty() {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        if !queue.is_empty() {
            queue = deliver(&functions, queue).await?;
            ended = Instant::now();
        }
        failed_invocations += queue.len();
    }
    for function in functions {
        function.end().await?;
    }
    let call_log = aws.take_call_log();
    let calls = call_log.calls.len();
    let throttled_calls = call_log.calls.iter().filter(|call| call.refused).count();
    let answered = fleet.fleet().answered();
    // A few thousand.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let least_seconds = (events as f64 / RATE_PER_S - 1.0).max(0.0);
    Ok(Burst {
        events,
        processes: PROCESSES,
        rate_per_s: RATE_PER_S,
        seconds: (ended - started).as_secs_f64(),
        least_seconds,
        answered,
        calls,
        throttled_calls,
        wasted_calls: calls - throttled_calls - CALLS_NEEDED * answered,
        failed_invocations,
    })
}

/// Delivers the events to whichever process is free, and returns those that failed.
async fn deliver(functions: &[Function], events: VecDeque<Bytes>) -> Result<VecDeque<Bytes>> {
    let events = Mutex::new(events);
    let failed = Mutex::new(VecDeque::new());
    let take = || events.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    try_join_all(functions.iter().map(async |function| -> Result<()> {
        while let Some(event) = take() {
            if function.try_invoke(event.clone()).await?.failed {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
            }
        }
        Ok(())
    }))
    .await?;
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}
