//! For tests of this crate and its users: a fake of both ports, sample commands, and captured logs.

pub mod listing;
pub mod log;
pub mod sample;
pub mod world;
