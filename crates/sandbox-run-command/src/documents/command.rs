//! Command documents: their parameters and steps, of schema 2.2 and of the older 1.2.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::amazon::amazon_documents;
use super::document::{Document, Documents, plain_name};
use super::interpolation::Values;
use super::parameter::{Given, Parameters, bind_command};
use crate::api::ApiError;
use crate::nodes::Platform;

/// A Command document that was read and found well formed.
#[derive(Debug, Clone)]
pub(crate) struct CommandDocument {
    pub(crate) name: String,
    pub(crate) schema_version: SchemaVersion,
    pub(crate) parameters: Parameters,
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
    /// `platformType` and a platform, which may be one that no node has, as they are written.
    pub(crate) operands: [String; 2],
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
    #[serde(default)]
    schema_version: SchemaVersion,
}

/// The schema version of a document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum SchemaVersion {
    /// 1.0 and 1.2.
    OnePlugin,
    /// 2.0, and its versions for the installation of packages.
    Steps,
    /// 2.2: a step for another platform is skipped.
    CrossPlatform,
    /// One that the agent does not know.
    Unknown(String),
}

/// The content of schema 2.2.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithSteps {
    #[serde(default)]
    parameters: Parameters,
    #[serde(default)]
    main_steps: Vec<Step>,
}

/// The content of schema 1.2, as far as it names one plugin.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WithPlugin {
    #[serde(default)]
    parameters: Parameters,
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

impl Default for SchemaVersion {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
}

impl From<String> for SchemaVersion {
    fn from(version: String) -> Self {
        match version.as_str() {
            "1.0" | "1.2" => Self::OnePlugin,
            "2.0" | "2.0.1" | "2.0.2" | "2.0.3" => Self::Steps,
            "2.2" => Self::CrossPlatform,
            _ => Self::Unknown(version),
        }
    }
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

impl Action {
    /// The name in the document.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::RunShellScript => "aws:runShellScript",
            Self::RunPowerShellScript => "aws:runPowerShellScript",
            Self::RunDocument => "aws:runDocument",
            Self::Other(name) => name,
        }
    }

    /// Whether the agent of this platform has it.
    pub(crate) fn is_supported_on(&self, platform: Platform) -> bool {
        match self {
            Self::RunShellScript => platform == Platform::Linux,
            Self::RunPowerShellScript | Self::RunDocument => true,
            Self::Other(_) => false,
        }
    }
}

const PLATFORM_TYPE: &str = "platformType";

impl TryFrom<Condition> for Precondition {
    type Error = &'static str;

    fn try_from(condition: Condition) -> Result<Self, &'static str> {
        let operands = condition.string_equals;
        if operands.iter().filter(|operand| *operand == PLATFORM_TYPE).count() == 1 {
            Ok(Self { operands })
        } else {
            Err("expected StringEquals of platformType and a platform")
        }
    }
}

impl Precondition {
    /// Whether it holds on a node of this platform.
    pub(crate) fn holds_on(&self, platform: Platform) -> bool {
        let mut operands = self.operands.iter();
        operands.any(|operand| operand.eq_ignore_ascii_case(platform.as_str()))
    }
}

impl CommandDocument {
    /// Finds a document and reads it: what `SendCommand` takes.
    ///
    /// # Errors
    ///
    /// `InvalidDocument`, if no document has this name, or it is not a Command document.
    pub(crate) async fn find(
        documents: &dyn Documents,
        reference: &str,
        version: Option<&str>,
    ) -> Result<Self, ApiError> {
        let name = plain_name(reference);
        let found = stored(documents, name, version).await.map_err(ApiError::internal)?;
        let Some(document) = found else {
            return Err(invalid(does_not_exist(name)));
        };
        let Document { name, document_type, .. } = &document;
        let named = |reason: String| invalid(format!("Document {name}: {reason}."));
        if document_type != "Command" {
            let reason = format!("expected a Command document, got one of type {document_type}");
            return Err(named(reason));
        }
        Self::read(&document).map_err(named)
    }

