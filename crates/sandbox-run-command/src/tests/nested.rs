//! Documents inside documents: `aws:runDocument`.

use super::*;

/// A step that runs a document.
fn runs(name: &str, document: &str) -> Value {
    json!({"name": name, "action": "aws:runDocument", "inputs": {
        "documentType": "SSMDocument", "documentPath": document,
    }})
}

/// `Outer`, which runs `Inner`, which has these steps.
fn outer_and_inner(steps: &Value) -> Trial {
    let outer = json!({"mainSteps": [runs("outer", "Inner")]});
    let inner = json!({"mainSteps": steps});
    Trial::with(&[("Outer", outer), ("Inner", inner)], Duration::ZERO)
}

async fn run(trial: &Trial) -> Value {
    trial.run(send_to("Outer", &json!({}))).await
}

#[tokio::test]
async fn a_cancel_never_reaches_the_inner_script() {
    let script =
        json!(["echo begun > begun; until [ -e go ]; do sleep 0.02; done; echo to the end"]);
    let trial = outer_and_inner(&json!([step("inner", &script)]));
    let id = trial.send(send_to("Outer", &json!({}))).await;
    trial.written(&trial.file(NODE, "begun")).await;
    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    assert_eq!(trial.invocation(&id, NODE).await["Status"], "Cancelling");
    std::fs::write(trial.file(NODE, "go"), "").unwrap();
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Success");
    let step = trial.invocation(&id, NODE).await;
    assert_eq!(end_of(&step), ("Success", 0, "to the end\n", ""));
}

#[tokio::test]
async fn the_end_of_the_sandbox_reaches_the_inner_script() {
    let trial = outer_and_inner(&json!([step("inner", &json!(["echo $$ > pid; sleep 60"]))]));
    let id = trial.send(send_to("Outer", &json!({}))).await;
    let pid = trial.written(&trial.file(NODE, "pid")).await;
    trial.run_command.stop().await;
    assert_eq!(trial.command(&id).await["Status"], "Cancelled");
    assert!(gone(&pid).await);
}

#[tokio::test]
async fn when_all_inner_steps_are_skipped_the_outer_step_is_an_empty_success() {
    let trial = outer_and_inner(&json!([on("Windows", step("inner", &json!(["echo never"])))]));
    let id = trial.send(send_to("Outer", &json!({}))).await;
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Success");
    assert_eq!(end_of(&trial.invocation(&id, NODE).await), ("Success", 0, "", ""));
    assert_eq!(trial.invocations(&id).await[0]["CommandPlugins"][0]["Output"], "");
}

#[tokio::test]
async fn an_inner_failure_has_the_outer_code_1_and_its_own_in_stderr() {
    let trial = outer_and_inner(&json!([step("inner", &json!(["echo out; exit 42"]))]));
    let reason = "failed to run commands: exit status 42";
    assert_eq!(end_of(&run(&trial).await), ("Failed", 1, "out\n", reason));
}

#[tokio::test]
async fn an_inner_timeout_has_the_outer_code_0_and_timed_out() {
    let script = json!(["echo out; echo begun > begun; sleep 600"]);
    let trial = outer_and_inner(&json!([step("inner", &script)]));
    let id = trial.send(send_to("Outer", &json!({}))).await;
    trial.written(&trial.file(NODE, "begun")).await;
    pass(Duration::from_hours(1)).await;
    trial.ended(&id).await;
    let outer = trial.invocation(&id, NODE).await;
    assert_eq!(end_of(&outer), ("ExecutionTimedOut", 0, "out\n", ""));

    let trial = outer_and_inner(&json!([step("inner", &json!(["exit 137"]))]));
    assert_eq!(end_of(&run(&trial).await), ("ExecutionTimedOut", 0, "", ""));
}

