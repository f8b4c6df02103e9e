//! EC2 instances as managed nodes.

use std::time::{Duration, Instant};

use sandbox::aws::{Client, SSM};
use sandbox_client::eventually;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::running::Running;

/// When a launched instance is a node, in the sandbox of this test.
const MANAGED_SECONDS: &str = "1.5";
/// See [`MANAGED_SECONDS`].
const MANAGED_AFTER: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn an_instance_is_a_node_while_it_runs() {
    let running = Running::start(&["--nodes", "0", "--managed-seconds", MANAGED_SECONDS]);
    let client = running.client();
    let asked = Instant::now();
    let id = launch(&client).await;
    let early = launch(&client).await;
    assert!(nodes(&client).await.is_empty(), "not at once");
    // It is terminated before it would become a node.
    act(&client, "TerminateInstances", &early).await;
    let node = managed(&client, &id).await;
    assert!(asked.elapsed() >= MANAGED_AFTER, "{:?}", asked.elapsed());
    assert_eq!(node["PingStatus"], "Online");
    assert_eq!(node["ComputerName"], "a name");
    let tagged = json!({ "Filters": [{ "Key": "tag:RunCommandRelay", "Values": ["allowed"] }] });
    assert_eq!(ids(&describe(&client, &tagged).await), [id.as_str()]);

    act(&client, "StopInstances", &id).await;
    assert!(nodes(&client).await.is_empty(), "stopped");
    act(&client, "StartInstances", &id).await;
    managed(&client, &id).await;
    act(&client, "TerminateInstances", &id).await;
    assert!(nodes(&client).await.is_empty(), "terminated");
    sleep(2 * MANAGED_AFTER).await;
    assert!(nodes(&client).await.is_empty(), "for good");
}

async fn launch(client: &Client) -> String {
    let parameters = [
        ("ImageId", "ami-12c6146b"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "RunCommandRelay"),
        ("TagSpecification.1.Tag.1.Value", "allowed"),
        ("TagSpecification.1.Tag.2.Key", "Name"),
        ("TagSpecification.1.Tag.2.Value", "a name"),
    ];
    let answer = call(client, "RunInstances", &parameters).await;
    let id = answer.split("<instanceId>").nth(1).and_then(|rest| rest.split('<').next());
    id.expect("the id of an instance").to_owned()
}

async fn act(client: &Client, operation: &str, id: &str) {
    call(client, operation, &[("InstanceId.1", id)]).await;
}

async fn call(client: &Client, operation: &str, parameters: &[(&str, &str)]) -> String {
    let version = [("Version", "2016-11-15")];
    let parameters = version.iter().chain(parameters);
    let parameters: Vec<_> =
        parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    client.query("ec2", operation, &parameters).await.expect("an answer of EC2")
}

async fn describe(client: &Client, body: &Value) -> Vec<Value> {
    let answer = client.json(SSM, "DescribeInstanceInformation", body).await.expect("the nodes");
    answer["InstanceInformationList"].as_array().expect("a list").clone()
}

async fn nodes(client: &Client) -> Vec<Value> {
    describe(client, &json!({})).await
}

fn ids(nodes: &[Value]) -> Vec<&str> {
    nodes.iter().filter_map(|node| node["InstanceId"].as_str()).collect()
}

/// The node of this instance, which must be the only one, as soon as it is there.
async fn managed(client: &Client, id: &str) -> Value {
    eventually("a managed node", async || {
        let nodes = nodes(client).await;
        assert!(nodes.is_empty() || ids(&nodes) == [id], "expected {id}, got {nodes:?}");
        nodes.into_iter().next()
    })
    .await
}
