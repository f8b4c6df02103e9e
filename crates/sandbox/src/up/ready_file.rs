//! The file that tells a program that the sandbox is ready, and how to use it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::cloudformation::stack::Stack;
use crate::sandbox::Sandbox;

/// What the file holds.
#[derive(Debug, Serialize)]
struct Ready<'a> {
    /// The sandbox that wrote the file, and removes no other's.
    mark: &'a str,
    endpoint: &'a str,
    region: &'a str,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    /// The address that opens the page.
    page: String,
    /// Holds `logs/`, and `nodes/` with a directory for each node.
    directory: &'a Path,
    nodes: &'a [String],
    stack: &'a Stack,
    /// ARNs by name.
    state_machines: &'a BTreeMap<String, String>,
}

/// The file's JSON, under this mark.
pub(super) fn text(sandbox: &Sandbox, mark: &str) -> Result<String, serde_json::Error> {
    let credentials = sandbox.credentials();
    serde_json::to_string_pretty(&Ready {
        mark,
        endpoint: sandbox.endpoint(),
        region: sandbox.region(),
        access_key_id: &credentials.access_key_id,
        secret_access_key: &credentials.secret_access_key,
        page: sandbox.page().address(),
        directory: sandbox.directory(),
        nodes: sandbox.nodes(),
        stack: sandbox.stack(),
        state_machines: sandbox.state_machines(),
    })
}
