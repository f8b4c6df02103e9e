//! `EventBridge`: takes events, matches them against the rules, and delivers them to the targets:
//! functions (asynchronously, see [`crate::asynchronous`]) and queues.
//!
//! On the way, events get lost, doubled, late and out of order as [`crate::faults`] wants it.
//! What became of each is told in `logs/delivery.log`, by ids and names; never what is in it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::sleep};
use uuid::Uuid;

use crate::{
    ACCOUNT,
    asynchronous::AsynchronousInvocations,
    aws::{CallError, Client, SQS, name_of_arn},
    faults::FaultPlan,
    journal::Journal,
    lambda::function_name,
    rules::{Rule, Rules, Target},
};

/// Delivers events to the targets of rules.
#[derive(Debug, Clone)]
pub struct Delivery {
    rules: Rules,
    moto: Client,
    invocations: AsynchronousInvocations,
    journal: Arc<Journal>,
    faults: Arc<Mutex<FaultPlan>>,
}

impl Delivery {
    /// Delivery by the rules of this moto.
    pub fn new(
        rules: Rules,
        moto: Client,
        invocations: AsynchronousInvocations,
        journal: Arc<Journal>,
        faults: Arc<Mutex<FaultPlan>>,
    ) -> Delivery {
        Delivery { rules, moto, invocations, journal, faults }
    }

    /// Delivers what comes, until nothing can come any more.
    pub async fn run(self, mut events: mpsc::UnboundedReceiver<Value>) {
        while let Some(event) = events.recv().await {
            let copies = {
                let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
                faults.next_event()
            };
            if copies.is_empty() {
                self.tell(&event, None, None, "lost by --drop-events");
            }
            let event = Arc::new(event);
            for delay in copies {
                let (delivery, event) = (self.clone(), Arc::clone(&event));
                tokio::spawn(async move {
                    sleep(delay).await;
                    delivery.deliver(&event).await;
                });
            }
        }
    }

    /// Gives an event to the targets of a rule, whatever the rule's pattern says.
    pub async fn deliver_by_rule(&self, rule: &Rule, event: &Value) {
        for target in &rule.targets {
            let outcome = self.deliver_to(rule, target, event).await;
            self.tell(event, Some(rule), Some(target), &outcome);
        }
    }

    async fn deliver(&self, event: &Value) {
        let rules = match self.rules.enabled().await {
            Ok(rules) => rules,
            Err(error) => {
                self.tell(event, None, None, &format!("not delivered: {error}"));
                return;
            }
        };
        for rule in rules.iter() {
            match self.rules.matches(rule, event).await {
                Ok(true) => self.deliver_by_rule(rule, event).await,
                Ok(false) => {}
                Err(error) => {
                    self.tell(event, Some(rule), None, &format!("not matched: {error}"));
                }
            }
        }
    }

    /// What became of it, for the log.
    async fn deliver_to(&self, rule: &Rule, target: &Target, event: &Value) -> String {
        let payload = match &target.input {
            Some(input) => input.clone(),
            None => event.to_string(),
        };
        let delivered = match service(&target.arn) {
            "lambda" => self.invoke(rule, target, payload.clone()).await,
            "sqs" => send_to_queue(&self.moto, &target.arn, &payload)
                .await
                .map(|()| "sent".to_owned())
                .map_err(|error| error.to_string()),
            other => Err(format!("the sandbox does not deliver to {other}")),
        };
        let problem = match delivered {
            Ok(outcome) => return outcome,
            Err(problem) => problem,
        };
        let Some(queue) = &target.dead_letter_queue else {
            return format!("not delivered: {problem}");
        };
        match send_to_queue(&self.moto, queue, &payload).await {
            Ok(()) => format!("sent to {}: {problem}", name_of_arn(queue)),
            Err(error) => format!("not delivered: {problem}; nor sent on: {error}"),
        }
    }

    async fn invoke(
        &self,
        rule: &Rule,
        target: &Target,
        payload: String,
    ) -> Result<String, String> {
        let name = function_name(&target.arn);
        let path = format!("/2015-03-31/functions/{name}/policy");
        let policy = self.moto.get("lambda", "GetPolicy", &path).await;
        let policy = policy.map_err(|error| error.to_string())?;
        let statements = policy.as_ref().map(policy_document).unwrap_or_default();
        if !allows_rule(&statements, &rule.arn) {
            return Err(format!("{name} has no permission for rule {}", rule.name));
        }
        self.invocations.submit(name, Bytes::from(payload));
        Ok("invoked".to_owned())
    }

