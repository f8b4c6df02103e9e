//! Whatever AWS answers, through the SDK's own parser: what the task is told keeps the limits of
//! Step Functions, requests hold ids that are ids, and errors are short and quote no token.

use callback::limits::{CAUSE_BYTES_MAX, ERROR_BYTES_MAX, OUTPUT_BYTES_MAX};
use callback::ports::{CommandListing, Stage};
pub use callback::testing::sample::COMMAND_ID;
use callback::{CommandId, Hint, InstanceId, RunCommand, error_chain, settle};
use serde_json::Value;

use crate::aws::{Aws, Request, paused};
use crate::{TOKEN, parts};

/// The longest error: fixed words, ids, and one quote.
const ERROR_CHARS_MAX: usize = 500;
/// Answers to one task: the whole report, the one without outputs, and the one without nodes.
const ANSWERS_OF_A_TASK_MAX: usize = 3;
/// Errors whose cause holds nothing that a node said.
const ERRORS_WITHOUT_NODES: [&str; 2] = ["RunCommand.TooManyNodes", "RunCommand.Unreadable"];

/// The bodies that AWS answers with.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Of `ListCommands`.
    pub commands: Vec<u8>,
    /// Of `ListCommandInvocations`.
    pub invocations: Vec<u8>,
    /// Of `GetCommandInvocation`.
    pub output: Vec<u8>,
    /// Of `SendTaskSuccess` and `SendTaskFailure`; an error when it is not empty.
    pub task_error: Vec<u8>,
}

impl Answers {
    /// Reads the four bodies from the parts of an input, in this order.
    pub fn from_bytes(input: &[u8]) -> Self {
        let mut parts = parts(input).into_iter().map(<[u8]>::to_vec);
        let mut next = || parts.next().unwrap_or_default();
        Self { commands: next(), invocations: next(), output: next(), task_error: next() }
    }
}

/// Settles a command, and lists commands, with these answers.
pub fn check(answers: &Answers) {
    let aws = Aws::default();
    aws.lay_down("ListCommands", 200, &answers.commands);
    aws.lay_down("ListCommandInvocations", 200, &answers.invocations);
    aws.lay_down("GetCommandInvocation", 200, &answers.output);
    if !answers.task_error.is_empty() {
        aws.lay_down("SendTaskSuccess", 400, &answers.task_error);
        aws.lay_down("SendTaskFailure", 400, &answers.task_error);
    }
    let clients = aws.clients();
    let id = CommandId::parse(COMMAND_ID).expect("it is a UUID");
    let runtime = paused();
    for hint in [Hint::Changed, Hint::Overdue] {
        let before = aws.requests().len();
        let settled = runtime.block_on(settle(&clients.ssm, &clients.step_functions, &id, hint));
        if let Err(error) = settled {
            check_error(&error);
        }
        check_requests(&aws.requests()[before..], answers);
    }
    let listing =
        CommandListing { document_name: None, stage: Stage::Complete, invoked_after: None };
    match runtime.block_on(clients.ssm.commands(&listing, None)) {
        Ok(page) => page.commands.iter().filter_map(|read| read.as_ref().err()).for_each(|error| {
            check_error(error);
        }),
        Err(error) => check_error(&error),
    }
}

fn check_error(error: &(dyn std::error::Error + 'static)) {
    let line = error_chain(error);
    assert!(line.chars().count() <= ERROR_CHARS_MAX, "{line}");
    for printed in [line, format!("{error:?}")] {
        assert!(!printed.contains(TOKEN), "an error quotes the token");
    }
}

fn check_requests(requests: &[Request], answers: &Answers) {
    let mut answered = 0;
    for Request { operation, body } in requests {
        match operation.as_str() {
            "SendTaskSuccess" | "SendTaskFailure" => {
                answered += 1;
                check_answer(body, answers);
            }
            _ => check_read(operation, body),
        }
    }
    assert!(answered <= ANSWERS_OF_A_TASK_MAX, "{answered} answers of one task");
}

fn check_read(operation: &str, body: &Value) {
    assert_eq!(body["CommandId"], COMMAND_ID, "{operation}");
    let id = body["InstanceId"].as_str();
    assert!(id.is_some() || operation != "GetCommandInvocation", "outputs are read by node");
    if let Some(id) = id {
        assert!(InstanceId::parse(id).is_ok(), "{id}");
        assert!(!id.contains(TOKEN), "a token is taken for a node");
    }
}

fn check_answer(body: &Value, answers: &Answers) {
    let text = |member: &str| body[member].as_str();
    let token = text("taskToken").expect("an answer goes to a token");
    assert!(holds(&answers.commands, token), "a token that was not read is answered");
    let report = match (text("output"), text("error"), text("cause")) {
        (Some(output), None, None) => {
            assert!(output.len() <= OUTPUT_BYTES_MAX, "{} bytes of output", output.len());
            output
        }
        (None, Some(error), Some(cause)) => {
            assert!(error.starts_with("RunCommand."), "{error}");
            assert!(error.len() <= ERROR_BYTES_MAX, "{} bytes of error", error.len());
            assert!(cause.len() <= CAUSE_BYTES_MAX, "{} bytes of cause", cause.len());
            cause
        }
        _ => panic!("an answer is an output, or an error and its cause"),
    };
    let report: Value = serde_json::from_str(report).expect("a report is JSON");
    let entries = report["Invocations"].as_array().expect("a report has invocations");
    let is_without_nodes = text("error").is_some_and(|name| ERRORS_WITHOUT_NODES.contains(&name));
    assert!(!is_without_nodes || entries.is_empty(), "{report}");
    for id in entries.iter().map(|entry| &entry["InstanceId"]) {
        assert!(*id != TOKEN, "a token is told as a node");
    }
}

/// Whether a token stands in the answer that should hold it. One that is written with escapes is
/// taken for found.
fn holds(commands: &[u8], token: &str) -> bool {
    let is_there = |bytes: &[u8]| commands.windows(bytes.len()).any(|window| window == bytes);
    is_there(token.as_bytes()) || commands.contains(&b'\\')
}
