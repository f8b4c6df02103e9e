//! The command `sandbox`.

use std::process::ExitCode;

use clap::Parser;
use sandbox::{
    cli::{Cli, Command},
    demo, guard, up,
};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Up(arguments) => up::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Guard(arguments) => guard::run(&arguments),
    }
}
