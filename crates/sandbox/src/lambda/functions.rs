//! Runs the functions that moto's control plane knows, as processes.
//!
//! Code and configuration are read before an invocation, at most once a second. So an update takes
//! effect as on Lambda: new processes start from the new code, and old ones end after their last
//! invocation. A function has as many processes as invocations at once, up to its reserved
//! concurrency.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use jiff::Timestamp;
use sandbox_run_command::locked::Locked;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout_at;
use uuid::Uuid;

use super::code::{code_path, function_name, unpack};
use super::process::{FunctionProcess, InvocationResult, Program};
use crate::aws::{CallError, Client};
use crate::cloudwatch::metrics::Metrics;
use crate::credentials::Credentials;
use crate::iam::roles::{Holder, Roles};
use crate::record::{Entry, Record};

/// Without reserved concurrency, a function has at most this many processes.
const PROCESSES_MAX: usize = 10;
/// How long a function's code and configuration are used without reading them again.
const FRESH: Duration = Duration::from_secs(1);

/// The surroundings of the functions.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sandbox's directory.
    pub directory: PathBuf,
    /// The endpoint that functions call AWS at.
    pub endpoint: String,
    /// The region.
    pub region: String,
    /// The key of this run.
    pub credentials: Credentials,
    /// The mark of the sandbox's processes.
    pub mark: (String, String),
}

/// What an invocation does when all processes of its function are busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Waits in the queue until then, as an asynchronous invocation.
    WaitUntil(tokio::time::Instant),
    /// Is refused, as a synchronous invocation.
    Refuse,
}

/// Why a function is invoked, for the record.
#[derive(Debug, Clone, Default)]
pub struct Occasion {
    /// The number of the attempt, from 1, if the invocation is asynchronous.
    pub attempt: Option<u32>,
    /// The event, if a rule sent it.
    pub event: Option<String>,
}

/// An invocation that reached its function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The request's id, which the function knows it by.
    pub request_id: String,
    /// Its result.
    pub outcome: InvocationResult,
}

