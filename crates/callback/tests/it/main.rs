//! The pure part of the crate: what is decided, what the task is told, and what a sweep looks at.

mod report;
mod sample;
mod settle;
mod slices;
mod sweep;
mod verdict;
