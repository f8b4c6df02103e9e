//! Commands on several nodes: targets, concurrency, errors, and nodes that take no part.

use super::*;

/// Nodes with their `StatusDetails`, as [`Trial::details`] gives them.
fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, details)| ((*id).to_owned(), (*details).to_owned())).collect()
}

#[tokio::test]
async fn a_tag_finds_its_nodes() {
    let trial = Trial::new();
    trial.web_nodes(3);
    let request = shell_on_web("echo $AWS_SSM_INSTANCE_ID");
    let sent = trial.call("SendCommand", request).await.unwrap()["Command"].clone();
    assert_eq!((&sent["InstanceIds"], &sent["TargetCount"]), (&json!([]), &json!(0)));

    let id = sent["CommandId"].as_str().unwrap();
    let command = trial.ended(id).await;
    assert_eq!(command["TargetCount"], 3);
    assert_eq!(command["InstanceIds"], json!([]));
    assert_eq!(command["Targets"], json!([{"Key": "tag:Role", "Values": ["web"]}]));
    let invocation = trial.invocation(id, "i-00000002").await;
    assert_eq!(invocation["StandardOutputContent"], "i-00000002\n");
}

#[tokio::test]
async fn a_target_may_name_nodes() {
    let trial = Trial::new();
    trial.web_nodes(2);
    let targets = json!([{"Key": "InstanceIds", "Values": [NODE, "i-00000001", "i-99999999"]}]);
    let id = trial.send(with(shell_on_web("true"), &json!({"Targets": targets}))).await;
    trial.ended(&id).await;
    let expected = pairs(&[("i-00000001", "Success"), (NODE, "Success")]);
    assert_eq!(trial.details(&id).await, expected);
}

#[tokio::test]
async fn a_tag_without_nodes_is_a_success_that_is_none() {
    let trial = Trial::new();
    let id = trial.send(shell_on_web("true")).await;
    let command = trial.ended(&id).await;
    assert_eq!((&command["Status"], &command["TargetCount"]), (&json!("Success"), &json!(0)));
    assert_eq!(command["StatusDetails"], "NoInstancesInTag");
    assert!(trial.invocations(&id).await.is_empty());
}

#[tokio::test]
async fn no_more_nodes_than_max_concurrency_at_once() {
    let trial = Trial::new();
    trial.web_nodes(6);
    // Every script counts who runs beside it, in a directory that all nodes share.
    let text = "cd ..; mkdir -p now; touch now/$AWS_SSM_INSTANCE_ID; ls now | wc -l; sleep 0.1; \
                rm now/$AWS_SSM_INSTANCE_ID";
    let id = trial.send(with(shell_on_web(text), &json!({"MaxConcurrency": "50%"}))).await;
    trial.ended(&id).await;
    let mut most = 0;
    for invocation in trial.invocations(&id).await {
        let output = invocation["CommandPlugins"][0]["Output"].as_str().unwrap().to_owned();
        most = most.max(output.trim().parse().unwrap());
    }
    assert!((2..=3).contains(&most), "{most}");
}

#[tokio::test]
async fn after_too_many_errors_no_further_node_is_tried() {
    let trial = Trial::new();
    trial.web_nodes(4);
    let request = with(shell_on_web("exit 1"), &json!({"MaxConcurrency": "1", "MaxErrors": "1"}));
    let id = trial.send(request).await;
    let command = trial.ended(&id).await;
    assert_eq!(command["StatusDetails"], "Failed");
    assert_eq!((&command["CompletedCount"], &command["ErrorCount"]), (&json!(4), &json!(2)));
    let expected = pairs(&[
        ("i-00000000", "Failed"),
        ("i-00000001", "Failed"),
        ("i-00000002", "Terminated"),
        ("i-00000003", "Terminated"),
    ]);
    assert_eq!(trial.details(&id).await, expected);
}

