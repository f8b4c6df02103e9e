//! A task token never appears in what a function writes or returns, however the call of AWS, the
//! invocation or the function itself fails. Each case is a process of a function under the Runtime
//! API, at TRACE, against endpoints that answer as a test scripts it.

mod function;

use std::time::Duration;

use callback_aws::testing::aws_server::{Place, Reply};
use end_to_end::secret::Secret;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use function::{Credentials, Heard, Setting};

const COMMAND_ID: &str = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";
const NODE: &str = "i-1234567890abcdef0";
/// Enough for all attempts of a call.
const TIMEOUT: Duration = Duration::from_mins(1);
/// A timeout that the function cannot keep when it gets no answer.
const SHORT_TIMEOUT: Duration = Duration::from_secs(4);
/// How old the command is, in seconds.
const AGE_S: i64 = 180;
/// How many processes run at the same time. They mostly wait for the next attempt of a call.
const PROCESSES_MAX: usize = 40;
const PLACES: [Place; 6] = [
    Place::Message,
    Place::Code,
    Place::ErrorType,
    Place::RequestId,
    Place::Body,
    Place::BodyCutShort,
];

/// One way to fail, and the word that the invocation ends with.
struct Case {
    name: String,
    setting: Setting,
    /// Operations that the case is about, and so must have been called.
    operations: Vec<&'static str>,
    ends_with: &'static str,
}

impl Case {
    fn relay(name: &str, ends_with: &'static str, token: &str) -> Self {
        let setting = Setting::new("relay", &command_event(token))
            .reply("ListCommands", Reply::Answer(commands(token, "Success")))
            .reply("ListCommandInvocations", Reply::Answer(invocations("out")))
            .reply("GetCommandInvocation", Reply::Answer(json!({})))
            .reply("SendTaskSuccess", Reply::Answer(json!({})))
            .reply("SendTaskFailure", Reply::Answer(json!({})));
        Self { name: format!("relay: {name}"), setting, operations: Vec::new(), ends_with }
    }

    fn sweep(name: &str, token: &str) -> Self {
        let event = json!({
            "source": "aws.events", "detail-type": "Scheduled Event",
            "time": Timestamp::now().to_string(), "detail": {},
        });
        let setting = Setting::new("sweep", &event.to_string())
            .variable("DOCUMENT_NAMES", "SfnRunShellScript")
            .timeout(Duration::from_secs(12))
            .reply("ListCommands", Reply::Answer(commands(token, "InProgress")))
            .reply("ListCommandInvocations", Reply::Answer(invocations("out")))
            .reply("SendTaskHeartbeat", Reply::Answer(json!({})))
            .reply("SendTaskSuccess", Reply::Answer(json!({})))
            .reply("CancelCommand", Reply::Answer(json!({})));
        Self { name: format!("sweep: {name}"), setting, operations: Vec::new(), ends_with: "Swept" }
    }

    /// The relay with a fault of `tests/leaky-relay`.
    fn leaky(fault: &str, ends_with: &'static str, token: &str) -> Self {
        let case = Self::relay(&format!("leaky, {fault}"), ends_with, token);
        case.with(|setting| setting.program("leaky-relay").variable("LEAK", fault))
    }

    fn reply(mut self, operation: &'static str, reply: Reply) -> Self {
        self.setting = self.setting.reply(operation, reply);
        self.operations.push(operation);
        self
    }

    fn with(mut self, change: impl FnOnce(Setting) -> Setting) -> Self {
        self.setting = change(self.setting);
        self
    }
}

/// The answer of `ListCommands`: one command, which holds the token.
fn commands(token: &str, status: &str) -> Value {
    json!({ "Commands": [{
        "CommandId": COMMAND_ID,
        "DocumentName": "SfnRunShellScript",
        "Parameters": { "commands": ["id"], "taskToken": [token] },
        "RequestedDateTime": Timestamp::now().as_second() - AGE_S,
        "Status": status, "StatusDetails": status,
        "TargetCount": 1, "CompletedCount": 1,
    }] })
}

fn invocations(output: &str) -> Value {
    json!({ "CommandInvocations": [{
        "CommandId": COMMAND_ID, "InstanceId": NODE,
        "Status": "Success", "StatusDetails": "Success",
        "CommandPlugins": [{
            "Name": "runShellScript", "Status": "Success", "StatusDetails": "Success",
            "ResponseCode": 0, "Output": output,
        }],
    }] })
}