#[tokio::test]
async fn inner_outputs_come_in_any_order_without_a_newline_between_them() {
    let steps: Vec<_> =
        ["a", "b", "c"].map(|name| step(name, &json!([format!("printf {name}")]))).into();
    let trial = outer_and_inner(&steps.into());
    let mut orders = std::collections::BTreeSet::new();
    for _ in 0..20 {
        orders.insert(end_of(&run(&trial).await).2.to_owned());
    }
    assert!(orders.len() > 1, "{orders:?}");
    for order in orders {
        let mut letters: Vec<_> = order.chars().collect();
        letters.sort_unstable();
        assert_eq!(letters, ['a', 'b', 'c'], "{order}");
    }
}

#[tokio::test]
async fn a_reboot_inside_runs_the_outer_step_again() {
    let script = json!(["echo run >> runs; echo out; [ $(wc -l < runs) = 2 ] || exit 194"]);
    let trial = outer_and_inner(&json!([step("inner", &script)]));
    let step = run(&trial).await;
    assert_eq!((&step["StatusDetails"], &step["ResponseCode"]), (&json!("Success"), &json!(0)));
    assert_eq!(std::fs::read_to_string(trial.file(NODE, "runs")).unwrap(), "run\nrun\n");
}

#[tokio::test]
async fn a_document_name_may_hold_a_version_and_so_may_an_arn() {
    let arn = "arn:aws:ssm:eu-west-1:123456789012:document/Inner";
    for (path, stdout) in [
        ("Inner", "first\n"),
        ("Inner:2", "second\n"),
        (arn, "first\n"),
        (&format!("{arn}:2"), "second\n"),
    ] {
        let document =
            |text: &str| json!({"mainSteps": [step("run", &json!([format!("echo {text}")]))]});
        let outer = json!({"mainSteps": [runs("outer", path)]});
        let documents =
            [("Outer", outer), ("Inner", document("first")), ("Inner:2", document("second"))];
        let trial = Trial::with(&documents, Duration::ZERO);
        assert_eq!(end_of(&run(&trial).await), ("Success", 0, stdout, ""), "{path}");
    }
}

#[tokio::test]
async fn each_level_reads_one_document() {
    let outer = json!({"mainSteps": [runs("outer", "Middle")]});
    let middle = json!({"mainSteps": [runs("middle", "Inner")]});
    let inner = json!({"mainSteps": [step("inner", &json!(["true"]))]});
    let documents = [("Outer", outer), ("Middle", middle), ("Inner", inner)];
    let trial = Trial::with(&documents, Duration::ZERO);
    run(&trial).await;
    assert_eq!(*trial.documents.asked.locked(), ["Outer", "Middle", "Inner"]);
}

#[tokio::test]
async fn documents_run_documents_three_deep_at_most() {
    let steps = json!([step("turn", &json!(["echo turn >> turns"])), runs("again", "Loop")]);
    let trial = Trial::with(&[("Loop", json!({"mainSteps": steps}))], Duration::ZERO);
    let steps = trial.steps(send_to("Loop", &json!({}))).await;
    assert_eq!(steps[1]["StatusDetails"], "Failed");
    let output = steps[1]["Output"].as_str().unwrap();
    let reason = "Maximum depth for document execution exceeded. Maximum depth permitted - 3 and \
                  current depth - 4";
    assert!(output.contains(reason), "{output}");
    let turns = std::fs::read_to_string(trial.file(NODE, "turns")).unwrap();
    assert_eq!(turns.lines().count(), 4);
}

#[tokio::test]
async fn a_nested_document_that_cannot_be_read_fails_and_says_why() {
    let outer = |document: &str| json!({"mainSteps": [runs("outer", document)]});
    let unknown = json!({"schemaVersion": "0.3"});
    for (document, reason) in [
        (
            "Missing",
            "InvalidDocument: Document with name Missing does not exist.There was an error while \
             preparing documents - open : no such file or directory",
        ),
        (
            "Unknown",
            "There was an error while preparing documents - Document with schema version 0.3 is not \
             supported by this version of ssm agent, please update to latest version",
        ),
    ] {
        let documents = [("Outer", outer(document)), ("Unknown", unknown.clone())];
        let trial = Trial::with(&documents, Duration::ZERO);
        assert_eq!(end_of(&run(&trial).await), ("Failed", 1, "", reason));
    }
}
