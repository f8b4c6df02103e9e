//! The sandbox as the tests use it: started as a process, with the stack in it, and called through
//! the real SDKs.
//!
//! A test takes [`Sandbox::shared`], which the tests of one program have in common, or starts a
//! [`Sandbox::start`] of its own when it needs other options. So a test of the shared one has no
//! claim to be alone: it looks at its own executions, commands and events, and adds nodes of its
//! own where their number matters. Everything that is waited for has a bound ([`eventually`]).

mod commands;
mod events;
mod executions;
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ssm::config::Credentials;
use serde_json::{Value, json};

use process::Process;

pub use commands::{event_of, task_token};
pub use events::Invoked;
pub use executions::Ended;

/// The region and the account that everything in the sandbox is in.
pub const REGION: &str = "us-east-1";
/// See [`REGION`].
pub const ACCOUNT: &str = "123456789012";
/// The managed nodes that a sandbox has at first; each has the tag `Role` with the value `web`.
pub const NODES: [&str; 3] = ["i-00000000000000001", "i-00000000000000002", "i-00000000000000003"];
/// A document of the user's own that takes a token; the shared sandbox knows its name.
pub const OWN_DOCUMENT: &str = "OwnScript";
/// A document of the user's own that takes none, although the shared sandbox knows its name.
pub const DOCUMENT_WITHOUT_TOKEN: &str = "OwnScriptWithoutToken";

/// How long anything may take that is waited for. Most takes a second; a machine may be busy.
const WAIT_MAX: Duration = Duration::from_secs(75);
const WAIT_PAUSE: Duration = Duration::from_millis(50);

static SHARED: LazyLock<Result<Running, String>> = LazyLock::new(|| {
    let extra_documents = [OWN_DOCUMENT, DOCUMENT_WITHOUT_TOKEN].join(",");
    let defaults = [("LogLevel", "trace"), ("ExtraDocumentNames", extra_documents.as_str())];
    let template = tempfile::Builder::new().suffix(".yaml").tempfile();
    let template = template.map_err(|error| format!("no temporary file: {error}"))?;
    fs::write(&template, template_with_defaults(&defaults))
        .map_err(|error| format!("the template cannot be written: {error}"))?;
    Running::start(&["--template".to_owned(), template.path().display().to_string()])
});

/// A sandbox with clients of its APIs.
#[derive(Debug, Clone)]
pub struct Sandbox {
    running: Running,
    /// Systems Manager.
    pub ssm: aws_sdk_ssm::Client,
    /// Step Functions.
    pub step_functions: aws_sdk_sfn::Client,
    http: reqwest::Client,
}

/// What the handles to one sandbox have in common.
#[derive(Debug, Clone)]
struct Running {
    process: Arc<Process>,
    /// What was received from the on-failure queue, by whichever test.
    failed_events: Arc<tokio::sync::Mutex<Vec<Value>>>,
}

impl Running {
    fn start(options: &[String]) -> Result<Self, String> {
        let process = Arc::new(Process::start(options)?);
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

    /// A sandbox of its own, with the template as it is and these options of `sandbox up`. It ends
    /// with its last handle.
    pub async fn start(options: &[&str]) -> Self {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        match Running::start(&options) {
            Ok(running) => Self::over(running).await,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// Clients belong to the runtime of the test that makes them.
    async fn over(running: Running) -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&running.process.endpoint_url)
            .region(Region::new(REGION))
            .retry_config(RetryConfig::disabled())
            .credentials_provider(Credentials::new(
                &running.process.access_key_id,
                &running.process.secret_access_key,
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

    /// Where it answers.
    pub fn endpoint_url(&self) -> &str {
        &self.running.process.endpoint_url
    }

    /// The access key id of this run.
    pub fn access_key_id(&self) -> &str {
        &self.running.process.access_key_id
    }

    /// The secret access key of this run.
    pub fn secret_access_key(&self) -> &str {
        &self.running.process.secret_access_key
    }

    /// A signature in shape only, which says who calls which service; nobody checks more of it.
    pub fn authorization(&self, service: &str) -> String {
        let scope = format!("{}/20261122/{REGION}/{service}/aws4_request", self.access_key_id());
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=sandbox")
    }

    /// Where its logs are, and a directory for each node.
    pub fn directory(&self) -> &Path {
        &self.running.process.directory
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

    /// A gate on this node: a script that waits until the test lets it go on.
    pub fn gate(&self, node: &str) -> Gate {
        let name = format!("gate-{}", unique_number());
        Gate { path: self.directory().join("nodes").join(node).join(&name), name }
    }

    /// Runs the AWS CLI against it, and returns what it printed as JSON.
    pub fn aws_cli(&self, arguments: &[&str]) -> Value {
        let Output { status, stdout, stderr } = Command::new(python_tool("aws"))
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

/// What keeps a script waiting, without a guess at how long.
#[derive(Debug)]
pub struct Gate {
    path: PathBuf,
    name: String,
}

impl Gate {
    /// The line of the script that waits.
    pub fn line(&self) -> String {
        format!("until [ -e {} ]; do sleep 0.05; done", self.name)
    }

    /// The name of the file, in the node's directory, that opens it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets the script go on.
    pub fn open(&self) {
        fs::write(&self.path, "").expect("the node's directory is there");
    }
}

/// Asks again and again, until there is an answer.
///
/// # Panics
///
/// When there is none within a bound that only a fault passes, or a machine that is much too busy.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", WAIT_MAX.as_secs());
        tokio::time::sleep(WAIT_PAUSE).await;
    }
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    process::workspace()
}

/// A number that no other test of this program gets.
pub fn unique_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A program of the tests' Python environment, such as the AWS CLI or Python itself.
pub fn python_tool(name: &str) -> PathBuf {
    process::python_tool(name).unwrap_or_else(|problem| panic!("{problem}"))
}

/// The template of the stack with other defaults of these parameters.
fn template_with_defaults(defaults: &[(&str, &str)]) -> String {
    let path = workspace().join("infra/template.yaml");
    let template = fs::read_to_string(&path).expect("the template of the stack");
    let mut lines: Vec<_> = template.lines().map(str::to_owned).collect();
    for (parameter, value) in defaults {
        let declared = lines.iter().position(|line| *line == format!("  {parameter}:"));
        let declared = declared.unwrap_or_else(|| panic!("the template declares {parameter}"));
        let default = lines[declared..].iter().position(|line| line.starts_with("    Default:"));
        let default = default.unwrap_or_else(|| panic!("{parameter} has a default"));
        lines[declared + default] = format!("    Default: {value}");
    }
    lines.join("\n")
}