/// The event that a command with this token has ended.
fn command_event(token: &str) -> String {
    json!({
        "source": "aws.ssm", "detail-type": "EC2 Command Status-change Notification",
        "time": "2026-11-22T10:00:00Z", "resources": [],
        "detail": {
            "command-id": COMMAND_ID, "status": "Success",
            "parameters": json!({ "taskToken": [token] }).to_string(),
        },
    })
    .to_string()
}

/// The answer of a healthy endpoint with the field at this pointer replaced by the token.
fn with_token_at(pointer: &str, mut answer: Value, token: &str) -> Reply {
    *answer.pointer_mut(pointer).expect("a field of the answer") = json!(token);
    Reply::Answer(answer)
}

/// Step Functions refuses, breaks, or echoes the request, which holds the token.
fn answers_of_step_functions(token: &str) -> Vec<Case> {
    let relay = |name: &str, ends_with, reply| {
        Case::relay(name, ends_with, token).reply("SendTaskSuccess", reply)
    };
    let mut cases = vec![
        relay("no answer in time", "AnswerFailed", Reply::Stall),
        relay("connection closed", "AnswerFailed", Reply::Close),
        relay("answered with 200 and no JSON", "Succeeded", Reply::Echo(200, Place::Body)),
        relay("200, cut short", "AnswerFailed", Reply::Echo(200, Place::BodyCutShort)),
    ];
    for place in PLACES {
        let name = format!("the request echoed in {place:?}, 400");
        cases.push(relay(&name, "AnswerFailed", Reply::Echo(400, place)));
        let name = format!("the token as {place:?}, 500");
        cases.push(relay(&name, "AnswerFailed", Reply::Echo(500, place)));
    }
    for place in [Place::Message, Place::Code, Place::ErrorType, Place::Body] {
        let name = format!("the token as {place:?}");
        cases.push(relay(&name, "AnswerFailed", Reply::Quote(400, place, token.to_owned())));
    }
    for (code, ends_with) in [
        ("TaskDoesNotExist", "AlreadyClosed"),
        ("TaskTimedOut", "AlreadyClosed"),
        ("InvalidToken", "TokenRejected"),
        ("InvalidOutput", "Failed"),
        ("AccessDeniedException", "AnswerFailed"),
        ("ThrottlingException", "AnswerFailed"),
    ] {
        let refusal = json!({ "__type": code, "message": format!("{code}: '{token}'") });
        let reply = Reply::Quote(400, Place::Body, refusal.to_string());
        cases.push(relay(code, ends_with, reply));
    }
    let failed = commands(token, "Failed");
    cases.push(
        Case::relay("a failure is echoed", "AnswerFailed", token)
            .reply("ListCommands", Reply::Answer(failed))
            .reply("SendTaskFailure", Reply::Echo(400, Place::Message)),
    );
    cases
}

