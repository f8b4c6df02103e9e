//! Command documents: their parameters and steps, of schema 2.2 and of the older 1.2.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::{
    api_error::ApiError,
    interpolation::Values,
    node::Platform,
    parameter::{Given, Parameter, bind},
};

/// A document as it was created.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its name, without an ARN around it.
    pub name: String,
    /// `Command`, `Automation`, …
    pub document_type: String,
    /// Its content, parsed.
    pub content: Value,
}

/// Where documents are kept.
pub trait Documents: Send + Sync + 'static {
    /// The document of this name, `None` if there is none. The error says why nobody knows.
    fn document(&self, name: &str) -> BoxFuture<'static, Result<Option<Document>, String>>;
}

/// A Command document that was read and found well formed.
#[derive(Debug, Clone)]
pub(super) struct CommandDocument {
    pub(super) name: String,
    parameters: BTreeMap<String, Parameter>,
    pub(super) steps: Vec<Step>,
}

/// One step of a document, before its parameters have values.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// The name that answers give as `PluginName`.
    pub(super) name: String,
    pub(super) action: Action,
    /// The only `PlatformType` that the step is meant for, which may be one that no node has.
    pub(super) platform: Option<String>,
    pub(super) inputs: Value,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    RunShellScript,
    RunPowerShellScript,
    RunDocument,
    /// An action of the real agent that the sandbox's does not have.
    Other(String),
}

impl Action {
    fn parse(name: &str) -> Action {
        match name {
            "aws:runShellScript" => Action::RunShellScript,
            "aws:runPowerShellScript" => Action::RunPowerShellScript,
            "aws:runDocument" => Action::RunDocument,
            other => Action::Other(other.to_owned()),
        }
    }
}

impl Step {
    /// Whether a node of this platform runs the step; if not, it skips it.
    pub(super) fn runs_on(&self, platform: Platform) -> bool {
        self.platform.as_ref().is_none_or(|wanted| wanted == platform.as_str())
            && (self.action != Action::RunShellScript || platform == Platform::Linux)
    }
}

impl CommandDocument {
    /// Finds a document and reads it.
    ///
    /// # Errors
    ///
    /// `InvalidDocument`, if there is none of this name, or it is no Command document.
    pub(super) async fn find(
        documents: &dyn Documents,
        reference: &str,
    ) -> Result<CommandDocument, ApiError> {
        let name = plain_name(reference);
        let built_in = amazon_documents().into_iter().find(|document| document.name == name);
        let found = match built_in {
            Some(document) => Some(document),
            None => documents.document(name).await.map_err(ApiError::internal)?,
        };
        match found {
            Some(document) => CommandDocument::parse(&document),
            None => Err(invalid(format!("Document with name {name} does not exist."))),
        }
    }

    fn parse(document: &Document) -> Result<CommandDocument, ApiError> {
        let Document { name, document_type, content } = document;
        if document_type != "Command" {
            return Err(invalid(format!(
                "Document {name} is of type {document_type}, wanted a Command document."
            )));
        }
        let read = read_parameters(content).and_then(|parameters| {
            let steps = match content["schemaVersion"].as_str() {
                Some("1.2") => steps_of_1_2(content),
                Some("2.0" | "2.2") => steps_of_2_2(content),
                _ => Err("schemaVersion is not 1.2, 2.0 or 2.2".to_owned()),
            }?;
            Ok(CommandDocument { name: name.clone(), parameters, steps })
        });
        read.map_err(|reason| invalid(format!("Document {name}: {reason}.")))
    }

