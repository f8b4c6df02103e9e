//! The rules of EventBridge, as moto keeps them, with their targets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::input_transformer::InputTransformer;
use crate::aws::{CallError, Client, EVENTS};

/// How long the rules are used without reading them again.
const FRESH: Duration = Duration::from_secs(1);
/// Pages of rules, and of targets of a rule: more than a stack may have.
const PAGES_MAX: usize = 20;

/// A rule that is enabled.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Which events it matches, as JSON text.
    pub pattern: Option<String>,
    /// When it fires by itself.
    pub schedule: Option<String>,
    /// What it invokes.
    pub targets: Vec<Target>,
}

/// What a rule invokes.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The ARN of a function or a queue.
    pub arn: String,
    /// What it gets instead of the event.
    pub input: Option<String>,
    /// What it gets of the event.
    pub input_transformer: Option<InputTransformer>,
    /// The ARN of the queue for what could not be delivered.
    pub dead_letter_queue: Option<String>,
}

/// The rules of the default event bus.
#[derive(Debug, Clone)]
pub struct Rules {
    moto: Client,
    read: Arc<Mutex<Option<Read>>>,
}

#[derive(Debug)]
struct Read {
    at: Instant,
    rules: Arc<Vec<Rule>>,
}

impl Rules {
    /// The rules of this moto.
    pub fn new(moto: Client) -> Self {
        Self { moto, read: Arc::default() }
    }

    /// The enabled rules, as they were at most a second ago.
    pub async fn enabled(&self) -> Result<Arc<Vec<Rule>>, CallError> {
        let mut read = self.read.lock().await;
        if let Some(read) = read.as_ref().filter(|read| read.at.elapsed() < FRESH) {
            return Ok(Arc::clone(&read.rules));
        }
        let rules = Arc::new(self.list().await?);
        *read = Some(Read { at: Instant::now(), rules: Arc::clone(&rules) });
        Ok(rules)
    }

    /// Whether the rule's pattern matches the event. The API's `TestEventPattern` decides.
    pub async fn matches(&self, rule: &Rule, event: &Value) -> Result<bool, CallError> {
        let Some(pattern) = &rule.pattern else {
            return Ok(false);
        };
        let body = json!({ "EventPattern": pattern, "Event": event.to_string() });
        let answer = self.moto.json(EVENTS, "TestEventPattern", &body).await?;
        answer["Result"].as_bool().ok_or(CallError::Malformed {
            operation: "TestEventPattern".to_owned(),
            expected: "Result",
        })
    }

    async fn list(&self) -> Result<Vec<Rule>, CallError> {
        let mut rules = Vec::new();
        for rule in self.pages("ListRules", json!({}), "Rules").await? {
            if rule["State"] == "DISABLED" {
                continue;
            }
            let name = text(&rule["Name"]).unwrap_or_default();
            let of_rule = json!({ "Rule": name });
            let targets = self.pages("ListTargetsByRule", of_rule, "Targets").await?;
            rules.push(Rule {
                name,
                arn: text(&rule["Arn"]).unwrap_or_default(),
                pattern: text(&rule["EventPattern"]),
                schedule: text(&rule["ScheduleExpression"]),
                targets: targets.iter().map(target).collect(),
            });
        }
        Ok(rules)
    }

    async fn pages(
        &self,
        operation: &str,
        mut body: Value,
        list: &str,
    ) -> Result<Vec<Value>, CallError> {
        let mut items = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut answer = self.moto.json(EVENTS, operation, &body).await?;
            if let Value::Array(page) = answer[list].take() {
                items.extend(page);
            }
            match text(&answer["NextToken"]) {
                Some(token) => body["NextToken"] = token.into(),
                None => break,
            }
        }
        Ok(items)
    }
}

fn target(target: &Value) -> Target {
    Target {
        arn: text(&target["Arn"]).unwrap_or_default(),
        input: text(&target["Input"]),
        input_transformer: InputTransformer::of_target(target),
        dead_letter_queue: text(&target["DeadLetterConfig"]["Arn"]),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
