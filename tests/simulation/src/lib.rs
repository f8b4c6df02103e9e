//! The product under faults, in memory and in simulated time.
//!
//! The real [`settle`](callback::settle()) and [`sweep`](callback::sweep()) run against a model of
//! Run Command, EventBridge, Step Functions and Lambda. One seed is one history: which commands
//! are sent and how they end, which calls fail and which processes die, all of it is drawn from
//! the seed, and the same seed gives the same history to the millisecond.
//!
//! # Reading order
//!
//! 1. [`history`]: what names a history, and what it is drawn from ([`chance`]).
//! 2. `ending`, `script`, `sent_command`: the model of Run Command, and what each way to end must
//!    be told as.
//! 3. `simulated_aws`: both ports of the product over the model, with the faults of calls
//!    ([`fault`]).
//! 4. [`rules`]: what the product must never do, and what it must have done in time.
//! 5. [`drive`]: executions, events, the relay and the sweeps.
//! 6. [`shrink`]: makes a history that breaks a rule as short as it goes.
//! 7. [`mutations`]: deliberate defects, which show that the rules bite.

pub mod chance;
pub mod drive;
mod ending;
pub mod fault;
pub mod figures;
mod flow;
pub mod history;
pub mod mutations;
pub mod rules;
mod script;
mod sent_command;
pub mod shrink;
mod simulated_aws;

pub use drive::{Course, run};
pub use fault::Fault;
pub use figures::Figures;
pub use history::History;