/// Systems Manager tells the command, and so the token, where it does not belong.
fn answers_of_systems_manager(token: &str) -> Vec<Case> {
    let command = commands(token, "Success").to_string();
    let mut cases = Vec::new();
    for (operation, ends_with) in
        [("ListCommands", "ReadCommandFailed"), ("ListCommandInvocations", "ReadInvocationsFailed")]
    {
        let relay = |name: String, reply| {
            Case::relay(&format!("{operation}: {name}"), ends_with, token).reply(operation, reply)
        };
        cases.push(relay("no answer in time".to_owned(), Reply::Stall));
        let cut = Reply::Quote(200, Place::BodyCutShort, command.clone());
        cases.push(relay("200, cut short".to_owned(), cut));
        let half = command[..command.len() - 3].to_owned();
        cases.push(relay("200, half of it".to_owned(), Reply::Quote(200, Place::Body, half)));
        let text = json!(token).to_string();
        cases.push(relay("200, a text".to_owned(), Reply::Quote(200, Place::Body, text)));
        for place in PLACES {
            let reply = Reply::Quote(400, place, command.clone());
            let case = relay(format!("the command in {place:?}"), reply);
            // A request that is said to be wrong is not repeated: the task is told what is known.
            let is_final = operation == "ListCommandInvocations" && place == Place::Message;
            cases.push(if is_final { Case { ends_with: "Failed", ..case } } else { case });
        }
    }
    // The whole output is refused, and the answer told without it.
    let reply = Reply::Quote(400, Place::Message, command);
    let cut = invocations(&format!("{}\n---Output truncated---", "x".repeat(2400)));
    cases.push(
        Case::relay("an output is refused", "Succeeded", token)
            .reply("ListCommandInvocations", Reply::Answer(cut))
            .reply("GetCommandInvocation", reply),
    );
    for (pointer, ends_with) in [
        ("/Commands/0/CommandId", "ReadCommandFailed"),
        ("/Commands/0/RequestedDateTime", "ReadCommandFailed"),
        ("/Commands/0/Parameters", "ReadCommandFailed"),
        ("/Commands/0/Parameters/taskToken", "ReadCommandFailed"),
        ("/Commands/0/TargetCount", "ReadCommandFailed"),
        ("/Commands/0/StatusDetails", "Failed"),
    ] {
        let reply = with_token_at(pointer, commands(token, "Success"), token);
        cases.push(
            Case::relay(&format!("{pointer} is the token"), ends_with, token)
                .reply("ListCommands", reply),
        );
    }
    let running = with_token_at("/Commands/0/StatusDetails", commands(token, "InProgress"), token);
    cases.push(
        Case::relay("a running command in a strange state", "CommandNotEnded", token)
            .reply("ListCommands", running),
    );
    // A node's id has up to 128 characters.
    let of_node = if token.len() > 128 { "Failed" } else { "Succeeded" };
    for (pointer, ends_with) in [
        ("/CommandInvocations/0/InstanceId", of_node),
        ("/CommandInvocations/0/CommandPlugins", "ReadInvocationsFailed"),
        ("/CommandInvocations/0/CommandPlugins/0/Name", "Succeeded"),
        ("/CommandInvocations/0/StatusDetails", "Failed"),
    ] {
        let reply = with_token_at(pointer, invocations("out"), token);
        let name = format!("{pointer} is the token");
        cases.push(Case::relay(&name, ends_with, token).reply("ListCommandInvocations", reply));
    }
    for tokens in [json!([token, token]), json!([token.repeat(100)])] {
        let mut answer = commands(token, "Success");
        answer["Commands"][0]["Parameters"]["taskToken"] = tokens;
        cases.push(
            Case::relay("no token that a task can have", "TokenRejected", token)
                .reply("ListCommands", Reply::Answer(answer)),
        );
    }
    cases
}

/// What a sweep meets.
fn answers_to_a_sweep(token: &str) -> Vec<Case> {
    let sweep = |name: String, operation, reply| Case::sweep(&name, token).reply(operation, reply);
    let mut cases = vec![
        Case::sweep("all is well", token),
        sweep("no answer in time".to_owned(), "SendTaskHeartbeat", Reply::Stall),
    ];
    for place in PLACES {
        for status in [400, 500] {
            let name = format!("a heartbeat echoed in {place:?}, {status}");
            cases.push(sweep(name, "SendTaskHeartbeat", Reply::Echo(status, place)));
        }
        let text = commands(token, "InProgress").to_string();
        let reply = Reply::Quote(400, place, text.clone());
        let case = sweep(format!("the command in {place:?}"), "ListCommands", reply);
        cases.push(Case { ends_with: "ListCommandsFailed", ..case });
        let closed = Reply::Error(400, "TaskTimedOut", "closed");
        let name = format!("a cancel answered with the command in {place:?}");
        cases.push(
            sweep(name, "SendTaskHeartbeat", closed)
                .reply("CancelCommand", Reply::Quote(400, place, text)),
        );
        let name = format!("a lost event, whose answer is echoed in {place:?}");
        cases.push(sweep(name, "SendTaskSuccess", Reply::Echo(400, place)).with(|setting| {
            // The second sweep settles what the first one saw among the completed commands.
            let none = Reply::Answer(json!({ "Commands": [] }));
            let ended = Reply::Answer(commands(token, "Success"));
            let lists = vec![none.clone(), ended.clone(), ended.clone(), none, ended];
            setting.replies("ListCommands", lists).invocations(2)
        }));
    }
    for code in ["TaskDoesNotExist", "InvalidToken"] {
        let refusal = json!({ "__type": code, "message": format!("{code}: '{token}'") });
        let reply = Reply::Quote(400, Place::Body, refusal.to_string());
        cases.push(sweep(code.to_owned(), "SendTaskHeartbeat", reply));
    }
    for pointer in
        ["/Commands/0/CommandId", "/Commands/0/StatusDetails", "/Commands/0/Parameters/taskToken"]
    {
        let reply = with_token_at(pointer, commands(token, "InProgress"), token);
        let case = sweep(format!("{pointer} is the token"), "ListCommands", reply);
        // Where a list belongs, a text makes the whole page unreadable.
        let is_read = !pointer.ends_with("taskToken");
        cases.push(if is_read { case } else { Case { ends_with: "ListCommandsFailed", ..case } });
    }
    cases
}

