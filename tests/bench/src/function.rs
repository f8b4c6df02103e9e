//! A function as a process, as Lambda runs it: full CPU until it asks for work, and then the share
//! of its memory size.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Result;
use super::aws::Aws;
use super::cpu_share::{Controller, Group};
use super::runtime_api::{Answered, RuntimeApi};
use super::setting::Setting;

/// Nothing takes this long to start.
const INIT_MAX: Duration = Duration::from_mins(1);
/// The longest that Lambda lets a function run.
const INVOCATION_MAX: Duration = Duration::from_mins(15);
/// The unit of times in `/proc/PID/stat`: the same on all architectures that Linux has today.
const TICK: Duration = Duration::from_millis(10);

/// How to start a function.
#[derive(Debug, Clone)]
pub struct Program {
    /// What the tables call it.
    pub name: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables of its own.
    pub environment: Vec<(&'static str, String)>,
    /// Its working directory.
    pub directory: PathBuf,
}

/// How much of a core a function gets.
#[derive(Debug, Clone, Copy)]
pub enum Cpu<'a> {
    /// All.
    Whole,
    /// After its start, the share of this memory size in MB.
    Share(&'a Controller, u32),
}

/// A running function.
#[derive(Debug)]
pub struct Function {
    api: RuntimeApi,
    process: Child,
    process_id: u32,
    started: Instant,
    share: Option<(Group, u32)>,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time of all its threads, in user and in kernel mode.
    pub cpu_time: Duration,
    /// The most memory that was resident.
    pub memory_max_bytes: u64,
}

impl Function {
    /// Starts a function.
    pub async fn start(
        program: &Program,
        setting: &Setting,
        aws: &Aws,
        cpu: Cpu<'_>,
    ) -> Result<Self> {
        let api = RuntimeApi::start().await?;
        let log = setting.directory.join(format!("{}.log", program.name));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let share = match cpu {
            Cpu::Whole => None,
            Cpu::Share(controller, memory_mb) => Some((controller.group()?, memory_mb)),
        };
        let memory_mb = share.as_ref().map_or(1_769, |(_, memory_mb)| *memory_mb);
        let mut command = Command::new(&program.path);
        command
            .args(&program.arguments)
            .current_dir(&program.directory)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", api.address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory_mb.to_string()),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/measured"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "measured"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_DEFAULT_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "measured"),
                ("AWS_SECRET_ACCESS_KEY", "measured"),
                ("AWS_SESSION_TOKEN", "measured"),
                ("AWS_ENDPOINT_URL_SSM", &aws.ssm_url),
                ("AWS_ENDPOINT_URL_SFN", &aws.step_functions_url),
                ("TZ", ":UTC"),
                ("LANG", "en_US.UTF-8"),
            ])
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let started = Instant::now();
        let process = command.spawn().map_err(|error| {
            format!("{} cannot be started from {}: {error}", program.name, program.path.display())
        })?;
        let process_id = process.id().ok_or("the function has ended already")?;
        if let Some((group, _)) = &share {
            // The group has no limit yet, so it does not matter when it takes the process in.
            group.add(process_id)?;
        }
        Ok(Self { api, process, process_id, started, share })
    }

    /// Waits until it has asked for work, limits its CPU, and returns how long it took to start.
    pub async fn initialized(&mut self) -> Result<Duration> {
        let asked = tokio::select! {
            asked = timeout(INIT_MAX, self.api.asked()) => asked??,
            status = self.process.wait() => {
                return Err(format!("the function ended at once: {}", status?).into());
            }
        };
        if let Some((group, memory_mb)) = &self.share {
            group.limit(*memory_mb)?;
        }
        Ok(asked - self.started)
    }

    /// Invokes it, and returns what must be a success.
    pub async fn invoke(&self, event: Bytes) -> Result<Answered> {
        let answered = self.try_invoke(event).await?;
        if answered.failed {
            let payload = String::from_utf8_lossy(&answered.payload).into_owned();
            return Err(format!("the function failed: {payload}").into());
        }
        Ok(answered)
    }

    /// Invokes it.
    pub async fn try_invoke(&self, event: Bytes) -> Result<Answered> {
        timeout(INVOCATION_MAX, self.api.invoke(event, INVOCATION_MAX)).await?
    }

    /// Invokes it as Lambda does that has this timeout. `None` if it did not answer in time.
    pub async fn invoke_within(&self, event: Bytes, time: Duration) -> Result<Option<Answered>> {
        timeout(time, self.api.invoke(event, time)).await.ok().transpose()
    }

    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage> {
        let directory = PathBuf::from(format!("/proc/{}", self.process_id));
        let stat = fs::read_to_string(directory.join("stat"))?;
        // The name of the program comes before, in parentheses, and may hold anything.
        let (_, fields) = stat.rsplit_once(") ").ok_or("/proc/PID/stat has no name")?;
        let ticks: u32 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u32>().unwrap_or_default())
            .sum();
        let status = fs::read_to_string(directory.join("status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes.ok_or("/proc/PID/status has no VmHWM")?.parse()?;
        Ok(Usage { cpu_time: TICK * ticks, memory_max_bytes: kilobytes * 1024 })
    }

    /// Ends it.
    pub async fn end(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}
