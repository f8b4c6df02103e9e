//! For tests of this crate and of those that use it: a server that answers as AWS does.

pub mod aws_server;
