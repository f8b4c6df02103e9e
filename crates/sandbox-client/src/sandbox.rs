//! One sandbox with clients of its APIs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ssm::config::Credentials;
use serde_json::{Value, json};

use crate::place::{REGION, unique_number};
use crate::process::{self, Process, Ready};
use crate::waiting::Barrier;

/// The managed nodes that a sandbox has at first; each has the tag `Role` with the value `web`.
pub const NODES: [&str; 3] = ["i-00000000000000001", "i-00000000000000002", "i-00000000000000003"];
/// A document of the user's own that takes a token; the shared sandbox knows its name.
pub const OWN_DOCUMENT: &str = "OwnScript";
/// A document of the user's own that takes none, although the shared sandbox knows its name.
pub const DOCUMENT_WITHOUT_TOKEN: &str = "OwnScriptWithoutToken";

static SHARED: LazyLock<Result<Running, String>> = LazyLock::new(|| {
    let extra_documents = [OWN_DOCUMENT, DOCUMENT_WITHOUT_TOKEN].join(",");
    let extra_documents = format!("ExtraDocumentNames={extra_documents}");
    Running::start(&["--parameter", "LogLevel=trace", "--parameter", &extra_documents])
});

/// A sandbox with clients of its APIs.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) running: Running,
    /// Systems Manager.
    pub ssm: aws_sdk_ssm::Client,
    /// Step Functions.
    pub step_functions: aws_sdk_sfn::Client,
    pub(crate) http: reqwest::Client,
}

/// What the handles to one sandbox have in common.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    process: Arc<Process>,
    /// What was received from the on-failure queue, by whichever test.
    pub(crate) failed_events: Arc<tokio::sync::Mutex<Vec<Value>>>,
}

impl Running {
    fn start(options: &[&str]) -> Result<Self, String> {
        let process = Arc::new(Process::start(&mut process::command(options)?)?);
        Ok(Self { process, failed_events: Arc::default() })
    }
}

impl Sandbox {
    /// The sandbox that the tests of this program share. Its functions log at TRACE, and its rule
    /// knows [`OWN_DOCUMENT`] and [`DOCUMENT_WITHOUT_TOKEN`].
    pub async fn shared() -> Self {
        match &*SHARED {
            Ok(running) => Self::over(running.clone()).await,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// A sandbox of its own, with the parameters as the template has them and these options of `sandbox up`. It ends
    /// with its last handle.
    pub async fn start(options: &[&str]) -> Self {
        match Running::start(options) {
            Ok(running) => Self::over(running).await,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// Clients belong to the runtime of the test that makes them.
    async fn over(running: Running) -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&running.process.ready().endpoint)
            .region(Region::new(REGION))
            .retry_config(RetryConfig::disabled())
            .credentials_provider(Credentials::new(
                &running.process.ready().access_key_id,
                &running.process.ready().secret_access_key,
                None,
                None,
                "sandbox",
            ))
            .load()
            .await;
        Self {
            running,
            ssm: aws_sdk_ssm::Client::new(&config),
            step_functions: aws_sdk_sfn::Client::new(&config),
            http: reqwest::Client::new(),
        }
    }

    /// How to use it.
    pub fn ready(&self) -> &Ready {
        self.running.process.ready()
    }

    /// Where it answers.
    pub fn endpoint_url(&self) -> &str {
        &self.ready().endpoint
    }

    /// The access key id of this run.
    pub fn access_key_id(&self) -> &str {
        &self.ready().access_key_id
    }

    /// The secret access key of this run.
    pub fn secret_access_key(&self) -> &str {
        &self.ready().secret_access_key
    }

    /// A signature in shape only, which says who calls which service; nobody checks more of it.
    pub fn authorization(&self, service: &str) -> String {
        let scope = format!("{}/20261122/{REGION}/{service}/aws4_request", self.access_key_id());
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=sandbox")
    }

    /// Where its logs are, and a directory for each node.
    pub fn directory(&self) -> &Path {
        &self.ready().directory
    }

    /// What it has written to its own stdout and stderr.
    pub fn words(&self) -> String {
        self.running.process.words()
    }

    /// Adds a node for each of these ways in which an agent behaves (`online`, `silent`,
    /// `undeliverable`, `access-denied`), and returns their ids.
    pub fn add_nodes<'a>(&self, agents: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        agents.into_iter().map(|agent| self.add_node(agent)).collect()
    }

    fn add_node(&self, agent: &str) -> String {
        // Those that are there at first have low numbers.
        let id = format!("i-e{:016x}", unique_number());
        let nodes = self.directory().join("nodes");
        let node = json!({ "PlatformType": "Linux", "Tags": {}, "Agent": agent });
        // Made elsewhere, since a directory without its file is no node.
        let made = nodes.with_file_name(format!("new-{id}"));
        fs::create_dir_all(&made).expect("a directory for a node");
        fs::write(made.join("node.json"), node.to_string()).expect("the file of a node");
        fs::rename(&made, nodes.join(&id)).expect("a new node");
        id
    }

    /// The directory that is this node.
    pub fn node_directory(&self, node: &str) -> PathBuf {
        self.directory().join("nodes").join(node)
    }

    /// A barrier on this node: a script that waits until the test lets it go on.
    pub fn barrier(&self, node: &str) -> Barrier {
        let name = format!("barrier-{}", unique_number());
        Barrier { path: self.node_directory(node).join(&name), name }
    }

    /// Runs the AWS CLI against it, and returns what it printed as JSON.
    pub fn aws_cli(&self, arguments: &[&str]) -> Value {
        let Output { status, stdout, stderr } = Command::new(process::python_tool("aws"))
            .args(arguments)
            .args(["--output", "json"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // No configuration of whoever runs the tests.
            .env("HOME", self.directory())
            .env("AWS_ENDPOINT_URL", self.endpoint_url())
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", self.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", self.secret_access_key())
            .output()
            .expect("the AWS CLI runs");
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "aws {} ended with {status}: {said}", arguments.join(" "));
        if stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&stdout).expect("the AWS CLI prints JSON")
    }

    /// A call of the AWS JSON protocol, for the APIs whose SDK would be built for this alone.
    pub async fn call(&self, service: &str, target: &str, body: &Value) -> Value {
        let answer = self
            .http
            .post(self.endpoint_url())
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", self.authorization(service))
            .body(body.to_string())
            .send()
            .await
            .unwrap_or_else(|error| panic!("{target}: {error}"));
        let status = answer.status();
        let text = answer.text().await.unwrap_or_else(|error| panic!("{target}: {error}"));
        assert!(status.is_success(), "{target}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{target}: {error}: {text}"))
    }
}
