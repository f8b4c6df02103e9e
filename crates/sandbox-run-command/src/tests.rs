//! Run Command as its callers see it, with real scripts on nodes in a temporary directory.

mod cancelling;
mod directories;
mod documents;
mod ends;
mod environment;
mod events;
mod fleets;
mod lists;
mod nested;
mod nested_parameters;
mod observed;
mod outputs;
mod processes;
mod refusals;
mod refused_by_agent;
mod scripts;
mod skipped_steps;
mod ssm_references;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::api::ApiError;
use super::documents::{Document, Documents};
use super::locked::Locked;
use super::observer::Observer;
use super::parameter_store::{ParameterStore, StoredKind, StoredParameter};
use super::{Behaviour, NodeFile, Platform, RunCommand, Settings, StatusDetails, create_node};

const NODE: &str = "i-0123456789abcdef0";

/// The mark that every script of these tests has in its environment.
const MARK: (&str, &str) = ("SANDBOX_TEST", "marked");

/// Documents that a test made, `Name:2` for the second version of one. Keeps the names that were
/// asked for.
#[derive(Default)]
struct TestDocuments {
    documents: BTreeMap<String, Document>,
    asked: Mutex<Vec<String>>,
}

impl Documents for TestDocuments {
    fn document(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> BoxFuture<'static, Result<Option<Document>, String>> {
        let name = version.map_or(name.to_owned(), |version| format!("{name}:{version}"));
        let found = match name.as_str() {
            "Unreadable" => Err("the document store does not answer".to_owned()),
            _ => Ok(self.documents.get(&name).cloned()),
        };
        self.asked.locked().push(name);
        Box::pin(ready(found))
    }
}

/// Parameter Store as a test has filled it.
#[derive(Default)]
struct TestParameters(BTreeMap<&'static str, StoredParameter>);

impl ParameterStore for TestParameters {
    fn parameters(
        &self,
        names: Vec<String>,
    ) -> BoxFuture<'static, Result<BTreeMap<String, StoredParameter>, String>> {
        let found = names.into_iter().filter_map(|name| {
            let parameter = self.0.get(name.as_str())?.clone();
            Some((name, parameter))
        });
        Box::pin(ready(Ok(found.collect())))
    }
}

/// Run Command with what belongs to a test.
struct Trial {
    directory: TempDir,
    documents: Arc<TestDocuments>,
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
        Self::with_parameters(documents, read_lag, TestParameters::default())
    }

    /// The same with parameters in Parameter Store.
    fn with_parameters(
        documents: &[(&str, Value)],
        read_lag: Duration,
        parameters: TestParameters,
    ) -> Self {
        Self::with_ports(documents, read_lag, parameters, Arc::new(()))
    }

    /// One plain node, no document but those of Amazon, and somebody who is told every change.
    fn observed_by(observer: Arc<dyn Observer>) -> Self {
        Self::with_ports(&[], Duration::ZERO, TestParameters::default(), observer)
    }

    fn with_ports(
        documents: &[(&str, Value)],
        read_lag: Duration,
        parameters: TestParameters,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let documents = documents.iter().map(|(name, content)| {
            let mut content = content.clone();
            if content["schemaVersion"].is_null() {
                content["schemaVersion"] = json!("2.2");
            }
            let (name, document_type) = ((*name).to_owned(), "Command".to_owned());
            (name.clone(), Document { name, document_type, content })
        });
        let automation = Document {
            name: "Automation".to_owned(),
            document_type: "Automation".to_owned(),
            content: json!({"schemaVersion": "0.3"}),
        };
        let mut documents: BTreeMap<_, _> = documents.collect();
        documents.insert(automation.name.clone(), automation);
        let documents = Arc::new(TestDocuments { documents, ..TestDocuments::default() });
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            directory: directory.path().to_owned(),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            read_lag,
            environment: vec![(MARK.0.to_owned(), MARK.1.to_owned())],
            seed: 0,
        };
        let (sender, events) = mpsc::unbounded_channel();
        let ports = (Arc::clone(&documents), Arc::new(parameters));
        let run_command = RunCommand::new(settings, ports.0, ports.1, sender, observer);
        let trial = Self { directory, documents, run_command, events };
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

    /// Runs a script to its end; returns its one step as `GetCommandInvocation` shows it.
    async fn run_script(&self, text: &str) -> Value {
        self.run(shell(&[NODE], text)).await
    }

    /// Runs a command with one step to its end on the plain node; returns that step.
    async fn run(&self, body: Value) -> Value {
        let id = self.send(body).await;
        self.ended(&id).await;
        self.invocation(&id, NODE).await
    }

    /// Runs a command to its end; returns its steps on the plain node as
    /// `ListCommandInvocations` shows them.
    async fn steps(&self, body: Value) -> Vec<Value> {
        let id = self.send(body).await;
        self.ended(&id).await;
        self.invocations(&id).await[0]["CommandPlugins"].as_array().unwrap().clone()
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

/// A step of a document that is a shell script.
fn step(name: &str, script: &Value) -> Value {
    json!({"name": name, "action": "aws:runShellScript", "inputs": {"runCommand": script}})
}

/// The same step for one platform only.
fn on(platform: &str, step: Value) -> Value {
    with(step, &json!({"precondition": {"StringEquals": ["platformType", platform]}}))
}

/// A request that sends a document to the plain node.
fn send_to(document: &str, parameters: &Value) -> Value {
    json!({"DocumentName": document, "InstanceIds": [NODE], "Parameters": parameters})
}

/// `StatusDetails`, code, standard output and standard error of a step.
fn end_of(step: &Value) -> (&str, i64, &str, &str) {
    let text = |name: &str| step[name].as_str().unwrap();
    let code = step["ResponseCode"].as_i64().unwrap();
    (text("StatusDetails"), code, text("StandardOutputContent"), text("StandardErrorContent"))
}

/// Whether a process is there, and no zombie that nobody has reaped yet.
pub(crate) fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Waits until a process is gone.
pub(crate) async fn gone(pid: &str) -> bool {
    for _ in 0..2_000 {
        if !lives(pid) {
            return true;
        }
        sleep(Duration::from_millis(5)).await;
    }
    false
}

/// Waits until something is so.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("not in time: {what}");
}

/// Lets this time pass for timeouts, in a moment.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Ends a process that lives on as it should.
pub(crate) fn kill(pid: &str) {
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    // It may have ended by itself meanwhile.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}
