//! The port [`Tasks`] over the Step Functions API.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::http::HttpResponse;
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use callback::ports::{AnswerReceipt, CallError, Pulse};
use callback::{TaskToken, Tasks};

use crate::call_error::call_error;
use crate::warm_up::{self, ConnectOnly};

/// The waiting tasks, over the Step Functions API.
#[derive(Debug, Clone)]
pub struct StepFunctions {
    client: Client,
}

impl StepFunctions {
    /// Wraps a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Opens a connection; see [`warm_up`](crate::warm_up).
    pub(crate) async fn connect(&self) {
        let config = aws_sdk_sfn::Config::builder().retry_config(warm_up::retry_config());
        let request = self.client.send_task_heartbeat().customize().interceptor(ConnectOnly);
        warm_up::note("Step Functions", &request.config_override(config).send().await);
    }
}

impl Tasks for StepFunctions {
    async fn succeed(&self, token: &TaskToken, output: &str) -> Result<AnswerReceipt, CallError> {
        let request = self.client.send_task_success().task_token(token.expose()).output(output);
        receipt("SendTaskSuccess", request.send().await)
    }

    async fn fail(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> Result<AnswerReceipt, CallError> {
        let request =
            self.client.send_task_failure().task_token(token.expose()).error(error).cause(cause);
        receipt("SendTaskFailure", request.send().await)
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<Pulse, CallError> {
        const OPERATION: &str = "SendTaskHeartbeat";
        match self.client.send_task_heartbeat().task_token(token.expose()).send().await {
            Ok(_) => Ok(Pulse::Alive),
            Err(error) => match error.code() {
                Some("TaskTimedOut" | "TaskDoesNotExist") => Ok(Pulse::Closed),
                Some("InvalidToken") => Ok(Pulse::Rejected),
                _ => Err(call_error(OPERATION, &error)),
            },
        }
    }
}

/// How Step Functions responded to an answer. Error codes that no retry can resolve become values.
fn receipt<T, E>(
    operation: &'static str,
    answer: Result<T, SdkError<E, HttpResponse>>,
) -> Result<AnswerReceipt, CallError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Err(error) = answer else { return Ok(AnswerReceipt::Accepted) };
    match error.code() {
        Some("TaskTimedOut" | "TaskDoesNotExist") => Ok(AnswerReceipt::AlreadyClosed),
        Some("InvalidToken") => Ok(AnswerReceipt::TokenRejected),
        Some("InvalidOutput") => Ok(AnswerReceipt::OutputRejected),
        _ => Err(call_error(operation, &error)),
    }
}
