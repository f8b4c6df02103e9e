//! `documentParameters` of `aws:runDocument`.

use super::*;

/// Runs `Inner`, which declares these parameters and has this script, with these
/// `documentParameters`.
async fn run(declared: Value, script: Value, given: Value) -> Value {
    let outer = json!({"mainSteps": [{"name": "outer", "action": "aws:runDocument", "inputs": {
        "documentType": "SSMDocument", "documentPath": "Inner", "documentParameters": given,
    }}]});
    let inner = json!({"parameters": declared, "mainSteps": [step("inner", &script)]});
    let trial = Trial::with(&[("Outer", outer), ("Inner", inner)], Duration::ZERO);
    trial.run(send_to("Outer", &json!({}))).await
}

/// Runs it with one parameter `p`, which the script prints in a text.
async fn print(declared: Value, given: Value) -> Value {
    run(json!({ "p": declared }), json!(["echo '-{{ p }}-'"]), given).await
}

#[track_caller]
fn check(step: &Value, stdout: &str) {
    assert_eq!(end_of(step), ("Success", 0, stdout, ""));
}

#[track_caller]
fn check_refused(step: &Value, reason: &str) {
    let (details, code, stdout, stderr) = end_of(step);
    assert_eq!((details, code, stdout), ("Failed", 1, ""));
    assert!(stderr.starts_with("There was an error while preparing documents - "), "{stderr}");
    assert!(stderr.ends_with(reason), "{stderr}");
}

fn text() -> Value {
    json!({"type": "String", "default": "d"})
}

#[tokio::test]
async fn parameters_come_as_a_map_as_json_as_yaml_and_not_at_all() {
    for given in [json!({"p": "x"}), json!("{\"p\": \"x\"}"), json!("p: x\n")] {
        check(&print(text(), given).await, "-x-\n");
    }
    for none in [json!({}), json!("{}"), json!("")] {
        check(&print(text(), none).await, "-d-\n");
    }
}

#[tokio::test]
async fn a_text_that_is_no_map_is_refused() {
    let step = print(text(), json!("[1]")).await;
    assert!(end_of(&step).3.contains("Unmarshalling document parameters failed."), "{step}");
}

#[tokio::test]
async fn a_document_of_ours_passes_json_and_yaml_on() {
    let outer = json!({
        "parameters": {"documentParameters": {"type": "StringMap", "default": {}}},
        "mainSteps": [{"name": "outer", "action": "aws:runDocument", "inputs": {
            "documentType": "SSMDocument", "documentPath": "AWS-RunShellScript",
            "documentParameters": "{{ documentParameters }}",
        }}],
    });
    let trial = Trial::with(&[("Outer", outer)], Duration::ZERO);
    for given in ["{\"commands\": [\"echo x\"]}", "commands:\n- echo x\n"] {
        let parameters = json!({"documentParameters": [given]});
        check(&trial.run(send_to("Outer", &parameters)).await, "x\n");
    }
}

#[tokio::test]
async fn a_list_for_a_string_is_not_unwrapped() {
    check(&print(text(), json!({"p": ["x"]})).await, "-[\"x\"]-\n");
}

#[tokio::test]
async fn a_string_for_a_string_list_fails() {
    let declared = json!({"p": {"type": "StringList"}});
    let step = run(declared, json!("{{ p }}"), json!({"p": "echo x"})).await;
    let reason = "error json: cannot unmarshal string into Go struct field \
                  RunScriptPluginInput.RunCommand of type []string";
    let (details, code, _, stderr) = end_of(&step);
    assert_eq!((details, code), ("Failed", 1));
    assert!(stderr.ends_with(reason), "{stderr}");
}

#[tokio::test]
async fn an_integer_or_a_boolean_must_be_its_default() {
    let integer = || json!({"type": "Integer", "default": 3});
    check(&print(integer(), json!({"p": 3})).await, "-3-\n");
    let step = print(integer(), json!({"p": 4})).await;
    check_refused(&step, "parameter value /4/ not equal to default /3/ for Integer");
    let boolean = || json!({"type": "Boolean", "default": true});
    check(&print(boolean(), json!({})).await, "-true-\n");
    let step = print(boolean(), json!({"p": false})).await;
    check_refused(&step, "parameter value /false/ not equal to default for Boolean");
}

#[tokio::test]
async fn a_missing_required_string_is_the_text_null() {
    check(&print(json!({"type": "String"}), json!({})).await, "-null-\n");
}

#[tokio::test]
async fn unknown_names_are_ignored() {
    check(&print(text(), json!({"p": "x", "other": "y"})).await, "-x-\n");
}

#[tokio::test]
async fn two_dollars_inside_a_longer_text_become_one() {
    check(&print(text(), json!({"p": "a$$b"})).await, "-a$b-\n");
    let declared = json!({"p": {"type": "StringList"}});
    let step = run(declared, json!("{{ p }}"), json!({"p": ["echo 'a$$b'"]})).await;
    check(&step, "a$$b\n");
}

#[tokio::test]
async fn the_agent_checks_what_the_document_declares() {
    let pattern = json!({"type": "String", "allowedPattern": "^a+$"});
    let step = print(pattern, json!({"p": "b"})).await;
    check_refused(&step, "parameter value /b/ does not match the allowed pattern /^a+$/");
    let values = json!({"type": "String", "allowedValues": ["a", "b"]});
    let step = print(values, json!({"p": "c"})).await;
    check_refused(&step, "parameter value /c/ is not in the allowed list [a b]");
    let chars = json!({"type": "String", "maxChars": 3});
    let step = print(chars, json!({"p": "ää"})).await;
    check_refused(&step, "parameter value /ää/ is exceeding the max chars /3/");
    let items = json!({"type": "StringList", "minItems": 1});
    let step = print(items, json!({"p": []})).await;
    check_refused(&step, "parameter value list length /0/ is less the min item count");
}