    fn tell(&self, event: &Value, rule: Option<&Rule>, target: Option<&Target>, outcome: &str) {
        self.journal.record([
            ("event", event["id"].clone()),
            ("detail_type", event["detail-type"].clone()),
            ("status", event["detail"]["status"].clone()),
            ("command_id", event["detail"]["command-id"].clone()),
            ("rule", rule.map(|rule| rule.name.clone()).into()),
            ("target", target.map(|target| target.arn.clone()).into()),
            ("outcome", outcome.into()),
        ]);
    }
}

/// A whole event, with the envelope around its detail.
pub fn event(
    source: &str,
    detail_type: &str,
    region: &str,
    resources: &[String],
    detail: &Value,
) -> Value {
    let seconds = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    json!({
        "version": "0",
        "id": Uuid::new_v4().to_string(),
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": seconds.to_string(),
        "region": region,
        "resources": resources,
        "detail": detail,
    })
}

/// Sends a message to the queue of this ARN.
pub async fn send_to_queue(moto: &Client, arn: &str, message: &str) -> Result<(), CallError> {
    let name = json!({ "QueueName": name_of_arn(arn) });
    let queue = moto.json(SQS, "GetQueueUrl", &name).await?;
    let body = json!({ "QueueUrl": queue["QueueUrl"], "MessageBody": message });
    moto.json(SQS, "SendMessage", &body).await.map(|_| ())
}

fn service(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}

/// The statements of `GetPolicy`'s answer, whose policy is JSON in JSON.
fn policy_document(answer: &Value) -> Vec<Value> {
    let document = answer["Policy"].as_str().unwrap_or_default();
    let mut policy: Value = serde_json::from_str(document).unwrap_or_default();
    match policy["Statement"].take() {
        Value::Array(statements) => statements,
        _ => Vec::new(),
    }
}

/// Whether `EventBridge` may invoke the function on behalf of this rule.
fn allows_rule(statements: &[Value], rule_arn: &str) -> bool {
    statements.iter().any(|statement| {
        let principal = &statement["Principal"];
        let service = principal["Service"].as_str().or(principal.as_str());
        let source = statement["Condition"]
            .as_object()
            .into_iter()
            .flat_map(|condition| condition.values())
            .filter_map(Value::as_object)
            .flatten()
            .find(|(key, _)| key.eq_ignore_ascii_case("aws:SourceArn"))
            .and_then(|(_, arn)| arn.as_str());
        statement["Effect"] == "Allow"
            && statement["Action"] == "lambda:InvokeFunction"
            && service == Some("events.amazonaws.com")
            && source.is_none_or(|pattern| arn_like(pattern, rule_arn))
    })
}

/// `ArnLike`: `*` stands for any characters.
fn arn_like(pattern: &str, arn: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == arn;
    };
    let Some(rest) = arn.strip_prefix(head) else {
        return false;
    };
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.map(|at| &rest[at..]).any(|rest| arn_like(tail, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{allows_rule, arn_like};

    const RULE: &str = "arn:aws:events:us-east-1:123456789012:rule/on-end";

    fn permission(source: &str) -> Value {
        json!({
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Principal": { "Service": "events.amazonaws.com" },
            "Condition": { "ArnLike": { "AWS:SourceArn": source } },
        })
    }

    #[test]
    fn a_permission_holds_for_its_rule_only() {
        assert!(allows_rule(&[permission(RULE)], RULE));
        assert!(!allows_rule(&[permission("arn:aws:events:us-east-1:123456789012:rule/x")], RULE));
        assert!(!allows_rule(&[], RULE));
    }

    #[test]
    fn a_permission_of_another_service_does_not_hold() {
        let mut other = permission(RULE);
        other["Principal"] = json!({ "Service": "s3.amazonaws.com" });
        assert!(!allows_rule(&[other], RULE));
    }

    #[test]
    fn an_arn_pattern_stands_for_any_characters() {
        assert!(arn_like("arn:aws:events:*:rule/on-end", RULE));
        assert!(arn_like("arn:aws:events:us-east-1:123456789012:rule/*", RULE));
        assert!(arn_like("*", RULE));
        assert!(!arn_like("arn:aws:events:*:rule/on", RULE));
        assert!(!arn_like("arn:aws:s3:*", RULE));
    }
}
