//! Sweeps of accounts of many kinds: how calls, time and memory grow, and how long a task goes without
//! a heartbeat.
//!
//! Each case is a new process that is invoked as the schedule does it. All cases run at the same time,
//! each against an account of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::Result;
use super::account::{Account, Silence, Stream};
use super::aws::{Aws, CallLog};
use super::fleet::{Fleet, Throttled};
use super::function::{Cpu, Function};
use super::setting::{Mode, Setting, Version, Versioned, bytes};

/// From one scheduled sweep to the next.
const INTERVAL: Duration = Duration::from_mins(1);
/// The same in a quick run.
const QUICK_INTERVAL: Duration = Duration::from_secs(10);
/// How long sweeps begin in a quick run.
const QUICK_TIME: Duration = Duration::from_secs(30);
/// `HeartbeatSeconds` of all tasks.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_mins(20);
/// The documents of the stack.
const DOCUMENT_NAMES: &str = "SfnRunShellScript,SfnRunPowerShellScript,SfnRunDocument";
/// The commands of others in a busy account, per hour.
pub const OTHERS_PER_HOUR: u64 = 50_000;
/// Short scripts per hour. A new process has looked through the lookback of 49 hours after 20 sweeps.
pub const SHORT_PER_HOUR: u64 = 600;
/// The last sweeps of a case, of which calls per completed command are counted.
const LAST_SWEEPS: usize = 8;
/// How long scripts run whose commands are counted as executing.
const LONG_RUN: Duration = Duration::from_hours(1);

/// What an account is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// It has no command.
    Idle,
    /// Others run [`OTHERS_PER_HOUR`] commands. One of ours starts each minute.
    Busy,
    /// [`SHORT_PER_HOUR`] scripts of 10 s.
    Short,
    /// So many commands execute, for an hour each.
    Executing(u64),
    /// The same, and AWS allows 250 heartbeats and 10 lists a second.
    ExecutingUnderRates(u64),
}

/// The sweeps of one process.
#[derive(Debug, Clone, Serialize)]
pub struct Sweeps {
    /// What the account is like.
    pub kind: Kind,
    /// Whose sweeps.
    pub version: Version,
    /// One after the other.
    pub sweeps: Vec<Sweep>,
    /// Calls that were throttled.
    pub throttled_calls: usize,
    /// Calls of the last sweeps per command that was completed meanwhile.
    pub calls_per_completed: f64,
    /// The longest that an executing task went without a heartbeat.
    pub longest_silence_s: f64,
    /// Tasks that went without a heartbeat for longer than their `HeartbeatSeconds`.
    pub missed_tasks: usize,
    /// CPU time of all sweeps.
    pub cpu_seconds: f64,
    /// The most memory that was resident.
    pub memory_max_bytes: u64,
}

/// One sweep.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sweep {
    /// From the event to the answer of the function.
    pub seconds: f64,
    /// Calls of `ListCommands`.
    pub list_calls: usize,
    /// Calls of `SendTaskHeartbeat`.
    pub heartbeat_calls: usize,
    /// All calls.
    pub calls: usize,
    /// Lists and commands for which a call failed.
    pub failed: u64,
    /// Whether it was cut short.
    pub is_truncated: bool,
}

struct Case {
    kind: Kind,
    /// How long sweeps begin.
    time: Duration,
}

/// Measures all kinds of accounts, with each version.
pub async fn measure(setting: &Setting) -> Result<Vec<Sweeps>> {
    let case = |kind, minutes| Case { kind, time: setting.times(INTERVAL * minutes, QUICK_TIME) };
    let mut cases = vec![
        case(Kind::Idle, 10),
        case(Kind::Busy, 10),
        case(Kind::Short, 25),
        // Not long enough for a new process to look back through all that has completed.
        case(Kind::Executing(1_000), 27),
    ];
    if setting.mode == Mode::Full {
        cases.push(case(Kind::Executing(10_000), 10));
        // Longer than a task may be without a heartbeat.
        cases.push(case(Kind::ExecutingUnderRates(100_000), 21));
    }
    let versions = setting.versions(&setting.sweep);
    let runs = cases.iter().flat_map(|case| versions.iter().map(move |version| (case, version)));
    try_join_all(runs.map(|(case, version)| run(setting, case, version))).await
}

