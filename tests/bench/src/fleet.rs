//! What the endpoints know: commands, their nodes and their tasks.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Value, json};

/// The most that a list returns at once (SSM API, `MaxResults`).
pub const PAGE_ITEMS_MAX: usize = 50;
/// The length of a task token, as Step Functions makes them today.
const TOKEN_CHARS: usize = 700;
/// The document of all commands.
pub const DOCUMENT_NAME: &str = "SfnRunShellScript";

/// What answers calls.
pub trait Fleet: Send + Sync {
    /// The answer to a call of this operation with this body.
    fn answer(&self, operation: &str, body: &[u8]) -> Answer;
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A success with this body.
    pub fn success(body: &Value) -> Self {
        Self::rendered(Bytes::from(body.to_string()))
    }

    /// A success with this body, which was rendered before.
    pub fn rendered(body: Bytes) -> Self {
        Self { status: StatusCode::OK, body }
    }

    /// An error with this code.
    pub fn error(code: &str) -> Self {
        let body = json!({ "__type": code, "message": "as the measurement wants it" });
        Self { status: StatusCode::BAD_REQUEST, body: Bytes::from(body.to_string()) }
    }
}

/// A token of the usual length that begins with this text.
pub fn token(text: &str) -> String {
    format!("{text:A<TOKEN_CHARS$}")
}

/// What a script has printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printed {
    /// A word.
    Word,
    /// As much as a listing holds: 2,500 characters. In full: 24,000.
    Full,
}

/// Commands that have all ended on the same number of nodes. Every command id is known.
pub struct Finished {
    nodes: usize,
    failed: usize,
    printed: Printed,
    pages: Vec<Bytes>,
    full_output: Bytes,
    answered: Mutex<HashSet<String>>,
}

impl Finished {
    /// Commands that have succeeded on so many nodes, and whose scripts have printed that much.
    pub fn new(nodes: usize, printed: Printed) -> Self {
        Self::with_failed(nodes, 0, printed)
    }

    /// The same, but the scripts have failed on so many of the nodes.
    pub fn with_failed(nodes: usize, failed: usize, printed: Printed) -> Self {
        let ids: Vec<_> = (0..nodes).collect();
        let chunks: Vec<_> = ids.chunks(PAGE_ITEMS_MAX).collect();
        let page = |(number, nodes): (usize, &&[usize])| {
            let items: Vec<_> =
                nodes.iter().map(|node| invocation(*node, *node < failed, printed)).collect();
            let mut page = json!({ "CommandInvocations": items });
            if number + 1 < chunks.len() {
                page["NextToken"] = json!((number + 1).to_string());
            }
            Bytes::from(page.to_string())
        };
        let full_output = json!({
            "StandardOutputContent": text(23_990), "StandardErrorContent": "", "ResponseCode": 0,
        });
        Self {
            nodes,
            failed,
            printed,
            pages: chunks.iter().enumerate().map(page).collect(),
            full_output: Bytes::from(full_output.to_string()),
            answered: Mutex::default(),
        }
    }

    /// How many tasks have been answered.
    pub fn answered(&self) -> usize {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn command(&self, id: &str) -> Value {
        let status = if self.failed == 0 { "Success" } else { "Failed" };
        json!({
            "CommandId": id, "DocumentName": DOCUMENT_NAME,
            "Parameters": { "commands": ["echo hello"], "taskToken": [token(id)] },
            "RequestedDateTime": 1_795_341_600.5, "Status": status, "StatusDetails": status,
            "TargetCount": self.nodes, "CompletedCount": self.nodes,
            "ErrorCount": self.failed, "DeliveryTimedOutCount": 0,
        })
    }

    /// Takes an answer, if it is the first one.
    fn answer_task(&self, body: &Value) -> Answer {
        let token = body["taskToken"].as_str().unwrap_or_default().to_owned();
        if self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(token) {
            Answer::success(&json!({}))
        } else {
            Answer::error("TaskTimedOut")
        }
    }
}

impl Fleet for Finished {
    fn answer(&self, operation: &str, body: &[u8]) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match operation {
            "ListCommands" => {
                let id = body["CommandId"].as_str().unwrap_or_default();
                Answer::success(&json!({ "Commands": [self.command(id)] }))
            }
            "ListCommandInvocations" if body["InstanceId"].is_string() => {
                let id = body["InstanceId"].as_str().unwrap_or_default();
                let node = usize::from_str_radix(id.trim_start_matches("i-"), 16).unwrap_or(0);
                let item = invocation(node, node < self.failed, self.printed);
                Answer::success(&json!({ "CommandInvocations": [item] }))
            }
            "ListCommandInvocations" => {
                let page = body["NextToken"].as_str().and_then(|token| token.parse().ok());
                match self.pages.get(page.unwrap_or(0)) {
                    Some(page) => Answer::rendered(page.clone()),
                    None => Answer::error("InvalidNextToken"),
                }
            }
            "GetCommandInvocation" => Answer::rendered(self.full_output.clone()),
            "SendTaskSuccess" | "SendTaskFailure" => self.answer_task(&body),
            _ => Answer::error("UnknownOperationException"),
        }
    }
}

