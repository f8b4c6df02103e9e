//! The SDK clients and their settings.

use std::env;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ssm::config::SharedHttpClient;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use crate::trust::{Roots, trust_store};
use crate::{Ssm, StepFunctions};

/// Timeouts and retries of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// Timeout for a connection, including TLS.
    pub connect_timeout: Duration,
    /// Timeout for one attempt of a call.
    pub attempt_timeout: Duration,
    /// Timeout for a call with all of its attempts and the pauses between them.
    pub call_timeout: Duration,
    /// Maximum number of attempts of a call, including the first.
    pub attempts_max: u32,
    /// Maximum pause between two attempts.
    pub backoff_max: Duration,
}

impl Default for Patience {
    /// These APIs respond within tens of milliseconds. A function that reads a command, reads
    /// outputs, and answers takes less than a minute, even if each of these calls times out.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            attempt_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(18),
            attempts_max: 5,
            backoff_max: Duration::from_secs(4),
        }
    }
}

impl Patience {
    /// The SDK configuration with these timeouts and retries.
    pub fn applied_to(&self, config: &SdkConfig) -> SdkConfig {
        config
            .to_builder()
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(self.connect_timeout)
                    .operation_attempt_timeout(self.attempt_timeout)
                    .operation_timeout(self.call_timeout)
                    .build(),
            )
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(self.attempts_max)
                    .with_max_backoff(self.backoff_max),
            )
            .build()
    }
}

/// The HTTP client of both SDK clients, with TLS by rustls and this trust store.
pub fn http_client(trust_store: TrustStore) -> SharedHttpClient {
    let tls = TlsContext::builder().with_trust_store(trust_store).build();
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls.expect("a TLS context needs only a trust store"))
        .build_https()
}

/// Both clients. Create them once per process: they keep their connections.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Run Command.
    pub ssm: Ssm,
    /// The waiting tasks.
    pub step_functions: StepFunctions,
}

impl Clients {
    /// Creates the clients from the SDK's standard configuration: `AWS_REGION`, `AWS_ENDPOINT_URL`
    /// and its variants per service, and credentials from the environment, a profile, a web
    /// identity, a container, or an instance. Trusts these certificate authorities. Sends no request.
    pub async fn from_environment(roots: Roots) -> Self {
        let http_client = http_client(trust_store(roots));
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client);
        // Always the case on Lambda, and building the chain of other providers takes time.
        if env::var_os("AWS_ACCESS_KEY_ID").is_some() {
            loader = loader.credentials_provider(EnvironmentVariableCredentialsProvider::new());
        }
        Self::new(&loader.load().await, &Patience::default())
    }

    /// Creates the clients from an SDK configuration, with these timeouts and retries.
    pub fn new(config: &SdkConfig, patience: &Patience) -> Self {
        let config = patience.applied_to(config);
        Self {
            ssm: Ssm::new(aws_sdk_ssm::Client::new(&config)),
            step_functions: StepFunctions::new(aws_sdk_sfn::Client::new(&config)),
        }
    }
}
