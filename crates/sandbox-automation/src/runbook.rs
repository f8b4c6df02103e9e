//! Runbooks: Automation documents that were read and found well formed.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox_run_command::api::ApiError;
use sandbox_run_command::documents::{Document, Given, Parameter, Values, as_text, bind};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::account::Service;

const SCHEMA_VERSION: &str = "0.3";

/// An Automation document.
#[derive(Debug)]
pub(crate) struct Runbook {
    pub(crate) name: String,
    /// An ARN, or a parameter that holds one.
    pub(crate) assume_role: Option<String>,
    parameters: BTreeMap<String, Parameter>,
    /// At least one.
    pub(crate) steps: Vec<Step>,
    /// The outputs of the execution: `step.Name` each.
    pub(crate) outputs: Vec<String>,
}

/// The content of a document, as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    assume_role: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    main_steps: Vec<Step>,
    #[serde(default)]
    outputs: Vec<String>,
}

/// One step.
#[derive(Debug, Deserialize)]
#[serde(from = "Properties")]
pub(crate) struct Step {
    pub(crate) properties: Properties,
    pub(crate) action: Action,
}

/// What every kind of step has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Properties {
    pub(crate) name: String,
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) inputs: Map<String, Value>,
    #[serde(default)]
    pub(crate) outputs: Vec<Output>,
    #[serde(default)]
    pub(crate) on_failure: OnFailure,
    #[serde(default)]
    pub(crate) on_cancel: OnCancel,
    pub(crate) next_step: Option<String>,
    #[serde(default, deserialize_with = "scalar")]
    pub(crate) is_end: bool,
    #[serde(default = "default_is_critical", deserialize_with = "scalar")]
    pub(crate) is_critical: bool,
    #[serde(default = "default_max_attempts", deserialize_with = "scalar")]
    pub(crate) max_attempts: u32,
    #[serde(default, deserialize_with = "seconds")]
    pub(crate) timeout_seconds: Option<Duration>,
}

/// What happens after a step that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum OnFailure {
    #[default]
    Abort,
    Continue,
    Step(String),
}

/// What happens when the execution is cancelled while a step runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum OnCancel {
    #[default]
    Abort,
    Step(String),
}

/// A part of an answer that later steps see as `{{ step.Name }}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) selector: String,
    pub(crate) r#type: String,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Action {
    ExecuteAwsApi {
        service: Service,
        operation: String,
    },
    Branch(Branch),
    Sleep(Duration),
    /// What this Automation does not have, in words.
    Unsupported(String),
}

/// The inputs of `aws:branch`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Branch {
    pub(crate) choices: Vec<Choice>,
    pub(crate) default: Option<String>,
}

/// One choice of `aws:branch`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Choice {
    pub(crate) next_step: String,
    pub(crate) variable: Value,
    pub(crate) string_equals: String,
}

impl Runbook {
    /// Reads a document. The error says what is wrong with it.
    pub(crate) fn parse(document: &Document) -> Result<Self, String> {
        let Document { name, document_type, content } = document;
        if document_type != "Automation" {
            let reason =
                format!("expected an Automation document, got one of type {document_type}");
            return Err(reason);
        }
        let version = content["schemaVersion"].as_str().unwrap_or("none");
        if version != SCHEMA_VERSION {
            return Err(format!("schemaVersion: expected {SCHEMA_VERSION}, got {version}"));
        }
        let Content { assume_role, parameters, main_steps: steps, outputs } = document.read()?;
        if steps.is_empty() {
            return Err("mainSteps: expected at least one step".to_owned());
        }
        let runbook = Self { name: name.clone(), assume_role, parameters, steps, outputs };
        runbook.check_steps()?;
        Ok(runbook)
    }

    /// The values that the steps see for the `given` parameters.
    ///
    /// # Errors
    ///
    /// `InvalidAutomationExecutionParametersException`, which never repeats a value.
    pub(crate) fn bind(&self, given: &Given) -> Result<Values, ApiError> {
        bind(&self.name, &self.parameters, given).map_err(|error| ApiError {
            code: "InvalidAutomationExecutionParametersException".to_owned(),
            ..error
        })
    }

