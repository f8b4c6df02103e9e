//! `{{ssm:name}}` in a document and in its parameters, which the agent replaces by a parameter of
//! Parameter Store. What it inserts is not looked at again (seen with amazon-ssm-agent 3.3).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::go;
use crate::documents::ssm_references;
use crate::parameter_store::{ParameterStore, StoredKind, StoredParameter};

/// What stands for each reference, by the reference as it is written.
type Resolved = BTreeMap<String, (String, StoredParameter)>;

/// The same value with each reference replaced.
///
/// # Errors
///
/// What the agent says of a document that it refuses for one of its references.
pub(crate) async fn resolve(input: &Value, store: &dyn ParameterStore) -> Result<Value, String> {
    let mut references = BTreeMap::new();
    collect(input, &mut references);
    if references.is_empty() {
        return Ok(input.clone());
    }
    let names: BTreeSet<_> = references.values().cloned().collect();
    let found = store.parameters(names.iter().cloned().collect()).await?;
    let missing: Vec<_> = names.into_iter().filter(|name| !found.contains_key(name)).collect();
    if !missing.is_empty() {
        return Err(format!("Input contains invalid parameters {}", go::list(missing)));
    }
    let is_secure = |name: &&String| found[*name].kind == StoredKind::SecureString;
    let secure: Vec<_> = found.keys().filter(is_secure).cloned().collect();
    if !secure.is_empty() {
        let names = go::list(secure);
        return Err(format!("Parameters {names} of type SecureString are not supported"));
    }
    let resolved = references.into_iter().map(|(reference, name)| {
        let parameter = found[&name].clone();
        (reference, (name, parameter))
    });
    replaced(input, &resolved.collect())
}

/// Every reference in the value, with the name that it holds.
fn collect(input: &Value, references: &mut BTreeMap<String, String>) {
    match input {
        Value::String(text) => references.extend(ssm_references(text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        Value::Object(members) => members.values().for_each(|member| collect(member, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn replaced(input: &Value, resolved: &Resolved) -> Result<Value, String> {
    match input {
        Value::String(text) => replaced_text(text, resolved).map(Value::String),
        Value::Array(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                match item.as_str().and_then(|text| resolved.get(text.trim())) {
                    // As one of several items, a list becomes several items.
                    Some((_, parameter)) if parameter.kind == StoredKind::StringList => {
                        list.extend(parameter.value.split(',').map(Value::from));
                    }
                    _ => list.push(replaced(item, resolved)?),
                }
            }
            Ok(list.into())
        }
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| Ok((name.clone(), replaced(member, resolved)?)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(input.clone()),
    }
}

fn replaced_text(text: &str, resolved: &Resolved) -> Result<String, String> {
    let (mut whole, mut rest) = (String::with_capacity(text.len()), text);
    for (reference, _) in ssm_references(text) {
        let (name, parameter) = &resolved[&reference];
        if parameter.kind == StoredKind::StringList {
            return Err(format!("Parameter {name} of type StringList cannot be used as a String"));
        }
        let (before, after) = rest.split_once(&reference).unwrap_or((rest, ""));
        whole.push_str(before);
        whole.push_str(&parameter.value);
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}
