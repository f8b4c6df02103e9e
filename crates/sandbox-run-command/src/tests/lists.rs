//! Reads: pages, filters, and reads that are late.

use super::*;

/// The ids of the commands on a page.
fn ids(page: &Value) -> Vec<String> {
    let commands = page["Commands"].as_array().unwrap();
    commands.iter().map(|command| command["CommandId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn commands_come_newest_first_page_by_page() {
    let trial = Trial::new();
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.insert(0, trial.send_script("true").await);
    }
    let mut listed = Vec::new();
    let mut body = json!({"MaxResults": 2});
    for more in [true, true, false] {
        let page = trial.call("ListCommands", body.clone()).await.unwrap();
        listed.extend(ids(&page));
        assert_eq!(page["NextToken"].is_string(), more);
        body["NextToken"] = page["NextToken"].clone();
        // A command that is sent meanwhile does not disturb the pages.
        trial.send_script("true").await;
    }
    assert_eq!(listed, sent);
}

#[tokio::test]
async fn invocations_come_page_by_page_across_commands() {
    let trial = Trial::new();
    trial.web_nodes(3);
    let first = trial.send(shell_on_web("true")).await;
    trial.ended(&first).await;
    let second = trial.send(shell_on_web("true")).await;
    trial.ended(&second).await;

    let mut listed = Vec::new();
    let mut body = json!({"MaxResults": 4});
    for more in [true, false] {
        let page = trial.call("ListCommandInvocations", body.clone()).await.unwrap();
        for invocation in page["CommandInvocations"].as_array().unwrap() {
            assert_eq!(invocation["CommandPlugins"], json!([]), "no details were asked for");
            listed.push((invocation["CommandId"].clone(), invocation["InstanceId"].clone()));
        }
        assert_eq!(page["NextToken"].is_string(), more);
        body["NextToken"] = page["NextToken"].clone();
    }
    let nodes = ["i-00000000", "i-00000001", "i-00000002"];
    let expected: Vec<_> =
        [second, first].iter().flat_map(|id| nodes.map(|node| (json!(id), json!(node)))).collect();
    assert_eq!(listed, expected);

    let body = json!({"InstanceId": "i-00000001"});
    let on_one = trial.call("ListCommandInvocations", body).await.unwrap();
    assert_eq!(on_one["CommandInvocations"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let trial = Trial::new();
    let failed = trial.send_script("exit 1").await;
    trial.ended(&failed).await;
    sleep(Duration::from_millis(2)).await;
    let other = json!({"DocumentName": "AWS-RunPowerShellScript", "Targets": [{"Key": "tag:No", "Values": ["no"]}]});
    let empty = trial.send(with(shell(&[], "x"), &with(other, &json!({"InstanceIds": []})))).await;
    trial.ended(&empty).await;
    let running = trial.send_script("sleep 60").await;
    trial.reached(&running, "InProgress").await;

    let [failed, empty, running] = [&*failed, &*empty, &*running];
    let list = async |filters: Value| {
        ids(&trial.call("ListCommands", json!({"Filters": filters})).await.unwrap())
    };
    let one = |key: &str, value: &str| json!([{"key": key, "value": value}]);
    assert_eq!(list(one("ExecutionStage", "Executing")).await, [running]);
    assert_eq!(list(one("ExecutionStage", "Complete")).await, [empty, failed]);
    assert_eq!(list(one("Status", "Failed")).await, [failed]);
    assert_eq!(list(one("Status", "NoInstancesInTag")).await, [empty]);
    assert_eq!(list(one("DocumentName", "AWS-RunPowerShellScript")).await, [empty]);

    let requested = trial.command(empty).await["RequestedDateTime"].as_f64().unwrap();
    let time = jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs_f64(requested);
    let time = time.round(jiff::Unit::Millisecond).unwrap().to_string();
    assert_eq!(list(one("InvokedAfter", &time)).await, [running, empty]);
    assert_eq!(list(one("InvokedBefore", &time)).await, [failed]);
    let both = json!([
        {"key": "InvokedAfter", "value": time}, {"key": "ExecutionStage", "value": "Complete"},
    ]);
    assert_eq!(list(both).await, [empty]);

    let on_node = trial.call("ListCommands", json!({"InstanceId": NODE})).await.unwrap();
    assert_eq!(ids(&on_node), [running, failed]);
    trial.call("CancelCommand", json!({"CommandId": running})).await.unwrap();
    trial.ended(running).await;
    assert!(list(one("ExecutionStage", "Executing")).await.is_empty());
}

#[tokio::test]
async fn reads_show_what_was_a_moment_ago() {
    let mut trial = Trial::with(&[], Duration::from_millis(400));
    let id = trial.send_script("true").await;
    assert_eq!(trial.command(&id).await, Value::Null, "not even the command is there");
    let body = json!({"CommandId": id, "InstanceId": NODE});
    let error = trial.call("GetCommandInvocation", body).await.unwrap_err();
    assert_eq!(error.code, "InvocationDoesNotExist");

    loop {
        let event = trial.events.recv().await.unwrap();
        if event["detail"]["status"] == "Success" && event["detail"]["parameters"].is_string() {
            break;
        }
    }
    let early = trial.command(&id).await;
    assert_ne!(early["Status"], "Success", "the event is before the read");
    sleep(Duration::from_millis(150)).await;
    assert_eq!(trial.ended(&id).await["Status"], "Success");
}

#[tokio::test]
async fn unknown_commands_are_an_empty_list() {
    let trial = Trial::new();
    let unknown = json!({"CommandId": "00000000-0000-0000-0000-000000000000"});
    let commands = trial.call("ListCommands", unknown.clone()).await;
    assert_eq!(commands, Ok(json!({"Commands": []})));
    let invocations = trial.call("ListCommandInvocations", unknown).await;
    assert_eq!(invocations, Ok(json!({"CommandInvocations": []})));
}

#[tokio::test]
async fn nodes_are_described_page_by_page() {
    let trial = Trial::new();
    trial.web_nodes(7);
    let name = Some("bastion".to_owned());
    trial.node(NODE, &NodeFile { name, agent: Behaviour::Silent, ..NodeFile::default() });
    let list = async |body: Value| trial.call("DescribeInstanceInformation", body).await.unwrap();
    let first = list(json!({"MaxResults": 5})).await;
    assert_eq!(first["InstanceInformationList"].as_array().unwrap().len(), 5);
    let rest = list(json!({"MaxResults": 5, "NextToken": first["NextToken"]})).await;
    assert_eq!(rest["InstanceInformationList"].as_array().unwrap().len(), 3);
    assert!(rest["NextToken"].is_null());

    let silent =
        list(json!({"Filters": [{"Key": "PingStatus", "Values": ["ConnectionLost"]}]})).await;
    assert_eq!(silent["InstanceInformationList"][0]["ComputerName"], "bastion");
    // A silent agent has not pinged since; others ping now.
    let pinged = |node: &Value| node["LastPingDateTime"].as_f64().unwrap();
    let silenced = pinged(&silent["InstanceInformationList"][0]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let all = list(json!({})).await;
    for node in all["InstanceInformationList"].as_array().unwrap() {
        let is_silent = node["InstanceId"] == NODE;
        assert_eq!(node["PingStatus"], if is_silent { "ConnectionLost" } else { "Online" });
        assert_eq!(pinged(node) <= silenced, is_silent, "{node}");
    }
    let older =
        json!({"InstanceInformationFilterList": [{"key": "InstanceIds", "valueSet": [NODE]}]});
    assert_eq!(list(older).await["InstanceInformationList"][0]["InstanceId"], NODE);
    let tagged = list(json!({"Filters": [{"Key": "tag:Role", "Values": ["web"]}]})).await;
    assert_eq!(tagged["InstanceInformationList"].as_array().unwrap().len(), 7);
}