    /// The place of a step.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.properties.name == name)
    }

    /// Checks that names are used once, and that every step that is named exists.
    fn check_steps(&self) -> Result<(), String> {
        for (position, step) in self.steps.iter().enumerate() {
            let name = &step.properties.name;
            if self.position(name) != Some(position) {
                return Err(format!("there are two steps {name}"));
            }
            if let Some(unknown) =
                step.next_steps().into_iter().find(|next| self.position(next).is_none())
            {
                return Err(format!("step {name} leads to {unknown}, which does not exist"));
            }
        }
        Ok(())
    }
}

impl From<Properties> for Step {
    fn from(properties: Properties) -> Self {
        let action = Action::parse(&properties.action, &properties.inputs);
        Self { action: action.unwrap_or_else(Action::Unsupported), properties }
    }
}

impl Step {
    /// The steps that this one names as those to go on with.
    fn next_steps(&self) -> Vec<&str> {
        let mut steps: Vec<_> = self.properties.next_step.iter().map(String::as_str).collect();
        if let OnFailure::Step(name) = &self.properties.on_failure {
            steps.push(name);
        }
        if let OnCancel::Step(name) = &self.properties.on_cancel {
            steps.push(name);
        }
        if let Action::Branch(branch) = &self.action {
            steps.extend(branch.choices.iter().map(|choice| choice.next_step.as_str()));
            steps.extend(branch.default.as_deref());
        }
        steps
    }
}

impl Action {
    fn parse(name: &str, inputs: &Map<String, Value>) -> Result<Self, String> {
        match name {
            "aws:executeAwsApi" => {
                let named = text(inputs, "Service")?;
                let mut known = Service::ALL.into_iter();
                let service = known.find(|service| service.name() == named).ok_or_else(|| {
                    let known = Service::ALL.map(Service::name).join(", ");
                    format!("Service: expected one of {known}, got {named}")
                })?;
                Ok(Self::ExecuteAwsApi { service, operation: text(inputs, "Api")?.to_owned() })
            }
            "aws:branch" => match Branch::deserialize(Value::from(inputs.clone())) {
                Ok(branch) => Ok(Self::Branch(branch)),
                Err(error) => {
                    Err(format!("the sandbox's aws:branch has StringEquals only: {error}"))
                }
            },
            "aws:sleep" => {
                let duration = text(inputs, "Duration")?;
                let parsed = duration.parse::<jiff::SignedDuration>().ok();
                let parsed = parsed.and_then(|duration| Duration::try_from(duration).ok());
                let reason = || format!("Duration: expected one such as PT1M, got {duration}");
                parsed.map(Action::Sleep).ok_or_else(reason)
            }
            _ => Err(format!("the sandbox's Automation has no action {name}")),
        }
    }
}

fn text<'a>(inputs: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    inputs
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("input {name}: required, but missing"))
}

impl TryFrom<String> for OnFailure {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "Abort" => Ok(Self::Abort),
            "Continue" => Ok(Self::Continue),
            other => match other.strip_prefix("step:") {
                Some(name) => Ok(Self::Step(name.to_owned())),
                None => Err(format!("expected Abort, Continue or step:NAME, got {other}")),
            },
        }
    }
}

impl TryFrom<String> for OnCancel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.strip_prefix("step:")) {
            ("Abort", _) => Ok(Self::Abort),
            (_, Some(name)) => Ok(Self::Step(name.to_owned())),
            (other, None) => Err(format!("expected Abort or step:NAME, got {other}")),
        }
    }
}

fn default_is_critical() -> bool {
    true
}

fn default_max_attempts() -> u32 {
    1
}

