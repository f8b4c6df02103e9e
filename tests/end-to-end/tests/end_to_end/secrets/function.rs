//! One process of a function, under the sandbox's Runtime API, with endpoints of its own.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use callback_aws::testing::aws_server::{AwsServer, Reply};
use end_to_end::secret::Secret;
use sandbox::lambda::process::{FunctionProcess, Program};
use sandbox_client::{REGION, unique_number};
use serde_json::Value;

use super::TIMEOUT;

/// What a process is started with, and what happens to it.
pub(super) struct Setting {
    program: &'static str,
    variables: HashMap<&'static str, String>,
    replies: HashMap<&'static str, Vec<Reply>>,
    event: String,
    timeout: Duration,
    invocations: usize,
}

/// The credentials of a process, which nobody may see either.
pub(super) struct Credentials {
    pub(super) secret_access_key: String,
    pub(super) session_token: String,
}

/// What a process wrote to standard output and standard error, and what it returned.
pub(super) struct Heard {
    pub(super) log: String,
    pub(super) payload: Value,
    failed: bool,
    server: AwsServer,
}

impl Setting {
    pub(super) fn new(program: &'static str, event: &str) -> Self {
        Self {
            program,
            variables: HashMap::new(),
            replies: HashMap::new(),
            event: event.to_owned(),
            timeout: TIMEOUT,
            invocations: 1,
        }
    }

    pub(super) fn program(self, program: &'static str) -> Self {
        Self { program, ..self }
    }

    pub(super) fn event(self, event: &str) -> Self {
        Self { event: event.to_owned(), ..self }
    }

    /// Invokes the function so many times. What it returns is what the last one returned.
    pub(super) fn invocations(self, invocations: usize) -> Self {
        Self { invocations, ..self }
    }

    pub(super) fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Every call of the operation is answered so.
    pub(super) fn reply(mut self, operation: &'static str, reply: Reply) -> Self {
        self.replies.insert(operation, vec![reply]);
        self
    }

    /// The calls of the operation are answered so in turn, and all others as the last one.
    pub(super) fn replies(mut self, operation: &'static str, replies: Vec<Reply>) -> Self {
        self.replies.insert(operation, replies);
        self
    }

    pub(super) fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    /// Starts the function and invokes it.
    pub(super) async fn run(self, credentials: &Credentials) -> Heard {
        let server = AwsServer::start().await;
        for (operation, replies) in &self.replies {
            server.script(operation, replies.clone());
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("log");
        let program = Program {
            path: built(self.program),
            environment: self.environment(&server, credentials),
            log: log.clone(),
            function_arn: format!("arn:aws:lambda:{REGION}:123456789012:function:tested"),
            timeout: self.timeout,
        };
        let mut process = FunctionProcess::start(&program).await.expect("the function starts");
        let mut outcome = process.invoke("request", self.event.clone().into()).await;
        for _ in 1..self.invocations {
            outcome = process.invoke("request", self.event.clone().into()).await;
        }
        drop(process);
        let log = fs::read(&log).expect("the function's log");
        Heard {
            log: String::from_utf8_lossy(&log).into_owned(),
            payload: serde_json::from_slice(&outcome.payload).expect("what is returned is JSON"),
            failed: outcome.failed,
            server,
        }
    }

    fn environment(&self, server: &AwsServer, credentials: &Credentials) -> Vec<(String, String)> {
        let endpoint_url = server.endpoint_url();
        let mut environment = HashMap::from([
            ("AWS_ACCESS_KEY_ID", "tested"),
            ("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
            ("AWS_SESSION_TOKEN", &credentials.session_token),
            ("AWS_ENDPOINT_URL", &endpoint_url),
            ("AWS_REGION", REGION),
            ("AWS_LAMBDA_FUNCTION_NAME", "tested"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("LOG_LEVEL", "trace"),
            // What people set when they look for a fault, and what must not help here.
            ("RUST_LOG", "trace"),
            ("AWS_LAMBDA_LOG_LEVEL", "TRACE"),
            ("RUST_BACKTRACE", "full"),
        ]);
        environment.extend(self.variables.iter().map(|(name, value)| (*name, value.as_str())));
        environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl Credentials {
    /// Some that no other process has.
    pub(super) fn random() -> Self {
        let secret = |kind| format!("{kind}/of+a/process/{:08x}=", unique_number());
        Self { secret_access_key: secret("key"), session_token: secret("session") }
    }
}

impl Heard {
    /// Whether a secret is anywhere in it.
    pub(super) fn shows(&self, secret: &Secret) -> bool {
        secret.is_in(&self.log) || secret.is_in(&self.payload.to_string())
    }

    /// The word that it ends with: an error's type, the relay's outcome, or "Swept".
    pub(super) fn ended_with(&self) -> &str {
        let word = if self.failed { &self.payload["errorType"] } else { &self.payload["Outcome"] };
        let word = word.as_str().unwrap_or("Swept");
        // A type of Rust is told with its path.
        word.rsplit("::").next().unwrap_or(word)
    }

    /// The lines of the log that are JSON.
    pub(super) fn lines(&self) -> impl Iterator<Item = Value> {
        self.log.lines().filter_map(|line| serde_json::from_str(line).ok())
    }

    /// What it sent to an operation.
    pub(super) fn calls(&self, operation: &str) -> Vec<Value> {
        self.server.calls(operation)
    }
}

/// A program of the workspace, next to the test program.
fn built(name: &str) -> PathBuf {
    let test = env::current_exe().expect("where the tests are");
    let path = test.ancestors().nth(2).expect("tests are in target/<profile>/deps").join(name);
    assert!(
        path.is_file(),
        "{} is missing: `cargo build --workspace --bins` builds it, and `make test` does all that \
         is needed",
        path.display()
    );
    path
}
