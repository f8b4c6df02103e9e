//! Lambda: the functions of the stack, run as processes.

pub mod code;
pub mod functions;
pub mod peer;
pub mod process;
pub mod queue;
pub mod requests;
