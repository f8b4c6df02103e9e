//! Opens connections before they are needed.
//!
//! Lambda gives a function a full core while it starts, and after that a share that depends on its
//! memory size. So loading roots and credentials and TLS handshakes are cheapest before the first
//! event.
//!
//! A warm-up request takes the path of a regular call: endpoint, credentials, signature,
//! connection. Just before transmission it is replaced by an unsigned `GET /ping`. That is not an
//! API call: it needs no permission, counts against no quota, and changes nothing.

use std::time::Duration;

use aws_sdk_ssm::config::http::HttpRequest;
use aws_sdk_ssm::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_ssm::config::retry::{ReconnectMode, RetryConfig};
use aws_sdk_ssm::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ssm::error::{BoxError, SdkError};
use futures_util::future::join3;

use crate::Clients;

/// Maximum duration of the warm-up. A function without a network must still start.
const WARM_UP_MAX: Duration = Duration::from_secs(2);

impl Clients {
    /// Opens the connections that the first event needs: two to Systems Manager, because a command
    /// and its invocations are read concurrently, and one to Step Functions. Takes at most two
    /// seconds. Connections that fail are left to the first call.
    pub async fn warm_up(&self) {
        let connections =
            join3(self.ssm.connect(), self.ssm.connect(), self.step_functions.connect());
        if tokio::time::timeout(WARM_UP_MAX, connections).await.is_err() {
            tracing::debug!("the warm-up timed out");
        }
    }
}

/// Replaces a request with one that is not an API call.
#[derive(Debug)]
pub(crate) struct ConnectOnly;

impl Intercept for ConnectOnly {
    fn name(&self) -> &'static str {
        "ConnectOnly"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let endpoint = request.uri().trim_end_matches('/').to_owned();
        *request = HttpRequest::get(format!("{endpoint}/ping"))?;
        Ok(())
    }
}

/// One attempt. The connection is kept although the response is not from the API.
pub(crate) fn retry_config() -> RetryConfig {
    RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections)
}

/// Logs a connection that could not be opened. Any response means that it was.
pub(crate) fn note<T, E, R>(service: &'static str, answer: &Result<T, SdkError<E, R>>) {
    if let Err(SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)) = answer {
        tracing::debug!(service, "could not connect");
    }
}
