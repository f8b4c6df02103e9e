//! What the tests share.

pub mod aws_server;
pub mod log;
pub mod sample;
pub mod sandbox;
pub mod world;
