//! Delivers events to the targets of the rules that match them: functions (by way of Lambda's queue,
//! [`crate::lambda::queue`]) and queues.
//!
//! On the way, events are lost, duplicated, delayed and reordered as [`crate::faults`] says.
//! Each event and each outcome is recorded, with ids and names and never with the event's content.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use sandbox_run_command::locked::Locked;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::permission::{allows_rule, policy_statements};
use super::rules::{Rule, Rules, Target};
use crate::arn::name_of_arn;
use crate::aws::Client;
use crate::error_chain::error_chain;
use crate::faults::{EventFault, FaultPlan, Switch};
use crate::lambda::code::function_name;
use crate::lambda::queue::InvocationQueue;
use crate::record::{Entry, Record, Subject};
use crate::sqs::send_to_queue;

/// Delivers events to the targets of rules.
#[derive(Debug, Clone)]
pub struct Delivery {
    rules: Rules,
    moto: Client,
    invocations: InvocationQueue,
    record: Record,
    faults: Arc<Mutex<FaultPlan>>,
}

impl Delivery {
    /// Delivery by the rules of this moto.
    pub fn new(
        rules: Rules,
        moto: Client,
        invocations: InvocationQueue,
        record: Record,
        faults: Arc<Mutex<FaultPlan>>,
    ) -> Self {
        Self { rules, moto, invocations, record, faults }
    }

    /// Delivers events until there can be no more.
    pub async fn run(self, mut events: mpsc::UnboundedReceiver<Value>) {
        while let Some(event) = events.recv().await {
            let copies = match self.fault(&event).await {
                EventFault::Copies(copies) => {
                    self.tell_event(&event, &copies, None);
                    copies
                }
                EventFault::Lost(reason) => {
                    self.tell_event(&event, &[], Some(reason));
                    continue;
                }
            };
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

    /// What happens to this event.
    async fn fault(&self, event: &Value) -> EventFault {
        let (fault, lose_next) = {
            let mut faults = self.faults.locked();
            (faults.next_event(), faults.is_on(&Switch::LoseNext))
        };
        if lose_next
            && matches!(fault, EventFault::Copies(_))
            && self.is_for_a_rule(event).await
            && self.faults.locked().take(&Switch::LoseNext)
        {
            return EventFault::Lost("lost on demand");
        }
        fault
    }

    async fn is_for_a_rule(&self, event: &Value) -> bool {
        let Ok(rules) = self.rules.enabled().await else { return false };
        for rule in rules.iter() {
            if matches!(self.rules.matches(rule, event).await, Ok(true)) {
                return true;
            }
        }
        false
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
                self.tell(event, None, None, &format!("not delivered: {}", error_chain(&error)));
                return;
            }
        };
        for rule in rules.iter() {
            match self.rules.matches(rule, event).await {
                Ok(true) => self.deliver_by_rule(rule, event).await,
                Ok(false) => {}
                Err(error) => {
                    self.tell(
                        event,
                        Some(rule),
                        None,
                        &format!("not matched: {}", error_chain(&error)),
                    );
                }
            }
        }
    }

    /// Returns the outcome, for the log.
    async fn deliver_to(&self, rule: &Rule, target: &Target, event: &Value) -> String {
        let payload = match (&target.input, &target.input_transformer) {
            (Some(input), _) => input.clone(),
            (None, Some(transformer)) => match transformer.apply(event) {
                Ok(input) => input,
                Err(problem) => return format!("not delivered: {problem}"),
            },
            (None, None) => event.to_string(),
        };
        let delivered = match service(&target.arn) {
            "lambda" => self.invoke(rule, target, event, payload.clone()).await,
            "sqs" => send_to_queue(&self.moto, &target.arn, &payload, &[])
                .await
                .map(|()| "sent".to_owned())
                .map_err(|error| Undelivered::new("SDK_CLIENT_ERROR", error_chain(&error))),
            other => Err(Undelivered::new(
                "INVALID_PARAMETER",
                format!("the sandbox does not deliver to {other}"),
            )),
        };
        let problem = match delivered {
            Ok(outcome) => return outcome,
            Err(problem) => problem,
        };
        let Some(queue) = &target.dead_letter_queue else {
            return format!("not delivered: {problem}");
        };
        let attributes = problem.attributes(rule, target);
        match send_to_queue(&self.moto, queue, &payload, &attributes).await {
            Ok(()) => format!("sent to {}: {problem}", name_of_arn(queue)),
            Err(error) => format!("not delivered: {problem}; nor sent on: {}", error_chain(&error)),
        }
    }

