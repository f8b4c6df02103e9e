//! Events, the relay that handles them, and the queue of those that failed.

use std::fs;

use serde_json::{Value, json};

use crate::place::{ACCOUNT, REGION};
use crate::sandbox::Sandbox;
use crate::waiting::eventually;

const RELAY: &str = "run-command-relay-relay";
/// The function that sweeps.
const SWEEP: &str = "run-command-relay-sweep";

/// What an invocation of a function returned.
#[derive(Debug, Clone, PartialEq)]
pub struct Invoked {
    /// Whether the function failed.
    pub failed: bool,
    /// The response, or the error with `errorType` and `errorMessage`.
    pub payload: Value,
}

impl Invoked {
    /// The relay's word for what became of the command.
    pub fn outcome(&self) -> &str {
        let word = if self.failed { &self.payload["errorType"] } else { &self.payload["Outcome"] };
        word.as_str().unwrap_or_else(|| panic!("expected an outcome, got {self:?}"))
    }
}

impl Sandbox {
    /// Puts events on the bus, where the rules of the stack meet them.
    pub async fn put_events(&self, events: &[Value]) {
        let entries: Vec<_> = events
            .iter()
            .map(|event| {
                json!({
                    "Source": event["source"],
                    "DetailType": event["detail-type"],
                    "Resources": event["resources"],
                    "Detail": event["detail"].to_string(),
                })
            })
            .collect();
        let answer =
            self.call("events", "AWSEvents.PutEvents", &json!({ "Entries": entries })).await;
        assert_eq!(answer["FailedEntryCount"], 0, "{answer}");
    }

    /// Whether the rule of the stack takes this event.
    pub async fn rule_takes(&self, event: &Value) -> bool {
        let rules = self.call("events", "AWSEvents.ListRules", &json!({})).await;
        let rules = rules["Rules"].as_array().expect("a list of rules");
        let is_ours = |rule: &&Value| {
            rule["Name"].as_str().is_some_and(|name| name.contains("CommandEndedRule"))
        };
        let rule = rules.iter().find(is_ours).expect("the rule of the stack");
        let body = json!({ "EventPattern": rule["EventPattern"], "Event": event.to_string() });
        let answer = self.call("events", "AWSEvents.TestEventPattern", &body).await;
        answer["Result"].as_bool().expect("a yes or a no")
    }

    /// Invokes the relay with an event and waits for what it returns.
    pub async fn invoke_relay(&self, event: &Value) -> Invoked {
        let answer = self.invoke(RELAY, event).await;
        let failed = answer.headers().contains_key("x-amz-function-error");
        let status = answer.status();
        let text = answer.text().await.expect("the whole answer of Lambda");
        assert!(status.is_success(), "Invoke: {status}: {text}");
        let payload = serde_json::from_str(&text).expect("a payload is JSON");
        Invoked { failed, payload }
    }

    /// Invokes a function as soon as it has a free process, and waits for its answer.
    pub async fn invoke(&self, function: &str, event: &Value) -> reqwest::Response {
        let url = format!(
            "{}/2015-03-31/functions/arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}/invocations",
            self.endpoint_url()
        );
        eventually(&format!("a free process of {function}"), async || {
            let request = self.http.post(&url).body(event.to_string());
            let request = request.header("authorization", self.authorization("lambda"));
            let answer = request.send().await.expect("an answer of Lambda");
            (answer.status() != reqwest::StatusCode::TOO_MANY_REQUESTS).then_some(answer)
        })
        .await
    }

    /// The variables that the template gives to the relay.
    pub async fn relay_variables(&self) -> Value {
        let path = format!("2015-03-31/functions/{RELAY}/configuration");
        let request = self.http.get(format!("{}/{path}", self.endpoint_url()));
        let request = request.header("authorization", self.authorization("lambda"));
        let answer = request.send().await.expect("an answer of Lambda");
        let mut configuration: Value = answer.json().await.expect("the relay's configuration");
        configuration["Environment"]["Variables"].take()
    }

    /// Waits until an invocation of which this is true has come to the on-failure queue.
    pub async fn failed_event(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{what} in the on-failure queue"), async || {
            self.failed_events().await.into_iter().find(|message| is_it(message))
        })
        .await
    }

    /// The messages that have come to the on-failure queue so far.
    pub async fn failed_events(&self) -> Vec<Value> {
        // A message is received once, by whichever test comes first: so all keep all.
        let mut received = self.running.failed_events.lock().await;
        let body = json!({
            "QueueUrl": self.ready().stack.outputs["OnFailureQueueUrl"],
            "MaxNumberOfMessages": 10,
            "VisibilityTimeout": 43_200,
        });
        let answer = self.call("sqs", "AmazonSQS.ReceiveMessage", &body).await;
        let messages = answer["Messages"].as_array().into_iter().flatten();
        received.extend(messages.map(|message| {
            let text = message["Body"].as_str().expect("a message has a body");
            serde_json::from_str(text).expect("a message is JSON")
        }));
        received.clone()
    }

    /// The lines that the relay has logged so far: logs and metrics.
    pub fn relay_log(&self) -> Vec<Value> {
        self.log(RELAY)
    }

    /// The lines that the sweep has logged so far: logs and metrics.
    pub fn sweep_log(&self) -> Vec<Value> {
        self.log(SWEEP)
    }

    /// What the relay has logged of what became of a command: a line for each invocation.
    pub fn relay_lines(&self, command_id: &str) -> Vec<Value> {
        let mut lines = self.relay_log();
        lines.retain(|line| {
            line["command_id"] == command_id
                && (line["message"] == "settled" || line["message"] == "not settled")
        });
        lines
    }

    /// What became of a command, invocation by invocation: words of outcomes and of errors.
    pub fn relay_outcomes(&self, command_id: &str) -> Vec<String> {
        let lines = self.relay_lines(command_id);
        lines.iter().map(|line| line["outcome"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until so many invocations of the relay for this command have ended.
    pub async fn relay_outcomes_of(&self, command_id: &str, count: usize) -> Vec<String> {
        let what = format!("{count} invocations of the relay for command {command_id}");
        eventually(&what, async || {
            let outcomes = self.relay_outcomes(command_id);
            (outcomes.len() >= count).then_some(outcomes)
        })
        .await
    }

    /// What was delivered to the relay of the events of this command: a line of the log each.
    pub fn deliveries(&self, command_id: &str) -> Vec<Value> {
        let mut lines = self.log("delivery");
        lines.retain(|line| line["kind"] == "delivery" && line["command_id"] == command_id);
        lines
    }

    /// The attempts of asynchronous invocations that have ended: a line of the log each.
    pub fn attempts(&self) -> Vec<Value> {
        let mut lines = self.log("delivery");
        lines.retain(|line| line["kind"] == "invocation" && line["attempt"].is_u64());
        lines
    }

    /// The complete lines of a log, such as `calls` or the name of a function.
    pub fn log(&self, name: &str) -> Vec<Value> {
        let path = self.directory().join("logs").join(format!("{name}.log"));
        // A function that was never invoked has no log.
        let text = fs::read_to_string(path).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let parsed = complete.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"))
        });
        parsed.collect()
    }
}
