//! The state machines of `infra/state-machines` that do more than start one command.

use std::fs;

use aws_sdk_sfn::types::ExecutionStatus;
use futures_util::future::join;
use sandbox_client::{Ended, Sandbox, unique_number, workspace};
use serde_json::{Value, json};

use crate::name_of;

/// The state machine that launches an instance.
const LAUNCH: &str = "launch-run-terminate";

/// An instance profile for the instances that are launched here.
struct Launcher {
    sandbox: Sandbox,
    profile: String,
    subnet: String,
}

impl Launcher {
    async fn new() -> Self {
        let sandbox = Sandbox::shared().await;
        let profile = format!("nodes-{}", unique_number());
        sandbox.aws_cli(&["iam", "create-instance-profile", "--instance-profile-name", &profile]);
        let subnets = sandbox.aws_cli(&["ec2", "describe-subnets"]);
        let subnet = subnets["Subnets"][0]["SubnetId"].as_str().expect("a subnet").to_owned();
        Self { sandbox, profile, subnet }
    }

    /// Runs a script on an instance of its own. Returns the name of the execution, and its end.
    async fn run(&self, script: &[&str]) -> (String, Ended) {
        self.run_with(&Sandbox::state_machine(LAUNCH), script).await
    }

    async fn run_with(&self, machine: &str, script: &[&str]) -> (String, Ended) {
        let input = json!({
            "ImageId": "ami-12c6146b", "InstanceType": "t3.micro",
            "SubnetId": self.subnet, "InstanceProfile": self.profile, "Commands": script,
        });
        let execution = self.sandbox.start_execution(machine, &input).await;
        let ended = self.sandbox.execution_ended(&execution).await;
        (name_of(&execution).to_owned(), ended)
    }

    /// The id of the only instance of this execution, which must be terminated and no node.
    async fn terminated(&self, execution: &str) -> String {
        let filter = format!("Name=tag:Name,Values={execution}");
        let described = self.sandbox.aws_cli(&["ec2", "describe-instances", "--filters", &filter]);
        let reservations = described["Reservations"].as_array().expect("reservations");
        let instances = reservations.iter().filter_map(|one| one["Instances"].as_array());
        let instances: Vec<_> = instances.flatten().collect();
        let [instance] = instances[..] else { panic!("expected one instance: {described}") };
        assert_eq!(instance["State"]["Name"], "terminated");
        let tags = instance["Tags"].as_array().expect("tags");
        assert!(
            tags.contains(&json!({ "Key": "RunCommandRelay", "Value": "allowed" })),
            "{tags:?}"
        );
        let id = instance["InstanceId"].as_str().expect("an id").to_owned();
        let nodes = self.sandbox.ssm.describe_instance_information().send().await.expect("nodes");
        let mut nodes = nodes.instance_information_list().iter();
        assert!(nodes.all(|node| node.instance_id() != Some(&id)), "{id} is still a node");
        id
    }
}

#[tokio::test]
async fn a_launched_instance_runs_the_script_and_is_terminated() {
    let launcher = Launcher::new().await;
    let success = launcher.run(&["set -eu", "echo launched"]);
    let failure = launcher.run(&["set -eu", "echo broken >&2", "exit 7"]);
    let ((success, ended), (failure, failed)) = join(success, failure).await;

    let report = ended.success();
    let id = launcher.terminated(&success).await;
    assert_eq!(report["Comment"], success);
    let node = &report["Invocations"][0];
    assert_eq!(node["InstanceId"], id);
    assert_eq!(node["StandardOutputContent"], "launched\n");

    let report = failed.failure("RunCommand.Failed");
    let id = launcher.terminated(&failure).await;
    let node = &report["Invocations"][0];
    assert_eq!((&node["InstanceId"], &node["ResponseCode"]), (&json!(id), &json!(7)));
    assert_eq!(
        node["StandardErrorContent"].as_str().map(|text| text.contains("broken")),
        Some(true)
    );
}

#[tokio::test]
async fn an_instance_that_is_never_managed_is_terminated() {
    let launcher = Launcher::new().await;
    let path = workspace().join(format!("infra/state-machines/{LAUNCH}.asl.json"));
    let definition = fs::read_to_string(path).expect("the state machine");
    let mut definition: Value = serde_json::from_str(&definition).expect("JSON");
    // Seconds instead of minutes, and fewer than an instance needs here.
    definition["States"]["WaitForNode"]["Seconds"] = json!(1);
    definition["States"]["IsManaged"]["Choices"][1]["NumericGreaterThanEquals"] = json!(1);
    let machine = launcher.sandbox.create_state_machine(&definition).await;
    let (execution, ended) = launcher.run_with(&machine, &["set -eu", "true"]).await;
    assert_eq!(ended.status, ExecutionStatus::Failed);
    assert_eq!(ended.error.as_deref(), Some("NeverManaged"));
    launcher.terminated(&execution).await;
}

#[tokio::test]
async fn an_instance_that_cannot_be_launched_is_an_error_of_ec2() {
    let launcher = Launcher::new().await;
    let launcher = Launcher { profile: "no-such-profile".to_owned(), ..launcher };
    let (_, ended) = launcher.run(&["set -eu", "true"]).await;
    assert_eq!(ended.status, ExecutionStatus::Failed);
    assert!(ended.error.as_deref().is_some_and(|error| error.starts_with("Ec2.")), "{ended:?}");
}

#[tokio::test]
async fn a_map_keeps_the_exit_code_of_each_node() {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["online", "online", "access-denied", "online"]);
    let id = nodes[1].as_str();
    // Another exit code on one of them.
    let script = format!("case $PWD in *{id}) exit 7;; esac");
    let machine = Sandbox::state_machine("run-command-on-each-node");
    let input = json!({ "InstanceIds": nodes, "Commands": ["set -eu", script] });
    let execution = sandbox.start_execution(&machine, &input).await;
    let ended = sandbox.execution_ended(&execution).await;

    let entries = ended.success().as_array().expect("a list");
    let ids: Vec<_> = entries.iter().map(|entry| entry["InstanceId"].clone()).collect();
    assert_eq!(json!(ids), json!(nodes));
    let commands: Vec<_> = sandbox.commands().await;
    for (entry, codes) in entries.iter().zip([json!([0]), json!([7]), Value::Null, json!([0])]) {
        assert_eq!(entry["ResponseCodes"], codes, "{entry}");
        if codes.is_array() {
            let command = commands
                .iter()
                .find(|command| command.command_id.as_deref() == entry["CommandId"].as_str());
            let ids = command.expect("its command").instance_ids();
            assert_eq!(json!(ids), json!([entry["InstanceId"]]));
        }
    }
    assert_eq!(entries[0].get("Error"), None);
    assert_eq!(entries[0]["StatusDetails"], "Success");
    assert_eq!(entries[1]["Error"], "RunCommand.Failed");
    assert_eq!(entries[1]["StatusDetails"], "Failed");
    assert_eq!(entries[2]["Error"], "RunCommand.AccessDenied");
    assert!(entries[2]["Cause"].is_string());
}
