//! The parameters that a document declares, and the values that it accepts for them.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::interpolation::{Values, as_text};
use super::reference::has_ssm_reference;
use crate::api::ApiError;

/// The parameters of a request: every value is a list of texts.
pub type Given = BTreeMap<String, Vec<String>>;

/// The parameters that a document declares, by name.
pub type Parameters = BTreeMap<String, Parameter>;

/// One entry of a document's `parameters`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Declaration {
    r#type: Kind,
    default: Option<Value>,
    allowed_pattern: Option<String>,
    #[serde(default)]
    allowed_values: Vec<Value>,
    min_chars: Option<usize>,
    max_chars: Option<usize>,
    min_items: Option<usize>,
    max_items: Option<usize>,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Kind {
    String,
    StringList,
    Boolean,
    Integer,
    MapList,
    StringMap,
}

/// A parameter that a document declares.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Declaration")]
pub struct Parameter {
    declaration: Declaration,
    /// As it is written: the agent looks for a match anywhere in the text.
    pattern: Option<Regex>,
    /// The same for the service: the whole text must match it.
    whole_pattern: Option<Regex>,
}

/// Who reads the values of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Automation,
    /// Leaves to the agent what only the agent can know.
    RunCommand,
}

impl TryFrom<Declaration> for Parameter {
    type Error = String;

    fn try_from(declaration: Declaration) -> Result<Self, String> {
        let Some(written) = &declaration.allowed_pattern else {
            return Ok(Self { declaration, pattern: None, whole_pattern: None });
        };
        let bad = |_| format!("allowedPattern: expected a pattern, got {written}");
        let pattern = Some(Regex::new(written).map_err(bad)?);
        let whole_pattern = Some(Regex::new(&format!("^(?:{written})$")).map_err(bad)?);
        Ok(Self { declaration, pattern, whole_pattern })
    }
}

impl Kind {
    /// The word of the document.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::StringList => "StringList",
            Self::Boolean => "Boolean",
            Self::Integer => "Integer",
            Self::MapList => "MapList",
            Self::StringMap => "StringMap",
        }
    }
}

impl Parameter {
    pub(crate) fn kind(&self) -> Kind {
        self.declaration.r#type
    }

    pub(crate) fn default(&self) -> Option<&Value> {
        self.declaration.default.as_ref()
    }

    /// `allowedPattern`, which matches a part of a text.
    pub(crate) fn pattern(&self) -> Option<&Regex> {
        self.pattern.as_ref()
    }

    pub(crate) fn allowed_values(&self) -> &[Value] {
        &self.declaration.allowed_values
    }

    /// `minChars` and `maxChars`.
    pub(crate) fn chars(&self) -> (Option<usize>, Option<usize>) {
        (self.declaration.min_chars, self.declaration.max_chars)
    }

    /// `minItems` and `maxItems`.
    pub(crate) fn items(&self) -> (Option<usize>, Option<usize>) {
        (self.declaration.min_items, self.declaration.max_items)
    }

    /// The value that steps see for the given texts. The error says what was expected.
    fn value(&self, texts: &[String], reader: Reader) -> Result<Value, String> {
        let by_agent = |text: &str| reader == Reader::RunCommand && has_ssm_reference(text);
        for text in texts.iter().filter(|text| !by_agent(text)) {
            self.check_text(text)?;
        }
        match self.declaration.r#type {
            Kind::StringList => {
                self.check_items(texts.len())?;
                Ok(texts.into())
            }
            Kind::MapList => {
                self.check_items(texts.len())?;
                texts.iter().map(|text| parse_map(text)).collect()
            }
            Kind::String => Ok(only(texts)?.into()),
            // The agent reads JSON and YAML.
            Kind::StringMap if reader == Reader::RunCommand => {
                let text = only(texts)?;
                Ok(parse_map(text).unwrap_or_else(|_| text.into()))
            }
            Kind::StringMap => parse_map(only(texts)?),
            Kind::Boolean => {
                let text = only(texts)?.to_ascii_lowercase();
                text.parse::<bool>().map(Value::Bool).map_err(|_| "expected true or false".into())
            }
            Kind::Integer => {
                let text = only(texts)?;
                text.parse::<i64>().map(Value::from).map_err(|_| "expected an integer".into())
            }
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        let Declaration { allowed_values, min_chars, max_chars, .. } = &self.declaration;
        if let (Some(whole), Some(pattern)) = (&self.whole_pattern, &self.pattern)
            && !whole.is_match(text)
        {
            return Err(format!("expected a match of the pattern {pattern}"));
        }
        let is_allowed = |allowed: &Value| as_text(allowed) == text;
        if !allowed_values.is_empty() && !allowed_values.iter().any(is_allowed) {
            return Err(format!("expected one of {}", Value::from(allowed_values.clone())));
        }
        let chars = text.chars().count();
        if let Some(min) = min_chars.filter(|min| chars < *min) {
            return Err(format!("expected at least {min} characters, got {chars}"));
        }
        if let Some(max) = max_chars.filter(|max| chars > *max) {
            return Err(format!("expected at most {max} characters, got {chars}"));
        }
        Ok(())
    }

