//! The Lambda functions of Run Command Relay.
//!
//! - [`relay`]: EventBridge notifies it when a command changes; it settles the command.
//! - [`mod@sweep`]: runs on a schedule and sweeps all commands, or those that execute when an
//!   execution ends.
//! - [`event`]: parses events.
//! - [`config`]: the environment variables, all in one place.
//! - [`telemetry`]: logs. [`metrics`]: metrics.
//! - [`invocation_error`]: the error of a failed invocation.
//! - [`panics`]: logs panics without their messages.
//! - [`mod@serve`]: handles invocations from Lambda.

pub mod config;
pub mod event;
pub mod invocation_error;
pub mod metrics;
pub mod panics;
pub mod relay;
pub mod serve;
pub mod sweep;
pub mod telemetry;

pub use config::{RelayConfig, SweepConfig};
pub use relay::Relay;
pub use serve::serve;
pub use sweep::Sweep;
