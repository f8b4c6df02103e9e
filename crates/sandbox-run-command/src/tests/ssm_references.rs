//! `{{ssm:name}}` in commands and parameters.

use super::*;

fn parameters() -> TestParameters {
    let of = |kind: StoredKind, value: &str| StoredParameter { kind, value: value.to_owned() };
    TestParameters(BTreeMap::from([
        ("/app/name", of(StoredKind::String, "shop")),
        ("name:2", of(StoredKind::String, "second")),
        ("lines", of(StoredKind::StringList, "echo one,echo two")),
        ("again", of(StoredKind::String, "{{ssm:/app/name}} {{ text }}")),
        ("secret", of(StoredKind::SecureString, "s")),
    ]))
}

fn trial() -> Trial {
    let document = json!({
        "parameters": {
            "text": {"type": "String", "default": "t", "allowedPattern": "^[a-z]+$"},
            "commands": {"type": "StringList", "default": []},
        },
        "mainSteps": [step("run", &json!("{{ commands }}")), step("own", &json!(["echo {{ text }} {{ssm:/app/name}}"]))],
    });
    Trial::with_parameters(&[("Doc", document)], Duration::ZERO, parameters())
}

async fn outputs(parameters: &Value) -> Vec<Value> {
    let steps = trial().steps(send_to("Doc", parameters)).await;
    steps.iter().map(|step| step["Output"].clone()).collect()
}

#[tokio::test]
async fn the_agent_replaces_references_in_commands_parameters_and_the_document() {
    let given = json!({"commands": ["echo {{ssm:/app/name}} {{ ssm:name:2 }}"], "text": ["{{ssm:/app/name}}"]});
    assert_eq!(outputs(&given).await, ["shop second\n", "shop shop\n"]);
}

#[tokio::test]
async fn a_list_becomes_several_lines() {
    let given = json!({"commands": ["{{ssm:lines}}"]});
    assert_eq!(outputs(&given).await[0], "one\ntwo\n");
}

#[tokio::test]
async fn what_is_inserted_is_not_looked_at_again_and_other_braces_stay() {
    let given = json!({"commands": ["echo '{{ssm:again}}' '{{ text }} {{ global:REGION }}'"]});
    let expected = "{{ssm:/app/name}} {{ text }} {{ text }} {{ global:REGION }}\n";
    assert_eq!(outputs(&given).await[0], expected);
}

/// Runs a document that the agent refuses; returns its reason.
async fn refused(trial: &Trial, document: &str, parameters: &Value) -> String {
    let id = trial.send(send_to(document, parameters)).await;
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Failed");
    let invocation = &trial.invocations(&id).await[0];
    assert_eq!(invocation["CommandPlugins"], json!([]), "there is no step at all");
    invocation["TraceOutput"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_document_with_an_unresolvable_reference_is_refused() {
    let given = json!({"commands": ["echo {{ssm:absent}} {{ ssm:/also:1 }}"]});
    let expected = "Input contains invalid parameters [/also:1 absent]";
    assert_eq!(refused(&trial(), "Doc", &given).await, expected);
}

#[tokio::test]
async fn a_secure_string_and_a_list_inside_a_text_are_refused() {
    let given = json!({"commands": ["echo {{ssm:secret}}"]});
    let expected = "Parameters [secret] of type SecureString are not supported";
    assert_eq!(refused(&trial(), "Doc", &given).await, expected);
    let given = json!({"commands": ["echo {{ssm:lines}}"]});
    let expected = "Parameter lines of type StringList cannot be used as a String";
    assert_eq!(refused(&trial(), "Doc", &given).await, expected);
}

#[tokio::test]
async fn a_resolved_value_against_its_pattern_is_refused_and_quoted() {
    let expected = "all errors during param validation errors: error thrown in \
                    'AllowedRegexParamValidator' while validating parameter /text/: parameter value \
                    /second shop/ does not match the allowed pattern /^[a-z]+$/";
    let given = json!({"text": ["{{ssm:name:2}} {{ssm:/app/name}}"]});
    assert_eq!(refused(&trial(), "Doc", &given).await, expected);
}