async fn run(setting: &Setting, case: &Case, version: &Versioned) -> Result<Sweeps> {
    let rates = if matches!(case.kind, Kind::ExecutingUnderRates(_)) { rates } else { no_rates };
    let fleet = Arc::new(Throttled::new(case.kind.account(), rates));
    let served: Arc<dyn Fleet> = Arc::<Throttled<Account>>::clone(&fleet);
    let aws = Aws::start(&setting.authority, setting.latency, served).await?;
    let mut program = version.program.clone();
    program.environment.push(("DOCUMENT_NAMES", DOCUMENT_NAMES.to_owned()));
    let mut function = Function::start(&program, setting, &aws, Cpu::Whole).await?;
    function.initialized().await?;
    aws.take_call_log();

    let interval = setting.times(INTERVAL, QUICK_INTERVAL);
    let started = Instant::now();
    let mut begins = Vec::new();
    let mut sweeps = Vec::new();
    // Timers are late rather than early.
    while started.elapsed() + interval / 2 < case.time {
        begins.push(Instant::now());
        sweeps.push(sweep(&function, &aws, version.timeout).await?);
        // A sweep that takes longer than the interval is followed by the next one at once.
        let next = begins.last().map_or(started, |begin| *begin + interval);
        tokio::time::sleep_until(next.into()).await;
    }
    let usage = function.usage()?;
    function.end().await?;

    let last = sweeps.len().saturating_sub(LAST_SWEEPS).max(1).min(sweeps.len() - 1);
    let calls: usize = sweeps[last..].iter().map(|sweep| sweep.calls).sum();
    let completed = case.kind.completed_in(begins[last].elapsed());
    let Silence { longest, too_long } = fleet.fleet().silence(HEARTBEAT_TIMEOUT);
    // Calls are counted in thousands.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let calls_per_completed = calls as f64 / completed;
    Ok(Sweeps {
        kind: case.kind,
        version: version.version,
        sweeps,
        throttled_calls: fleet.throttled(),
        calls_per_completed,
        longest_silence_s: longest.as_secs_f64(),
        missed_tasks: too_long,
        cpu_seconds: usage.cpu_time.as_secs_f64(),
        memory_max_bytes: usage.memory_max_bytes,
    })
}

async fn sweep(function: &Function, aws: &Aws, timeout: Duration) -> Result<Sweep> {
    let event = json!({
        "version": "0", "id": "sweep", "source": "aws.events", "detail-type": "Scheduled Event",
        "time": Timestamp::now(), "detail": {},
    });
    let answered = function.invoke_within(bytes(&event), timeout).await?;
    let answered = answered.ok_or("the sweep took longer than its timeout")?;
    let response: Value = serde_json::from_slice(&answered.payload)?;
    if answered.failed {
        return Err(format!("the sweep failed: {response}").into());
    }
    let CallLog { calls, .. } = aws.take_call_log();
    let count = |operation| calls.iter().filter(|call| call.operation == operation).count();
    Ok(Sweep {
        seconds: (answered.answered - answered.handed).as_secs_f64(),
        list_calls: count("ListCommands"),
        heartbeat_calls: count("SendTaskHeartbeat"),
        calls: calls.len(),
        failed: response["Failed"].as_u64().unwrap_or(0),
        is_truncated: response["Truncated"] == true,
    })
}

impl Kind {
    fn account(self) -> Account {
        let minute = INTERVAL;
        match self {
            Self::Idle => Account::new(None, None),
            Self::Busy => Account::new(
                Some(Stream { per_hour: 60, run: minute }),
                Some(Stream { per_hour: OTHERS_PER_HOUR, run: minute }),
            ),
            Self::Short => {
                let run = Duration::from_secs(10);
                Account::new(Some(Stream { per_hour: SHORT_PER_HOUR, run }), None)
            }
            Self::Executing(number) | Self::ExecutingUnderRates(number) => {
                Account::new(Some(Stream { per_hour: number, run: LONG_RUN }), None)
            }
        }
    }

    /// How many of our commands are completed in this time.
    fn completed_in(self, time: Duration) -> f64 {
        let per_hour = match self {
            Self::Idle => 0,
            Self::Busy => 60,
            Self::Short => SHORT_PER_HOUR,
            Self::Executing(number) | Self::ExecutingUnderRates(number) => number,
        };
        f64::from(u32::try_from(per_hour).unwrap_or(u32::MAX)) * time.as_secs_f64()
            / LONG_RUN.as_secs_f64()
    }

    /// Its name in tables.
    pub fn name(self) -> String {
        match self {
            Self::Idle => "idle".to_owned(),
            Self::Busy => format!("others run {OTHERS_PER_HOUR} an hour"),
            Self::Short => format!("{SHORT_PER_HOUR} scripts of 10 s an hour"),
            Self::Executing(number) => format!("{number} executing"),
            Self::ExecutingUnderRates(number) => format!("{number} executing, under rates"),
        }
    }
}

impl Sweeps {
    /// The greatest of these figures of the sweeps but the first, or of that if there is no other.
    pub fn later_max<N: PartialOrd + Copy>(&self, figure: impl Fn(&Sweep) -> N) -> Option<N> {
        let later = if self.sweeps.len() > 1 { &self.sweeps[1..] } else { &self.sweeps[..] };
        later.iter().map(figure).reduce(|one, other| if one < other { other } else { one })
    }

    /// The most calls of `ListCommands` in one sweep.
    pub fn list_calls_max(&self) -> usize {
        self.sweeps.iter().map(|sweep| sweep.list_calls).max().unwrap_or(0)
    }
}

/// The rates that AWS allows, per second.
fn rates(operation: &str) -> Option<f64> {
    match operation {
        "ListCommands" => Some(10.0),
        "SendTaskHeartbeat" => Some(250.0),
        _ => None,
    }
}

fn no_rates(_operation: &str) -> Option<f64> {
    None
}
