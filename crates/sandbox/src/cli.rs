//! The command line, and the settings that it stands for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::{demo, faults, sandbox, up};

/// AWS on one machine, for trying, testing and measuring.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the sandbox.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until Ctrl-C, with the stack deployed and tagged nodes, and print how to use it.
    Up(Up),
    /// Run six scripts through state machines, and show the results.
    Demo(Demo),
}

/// `sandbox demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Write the page with what happened to this file, to be opened without a sandbox.
    #[arg(long, default_value = "target/demo.html")]
    page: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// `sandbox up`.
#[derive(Debug, Args)]
pub struct Up {
    /// The port of the endpoint, on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 5000)]
    port: u16,
    /// The number of managed nodes at the start.
    #[arg(long, default_value_t = 3)]
    nodes: u16,
    /// Write the endpoint and its key to this file, as lines for a shell; removed at the end.
    #[arg(long, default_value = "target/sandbox.env")]
    env_file: PathBuf,
    /// Write everything that a program needs to use the sandbox to this file, as JSON, once the
    /// sandbox is ready; removed at the end.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// End when stdin closes, so that the sandbox does not outlive what started it.
    #[arg(long)]
    until_stdin_closes: bool,
    #[command(flatten)]
    options: Options,
}

/// What `up` and `demo` have in common.
#[derive(Debug, Args)]
pub struct Options {
    /// The directory for nodes, functions and logs; without it, a temporary one.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// The CloudFormation template to deploy.
    #[arg(long, default_value = "infra/template.yaml")]
    template: PathBuf,
    /// A parameter of the template, such as LogLevel=debug. May be given several times.
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// The directory of the state machines to create: `NAME.asl.json`.
    #[arg(long, default_value = "infra/state-machines")]
    state_machines: PathBuf,
    /// The directory of the built functions; without it, that of this program.
    #[arg(long)]
    functions: Option<PathBuf>,
    /// A Python that has the packages of crates/sandbox/requirements.txt.
    #[arg(long, env = "SANDBOX_PYTHON", default_value = "target/venv/bin/python")]
    python: PathBuf,
    /// The region of everything in the sandbox.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Reads of Run Command show the state as it was this many milliseconds ago.
    #[arg(long, default_value_t = 0)]
    read_lag_ms: u64,
    /// Seconds until the first retry of a failed asynchronous invocation; the second waits twice as
    /// long. Lambda: 60.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    retry_seconds: f64,
    /// Seconds after which an EC2 instance that was launched or started is a managed node.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    managed_seconds: f64,
    /// Fire scheduled rules every so many seconds, whatever their rate is, and set the interval of
    /// the sweep to it.
    #[arg(long, overrides_with = "schedule_seconds", value_parser = clap::value_parser!(u64).range(1..))]
    schedule_seconds: Option<u64>,
    /// The account's limit of concurrent executions in Lambda. Functions cannot reserve the last 100.
    #[arg(long, default_value_t = 1000)]
    concurrency_limit: u32,
    /// Let functions and automation documents call under their own roles, and refuse what the
    /// policies of these roles do not allow. The same for whoever has assumed a role.
    #[arg(long)]
    enforce_policies: bool,
    /// Deny roles without this permissions boundary, as a service control policy does. The sandbox
    /// creates the policy; --parameter PermissionsBoundaryArn=ARN gives it to the roles of its stack.
    #[arg(long, value_name = "ARN")]
    demand_boundary: Option<String>,
    #[command(flatten)]
    faults: Faults,
}

/// The rate of each fault: a probability from 0 to 1; without a value, 0.3.
#[derive(Debug, Clone, Copy, Args)]
struct Faults {
    /// Events that are lost.
    #[arg(long, value_name = "P", default_value_t = 0.0, num_args = 0..=1,
          default_missing_value = "0.3", value_parser = probability)]
    drop_events: f64,
    /// Events that are delivered twice.
    #[arg(long, value_name = "P", default_value_t = 0.0, num_args = 0..=1,
          default_missing_value = "0.3", value_parser = probability)]
    duplicate_events: f64,
    /// Events that arrive up to 5 seconds late.
    #[arg(long, value_name = "P", default_value_t = 0.0, num_args = 0..=1,
          default_missing_value = "0.3", value_parser = probability)]
    delay_events: f64,
    /// Events that later ones may overtake.
    #[arg(long, value_name = "P", default_value_t = 0.0, num_args = 0..=1,
          default_missing_value = "0.3", value_parser = probability)]
    reorder_events: f64,
    /// API calls of the functions that are throttled, or fail with status 500 (one in four of these).
    #[arg(long, value_name = "P", default_value_t = 0.0, num_args = 0..=1,
          default_missing_value = "0.3", value_parser = probability)]
    throttle: f64,
    /// The seed of all faults: the same seed and the same order of events give the same faults.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Up {
    /// The settings that these arguments stand for.
    pub fn settings(self) -> up::Settings {
        let Self { port, nodes, env_file, ready_file, until_stdin_closes, options } = self;
        let sandbox = options.settings(port, nodes);
        up::Settings { sandbox, env_file, ready_file, until_stdin_closes }
    }
}

impl Demo {
    /// The settings that these arguments stand for.
    pub fn settings(self) -> demo::Settings {
        demo::settings(self.options.settings(0, 0), self.page)
    }
}

impl Options {
    fn settings(self, port: u16, nodes: u16) -> sandbox::Settings {
        sandbox::Settings {
            port,
            nodes,
            directory: self.directory,
            template: self.template,
            parameters: self.parameters.into_iter().collect(),
            state_machines: self.state_machines,
            functions: self.functions,
            python: self.python,
            region: self.region,
            read_lag: Duration::from_millis(self.read_lag_ms),
            retry_after: Duration::from_secs_f64(self.retry_seconds),
            managed_after: Duration::from_secs_f64(self.managed_seconds),
            schedule_every: self.schedule_seconds.map(Duration::from_secs),
            concurrency_limit: self.concurrency_limit,
            enforce_policies: self.enforce_policies,
            demanded_boundary: self.demand_boundary,
            faults: self.faults.rates(),
        }
    }
}

impl Faults {
    fn rates(self) -> faults::Faults {
        let Self { drop_events, duplicate_events, delay_events, reorder_events, throttle, seed } =
            self;
        faults::Faults {
            drop_events,
            duplicate_events,
            delay_events,
            reorder_events,
            throttle,
            seed,
        }
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=86_400.0).contains(&value) => Ok(value),
        _ => Err("expected a number of seconds from 0 to 86400".to_owned()),
    }
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a probability from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command};

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_negative_wait_is_refused() {
        let parsed = Cli::try_parse_from(["sandbox", "up", "--retry-seconds=-1"]);
        assert!(parsed.is_err(), "{parsed:?}");
    }

    #[test]
    fn parameters_are_keys_with_values() {
        let arguments =
            ["sandbox", "up", "--parameter", "A=1", "--parameter=B=x=y", "--parameter", "C="];
        let Command::Up(up) = Cli::try_parse_from(arguments).expect("arguments").command else {
            panic!("another command");
        };
        let parameters = up.settings().sandbox.parameters;
        let parameters: Vec<_> = parameters.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(parameters, [("A", "1"), ("B", "x=y"), ("C", "")]);
        for bad in ["A", "=1", ""] {
            let parsed = Cli::try_parse_from(["sandbox", "up", "--parameter", bad]);
            assert!(parsed.is_err(), "{bad}");
        }
    }
}
