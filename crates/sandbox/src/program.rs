//! The commands of the program as they run: in one runtime, with one way to fail.

use std::error::Error;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use crate::error_chain::error_chain;
use crate::printable::printable;

/// Runs a command of the program to its end, and prints its error to stderr.
pub fn run(command: impl Future<Output = Result<ExitCode, Box<dyn Error>>>) -> ExitCode {
    let runtime = Runtime::new().expect("the operating system gives threads");
    runtime.block_on(command).unwrap_or_else(|error| {
        let text = format!("sandbox: {}", error_chain(error.as_ref()));
        text.lines().for_each(|line| eprintln!("{}", printable(line)));
        ExitCode::FAILURE
    })
}
