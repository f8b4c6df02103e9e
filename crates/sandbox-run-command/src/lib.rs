//! Run Command on one machine: the operations of AWS Systems Manager that send a document to
//! managed nodes, with nodes that are directories and scripts that are real processes.
//!
//! `request` reads and checks a request, `documents` its document and parameters. A command is kept
//! in `store`; `dispatch` carries it to the nodes, where `agent` runs it, script by script. `list`
//! and `answer` answer reads from the store, as late as [`Settings::read_lag`] says. Every change
//! of a status is an event, made by `store::event`.
//!
//! Statuses, limits, refusals and the habits of the agent are those of the real ones, so that a
//! program which works here works there. What is missing, and what is assumed of the service, is
//! listed in the README of this crate.

mod agent;
mod answer;
pub mod api;
mod dispatch;
pub mod documents;
mod limit;
mod list;
pub mod locked;
mod nodes;
pub mod observer;
pub mod parameter_store;
mod random;
mod request;
mod shared;
mod status;
mod store;
#[cfg(test)]
mod tests;
pub mod time;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

pub use nodes::{Behaviour, NodeFile, Platform, create_node};
pub use shared::Settings;
pub use status::{StatusDetails, aggregate};

use answer::{DescribedNode, DescribedNodes, ListedCommand, SentCommand, StepOfInvocation};
use api::ApiError;
use dispatch::{Plan, Selection};
use documents::{CommandDocument, Documents};
use limit::Limit;
use nodes::{Ends, Nodes};
use observer::{Change, Observer};
use parameter_store::ParameterStore;
use random::Random;
use request::{
    CancelCommand, DescribeInstances, GetInvocation, List, SendCommand, check_instance_ids,
};
use shared::{Active, Shared};
use store::{Publisher, Store};

