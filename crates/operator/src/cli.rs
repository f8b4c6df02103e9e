//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Why tasks wait, and what became of events that failed.
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
            Self::Explain { place, .. } | Self::Waiting { place } | Self::Queue { place, .. } => {
                place
            }
        }
    }
}
