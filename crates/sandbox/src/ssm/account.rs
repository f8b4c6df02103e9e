//! The account as runbooks reach it.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sandbox_automation::{Account, Service};
use sandbox_run_command::api::ApiError;
use serde_json::Value;

use crate::arn::name_of_arn;
use crate::aws::{CallError, Client, EVENTS, JsonApi, SQS, SSM, STATES};
use crate::error_chain::error_chain;
use crate::iam::roles::{Holder, Roles};

/// The account behind the sandbox's own endpoint, so that the calls of runbooks are routed and
/// noted as everybody's are.
#[derive(Debug, Clone)]
pub struct EndpointAccount {
    endpoint: Client,
    roles: Option<Roles>,
}

impl EndpointAccount {
    /// The account behind this endpoint. Runbooks call under their roles, if roles are given.
    pub fn new(endpoint: Client, roles: Option<Roles>) -> Self {
        Self { endpoint, roles }
    }
}

impl Account for EndpointAccount {
    fn call(
        &self,
        service: Service,
        operation: &str,
        body: Value,
    ) -> BoxFuture<'static, Result<Value, ApiError>> {
        let (endpoint, operation) = (self.endpoint.clone(), operation.to_owned());
        async move {
            let answer = endpoint.json(api_of(service), &operation, &body).await;
            answer.map_err(refusal)
        }
        .boxed()
    }

    fn has_role(&self, arn: &str) -> BoxFuture<'static, Result<bool, String>> {
        let endpoint = self.endpoint.clone();
        let name = [("RoleName".to_owned(), name_of_arn(arn).to_owned())];
        async move {
            match endpoint.query("iam", "GetRole", &name).await {
                Ok(_) => Ok(true),
                Err(error) if error.is_not_found() => Ok(false),
                Err(error) => Err(error_chain(&error)),
            }
        }
        .boxed()
    }

    fn under_role(
        self: Arc<Self>,
        arn: &str,
        id: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn Account>, String>> {
        let (arn, session) = (arn.to_owned(), format!("Automation-{id}"));
        async move {
            let Some(roles) = &self.roles else { return Ok(self as Arc<dyn Account>) };
            let credentials = roles.assume(&arn, &session, Holder::Runbook).await;
            let credentials = credentials.map_err(|error| error_chain(&error))?;
            let endpoint = self.endpoint.clone().with_credentials(&credentials);
            Ok(Arc::new(Self::new(endpoint, None)) as Arc<dyn Account>)
        }
        .boxed()
    }
}

fn api_of(service: Service) -> JsonApi {
    match service {
        Service::Ssm => SSM,
        Service::StepFunctions => STATES,
        Service::Events => EVENTS,
        Service::Sqs => SQS,
    }
}

/// The error as the API that was called gave it.
fn refusal(error: CallError) -> ApiError {
    match error {
        CallError::Refused { status, code, message, .. } => {
            ApiError { status: status.as_u16(), code, message }
        }
        other => ApiError::internal(error_chain(&other)),
    }
}
