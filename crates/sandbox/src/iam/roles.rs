//! Roles: whose credentials a call was made with, and whether the policies of its role allow it.
//!
//! With `--enforce-policies`, functions and runbooks call under their own roles, as in AWS, and so
//! does whoever has assumed a role. The sandbox asks moto's launcher about each of these calls before
//! it is answered. The key of the run is allowed everything: deployments and tests have no role.
//!
//! Checked are the signature, the action and the resources of identity policies; not trust policies,
//! conditions, permission boundaries and policies of resources.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sandbox_run_command::api::ApiError;
use sandbox_run_command::locked::Locked;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::sts::credentials;
use crate::api_call::ApiCall;
use crate::arn::name_of_arn;
use crate::aws::{CallError, Client};
use crate::credentials::Credentials;
use crate::error_chain::error_chain;

/// What calls under a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A function.
    Function,
    /// A runbook of Automation.
    Runbook,
    /// Somebody who has assumed it.
    Session,
}

/// The holder of credentials that were issued for a role.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What it is.
    pub holder: Holder,
    /// The name of its role.
    pub role: String,
    /// The name of the function, if it is one.
    pub function: Option<String>,
}

/// The roles of the account, and the credentials that were issued for them.
#[derive(Debug, Clone)]
pub struct Roles {
    moto: Client,
    issued: Arc<Mutex<HashMap<String, Caller>>>,
}

/// The policy engine's decision.
#[derive(Debug, Deserialize)]
struct Decision {
    allowed: bool,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Roles {
    /// The roles of this moto.
    pub fn new(moto: Client) -> Self {
        Self { moto, issued: Arc::default() }
    }

    /// Issues credentials of a role.
    pub async fn assume(
        &self,
        role_arn: &str,
        session: &str,
        holder: Holder,
    ) -> Result<Credentials, CallError> {
        const OPERATION: &str = "AssumeRole";
        let parameters = [
            ("RoleArn".to_owned(), role_arn.to_owned()),
            ("RoleSessionName".to_owned(), session.to_owned()),
        ];
        let xml = self.moto.query("sts", OPERATION, &parameters).await?;
        let credentials = credentials(&xml).ok_or(CallError::Malformed {
            operation: OPERATION.to_owned(),
            expected: "credentials",
        })?;
        let function = (holder == Holder::Function).then(|| session.to_owned());
        let caller = Caller { holder, role: name_of_arn(role_arn).to_owned(), function };
        self.hold(credentials.access_key_id.clone(), caller);
        Ok(credentials)
    }

    /// Holds requests that are signed with this key to the policies of the caller's role from now on.
    pub fn hold(&self, access_key_id: String, caller: Caller) {
        self.issued.locked().insert(access_key_id, caller);
    }

    /// The holder of this key, if it was issued for a role.
    pub fn caller(&self, access_key_id: &str) -> Option<Caller> {
        let issued = self.issued.locked();
        issued.get(access_key_id).cloned()
    }

    /// Refuses what the policies of the caller's role do not allow.
    pub async fn authorize(
        &self,
        caller: &Caller,
        call: &ApiCall,
        parts: &Parts,
        body: &[u8],
    ) -> Result<(), ApiError> {
        let headers: Map<String, Value> = parts
            .headers
            .iter()
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into())
            })
            .collect();
        let question = json!({
            "method": parts.method.as_str(),
            "path": parts.uri.path_and_query().map_or("/", |path| path.as_str()),
            "headers": headers,
            // Some protocols are not text.
            "body": percent_encode(body, NON_ALPHANUMERIC).to_string(),
            "operation": call.operation,
            // The sandbox's own client signs in shape only.
            "signed": caller.holder != Holder::Runbook,
        });
        let decision: Decision = self.ask(&question).await.map_err(ApiError::internal)?;
        if decision.allowed {
            return Ok(());
        }
        Err(ApiError {
            status: StatusCode::BAD_REQUEST.as_u16(),
            code: decision.code,
            message: decision.message,
        })
    }

    /// Asks moto's policy engine through its launcher.
    async fn ask(&self, question: &Value) -> Result<Decision, String> {
        let url = format!("{}/moto-api/authorize", self.moto.base());
        let request = self.moto.http().post(url).json(question);
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let answer =
            answer.map_err(|error| format!("asking moto's policies: {}", error_chain(&error)))?;
        let decision = answer.json().await;
        decision.map_err(|error| format!("reading moto's decision: {}", error_chain(&error)))
    }
}
