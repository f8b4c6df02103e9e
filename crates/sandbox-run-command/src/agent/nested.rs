//! `aws:runDocument`: a step that runs a document.

use serde_json::{Map, Value};

use super::Agent;
use super::go;
use super::output::Output;
use super::prepare::Prepared;
use super::step::{StepResult, StepStatus};
use super::stop::Stop;
use super::validation::RunBy;
use crate::documents::{CommandDocument, Values, named_version};

/// How deep documents may run documents.
const DEPTH_MAX: usize = 3;
/// A document that does nothing. The agent knows it without reading it.
const NOOP: &str = "AWS-Noop";
const PREPARING: &str = "There was an error while preparing documents - ";

impl Agent {
    pub(super) async fn run_nested(
        &self,
        inputs: &Value,
        place: &[usize],
        stop: &Stop,
    ) -> StepResult {
        let text = |name: &str| inputs[name].as_str().unwrap_or_default();
        let (kind, path) = (text("documentType"), text("documentPath"));
        if let Err(reason) = check_inputs(inputs, kind, path) {
            return StepResult::failed(&reason);
        }
        let depth = place.len();
        if depth > DEPTH_MAX {
            return StepResult::failed(&format!(
                "Maximum depth for document execution exceeded. Maximum depth permitted - \
                 {DEPTH_MAX} and current depth - {depth}"
            ));
        }
        if path == NOOP {
            return StepResult::new(StepStatus::Success, 0, Output::default());
        }
        match self.nested_document(kind, path, &inputs["documentParameters"]).await {
            Ok(document) => self.run_inside(&document, place, stop).await,
            Err(reason) => StepResult::failed(&reason),
        }
    }

    async fn nested_document(
        &self,
        kind: &str,
        path: &str,
        parameters: &Value,
    ) -> Result<Prepared, String> {
        if kind == "LocalPath" {
            // Nothing downloads documents to a node of the sandbox.
            return Err(format!("{PREPARING}open {path}: no such file or directory"));
        }
        let (name, version) = named_version(path);
        let document = CommandDocument::nested(self.documents.as_ref(), name, version).await;
        // The agent goes on with a path that is empty.
        let document = document
            .map_err(|reason| format!("{reason}{PREPARING}open : no such file or directory"))?;
        let preparing = |reason: String| format!("{PREPARING}{reason}");
        let (document, values) = document
            .and_then(|document| Ok((document, values_of(parameters)?)))
            .map_err(preparing)?;
        let store = self.parameters.as_ref();
        Prepared::new(&document, values, RunBy::Document, store).await.map_err(preparing)
    }

    /// Runs the steps of a document as if they were one step. A cancel does not reach them. Their
    /// outputs come in any order, without a newline between them.
    async fn run_inside(&self, document: &Prepared, place: &[usize], stop: &Stop) -> StepResult {
        let (stop, mut results) = (stop.without_cancel(), Vec::new());
        self.run_document(document, place, &stop, &mut results, &|_, _| {}).await;
        self.random.shuffle(&mut results);
        let mut whole = StepResult::new(StepStatus::Skipped, 0, Output::default());
        for result in &results {
            whole.output.append(&result.output);
            if let (StepStatus::Failed, Some(reason)) = (result.status, &result.reason) {
                whole.output.stderr.extend_from_slice(reason.as_bytes());
            }
            whole.status = whole.status.max(result.status);
        }
        // Whatever the code of the inner script was.
        whole.code = i32::from(whole.status == StepStatus::Failed);
        whole
    }
}

fn check_inputs(inputs: &Value, kind: &str, path: &str) -> Result<(), String> {
    for (name, field) in [("documentPath", "DocumentPath"), ("documentType", "DocumentType")] {
        let value = &inputs[name];
        if !value.is_string() && !value.is_null() {
            let (inputs, found) = (go::value(inputs), go::kind(value));
            return Err(format!(
                "invalid format in plugin properties {inputs}; \nerror json: cannot unmarshal \
                 {found} into Go struct field RunDocumentPluginInput.{field} of type string"
            ));
        }
    }
    let reason = match (kind, path) {
        ("", _) => "Document Type must be specified to either by SSMDocument or LocalPath.",
        ("SSMDocument" | "LocalPath", "") => "Document Path must be provided",
        ("SSMDocument" | "LocalPath", _) => return Ok(()),
        _ => "Document type specified in invalid",
    };
    Err(format!("invalid input: {reason}"))
}

/// The parameters of a nested document: a map, or one as JSON or YAML. Null is as good as none, and
/// so is a name that no parameter can have.
fn values_of(written: &Value) -> Result<Values, String> {
    let parameters = match written {
        Value::Null => Map::new(),
        Value::Object(parameters) => parameters.clone(),
        Value::String(text) if text.trim().is_empty() => Map::new(),
        Value::String(text) => read_map(text)?,
        _ => return Err("parameter type specified to run document is unknown".to_owned()),
    };
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let given = parameters.into_iter();
    Ok(given.filter(|(name, value)| is_name(name) && !value.is_null()).collect())
}

fn read_map(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).or_else(|json| {
        serde_yaml_ng::from_str(text).map_err(|yaml| {
            format!(
                "Unmarshalling document parameters failed. Please make sure the parameters are \
                 specified in the right formatJSON format error - {json}, YAML format error - \
                 {yaml}."
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_parameters_come_as_a_map_as_json_and_as_yaml() {
        let expected =
            Values::from([("list".to_owned(), json!(["a", "b"])), ("text".to_owned(), json!("t"))]);
        let map = json!({"list": ["a", "b"], "text": "t", "none": null, "bad name": 1});
        assert_eq!(values_of(&map), Ok(expected.clone()));
        assert_eq!(values_of(&json!(map.to_string())), Ok(expected.clone()));
        assert_eq!(values_of(&json!("list:\n- a\n- b\ntext: t\n")), Ok(expected));
        for none in [json!({}), json!("{}"), json!(""), Value::Null] {
            assert_eq!(values_of(&none), Ok(Values::new()), "{none}");
        }
        for bad in [json!("[]"), json!("a: b: c"), json!(3), json!(["a"])] {
            assert!(values_of(&bad).is_err(), "{bad}");
        }
    }
}
