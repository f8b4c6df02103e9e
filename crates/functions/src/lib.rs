//! The Lambda functions of Run Command Relay.
//!
//! - [`relay`]: told by EventBridge that a command changed; settles it.
//! - [`mod@sweep`]: by schedule, looks after all commands.
//! - [`event`]: the shapes of the events, read tolerantly.
//! - [`config`]: the environment variables, all in one place.
//! - [`telemetry`]: logs. [`metrics`]: metrics.
//! - [`invocation_error`]: what Lambda is told when an invocation fails.
//! - [`panics`]: what is told of a panic, and what is withheld.
//! - [`mod@serve`]: takes invocations from Lambda.

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