/// How long the end of the sandbox waits for its scripts.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Run Command. Its clones are the same Run Command.
#[derive(Clone)]
pub struct RunCommand {
    shared: Arc<Shared>,
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
    /// EventBridge events, and `observer` is told every change.
    pub fn new(
        settings: Settings,
        documents: Arc<dyn Documents>,
        parameters: Arc<dyn ParameterStore>,
        events: mpsc::UnboundedSender<Value>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let Settings { region, account, .. } = settings.clone();
        let publisher = Publisher { events, region, account };
        let store = Store::new(publisher, observer, settings.read_lag);
        let shared = Shared {
            nodes: Nodes::new(&settings.directory),
            documents,
            parameters,
            random: Random::new(settings.seed),
            store: Mutex::new(store),
            closing: watch::Sender::new(false),
            ends: Ends::default(),
            active: watch::Sender::new(0),
            settings,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Answers one call of the API, given the JSON body of its request. Has to be called inside a
    /// tokio runtime, in which the command then runs.
    ///
    /// # Errors
    ///
    /// Those of the operation, as the service model names them, and `UnknownOperationException`.
    pub async fn call(&self, operation: &str, body: &[u8]) -> Result<Value, ApiError> {
        match operation {
            "SendCommand" => self.send_command(api::parse(body)?).await,
            "ListCommands" => self.list_commands(&api::parse(body)?),
            "ListCommandInvocations" => self.list_invocations(&api::parse(body)?),
            "GetCommandInvocation" => self.get_invocation(&api::parse(body)?),
            "CancelCommand" => self.cancel_command(&api::parse(body)?),
            "DescribeInstanceInformation" => self.describe_instances(&api::parse(body)?).await,
            _ => {
                let message = format!("Run Command has no operation {operation:?}");
                Err(ApiError::refused("UnknownOperationException", message))
            }
        }
    }

    /// Ends a node whose machine was stopped or terminated: it is no node any more, its scripts are
    /// killed, and nothing more is heard of its agent. Its directory stays, as a disk does.
    ///
    /// # Errors
    ///
    /// The file that describes the node could not be removed.
    pub fn end_node(&self, id: &str) -> io::Result<()> {
        nodes::remove_node(&self.shared.settings.directory, id)?;
        self.shared.ends.tell(id);
        Ok(())
    }

    /// Every managed node with its id, as it is now.
    ///
    /// # Errors
    ///
    /// A file that describes a node could not be read.
    pub async fn nodes(&self) -> io::Result<Vec<(String, NodeFile)>> {
        let nodes = self.shared.nodes.all().await?;
        Ok(nodes.into_iter().map(|node| (node.id, node.file)).collect())
    }

    /// Makes the agent of a node behave in another way from now on. Returns whether there is such a
    /// node.
    ///
    /// # Errors
    ///
    /// The file that describes the node could not be read or written.
    pub async fn set_agent(&self, id: &str, agent: Behaviour) -> io::Result<bool> {
        let Some(node) = self.shared.nodes.get(id).await? else { return Ok(false) };
        create_node(&self.shared.settings.directory, id, &NodeFile { agent, ..node.file })?;
        Ok(true)
    }

    /// Takes no command any more, kills every running script with its process group, and waits
    /// until they are gone, at most ten seconds.
    pub async fn stop(&self) {
        self.shared.store().close();
        self.shared.closing.send_replace(true);
        let mut active = self.shared.active.subscribe();
        if timeout(STOP_TIMEOUT, active.wait_for(|count| *count == 0)).await.is_err() {
            eprintln!(
                "{} commands are still running and are left behind",
                *self.shared.active.borrow()
            );
        }
    }

    async fn send_command(&self, request: SendCommand) -> Result<Value, ApiError> {
        request.check()?;
        let reference = api::required("documentName", request.document_name.as_ref())?;
        let version = Some(request.document_version.as_str()).filter(|version| !version.is_empty());
        let documents = self.shared.documents.as_ref();
        let document = CommandDocument::find(documents, reference, version).await?;
        let values = document.bind(&request.parameters)?;
        let nodes = self.select(&request).await?;
        let total_timeout = Duration::from_secs(request.timeout_seconds())
            + agent::total_execution_timeout(&document, &values);
        let concurrency = request.concurrency().unwrap_or(Limit::Count(1));
        let command_id = Uuid::new_v4().to_string();

        let mut store = self.shared.store();
        let number = store.add(command_id.clone(), request, &document, total_timeout)?;
        let record = &store.commands()[number];
        let command = ListedCommand::of(record, record.state.current());
        let answer = api::answer(&SentCommand { command })?;
        store.tell(Change::Sent {
            command_id: &record.id,
            document: &record.document_name,
            comment: &record.request.comment,
            parameters: &record.request.parameters,
        });
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
        api::answer(&list::commands(&mut self.shared.store(), list, self.shared.read_time())?)
    }

    fn list_invocations(&self, list: &List) -> Result<Value, ApiError> {
        api::answer(&list::invocations(&mut self.shared.store(), list, self.shared.read_time())?)
    }

    fn get_invocation(&self, request: &GetInvocation) -> Result<Value, ApiError> {
        let command_id = api::required("commandId", request.command_id.as_ref())?;
        let instance_id = api::required("instanceId", request.instance_id.as_ref())?;
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
        api::answer(&StepOfInvocation::of(record, invocation, state, plugin, step))
    }

    fn cancel_command(&self, request: &CancelCommand) -> Result<Value, ApiError> {
        let command_id = api::required("commandId", request.command_id.as_ref())?;
        check_instance_ids(&request.instance_ids)?;
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
        let last = found.last().filter(|_| has_more);
        api::answer(&DescribedNodes {
            instance_information_list: found.iter().map(|node| DescribedNode::of(node)).collect(),
            next_token: last.map(|node| node.id.as_str()),
        })
    }
}

fn invalid_instance(message: String) -> ApiError {
    ApiError::refused("InvalidInstanceId", message)
}
