//! What is decided, what the task is told, and what a sweep looks at.

#![expect(clippy::disallowed_methods, reason = "the clock of these tests is Tokio's, and paused")]

mod report;
mod sample;
mod settle;
mod sweep;
mod verdict;
