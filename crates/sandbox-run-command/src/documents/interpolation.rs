//! Replaces `{{ name }}` in a document's inputs by the values of parameters.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

/// The values of a document's parameters, by name.
pub type Values = BTreeMap<String, Value>;

/// How a value is written inside a longer text.
type Written = fn(&Value) -> Cow<'_, str>;

/// The same inputs with each `{{ name }}` of a known parameter replaced.
///
/// A text that is nothing but `{{ name }}` becomes the value itself, whatever its type; inside a
/// longer text, a value that is no text is written as JSON. Replaced text is not looked at again, so
/// that a value cannot pull in another one.
pub fn interpolate(input: &Value, values: &Values) -> Value {
    replaced(input, values, as_text)
}

/// The same as the agent does it: inside a longer text, `$$` in a value becomes `$` (seen with
/// amazon-ssm-agent 3.3).
pub(crate) fn interpolate_as_agent(input: &Value, values: &Values) -> Value {
    replaced(input, values, |value| as_text(value).replace("$$", "$").into())
}

fn replaced(input: &Value, values: &Values, written: Written) -> Value {
    match input {
        Value::String(text) => replaced_text(text, values, written),
        Value::Array(items) => items.iter().map(|item| replaced(item, values, written)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), replaced(member, values, written)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => input.clone(),
    }
}

fn replaced_text(text: &str, values: &Values, written: Written) -> Value {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, value, after)) = next_parameter(rest, values) {
        if before.is_empty() && after.is_empty() && rest.len() == text.len() {
            return value.clone();
        }
        whole.push_str(before);
        whole.push_str(&written(value));
        rest = after;
    }
    whole.push_str(rest);
    Value::String(whole)
}

/// The text before the next known parameter, its value, and the text after it.
fn next_parameter<'a>(text: &'a str, values: &'a Values) -> Option<(&'a str, &'a Value, &'a str)> {
    text.match_indices("{{").find_map(|(start, _)| {
        let (name, after) = text[start + 2..].split_once("}}")?;
        let value = values.get(name.trim())?;
        Some((&text[..start], value, after))
    })
}

/// A value as the text that it is inside another text.
pub fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn check(input: Value, expected: Value) {
        let values = Values::from([
            ("commands".to_owned(), json!(["a", "b"])),
            ("name".to_owned(), json!("x")),
            ("count".to_owned(), json!(3)),
            ("nested".to_owned(), json!("{{ name }}")),
        ]);
        assert_eq!(interpolate(&input, &values), expected);
    }

    #[test]
    fn a_whole_text_becomes_the_value() {
        check(json!("{{ commands }}"), json!(["a", "b"]));
        check(json!("{{count}}"), json!(3));
        check(json!({"run": ["{{ commands }}"]}), json!({"run": [["a", "b"]]}));
    }

    #[test]
    fn inside_a_text_the_value_is_text() {
        check(json!("-{{ name }}-{{count}}-"), json!("-x-3-"));
        check(json!("all: {{ commands }}"), json!(r#"all: ["a","b"]"#));
    }

    #[test]
    fn what_is_no_parameter_stays() {
        check(json!("{{ other }} {{ name }}"), json!("{{ other }} x"));
        check(json!("{{ name"), json!("{{ name"));
        check(json!("}} {{ {{ name }}"), json!("}} {{ x"));
        check(json!([1, null, true]), json!([1, null, true]));
    }

    #[test]
    fn only_the_agent_makes_one_dollar_of_two() {
        let values = Values::from([("price".to_owned(), json!("5$$"))]);
        let [alone, inside] = [json!("{{ price }}"), json!("is {{ price }}")];
        assert_eq!(interpolate_as_agent(&alone, &values), json!("5$$"));
        assert_eq!(interpolate_as_agent(&inside, &values), json!("is 5$"));
        assert_eq!(interpolate(&inside, &values), json!("is 5$$"));
    }

    #[test]
    fn a_value_cannot_pull_in_another_one() {
        check(json!("{{ nested }}!"), json!("{{ name }}!"));
    }
}
