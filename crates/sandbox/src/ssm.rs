//! Systems Manager: what Run Command and Automation need from the rest of the sandbox.

pub mod account;
pub mod documents;
pub mod parameters;
mod recorded;
