//! Reads Parameter Store of moto for the agents of nodes.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sandbox_run_command::parameter_store::{ParameterStore, StoredKind, StoredParameter};
use serde::Deserialize;
use serde_json::json;

use crate::aws::{Client, SSM};
use crate::error_chain::error_chain;

/// The most names of one call (SSM API, `GetParameters`).
const NAMES_MAX: usize = 10;

/// The parameters that moto's Systems Manager knows.
#[derive(Debug, Clone)]
pub struct StoredParameters {
    moto: Client,
}

/// The answer of `GetParameters`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    parameters: Vec<Found>,
}

/// A parameter in it. Its name has no version.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    name: String,
    r#type: String,
    value: String,
    version: u64,
}

impl StoredParameters {
    /// The parameters of this moto.
    pub fn new(moto: Client) -> Self {
        Self { moto }
    }
}

impl ParameterStore for StoredParameters {
    fn parameters(
        &self,
        names: Vec<String>,
    ) -> BoxFuture<'static, Result<BTreeMap<String, StoredParameter>, String>> {
        let moto = self.moto.clone();
        async move {
            let mut parameters = BTreeMap::new();
            for names in names.chunks(NAMES_MAX) {
                let answer = moto.json(SSM, "GetParameters", &json!({ "Names": names })).await;
                let answer = answer.map_err(|error| error_chain(&error))?;
                let Answer { parameters: found } =
                    serde_json::from_value(answer).map_err(|error| error.to_string())?;
                parameters.extend(names.iter().filter_map(|name| {
                    let parameter = found.iter().filter(|found| found.has_name(name));
                    let newest = parameter.max_by_key(|found| found.version)?;
                    Some((name.clone(), newest.stored()))
                }));
            }
            Ok(parameters)
        }
        .boxed()
    }
}

impl Found {
    /// Whether this is what was asked for, by its name or by its name and version.
    fn has_name(&self, asked: &str) -> bool {
        match asked.split_once(':') {
            Some((name, version)) => self.name == name && self.version.to_string() == version,
            None => self.name == asked,
        }
    }

    fn stored(&self) -> StoredParameter {
        let kind = match self.r#type.as_str() {
            "SecureString" => StoredKind::SecureString,
            "StringList" => StoredKind::StringList,
            _ => StoredKind::String,
        };
        StoredParameter { kind, value: self.value.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::Found;

    #[test]
    fn a_name_may_be_followed_by_a_version() {
        let found = Found {
            name: "/app/x".to_owned(),
            r#type: "String".to_owned(),
            value: "v".to_owned(),
            version: 12,
        };
        assert!(found.has_name("/app/x") && found.has_name("/app/x:12"));
        assert!(!found.has_name("/app/x:1") && !found.has_name("/app/"));
    }
}
