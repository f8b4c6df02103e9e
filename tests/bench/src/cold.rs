//! Cold start: from the start of a process to its first answer, side by side with a function that
//! does nothing and with the relay in Python.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Result;
use super::aws::Aws;
use super::fleet::{Finished, Printed};
use super::function::{Cpu, Function, Program};
use super::quantiles::Quantiles;
use super::setting::{Setting, event};

/// Memory sizes whose share of a core is given, in MB.
const MEMORY_MB: [u32; 3] = [128, 256, 512];
/// Answers after the first one, to compare it with.
const WARM_ANSWERS: usize = 9;

/// Cold starts of one function with one share of a core.
#[derive(Debug, Clone, Serialize)]
pub struct ColdStart {
    /// Which function.
    pub function: &'static str,
    /// Whose share of a core it has after its start; `None`: a whole core.
    pub memory_mb: Option<u32>,
    /// From the start of the process to its first `/next`.
    pub init: Quantiles,
    /// Of that, on the network: from the first connection until all stand.
    pub init_network: Quantiles,
    /// Connections to AWS that stand by then.
    pub init_connections: usize,
    /// From the first event to its answer.
    pub first_answer: Quantiles,
    /// From the start of the process to the first answer.
    pub total: Quantiles,
    /// From a later event to its answer.
    pub warm_answer: Quantiles,
}

/// The times of one start.
struct Start {
    init: Duration,
    network: Duration,
    connections: usize,
    first: Duration,
    total: Duration,
    warm: Vec<Duration>,
}

/// Measures all functions with all shares. Runs alternate, so that what disturbs the machine
/// disturbs all.
pub async fn measure(setting: &Setting) -> Result<Vec<ColdStart>> {
    let fleet = Arc::new(Finished::new(1, Printed::Word));
    let aws = Aws::start(&setting.authority, setting.latency, fleet).await?;
    let programs = [&setting.relay, &setting.noop_function, &setting.python];
    let controller = setting.controller.as_ref().ok();
    let shares = controller.map(|controller| MEMORY_MB.map(|mb| Cpu::Share(controller, mb)));
    let mut cold_starts = Vec::new();
    for cpu in [Cpu::Whole].into_iter().chain(shares.into_iter().flatten()) {
        let rounds = match cpu {
            Cpu::Whole => setting.times(30, 3),
            Cpu::Share(..) => setting.times(12, 2),
        };
        let mut starts = programs.map(|_| Vec::new());
        // The first round brings the files into the page cache, and is not counted.
        for round in 0..=rounds {
            for (program, starts) in programs.iter().zip(&mut starts) {
                let start = start(program, setting, &aws, cpu).await?;
                if round > 0 {
                    starts.push(start);
                }
            }
        }
        for (program, starts) in programs.iter().zip(&starts) {
            cold_starts.push(cold_start(program.name, cpu, starts));
        }
    }
    Ok(cold_starts)
}

async fn start(program: &Program, setting: &Setting, aws: &Aws, cpu: Cpu<'_>) -> Result<Start> {
    aws.take_call_log();
    let mut function = Function::start(program, setting, aws, cpu).await?;
    let init = function.initialized().await?;
    let call_log = aws.take_call_log();
    let first = function.invoke(event()).await?;
    let mut warm = Vec::new();
    for _ in 0..WARM_ANSWERS {
        let later = function.invoke(event()).await?;
        warm.push(later.answered - later.handed);
    }
    let start = Start {
        init,
        network: call_log.warm_up(),
        connections: call_log.connections.len(),
        first: first.answered - first.handed,
        // Without the time that it took to limit the CPU in between.
        total: init + (first.answered - first.handed),
        warm,
    };
    function.end().await?;
    Ok(start)
}

fn cold_start(function: &'static str, cpu: Cpu<'_>, starts: &[Start]) -> ColdStart {
    let of = |time: fn(&Start) -> Duration| Quantiles::of(starts.iter().map(time));
    ColdStart {
        function,
        memory_mb: match cpu {
            Cpu::Whole => None,
            Cpu::Share(_, memory_mb) => Some(memory_mb),
        },
        init: of(|start| start.init),
        init_network: of(|start| start.network),
        init_connections: starts.iter().map(|start| start.connections).max().unwrap_or(0),
        first_answer: of(|start| start.first),
        total: of(|start| start.total),
        warm_answer: Quantiles::of(starts.iter().flat_map(|start| start.warm.iter().copied())),
    }
}