    /// The values that the steps see for the `given` parameters, or `InvalidParameters`.
    pub(super) fn bind(&self, given: &Given) -> Result<Values, ApiError> {
        bind(&self.name, &self.parameters, given)
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::refused("InvalidDocument", message)
}

/// The name of a document that is given by name or by ARN.
pub(crate) fn plain_name(reference: &str) -> &str {
    reference.rsplit_once("document/").map_or(reference, |(_, name)| name)
}

pub(crate) fn read_parameters(content: &Value) -> Result<BTreeMap<String, Parameter>, String> {
    let Some(declared) = content.get("parameters") else { return Ok(BTreeMap::new()) };
    let declared = declared.as_object().ok_or("parameters is not an object")?;
    declared
        .iter()
        .map(|(name, content)| match Parameter::parse(content) {
            Ok(parameter) => Ok((name.clone(), parameter)),
            Err(reason) => Err(format!("parameter {name}: {reason}")),
        })
        .collect()
}

fn steps_of_2_2(content: &Value) -> Result<Vec<Step>, String> {
    let steps = content["mainSteps"].as_array().filter(|steps| !steps.is_empty());
    steps.ok_or("mainSteps is not a list of steps")?.iter().map(read_step).collect()
}

fn read_step(content: &Value) -> Result<Step, String> {
    let name = content["name"].as_str().ok_or("a step has no name")?;
    let action = content["action"].as_str().ok_or(format!("step {name} has no action"))?;
    let platform = read_precondition(&content["precondition"])
        .map_err(|reason| format!("step {name}: {reason}"))?;
    Ok(Step {
        name: name.to_owned(),
        action: Action::parse(action),
        platform,
        inputs: content.get("inputs").cloned().unwrap_or_else(|| json!({})),
    })
}

/// Reads `{"StringEquals": ["platformType", "Linux"]}`, the one precondition there is; its two
/// operands come in either order.
fn read_precondition(content: &Value) -> Result<Option<String>, String> {
    let wanted = "precondition is not StringEquals of platformType and a platform";
    if content.is_null() {
        return Ok(None);
    }
    let operands = content["StringEquals"].as_array().ok_or(wanted)?;
    let operands: Vec<_> = operands.iter().map(Value::as_str).collect();
    match operands[..] {
        [Some("platformType"), Some(platform)] | [Some(platform), Some("platformType")] => {
            Ok(Some(platform.to_owned()))
        }
        _ => Err(wanted.to_owned()),
    }
}

/// A document of schema 1.2 names one plugin and its inputs; the plugin's name is the step's.
fn steps_of_1_2(content: &Value) -> Result<Vec<Step>, String> {
    let wanted = "runtimeConfig is not one plugin with one set of properties";
    let plugins = content["runtimeConfig"].as_object().map(Map::iter);
    let [(name, plugin)] = plugins.into_iter().flatten().collect::<Vec<_>>()[..] else {
        return Err(wanted.to_owned());
    };
    let inputs = match &plugin["properties"] {
        Value::Array(list) if list.len() == 1 => list[0].clone(),
        inputs @ Value::Object(_) => inputs.clone(),
        _ => return Err(wanted.to_owned()),
    };
    Ok(vec![Step { name: name.clone(), action: Action::parse(name), platform: None, inputs }])
}

/// The documents that AWS owns and the sandbox has: `AWS-RunShellScript` and
/// `AWS-RunPowerShellScript`, with the parameters, defaults and patterns of the real ones.
pub fn amazon_documents() -> [Document; 2] {
    [
        amazon_script_document("AWS-RunShellScript", "aws:runShellScript", "a shell script"),
        amazon_script_document(
            "AWS-RunPowerShellScript",
            "aws:runPowerShellScript",
            "a PowerShell script",
        ),
    ]
}

fn amazon_script_document(name: &str, plugin: &str, what: &str) -> Document {
    let content = json!({
        "schemaVersion": "1.2",
        "description": format!("Run {what} or specify the commands to run."),
        "parameters": {
            "commands": {
                "type": "StringList",
                "description": format!("(Required) Specify {what} or a command to run."),
                "minItems": 1,
                "displayType": "textarea",
            },
            "workingDirectory": {
                "type": "String",
                "default": "",
                "description": "(Optional) The path to the working directory on your instance.",
                "maxChars": 4096,
            },
            "executionTimeout": {
                "type": "String",
                "default": "3600",
                "description": "(Optional) The time in seconds for a command to complete before \
                    it is considered to have failed. Default is 3600 (1 hour). Maximum is 172800 \
                    (48 hours).",
                "allowedPattern": "([1-9][0-9]{0,4})|(1[0-6][0-9]{4})|(17[0-1][0-9]{3})|\
                    (172[0-7][0-9]{2})|(172800)",
            },
        },
        "runtimeConfig": {
            plugin: {
                "properties": [{
                    "id": format!("0.{plugin}"),
                    "runCommand": "{{ commands }}",
                    "workingDirectory": "{{ workingDirectory }}",
                    "timeoutSeconds": "{{ executionTimeout }}",
                }],
            },
        },
    });
    Document { name: name.to_owned(), document_type: "Command".to_owned(), content }
}

#[cfg(test)]
mod tests {
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
        let version = "schemaVersion is not 1.2, 2.0 or 2.2";
        check_refused(json!({}), version);
        check_refused(json!({"schemaVersion": "0.3"}), version);
        let steps = "mainSteps is not a list of steps";
        check_refused(json!({"schemaVersion": "2.2", "mainSteps": []}), steps);
        let nameless = json!({"schemaVersion": "2.2", "mainSteps": [{"action": "x"}]});
        check_refused(nameless, "a step has no name");
        check_refused(
            json!({"schemaVersion": "2.2", "mainSteps": [
                {"name": "s", "action": "x", "precondition": {"StringEquals": ["osName", "BeOS"]}}
            ]}),
            "step s: precondition is not StringEquals of platformType and a platform",
        );
        check_refused(
            json!({"schemaVersion": "2.2", "parameters": []}),
            "parameters is not an object",
        );
        check_refused(
            json!({"schemaVersion": "1.2", "runtimeConfig": {"a": {}, "b": {}}}),
            "runtimeConfig is not one plugin with one set of properties",
        );
    }

    #[test]
    fn an_arn_names_its_document() {
        assert_eq!(plain_name("arn:aws:ssm:eu-west-1:123456789012:document/Mine"), "Mine");
        assert_eq!(plain_name("Mine"), "Mine");
    }
}
