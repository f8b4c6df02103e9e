//! What all measurements have in common: where things are, what runs, how much of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Result;
use super::authority::Authority;
use super::cpu_share::Controller;
use super::fleet::{DOCUMENT_NAME, token};
use super::function::Program;

/// The timeout of both functions in version 0.1.0.
const TIMEOUT_BEFORE: Duration = Duration::from_mins(1);
/// The timeout of both functions.
const TIMEOUT_NOW: Duration = Duration::from_mins(5);

/// Measures the functions of Run Command Relay next to others.
#[derive(Debug, Parser)]
pub struct Options {
    /// How often everything is done.
    #[arg(long, value_enum, default_value_t = Mode::Full)]
    pub mode: Mode,
    /// What is measured; without it, everything.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Measurement>,
    /// How long an endpoint waits before it answers a call, in milliseconds.
    #[arg(long, default_value_t = 5)]
    pub latency_ms: u64,
    /// The directory of `relay`, `sweep` and `noop-function`, built for release.
    #[arg(long, default_value = "target/release")]
    pub functions: PathBuf,
    /// A directory of `relay` and `sweep` of version 0.1.0, built for release, to measure beside.
    #[arg(long)]
    pub before: Option<PathBuf>,
    /// A Python that has the packages of tests/bench/requirements.txt.
    #[arg(long, default_value = "target/venv/bin/python")]
    pub python: PathBuf,
    /// Where the results and the logs go.
    #[arg(long, default_value = "target/bench")]
    pub directory: PathBuf,
    /// Where the chart goes; without it, next to the results.
    #[arg(long)]
    pub chart: Option<PathBuf>,
}

/// How often everything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// As often as numbers need that can be told to others.
    Full,
    /// A few times, to see that it works.
    Quick,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// From the start of a process to its first answer.
    Cold,
    /// Event after event.
    Warm,
    /// Many completions at once.
    Burst,
    /// Sweeps of accounts of many kinds.
    Sweep,
    /// A command on very many nodes.
    Large,
    /// From the end of a script to the next state.
    EndToEnd,
}

/// Whose function is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Version {
    /// That of version 0.1.0.
    Before,
    /// Today's.
    Now,
}

/// A function of a version.
#[derive(Debug, Clone)]
pub struct Versioned {
    /// Which version.
    pub version: Version,
    /// How to start it.
    pub program: Program,
    /// How long it may run by default.
    pub timeout: Duration,
}

/// The setting of a run.
pub struct Setting {
    /// How often everything is done.
    pub mode: Mode,
    /// What is measured; nothing means everything.
    pub only: Vec<Measurement>,
    /// How long an endpoint waits before it answers.
    pub latency: Duration,
    /// Where the results and the logs go.
    pub directory: PathBuf,
    /// Where the chart goes.
    pub chart: PathBuf,
    /// The relay.
    pub relay: Program,
    /// The sweep.
    pub sweep: Program,
    /// The function that does nothing.
    pub noop_function: Program,
    /// The relay in Python.
    pub python: Program,
    /// Where the functions were built.
    pub functions: PathBuf,
    /// Where those of before are.
    pub before: Option<PathBuf>,
    /// Whom the functions trust.
    pub authority: Authority,
    /// How CPU is limited, or why it is not.
    pub controller: std::result::Result<Controller, String>,
}

impl Version {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "0.1.0",
            Self::Now => "now",
        }
    }
}

impl Setting {
    /// Prepares a run.
    pub fn prepare(options: Options) -> Result<Self> {
        fs::create_dir_all(&options.directory)?;
        let directory = options.directory.canonicalize()?;
        let functions = options.functions.canonicalize().map_err(|error| {
            format!("{}: {error}: `make bench` builds the functions", options.functions.display())
        })?;
        let before = options.before.map(|before| {
            let found = before.canonicalize();
            found.map_err(|error| format!("{}: {error}", before.display()))
        });
        let latency = Duration::from_millis(options.latency_ms);
        let authority = Authority::create(&directory, &options.python)?;
        Ok(Self {
            mode: options.mode,
            only: options.only,
            latency,
            relay: own("relay", &functions, &directory, &authority),
            sweep: own("sweep", &functions, &directory, &authority),
            noop_function: own("noop-function", &functions, &directory, &authority),
            python: python(&options.python, &directory, &authority)?,
            functions,
            before: before.transpose()?,
            authority,
            chart: options.chart.unwrap_or_else(|| directory.join("results.svg")),
            directory,
            controller: Controller::find().map_err(|error| error.to_string()),
        })
    }

