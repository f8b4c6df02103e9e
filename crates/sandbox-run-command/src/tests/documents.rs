//! Documents of users: their own parameters, and several steps.

use super::*;

#[tokio::test]
async fn parameters_reach_the_script_and_unused_ones_are_accepted() {
    let document = json!({
        "parameters": {
            "commands": {"type": "StringList"},
            "who": {"type": "String", "default": "world"},
            "taskToken": {"type": "String"},
        },
        "mainSteps": [
                step("greet", &json!(["echo hello {{ who }}"])),
                step("run", &json!("{{ commands }}")),
            ],
    });
    let trial = Trial::with(&[("Greet", document)], Duration::ZERO);
    let parameters = json!({"commands": ["echo one", "echo two"], "taskToken": ["AAAA"]});
    let steps = trial.steps(send_to("Greet", &parameters)).await;
    let outputs: Vec<_> = steps.iter().map(|step| &step["Output"]).collect();
    assert_eq!(outputs, ["hello world\n", "one\ntwo\n"]);
    assert_eq!(steps[0]["Name"], "greet");
}

#[tokio::test]
async fn several_steps_are_told_apart_by_their_names() {
    let mut last = step("last", &json!(["echo never"]));
    last["inputs"]["onFailure"] = json!("exit");
    let steps = json!([
        step("first", &json!(["echo 1; exit 4"])),
        step("second", &json!(["echo 2"])),
        with(
            step("third", &json!([])),
            &json!({"inputs": {"runCommand": ["exit 5"], "onFailure": "exit"}})
        ),
        last,
    ]);
    let trial = Trial::with(&[("Steps", json!({"mainSteps": steps}))], Duration::ZERO);
    let id = trial.send(send_to("Steps", &json!({}))).await;
    assert_eq!(trial.ended(&id).await["Status"], "Failed");

    let plugins = trial.invocations(&id).await[0]["CommandPlugins"].as_array().unwrap().clone();
    let codes: Vec<_> = plugins.iter().map(|plugin| plugin["ResponseCode"].clone()).collect();
    assert_eq!(codes, [4, 0, 5, 0], "the last one is skipped");

    let get = |plugin: Value| {
        let body = json!({"CommandId": id, "InstanceId": NODE, "PluginName": plugin});
        trial.call("GetCommandInvocation", body)
    };
    let second = get(json!("second")).await.unwrap();
    assert_eq!(
        (&second["Status"], &second["StandardOutputContent"]),
        (&json!("Success"), &json!("2\n"))
    );
    assert_eq!(get(json!("last")).await.unwrap()["StandardOutputContent"], "");
    for wrong in [json!("other"), Value::Null] {
        assert_eq!(get(wrong).await.unwrap_err().code, "InvalidPluginName");
    }
}
