//! The Lambda functions of Run Command Relay.
//!
//! - [`relay`]: told by EventBridge that a command changed; settles it.
//! - [`event`]: the shapes of the events, read tolerantly.
//! - [`config`]: the environment variables, all in one place.
//! - [`telemetry`]: logs. [`metrics`]: metrics.
//! - [`invocation_error`]: what Lambda is told when an invocation fails.

pub mod config;
pub mod event;
pub mod invocation_error;
pub mod metrics;
pub mod relay;
pub mod telemetry;

pub use config::RelayConfig;
pub use relay::Relay;
