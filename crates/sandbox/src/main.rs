//! The command `sandbox`.

use std::process::ExitCode;

use clap::Parser;
use sandbox::{
    cli::{Cli, Command},
    demo,
    guard::{self, Remains},
    up,
};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Up(arguments) => {
            let remains = Remains {
                is_temporary: arguments.options.directory.is_none(),
                env_file: Some(arguments.env_file.clone()),
            };
            guard::run(&remains, |mark| up::run(&arguments, mark))
        }
        Command::Demo(options) => {
            let remains = Remains { is_temporary: options.directory.is_none(), env_file: None };
            guard::run(&remains, |mark| demo::run(options, mark))
        }
    }
}
