//! Run Command on one machine: the operations of AWS Systems Manager that send a document to
//! managed nodes, with nodes that are directories and scripts that are real processes.
//!
//! A request is read and checked in `request`, its document in `document` and `parameter`. What it
//! starts is kept in `store`, carried to the nodes by `dispatch`, run there by `agent`, process by
//! process, by `script`. Reads are answered from the store by `list` and `answer`, a little late if
//! [`Settings::read_lag`] says so. Every change of a status is an event, made by `event`.
//!
//! Statuses, limits, refusals and the small habits of the agent are those of the real service, so
//! that a program which works here works there. What is missing: document versions, output in S3
//! and `CloudWatch`, notifications, alarms, resource groups, and the reboot that exit code 194 asks
//! for (it counts as a failure here).

mod agent;
mod answer;
mod api_error;
mod dispatch;
mod document;
mod event;
mod interpolation;
mod limit;
mod list;
mod node;
mod parameter;
mod request;
mod script;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod timeline;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use uuid::Uuid;

pub use api_error::ApiError;
pub use document::{Document, Documents, amazon_documents};
pub use node::{Agent, NodeFile, Platform, create_node};
pub use status::{StatusDetails, aggregate};

// Documents of both kinds, Command and Automation, declare and use their parameters alike.
pub(crate) use answer::epoch_seconds;
pub(crate) use document::{plain_name, read_parameters};
pub(crate) use interpolation::{Values, as_text, interpolate};
pub(crate) use parameter::{Given, Parameter, bind};
pub(crate) use request::{parse, required};

use dispatch::{Plan, Selection};
use document::CommandDocument;
use event::Publisher;
use limit::Limit;
use node::Nodes;
use request::{CancelCommand, DescribeInstances, GetInvocation, List, SendCommand};
use store::Store;

/// How long the end of the sandbox waits for its scripts.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What a sandbox decides about its Run Command.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Holds `nodes/<instance id>/`, one directory per managed node.
    pub directory: PathBuf,
    /// The region in events.
    pub region: String,
    /// The account in events and errors.
    pub account: String,
    /// `List*` and `Get*` show the state as it was this long ago, as the real reads may.
    pub read_lag: Duration,
    /// Set for every script: the sandbox's own mark, by which its processes are found.
    pub environment: Vec<(String, String)>,
}

/// Run Command. Its clones are the same Run Command.
#[derive(Clone)]
pub struct RunCommand {
    shared: Arc<Shared>,
}

/// What requests and running commands have in common.
struct Shared {
    settings: Settings,
    nodes: Nodes,
    documents: Arc<dyn Documents>,
    store: Mutex<Store>,
    /// How many commands are being carried out.
    active: watch::Sender<usize>,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        // Whoever panicked left a store that is still better than none.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time whose state reads show now.
    fn read_time(&self) -> Instant {
        let now = Instant::now();
        now.checked_sub(self.settings.read_lag).unwrap_or(now)
    }
}

/// Counts a command as active until it is dropped, however the command ends.
struct Active(Arc<Shared>);

impl Active {
    fn new(shared: &Arc<Shared>) -> Active {
        shared.active.send_modify(|count| *count += 1);
        Active(Arc::clone(shared))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.send_modify(|count| *count -= 1);
    }
}

impl RunCommand {
    /// The operations that [`RunCommand::call`] answers.
    pub const OPERATIONS: [&str; 6] = [
        "SendCommand",
        "ListCommands",
        "ListCommandInvocations",
        "GetCommandInvocation",
        "CancelCommand",
        "DescribeInstanceInformation",
    ];

    /// A Run Command that has not sent any command yet. Events go to `events` as whole
    /// `EventBridge` events.
    pub fn new(
        settings: Settings,
        documents: Arc<dyn Documents>,
        events: mpsc::UnboundedSender<Value>,
    ) -> RunCommand {
        let Settings { region, account, .. } = settings.clone();
        let store = Store::new(Publisher { events, region, account }, settings.read_lag);
        let shared = Shared {
            nodes: Nodes::new(&settings.directory),
            documents,
            store: Mutex::new(store),
            active: watch::Sender::new(0),
            settings,
        };
        RunCommand { shared: Arc::new(shared) }
    }

    /// Answers one call of the API, given the JSON body of its request. Has to be called inside a
    /// tokio runtime, in which the command then runs.
    ///
    /// # Errors
    ///
    /// Those of the operation, as the service model names them, and `UnknownOperationException`.
    pub async fn call(&self, operation: &str, body: &[u8]) -> Result<Value, ApiError> {
        match operation {
            "SendCommand" => self.send_command(request::parse(body)?).await,
            "ListCommands" => self.list_commands(&request::parse(body)?),
            "ListCommandInvocations" => self.list_invocations(&request::parse(body)?),
            "GetCommandInvocation" => self.get_invocation(&request::parse(body)?),
            "CancelCommand" => self.cancel_command(&request::parse(body)?),
            "DescribeInstanceInformation" => self.describe_instances(&request::parse(body)?).await,
            _ => {
                let message = format!("Run Command has no operation {operation:?}");
                Err(ApiError::refused("UnknownOperationException", message))
            }
        }
    }

