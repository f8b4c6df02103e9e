//! Command documents: their parameters and steps, of schema 2.2 and of the older 1.2.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::amazon::amazon_documents;
use super::document::{Document, Documents, plain_name};
use super::interpolation::Values;
use super::parameter::{Given, Parameter, bind};
use crate::api::ApiError;
use crate::nodes::Platform;

/// A Command document that was read and found well formed.
#[derive(Debug, Clone)]
pub(crate) struct CommandDocument {
    pub(crate) name: String,
    parameters: BTreeMap<String, Parameter>,
    pub(crate) steps: Vec<Step>,
}

/// One step of a document, before its parameters have values.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Step {
    /// The name that answers give as `PluginName`.
    pub(crate) name: String,
    pub(crate) action: Action,
    pub(crate) precondition: Option<Precondition>,
    #[serde(default = "no_inputs")]
    pub(crate) inputs: Value,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum Action {
    RunShellScript,
    RunPowerShellScript,
    RunDocument,
    /// An action of the real agent that the sandbox's does not have.
    Other(String),
}

/// The one precondition there is: a step may be meant for one platform only.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Condition")]
pub(crate) struct Precondition {
    /// A `PlatformType`, which may be one that no node has.
    pub(crate) platform: String,
}

/// `{"StringEquals": ["platformType", "Linux"]}`; the two operands come in either order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    string_equals: [String; 2],
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned {
    schema_version: SchemaVersion,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum SchemaVersion {
    #[serde(rename = "1.2")]
    OnePlugin,
    #[serde(rename = "2.0", alias = "2.2")]
    Steps,
}

/// The content of schema 2.2.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithSteps {
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    main_steps: Vec<Step>,
}

/// The content of schema 1.2, as far as it names one plugin.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithPlugin {
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    runtime_config: BTreeMap<String, Plugin>,
}

#[derive(Debug, Deserialize)]
struct Plugin {
    properties: Properties,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected one set of properties")]
enum Properties {
    One(Map<String, Value>),
    Listed([Value; 1]),
}

impl From<String> for Action {
    fn from(name: String) -> Self {
        match name.as_str() {
            "aws:runShellScript" => Self::RunShellScript,
            "aws:runPowerShellScript" => Self::RunPowerShellScript,
            "aws:runDocument" => Self::RunDocument,
            _ => Self::Other(name),
        }
    }
}

impl TryFrom<Condition> for Precondition {
    type Error = &'static str;

    fn try_from(condition: Condition) -> Result<Self, &'static str> {
        const NAME: &str = "platformType";
        match condition.string_equals {
            [name, platform] | [platform, name] if name == NAME => Ok(Self { platform }),
            _ => Err("expected StringEquals of platformType and a platform"),
        }
    }
}

impl Step {
    /// Whether a node of this platform runs the step; if not, it skips it.
    pub(crate) fn runs_on(&self, platform: Platform) -> bool {
        self.precondition.as_ref().is_none_or(|only| only.platform == platform.as_str())
            && (self.action != Action::RunShellScript || platform == Platform::Linux)
    }
}

impl CommandDocument {
    /// Finds a document and reads it.
    ///
    /// # Errors
    ///
    /// `InvalidDocument`, if no document has this name, or it is not a Command document.
    pub(crate) async fn find(documents: &dyn Documents, reference: &str) -> Result<Self, ApiError> {
        let name = plain_name(reference);
        let built_in = amazon_documents().into_iter().find(|document| document.name == name);
        let found = match built_in {
            Some(document) => Some(document),
            None => documents.document(name).await.map_err(ApiError::internal)?,
        };
        match found {
            Some(document) => Self::parse(&document),
            None => Err(invalid(format!("Document with name {name} does not exist."))),
        }
    }

    fn parse(document: &Document) -> Result<Self, ApiError> {
        let Document { name, document_type, .. } = document;
        let named = |reason: String| invalid(format!("Document {name}: {reason}."));
        if document_type != "Command" {
            let reason = format!("expected a Command document, got one of type {document_type}");
            return Err(named(reason));
        }
        let (parameters, steps) = read(document).map_err(named)?;
        Ok(Self { name: name.clone(), parameters, steps })
    }

    /// The values that the steps see for the `given` parameters, or `InvalidParameters`.
    pub(crate) fn bind(&self, given: &Given) -> Result<Values, ApiError> {
        bind(&self.name, &self.parameters, given)
    }
}

fn read(document: &Document) -> Result<(BTreeMap<String, Parameter>, Vec<Step>), String> {
    match document.read::<Versioned>()?.schema_version {
        SchemaVersion::Steps => {
            let WithSteps { parameters, main_steps } = document.read()?;
            if main_steps.is_empty() {
                return Err("mainSteps: expected at least one step".to_owned());
            }
            Ok((parameters, main_steps))
        }
        SchemaVersion::OnePlugin => {
            let WithPlugin { parameters, runtime_config } = document.read()?;
            let plugins = runtime_config.len();
            let mut steps: Vec<_> = runtime_config.into_iter().map(step_of_plugin).collect();
            match (steps.pop(), plugins) {
                (Some(step), 1) => Ok((parameters, vec![step])),
                _ => Err(format!("runtimeConfig: expected one plugin, got {plugins}")),
            }
        }
    }
}

