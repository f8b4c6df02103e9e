//! The results of a run: as tables, and as JSON.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::Serialize;

use super::Result;
use super::burst::Burst;
use super::cold::ColdStart;
use super::comparison::Comparison;
use super::end_to_end::EndToEnd;
use super::large::Large;
use super::quantiles::Quantiles;
use super::setting::{Mode, Setting, Version};
use super::sweeps::Sweeps;
use super::targets::Target;
use super::warm::Warm;

/// What a run has found.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// The machine and the day.
    pub machine: Machine,
    /// The programs that are deployed.
    pub sizes: Vec<Size>,
    /// Cold starts.
    pub cold: Vec<ColdStart>,
    /// Warm events.
    pub warm: Vec<Warm>,
    /// Many completions at once.
    pub burst: Option<Burst>,
    /// Sweeps.
    pub sweeps: Vec<Sweeps>,
    /// A command on very many nodes.
    pub large: Vec<Large>,
    /// From the end of a script to the next state.
    pub end_to_end: Vec<EndToEnd>,
    /// Sweeps and the large command, beside those of 0.1.0.
    pub comparisons: Vec<Comparison>,
    /// What was wanted, and whether it was met.
    pub targets: Vec<Target>,
}

/// Where and when it was measured.
#[derive(Debug, Default, Serialize)]
pub struct Machine {
    /// The day.
    pub date: String,
    /// The model of its processor.
    pub processor: String,
    /// How many of its cores may be used.
    pub cores: usize,
    /// The kernel.
    pub kernel: String,
    /// How much else ran: the load of the last minute at the beginning.
    pub load_at_start: String,
    /// How long an endpoint waits before it answers a call.
    pub latency_ms: u64,
    /// How many roots Python reads, besides the one of the run.
    pub botocore_roots: usize,
    /// Whether everything was done as often as in a full run.
    pub is_full_run: bool,
    /// Why CPU could not be limited, if it could not.
    pub no_cpu_share: Option<String>,
}

/// The size of a program.
#[derive(Debug, Serialize)]
pub struct Size {
    /// Which one.
    pub function: &'static str,
    /// Of the file, without symbols.
    pub file_bytes: u64,
    /// Of a deployment package with this file.
    pub zip_bytes: u64,
}

impl Machine {
    /// This machine, now.
    pub fn here(setting: &Setting) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let processor = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, model)| model);
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            processor: processor.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_at_start: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            latency_ms: u64::try_from(setting.latency.as_millis()).unwrap_or(u64::MAX),
            botocore_roots: setting.authority.botocore_roots,
            is_full_run: setting.mode == Mode::Full,
            no_cpu_share: setting.controller.as_ref().err().cloned(),
        }
    }
}

/// The sizes of the functions, as files and as deployment packages.
pub fn sizes(setting: &Setting) -> Result<Vec<Size>> {
    let programs = [&setting.relay, &setting.sweep, &setting.noop_function];
    let size = |path: &Path| -> Result<_> {
        let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        // As `make deploy` packs it.
        let options = zip::write::SimpleFileOptions::default().compression_level(Some(9));
        archive.start_file("bootstrap", options)?;
        let file_bytes = io::copy(&mut File::open(path)?, &mut archive)?;
        let zip_bytes = u64::try_from(archive.finish()?.into_inner().len())?;
        Ok((file_bytes, zip_bytes))
    };
    let mut sizes = Vec::new();
    for program in programs {
        let (file_bytes, zip_bytes) = size(&program.path)?;
        sizes.push(Size { function: program.name, file_bytes, zip_bytes });
    }
    Ok(sizes)
}

impl Results {
    /// The tables, in Markdown.
    pub fn tables(&self) -> String {
        let mut text = self.machine.lines();
        text += &self.sizes_table();
        text += &self.cold_table();
        text += &self.warm_table();
        text += &self.burst_table();
        text += &self.sweep_table();
        text += &self.comparison_table();
        text += &self.end_to_end_table();
        text + &self.target_table()
    }

    fn sizes_table(&self) -> String {
        let rows = self.sizes.iter().map(|size| {
            vec![size.function.to_owned(), megabytes(size.file_bytes), megabytes(size.zip_bytes)]
        });
        table("Size", &["Function", "File, MB", "Zip, MB"], rows)
    }

    fn cold_table(&self) -> String {
        let rows = self.cold.iter().map(|cold| {
            vec![
                cold.memory_mb.map_or("a whole core".to_owned(), |mb| format!("{mb} MB")),
                cold.function.to_owned(),
                number(cold.init.p50_ms),
                number(cold.init_network.p50_ms),
                number(cold.first_answer.p50_ms),
                number(cold.warm_answer.p50_ms),
                number(cold.total.p50_ms),
                number(cold.total.max_ms),
                cold.total.count.to_string(),
            ]
        });
        let names = [
            "Share",
            "Function",
            "Init, ms",
            "of it network",
            "First answer",
            "Later answer",
            "Start to first answer",
            "at most",
            "Runs",
        ];
        table("Cold start (medians; init at full CPU, then the share)", &names, rows)
    }

