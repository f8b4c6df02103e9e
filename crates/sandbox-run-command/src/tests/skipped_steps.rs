//! Steps that are not run.

use super::*;

/// Runs a document with these steps; returns the command's end and the steps.
async fn run(steps: Value) -> (Value, Vec<Value>) {
    let trial = Trial::with(&[("Steps", json!({"mainSteps": steps}))], Duration::ZERO);
    let id = trial.send(send_to("Steps", &json!({}))).await;
    let command = trial.ended(&id).await;
    let steps = trial.invocations(&id).await[0]["CommandPlugins"].as_array().unwrap().clone();
    for step in &steps {
        let body = json!({"CommandId": id, "InstanceId": NODE, "PluginName": step["Name"]});
        let one = trial.call("GetCommandInvocation", body).await.unwrap();
        if step["Output"].as_str().unwrap().contains("skipped") {
            assert_eq!((end_of(&one).2, end_of(&one).3), ("", ""), "the reason is in Output only");
        }
    }
    (command, steps)
}

#[tokio::test]
async fn a_step_for_another_platform_is_skipped_with_its_reason_in_output_only() {
    let (command, steps) = run(json!([
        on("Windows", step("win", &json!(["echo never"]))),
        on("Linux", step("nix", &json!(["echo nix"]))),
    ]))
    .await;
    assert_eq!(command["StatusDetails"], "Success");
    assert_eq!(
        steps[0]["Output"],
        "Step execution skipped due to unsatisfied preconditions: '\"StringEquals\": \
         [platformType, Windows]'. Step name: win"
    );
    assert_eq!(
        (&steps[0]["StatusDetails"], &steps[0]["ResponseCode"]),
        (&json!("Success"), &json!(0))
    );
    assert_eq!(steps[1]["Output"], "nix\n");
}

#[tokio::test]
async fn a_document_whose_steps_are_all_skipped_is_a_success() {
    let (command, steps) = run(json!([on("Windows", step("win", &json!(["echo never"])))])).await;
    assert_eq!(command["StatusDetails"], "Success");
    assert!(steps[0]["Output"].as_str().unwrap().starts_with("Step execution skipped due to"));
}

#[tokio::test]
async fn on_failure_exit_skips_the_rest_but_a_finally_step() {
    let failing = json!({"inputs": {"runCommand": ["exit 5"], "onFailure": "exit"}});
    let last = json!({"inputs": {"runCommand": ["echo last"], "finallyStep": true}});
    let (command, steps) = run(json!([
        with(step("fails", &json!([])), &failing),
        step("skipped", &json!(["echo never"])),
        with(step("last", &json!([])), &last),
    ]))
    .await;
    assert_eq!(command["StatusDetails"], "Failed");
    assert_eq!(
        steps[0]["Output"],
        "\n----------ERROR-------\nfailed to run commands: exit status 5"
    );
    assert_eq!(
        steps[1]["Output"],
        "Plugin with name aws:runShellScript and id skipped skipped due to prior step with an exit \
         condition"
    );
    assert_eq!(steps[2]["Output"], "last\n");
}

#[tokio::test]
async fn an_unknown_action_fails_with_its_reason_in_output_only() {
    let (command, steps) = run(json!([{"name": "fly", "action": "aws:fly"}])).await;
    assert_eq!(command["StatusDetails"], "Failed");
    assert_eq!(steps[0]["ResponseCode"], 1);
    assert_eq!(
        steps[0]["Output"],
        "Plugin with name aws:fly is not supported by this version of ssm agent, please update to \
         latest version. Step name: fly"
    );
}

#[tokio::test]
async fn before_schema_2_2_a_step_for_another_platform_fails() {
    let steps = json!([on("Windows", step("win", &json!(["x"])))]);
    let document = json!({"schemaVersion": "2.0", "mainSteps": steps});
    let trial = Trial::with(&[("Older", document)], Duration::ZERO);
    let steps = trial.steps(send_to("Older", &json!({}))).await;
    let reason =
        "Precondition is not supported for document schema version prior to 2.2. Step name: win";
    assert_eq!(
        (&steps[0]["StatusDetails"], &steps[0]["Output"]),
        (&json!("Failed"), &json!(reason))
    );
}
