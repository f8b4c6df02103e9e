//! `relayctl`: whether a stack is as it must be, why tasks wait, and what became of events that failed.
//!
//! It reads with the caller's credentials, and changes nothing unless it is told to. A [`cli`] command
//! finds the [`stack`], reads through [`aws`], and returns a [`printout`]. What it says about an
//! answer is decided by [`callback`], as in the relay: see [`relay_answer`].
//!
//! # Architecture invariants
//!
//! - No function of the stack uses this crate.
//! - No heartbeat and no answer is sent. A heartbeat would keep a task waiting that nobody else keeps.
//! - No task token is printed: texts that others wrote pass through [`shown`].
//! - Every list is read with a bound, and says so when it stopped there.

pub mod acceptance;
pub mod aws;
pub mod before;
pub mod call;
pub mod check;
pub mod checks;
pub mod cli;
pub mod command;
pub mod execution;
pub mod explain;
pub mod nodes;
pub mod printout;
pub mod problem;
pub mod queue;
pub mod relay_answer;
pub mod rights;
pub mod shown;
pub mod stack;
pub mod subject;
pub mod times;
pub mod waiting;

use std::process::ExitCode;

use jiff::Timestamp;

use crate::aws::Aws;
use crate::cli::{Cli, Command, Place};
use crate::printout::{Printout, WIDTH_MAX, wrapped};
use crate::problem::Problem;
use crate::stack::Stack;
use crate::subject::Subject;

/// Runs a command and prints what it found. The exit code is 0 if all is well, 1 if something is
/// wrong, and 2 if it could not be found out.
pub async fn run(cli: Cli) -> ExitCode {
    let place = cli.command.place().clone();
    // What all checks together keep is too large for the stack.
    match Box::pin(printout(cli.command, &place)).await {
        Ok(printout) => printout.print(place.output),
        Err(problem) => {
            let sentence = format!("relayctl: {problem}");
            eprintln!("{}", wrapped(&sentence, WIDTH_MAX).join("\n"));
            ExitCode::from(2)
        }
    }
}

async fn printout(command: Command, place: &Place) -> Result<Printout, Problem> {
    let now = Timestamp::now();
    match command {
        Command::Check { before: true, bucket, parameters, .. } => {
            let aws = Aws::connect(place, None).await?;
            Box::pin(before::before(&aws, &place.stack, bucket.as_deref(), &parameters)).await
        }
        Command::Check { run, state_machines, acceptance, .. } => {
            let aws = Aws::connect(place, None).await?;
            let stack = Stack::read(&aws, &place.stack).await?;
            let checked = Box::pin(check::check(&aws, &stack, &state_machines, now)).await?;
            if run {
                acceptance::run(&aws, &stack, &acceptance, checked).await
            } else {
                Ok(checked)
            }
        }
        Command::Explain { subject, .. } => {
            let subject = Subject::parse(&subject)?;
            let aws = Aws::connect(place, subject.region()).await?;
            subject.check_region(aws.region())?;
            let stack = Stack::read(&aws, &place.stack).await?;
            subject.check_account(stack.account())?;
            explain::explain(&aws, &stack, &subject, now).await
        }
        Command::Waiting { .. } => {
            let aws = Aws::connect(place, None).await?;
            let stack = Stack::read(&aws, &place.stack).await?;
            waiting::waiting(&aws, &stack, now).await
        }
        Command::Queue { redrive, delete_closed, .. } => {
            let aws = Aws::connect(place, None).await?;
            let stack = Stack::read(&aws, &place.stack).await?;
            queue::queue(&aws, &stack, queue::Actions { redrive, delete_closed }, now).await
        }
    }
}
