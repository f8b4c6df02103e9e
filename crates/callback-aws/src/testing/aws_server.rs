//! A loopback server that answers calls of AWS JSON 1.0 and 1.1 as a test scripts it: also with
//! what no healthy service would send.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How one call is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// With status 200 and this body.
    Answer(Value),
    /// With this status, error code and message, in the API's form.
    Error(u16, &'static str, &'static str),
    /// With this status and body, whatever they are.
    Raw(u16, &'static str),
    /// With this status, and the body of the request somewhere in it.
    Echo(u16, Place),
    /// With this status, and this text somewhere in it.
    Quote(u16, Place, String),
    /// Never.
    Stall,
    /// With the first bytes of an answer, and then the connection is closed.
    BreakOff,
    /// Not at all: the connection is closed.
    Close,
}

/// Where an answer holds a text that does not belong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the message of an error that no operation models.
    Message,
    /// In the place of an error's code.
    Code,
    /// In the header that tells an error's code.
    ErrorType,
    /// In the header that tells the request's id. Lines of the text become one.
    RequestId,
    /// As the whole body.
    Body,
    /// As a body that ends before the length that was said.
    BodyCutShort,
}

/// The server. It ends when it is dropped.
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

    /// What the SDK takes as its endpoint.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the calls of one operation, in this order; the last reply is repeated.
    pub fn script(&self, operation: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        self.state.lock().unwrap().scripts.insert(operation.to_owned(), replies);
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// The bodies of the calls of one operation, in their order. Requests that are no call of an
    /// operation are under the empty name.
    pub fn calls(&self, operation: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
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
        state.lock().unwrap().connections += 1;
        // A connection that breaks is what some tests are about.
        tokio::spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some((operation, request)) = read_request(&mut stream).await? {
        let reply = state.lock().unwrap().reply(operation, &request);
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

/// An answer as it is sent.
struct Response {
    status: u16,
    request_id: String,
    error_type: Option<String>,
    body: String,
    /// Whether the connection is closed before all of the body that was announced has come.
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

/// The operation and the body of the next request; `None` at the end of the connection.
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
