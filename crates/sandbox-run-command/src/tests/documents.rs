//! Documents of users: their own parameters, several steps, steps for other platforms, documents
//! that run documents.

use super::*;

fn step(name: &str, script: &Value) -> Value {
    json!({"name": name, "action": "aws:runShellScript", "inputs": {"runCommand": script}})
}

/// A document with one step that runs the document which its parameters name.
fn runs_a_document() -> Value {
    json!({
        "parameters": {
            "documentName": {"type": "String"},
            "documentParameters": {"type": "StringMap", "default": {}},
            "taskToken": {"type": "String"},
        },
        "mainSteps": [{
            "name": "run",
            "action": "aws:runDocument",
            "inputs": {
                "documentType": "SSMDocument",
                "documentPath": "{{ documentName }}",
                "documentParameters": "{{ documentParameters }}",
            },
        }],
    })
}

fn send_to(document: &str, parameters: &Value) -> Value {
    json!({"DocumentName": document, "InstanceIds": [NODE], "Parameters": parameters})
}

/// Runs a document to its end; returns the invocation.
async fn run(trial: &Trial, document: &str, parameters: &Value) -> Value {
    let id = trial.send(send_to(document, parameters)).await;
    trial.ended(&id).await;
    trial.invocation(&id, NODE).await
}

#[tokio::test]
async fn parameters_reach_the_script_and_unused_ones_are_accepted() {
    let document = json!({
        "parameters": {
            "commands": {"type": "StringList"},
            "who": {"type": "String", "default": "world"},
            "taskToken": {"type": "String"},
        },
        "mainSteps": [step("greet", &json!(["echo hello {{ who }}", "{{ commands }}"]))],
    });
    let trial = Trial::with(&[("Greet", document)], Duration::ZERO);
    let parameters = json!({"commands": ["echo one", "echo two"], "taskToken": ["AAAA"]});
    let invocation = run(&trial, "Greet", &parameters).await;
    assert_eq!(invocation["StandardOutputContent"], "hello world\none\ntwo\n");
    assert_eq!(invocation["PluginName"], "greet");
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
    assert_eq!(codes, [4, 0, 5], "the last one never began");

    let get = |plugin: Value| {
        let body = json!({"CommandId": id, "InstanceId": NODE, "PluginName": plugin});
        trial.call("GetCommandInvocation", body)
    };
    let second = get(json!("second")).await.unwrap();
    assert_eq!(
        (&second["Status"], &second["StandardOutputContent"]),
        (&json!("Success"), &json!("2\n"))
    );
    assert_eq!(get(json!("last")).await.unwrap()["ResponseCode"], -1);
    for wrong in [json!("other"), Value::Null] {
        assert_eq!(get(wrong).await.unwrap_err().code, "InvalidPluginName");
    }
}

#[tokio::test]
async fn steps_for_another_platform_are_skipped() {
    let on = |platform: &str, step: Value| {
        with(step, &json!({"precondition": {"StringEquals": ["platformType", platform]}}))
    };
    let steps = json!([
        on(
            "Windows",
            with(step("win", &json!(["x"])), &json!({"action": "aws:runPowerShellScript"}))
        ),
        on("Linux", step("nix", &json!(["echo nix"]))),
    ]);
    let trial = Trial::with(&[("Both", json!({"mainSteps": steps}))], Duration::ZERO);
    let id = trial.send(send_to("Both", &json!({}))).await;
    assert_eq!(trial.ended(&id).await["Status"], "Success");
    let plugins = trial.invocations(&id).await[0]["CommandPlugins"].clone();
    assert_eq!(plugins[1]["Output"], "nix\n");
    let skipped = plugins[0]["Output"].as_str().unwrap();
    assert!(skipped.starts_with("Step execution skipped due to unsatisfied"), "{skipped}");
}

#[tokio::test]
async fn an_unknown_action_fails_the_step() {
    let steps = json!([{"name": "fly", "action": "aws:fly"}]);
    let trial = Trial::with(&[("Fly", json!({"mainSteps": steps}))], Duration::ZERO);
    let invocation = run(&trial, "Fly", &json!({})).await;
    assert_eq!(invocation["Status"], "Failed");
    assert!(invocation["StandardErrorContent"].as_str().unwrap().contains("aws:fly"));
}

#[tokio::test]
async fn a_document_runs_another_document() {
    let trial = Trial::with(&[("RunAny", runs_a_document())], Duration::ZERO);
    let nested = json!({"commands": ["echo nested", "exit 6"]}).to_string();
    let parameters = json!({
        "documentName": ["AWS-RunShellScript"], "documentParameters": [nested], "taskToken": ["A"],
    });
    let invocation = run(&trial, "RunAny", &parameters).await;
    assert_eq!((&invocation["Status"], &invocation["ResponseCode"]), (&json!("Failed"), &json!(6)));
    assert_eq!(invocation["StandardOutputContent"], "nested\n");
    assert_eq!(invocation["PluginName"], "run");
}

#[tokio::test]
async fn a_nested_document_that_cannot_run_fails_and_says_why() {
    let trial = Trial::with(&[("RunAny", runs_a_document())], Duration::ZERO);
    let error = async |name: &str| {
        let parameters = json!({"documentName": [name], "taskToken": ["AAAAsecret"]});
        let invocation = run(&trial, "RunAny", &parameters).await;
        assert_eq!(invocation["Status"], "Failed");
        invocation["StandardErrorContent"].as_str().unwrap().to_owned()
    };
    assert!(error("Missing").await.contains("Missing does not exist"));
    let missing = error("AWS-RunShellScript").await;
    assert!(missing.contains("commands") && !missing.contains("AAAAsecret"), "{missing}");
}

#[tokio::test]
async fn a_document_that_runs_itself_ends() {
    let itself = json!({"documentType": "SSMDocument", "documentPath": "Loop"});
    let steps = json!([
        step("turn", &json!(["echo turn"])),
        {"name": "again", "action": "aws:runDocument", "inputs": itself},
    ]);
    let trial = Trial::with(&[("Loop", json!({"mainSteps": steps}))], Duration::ZERO);
    let id = trial.send(send_to("Loop", &json!({}))).await;
    assert_eq!(trial.ended(&id).await["Status"], "Failed");
    let again = &trial.invocations(&id).await[0]["CommandPlugins"][1];
    let output = again["Output"].as_str().unwrap();
    assert_eq!(output.matches("turn\n").count(), 3, "{output}");
    assert!(output.contains("more than 3 deep"), "{output}");
}
