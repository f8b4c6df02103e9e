//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Whether the stack is as it must be, why tasks wait, and what became of events that failed.
///
/// Exit codes: 0 if all is well, 1 if something is wrong, 2 if it could not be found out.
#[derive(Debug, Parser)]
#[command(name = "relayctl", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the stack by reading; with `--run`, also by running scripts on a node.
    Check {
        /// Check what would stop `make deploy`, before there is a stack.
        #[arg(long, conflicts_with_all = ["run", "state_machines"])]
        before: bool,
        /// With `--before`: the bucket for the code, if it is not the default one.
        #[arg(long, requires = "before")]
        bucket: Option<String>,
        /// With `--before`: a parameter of the template, as Key=Value. May be repeated.
        #[arg(long = "parameter", value_name = "KEY=VALUE", requires = "before")]
        parameters: Vec<String>,
        /// A state machine whose role must be allowed to start commands. May be repeated.
        #[arg(long = "state-machine", value_name = "ARN")]
        state_machines: Vec<String>,
        /// Run the acceptance run: executions of the stack's `CheckStateMachine`.
        #[arg(long)]
        run: bool,
        /// What the acceptance run needs.
        #[command(flatten)]
        acceptance: Acceptance,
        /// Where to look.
        #[command(flatten)]
        place: Place,
    },
    /// Say why the task of a command, or the tasks of an execution, wait.
    Explain {
        /// The id of a command, or the ARN of an execution.
        #[arg(value_name = "COMMAND_ID|EXECUTION_ARN")]
        subject: String,
        /// Where to look.
        #[command(flatten)]
        place: Place,
    },
    /// List the executing commands for which tasks wait, oldest first.
    Waiting {
        /// Where to look.
        #[command(flatten)]
        place: Place,
    },
    /// List the events that the relay could not handle: the messages of the on-failure queue.
    Queue {
        /// Hand the events to the relay again, and delete the messages that it accepts.
        #[arg(long)]
        redrive: bool,
        /// Delete the messages of commands whose task is known to be closed.
        #[arg(long)]
        delete_closed: bool,
        /// Where to look.
        #[command(flatten)]
        place: Place,
    },
}

/// What `check --run` needs.
#[derive(Debug, Clone, Args)]
pub struct Acceptance {
    /// A managed Linux node with the stack's tag, on which scripts run.
    #[arg(long, requires = "run", required_if_eq("run", "true"))]
    pub node: Option<String>,
    /// A tag: `echo` also runs on all nodes that have it and the stack's tag, as a command with targets.
    #[arg(long, value_name = "KEY=VALUE", requires = "run")]
    pub tag: Option<String>,
    /// Also lose an event: the relay's rule is disabled while one command ends.
    #[arg(long, requires = "run")]
    pub disturb: bool,
    /// Run only the case of this name. May be repeated.
    #[arg(long = "case", value_name = "NAME", requires = "run")]
    pub cases: Vec<String>,
    /// The directory of the report, which must not exist; without it, one in the working directory.
    #[arg(long, value_name = "DIRECTORY", requires = "run")]
    pub report: Option<PathBuf>,
}

/// Where to look, and how to print.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The name of the stack.
    #[arg(long)]
    pub stack: String,
    /// The region of the stack; without it, that of the ARN, the environment or the profile.
    #[arg(long)]
    pub region: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Sentences and tables, up to 100 characters wide.
    Text,
    /// One JSON object.
    Json,
}

impl Command {
    /// Where to look.
    pub fn place(&self) -> &Place {
        match self {
            Self::Check { place, .. }
            | Self::Explain { place, .. }
            | Self::Waiting { place }
            | Self::Queue { place, .. } => place,
        }
    }
}
