//! Run Command as its callers see it, with real scripts on nodes in a temporary directory.

mod cancelling;
mod documents;
mod events;
mod fleets;
mod lists;
mod refusals;
mod scripts;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::api::ApiError;
use super::documents::{Document, Documents};
use super::{Behaviour, NodeFile, Platform, RunCommand, Settings, StatusDetails, create_node};

const NODE: &str = "i-0123456789abcdef0";

/// The mark that every script of these tests has in its environment.
const MARK: (&str, &str) = ("SANDBOX_TEST", "marked");

/// Documents that a test made.
#[derive(Default)]
struct TestDocuments(BTreeMap<String, Document>);

impl Documents for TestDocuments {
    fn document(&self, name: &str) -> BoxFuture<'static, Result<Option<Document>, String>> {
        let found = match name {
            "Unreadable" => Err("the document store does not answer".to_owned()),
            _ => Ok(self.0.get(name).cloned()),
        };
        Box::pin(async { found })
    }
}

/// Run Command with what belongs to a test.
struct Trial {
    directory: TempDir,
    run_command: RunCommand,
    events: mpsc::UnboundedReceiver<Value>,
}

impl Trial {
    /// One plain node, no document but those of Amazon, reads without delay.
    fn new() -> Self {
        Self::with(&[], Duration::ZERO)
    }

    /// One plain node, and Command documents of schema 2.2 with these names and contents.
    fn with(documents: &[(&str, Value)], read_lag: Duration) -> Self {
        let documents = documents.iter().map(|(name, content)| {
            let mut content = content.clone();
            content["schemaVersion"] = json!("2.2");
            let (name, document_type) = ((*name).to_owned(), "Command".to_owned());
            (name.clone(), Document { name, document_type, content })
        });
        let automation = Document {
            name: "Automation".to_owned(),
            document_type: "Automation".to_owned(),
            content: json!({"schemaVersion": "0.3"}),
        };
        let mut documents = TestDocuments(documents.collect());
        documents.0.insert(automation.name.clone(), automation);
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            directory: directory.path().to_owned(),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            read_lag,
            environment: vec![(MARK.0.to_owned(), MARK.1.to_owned())],
        };
        let (sender, events) = mpsc::unbounded_channel();
        let run_command = RunCommand::new(settings, Arc::new(documents), sender);
        let trial = Self { directory, run_command, events };
        trial.node(NODE, &NodeFile::default());
        trial
    }

    fn node(&self, id: &str, file: &NodeFile) {
        create_node(self.directory.path(), id, file).unwrap();
    }

    /// Nodes `i-00000000`, `i-00000001`, … with the tag `Role=web`.
    fn web_nodes(&self, count: usize) -> Vec<String> {
        let ids: Vec<_> = (0..count).map(|number| format!("i-{number:08}")).collect();
        for id in &ids {
            let tags = BTreeMap::from([("Role".to_owned(), "web".to_owned())]);
            self.node(id, &NodeFile { tags, ..NodeFile::default() });
        }
        ids
    }

    /// A file in the directory of a node.
    fn file(&self, id: &str, name: &str) -> PathBuf {
        self.directory.path().join("nodes").join(id).join(name)
    }

    async fn call(&self, operation: &str, body: Value) -> Result<Value, ApiError> {
        self.run_command.call(operation, body.to_string().as_bytes()).await
    }

    /// Sends a command; returns its id.
    async fn send(&self, body: Value) -> String {
        let sent = self.call("SendCommand", body).await.unwrap();
        sent["Command"]["CommandId"].as_str().unwrap().to_owned()
    }

    /// Sends a shell script to the plain node; returns the command's id.
    async fn send_script(&self, text: &str) -> String {
        self.send(shell(&[NODE], text)).await
    }

    /// The command as `ListCommands` shows it now.
    async fn command(&self, id: &str) -> Value {
        let list = self.call("ListCommands", json!({"CommandId": id})).await.unwrap();
        list["Commands"][0].clone()
    }

    /// Waits for a command's end; returns the command.
    async fn ended(&self, id: &str) -> Value {
        for _ in 0..2_000 {
            let command = self.command(id).await;
            let status = command["Status"].as_str().unwrap_or_default();
            if !["", "Pending", "InProgress", "Cancelling"].contains(&status) {
                return command;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("command {id} does not end: {}", self.command(id).await);
    }

    /// Waits until a command's invocation on the plain node is in this status.
    async fn reached(&self, id: &str, status: &str) {
        for _ in 0..2_000 {
            if self.invocation(id, NODE).await["Status"] == status {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("command {id} does not reach {status}");
    }

    /// Waits until a file is there and not empty; returns its text.
    async fn written(&self, file: &std::path::Path) -> String {
        for _ in 0..2_000 {
            match std::fs::read_to_string(file) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
        panic!("nobody writes {}", file.display());
    }

    /// The invocation as `GetCommandInvocation` shows it now.
    async fn invocation(&self, id: &str, node: &str) -> Value {
        let body = json!({"CommandId": id, "InstanceId": node});
        self.call("GetCommandInvocation", body).await.unwrap()
    }

    /// All invocations of a command as `ListCommandInvocations` shows them now.
    async fn invocations(&self, id: &str) -> Vec<Value> {
        let body = json!({"CommandId": id, "Details": true});
        let list = self.call("ListCommandInvocations", body).await.unwrap();
        list["CommandInvocations"].as_array().unwrap().clone()
    }

    /// `StatusDetails` of every invocation of a command, by node.
    async fn details(&self, id: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut details: Vec<_> = self
            .invocations(id)
            .await
            .iter()
            .map(|invocation| (text(&invocation["InstanceId"]), text(&invocation["StatusDetails"])))
            .collect();
        details.sort();
        details
    }
}

/// A request that sends a shell script to these nodes.
fn shell(nodes: &[&str], text: &str) -> Value {
    json!({
        "DocumentName": "AWS-RunShellScript",
        "InstanceIds": nodes,
        "Parameters": {"commands": [text]},
    })
}

/// The same request with other members.
fn with(mut request: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

/// A request that sends a shell script to the nodes with the tag `Role=web`.
fn shell_on_web(text: &str) -> Value {
    let targets = json!([{"Key": "tag:Role", "Values": ["web"]}]);
    with(shell(&[], text), &json!({"InstanceIds": [], "Targets": targets}))
}
