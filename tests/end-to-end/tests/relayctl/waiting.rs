//! Which tasks wait.

use sandbox_client::{ACCOUNT, NODES, REGION, Sandbox};
use serde_json::json;

use crate::{EXECUTION_NAME, NO_SWEEPS, command_of, relayctl, relayctl_json, shape, task};

#[tokio::test]
async fn executing_commands_are_listed_oldest_first() {
    let sandbox = Sandbox::start(&NO_SWEEPS).await;
    insta::assert_snapshot!("nothing_waits", relayctl(&sandbox, &["waiting"]).await.text(0));

    let barriers = [0, 1, 2].map(|node| sandbox.barrier(NODES[node]));
    let first = task(&NODES[..1], &[&barriers[0].line()], EXECUTION_NAME);
    let first = command_of(&sandbox, &sandbox.start_task(&first).await).await;
    let mut by_arn = task(&NODES[1..2], &[&barriers[1].line()], "$$.Task.Token");
    by_arn["Parameters"]["DocumentName"] =
        json!(format!("arn:aws:ssm:{REGION}:{ACCOUNT}:document/SfnRunShellScript"));
    let second = command_of(&sandbox, &sandbox.start_task(&by_arn).await).await;
    // One that is nobody's, and one that has ended.
    sandbox.create_script_document("Foreign", &["taskToken"]).await;
    let parameters = [("commands", "sleep 60"), ("taskToken", "a-token-of-nobody-at-all")];
    sandbox.send_command("Foreign", NODES[2], &parameters).await;
    let ended = sandbox.start_task(&task(&NODES[2..], &["true"], EXECUTION_NAME)).await;
    sandbox.execution_ended(&ended).await.success();

    insta::assert_snapshot!("two_wait", relayctl(&sandbox, &["waiting"]).await.text(0));
    let json = relayctl_json(&sandbox, &["waiting"], 0).await;
    insta::assert_json_snapshot!("shape_of_waiting", shape(&json));
    let listed = json["Commands"].as_array().expect("commands").iter();
    let ids: Vec<_> = listed.map(|command| command["CommandId"].as_str().expect("an id")).collect();
    assert_eq!(ids, [first, second]);
    for barrier in barriers {
        barrier.open();
    }
}
