//! Warm: event after event, for commands on one node and on many.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Result;
use super::aws::Aws;
use super::fleet::{Finished, Printed};
use super::function::{Cpu, Function, Program};
use super::quantiles::{Quantiles, millis};
use super::setting::{Setting, event};

/// Events that are not counted, until all connections stand.
const EVENTS_BEFORE: u32 = 5;

/// The events of one function for commands of one size.
#[derive(Debug, Clone, Serialize)]
pub struct Warm {
    /// Which function.
    pub function: &'static str,
    /// Nodes of each command.
    pub nodes: usize,
    /// Whether each node has printed as much as is kept.
    pub full_outputs: bool,
    /// From the event to the answer of the function.
    pub latency: Quantiles,
    /// CPU time per event.
    pub cpu_ms: f64,
    /// The most memory that was resident.
    pub memory_max_bytes: u64,
    /// Calls of AWS per event.
    pub calls: f64,
    /// How many of them follow one another.
    pub calls_in_a_row: usize,
}

struct Case {
    nodes: usize,
    printed: Printed,
    events: u32,
}

/// Measures our relay and the one in Python.
pub async fn measure(setting: &Setting) -> Result<Vec<Warm>> {
    let case =
        |nodes, printed, full, quick| Case { nodes, printed, events: setting.times(full, quick) };
    let cases = [
        case(1, Printed::Word, 1_000, 100),
        case(10, Printed::Full, 300, 30),
        case(50, Printed::Full, 300, 30),
        case(1_000, Printed::Word, 50, 5),
    ];
    let mut results = Vec::new();
    for case in cases {
        let fleet = Arc::new(Finished::new(case.nodes, case.printed));
        let aws = Aws::start(&setting.authority, setting.latency, fleet).await?;
        for program in [&setting.relay, &setting.python] {
            results.push(events(program, setting, &aws, &case).await?);
        }
    }
    Ok(results)
}

async fn events(program: &Program, setting: &Setting, aws: &Aws, case: &Case) -> Result<Warm> {
    let mut function = Function::start(program, setting, aws, Cpu::Whole).await?;
    function.initialized().await?;
    for _ in 0..EVENTS_BEFORE {
        function.invoke(event()).await?;
    }
    let before = function.usage()?;
    let mut latencies: Vec<Duration> = Vec::new();
    let mut calls = 0_u32;
    let mut calls_in_a_row = 0;
    for _ in 0..case.events {
        aws.take_call_log();
        let answered = function.invoke(event()).await?;
        latencies.push(answered.answered - answered.handed);
        let call_log = aws.take_call_log();
        calls += u32::try_from(call_log.calls.len())?;
        calls_in_a_row = call_log.row_of_calls().max(calls_in_a_row);
    }
    let after = function.usage()?;
    function.end().await?;
    Ok(Warm {
        function: program.name,
        nodes: case.nodes,
        full_outputs: case.printed == Printed::Full,
        latency: Quantiles::of(latencies),
        cpu_ms: millis(after.cpu_time.saturating_sub(before.cpu_time)) / f64::from(case.events),
        memory_max_bytes: after.memory_max_bytes,
        calls: f64::from(calls) / f64::from(case.events),
        calls_in_a_row,
    })
}
