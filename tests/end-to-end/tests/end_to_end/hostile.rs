//! Text that shells, paths and documents make much of, in the parameters of the deployed documents.
//! That any text arrives as what it is, is shown by `tests/checks`; here it goes through
//! CloudFormation, Step Functions and the SDKs, too.

use std::fs;

use aws_sdk_ssm::types::ParameterType;
use rstest::rstest;
use sandbox_client::Sandbox;
use serde_json::{Value, json};

use crate::{borrowed, node, task};

/// The script is printed and not run: each of its lines must come out as it went in.
const PRINT_ME: &str = "#!/bin/cat";
const LINES: [&str; 8] = [
    "$(touch x) `touch x`; rm -rf . && touch x",
    "\"double\" 'single' \\ back",
    "{{ commands }}{{commands}} {{ taskToken }} {{ Commands }} {{ ssm:x }} {{ global:REGION }}",
    "two\nlines\r\n",
    "ü 漢字 🦀 \u{202e}\u{2028}\u{feff}",
    "a\u{0}b\u{7}\u{1b}[2J",
    "$.Parameters $$.Task.Token {% $states.input %} States.Format('{}', 1)",
    "",
];
/// The one reference in it that the agent replaces, and what Parameter Store holds for it.
const REFERENCE: (&str, &str) = ("{{ ssm:x }}", "{{ commands }} of x");
/// A directory's name, and nothing but that.
const DIRECTORY: &str = "/$(touch x)/`touch x`; touch x/{{ commands }}/\"a\" 'b' \\ ü *";

fn script() -> Vec<&'static str> {
    [PRINT_ME].into_iter().chain(LINES).collect()
}

fn shell_task(node: &str, script: &[&str], directory: &str) -> Value {
    let mut task = task("SfnRunShellScript", &[node], script);
    task["Parameters"]["Parameters"]["workingDirectory"] = json!([directory]);
    task
}

fn automation_task(node: &str, script: &[&str], directory: &str) -> Value {
    let mut task = task("SfnRunCommandByInstanceIds", &[], &[]);
    task["Resource"] =
        json!("arn:aws:states:::aws-sdk:ssm:startAutomationExecution.waitForTaskToken");
    task["Parameters"] = json!({
        "DocumentName": "SfnRunCommandByInstanceIds",
        "Parameters": {
            "InstanceIds": [node],
            "Commands": script,
            "workingDirectory": [directory],
            "taskToken.$": "States.Array($$.Task.Token)",
        },
    });
    task
}

fn nested_task(node: &str, script: &[&str], directory: &str) -> Value {
    let mut task = task("SfnRunDocument", &[node], &[]);
    let nested = json!({ "commands": script, "workingDirectory": directory }).to_string();
    let parameters = &mut task["Parameters"]["Parameters"];
    parameters["documentName"] = json!(["AWS-RunShellScript"]);
    parameters["documentParameters"] = json!([nested]);
    parameters.as_object_mut().expect("parameters").remove("commands");
    task
}

#[rstest]
#[case::a_command(shell_task)]
#[case::an_automation(automation_task)]
#[case::another_document(nested_task)]
#[tokio::test]
async fn hostile_text_is_text(#[case] task: fn(&str, &[&str], &str) -> Value) {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["online"]);
    let [id] = borrowed(&nodes)[..] else { panic!("one node") };
    let home = sandbox.node_directory(id);
    fs::create_dir_all(home.join(&DIRECTORY[1..])).expect("a directory of the node");

    let parameter = sandbox.ssm.put_parameter().name("x").value(REFERENCE.1).overwrite(true);
    parameter.r#type(ParameterType::String).send().await.expect("a parameter");

    let ended = sandbox.run_task(&task(id, &script(), DIRECTORY)).await;
    let expected: String = script().iter().flat_map(|line| [line, "\n"]).collect();
    let expected = expected.replace(REFERENCE.0, REFERENCE.1);
    assert_eq!(node(ended.success(), id)["StandardOutputContent"], expected);

    let up = "../".repeat(DIRECTORY.split('/').skip(1).count());
    let ended = sandbox.run_task(&task(id, &["pwd", &format!("ls -A {up}")], DIRECTORY)).await;
    let stdout = node(ended.success(), id)["StandardOutputContent"].as_str().expect("a text");
    // Nothing but the directory came into being: no `x` anywhere.
    let expected = format!("{}{DIRECTORY}\n.commands\n$(touch x)\nnode.json\n", home.display());
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(stdout), sorted(&expected));
}

/// As README.md shows it: a value of the state's input is data of the script, not text of it.
#[rstest]
#[case::substitution("$(touch x) `touch x`")]
#[case::quotes("'; touch x; '\"; touch x; \"")]
#[case::lines("a\nEOF\ntouch x\n{{ssm:x}} \\ %s")]
#[tokio::test]
async fn a_value_of_the_input_is_data_of_the_script(#[case] value: &str) {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["online"]);
    let mut run = crate::shell_task(&borrowed(&nodes), &[]);
    let parameters = run["Parameters"]["Parameters"].as_object_mut().expect("an object");
    parameters.remove("commands");
    parameters.insert(
        "commands.$".to_owned(),
        json!(
            "States.Array('set -eu', States.Format('name=$(printf %s {} | base64 -d)', \
             States.Base64Encode($.Name)), 'printf \"%s\" \"$name\"', 'ls')"
        ),
    );
    let states = json!({ "StartAt": "Run", "States": { "Run": run } });
    let state_machine = sandbox.create_state_machine(&states).await;
    let ended = sandbox.run(&state_machine, &json!({ "Name": value })).await;
    let stdout = node(ended.success(), &nodes[0])["StandardOutputContent"].as_str();
    let listed = stdout.and_then(|stdout| stdout.strip_prefix(value)).expect("the value");
    assert!(!listed.lines().any(|name| name == "x"), "the value was run");
}