    /// Finds the document that a step runs: what the agent gets from `GetDocument`. The error is
    /// that of the call, or says what is wrong with the document.
    pub(crate) async fn nested(
        documents: &dyn Documents,
        name: &str,
        version: Option<&str>,
    ) -> Result<Result<Self, String>, String> {
        match stored(documents, plain_name(name), version).await? {
            Some(document) => Ok(Self::read(&document)),
            None => Err(format!("InvalidDocument: {}", does_not_exist(name))),
        }
    }

    /// A document of an unknown version is read as far as it can be: the agent refuses it.
    fn read(document: &Document) -> Result<Self, String> {
        let schema_version = document.read::<Versioned>()?.schema_version;
        let (parameters, steps) = match &schema_version {
            SchemaVersion::OnePlugin => read_plugin(document)?,
            SchemaVersion::Steps | SchemaVersion::CrossPlatform => read_steps(document)?,
            SchemaVersion::Unknown(_) => read_steps(document).unwrap_or_default(),
        };
        Ok(Self { name: document.name.clone(), schema_version, parameters, steps })
    }

    /// The values that the steps see for the `given` parameters, or `InvalidParameters`.
    pub(crate) fn bind(&self, given: &Given) -> Result<Values, ApiError> {
        bind_command(&self.name, &self.parameters, given)
    }
}

/// The documents of AWS are there in one version.
async fn stored(
    documents: &dyn Documents,
    name: &str,
    version: Option<&str>,
) -> Result<Option<Document>, String> {
    match amazon_documents().into_iter().find(|document| document.name == name) {
        Some(document) => {
            let is_there = version.is_none_or(|version| AMAZON_VERSIONS.contains(&version));
            Ok(is_there.then_some(document))
        }
        None => documents.document(name, version).await,
    }
}

/// The names of the one version.
const AMAZON_VERSIONS: [&str; 3] = ["1", "$LATEST", "$DEFAULT"];

fn does_not_exist(name: &str) -> String {
    format!("Document with name {name} does not exist.")
}

fn read_steps(document: &Document) -> Result<(Parameters, Vec<Step>), String> {
    let WithSteps { parameters, main_steps } = document.read()?;
    Ok((parameters, main_steps))
}

fn read_plugin(document: &Document) -> Result<(Parameters, Vec<Step>), String> {
    let WithPlugin { parameters, runtime_config } = document.read()?;
    let plugins = runtime_config.len();
    let mut steps: Vec<_> = runtime_config.into_iter().map(step_of_plugin).collect();
    match (steps.pop(), plugins) {
        (Some(step), 1) => Ok((parameters, vec![step])),
        _ => Err(format!("runtimeConfig: expected one plugin, got {plugins}")),
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

    fn parse(content: Value) -> Result<CommandDocument, String> {
        let (name, document_type) = ("Doc".to_owned(), "Command".to_owned());
        CommandDocument::read(&Document { name, document_type, content })
    }

    fn check_refused(content: Value, reason: &str) {
        assert_eq!(parse(content).unwrap_err(), reason);
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
        let platforms = |step: &Step| {
            let condition = step.precondition.as_ref().unwrap();
            [Platform::Linux, Platform::Windows].map(|platform| condition.holds_on(platform))
        };
        assert_eq!(platforms(mac), [false, false]);
        assert_eq!((nix.name.as_str(), &nix.action), ("nix", &Action::RunShellScript));
        assert_eq!(platforms(nix), [true, false]);
        assert_eq!(platforms(win), [false, true]);
        assert_eq!(win.inputs, json!({"a": 1}));
    }

    #[test]
    fn amazon_documents_take_what_the_real_ones_take() {
        for document in amazon_documents() {
            let parsed = CommandDocument::read(&document).unwrap();
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
    fn what_the_agent_refuses_can_be_read() {
        for content in [json!({}), json!({"schemaVersion": "0.3", "mainSteps": [{"action": 1}]})] {
            let document = parse(content).unwrap();
            assert!(matches!(document.schema_version, SchemaVersion::Unknown(_)));
        }
        assert!(parse(json!({"schemaVersion": "2.2"})).unwrap().steps.is_empty());
    }

    #[test]
    fn refuses_what_is_no_document() {
        check_refused(
            json!({"schemaVersion": 2.2}),
            "schemaVersion: invalid type: floating point `2.2`, expected a string",
        );
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
