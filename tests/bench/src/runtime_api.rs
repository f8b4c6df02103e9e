//! The Lambda Runtime API (2018-06-01) for one process, with the times of its requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::Result;
use super::http::{body, response, serve};

/// The API.
#[derive(Debug)]
pub struct RuntimeApi {
    /// What a function gets as `AWS_LAMBDA_RUNTIME_API`.
    pub address: String,
    asked: watch::Receiver<Option<Instant>>,
    work: mpsc::Sender<Work>,
    server: JoinHandle<()>,
}

/// An invocation that has been answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// When the function was handed the event.
    pub handed: Instant,
    /// When its answer came.
    pub answered: Instant,
    /// What it returned.
    pub payload: Bytes,
    /// Whether it returned an error.
    pub failed: bool,
}

#[derive(Debug)]
struct Work {
    request_id: String,
    event: Bytes,
    time: Duration,
    done: oneshot::Sender<Answered>,
}

struct State {
    asked: watch::Sender<Option<Instant>>,
    work: tokio::sync::Mutex<mpsc::Receiver<Work>>,
    current: Mutex<Option<(Instant, oneshot::Sender<Answered>)>>,
}

impl RuntimeApi {
    /// Starts on a free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (work, receiver) = mpsc::channel(1);
        let (asked_sender, asked) = watch::channel(None);
        let state = Arc::new(State {
            asked: asked_sender,
            work: tokio::sync::Mutex::new(receiver),
            current: Mutex::default(),
        });
        let server = tokio::spawn(accept(listener, state));
        Ok(Self { address, asked, work, server })
    }

    /// When the function first asked for work; waits until it does.
    pub async fn asked(&mut self) -> Result<Instant> {
        let asked = self.asked.wait_for(Option::is_some).await?;
        asked.ok_or_else(|| "the function did not ask for work".into())
    }

    /// Hands an event to the function, which has this much time, and waits for its answer.
    pub async fn invoke(&self, event: Bytes, time: Duration) -> Result<Answered> {
        let (done, answered) = oneshot::channel();
        let request_id = uuid::Uuid::new_v4().to_string();
        self.work.send(Work { request_id, event, time, done }).await?;
        Ok(answered.await?)
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            serve(stream, |request| call(request, Arc::clone(&state))).await;
        });
    }
}

async fn call(request: Request<Incoming>, state: Arc<State>) -> Response<Full<Bytes>> {
    let came = Instant::now();
    let path = request.uri().path();
    if request.method() == Method::GET && path.ends_with("/invocation/next") {
        return next(&state, came).await;
    }
    // Else: `response`, `error`, or `init/error`.
    let failed = path.ends_with("/error");
    let Ok(payload) = body(request).await else {
        return response(StatusCode::BAD_REQUEST, Bytes::new());
    };
    let current = state.current.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((handed, done)) = current {
        // Nobody waits any more if the run was broken off.
        let _ = done.send(Answered { handed, answered: came, payload, failed });
    }
    response(StatusCode::ACCEPTED, Bytes::from_static(br#"{"status":"OK"}"#))
}

async fn next(state: &State, came: Instant) -> Response<Full<Bytes>> {
    state.asked.send_if_modified(|asked| asked.replace(came).is_none());
    let Some(work) = state.work.lock().await.recv().await else {
        return response(StatusCode::GONE, Bytes::new());
    };
    let deadline = Timestamp::now() + work.time;
    let values = [
        ("lambda-runtime-aws-request-id", work.request_id),
        ("lambda-runtime-deadline-ms", deadline.as_millisecond().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:measured".to_owned(),
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0".to_owned(),
        ),
        ("content-type", "application/json".to_owned()),
    ];
    let mut response = response(StatusCode::OK, work.event);
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    let mut current = state.current.lock().unwrap_or_else(PoisonError::into_inner);
    *current = Some((Instant::now(), work.done));
    response
}
