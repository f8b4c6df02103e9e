//! What the tests share.

pub mod aws_server;
#[cfg(feature = "bench")]
pub mod bench;
pub mod log;
pub mod sample;
pub mod sandbox;
pub mod secret;
pub mod world;
