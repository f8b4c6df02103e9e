//! The endpoints of Systems Manager and of Step Functions: two, as on AWS, so that a function
//! needs connections to both.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::Result;
use super::authority::{Authority, SERVER_NAME};
use super::fleet::{Answer, Fleet};
use super::http::{body, response, serve};

/// Both endpoints.
pub struct Aws {
    /// The URL of Systems Manager.
    pub ssm_url: String,
    /// The URL of Step Functions.
    pub step_functions_url: String,
    state: Arc<State>,
    servers: [JoinHandle<()>; 2],
}

/// What happened since the log was last taken.
#[derive(Debug, Default)]
pub struct CallLog {
    /// Connections, in the order in which TLS was ready.
    pub connections: Vec<Span>,
    /// Calls, in the order of their ends. Requests that are no call of an operation are not here.
    pub calls: Vec<Call>,
    /// Requests that are no call of an operation.
    pub other_requests: Vec<Span>,
}

/// From when to when.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The connection was accepted, or the request's head was read.
    pub started: Instant,
    /// TLS was ready, or the answer was.
    pub ended: Instant,
}

/// A call of an operation.
#[derive(Debug, Clone)]
pub struct Call {
    /// Such as `ListCommands`.
    pub operation: String,
    /// When.
    pub span: Span,
    /// Whether it was answered with an error.
    pub refused: bool,
}

struct State {
    acceptor: TlsAcceptor,
    latency: Duration,
    fleet: RwLock<Arc<dyn Fleet>>,
    call_log: Mutex<CallLog>,
}

impl Aws {
    /// Starts both endpoints. Each call is answered this long after it came.
    pub async fn start(
        authority: &Authority,
        latency: Duration,
        fleet: Arc<dyn Fleet>,
    ) -> Result<Self> {
        let state = Arc::new(State {
            acceptor: authority.acceptor.clone(),
            latency,
            fleet: RwLock::new(fleet),
            call_log: Mutex::default(),
        });
        let ssm = TcpListener::bind(("127.0.0.1", 0)).await?;
        let step_functions = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = |listener: &TcpListener| {
            listener.local_addr().map(|at| format!("https://{SERVER_NAME}:{}", at.port()))
        };
        Ok(Self {
            ssm_url: url(&ssm)?,
            step_functions_url: url(&step_functions)?,
            servers: [ssm, step_functions]
                .map(|listener| tokio::spawn(accept(listener, Arc::clone(&state)))),
            state,
        })
    }

    /// From now on, answers for this fleet.
    pub fn serve(&self, fleet: Arc<dyn Fleet>) {
        *self.state.fleet.write().unwrap_or_else(PoisonError::into_inner) = fleet;
    }

    /// What happened since the last time.
    pub fn take_call_log(&self) -> CallLog {
        std::mem::take(&mut *self.state.call_log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl CallLog {
    /// How many calls follow one another: the longest row of calls of which each began when the
    /// one before had been answered.
    pub fn row_of_calls(&self) -> usize {
        let mut last_end = None;
        let mut row = 0;
        for Call { span, .. } in &self.calls {
            if last_end.is_none_or(|end| span.started >= end) {
                row += 1;
                last_end = Some(span.ended);
            }
        }
        row
    }

    /// From the first connection to the last answer to a request that is no call: what a function
    /// spends on the network before it has work.
    pub fn warm_up(&self) -> Duration {
        let started = self.connections.iter().map(|span| span.started).min();
        let spans = self.connections.iter().chain(&self.other_requests);
        let ended = spans.map(|span| span.ended).max();
        started.zip(ended).map_or(Duration::ZERO, |(started, ended)| ended - started)
    }
}

impl State {
    fn note(&self, note: impl FnOnce(&mut CallLog)) {
        note(&mut self.call_log.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn answer(&self, operation: &str, body: &[u8]) -> Answer {
        let fleet = Arc::clone(&self.fleet.read().unwrap_or_else(PoisonError::into_inner));
        fleet.answer(operation, body)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let started = Instant::now();
    // Without it an answer waits for others; where it cannot be set, it is slower.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = state.acceptor.accept(stream).await else { return };
    state.note(|call_log| call_log.connections.push(Span { started, ended: Instant::now() }));
    serve(stream, |request| call(request, Arc::clone(&state))).await;
}

async fn call(request: Request<Incoming>, state: Arc<State>) -> Response<Full<Bytes>> {
    let started = Instant::now();
    let target = request.headers().get("x-amz-target");
    let operation = target
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.rsplit('.').next())
        .map(str::to_owned);
    let Ok(body) = body(request).await else {
        return response(StatusCode::BAD_REQUEST, Bytes::new());
    };
    let answer = match &operation {
        Some(operation) => state.answer(operation, &body),
        None => Answer { status: StatusCode::OK, body: Bytes::from_static(b"healthy") },
    };
    tokio::time::sleep_until((started + state.latency).into()).await;
    let span = Span { started, ended: Instant::now() };
    let refused = !answer.status.is_success();
    state.note(|call_log| match operation {
        Some(operation) => call_log.calls.push(Call { operation, span, refused }),
        None => call_log.other_requests.push(span),
    });
    let mut response = response(answer.status, answer.body);
    let content_type = HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
