//! One process of a function, under the sandbox's own Lambda Runtime API (2018-06-01).
//!
//! The function's program is started as Lambda starts it: unmodified, with the variables of its
//! configuration and those that Lambda sets. It asks for its next invocation, answers it, and asks
//! again. A process works on one invocation at a time.
//!
//! Only the function's own process group is answered, so that no other process on this machine can
//! take its events.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use sandbox_run_command::locked::Locked;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{SetOnce, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::peer::Peer;

/// Lambda gives a function this long to start.
const INIT_MAX: Duration = Duration::from_secs(10);
const SPAWNS_MAX: u32 = 50;
const SPAWN_PAUSE: Duration = Duration::from_millis(20);
/// Lambda's limit for a response is 6 MB and a little.
const RESPONSE_BYTES_MAX: usize = 6 * 1024 * 1024 + 100 * 1024;

/// How to start a function.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// Its whole environment, but for the address of the Runtime API.
    pub environment: Vec<(String, String)>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Its ARN.
    pub function_arn: String,
    /// How long an invocation may take.
    pub timeout: Duration,
}

/// The result of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationResult {
    /// The response, or the error as JSON.
    pub payload: Bytes,
    /// Whether the function failed.
    pub failed: bool,
}

impl InvocationResult {
    fn error(error_type: &str, message: &str) -> Self {
        let payload = json!({ "errorType": error_type, "errorMessage": message });
        Self { payload: Bytes::from(payload.to_string()), failed: true }
    }

    /// `done`, or `failed:` and the error's type, if the function gave one.
    pub fn told(&self) -> String {
        if !self.failed {
            return "done".to_owned();
        }
        let payload: Value = serde_json::from_slice(&self.payload).unwrap_or_default();
        let error_type = payload["errorType"].as_str().unwrap_or("without a type");
        format!("failed: {error_type}")
    }
}

/// A running function.
#[derive(Debug)]
pub struct FunctionProcess {
    process: Child,
    server: JoinHandle<io::Result<()>>,
    work: mpsc::Sender<Work>,
    init: watch::Receiver<Init>,
    timeout: Duration,
    usable: bool,
}

#[derive(Debug)]
struct Work {
    request_id: String,
    deadline_ms: i64,
    payload: Bytes,
    answer: oneshot::Sender<InvocationResult>,
}

#[derive(Debug, Clone)]
enum Init {
    Pending,
    Ready,
    Failed(Bytes),
}

#[derive(Debug)]
struct RuntimeApi {
    work: tokio::sync::Mutex<mpsc::Receiver<Work>>,
    current: Mutex<Option<(String, oneshot::Sender<InvocationResult>)>>,
    init: watch::Sender<Init>,
    function_arn: String,
    /// The id of the function's process, which leads a group.
    process: SetOnce<u32>,
}

impl FunctionProcess {
    /// Starts the program, with a Runtime API of its own.
    pub async fn start(program: &Program) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (work, receiver) = mpsc::channel(1);
        let (init_sender, init) = watch::channel(Init::Pending);
        let api = Arc::new(RuntimeApi {
            work: tokio::sync::Mutex::new(receiver),
            current: Mutex::new(None),
            init: init_sender,
            function_arn: program.function_arn.clone(),
            process: SetOnce::new(),
        });
        let service = router(Arc::clone(&api)).into_make_service_with_connect_info::<Peer>();
        let server = tokio::spawn(axum::serve(listener, service).into_future());
        let log = OpenOptions::new().create(true).append(true).open(&program.log)?;
        let process = spawn(program, &address.to_string(), &log).await?;
        // It has an id until somebody waits for it, and is set this once.
        let _ = api.process.set(process.id().unwrap_or_default());
        Ok(Self { process, server, work, init, timeout: program.timeout, usable: true })
    }

    /// Whether it can take another invocation.
    pub fn is_usable(&mut self) -> bool {
        self.usable && matches!(self.process.try_wait(), Ok(None))
    }

    /// Runs one invocation.
    pub async fn invoke(&mut self, request_id: &str, payload: Bytes) -> InvocationResult {
        let outcome = match self.initialized().await {
            Ok(()) => self.run(request_id, payload).await,
            Err(outcome) => Err(outcome),
        };
        outcome.unwrap_or_else(|failure| {
            self.usable = false;
            // It may have ended already.
            let _ = self.process.start_kill();
            failure
        })
    }

    /// Kills the process. This is the result of the invocation that it worked on.
    pub async fn kill(&mut self) -> InvocationResult {
        self.usable = false;
        // It may have ended already.
        let _ = self.process.start_kill();
        ended(self.process.wait().await)
    }

    /// Waits until the program has asked for work.
    async fn initialized(&mut self) -> Result<(), InvocationResult> {
        let asked = self.init.wait_for(|init| !matches!(init, Init::Pending));
        tokio::select! {
            biased;
            asked = timeout(INIT_MAX, asked) => match asked {
                Ok(Ok(init)) => match &*init {
                    Init::Failed(payload) => Err(InvocationResult { payload: payload.clone(), failed: true }),
                    Init::Ready | Init::Pending => Ok(()),
                },
                Ok(Err(_)) | Err(_) => Err(InvocationResult::error(
                    "Sandbox.Timedout",
                    &format!("Init timed out after {} s", INIT_MAX.as_secs()),
                )),
            },
            status = self.process.wait() => Err(ended(status)),
        }
    }

    async fn run(
        &mut self,
        request_id: &str,
        payload: Bytes,
    ) -> Result<InvocationResult, InvocationResult> {
        let (sender, answer) = oneshot::channel();
        let timeout_ms = i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX);
        let work = Work {
            request_id: request_id.to_owned(),
            deadline_ms: Timestamp::now().as_millisecond().saturating_add(timeout_ms),
            payload,
            answer: sender,
        };
        if self.work.send(work).await.is_err() {
            return Err(InvocationResult::error("Runtime.Unknown", "the Runtime API has ended"));
        }
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| {
                InvocationResult::error("Runtime.Unknown", "the invocation was not answered")
            }),
            status = self.process.wait() => Err(ended(status)),
            () = sleep(self.timeout) => Err(InvocationResult::error(
                "Sandbox.Timedout",
                &format!(
                    "RequestId: {request_id} Error: Task timed out after {:.2} seconds",
                    self.timeout.as_secs_f64()
                ),
            )),
        }
    }
}