/// Documents write `true` and `"true"`, `3` and `"3"`.
fn scalar<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr,
{
    let value = Value::deserialize(deserializer)?;
    let text = as_text(&value);
    text.parse().map_err(|_| {
        D::Error::custom(format!("expected {}, got {text}", std::any::type_name::<T>()))
    })
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    scalar(deserializer).map(|seconds| Some(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(content: Value) -> Result<Runbook, String> {
        let (name, document_type) = ("Book".to_owned(), "Automation".to_owned());
        Runbook::parse(&Document { name, document_type, content })
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn check_refused(steps: Value, reason: &str) {
        let error = parse(json!({"schemaVersion": "0.3", "mainSteps": steps})).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn reads_steps_with_their_properties() {
        let runbook = parse(json!({"schemaVersion": "0.3", "mainSteps": [
            {"name": "a", "action": "aws:sleep", "inputs": {"Duration": "PT1M30S"}},
            {"name": "b", "action": "aws:executeAwsApi", "onFailure": "step:a", "isEnd": "true",
             "isCritical": false, "maxAttempts": "3", "timeoutSeconds": 25,
             "inputs": {"Service": "ssm", "Api": "SendCommand"}},
        ]}))
        .unwrap();
        let [a, b] = &runbook.steps[..] else { panic!("two steps") };
        assert!(matches!(a.action, Action::Sleep(duration) if duration.as_secs() == 90));
        assert_eq!(a.properties.on_failure, OnFailure::Abort);
        assert!(a.properties.is_critical && !a.properties.is_end);
        assert_eq!((a.properties.max_attempts, a.properties.timeout_seconds), (1, None));
        assert!(
            matches!(&b.action, Action::ExecuteAwsApi { operation, .. } if operation == "SendCommand")
        );
        assert_eq!(b.properties.on_failure, OnFailure::Step("a".to_owned()));
        assert!(!b.properties.is_critical && b.properties.is_end);
        assert_eq!(b.properties.max_attempts, 3);
        assert_eq!(b.properties.timeout_seconds, Some(Duration::from_secs(25)));
    }

    #[test]
    fn refuses_what_is_no_runbook() {
        assert_eq!(
            parse(json!({"schemaVersion": "2.2"})).unwrap_err(),
            "schemaVersion: expected 0.3, got 2.2"
        );
        check_refused(json!([]), "mainSteps: expected at least one step");
        check_refused(json!([{"action": "aws:sleep"}]), "mainSteps[0]: missing field `name`");
        check_refused(json!([{"name": "a"}]), "mainSteps[0]: missing field `action`");
        let sleep = |name: &str| json!({"name": name, "action": "aws:sleep", "inputs": {"Duration": "PT1S"}});
        check_refused(json!([sleep("a"), sleep("a")]), "there are two steps a");
        for (property, value) in
            [("nextStep", "z"), ("onFailure", "step:z"), ("onCancel", "step:z")]
        {
            let mut step = sleep("a");
            step[property] = json!(value);
            check_refused(json!([step]), "step a leads to z, which does not exist");
        }
        let branch = json!({"Choices": [], "Default": "z"});
        check_refused(
            json!([{"name": "a", "action": "aws:branch", "inputs": branch}]),
            "step a leads to z, which does not exist",
        );
        let mut step = sleep("a");
        step["onFailure"] = json!("Retry");
        check_refused(
            json!([step]),
            "mainSteps[0].onFailure: expected Abort, Continue or step:NAME, got Retry",
        );
        step["onFailure"] = json!("Abort");
        step["onCancel"] = json!("Continue");
        check_refused(
            json!([step]),
            "mainSteps[0].onCancel: expected Abort or step:NAME, got Continue",
        );
        step["onCancel"] = json!("Abort");
        step["maxAttempts"] = json!("many");
        check_refused(json!([step]), "expected u32, got many");
    }

    #[test]
    fn what_is_not_supported_says_so() {
        let check = |action: &str, inputs: Value, words: &str| {
            let Value::Object(inputs) = inputs else { panic!("inputs are an object") };
            let reason = Action::parse(action, &inputs).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        };
        check("aws:approve", json!({}), "has no action aws:approve");
        check("aws:executeAwsApi", json!({"Service": "ec2", "Api": "X"}), "sqs, got ec2");
        check("aws:executeAwsApi", json!({"Service": "ssm"}), "input Api: required, but missing");
        check(
            "aws:sleep",
            json!({"Duration": "long"}),
            "Duration: expected one such as PT1M, got long",
        );
        let choice = json!({"NextStep": "a", "Variable": "x", "NumericEquals": 1});
        check("aws:branch", json!({"Choices": [choice]}), "unknown field `NumericEquals`");
    }
}
