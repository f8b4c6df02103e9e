//! What `make bench` is made of: whole functions as processes, under a Lambda Runtime API and
//! against AWS endpoints of its own, all on loopback.
//!
//! - [`authority`], [`http`]: TLS by a certificate authority that lives as long as the run.
//! - [`aws`], [`fleet`], [`account`]: the endpoints, with a latency per call; what they know and answer.
//! - [`runtime_api`], [`function`], [`cpu_share`]: functions as Lambda runs them, and the share of
//!   a core that their memory size gives them.
//! - [`cold`], [`warm`], [`burst`], [`sweeps`], [`large`], [`end_to_end`]: one module per measurement.
//! - [`quantiles`], [`results`], [`comparison`], [`targets`], [`chart`]: what comes of it.

pub mod account;
pub mod authority;
pub mod aws;
pub mod burst;
pub mod chart;
pub mod cold;
pub mod comparison;
pub mod cpu_share;
pub mod end_to_end;
pub mod fleet;
pub mod function;
pub mod http;
pub mod large;
pub mod quantiles;
pub mod results;
pub mod runtime_api;
pub mod setting;
pub mod sweeps;
pub mod targets;
pub mod warm;

/// The result of a step of a measurement. What fails ends the run.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
