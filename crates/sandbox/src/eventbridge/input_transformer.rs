//! What a target gets instead of the event (EventBridge API, `InputTransformer`).
//!
//! Paths are `$.field.field`. The variables that EventBridge defines itself (`<aws.…>`) and other
//! forms of paths are refused, not guessed.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::Value;

/// A target's input transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct InputTransformer {
    /// The path of each variable.
    pub paths: BTreeMap<String, String>,
    /// JSON text with `<variable>`, inside strings or as a whole value.
    pub template: String,
}

impl InputTransformer {
    /// The transformer of a target, as the API tells it.
    pub fn of_target(target: &Value) -> Option<Self> {
        let transformer = target["InputTransformer"].as_object()?;
        let paths = transformer.get("InputPathsMap").and_then(Value::as_object);
        let path = |(name, path): (&String, &Value)| (name.clone(), text(path));
        Some(Self {
            paths: paths.into_iter().flatten().map(path).collect(),
            template: transformer.get("InputTemplate").map(text).unwrap_or_default(),
        })
    }

    /// The input made of an event.
    ///
    /// # Errors
    ///
    /// What is wrong with a variable or a path, or that the result is no JSON. A path that leads
    /// nowhere leaves nothing in its place.
    pub fn apply(&self, event: &Value) -> Result<String, String> {
        let mut input = String::new();
        let mut rest = self.template.as_str();
        while let Some((before, after)) = rest.split_once('<') {
            let Some((name, after)) = after.split_once('>') else {
                return Err("the input template has a `<` without a `>`".to_owned());
            };
            input.push_str(before);
            let path = self.paths.get(name).ok_or_else(|| {
                format!("the input template names `{name}`, which is no variable of the target")
            })?;
            if let Some(value) = value_at(event, path)? {
                input.push_str(&inserted(value, is_in_text(&input)));
            }
            rest = after;
        }
        input.push_str(rest);
        match serde_json::from_str::<IgnoredAny>(&input) {
            Ok(_) => Ok(input),
            Err(error) => Err(format!("the transformed input is no JSON: {error}")),
        }
    }
}

fn value_at<'a>(event: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let fields = path.strip_prefix("$.").filter(|fields| !fields.contains(['[', '*', '?', '@']));
    let fields = fields.ok_or_else(|| {
        format!("expected a path such as `$.detail.status` in an input path, got `{path}`")
    })?;
    Ok(fields.split('.').try_fold(event, |value, field| value.get(field)))
}

/// A value as it stands in the template: a whole one in JSON, or inside a text.
fn inserted(value: &Value, is_in_text: bool) -> String {
    match value {
        Value::String(text) if is_in_text => escaped(text),
        value if is_in_text => escaped(&value.to_string()),
        value => value.to_string(),
    }
}

fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Whether the end of this JSON text is inside a string.
fn is_in_text(json: &str) -> bool {
    let mut is_in_text = false;
    let mut chars = json.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => is_in_text = !is_in_text,
            '\\' if is_in_text => drop(chars.next()),
            _ => {}
        }
    }
    is_in_text
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn applied(paths: Value, template: &str) -> Result<String, String> {
        let target = json!({
            "InputTransformer": { "InputPathsMap": paths, "InputTemplate": template },
        });
        let event = json!({
            "time": "2026-11-24T10:00:00Z",
            "detail": { "command-id": "c-1", "quote": "a \"b\" <c>", "nodes": [1, 2] },
        });
        InputTransformer::of_target(&target).unwrap().apply(&event)
    }

    #[test]
    fn a_target_without_one_has_none() {
        assert_eq!(InputTransformer::of_target(&json!({ "Arn": "arn" })), None);
    }

    #[test]
    fn a_variable_is_a_whole_value_or_a_part_of_a_text() {
        let paths = json!({
            "id": "$.detail.command-id", "quote": "$.detail.quote", "nodes": "$.detail.nodes",
        });
        for (template, expected) in [
            (r#"{"id": <id>, "is": "x"}"#, r#"{"id": "c-1", "is": "x"}"#),
            (r#"{"on": <nodes>, "of": <id>}"#, r#"{"on": [1,2], "of": "c-1"}"#),
            (r#"{"is": "of <id> \" <nodes>"}"#, r#"{"is": "of c-1 \" [1,2]"}"#),
            (r#"[<quote>, "<quote>"]"#, r#"["a \"b\" <c>", "a \"b\" <c>"]"#),
        ] {
            assert_eq!(applied(paths.clone(), template).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (paths, template, expected) in [
            (json!({}), "<id>", "names `id`, which is no variable"),
            (json!({}), "\"<id", "a `<` without a `>`"),
            (json!({ "id": "$.detail.nodes[0]" }), "<id>", "got `$.detail.nodes[0]`"),
            (json!({ "id": "detail" }), "<id>", "got `detail`"),
            (json!({ "id": "$.detail.none" }), r#"{"id": <id>}"#, "no JSON"),
        ] {
            let error = applied(paths, template).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
