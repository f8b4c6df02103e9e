//! The account that a runbook runs in, as far as it can reach it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sandbox_run_command::api::ApiError;
use serde_json::Value;

/// A service that runbooks may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Systems Manager.
    Ssm,
    /// Step Functions.
    StepFunctions,
    /// EventBridge.
    Events,
    /// Simple Queue Service.
    Sqs,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ssm, Self::StepFunctions, Self::Events, Self::Sqs];

    /// The name that runbooks use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssm => "ssm",
            Self::StepFunctions => "stepfunctions",
            Self::Events => "events",
            Self::Sqs => "sqs",
        }
    }
}

/// The account that a runbook runs in.
pub trait Account: Send + Sync + 'static {
    /// Calls an operation, and returns its answer or the API's error.
    fn call(
        &self,
        service: Service,
        operation: &str,
        body: Value,
    ) -> BoxFuture<'static, Result<Value, ApiError>>;

    /// Whether there is a role of this ARN. The error says why the roles could not be read.
    fn has_role(&self, arn: &str) -> BoxFuture<'static, Result<bool, String>>;

    /// The account as it is to the execution `id`, which runs under the role of this ARN. The error
    /// says why the role could not be assumed.
    fn under_role(
        self: Arc<Self>,
        arn: &str,
        id: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn Account>, String>>;
}
