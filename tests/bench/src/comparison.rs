//! Sweeps and large commands, beside the same of version 0.1.0.

use serde::Serialize;

use super::large::Large;
use super::results::{Results, megabytes, number};
use super::setting::Version;
use super::sweeps::{Kind, Sweeps};

/// A figure of both versions.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// What it is about.
    pub what: String,
    /// The figure of 0.1.0, if it was measured.
    pub before: Option<String>,
    /// The figure of today.
    pub now: String,
}

/// What this run can tell.
pub fn comparisons(results: &Results) -> Vec<Comparison> {
    let mut rows = Vec::new();
    for now in results.sweeps.iter().filter(|sweeps| sweeps.version == Version::Now) {
        let is_before =
            |sweeps: &&Sweeps| sweeps.version == Version::Before && sweeps.kind == now.kind;
        let before = results.sweeps.iter().find(is_before);
        let name = now.kind.name();
        for (figure, text) in figures(now.kind) {
            let what = format!("{name}: {figure}");
            rows.push(Comparison { what, before: before.map(text), now: text(now) });
        }
    }
    let version =
        |version| results.large.iter().find(move |large: &&Large| large.version == version);
    if let Some(now) = version(Version::Now) {
        let before = version(Version::Before);
        let mut row = |figure: &str, text: fn(&Large) -> String| {
            let what = format!("{} nodes, 0.5 s a page: {figure}", now.nodes);
            rows.push(Comparison { what, before: before.map(text), now: text(now) });
        };
        row("answered", |large| {
            let seconds = number(large.seconds);
            if large.is_answered {
                format!("after {seconds} s")
            } else {
                format!("no, after {seconds} s")
            }
        });
        row("peak memory", |large| format!("{} MB", megabytes(large.memory_max_bytes)));
    }
    rows
}

type Figure = (&'static str, fn(&Sweeps) -> String);

/// What is told of an account.
fn figures(kind: Kind) -> Vec<Figure> {
    let lists: Figure =
        ("ListCommands in a sweep, at most", |one| one.list_calls_max().to_string());
    let calls: Figure =
        ("calls per completed command", |one| format!("{:.2}", one.calls_per_completed));
    let last: Figure = ("calls of the last sweep", |one| {
        one.sweeps.last().map_or(0, |sweep| sweep.calls).to_string()
    });
    let memory: Figure = ("peak memory", |one| format!("{} MB", megabytes(one.memory_max_bytes)));
    let silence: Figure =
        ("longest without a heartbeat", |one| format!("{} s", number(one.longest_silence_s)));
    let missed: Figure = ("tasks that missed a heartbeat", |one| one.missed_tasks.to_string());
    let throttled: Figure = ("throttled calls", |one| one.throttled_calls.to_string());
    let failed: Figure = ("lists and commands that failed", |one| {
        one.sweeps.iter().map(|sweep| sweep.failed).sum::<u64>().to_string()
    });
    match kind {
        Kind::Idle | Kind::Busy => vec![lists],
        Kind::Short => vec![calls],
        Kind::Executing(_) => vec![last, silence, memory],
        Kind::ExecutingUnderRates(_) => vec![silence, missed, throttled, failed, memory],
    }
}
