//! Automation on one machine: the operations of AWS Systems Manager that run a runbook, a document
//! of schema 0.3 whose steps call AWS.
//!
//! A document is read and checked in `runbook`; `run` goes through its steps, and reaches the rest
//! of the account only by way of [`Account`]; `execution` keeps what happened and answers for it.
//!
//! It is as much of the service as runbooks need that start something and end: the actions
//! `aws:executeAwsApi`, `aws:branch` (with `StringEquals`) and `aws:sleep`, with `onFailure`,
//! `nextStep`, `isEnd`, `isCritical`, `maxAttempts` and `timeoutSeconds`. A step that is something
//! else fails its execution and says so. What is missing besides: versions of documents, runs over
//! many targets, stopping, and the service's own limits, whose figures in the service model (512
//! characters for a parameter) real executions exceed.

mod account;
mod execution;
mod run;
mod runbook;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::run_command::{
    ApiError, Documents, Given, Values, as_text, interpolate, parse, plain_name, required,
};

pub use account::{Account, EndpointAccount};

use execution::Execution;
use runbook::Runbook;

/// What a sandbox decides about its Automation.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The region, as runbooks see it.
    pub region: String,
    /// The account, as runbooks see it.
    pub account: String,
}

/// Automation. Its clones are the same Automation.
#[derive(Clone)]
pub struct Automation {
    shared: Arc<Shared>,
}

/// What requests and running executions have in common.
struct Shared {
    settings: Settings,
    documents: Arc<dyn Documents>,
    account: Arc<dyn Account>,
    store: Mutex<Store>,
}