    async fn invoke(
        &self,
        rule: &Rule,
        target: &Target,
        event: &Value,
        payload: String,
    ) -> Result<String, Undelivered> {
        let name = function_name(&target.arn);
        let path = format!("/2015-03-31/functions/{name}");
        let get = async |operation, path: &str| {
            let answer = self.moto.get("lambda", operation, path).await;
            answer.map_err(|error| Undelivered::new("INTERNAL_ERROR", error_chain(&error)))
        };
        let policy = get("GetPolicy", &format!("{path}/policy")).await?;
        let statements = policy.as_ref().map(policy_statements).unwrap_or_default();
        if !allows_rule(&statements, &rule.arn) {
            let function = get("GetFunction", &path).await?;
            return Err(match function {
                Some(_) => Undelivered::new(
                    "NO_PERMISSIONS",
                    format!("{name} has no permission for rule {}", rule.name),
                ),
                None => Undelivered::new("NO_RESOURCE", format!("there is no function {name}")),
            });
        }
        self.invocations.submit(name, Bytes::from(payload), event_id(event));
        Ok("invoked".to_owned())
    }

    fn tell_event(&self, event: &Value, copies: &[Duration], lost: Option<&str>) {
        let milliseconds = |delay: &Duration| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.record.add(&Entry::Event {
            event: event_id(event).unwrap_or_default(),
            detail_type: text(&event["detail-type"]).unwrap_or_default(),
            status: text(&event["detail"]["status"]),
            subject: subject(event),
            copies_ms: copies.iter().map(milliseconds).collect(),
            outcome: lost.map(str::to_owned),
        });
    }

    fn tell(&self, event: &Value, rule: Option<&Rule>, target: Option<&Target>, outcome: &str) {
        self.record.add(&Entry::Delivery {
            event: event_id(event).unwrap_or_default(),
            detail_type: text(&event["detail-type"]).unwrap_or_default(),
            status: text(&event["detail"]["status"]),
            subject: subject(event),
            rule: rule.map(|rule| rule.name.clone()),
            target: target.map(|target| target.arn.clone()),
            outcome: outcome.to_owned(),
        });
    }
}

fn event_id(event: &Value) -> Option<String> {
    text(&event["id"])
}

/// What an event of Run Command or Step Functions is about.
fn subject(event: &Value) -> Subject {
    let detail = &event["detail"];
    Subject {
        command_id: text(&detail["command-id"]),
        node: text(&detail["instance-id"]),
        execution: text(&detail["executionArn"]),
        task: None,
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Why a target did not get an event.
#[derive(Debug)]
struct Undelivered {
    /// One of EventBridge's codes (EventBridge user guide, "Using dead-letter queues"). Which one it
    /// gives for what is documented by the codes' names only.
    code: &'static str,
    message: String,
}

impl Undelivered {
    fn new(code: &'static str, message: String) -> Self {
        Self { code, message }
    }

    /// The attributes of its dead letter, as the user guide lists them. There is no
    /// `EXHAUSTED_RETRY_CONDITION`, because nothing is retried: what fails here fails for good.
    fn attributes<'a>(&'a self, rule: &'a Rule, target: &'a Target) -> [(&'a str, &'a str); 5] {
        [
            ("RULE_ARN", &rule.arn),
            ("TARGET_ARN", &target.arn),
            ("ERROR_CODE", self.code),
            ("ERROR_MESSAGE", &self.message),
            ("RETRY_ATTEMPTS", "0"),
        ]
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

fn service(arn: &str) -> &str {
    arn.split(':').nth(2).unwrap_or_default()
}
