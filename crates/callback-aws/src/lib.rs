//! Implements the ports of [`callback`] with the AWS SDK.
//!
//! - [`clients`]: one SSM client and one Step Functions client, with timeouts and retries.
//! - [`run_command`]: [`callback::RunCommand`] over SSM.
//! - [`tasks`]: [`callback::Tasks`] over Step Functions.
//! - [`call_error`]: classifies failed calls, by error code.
//! - [`trust`]: which certificate authorities are trusted.
//! - [`warm_up`]: opens connections while the function starts.
//!
//! Retries are left to the SDK. Every list is read with a bound.

pub mod call_error;
pub mod clients;
pub mod run_command;
pub mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trust;
pub mod warm_up;

pub use clients::Clients;
pub use run_command::Ssm;
pub use tasks::StepFunctions;
