//! Documents that the agent refuses as a whole: no step, and the reason in `TraceOutput` only. See
//! also `ssm_references`.

use super::*;

/// Runs a document that the agent refuses; returns its reason.
async fn refused(document: Value, parameters: &Value) -> String {
    let trial = Trial::with(&[("Doc", document)], Duration::ZERO);
    let id = trial.send(send_to("Doc", parameters)).await;
    let command = trial.ended(&id).await;
    assert_eq!((&command["StatusDetails"], &command["ErrorCount"]), (&json!("Failed"), &json!(1)));
    let invocation = &trial.invocations(&id).await[0];
    assert_eq!(invocation["CommandPlugins"], json!([]));
    let body = json!({"CommandId": id, "InstanceId": NODE, "PluginName": "run"});
    if let Ok(step) = trial.call("GetCommandInvocation", body).await {
        assert_eq!(end_of(&step), ("Failed", -1, "", ""));
    }
    assert!(!trial.file(NODE, "ran").exists());
    invocation["TraceOutput"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_value_against_its_allowed_pattern_is_quoted() {
    let document = json!({
        "parameters": {"taskToken": {"type": "String", "allowedPattern": "^x+$", "default": "AAAAtoken"}},
        "mainSteps": [step("run", &json!(["echo ran > ran"]))],
    });
    let reason = refused(document, &json!({})).await;
    let expected = "parameter value /AAAAtoken/ does not match the allowed pattern /^x+$/";
    assert!(reason.ends_with(expected), "{reason}");
}

#[tokio::test]
async fn a_schema_that_the_agent_does_not_know_is_refused() {
    let document = json!({"schemaVersion": "2.3", "mainSteps": [step("run", &json!(["x"]))]});
    let expected = "Document with schema version 2.3 is not supported by this version of ssm agent, \
                    please update to latest version";
    assert_eq!(refused(document, &json!({})).await, expected);
}

#[tokio::test]
async fn a_document_without_steps_is_refused() {
    assert_eq!(refused(json!({"mainSteps": []}), &json!({})).await, "Unsupported schema format");
}
