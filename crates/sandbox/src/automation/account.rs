//! What a runbook reaches of the account that it runs in.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    aws::{CallError, Client, JsonApi, name_of_arn},
    roles::{Holder, Roles},
    run_command::ApiError,
};

/// The account that a runbook runs in.
pub trait Account: Send + Sync + 'static {
    /// Calls an operation, and gives its answer or the API's error.
    fn call(
        &self,
        api: JsonApi,
        operation: &str,
        body: Value,
    ) -> BoxFuture<'static, Result<Value, ApiError>>;

    /// Whether there is a role of this ARN. The error says why nobody knows.
    fn has_role(&self, arn: &str) -> BoxFuture<'static, Result<bool, String>>;

    /// The account as it is to the execution `id`, which runs under the role of this ARN. The error
    /// says why nobody knows.
    fn under_role(
        self: Arc<Self>,
        arn: &str,
        id: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn Account>, String>>;
}

/// The account behind the sandbox's own endpoint, so that the calls of runbooks are routed and
/// noted as everybody's are.
#[derive(Debug, Clone)]
pub struct EndpointAccount {
    endpoint: Client,
    roles: Option<Roles>,
}

impl EndpointAccount {
    /// The account behind this endpoint. Runbooks call under their roles, if roles are given.
    pub fn new(endpoint: Client, roles: Option<Roles>) -> EndpointAccount {
        EndpointAccount { endpoint, roles }
    }
}

impl Account for EndpointAccount {
    fn call(
        &self,
        api: JsonApi,
        operation: &str,
        body: Value,
    ) -> BoxFuture<'static, Result<Value, ApiError>> {
        let (endpoint, operation) = (self.endpoint.clone(), operation.to_owned());
        async move { endpoint.json(api, &operation, &body).await.map_err(|error| refusal(&error)) }
            .boxed()
    }

    fn has_role(&self, arn: &str) -> BoxFuture<'static, Result<bool, String>> {
        let endpoint = self.endpoint.clone();
        let name = [("RoleName".to_owned(), name_of_arn(arn).to_owned())];
        async move {
            match endpoint.query("iam", "GetRole", &name).await {
                Ok(_) => Ok(true),
                Err(error) if error.is_not_found() => Ok(false),
                Err(error) => Err(error.to_string()),
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
            let credentials = credentials.map_err(|error| error.to_string())?;
            let endpoint = self.endpoint.clone().with_credentials(&credentials);
            Ok(Arc::new(EndpointAccount::new(endpoint, None)) as Arc<dyn Account>)
        }
        .boxed()
    }
}

/// The error as the API that was called gave it.
fn refusal(error: &CallError) -> ApiError {
    let CallError::Refused { status, message, .. } = error else {
        return ApiError::internal(error.to_string());
    };
    let body: Value = serde_json::from_str(message).unwrap_or_default();
    // Some services put the namespace of their shapes before the name.
    let code = body["__type"].as_str().map(|code| code.rsplit('#').next().unwrap_or(code));
    let said = body["message"].as_str().or(body["Message"].as_str());
    ApiError {
        status: status.as_u16(),
        code: code.unwrap_or(unnamed(*status)).to_owned(),
        message: said.unwrap_or_default().to_owned(),
    }
}

fn unnamed(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, code: &str, said: &str) {
        let error = refusal(&CallError::Refused {
            operation: "SendCommand".to_owned(),
            status: StatusCode::BAD_REQUEST,
            message: message.to_owned(),
        });
        assert_eq!((error.status, error.code.as_str(), error.message.as_str()), (400, code, said));
    }

    #[test]
    fn a_refusal_keeps_what_the_api_said() {
        check(r#"{"__type":"InvalidDocument","message":"none"}"#, "InvalidDocument", "none");
        check(
            r#"{"__type":"com.amazonaws#TaskTimedOut","Message":"late"}"#,
            "TaskTimedOut",
            "late",
        );
        check("<html>", "Bad Request", "");
    }
}
