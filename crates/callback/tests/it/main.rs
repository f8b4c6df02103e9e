//! What is decided, what a task is told, and what becomes of commands in a fake world.
#![expect(clippy::disallowed_methods, reason = "tests measure simulated time and read sources")]

mod architecture;
mod report;
mod sample;
mod settle;
mod sweep;
mod verdict;
mod world;
