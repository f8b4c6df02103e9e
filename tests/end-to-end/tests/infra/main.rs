//! The stack: what its template says, what comes of it when it is deployed, and how it is deployed.

mod code_bucket;
mod combinations;
mod deploy_script;
mod deployer;
mod deploying;
mod destroying;
mod events;
mod limits;
mod makefile;
mod metrics;
mod options;
mod permissions;
mod reservations;
mod runbook;
mod state_machines;
mod states;
mod template;

use std::process::{Command, Output};
use std::sync::LazyLock;

use sandbox_client::{python_tool, workspace};
use serde_json::Value;

/// Prints the template as JSON, with `Ref` and `Fn::…` written out.
const TEMPLATE_AS_JSON: &str = "\
import json, sys
from cfnlint.decode import decode
template, problems = decode(sys.argv[1])
assert not problems, problems
print(json.dumps(template))";

/// The template, with `Ref` and `Fn::…` written out.
static TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
    let path = workspace().join("infra/template.yaml");
    let mut python = Command::new(python_tool("python"));
    let printed = succeed(python.args(["-c", TEMPLATE_AS_JSON]).arg(path));
    serde_json::from_str(&printed).expect("the template as JSON")
});

/// The resources of this type, by logical id.
fn resources(kind: &str) -> impl Iterator<Item = (&'static str, &'static Value)> {
    let resources = TEMPLATE["Resources"].as_object().expect("the template has resources");
    resources
        .iter()
        .filter(move |(_, resource)| resource["Type"] == kind)
        .map(|(id, resource)| (id.as_str(), &resource["Properties"]))
}

/// What a program printed.
///
/// # Panics
///
/// When it failed, with all that it said.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", words(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// All that a program said.
fn words(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    format!("{}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr))
}
