//! The command `relayctl`.

use std::process::ExitCode;

use clap::Parser;
use operator::cli::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Box::pin(operator::run(Cli::parse())).await
}
