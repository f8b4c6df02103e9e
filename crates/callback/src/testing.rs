//! For tests of this crate and of those that use it: a world in memory behind both ports, sample
//! commands to put into it, and what was logged.

pub mod log;
pub mod sample;
pub mod world;
