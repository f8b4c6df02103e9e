//! What was wanted, next to what was measured. Ratios are of the same run.

use serde::Serialize;

use super::cold::ColdStart;
use super::large::Large;
use super::results::{Results, megabytes, nodes, number};
use super::setting::Version;
use super::sweeps::{Kind, Sweeps};
use super::warm::Warm;

const OURS: &str = "relay";
const NOTHING: &str = "noop-function";
const PYTHON: &str = "Python";
/// The smallest memory size, in MB.
const SMALLEST_MB: u32 = 128;
const FILE_BYTES_MAX: u64 = 8_000_000;
const ZIP_BYTES_MAX: u64 = 3_000_000;
/// For three documents.
const IDLE_LISTS_MAX: usize = 6;
const BUSY_LISTS_MAX: usize = 60;
const SWEEP_BYTES_MAX: u64 = 192_000_000;
const LARGE_BYTES_MAX: u64 = 160_000_000;

/// A target.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// What it is about.
    pub what: String,
    /// What was wanted.
    pub wanted: String,
    /// What was measured.
    pub measured: String,
    /// Whether that is as wanted.
    pub met: bool,
}

/// The targets that this run can tell of.
pub fn targets(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    targets.extend(sizes(results));
    targets.extend(cold(results).into_iter().flatten());
    targets.extend(results.warm.iter().filter(|warm| warm.function == OURS).flat_map(|ours| {
        let of_python = |warm: &&Warm| warm.function == PYTHON && warm.nodes == ours.nodes;
        results.warm.iter().find(of_python).map(|python| warm(ours, python)).unwrap_or_default()
    }));
    let now = |version| version == Version::Now;
    targets.extend(results.sweeps.iter().filter(|one| now(one.version)).flat_map(sweeps));
    targets.extend(results.large.iter().filter(|one| now(one.version)).flat_map(large));
    targets.extend(end_to_end(results));
    targets
}

fn at_most(what: impl Into<String>, measured: f64, max: f64, unit: &str) -> Target {
    let text = |value| {
        if unit.is_empty() { format!("{value:.2}") } else { format!("{} {unit}", number(value)) }
    };
    Target {
        what: what.into(),
        wanted: format!("≤ {}", text(max)),
        measured: text(measured),
        met: measured <= max,
    }
}

fn count_at_most(what: impl Into<String>, measured: usize, max: usize) -> Target {
    Target {
        what: what.into(),
        wanted: format!("≤ {max}"),
        measured: measured.to_string(),
        met: measured <= max,
    }
}

fn bytes_at_most(what: impl Into<String>, measured: u64, max: u64) -> Target {
    Target {
        what: what.into(),
        wanted: format!("≤ {} MB", megabytes(max)),
        measured: format!("{} MB", megabytes(measured)),
        met: measured <= max,
    }
}

fn sizes(results: &Results) -> Vec<Target> {
    let ours = results.sizes.iter().filter(|size| size.function != NOTHING);
    ours.flat_map(|size| {
        let name = size.function;
        [
            bytes_at_most(format!("size of {name}"), size.file_bytes, FILE_BYTES_MAX),
            bytes_at_most(format!("zip of {name}"), size.zip_bytes, ZIP_BYTES_MAX),
        ]
    })
    .collect()
}

fn cold(results: &Results) -> Option<[Target; 4]> {
    let find = |function: &str, memory_mb| {
        let is_it = |cold: &&ColdStart| cold.function == function && cold.memory_mb == memory_mb;
        results.cold.iter().find(is_it)
    };
    let ours = find(OURS, None)?;
    let nothing = find(NOTHING, None)?;
    let python = find(PYTHON, None)?;
    // Where the CPU cannot be limited, what can be told is told for a whole core.
    let memory_mb = find(OURS, Some(SMALLEST_MB)).and(Some(SMALLEST_MB));
    let share = memory_mb.map_or("a whole core".to_owned(), |mb| format!("{mb} MB"));
    let (our_share, python_share) = (find(OURS, memory_mb)?, find(PYTHON, memory_mb)?);
    let floor_ms = nothing.init.p50_ms * 1.5 + ours.init_network.p50_ms;
    Some([
        at_most(
            format!("start to first answer, {share}, of Python's"),
            our_share.total.p50_ms / python_share.total.p50_ms,
            0.1,
            "",
        ),
        at_most(
            format!("first answer, {share}, of a later one"),
            our_share.first_answer.p50_ms / our_share.warm_answer.p50_ms,
            1.5,
            "",
        ),
        at_most("init: 1.5 × that of nothing, and the network", ours.init.p50_ms, floor_ms, "ms"),
        at_most("init, of Python's", ours.init.p50_ms / python.init.p50_ms, 0.25, ""),
    ])
}

fn warm(ours: &Warm, python: &Warm) -> Vec<Target> {
    let nodes = nodes(ours.nodes);
    // Memory is counted in bytes, far below 2^52.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let memory = ours.memory_max_bytes as f64 / python.memory_max_bytes as f64;
    let mut targets = vec![
        at_most(
            format!("CPU per event, {nodes}, of Python's"),
            ours.cpu_ms / python.cpu_ms,
            1.0 / 6.0,
            "",
        ),
        at_most(format!("peak memory, {nodes}, of Python's"), memory, 0.25, ""),
    ];
    if ours.nodes == 1 {
        let row = u32::try_from(ours.calls_in_a_row).unwrap_or(u32::MAX);
        targets.push(at_most("AWS calls for one node", ours.calls, 3.0, "calls"));
        targets.push(at_most("of them one after the other", f64::from(row), 2.0, "calls"));
    }
    targets
}

fn sweeps(sweeps: &Sweeps) -> Vec<Target> {
    let name = sweeps.kind.name();
    let lists = |max| {
        let what = format!("{name}: ListCommands in a sweep");
        count_at_most(what, sweeps.list_calls_max(), max)
    };
    match sweeps.kind {
        Kind::Idle => vec![lists(IDLE_LISTS_MAX)],
        Kind::Busy => vec![lists(BUSY_LISTS_MAX)],
        Kind::ExecutingUnderRates(_) => vec![
            count_at_most(format!("{name}: tasks that missed a heartbeat"), sweeps.missed_tasks, 0),
            bytes_at_most(format!("{name}: peak memory"), sweeps.memory_max_bytes, SWEEP_BYTES_MAX),
        ],
        Kind::Short | Kind::Executing(_) => Vec::new(),
    }
}

fn large(large: &Large) -> [Target; 2] {
    let nodes = large.nodes;
    [
        at_most(
            format!("{nodes} nodes, 0.5 s a page: answered after"),
            if large.is_answered { large.seconds } else { f64::INFINITY },
            large.timeout_s,
            "s",
        ),
        bytes_at_most(
            format!("{nodes} nodes: peak memory"),
            large.memory_max_bytes,
            LARGE_BYTES_MAX,
        ),
    ]
}

fn end_to_end(results: &Results) -> Option<Target> {
    let [relay, poll] = results.end_to_end.as_slice() else { return None };
    let what = "script's end to the next state, of that with a 5 s poll";
    Some(at_most(what, relay.delay.p50_ms / poll.delay.p50_ms, 0.1, ""))
}
