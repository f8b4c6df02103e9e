//! What a script does, and what comes back of it.

use super::*;

#[tokio::test]
async fn a_script_runs_and_its_output_comes_back() {
    let trial = Trial::new();
    let request = with(shell(&[NODE], "echo out; echo err >&2"), &json!({"Comment": "hello"}));
    let sent = trial.call("SendCommand", request).await.unwrap()["Command"].clone();
    assert_eq!((&sent["Status"], &sent["TargetCount"]), (&json!("Pending"), &json!(1)));

    let id = sent["CommandId"].as_str().unwrap();
    let command = trial.ended(id).await;
    assert_eq!(command["StatusDetails"], "Success");
    assert_eq!(command["Parameters"], json!({"commands": ["echo out; echo err >&2"]}));
    let counts = ["TargetCount", "CompletedCount", "ErrorCount", "DeliveryTimedOutCount"];
    assert_eq!(counts.map(|count| command[count].as_i64().unwrap()), [1, 1, 0, 0]);

    let invocation = trial.invocation(id, NODE).await;
    assert_eq!(invocation["StandardOutputContent"], "out\n");
    assert_eq!(invocation["StandardErrorContent"], "err\n");
    assert_eq!(invocation["ResponseCode"], 0);
    assert_eq!(invocation["PluginName"], "aws:runShellScript");
    assert_eq!(invocation["Comment"], "hello");
    assert!(invocation["ExecutionElapsedTime"].as_str().unwrap().starts_with("PT0."));

    let listed = &trial.invocations(id).await[0]["CommandPlugins"][0];
    assert_eq!(listed["Output"], "out\n\n----------ERROR-------\nerr\n");
    assert_eq!(listed["Name"], "aws:runShellScript");
    assert!(listed["ResponseFinishDateTime"].as_f64() >= listed["ResponseStartDateTime"].as_f64());
}

#[tokio::test]
async fn a_failing_script_tells_its_exit_code() {
    let trial = Trial::new();
    let id = trial.send_script("echo before; exit 3").await;
    let command = trial.ended(&id).await;
    assert_eq!((&command["Status"], &command["ErrorCount"]), (&json!("Failed"), &json!(1)));

    let invocation = trial.invocation(&id, NODE).await;
    assert_eq!(invocation["StatusDetails"], "Failed");
    assert_eq!(invocation["ResponseCode"], 3);
    assert_eq!(invocation["StandardOutputContent"], "before\n");
    assert_eq!(invocation["StandardErrorContent"], "failed to run commands: exit status 3");
}

#[tokio::test]
async fn nothing_is_left_behind_but_what_the_script_left() {
    let trial = Trial::new();
    let id = trial.send_script("true").await;
    trial.ended(&id).await;
    let scripts = std::fs::read_dir(trial.file(NODE, ".commands")).unwrap();
    assert_eq!(scripts.count(), 0);
}

#[tokio::test]
async fn an_end_is_final() {
    let trial = Trial::new();
    let id = trial.send_script("true").await;
    trial.ended(&id).await;
    {
        let mut store = trial.run_command.shared.store();
        assert!(!store.report(0, 0, StatusDetails::Failed, &[]));
        assert!(store.executing(tokio::time::Instant::now()).is_empty());
    }
    assert_eq!(trial.command(&id).await["Status"], "Success");
    assert_eq!(trial.invocation(&id, NODE).await["Status"], "Success");
}

#[tokio::test]
async fn a_node_may_have_programs_of_its_own() {
    let trial = Trial::new();
    let id = trial
        .send_script(
            "mkdir bin; printf '#!/bin/sh\\necho mine\\n' >bin/date; chmod +x bin/date; date",
        )
        .await;
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Success");
    assert_eq!(trial.invocation(&id, NODE).await["StandardOutputContent"], "mine\n");
}
