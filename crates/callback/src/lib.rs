//! What to tell a Step Functions task that waits for a Run Command command, and when.
//!
//! A state machine starts a command and passes its task token as the document parameter
//! `taskToken`. Run Command keeps the command with its parameters for 30 days, so the command
//! itself says whom to answer. This crate reads a command through a port, decides, and answers
//! through another port. It knows nothing of HTTP, of Lambda or of the AWS SDK.
//!
//! # Reading order
//!
//! 1. [`command`]: what Run Command reports of a command and of its invocations.
//! 2. [`verdict`](mod@verdict): has the command ended, and was it a success? Pure.
//! 3. [`report`]: the output or cause that the task gets, within the limits of Step Functions. Pure.
//! 4. [`ports`]: the two traits to the outside, [`RunCommand`] and [`Tasks`].
//! 5. [`settle`](mod@settle): read, decide, answer; for one command.
//! 6. [`sweep`](mod@sweep): heartbeats, lost events, abandoned commands; for all commands.
//!
//! # Architecture invariants
//!
//! - This crate performs no IO and reads no clock and no environment. It may wait: [`settle()`]
//!   pauses between two reads, and [`sweep()`] gives up when its time is up, with Tokio's timer.
//! - A task token leaves it only through the [`Tasks`] port. [`TaskToken`] cannot be printed or
//!   serialized.
//! - Nothing but [`settle()`] answers a task.
//! - Every loop has a bound.

pub mod chain;
pub mod command;
pub mod documents;
pub mod id;
pub mod memory;
pub mod ports;
pub mod report;
pub mod settle;
pub mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
pub mod verdict;

pub use command::{Command, Invocation, Status, StatusDetails};
pub use documents::Documents;
pub use id::{CommandId, InstanceId};
pub use memory::Memory;
pub use ports::{RunCommand, Tasks};
pub use settle::{Hint, Outcome, SettleError, settle};
pub use sweep::{Scope, SweepReport, sweep, sweep_executing};
pub use token::TaskToken;
pub use verdict::{Verdict, verdict};
