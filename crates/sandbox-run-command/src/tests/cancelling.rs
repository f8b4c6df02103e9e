//! Commands that are cancelled, and the end of the sandbox.

use super::*;

/// Runs until it is killed, and so does the process whose id it writes into `child`.
const ENDLESS: &str = "sleep 60 & echo $! > child; wait";

#[tokio::test]
async fn a_cancelled_command_takes_its_children_with_it() {
    let trial = Trial::new();
    let id = trial.send_script(ENDLESS).await;
    let child = trial.written(&trial.file(NODE, "child")).await;

    assert_eq!(trial.call("CancelCommand", json!({"CommandId": id})).await, Ok(json!({})));
    assert_eq!(trial.command(&id).await["Status"], "Cancelling");
    assert_eq!(trial.invocation(&id, NODE).await["Status"], "Cancelling");
    let command = trial.ended(&id).await;
    assert_eq!(command["StatusDetails"], "Cancelled");
    assert_eq!((&command["CompletedCount"], &command["ErrorCount"]), (&json!(1), &json!(0)));
    let invocation = trial.invocation(&id, NODE).await;
    assert_eq!(invocation["StatusDetails"], "Cancelled");
    assert_eq!(invocation["ResponseCode"], 137);
    assert!(gone(&child).await);
}

#[tokio::test]
async fn cancelling_what_has_ended_changes_nothing() {
    let trial = Trial::new();
    let id = trial.send_script("true").await;
    trial.ended(&id).await;
    assert_eq!(trial.call("CancelCommand", json!({"CommandId": id})).await, Ok(json!({})));
    assert_eq!(trial.command(&id).await["Status"], "Success");
}

#[tokio::test]
async fn one_node_can_be_cancelled() {
    let trial = Trial::new();
    let other = &trial.web_nodes(1)[0];
    let id = trial.send(shell(&[NODE, other], ENDLESS)).await;
    trial.written(&trial.file(NODE, "child")).await;
    trial.written(&trial.file(other, "child")).await;

    let body = json!({"CommandId": id, "InstanceIds": [NODE]});
    trial.call("CancelCommand", body).await.unwrap();
    trial.reached(&id, "Cancelled").await;
    assert_eq!(trial.command(&id).await["Status"], "InProgress");
    assert_eq!(trial.invocation(&id, other).await["Status"], "InProgress");

    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    assert_eq!(trial.ended(&id).await["Status"], "Cancelled");
}

#[tokio::test]
async fn nodes_that_wait_for_their_turn_are_cancelled_at_once() {
    let trial = Trial::new();
    trial.web_nodes(2);
    let id = trial.send(with(shell_on_web(ENDLESS), &json!({"MaxConcurrency": "1"}))).await;
    trial.written(&trial.file("i-00000000", "child")).await;
    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    let details = trial.details(&id).await;
    assert_eq!(details[1], ("i-00000001".to_owned(), "Cancelled".to_owned()));
    assert_eq!(trial.ended(&id).await["Status"], "Cancelled");
    assert!(!trial.file("i-00000001", "child").exists());
}

#[tokio::test]
async fn a_silent_node_can_be_cancelled() {
    let trial = Trial::new();
    trial.node(NODE, &NodeFile { agent: Behaviour::Silent, ..NodeFile::default() });
    let id = trial.send_script("true").await;
    trial.reached(&id, "InProgress").await;
    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    assert_eq!(trial.ended(&id).await["Status"], "Cancelled");
}

#[tokio::test]
async fn a_command_can_be_cancelled_before_its_nodes_are_known() {
    let trial = Trial::new();
    trial.web_nodes(2);
    let id = trial.send(shell_on_web("echo ran > ran")).await;
    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    assert_eq!(trial.ended(&id).await["Status"], "Cancelled");
    assert!(!trial.file("i-00000000", "ran").exists());
}

#[tokio::test]
async fn the_end_of_the_sandbox_ends_every_script() {
    let trial = Trial::new();
    let id = trial.send_script(ENDLESS).await;
    let child = trial.written(&trial.file(NODE, "child")).await;
    trial.run_command.stop().await;
    assert_eq!(trial.command(&id).await["Status"], "Cancelled");
    assert!(gone(&child).await);
    let refused = trial.call("SendCommand", shell(&[NODE], "true")).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (500, "InternalServerError"));
}