/// The plugin's name is that of the step.
fn step_of_plugin((name, plugin): (String, Plugin)) -> Step {
    let inputs = match plugin.properties {
        Properties::One(inputs) => inputs.into(),
        Properties::Listed([inputs]) => inputs,
    };
    Step { action: name.clone().into(), name, precondition: None, inputs }
}

fn no_inputs() -> Value {
    Map::new().into()
}

fn invalid(message: String) -> ApiError {
    ApiError::refused("InvalidDocument", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::amazon::amazon_documents;
    use super::*;

    fn parse(content: Value) -> Result<CommandDocument, ApiError> {
        let (name, document_type) = ("Doc".to_owned(), "Command".to_owned());
        CommandDocument::parse(&Document { name, document_type, content })
    }

    fn check_refused(content: Value, reason: &str) {
        let error = parse(content).unwrap_err();
        assert_eq!((error.code.as_str(), error.status), ("InvalidDocument", 400));
        assert_eq!(error.message, format!("Document Doc: {reason}."));
    }

    #[test]
    fn reads_steps_with_their_platform() {
        let document = parse(json!({
            "schemaVersion": "2.2",
            "mainSteps": [
                {"name": "nix", "action": "aws:runShellScript",
                 "precondition": {"StringEquals": ["platformType", "Linux"]}},
                {"name": "win", "action": "aws:runPowerShellScript",
                 "precondition": {"StringEquals": ["Windows", "platformType"]}, "inputs": {"a": 1}},
                {"name": "mac", "action": "aws:runShellScript",
                 "precondition": {"StringEquals": ["platformType", "MacOS"]}},
            ],
        }))
        .unwrap();

        let [nix, win, mac] = &document.steps[..] else { panic!("three steps") };
        assert!(!mac.runs_on(Platform::Linux) && !mac.runs_on(Platform::Windows));
        assert_eq!((nix.name.as_str(), &nix.action), ("nix", &Action::RunShellScript));
        assert!(nix.runs_on(Platform::Linux) && !nix.runs_on(Platform::Windows));
        assert!(win.runs_on(Platform::Windows) && !win.runs_on(Platform::Linux));
        assert_eq!(win.inputs, json!({"a": 1}));
    }

    #[test]
    fn amazon_documents_take_what_the_real_ones_take() {
        for document in amazon_documents() {
            let parsed = CommandDocument::parse(&document).unwrap();
            let given = |timeout: &str| {
                Given::from([
                    ("commands".to_owned(), vec!["date".to_owned()]),
                    ("executionTimeout".to_owned(), vec![timeout.to_owned()]),
                ])
            };
            for timeout in ["1", "3600", "99999", "172800"] {
                assert!(parsed.bind(&given(timeout)).is_ok(), "{timeout}");
            }
            for timeout in ["0", "172801", "1000000", "", "1h", " 5"] {
                assert!(parsed.bind(&given(timeout)).is_err(), "{timeout}");
            }
            assert!(parsed.bind(&Given::new()).is_err(), "commands are required");
            assert_eq!(parsed.steps[0].inputs["runCommand"], "{{ commands }}");
        }
    }

    #[test]
    fn refuses_what_is_no_document() {
        let version = "expected one of `1.2`, `2.0`, `2.2`";
        check_refused(json!({}), "missing field `schemaVersion`");
        let other = format!("schemaVersion: unknown variant `0.3`, {version}");
        check_refused(json!({"schemaVersion": "0.3"}), &other);
        check_refused(json!({"schemaVersion": "2.2"}), "missing field `mainSteps`");
        let steps = "mainSteps: expected at least one step";
        check_refused(json!({"schemaVersion": "2.2", "mainSteps": []}), steps);
        let nameless = json!({"schemaVersion": "2.2", "mainSteps": [{"action": "x"}]});
        check_refused(nameless, "mainSteps[0]: missing field `name`");
        check_refused(
            json!({"schemaVersion": "2.2", "mainSteps": [
                {"name": "s", "action": "x", "precondition": {"StringEquals": ["osName", "BeOS"]}}
            ]}),
            "mainSteps[0].precondition: expected StringEquals of platformType and a platform",
        );
        check_refused(
            json!({"schemaVersion": "2.2", "parameters": []}),
            "parameters: invalid type: sequence, expected a map",
        );
        let plugin = json!({"properties": {}});
        check_refused(
            json!({"schemaVersion": "1.2", "runtimeConfig": {"a": plugin, "b": plugin}}),
            "runtimeConfig: expected one plugin, got 2",
        );
        check_refused(
            json!({"schemaVersion": "1.2", "runtimeConfig": {"a": {"properties": [{}, {}]}}}),
            "runtimeConfig.a.properties: expected one set of properties",
        );
    }
}
