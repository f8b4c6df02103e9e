//! What the agent itself checks of a document's parameters, and in what words it refuses one. It
//! quotes the value (seen with amazon-ssm-agent 3.3).

use serde_json::Value;

use super::go;
use crate::documents::{Kind, Parameter, Parameters, Values, as_text, has_ssm_reference};

/// Who runs the document: the checks differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunBy {
    /// A command: the service has checked the rest.
    Command,
    /// A step of another document.
    Document,
}

/// A check of one value: its name, and the check itself.
type Check = (&'static str, fn(&Parameter, &Value) -> Result<(), String>);

const PATTERN: Check = ("AllowedRegexParamValidator", check_pattern);
const OF_NESTED: [Check; 3] = [
    ("MinMaxCharParamValidator", check_chars),
    ("MinMaxItemParamValidator", check_items),
    ("AllowedValueParamValidator", check_allowed),
];

/// Checks each declared parameter. `given` are the values before references to Parameter Store were
/// resolved: a value that holds one is checked against its pattern only.
///
/// # Errors
///
/// What the agent says, with every value that is not as it is declared.
pub(crate) fn check(
    declared: &Parameters,
    given: &Values,
    resolved: &Value,
    run_by: RunBy,
) -> Result<(), String> {
    let of = |name: &String, parameter: &Parameter, (check, run): &Check| {
        let reason = run(parameter, &resolved[name]).err()?;
        Some(format!("error thrown in '{check}' while validating parameter /{name}/: {reason}"))
    };
    let patterns = declared.iter().filter_map(|(name, parameter)| of(name, parameter, &PATTERN));
    let mut reasons: Vec<_> = patterns.collect();
    if run_by == RunBy::Document {
        for (name, parameter) in declared {
            let is_reference =
                given.get(name).is_some_and(|value| has_ssm_reference(&as_text(value)));
            let checks = OF_NESTED.iter().filter(|_| !is_reference);
            reasons.extend(checks.filter_map(|check| of(name, parameter, check)));
        }
    }
    match &reasons[..] {
        [] => Ok(()),
        _ => Err(format!("all errors during param validation errors: {}", reasons.join("\n"))),
    }
}

/// The texts of a value: an item of a list that is no text, and a map, count as their JSON.
fn texts(parameter: &Parameter, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(items) => Ok(items.iter().map(|item| as_text(item).into_owned()).collect()),
        Value::Object(_) => Ok(vec![value.to_string()]),
        _ => Err(invalid_type(parameter, value)),
    }
}

fn invalid_type(parameter: &Parameter, value: &Value) -> String {
    let kind = parameter.kind().as_str();
    format!("invalid parameter type {kind} with parameter value {}", go::value(value))
}

fn check_pattern(parameter: &Parameter, value: &Value) -> Result<(), String> {
    let Some(pattern) = parameter.pattern() else { return Ok(()) };
    // The agent looks for a match anywhere in the text.
    let broken = texts(parameter, value)?.into_iter().find(|text| !pattern.is_match(text));
    broken.map_or(Ok(()), |text| {
        Err(format!("parameter value /{text}/ does not match the allowed pattern /{pattern}/"))
    })
}

fn check_chars(parameter: &Parameter, value: &Value) -> Result<(), String> {
    let (min, max) = parameter.chars();
    if (min, max) == (None, None) || is_scalar(parameter) {
        return Ok(());
    }
    for text in texts(parameter, value)? {
        // They are bytes to the agent.
        if let Some(min) = min.filter(|min| text.len() < *min) {
            return Err(format!(
                "parameter value /{text}/ is less than the min char limit /{min}/"
            ));
        }
        if let Some(max) = max.filter(|max| text.len() > *max) {
            return Err(format!("parameter value /{text}/ is exceeding the max chars /{max}/"));
        }
    }
    Ok(())
}

fn check_items(parameter: &Parameter, value: &Value) -> Result<(), String> {
    let (min, max) = parameter.items();
    if (min, max) == (None, None) || is_scalar(parameter) || parameter.kind() == Kind::String {
        return Ok(());
    }
    let count = match value {
        Value::String(_) => return Ok(()),
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => return Err(invalid_type(parameter, value)),
    };
    if min.is_some_and(|min| count < min) {
        return Err(format!("parameter value list length /{count}/ is less the min item count"));
    }
    if let Some(max) = max.filter(|max| count > *max) {
        return Err(format!("parameter value list length /{max}/ has exceeded the max item count"));
    }
    Ok(())
}

/// An Integer or a Boolean must be its default.
fn check_allowed(parameter: &Parameter, value: &Value) -> Result<(), String> {
    let default = parameter.default().unwrap_or(&Value::Null);
    let written = go::value(value);
    match parameter.kind() {
        Kind::Integer if !value.is_number() => {
            return Err(format!("could not convert /{written}/ to float64 for Integer"));
        }
        Kind::Integer if value.as_f64() != default.as_f64() => {
            let default = go::value(default);
            return Err(format!(
                "parameter value /{written}/ not equal to default /{default}/ for Integer"
            ));
        }
        Kind::Boolean if !value.is_boolean() || value != default => {
            return Err(format!("parameter value /{written}/ not equal to default for Boolean"));
        }
        Kind::Integer | Kind::Boolean => return Ok(()),
        Kind::String | Kind::StringList | Kind::StringMap | Kind::MapList => {}
    }
    let allowed: Vec<_> = parameter.allowed_values().iter().map(as_text).collect();
    if allowed.is_empty() {
        return Ok(());
    }
    let broken =
        texts(parameter, value)?.into_iter().find(|text| !allowed.iter().any(|own| own == text));
    broken.map_or(Ok(()), |text| {
        let allowed = go::list(allowed.iter().map(ToString::to_string));
        Err(format!("parameter value /{text}/ is not in the allowed list {allowed}"))
    })
}

/// The agent checks neither characters nor items of these.
fn is_scalar(parameter: &Parameter) -> bool {
    matches!(parameter.kind(), Kind::Integer | Kind::Boolean)
}