    /// Whether this is measured.
    pub fn measures(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }

    /// This function of today, and before it that of 0.1.0, if there is one. Timeouts are those that
    /// the template of each version has by default.
    pub fn versions(&self, today: &Program) -> Vec<Versioned> {
        let versioned = |version, program, timeout| Versioned { version, program, timeout };
        let before = self.before.as_ref().map(|directory| {
            let program = Program { path: directory.join(today.name), ..today.clone() };
            versioned(Version::Before, program, TIMEOUT_BEFORE)
        });
        let now = versioned(Version::Now, today.clone(), TIMEOUT_NOW);
        before.into_iter().chain([now]).collect()
    }

    /// One number for a full run, another one for a quick run.
    pub fn times<N>(&self, full: N, quick: N) -> N {
        match self.mode {
            Mode::Full => full,
            Mode::Quick => quick,
        }
    }
}

/// An event about the end of a command of its own.
pub fn event() -> Bytes {
    let id = Uuid::new_v4().to_string();
    let event = json!({
        "version": "0", "id": Uuid::new_v4().to_string(), "account": "123456789012", "region": "us-east-1",
        "detail-type": "EC2 Command Status-change Notification", "source": "aws.ssm",
        "time": "2026-11-22T10:00:02Z",
        "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-00000000000000000"],
        "detail": {
            "command-id": id, "document-name": DOCUMENT_NAME, "status": "Success",
            "requested-date-time": "2026-11-22T10:00:00Z", "expire-after": "2026-11-22T12:00:00Z",
            "parameters": json!({ "commands": ["echo hello"], "taskToken": [token(&id)] }).to_string(),
        },
    });
    bytes(&event)
}

/// JSON as bytes.
pub fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn own(name: &'static str, functions: &Path, directory: &Path, authority: &Authority) -> Program {
    Program {
        name,
        path: functions.join(name),
        arguments: Vec::new(),
        environment: vec![
            ("DOCUMENT_NAMES", DOCUMENT_NAME.to_owned()),
            ("SWEEP_INTERVAL_SECONDS", "60".to_owned()),
            ("SSL_CERT_FILE", authority.roots.display().to_string()),
        ],
        directory: directory.to_owned(),
    }
}

fn python(python: &Path, directory: &Path, authority: &Authority) -> Result<Program> {
    // Beside the results, so that Python's compiled files are, too.
    let code = directory.join("python");
    fs::create_dir_all(&code)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("relay.py");
    fs::copy(&source, code.join("relay.py"))?;
    Ok(Program {
        name: "Python",
        // A link to the Python of the system: to follow it would leave the environment.
        path: std::path::absolute(python)?,
        arguments: ["-m", "awslambdaric", "relay.handler"].map(str::to_owned).into(),
        environment: vec![
            ("_HANDLER", "relay.handler".to_owned()),
            ("AWS_CA_BUNDLE", authority.python_roots.display().to_string()),
        ],
        directory: code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_those_of_the_template() {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/template.yaml");
        let template = fs::read_to_string(template).unwrap();
        for parameter in ["RelayTimeoutSeconds", "SweepTimeoutSeconds"] {
            let (_, definition) = template.split_once(&format!("  {parameter}:\n")).unwrap();
            let (_, default) = definition.split_once("Default: ").unwrap();
            let (seconds, _) = default.split_once('\n').unwrap();
            assert_eq!(seconds.parse(), Ok(TIMEOUT_NOW.as_secs()), "{parameter}");
        }
    }
}
