//! For tests of this crate and its users: a server that responds as AWS does.

pub mod aws_server;