async fn spawn(program: &Program, address: &str, log: &File) -> io::Result<Child> {
    let mut command = Command::new(&program.path);
    command
        .current_dir(program.path.parent().unwrap_or(&program.path))
        .env_clear()
        .envs(program.environment.iter().cloned())
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .process_group(0)
        .kill_on_drop(true);
    for _ in 1..SPAWNS_MAX {
        match command.spawn() {
            // A process that was forked while the file was written still holds it open, until it
            // has become the program that it was forked for.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                sleep(SPAWN_PAUSE).await;
            }
            result => return result,
        }
    }
    command.spawn()
}

impl Drop for FunctionProcess {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn ended(status: io::Result<std::process::ExitStatus>) -> InvocationResult {
    let message = match status {
        Ok(status) => format!("Runtime exited: {status}"),
        Err(error) => format!("Runtime exited: {error}"),
    };
    InvocationResult::error("Runtime.ExitError", &message)
}

fn router(api: Arc<RuntimeApi>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(RESPONSE_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), own_process_only))
        .with_state(api)
}

async fn own_process_only(
    State(api): State<Arc<RuntimeApi>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if peer.is_of_group(*api.process.wait().await) {
        return next.run(request).await;
    }
    let message = "this Runtime API is only for the function that it was started for";
    (StatusCode::FORBIDDEN, message).into_response()
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> Response {
    api.init.send_replace(Init::Ready);
    let Some(work) = api.work.lock().await.recv().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut headers = HeaderMap::new();
    let values = [
        ("lambda-runtime-aws-request-id", work.request_id.clone()),
        ("lambda-runtime-deadline-ms", work.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", api.function_arn.clone()),
        ("lambda-runtime-trace-id", trace_id()),
        ("content-type", "application/json".to_owned()),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    *current(&api) = Some((work.request_id, work.answer));
    (headers, work.payload).into_response()
}

async fn response(
    State(api): State<Arc<RuntimeApi>>,
    Path(id): Path<String>,
    payload: Bytes,
) -> Response {
    let failed = false;
    finish(&api, &id, InvocationResult { payload, failed })
}

async fn error(
    State(api): State<Arc<RuntimeApi>>,
    Path(id): Path<String>,
    payload: Bytes,
) -> Response {
    let failed = true;
    finish(&api, &id, InvocationResult { payload, failed })
}

async fn init_error(State(api): State<Arc<RuntimeApi>>, payload: Bytes) -> Response {
    api.init.send_replace(Init::Failed(payload));
    accepted()
}

fn finish(api: &RuntimeApi, id: &str, outcome: InvocationResult) -> Response {
    match current(api).take_if(|(current, _)| current == id) {
        Some((_, answer)) => {
            // Nobody waits any more if the invocation has timed out meanwhile.
            let _ = answer.send(outcome);
            accepted()
        }
        None => (
            StatusCode::BAD_REQUEST,
            r#"{"errorType":"InvalidRequestID","errorMessage":"Invalid request ID"}"#,
        )
            .into_response(),
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, r#"{"status":"OK"}"#).into_response()
}

fn current(
    api: &RuntimeApi,
) -> std::sync::MutexGuard<'_, Option<(String, oneshot::Sender<InvocationResult>)>> {
    api.current.locked()
}

/// An X-Ray trace that is not sampled.
fn trace_id() -> String {
    let random = Uuid::new_v4().simple().to_string();
    let seconds = Timestamp::now().as_second();
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &random[..24], &random[16..])
}
