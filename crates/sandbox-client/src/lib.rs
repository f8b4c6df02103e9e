//! The sandbox as the tests use it: started as a process, with the stack in it, and called through
//! the real SDKs.
//!
//! A test takes [`Sandbox::shared`], which the tests of one program have in common, or starts a
//! [`Sandbox::start`] of its own when it needs other options. So a test of the shared one has no
//! claim to be alone: it looks at its own executions, commands and events, and adds nodes of its
//! own where their number matters. Everything that is waited for has a bound ([`eventually`]).

mod commands;
mod events;
mod executions;
mod place;
mod process;
mod recorded;
mod sandbox;
mod waiting;

pub use commands::{event_of, task_token};
pub use events::Invoked;
pub use executions::Ended;
pub use place::{ACCOUNT, REGION, unique_number};
pub use process::{Process, Ready, Stack, python, python_tool, workspace};
pub use recorded::{OpenedPage, recorded};
pub use sandbox::{DOCUMENT_WITHOUT_TOKEN, NODES, OWN_DOCUMENT, Sandbox};
pub use waiting::{Barrier, eventually};