/// Events that hold the token where it does not belong, and are refused.
fn events(token: &str) -> Vec<Case> {
    let odd = |change: fn(&mut Value, &str)| {
        let mut event: Value = serde_json::from_str(&command_event(token)).expect("an event");
        change(&mut event, token);
        event.to_string()
    };
    let refused = [
        token.to_owned(),
        format!("{{\"taskToken\":\"{token}"),
        json!(token).to_string(),
        json!([{ "taskToken": token }]).to_string(),
        odd(|event, token| event["detail"]["command-id"] = json!(token)),
        odd(|event, token| event["detail"]["command-id"] = json!({ token: token })),
        odd(|event, token| event["detail"] = json!(token)),
        odd(|event, token| event["time"] = json!(token)),
        odd(|event, token| event["resources"] = json!({ token: token })),
        odd(|event, token| event["detail-type"] = json!({ token: token })),
    ];
    let of_function = |event: &String, function: &'static str| {
        let is_json = serde_json::from_str::<Value>(event).is_ok();
        // What is no JSON at all is refused by the Lambda runtime.
        let ends_with = if is_json { "InvalidEvent" } else { "DeserializeError" };
        let case = match function {
            "relay" => Case::relay("an odd event", ends_with, token),
            _ => Case { ends_with, ..Case::sweep("an odd event", token) },
        };
        case.with(|setting| setting.event(event))
    };
    let to_relay = refused.iter().map(|event| of_function(event, "relay"));
    // A sweep reads nothing of an event's detail.
    let to_sweep = refused[..4].iter().map(|event| of_function(event, "sweep"));
    to_relay.chain(to_sweep).collect()
}

/// The invocation or the process ends before its time.
fn broken_functions(token: &str) -> Vec<Case> {
    let timed_out = |operation| {
        Case::relay("times out", "Sandbox.Timedout", token)
            .reply(operation, Reply::Stall)
            .with(|setting| setting.timeout(SHORT_TIMEOUT))
    };
    let panicked = |fault| Case::leaky(fault, "Panicked", token);
    vec![
        timed_out("ListCommands"),
        timed_out("SendTaskSuccess"),
        panicked("message"),
        panicked("slice"),
        panicked("result"),
        Case::relay("bad variables", "Runtime.ExitError", token)
            .with(|setting| setting.variable("LOG_LEVEL", "loud")),
        Case::relay("no region", "ReadCommandFailed", token)
            .with(|setting| setting.variable("AWS_REGION", "")),
        Case::relay("no endpoint", "ReadCommandFailed", token)
            .with(|setting| setting.variable("AWS_ENDPOINT_URL", "no url")),
    ]
}

/// Tokens as Step Functions makes them (two lengths), and a short one as of an emulator.
fn tokens() -> [String; 3] {
    let letters = "AQCEAAAAKgAAAAMAAAAAAAAAAeT7k/3vN+q0ZrLm9XyW";
    [
        format!("{}{}", letters.repeat(5), "nDq/2Vw+9JkLx/8Qe=="),
        format!("{}{}", letters.repeat(16), "+bT/5Rz/1Hc+3Mf7s="),
        "emulated-41d3-4b86-9e2f-c07d18a6b394".to_owned(),
    ]
}

