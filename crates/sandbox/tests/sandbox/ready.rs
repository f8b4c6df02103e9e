//! What programs are told when the sandbox is ready, and what they may ask of its stack.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::running::{Running, shared};

#[test]
fn the_ready_file_tells_how_to_use_the_sandbox() {
    let process = &shared().running.process;
    let ready = process.ready();
    assert!(ready.endpoint.starts_with("http://127.0.0.1:"), "{}", ready.endpoint);
    assert_eq!(ready.region, "us-east-1");
    let nodes: Vec<_> = (1..=3).map(|number| format!("i-{number:017x}")).collect();
    assert_eq!(ready.nodes, nodes);
    assert!(ready.nodes.iter().all(|node| ready.directory.join("nodes").join(node).is_dir()));
    assert_eq!(ready.stack.name, "run-command-relay");
    assert_eq!(ready.stack.outputs["Function"], "obedient");
    assert!(ready.state_machines.is_empty(), "{:?}", ready.state_machines);
    let env_file = fs::read_to_string(process.env_file()).expect("the environment file");
    for value in [&ready.endpoint, &ready.access_key_id, &ready.secret_access_key] {
        assert!(env_file.contains(&format!("={value}\n")), "{env_file}");
    }
}

#[tokio::test]
async fn a_parameter_reaches_the_template() {
    let running = Running::start(&["--parameter", "Greeting=good = morning"]);
    let path = "/2015-03-31/functions/obedient/invocations";
    let body = json!({ "do": "environment" }).to_string();
    let request = running.client().request(Method::POST, path, "lambda").body(body);
    let environment: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(environment["GREETING"], "good = morning");
}

#[test]
fn an_unknown_parameter_is_an_error_that_names_the_declared_ones() {
    let problem = Running::try_start(&["--parameter", "Greetings=hello"]).expect_err("an error");
    let told = "sandbox: --parameter: expected one of Greeting, got Greetings";
    assert!(problem.contains(told), "{problem}");
}