/// Why an invocation did not reach its function.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// There is no such function.
    #[error("Function not found: {name}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// All its processes are busy.
    #[error("Rate Exceeded.")]
    TooManyRequests,
    /// Its configuration or code could not be read.
    #[error("reading function {name}")]
    Read {
        /// The name.
        name: String,
        /// Why.
        source: CallError,
    },
    /// There are no credentials of its role.
    #[error("assuming {role} for function {name}")]
    Role {
        /// The name.
        name: String,
        /// The role's ARN.
        role: String,
        /// Why.
        source: CallError,
    },
    /// Its code could not be unpacked.
    #[error("unpacking the code of function {name}")]
    Unpack {
        /// The name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Its configuration is not one that the sandbox can run.
    #[error("reading the configuration of function {name}")]
    Configuration {
        /// The name.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Its program could not be started.
    #[error("starting function {name}")]
    Start {
        /// The name.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// The functions.
#[derive(Debug, Clone)]
pub struct Lambda {
    host: Arc<Host>,
}

#[derive(Debug)]
struct Host {
    settings: Settings,
    moto: Client,
    roles: Option<Roles>,
    metrics: Metrics,
    record: Record,
    functions: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Loaded>>>>>,
}

#[derive(Debug)]
struct Loaded {
    read: Instant,
    /// What was read: other text means other code or configuration.
    text: String,
    pool: Arc<Pool>,
}

/// The processes of one state of a function.
#[derive(Debug)]
struct Pool {
    name: String,
    program: Program,
    permits: Semaphore,
    metrics: Metrics,
    idle: Mutex<Vec<FunctionProcess>>,
    /// Ends the processes that work now.
    kill: Notify,
    record: Record,
}

/// The parts of `GetFunction`'s answer that matter here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Function {
    configuration: Configuration,
    concurrency: Option<Concurrency>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    function_name: String,
    function_arn: String,
    role: String,
    handler: Option<String>,
    timeout: u64,
    memory_size: u64,
    code_sha256: String,
    environment: Option<Environment>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    /// Texts; moto keeps a number of the template as a number.
    variables: HashMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Concurrency {
    reserved_concurrent_executions: usize,
}

impl Lambda {
    /// The functions of this moto. They run under their own roles, if roles are given.
    pub fn new(
        settings: Settings,
        moto: Client,
        roles: Option<Roles>,
        metrics: Metrics,
        record: Record,
    ) -> Self {
        let functions = Mutex::default();
        Self { host: Arc::new(Host { settings, moto, roles, metrics, record, functions }) }
    }

    /// Invokes a function, by name or ARN, and waits until it has answered. The invocation goes on
    /// when nobody waits for it any more, as on Lambda.
    pub async fn invoke(
        &self,
        function: &str,
        payload: Bytes,
        admission: Admission,
        occasion: Occasion,
    ) -> Result<Invocation, InvokeError> {
        let host = Arc::clone(&self.host);
        let name = function_name(function).to_owned();
        let task = tokio::spawn(async move {
            let pool = host.pool(&name).await?;
            pool.invoke(payload, admission, occasion).await
        });
        match task.await {
            Ok(result) => result,
            Err(panic) => Err(InvokeError::Start {
                name: function.to_owned(),
                source: io::Error::other(panic),
            }),
        }
    }

    /// Kills the processes of a function that work now.
    pub async fn kill(&self, name: &str) {
        let slot = self.host.functions.locked().get(name).map(Arc::clone);
        let Some(slot) = slot else { return };
        if let Some(loaded) = slot.lock().await.as_ref() {
            loaded.pool.kill.notify_waiters();
        }
    }

    /// Whether there is such a function.
    pub async fn exists(&self, function: &str) -> Result<bool, InvokeError> {
        let name = function_name(function);
        Ok(self.host.read(name).await?.is_some())
    }
}

impl Host {
    /// The processes of the function as it is now.
    async fn pool(&self, name: &str) -> Result<Arc<Pool>, InvokeError> {
        let slot = {
            let mut functions = self.functions.locked();
            Arc::clone(functions.entry(name.to_owned()).or_default())
        };
        let mut loaded = slot.lock().await;
        if let Some(loaded) = loaded.as_ref().filter(|loaded| loaded.read.elapsed() < FRESH) {
            return Ok(Arc::clone(&loaded.pool));
        }
        let Some(answer) = self.read(name).await? else {
            return Err(InvokeError::Unknown { name: name.to_owned() });
        };
        let text = answer.to_string();
        let pool = match loaded.as_ref().filter(|loaded| loaded.text == text) {
            Some(loaded) => Arc::clone(&loaded.pool),
            None => Arc::new(self.load(name, answer).await?),
        };
        *loaded = Some(Loaded { read: Instant::now(), text, pool: Arc::clone(&pool) });
        Ok(pool)
    }

    async fn read(&self, name: &str) -> Result<Option<Value>, InvokeError> {
        let path = format!("/2015-03-31/functions/{name}");
        let answer = self.moto.get("lambda", "GetFunction", &path).await;
        answer.map_err(|source| InvokeError::Read { name: name.to_owned(), source })
    }

    async fn load(&self, name: &str, answer: Value) -> Result<Pool, InvokeError> {
        let function: Function = serde_json::from_value(answer)
            .map_err(|source| InvokeError::Configuration { name: name.to_owned(), source })?;
        let directory = self.unpacked(name, &function).await?;
        let credentials = self.credentials(&function.configuration).await?;
        let processes = function
            .concurrency
            .as_ref()
            .map_or(PROCESSES_MAX, |limit| limit.reserved_concurrent_executions.min(PROCESSES_MAX));
        Ok(Pool {
            name: name.to_owned(),
            program: self.program(&function.configuration, &directory, credentials),
            permits: Semaphore::new(processes),
            metrics: self.metrics.clone(),
            idle: Mutex::default(),
            kill: Notify::new(),
            record: self.record.clone(),
        })
    }

    /// The directory that holds the function's code.
    async fn unpacked(&self, name: &str, function: &Function) -> Result<PathBuf, InvokeError> {
        let digest: String = function
            .configuration
            .code_sha256
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(12)
            .collect();
        let functions = self.settings.directory.join("functions");
        let directory = functions.join(format!("{name}-{digest}"));
        if directory.exists() {
            return Ok(directory);
        }
        let code = self.moto.fetch(&code_path(&format!("{}/{name}", self.settings.region))).await;
        let code = code.map_err(|source| InvokeError::Read { name: name.to_owned(), source })?;
        let target = directory.clone();
        let unpacked = tokio::task::spawn_blocking(move || unpack(&code, &target)).await;
        unpacked
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
            .map_err(|source| InvokeError::Unpack { name: name.to_owned(), source })?;
        Ok(directory)
    }

    /// Those of the function's role, or some that only say which function calls.
    async fn credentials(&self, configuration: &Configuration) -> Result<Credentials, InvokeError> {
        let Configuration { function_name: name, role, .. } = configuration;
        match &self.roles {
            Some(roles) => roles.assume(role, name, Holder::Function).await.map_err(|source| {
                InvokeError::Role { name: name.clone(), role: role.clone(), source }
            }),
            None => Ok(self.settings.credentials.for_function(name)),
        }
    }

    fn program(
        &self,
        configuration: &Configuration,
        directory: &Path,
        credentials: Credentials,
    ) -> Program {
        let name = &configuration.function_name;
        let settings = &self.settings;
        let own = configuration.environment.iter().flat_map(|own| &own.variables);
        let mut environment: Vec<(String, String)> = own
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), text)
            })
            .collect();
        let stream = format!("sandbox/[$LATEST]{}", Uuid::new_v4().simple());
        let values = [
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("_HANDLER", configuration.handler.clone().unwrap_or_default()),
            ("LAMBDA_TASK_ROOT", directory.display().to_string()),
            ("AWS_REGION", settings.region.clone()),
            ("AWS_DEFAULT_REGION", settings.region.clone()),
            ("AWS_ENDPOINT_URL", settings.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", credentials.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
            ("AWS_SESSION_TOKEN", credentials.session_token.unwrap_or_default()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", configuration.memory_size.to_string()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
            ("AWS_LAMBDA_LOG_STREAM_NAME", stream),
            (settings.mark.0.as_str(), settings.mark.1.clone()),
        ];
        environment.extend(values.map(|(name, value)| (name.to_owned(), value)));
        Program {
            path: directory.join("bootstrap"),
            environment,
            log: settings.directory.join("logs").join(format!("{name}.log")),
            function_arn: configuration.function_arn.clone(),
            timeout: Duration::from_secs(configuration.timeout),
        }
    }
}

impl Pool {
    async fn invoke(
        &self,
        payload: Bytes,
        admission: Admission,
        occasion: Occasion,
    ) -> Result<Invocation, InvokeError> {
        let mut permit = self.permits.try_acquire().ok();
        if permit.is_none() {
            self.metrics.throttled(&self.name);
            permit = match admission {
                Admission::WaitUntil(expires) => {
                    timeout_at(expires, self.permits.acquire()).await.ok().and_then(Result::ok)
                }
                Admission::Refuse => None,
            };
        }
        if permit.is_none() {
            return Err(InvokeError::TooManyRequests);
        }
        let (started, clock) = (Timestamp::now(), Instant::now());
        let result = self.run(payload, occasion).await;
        let failed = result.as_ref().map_or(true, |done| done.outcome.failed);
        self.metrics.invoked(&self.name, started, clock.elapsed(), failed);
        result
    }

    async fn run(&self, payload: Bytes, occasion: Occasion) -> Result<Invocation, InvokeError> {
        let idle = self.take_idle();
        let cold = idle.is_none();
        let mut process = match idle {
            Some(process) => process,
            None => FunctionProcess::start(&self.program)
                .await
                .map_err(|source| InvokeError::Start { name: self.name.clone(), source })?,
        };
        let request_id = Uuid::new_v4().to_string();
        let Occasion { attempt, event } = occasion;
        self.record.add(&Entry::InvocationBegun {
            function: self.name.clone(),
            request_id: request_id.clone(),
            attempt,
            event,
            cold,
        });
        let killed = self.kill.notified();
        let (outcome, killed) = tokio::select! {
            outcome = process.invoke(&request_id, payload) => (outcome, false),
            () = killed => (process.kill().await, true),
        };
        if process.is_usable() {
            self.idle().push(process);
        }
        self.record.add(&Entry::Invocation {
            function: self.name.clone(),
            request_id: Some(request_id.clone()),
            attempt,
            outcome: outcome.told(),
            killed,
        });
        Ok(Invocation { request_id, outcome })
    }

    fn take_idle(&self) -> Option<FunctionProcess> {
        let mut idle = self.idle();
        while let Some(mut process) = idle.pop() {
            if process.is_usable() {
                return Some(process);
            }
        }
        None
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<FunctionProcess>> {
        self.idle.locked()
    }
}
