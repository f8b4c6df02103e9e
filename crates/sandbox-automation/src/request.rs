//! The requests of the API, as they come over the wire.

use sandbox_run_command::api::ApiError;
use sandbox_run_command::documents::Given;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// `StartAutomationExecution`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StartAutomationExecution {
    pub(crate) document_name: Option<String>,
    pub(crate) document_version: Option<String>,
    #[serde(default)]
    pub(crate) parameters: Given,
    pub(crate) client_token: Option<String>,
    pub(crate) mode: Option<String>,
    #[serde(rename = "Tags")]
    _tags: Option<IgnoredAny>,
    /// What this Automation does not have.
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl StartAutomationExecution {
    /// Refuses what the sandbox would do otherwise than it is asked for.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if let Some(name) = self.others.keys().next() {
            return Err(ApiError::validation(name, "not supported by the sandbox's Automation"));
        }
        if let Some(mode) = self.mode.as_ref().filter(|mode| *mode != "Auto") {
            let reason =
                format!("expected Auto, got {mode}: the sandbox's Automation has no other mode");
            return Err(ApiError::validation("mode", &reason));
        }
        match self.document_version.as_deref() {
            None | Some("$DEFAULT" | "$LATEST") => Ok(()),
            Some(version) => Err(ApiError::refused(
                "AutomationDefinitionVersionNotFoundException",
                format!("expected $DEFAULT or $LATEST, got {version}"),
            )),
        }
    }
}

/// `GetAutomationExecution`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetAutomationExecution {
    pub(crate) automation_execution_id: Option<String>,
}

/// `StopAutomationExecution`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StopAutomationExecution {
    pub(crate) automation_execution_id: Option<String>,
    r#type: Option<String>,
}

impl StopAutomationExecution {
    /// Refuses what the sandbox does not do.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        match self.r#type.as_deref() {
            None | Some("Cancel") => Ok(()),
            Some(other) => {
                let reason = format!("expected Cancel, got {other}");
                Err(ApiError::validation("type", &reason))
            }
        }
    }
}
