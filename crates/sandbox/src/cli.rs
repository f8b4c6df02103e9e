//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::faults::Faults;

/// AWS on one machine, for trying, testing and measuring.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the sandbox can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until Ctrl-C, with the stack deployed and tagged nodes, and say how to use it.
    Up(Up),
    /// Run four commands through state machines, and show what comes of them.
    Demo(Options),
}

/// `sandbox up`.
#[derive(Debug, Args)]
pub struct Up {
    /// The port of the endpoint, on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 5000)]
    pub port: u16,
    /// How many managed nodes there are at first.
    #[arg(long, default_value_t = 3)]
    pub nodes: u16,
    /// Where to write how to reach the sandbox, as lines for a shell; removed at its end.
    #[arg(long, default_value = "target/sandbox.env")]
    pub env_file: PathBuf,
    /// End when stdin closes, so that the sandbox does not outlive what started it.
    #[arg(long)]
    pub until_stdin_closes: bool,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub options: Options,
}

/// What `up` and `demo` have in common.
#[derive(Debug, Args)]
pub struct Options {
    /// Where nodes, functions and logs are kept; without it, a temporary directory.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// The CloudFormation template to deploy.
    #[arg(long, default_value = "infra/template.yaml")]
    pub template: PathBuf,
    /// The directory of the state machines to create: `NAME.asl.json`.
    #[arg(long, default_value = "infra/state-machines")]
    pub state_machines: PathBuf,
    /// The directory of the built functions; without it, that of this program.
    #[arg(long)]
    pub functions: Option<PathBuf>,
    /// A Python that has the packages of crates/sandbox/requirements.txt.
    #[arg(long, env = "SANDBOX_PYTHON", default_value = "target/venv/bin/python")]
    pub python: PathBuf,
    /// The region that everything is in.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// Reads of Run Command show the state as it was this many milliseconds ago.
    #[arg(long, default_value_t = 0)]
    pub read_lag_ms: u64,
    /// Seconds until the first retry of a failed asynchronous invocation; the second waits twice as
    /// long. Lambda: 60.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub retry_seconds: f64,
    /// Fire scheduled rules every so many seconds, whatever their rate says, and tell the sweep so.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub schedule_seconds: Option<u64>,
    /// Functions and automation documents call under their own roles, and what the policies of
    /// these do not allow is refused.
    #[arg(long)]
    pub enforce_policies: bool,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub faults: Faults,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=86_400.0).contains(&value) => Ok(value),
        _ => Err("not a number of seconds between 0 and 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_negative_wait_is_refused() {
        let parsed = Cli::try_parse_from(["sandbox", "up", "--retry-seconds=-1"]);
        assert!(parsed.is_err(), "{parsed:?}");
    }
}
