//! Automation on one machine: the operations of AWS Systems Manager that run a runbook, a document
//! of schema 0.3 whose steps call AWS.
//!
//! `runbook` reads and checks a document. `run` goes through its steps and reaches the rest of the
//! account only through [`Account`]. `execution` keeps what happened; `answer` shows it.
//!
//! It covers runbooks that start something and end: the actions `aws:executeAwsApi`, `aws:branch`
//! (with `StringEquals`) and `aws:sleep`, with `onFailure`, `onCancel`, `nextStep`, `isEnd`,
//! `isCritical`, `maxAttempts` and `timeoutSeconds`. Any other step fails its execution and says so.
//! Also missing are versions of documents, runs over many targets, stopping after the current step
//! (`Complete`), and the service's own limits, whose figures in the service model (512 characters for
//! a parameter) real executions exceed.

mod account;
mod answer;
mod execution;
mod request;
mod run;
mod runbook;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use sandbox_run_command::api::{self, ApiError};
use sandbox_run_command::documents::{Documents, Values, as_text, interpolate, plain_name};
use serde_json::{Value, json};
use uuid::Uuid;

pub use account::{Account, Service};
pub use store::Settings;

use answer::{AnsweredExecution, GotExecution};
use execution::Execution;
use request::{GetAutomationExecution, StartAutomationExecution, StopAutomationExecution};
use run::Run;
use runbook::Runbook;
use store::Shared;

/// Automation. Its clones are the same Automation.
#[derive(Clone)]
pub struct Automation {
    shared: Arc<Shared>,
}

impl Automation {
    /// The operations that [`Automation::call`] answers.
    pub const OPERATIONS: [&str; 3] =
        ["StartAutomationExecution", "GetAutomationExecution", "StopAutomationExecution"];

    /// An Automation that has not run anything yet.
    pub fn new(
        settings: Settings,
        documents: Arc<dyn Documents>,
        account: Arc<dyn Account>,
    ) -> Self {
        let store = Mutex::default();
        Self { shared: Arc::new(Shared { settings, documents, account, store }) }
    }

    /// Answers one call of the API, given the JSON body of its request. Has to be called inside a
    /// tokio runtime, in which the execution then runs.
    ///
    /// # Errors
    ///
    /// Those of the operation, as the service model names them, and `UnknownOperationException`.
    pub async fn call(&self, operation: &str, body: &[u8]) -> Result<Value, ApiError> {
        match operation {
            "StartAutomationExecution" => self.start(api::parse(body)?).await,
            "GetAutomationExecution" => self.get(&api::parse(body)?),
            "StopAutomationExecution" => self.stop(&api::parse(body)?),
            _ => {
                let message = format!("Automation has no operation {operation:?}");
                Err(ApiError::refused("UnknownOperationException", message))
            }
        }
    }

    async fn start(&self, request: StartAutomationExecution) -> Result<Value, ApiError> {
        let reference = api::required("documentName", request.document_name.as_ref())?;
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
        let values = self.with_system_variables(values, &id);
        let run = Run::new(Arc::clone(&self.shared), account, &execution, values);
        store.executions.insert(id.clone(), execution);
        drop(store);

        tokio::spawn(run.finish());
        Ok(json!({ "AutomationExecutionId": id }))
    }

    async fn runbook(&self, reference: &str) -> Result<Runbook, ApiError> {
        let name = plain_name(reference);
        let document =
            self.shared.documents.document(name, None).await.map_err(ApiError::internal)?;
        let unknown = |reason: &str| {
            let message = format!("Document {name}: {reason}");
            ApiError::refused("AutomationDefinitionNotFoundException", message)
        };
        let document = document.ok_or_else(|| unknown("not found"))?;
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
        let id = api::required("automationExecutionId", id)?;
        let store = self.shared.store();
        let execution = store.executions.get(id).ok_or_else(|| not_found(id))?;
        api::answer(&GotExecution { automation_execution: AnsweredExecution::of(execution) })
    }

    fn stop(&self, request: &StopAutomationExecution) -> Result<Value, ApiError> {
        let id = request.automation_execution_id.as_ref();
        let id = api::required("automationExecutionId", id)?;
        request.check()?;
        let mut store = self.shared.store();
        let execution = store.executions.get_mut(id).ok_or_else(|| not_found(id))?;
        if execution.cancel() {
            return Ok(json!({}));
        }
        let message = format!("Automation execution {id:?} has ended");
        Err(ApiError::refused("InvalidAutomationStatusUpdateException", message))
    }
}

fn not_found(id: &str) -> ApiError {
    let message = format!("There is no automation execution {id:?}");
    ApiError::refused("AutomationExecutionNotFoundException", message)
}

/// Answers a repeated request, which has the same client token.
fn same_execution(earlier: &Execution, now: &Execution) -> Result<Value, ApiError> {
    if earlier.is_same_request(now) {
        return Ok(json!({ "AutomationExecutionId": earlier.id }));
    }
    let message = "the client token has started another document or other parameters";
    Err(ApiError::refused("IdempotentParameterMismatch", message))
}
