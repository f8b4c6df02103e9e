//! Opens connections before they are needed.
//!
//! While a function starts, Lambda gives it a whole core; after that, the share of its memory size.
//! So roots, credentials and TLS handshakes cost least before the first event.
//!
//! A request goes the whole way of a call: endpoint, credentials, signature, connection. Just before
//! it is sent it is replaced by `GET /ping`, without a signature. That is no call of the API: it
//! needs no permission, counts against no rate, and changes nothing, whatever the answer is.

use std::time::Duration;

use aws_sdk_ssm::config::http::HttpRequest;
use aws_sdk_ssm::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_ssm::config::retry::{ReconnectMode, RetryConfig};
use aws_sdk_ssm::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ssm::error::{BoxError, SdkError};
use futures_util::future::join3;

use crate::Clients;

/// A function that has no network must start all the same.
const WARM_UP_MAX: Duration = Duration::from_secs(2);

impl Clients {
    /// Opens what the first event needs: two connections to Systems Manager, since a command and
    /// its invocations are read at the same time, and one to Step Functions. Takes at most two
    /// seconds. What does not succeed is left to the first call.
    pub async fn warm_up(&self) {
        let connections =
            join3(self.ssm.connect(), self.ssm.connect(), self.step_functions.connect());
        if tokio::time::timeout(WARM_UP_MAX, connections).await.is_err() {
            tracing::debug!("no connections in time");
        }
    }
}

/// Replaces a request by one that is no call of the API.
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

/// One attempt; and the connection is kept, although the answer is none of the API's.
pub(crate) fn retry_config() -> RetryConfig {
    RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections)
}

/// Tells of a connection that does not stand. Anything that was answered stands.
pub(crate) fn note<T, E, R>(service: &'static str, answer: &Result<T, SdkError<E, R>>) {
    if let Err(SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)) = answer {
        tracing::debug!(service, "no connection yet");
    }
}