/// All executions so far.
#[derive(Default)]
struct Store {
    executions: HashMap<String, Execution>,
    /// The execution that a client token started.
    started_by: HashMap<String, String>,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        // Whoever panicked left a store that is still better than none.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes an execution; there is always one for an id that was given out.
    fn update(&self, id: &str, change: impl FnOnce(&mut Execution)) {
        if let Some(execution) = self.store().executions.get_mut(id) {
            change(execution);
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartAutomationExecution {
    document_name: Option<String>,
    document_version: Option<String>,
    #[serde(default)]
    parameters: Given,
    client_token: Option<String>,
    mode: Option<String>,
    #[serde(rename = "Tags")]
    _tags: Option<IgnoredAny>,
    /// What this Automation does not have.
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl StartAutomationExecution {
    /// Refuses what would be done otherwise than it is asked for.
    fn check(&self) -> Result<(), ApiError> {
        if let Some(name) = self.others.keys().next() {
            return Err(ApiError::validation(name, "the sandbox's Automation does not have it"));
        }
        if let Some(mode) = self.mode.as_ref().filter(|mode| *mode != "Auto") {
            let wanted = format!("{mode} came, the sandbox's Automation has only Auto");
            return Err(ApiError::validation("mode", &wanted));
        }
        match self.document_version.as_deref() {
            None | Some("$DEFAULT" | "$LATEST") => Ok(()),
            Some(version) => Err(ApiError::refused(
                "AutomationDefinitionVersionNotFoundException",
                format!("{version} came, the sandbox's Automation has only $DEFAULT and $LATEST"),
            )),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetAutomationExecution {
    automation_execution_id: Option<String>,
}

impl Automation {
    /// The operations that [`Automation::call`] answers.
    pub const OPERATIONS: [&str; 2] = ["StartAutomationExecution", "GetAutomationExecution"];

    /// An Automation that has not run anything yet.
    pub fn new(
        settings: Settings,
        documents: Arc<dyn Documents>,
        account: Arc<dyn Account>,
    ) -> Automation {
        let store = Mutex::default();
        Automation { shared: Arc::new(Shared { settings, documents, account, store }) }
    }

    /// Answers one call of the API, given the JSON body of its request. Has to be called inside a
    /// tokio runtime, in which the execution then runs.
    ///
    /// # Errors
    ///
    /// Those of the operation, as the service model names them, and `UnknownOperationException`.
    pub async fn call(&self, operation: &str, body: &[u8]) -> Result<Value, ApiError> {
        match operation {
            "StartAutomationExecution" => self.start(parse(body)?).await,
            "GetAutomationExecution" => self.get(&parse(body)?),
            _ => {
                let message = format!("Automation has no operation {operation:?}");
                Err(ApiError::refused("UnknownOperationException", message))
            }
        }
    }

    async fn start(&self, request: StartAutomationExecution) -> Result<Value, ApiError> {
        let reference = required("documentName", request.document_name.as_ref())?;
        request.check()?;
        let runbook = self.runbook(reference).await?;
        let values = runbook.bind(&request.parameters)?;
        let id = Uuid::new_v4().to_string();
        let account = self.account(&runbook, &values, &id).await?;

        let execution = Execution::new(&id, runbook, request.parameters);
        let mut store = self.shared.store();
        if let Some(token) = request.client_token {
            if let Some(earlier) = store.started_by.get(&token) {
                return same_execution(&store.executions[earlier], &execution);
            }
            store.started_by.insert(token, id.clone());
        }
        let runbook = Arc::clone(&execution.runbook);
        store.executions.insert(id.clone(), execution);
        drop(store);

        let answer = json!({ "AutomationExecutionId": id });
        let values = self.with_system_variables(values, &id);
        tokio::spawn(run::run(Arc::clone(&self.shared), account, id, runbook, values));
        Ok(answer)
    }

    async fn runbook(&self, reference: &str) -> Result<Runbook, ApiError> {
        let name = plain_name(reference);
        let document = self.shared.documents.document(name).await.map_err(ApiError::internal)?;
        let unknown = |reason: &str| {
            let message = format!("Document {name}: {reason}");
            ApiError::refused("AutomationDefinitionNotFoundException", message)
        };
        let document = document.ok_or_else(|| unknown("there is none of this name"))?;
        Runbook::parse(&document).map_err(|reason| unknown(&reason))
    }

    /// The account as it is under the runbook's role. Automation refuses to start under a role that
    /// it cannot assume.
    async fn account(
        &self,
        runbook: &Runbook,
        values: &Values,
        id: &str,
    ) -> Result<Arc<dyn Account>, ApiError> {
        let account = Arc::clone(&self.shared.account);
        let Some(role) = &runbook.assume_role else { return Ok(account) };
        let role = interpolate(&Value::from(role.as_str()), values);
        let role = as_text(&role);
        if role.is_empty() {
            return Ok(account);
        }
        if account.has_role(&role).await.map_err(ApiError::internal)? {
            return account.under_role(&role, id).await.map_err(ApiError::internal);
        }
        let message = format!("The defined assume role is unable to be assumed: {role}");
        Err(ApiError::refused("InvalidAutomationExecutionParametersException", message))
    }

    fn with_system_variables(&self, mut values: Values, id: &str) -> Values {
        let Settings { region, account } = &self.shared.settings;
        for (name, value) in [
            ("automation:EXECUTION_ID", id),
            ("global:REGION", region),
            ("global:ACCOUNT_ID", account),
        ] {
            values.insert(name.to_owned(), value.into());
        }
        values
    }

    fn get(&self, request: &GetAutomationExecution) -> Result<Value, ApiError> {
        let id = request.automation_execution_id.as_ref();
        let id = required("automationExecutionId", id)?;
        let store = self.shared.store();
        let execution = store.executions.get(id).ok_or_else(|| {
            let message = format!("There is no automation execution {id:?}");
            ApiError::refused("AutomationExecutionNotFoundException", message)
        })?;
        Ok(json!({ "AutomationExecution": execution.answer() }))
    }
}

/// Answers a request that was made before, under the same client token.
fn same_execution(earlier: &Execution, now: &Execution) -> Result<Value, ApiError> {
    if earlier.is_same_request(now) {
        return Ok(json!({ "AutomationExecutionId": earlier.id }));
    }
    let message = "the client token started another document, or one with other parameters";
    Err(ApiError::refused("IdempotentParameterMismatch", message))
}