#[tokio::test]
async fn errors_within_max_errors_leave_the_command_incomplete() {
    let trial = Trial::new();
    trial.web_nodes(2);
    let text = "test $AWS_SSM_INSTANCE_ID = i-00000000";
    let id = trial.send(with(shell_on_web(text), &json!({"MaxErrors": "50%"}))).await;
    let command = trial.ended(&id).await;
    assert_eq!((&command["Status"], &command["ErrorCount"]), (&json!("Failed"), &json!(1)));
    assert_eq!(command["StatusDetails"], "Incomplete");
}

#[tokio::test]
async fn nodes_that_cannot_take_part_do_not_spoil_the_success() {
    let trial = Trial::new();
    let ids = trial.web_nodes(3);
    trial.node(&ids[0], &NodeFile { agent: Behaviour::Undeliverable, ..NodeFile::default() });
    trial.node(&ids[1], &NodeFile { agent: Behaviour::AccessDenied, ..NodeFile::default() });
    trial.node(&ids[2], &NodeFile { platform_type: Platform::Windows, ..NodeFile::default() });
    let all = [NODE, &ids[0], &ids[1], &ids[2]];
    let id = trial.send(shell(&all, "true")).await;
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Success");
    let expected = pairs(&[
        (&ids[0], "Undeliverable"),
        (&ids[1], "AccessDenied"),
        (&ids[2], "InvalidPlatform"),
        (NODE, "Success"),
    ]);
    let mut details = trial.details(&id).await;
    details.sort_by_key(|(id, _)| id == NODE);
    assert_eq!(details, expected);

    let id = trial.send(shell(&all[1..], "true")).await;
    assert_eq!(trial.ended(&id).await["StatusDetails"], "Failed");
    let invocation = trial.invocation(&id, &ids[0]).await;
    assert_eq!(
        (&invocation["Status"], &invocation["ResponseCode"]),
        (&json!("Failed"), &json!(-1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_times_out_when_both_timeouts_have_passed() {
    let trial = Trial::new();
    trial.node(NODE, &NodeFile { agent: Behaviour::Silent, ..NodeFile::default() });
    let mut request = with(shell(&[NODE], "true"), &json!({"TimeoutSeconds": 30}));
    request["Parameters"]["executionTimeout"] = json!(["5"]);
    let id = trial.send(request).await;

    sleep(Duration::from_secs(34)).await;
    let command = trial.command(&id).await;
    assert_eq!(command["Status"], "InProgress");
    let timeout =
        command["ExpiresAfter"].as_f64().unwrap() - command["RequestedDateTime"].as_f64().unwrap();
    assert!((timeout - 35.0).abs() < 0.01, "{timeout}");

    sleep(Duration::from_secs(2)).await;
    let command = trial.command(&id).await;
    assert_eq!((&command["Status"], &command["ErrorCount"]), (&json!("TimedOut"), &json!(0)));
    assert_eq!(command["StatusDetails"], "DeliveryTimedOut");
    assert_eq!(command["DeliveryTimedOutCount"], 1);
    assert_eq!(trial.invocation(&id, NODE).await["StatusDetails"], "DeliveryTimedOut");
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_silent_node_times_out_with_it() {
    let trial = Trial::new();
    let ids = trial.web_nodes(2);
    trial.node(&ids[0], &NodeFile { agent: Behaviour::Silent, ..NodeFile::default() });
    let limits = json!({"TimeoutSeconds": 30, "MaxConcurrency": "1"});
    let id = trial.send(with(shell(&[&ids[0], &ids[1]], "echo ran > ran"), &limits)).await;

    sleep(Duration::from_secs(30 + 3_601)).await;
    assert_eq!(trial.command(&id).await["DeliveryTimedOutCount"], 2);
    assert!(!trial.file(&ids[1], "ran").exists());
}

#[tokio::test]
async fn a_node_file_that_cannot_be_read_fails_the_command() {
    let trial = Trial::new();
    std::fs::write(trial.file(NODE, "node.json"), "{").unwrap();
    let error = trial.call("SendCommand", shell(&[NODE], "true")).await.unwrap_err();
    assert_eq!(error.status, 500);
    assert!(error.message.contains("node.json"), "{error}");
    let id = trial.send(shell_on_web("true")).await;
    assert_eq!(trial.ended(&id).await["Status"], "Failed");
}