    fn check_items(&self, items: usize) -> Result<(), String> {
        if let Some(min) = self.declaration.min_items.filter(|min| items < *min) {
            return Err(format!("expected at least {min} items, got {items}"));
        }
        if let Some(max) = self.declaration.max_items.filter(|max| items > *max) {
            return Err(format!("expected at most {max} items, got {items}"));
        }
        Ok(())
    }
}

fn only(texts: &[String]) -> Result<&str, String> {
    match texts {
        [text] => Ok(text),
        _ => Err(format!("expected one value, got {}", texts.len())),
    }
}

fn parse_map(text: &str) -> Result<Value, String> {
    serde_json::from_str::<Map<String, Value>>(text)
        .map(Value::Object)
        .map_err(|_| "expected a JSON object".to_owned())
}

/// The values that the steps of an Automation `document` see for the `given` parameters.
///
/// # Errors
///
/// `InvalidParameters`, if one is unknown, missing, or not as the document declares it. The
/// message never repeats a value, because one of them may be a task token.
pub fn bind(document: &str, declared: &Parameters, given: &Given) -> Result<Values, ApiError> {
    bind_for(Reader::Automation, document, declared, given)
}

/// The values of a Command `document`, which the agent looks at once more: a text that refers to
/// Parameter Store is not checked here, and a map may be any text.
///
/// # Errors
///
/// As those of [`bind`].
pub(crate) fn bind_command(
    document: &str,
    declared: &Parameters,
    given: &Given,
) -> Result<Values, ApiError> {
    bind_for(Reader::RunCommand, document, declared, given)
}

fn bind_for(
    reader: Reader,
    document: &str,
    declared: &Parameters,
    given: &Given,
) -> Result<Values, ApiError> {
    if let Some(unknown) = given.keys().find(|name| !declared.contains_key(*name)) {
        return Err(invalid(document, unknown, "not declared by the document"));
    }
    let mut values = Values::new();
    for (name, parameter) in declared {
        let value = match (given.get(name), &parameter.declaration.default) {
            (Some(texts), _) => {
                parameter.value(texts, reader).map_err(|reason| invalid(document, name, &reason))?
            }
            (None, Some(default)) => default.clone(),
            (None, None) => return Err(invalid(document, name, "required, but missing")),
        };
        values.insert(name.clone(), value);
    }
    Ok(values)
}

