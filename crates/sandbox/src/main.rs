//! The command `sandbox`.

use std::process::ExitCode;

use clap::Parser;
use sandbox::cli::{Cli, Command};
use sandbox::{demo, guard, program, up};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Up(arguments) => {
            let settings = arguments.settings();
            guard::run(&settings.remains(), |mark| program::run(up::run(&settings, mark)))
        }
        Command::Demo(arguments) => {
            let settings = arguments.settings();
            guard::run(&settings.sandbox.remains(), |mark| program::run(demo::run(&settings, mark)))
        }
    }
}
