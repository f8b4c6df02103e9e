//! A loopback server for AWS JSON 1.0 and 1.1 with scripted responses, including ones that no
//! healthy service would send.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The response to one call.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status 200 and this body.
    Answer(Value),
    /// This status, error code, and message, in the API's format.
    Error(u16, &'static str, &'static str),
    /// This status and body.
    Raw(u16, &'static str),
    /// This status, with the body of the request echoed at this place.
    Echo(u16, Place),
    /// This status, with this text at this place.
    Quote(u16, Place, String),
    /// None; the connection stays open.
    Stall,
    /// The first bytes of a response, after which the connection is closed.
    BreakOff,
    /// None; the connection is closed.
    Close,
}

/// Where a response contains a text that does not belong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In an error message.
    Message,
    /// As the error code.
    Code,
    /// In the header with the error code.
    ErrorType,
    /// In the header with the request ID. Line breaks become spaces.
    RequestId,
    /// As the whole body.
    Body,
    /// As a body that ends before its announced length.
    BodyCutShort,
}

/// The server. It stops when it is dropped.
#[derive(Debug)]
pub struct AwsServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    scripts: HashMap<String, VecDeque<Reply>>,
    calls: Vec<(String, Value)>,
    connections: usize,
}

impl AwsServer {
    /// Starts on a free port of the loopback interface.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::<Mutex<State>>::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// The endpoint URL for the SDK.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the replies to the calls of one operation, in order. The last one is repeated.
    pub fn script(&self, operation: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        state(&self.state).scripts.insert(operation.to_owned(), replies);
    }

    /// The number of connections opened so far.
    pub fn connections(&self) -> usize {
        state(&self.state).connections
    }

    /// The bodies of the calls of one operation, in order. Requests that name no operation are
    /// under the empty name.
    pub fn calls(&self, operation: &str) -> Vec<Value> {
        let state = state(&self.state);
        let of_operation = state.calls.iter().filter(|(name, _)| name == operation);
        of_operation.map(|(_, body)| body.clone()).collect()
    }
}

impl Drop for AwsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        self::state(&state).connections += 1;
        // Some tests are about broken connections.
        tokio::spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some((operation, request)) = read_request(&mut stream).await? {
        let reply = self::state(&state).reply(operation, &request);
        let response = match reply {
            Reply::Answer(value) => Response::new(200, value.to_string()),
            Reply::Error(status, code, message) => Response::new(status, error(code, message)),
            Reply::Raw(status, text) => Response::new(status, text.to_owned()),
            Reply::Echo(status, place) => {
                Response::quoting(status, place, &String::from_utf8_lossy(&request))
            }
            Reply::Quote(status, place, text) => Response::quoting(status, place, &text),
            Reply::BreakOff => Response { cut_short: true, ..Response::new(200, "{".to_owned()) },
            Reply::Stall => std::future::pending().await,
            Reply::Close => return Ok(()),
        };
        stream.write_all(response.text().as_bytes()).await?;
        if response.cut_short {
            return Ok(());
        }
    }
    Ok(())
}

/// A response to send.
struct Response {
    status: u16,
    request_id: String,
    error_type: Option<String>,
    body: String,
    /// Whether the connection is closed before the announced length is sent.
    cut_short: bool,
}

impl Response {
    fn new(status: u16, body: String) -> Self {
        let request_id = "scripted-request".to_owned();
        Self { status, request_id, error_type: None, body, cut_short: false }
    }

    fn quoting(status: u16, place: Place, text: &str) -> Self {
        let plain = Self::new(status, "{}".to_owned());
        let line = text.replace(['\r', '\n'], " ");
        match place {
            Place::Message => Self { body: error("ValidationException", text), ..plain },
            Place::Code => Self { body: error(text, "no"), ..plain },
            Place::ErrorType => Self { error_type: Some(line), ..plain },
            Place::RequestId => Self { request_id: line, ..plain },
            Place::Body => Self { body: text.to_owned(), ..plain },
            Place::BodyCutShort => Self { body: text.to_owned(), cut_short: true, ..plain },
        }
    }

    fn text(&self) -> String {
        let Self { status, request_id, error_type, body, cut_short } = self;
        let error_type = error_type.iter().map(|kind| format!("x-amzn-errortype: {kind}\r\n"));
        let length = body.len() + if *cut_short { 999 } else { 0 };
        format!(
            "HTTP/1.1 {status} Scripted\r\ncontent-type: application/x-amz-json-1.1\r\n\
             x-amzn-requestid: {request_id}\r\n{}content-length: {length}\r\n\r\n{body}",
            error_type.collect::<String>()
        )
    }
}

fn state(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(code: &str, message: &str) -> String {
    json!({ "__type": code, "message": message }).to_string()
}

impl State {
    fn reply(&mut self, operation: String, request: &[u8]) -> Reply {
        let replies = self.scripts.get_mut(&operation);
        let reply = replies.and_then(|replies| match replies.len() {
            0 | 1 => replies.front().cloned(),
            _ => replies.pop_front(),
        });
        self.calls.push((operation, serde_json::from_slice(request).unwrap_or(Value::Null)));
        reply.unwrap_or(Reply::Error(400, "UnknownOperationException", "not scripted"))
    }
}

/// The operation and body of the next request; `None` at the end of the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut operation = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "x-amz-target" => operation = value.rsplit('.').next().unwrap_or("").to_owned(),
                "content-length" => length = value.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some((operation, body)))
}