    fn warm_table(&self) -> String {
        let rows = self.warm.iter().map(|warm| {
            let outputs = if warm.full_outputs { ", full outputs" } else { "" };
            vec![
                format!("{}{outputs}", warm.nodes),
                warm.function.to_owned(),
                number(warm.latency.p50_ms),
                number(warm.latency.p99_ms),
                format!("{:.2}", warm.cpu_ms),
                megabytes(warm.memory_max_bytes),
                number(warm.calls),
                warm.calls_in_a_row.to_string(),
                warm.latency.count.to_string(),
            ]
        });
        let names = [
            "Nodes",
            "Function",
            "p50, ms",
            "p99, ms",
            "CPU per event, ms",
            "Peak memory, MB",
            "AWS calls",
            "one after the other",
            "Events",
        ];
        table("Warm", &names, rows)
    }

    fn burst_table(&self) -> String {
        let rows = self.burst.iter().map(|burst| {
            vec![
                burst.events.to_string(),
                burst.processes.to_string(),
                number(burst.rate_per_s),
                number(burst.seconds),
                number(burst.least_seconds),
                burst.calls.to_string(),
                burst.throttled_calls.to_string(),
                burst.wasted_calls.to_string(),
                burst.failed_invocations.to_string(),
            ]
        });
        let names = [
            "Completions",
            "Processes",
            "Calls allowed per s and operation",
            "All answered after, s",
            "at best",
            "Calls",
            "of them throttled",
            "otherwise wasted",
            "Failed invocations",
        ];
        table("Burst", &names, rows)
    }

    fn sweep_table(&self) -> String {
        let rows = self.sweeps.iter().map(|sweeps| {
            let first = sweeps.sweeps.first();
            let count = |count: Option<usize>| count.unwrap_or(0).to_string();
            let seconds = |seconds: Option<f64>| number(seconds.unwrap_or(0.0));
            vec![
                sweeps.kind.name(),
                sweeps.version.name().to_owned(),
                sweeps.sweeps.len().to_string(),
                count(first.map(|sweep| sweep.list_calls)),
                count(sweeps.later_max(|sweep| sweep.list_calls)),
                count(first.map(|sweep| sweep.heartbeat_calls)),
                count(sweeps.later_max(|sweep| sweep.heartbeat_calls)),
                seconds(first.map(|sweep| sweep.seconds)),
                seconds(sweeps.later_max(|sweep| sweep.seconds)),
                number(sweeps.cpu_seconds),
                megabytes(sweeps.memory_max_bytes),
            ]
        });
        let names = [
            "Account",
            "Version",
            "Sweeps",
            "ListCommands, first",
            "later, at most",
            "Heartbeats, first",
            "later, at most",
            "Time, s, first",
            "later, at most",
            "CPU, s",
            "Peak memory, MB",
        ];
        table("Sweeps of a new process", &names, rows)
    }

    fn comparison_table(&self) -> String {
        let rows = self.comparisons.iter().map(|row| {
            let before = row.before.clone().unwrap_or_else(|| "not measured".to_owned());
            vec![row.what.clone(), before, row.now.clone()]
        });
        let names = ["What", Version::Before.name(), Version::Now.name()];
        table("Sweeps and large commands, beside version 0.1.0", &names, rows)
    }

    fn end_to_end_table(&self) -> String {
        let rows = self.end_to_end.iter().map(|end_to_end| {
            let Quantiles { count, p50_ms, p99_ms, max_ms } = end_to_end.delay;
            let times = [p50_ms, p99_ms, max_ms].map(number);
            [vec![end_to_end.way.to_owned()], times.to_vec(), vec![count.to_string()]].concat()
        });
        let names = ["Way", "p50, ms", "p99, ms", "max, ms", "Executions"];
        table("From the end of the script to the next state, in the sandbox", &names, rows)
    }

    fn target_table(&self) -> String {
        let rows = self.targets.iter().map(|target| {
            let met = if target.met { "met" } else { "MISSED" };
            vec![
                target.what.clone(),
                target.wanted.clone(),
                target.measured.clone(),
                met.to_owned(),
            ]
        });
        table("Targets", &["What", "Wanted", "Measured", ""], rows)
    }
}

impl Machine {
    fn lines(&self) -> String {
        let Self { date, processor, cores, kernel, load_at_start, .. } = self;
        let mut text =
            format!("{date}: {processor}, {cores} cores, Linux {kernel}, load {load_at_start}");
        let _ = writeln!(
            text,
            ". AWS endpoints on loopback over TLS, {} ms per call. Roots: that of the run, and \
             beside it ours read Amazon's 5, Python botocore's {}, as on Lambda.",
            self.latency_ms, self.botocore_roots
        );
        if let Some(problem) = &self.no_cpu_share {
            let _ = writeln!(text, "The CPU could not be limited here: {problem}.");
        }
        if !self.is_full_run {
            text += "A quick run: these numbers are noise.\n";
        }
        text
    }
}

/// A table in Markdown, or nothing if it has no rows.
fn table(title: &str, names: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = names.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    if rows.len() == 1 {
        return String::new();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..names.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} "));
        format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
    };
    let rule: Vec<_> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let mut text = format!("\n{title}\n\n");
    text += &line(&rows[0]);
    let _ = writeln!(text, "|{}|", rule.join("|"));
    rows[1..].iter().for_each(|row| text += &line(row));
    text
}

/// A number with as many digits as it deserves.
pub fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Bytes in MB.
pub fn megabytes(bytes: u64) -> String {
    let kilobytes = u32::try_from(bytes / 1_000).unwrap_or(u32::MAX);
    format!("{:.1}", f64::from(kilobytes) / 1e3)
}

/// A number of nodes.
pub fn nodes(count: usize) -> String {
    format!("{count} {}", if count == 1 { "node" } else { "nodes" })
}