fn invalid(document: &str, parameter: &str, reason: &str) -> ApiError {
    ApiError::refused(
        "InvalidParameters",
        format!("Parameter {parameter} of document {document}: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bound(declared: Value, given: Value) -> Result<Values, ApiError> {
        let declared = serde_json::from_value(declared).unwrap();
        bind("Doc", &declared, &serde_json::from_value(given).unwrap())
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn check_refused(declaration: Value, texts: Value, wanted: &str) {
        let error = bound(json!({"p": declaration}), json!({"p": texts})).unwrap_err();
        assert_eq!(error.code, "InvalidParameters");
        assert_eq!(error.message, format!("Parameter p of document Doc: {wanted}"));
    }

    #[test]
    fn every_type_becomes_what_steps_see() {
        let declared = json!({
            "text": {"type": "String"}, "list": {"type": "StringList"},
            "flag": {"type": "Boolean"}, "number": {"type": "Integer"},
            "map": {"type": "StringMap"}, "maps": {"type": "MapList"},
            "absent": {"type": "String", "default": "d"},
        });
        let given = json!({
            "text": ["t"], "list": ["a", "b"], "flag": ["True"], "number": ["-3"],
            "map": [r#"{"k":["v"]}"#], "maps": [r#"{"a":1}"#, r#"{"b":2}"#],
        });
        let expected = json!({
            "text": "t", "list": ["a", "b"], "flag": true, "number": -3,
            "map": {"k": ["v"]}, "maps": [{"a": 1}, {"b": 2}], "absent": "d",
        });
        assert_eq!(serde_json::to_value(bound(declared, given).unwrap()).unwrap(), expected);
    }

    #[test]
    fn refuses_what_the_declaration_does_not_allow() {
        let pattern = json!({"type": "String", "allowedPattern": "a|ab"});
        check_refused(pattern.clone(), json!(["abc"]), "expected a match of the pattern a|ab");
        assert!(bound(json!({"p": pattern}), json!({"p": ["ab"]})).is_ok());
        let values = json!({"type": "String", "allowedValues": ["Fail", "Report"]});
        check_refused(values, json!(["fail"]), r#"expected one of ["Fail","Report"]"#);
        let chars = json!({"type": "String", "minChars": 2, "maxChars": 3});
        check_refused(chars.clone(), json!(["ä"]), "expected at least 2 characters, got 1");
        check_refused(chars, json!(["1234"]), "expected at most 3 characters, got 4");
        let items = json!({"type": "StringList", "minItems": 1, "maxItems": 1});
        check_refused(items.clone(), json!([]), "expected at least 1 items, got 0");
        check_refused(items, json!(["a", "b"]), "expected at most 1 items, got 2");
        let text = json!({"type": "String"});
        check_refused(text, json!(["a", "b"]), "expected one value, got 2");
        check_refused(json!({"type": "Integer"}), json!(["x"]), "expected an integer");
        check_refused(json!({"type": "Boolean"}), json!(["x"]), "expected true or false");
        check_refused(json!({"type": "StringMap"}), json!(["[]"]), "expected a JSON object");
    }

    #[test]
    fn run_command_leaves_to_the_agent_what_only_the_agent_knows() {
        let declared = json!({
            "text": {"type": "String", "allowedPattern": "^x$"}, "map": {"type": "StringMap"},
        });
        let declared: Parameters = serde_json::from_value(declared).unwrap();
        let bound =
            |given: Value| bind_command("Doc", &declared, &serde_json::from_value(given).unwrap());
        let given = json!({"text": ["{{ssm:x}}"], "map": ["a: b"]});
        let values = bound(given.clone()).unwrap();
        assert_eq!((&values["text"], &values["map"]), (&json!("{{ssm:x}}"), &json!("a: b")));
        assert!(bind("Doc", &declared, &serde_json::from_value(given).unwrap()).is_err());
        assert!(bound(json!({"text": ["y"], "map": ["{}"]})).is_err());
    }

    #[test]
    fn refuses_unknown_and_missing_parameters() {
        let declared = json!({"p": {"type": "String"}});
        let unknown = bound(declared.clone(), json!({"p": ["x"], "q": ["y"]})).unwrap_err();
        assert_eq!(unknown.message, "Parameter q of document Doc: not declared by the document");
        let missing = bound(declared, json!({})).unwrap_err();
        assert_eq!(missing.message, "Parameter p of document Doc: required, but missing");
    }

    #[test]
    fn a_declaration_that_cannot_be_read_is_an_error() {
        assert!(Parameter::deserialize(&json!({"type": "Text"})).is_err());
        let bad = json!({"type": "String", "allowedPattern": "("});
        let error = Parameter::deserialize(&bad).unwrap_err();
        assert_eq!(error.to_string(), "allowedPattern: expected a pattern, got (");
    }
}