    /// Takes no command any more, kills every running script with its process group, and waits
    /// until they are gone, at most ten seconds.
    pub async fn stop(&self) {
        self.shared.store().close();
        let mut active = self.shared.active.subscribe();
        if timeout(STOP_TIMEOUT, active.wait_for(|count| *count == 0)).await.is_err() {
            eprintln!("{} commands still run; left behind", *self.shared.active.borrow());
        }
    }

    async fn send_command(&self, request: SendCommand) -> Result<Value, ApiError> {
        request.check()?;
        let reference = request::required("documentName", request.document_name.as_ref())?;
        let document = CommandDocument::find(self.shared.documents.as_ref(), reference).await?;
        let values = document.bind(&request.parameters)?;
        let nodes = self.select(&request).await?;
        let total_timeout = Duration::from_secs(request.timeout_seconds())
            + agent::total_execution_timeout(&document, &values);
        let concurrency = request.concurrency().unwrap_or(Limit::Count(1));
        let command_id = Uuid::new_v4().to_string();

        let mut store = self.shared.store();
        let number = store.add(command_id.clone(), request, &document, total_timeout)?;
        let record = &store.commands()[number];
        let answer = json!({ "Command": answer::command(record, record.state.current()) });
        if let Selection::Named(nodes) = &nodes {
            store.begin(number, nodes);
        }
        drop(store);

        let deadline = Instant::now() + total_timeout;
        let plan = Plan { number, command_id, document, values, nodes, concurrency, deadline };
        let active = Active::new(&self.shared);
        tokio::spawn(async move {
            dispatch::dispatch(Arc::clone(&active.0), plan).await;
        });
        Ok(answer)
    }

    /// The nodes that a request names, or the targets by which they are found later.
    async fn select(&self, request: &SendCommand) -> Result<Selection, ApiError> {
        if request.instance_ids.is_empty() {
            return Ok(Selection::Matching(request.targets.clone()));
        }
        let (mut nodes, mut unknown) = (Vec::new(), Vec::new());
        for id in &request.instance_ids {
            match self.shared.nodes.get(id).await {
                Ok(Some(node)) => nodes.push(node),
                Ok(None) => unknown.push(id.as_str()),
                Err(error) => return Err(ApiError::internal(error.to_string())),
            }
        }
        if unknown.is_empty() {
            return Ok(Selection::Named(nodes));
        }
        let (unknown, account) = (unknown.join(", "), &self.shared.settings.account);
        Err(invalid_instance(format!(
            "Instances [[{unknown}]] not in a valid state for account {account}"
        )))
    }

    fn list_commands(&self, list: &List) -> Result<Value, ApiError> {
        list::commands(&mut self.shared.store(), list, self.shared.read_time())
    }

    fn list_invocations(&self, list: &List) -> Result<Value, ApiError> {
        list::invocations(&mut self.shared.store(), list, self.shared.read_time())
    }

    fn get_invocation(&self, request: &GetInvocation) -> Result<Value, ApiError> {
        let command_id = request::required("commandId", request.command_id.as_ref())?;
        let instance_id = request::required("instanceId", request.instance_id.as_ref())?;
        let store = self.shared.store();
        let found = store.number(command_id).and_then(|number| {
            let record = &store.commands()[number];
            let invocation = record.invocation(instance_id)?;
            Some((record, invocation, invocation.state.at(self.shared.read_time())?))
        });
        let Some((record, invocation, state)) = found else {
            let message = format!("Command {command_id} has no invocation on {instance_id}");
            return Err(ApiError::refused("InvocationDoesNotExist", message));
        };
        let plugin = record.plugin(request.plugin_name.as_deref())?;
        let step = state.steps.iter().find(|step| step.name == plugin);
        Ok(answer::invocation(record, invocation, state, plugin, step))
    }

    fn cancel_command(&self, request: &CancelCommand) -> Result<Value, ApiError> {
        let command_id = request::required("commandId", request.command_id.as_ref())?;
        request::check_instance_ids(&request.instance_ids)?;
        let mut store = self.shared.store();
        let Some(number) = store.number(command_id) else {
            let message = format!("There is no command {command_id:?}");
            return Err(ApiError::refused("InvalidCommandId", message));
        };
        let record = &store.commands()[number];
        let foreign = request.instance_ids.iter().find(|id| record.invocation(id).is_none());
        if let Some(id) = foreign {
            return Err(invalid_instance(format!("Command {command_id} is not on {id}")));
        }
        store.cancel(number, &request.instance_ids);
        Ok(json!({}))
    }

    async fn describe_instances(&self, request: &DescribeInstances) -> Result<Value, ApiError> {
        let page = request.page()?;
        let filters = request.all_filters()?;
        let nodes = self.shared.nodes.all().await;
        let nodes = nodes.map_err(|error| ApiError::internal(error.to_string()))?;
        // A page goes on after the last id of the one before.
        let after = request.next_token.as_deref().unwrap_or_default();
        let mut found: Vec<_> = nodes
            .iter()
            .filter(|node| node.id.as_str() > after && node.is_targeted(&filters))
            .take(page + 1)
            .collect();
        let has_more = found.len() > page;
        found.truncate(page);
        let instances: Vec<_> = found.iter().map(|node| answer::instance(node)).collect();
        let mut answer = json!({ "InstanceInformationList": instances });
        if let (true, Some(last)) = (has_more, found.last()) {
            answer["NextToken"] = json!(last.id);
        }
        Ok(answer)
    }
}

fn invalid_instance(message: String) -> ApiError {
    ApiError::refused("InvalidInstanceId", message)
}
