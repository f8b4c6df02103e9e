//! The pure half of the crate: what is decided, and what the task is told.

mod report;
mod sample;
mod verdict;
