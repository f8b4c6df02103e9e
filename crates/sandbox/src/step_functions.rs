//! Step Functions: creates state machines in moto, beside the stack.

pub mod history;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::json;

use crate::arn::ACCOUNT;
use crate::aws::{CallError, Client, STATES};

/// Why the state machines were not created.
#[derive(Debug, thiserror::Error)]
pub enum StateMachinesError {
    /// A file could not be read.
    #[error("reading {path}")]
    Read {
        /// The file or the directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Creates a state machine of each file `NAME.asl.json` in this directory. Returns ARNs by name.
pub async fn create_state_machines(
    moto: &Client,
    directory: &Path,
) -> Result<BTreeMap<String, String>, StateMachinesError> {
    let unreadable = |source| StateMachinesError::Read { path: directory.to_owned(), source };
    let mut created = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let file_name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = file_name.and_then(|name| name.strip_suffix(".asl.json")) else {
            continue;
        };
        let definition = fs::read_to_string(&path)
            .map_err(|source| StateMachinesError::Read { path: path.clone(), source })?;
        let body = json!({
            "name": name,
            "definition": definition,
            "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/sandbox-state-machines"),
        });
        let answer = moto.json(STATES, "CreateStateMachine", &body).await?;
        let arn = answer["stateMachineArn"].as_str().unwrap_or_default();
        created.insert(name.to_owned(), arn.to_owned());
    }
    Ok(created)
}