/// What is wrong with a case, if anything.
async fn problem(case: Case, token: &str) -> Option<String> {
    let credentials = Credentials::random();
    let heard = case.setting.run(&credentials).await;
    let shown = [token, &credentials.secret_access_key, &credentials.session_token]
        .into_iter()
        .filter(|secret| heard.shows(&Secret::new(secret)))
        .count();
    let as_meant = heard.ended_with() == case.ends_with
        && case.operations.iter().all(|operation| !heard.calls(operation).is_empty());
    (shown > 0 || !as_meant).then(|| {
        let Heard { log, payload, .. } = heard;
        let operations = case.operations.join(" and ");
        format!(
            "{}: shows {shown} secrets, ends with {payload}, must call {operations}\n{log}",
            case.name
        )
    })
}

async fn check(cases: impl Fn(&str) -> Vec<Case>) {
    let tokens = tokens();
    let cases =
        tokens.iter().flat_map(|token| cases(token).into_iter().map(move |case| (case, token)));
    let problems: Vec<_> = stream::iter(cases)
        .map(|(case, token)| problem(case, token))
        .buffer_unordered(PROCESSES_MAX)
        .filter_map(async |problem| problem)
        .collect()
        .await;
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}

#[tokio::test]
async fn no_answer_of_step_functions_makes_the_relay_show_a_token() {
    check(answers_of_step_functions).await;
}

#[tokio::test]
async fn no_answer_of_systems_manager_makes_the_relay_show_a_token() {
    check(answers_of_systems_manager).await;
}

#[tokio::test]
async fn no_answer_makes_the_sweep_show_a_token() {
    check(answers_to_a_sweep).await;
}

#[tokio::test]
async fn no_event_is_shown() {
    check(events).await;
}

#[tokio::test]
async fn no_function_that_breaks_shows_a_token() {
    check(broken_functions).await;
}

/// The same cases without what hides tokens: each shows it, and so would be seen.
#[tokio::test]
async fn a_token_that_is_shown_is_seen() {
    for token in tokens() {
        let secret = Secret::new(&token);
        let unguarded = Case::leaky("unguarded", "", &token).setting;
        let heard = unguarded.run(&Credentials::random()).await;
        assert!(secret.is_in(&heard.log), "a panic's message on standard error:\n{}", heard.log);
        assert!(secret.is_in(&heard.payload.to_string()), "what is returned: {}", heard.payload);

        let credentials = Credentials::random();
        let unfiltered = Case::leaky("unfiltered", "", &token).setting;
        let heard = unfiltered.run(&credentials).await;
        assert!(secret.is_in(&heard.log), "the logs of the SDK:\n{}", heard.log);
        assert!(!secret.is_in(&heard.payload.to_string()), "{}", heard.payload);
        let event = Case::leaky("unfiltered", "", &token);
        let event = event.with(|setting| setting.event(&command_event(&token)));
        // Only the runtime has seen this event's token: the command is unknown.
        let event = event.reply("ListCommands", Reply::Answer(json!({})));
        let heard = event.setting.run(&credentials).await;
        assert!(secret.is_in(&heard.log), "the logs of the runtime:\n{}", heard.log);
    }
}

#[tokio::test]
async fn an_echo_holds_what_must_not_be_seen() {
    for token in tokens() {
        let heard = Case::relay("echo", "AnswerFailed", &token)
            .reply("SendTaskSuccess", Reply::Echo(400, Place::Message))
            .setting
            .run(&Credentials::random())
            .await;
        assert_eq!(heard.calls("SendTaskSuccess").len(), 1);
        assert_eq!(heard.calls("SendTaskSuccess")[0]["taskToken"], token.as_str());
    }
}

/// What is withheld of a panic is its message. Its place, and a message that is a text of the
/// program, are told.
#[tokio::test]
async fn a_panic_is_told_with_its_place() {
    let token = &tokens()[0];
    let heard = Case::leaky("literal", "", token).setting.run(&Credentials::random()).await;
    let panic = heard.lines().find(|line| line["message"] == "panicked").expect("it is logged");
    assert!(panic["place"].as_str().is_some_and(|place| place.contains("main.rs:")), "{panic}");
    assert_eq!(panic["said"], "no task waits");
    assert_eq!(heard.payload["errorType"], "Panicked");
}
