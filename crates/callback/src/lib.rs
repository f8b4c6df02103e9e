//! Decides what to tell a Step Functions task that waits for a Run Command command, and when.
//!
//! A state machine starts a command and passes its task token as the document parameter
//! `taskToken`. Run Command keeps the parameters with the command, so the command itself says which
//! task to answer. This crate reads a command through one port, decides, and answers the task
//! through the other. It knows nothing about HTTP, Lambda, or the AWS SDK.
//!
//! # Reading order
//!
//! 1. [`command`], [`status`], [`output`]: what Run Command reports about a command.
//! 2. [`verdict`](mod@verdict): whether the command has ended and succeeded. Pure.
//! 3. [`report`]: the task's output or failure cause, within the limits of Step Functions. Pure.
//! 4. [`ports`]: the two traits to the outside, [`RunCommand`] and [`Tasks`].
//! 5. [`settle`](mod@settle): reads, decides, and answers, for one command.
//! 6. [`sweep`](mod@sweep): heartbeats, lost events, and abandoned commands, for all commands.
//!
//! # Architecture invariants
//!
//! - This crate performs no IO and reads no clock and no environment. It can wait: [`settle()`]
//!   pauses between reads, and [`sweep()`] stops when its time is up, both with Tokio's timer.
//! - A task token leaves this crate only through the [`Tasks`] port. [`TaskToken`] cannot be
//!   printed or serialized.
//! - Only [`settle()`] answers a task.
//! - Every loop has a bound.

pub mod command;
pub mod error_chain;
pub mod id;
pub mod limits;
pub mod output;
pub mod ports;
pub mod report;
pub mod scope;
pub mod settle;
pub mod status;
pub mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
pub mod verdict;

pub use command::{Command, Invocation};
pub use error_chain::error_chain;
pub use id::{CommandId, InstanceId};
pub use ports::{RunCommand, Tasks};
pub use scope::{Documents, Scope};
pub use settle::{Hint, Outcome, SettleError, settle};
pub use status::{Status, StatusDetails};
pub use sweep::memory::Memory;
pub use sweep::report::SweepReport;
pub use sweep::{sweep, sweep_executing};
pub use token::TaskToken;
pub use verdict::{Verdict, verdict};
