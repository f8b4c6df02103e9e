//! The SDK clients and their settings.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::{Ssm, StepFunctions};

/// Until a connection stands, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For one attempt of a call. An answer of these APIs takes tens of milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a call with all of its attempts and the pauses between them.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Attempts of a call, the first one included.
const ATTEMPTS_MAX: u32 = 5;
/// The longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(4);

/// Both clients. Made once per process; they keep their connections.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Run Command.
    pub ssm: Ssm,
    /// The tasks that wait.
    pub step_functions: StepFunctions,
}

impl Clients {
    /// Makes the clients from the SDK's ordinary configuration: `AWS_REGION`, `AWS_ENDPOINT_URL`
    /// and its forms per service, and the credentials of the environment, a profile, a web
    /// identity, a container or an instance. No request is sent.
    pub async fn from_environment() -> Self {
        let http_client = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config =
            aws_config::defaults(BehaviorVersion::latest()).http_client(http_client).load().await;
        Self::new(&config)
    }

    /// Makes the clients from an SDK configuration, with the timeouts and retries of this crate.
    pub fn new(config: &SdkConfig) -> Self {
        let config = config
            .to_builder()
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .operation_timeout(CALL_TIMEOUT)
                    .build(),
            )
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS_MAX)
                    .with_max_backoff(BACKOFF_MAX),
            )
            .build();
        Self {
            ssm: Ssm::new(aws_sdk_ssm::Client::new(&config)),
            step_functions: StepFunctions::new(aws_sdk_sfn::Client::new(&config)),
        }
    }
}