/// A fleet whose operations are throttled: a bucket of tokens each.
pub struct Throttled<F> {
    fleet: F,
    rate_per_s: fn(&str) -> Option<f64>,
    buckets: Mutex<HashMap<String, (f64, Instant)>>,
    refused_calls: AtomicUsize,
}

impl<F> Throttled<F> {
    /// Allows so many calls of an operation per second, and as many at once; without a rate, all.
    pub fn new(fleet: F, rate_per_s: fn(&str) -> Option<f64>) -> Self {
        Self { fleet, rate_per_s, buckets: Mutex::default(), refused_calls: AtomicUsize::new(0) }
    }

    /// How many calls were throttled.
    pub fn throttled(&self) -> usize {
        self.refused_calls.load(Ordering::Relaxed)
    }

    /// The fleet.
    pub fn fleet(&self) -> &F {
        &self.fleet
    }

    fn admits(&self, operation: &str) -> bool {
        let Some(rate_per_s) = (self.rate_per_s)(operation) else { return true };
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, filled) = buckets.entry(operation.to_owned()).or_insert((rate_per_s, now));
        let refill = now.duration_since(*filled).as_secs_f64() * rate_per_s;
        *tokens = (*tokens + refill).min(rate_per_s);
        *filled = now;
        let admits = *tokens >= 1.0;
        *tokens -= f64::from(u8::from(admits));
        admits
    }
}

impl<F: Fleet> Fleet for Throttled<F> {
    fn answer(&self, operation: &str, body: &[u8]) -> Answer {
        if self.admits(operation) {
            self.fleet.answer(operation, body)
        } else {
            self.refused_calls.fetch_add(1, Ordering::Relaxed);
            Answer::error("ThrottlingException")
        }
    }
}

fn invocation(node: usize, failed: bool, printed: Printed) -> Value {
    let (status, code) = if failed { ("Failed", 1) } else { ("Success", 0) };
    let output = match printed {
        Printed::Word => "hello\n".to_owned(),
        // The agent's own mark of a cut output.
        Printed::Full => text(2_470) + "\n---Output truncated---",
    };
    json!({
        "CommandId": "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00", "InstanceId": format!("i-{node:017x}"),
        "InstanceName": "", "Comment": "", "DocumentName": DOCUMENT_NAME, "DocumentVersion": "$DEFAULT",
        "RequestedDateTime": 1_795_341_600.5, "Status": status, "StatusDetails": status,
        "StandardOutputUrl": "", "StandardErrorUrl": "", "ServiceRole": "",
        "CommandPlugins": [{
            "Name": "runShellScript", "Status": status, "StatusDetails": status,
            "ResponseCode": code, "Output": output,
            "ResponseStartDateTime": 1_795_341_601.5, "ResponseFinishDateTime": 1_795_341_602.25,
            "StandardOutputUrl": "", "StandardErrorUrl": "",
            "OutputS3Region": "us-east-1", "OutputS3BucketName": "", "OutputS3KeyPrefix": "",
        }],
    })
}

/// Lines of text of so many characters, as scripts print them.
fn text(chars: usize) -> String {
    "Nov 22 10:00:00 node systemd[1]: \"backup.service\" ended: ok\n"
        .chars()
        .cycle()
        .take(chars)
        .collect()
}
