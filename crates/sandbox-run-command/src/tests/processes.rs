//! Processes of a script: which are killed with it, and which live on.

use super::*;

/// Ignores SIGTERM, and tells that it would have cleaned up.
const TRAPPED: &str = "trap 'echo trapped > trapped' TERM EXIT; echo $$ > pid; \
                       while :; do sleep 0.05; done";

#[tokio::test]
async fn a_cancel_kills_at_once_and_no_trap_runs() {
    let trial = Trial::new();
    let id = trial.send_script(TRAPPED).await;
    let pid = trial.written(&trial.file(NODE, "pid")).await;
    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    trial.ended(&id).await;
    assert_eq!(end_of(&trial.invocation(&id, NODE).await), ("Cancelled", 137, "", ""));
    assert!(gone(&pid).await);
    assert!(!trial.file(NODE, "trapped").exists());
}

#[tokio::test]
async fn scripts_end_with_their_node_and_nobody_hears_of_it() {
    let trial = Trial::new();
    let id = trial.send_script(TRAPPED).await;
    let pid = trial.written(&trial.file(NODE, "pid")).await;
    trial.run_command.end_node(NODE).unwrap();
    assert!(gone(&pid).await);
    assert!(!trial.file(NODE, "trapped").exists());
    sleep(Duration::from_millis(100)).await;
    assert_eq!(trial.invocation(&id, NODE).await["Status"], "InProgress");
    let refused = trial.call("SendCommand", shell(&[NODE], "true")).await.unwrap_err();
    assert_eq!(refused.code, "InvalidInstanceId");
    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Cancelled");
}

#[tokio::test]
async fn the_execution_timeout_kills_at_once_and_no_trap_runs() {
    let trial = Trial::new();
    let mut request = shell(&[NODE], &format!("echo begun; {TRAPPED}"));
    request["Parameters"]["executionTimeout"] = json!(["5"]);
    let step = trial.run(request).await;
    assert_eq!(end_of(&step), ("ExecutionTimedOut", 137, "begun\n", ""));
    assert!(gone(&trial.written(&trial.file(NODE, "pid")).await).await);
    assert!(!trial.file(NODE, "trapped").exists());
}

#[tokio::test]
async fn a_child_in_a_session_of_its_own_lives_on_after_a_cancel() {
    let trial = Trial::new();
    let id = trial.send_script("setsid sh -c 'echo $$ > child; exec sleep 60' & wait").await;
    let child = trial.written(&trial.file(NODE, "child")).await;
    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Cancelled");
    let lived = lives(&child);
    kill(&child);
    assert!(lived);
}

#[tokio::test]
async fn a_background_child_that_keeps_stdout_open_keeps_the_step_open() {
    let trial = Trial::new();
    let script = "(echo $$ > child; until [ -e go ]; do sleep 0.02; done; echo late) & echo early";
    let id = trial.send_script(script).await;
    trial.written(&trial.file(NODE, "child")).await;
    // The script itself has ended by now, or does so within a moment.
    sleep(Duration::from_millis(100)).await;
    assert_eq!(trial.invocation(&id, NODE).await["Status"], "InProgress");
    std::fs::write(trial.file(NODE, "go"), "").unwrap();
    trial.ended(&id).await;
    assert_eq!(end_of(&trial.invocation(&id, NODE).await), ("Success", 0, "early\nlate\n", ""));
}

#[tokio::test]
async fn a_background_child_that_never_closes_stdout_lasts_until_the_execution_timeout() {
    let trial = Trial::new();
    let id = trial.send_script("echo early; sleep 600 & echo $! > child").await;
    let child = trial.written(&trial.file(NODE, "child")).await;
    pass(Duration::from_mins(59)).await;
    assert_eq!(trial.invocation(&id, NODE).await["Status"], "InProgress");
    pass(Duration::from_mins(1)).await;
    trial.ended(&id).await;
    let step = trial.invocation(&id, NODE).await;
    assert_eq!(end_of(&step), ("ExecutionTimedOut", 137, "early\n", ""));
    assert!(gone(&child).await);
}

#[tokio::test]
async fn a_background_child_that_is_redirected_ends_the_step_at_once_and_lives_on() {
    let trial = Trial::new();
    let step = trial.run_script("sleep 60 > /dev/null 2>&1 & echo $! > child; echo done").await;
    assert_eq!(end_of(&step), ("Success", 0, "done\n", ""));
    let child = trial.written(&trial.file(NODE, "child")).await;
    let lived = lives(&child);
    kill(&child);
    assert!(lived);
}

#[tokio::test]
async fn an_agent_that_is_restarted_in_mid_run_loses_nothing() {
    let trial = Trial::new();
    let id = trial.send_script("echo begun > begun; until [ -e go ]; do sleep 0.02; done").await;
    trial.written(&trial.file(NODE, "begun")).await;
    trial.node(NODE, &NodeFile { agent: Behaviour::Silent, ..NodeFile::default() });
    trial.node(NODE, &NodeFile::default());
    std::fs::write(trial.file(NODE, "go"), "").unwrap();
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Success");
}

#[tokio::test]
async fn a_lost_document_worker_fails_the_step_while_the_script_runs_on() {
    let trial = Trial::new();
    trial.node(NODE, &NodeFile { agent: Behaviour::WorkerLost, ..NodeFile::default() });
    let id = trial.send_script("echo out; echo $$ > pid; sleep 600").await;
    let pid = trial.written(&trial.file(NODE, "pid")).await;
    assert_eq!(trial.invocation(&id, NODE).await["Status"], "InProgress");
    pass(Duration::from_mins(1)).await;
    trial.ended(&id).await;
    assert_eq!(end_of(&trial.invocation(&id, NODE).await), ("Failed", 1, "", ""));
    let listed = trial.invocations(&id).await[0]["CommandPlugins"][0]["Output"].clone();
    assert!(listed.as_str().unwrap().starts_with("document process failed unexpectedly: "));
    assert!(lives(&pid));
    trial.run_command.stop().await;
    assert!(gone(&pid).await, "it ends with the sandbox");
}

#[tokio::test]
async fn a_step_after_a_cancel_is_cancelled_before_it_begins() {
    let steps = json!([
        step("first", &json!(["echo x > begun; sleep 60"])),
        step("second", &json!(["echo ran > ran"]))
    ]);
    let trial = Trial::with(&[("Steps", json!({"mainSteps": steps}))], Duration::ZERO);
    let id = trial.send(send_to("Steps", &json!({}))).await;
    trial.written(&trial.file(NODE, "begun")).await;
    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Cancelled");
    let steps = trial.invocations(&id).await[0]["CommandPlugins"].clone();
    assert_eq!((&steps[0]["ResponseCode"], &steps[1]["ResponseCode"]), (&json!(137), &json!(1)));
    assert_eq!(steps[1]["StatusDetails"], "Cancelled");
    assert!(!trial.file(NODE, "ran").exists());
}
