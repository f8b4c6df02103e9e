//! A command on very many nodes, over endpoints that take half a second per call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde::Serialize;

use super::Result;
use super::aws::Aws;
use super::fleet::{Finished, Fleet, Printed};
use super::function::{Cpu, Function};
use super::setting::{Setting, Version, Versioned, event};

/// How long a page of 50 nodes takes.
const LATENCY: Duration = Duration::from_millis(500);
/// How many nodes have failed: their outputs are told first.
const FAILED_NODES: usize = 100;

/// What became of the command.
#[derive(Debug, Clone, Serialize)]
pub struct Large {
    /// Whose relay.
    pub version: Version,
    /// Nodes of the command. Each has printed as much as a listing holds.
    pub nodes: usize,
    /// The relay's timeout.
    pub timeout_s: f64,
    /// From the event to the answer of the function, or to its timeout.
    pub seconds: f64,
    /// Whether the task was answered.
    pub is_answered: bool,
    /// Calls of AWS.
    pub calls: usize,
    /// CPU time.
    pub cpu_seconds: f64,
    /// The most memory that was resident.
    pub memory_max_bytes: u64,
}

/// Measures each version's relay, with the timeout that it has by default.
pub async fn measure(setting: &Setting) -> Result<Vec<Large>> {
    let nodes = setting.times(20_000, 2_000);
    let versions = setting.versions(&setting.relay);
    try_join_all(versions.iter().map(|version| answer(setting, version, nodes))).await
}

async fn answer(setting: &Setting, version: &Versioned, nodes: usize) -> Result<Large> {
    let fleet = Arc::new(Finished::with_failed(nodes, FAILED_NODES, Printed::Full));
    let served: Arc<dyn Fleet> = Arc::<Finished>::clone(&fleet);
    let aws = Aws::start(&setting.authority, LATENCY, served).await?;
    let mut function = Function::start(&version.program, setting, &aws, Cpu::Whole).await?;
    function.initialized().await?;
    aws.take_call_log();
    let started = Instant::now();
    function.invoke_within(event(), version.timeout).await?;
    let seconds = started.elapsed().as_secs_f64();
    let usage = function.usage()?;
    function.end().await?;
    Ok(Large {
        version: version.version,
        nodes,
        timeout_s: version.timeout.as_secs_f64(),
        seconds,
        is_answered: fleet.answered() == 1,
        calls: aws.take_call_log().calls.len(),
        cpu_seconds: usage.cpu_time.as_secs_f64(),
        memory_max_bytes: usage.memory_max_bytes,
    })
}
