//! What the template says, and what its outputs are in a deployed stack.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use sandbox_client::{ACCOUNT, REGION, Sandbox, python_tool, workspace};
use serde_json::{Value, json};

use crate::{TEMPLATE, resources, succeed};

const STACK: &str = "run-command-relay";

#[test]
fn cfn_lint_finds_nothing() {
    let mut lint = Command::new(python_tool("cfn-lint"));
    succeed(lint.arg("--template").arg(workspace().join("infra/template.yaml")));
}

#[test]
fn it_fits_any_account_region_and_partition() {
    let text = fs::read_to_string(workspace().join("infra/template.yaml")).expect("the template");
    for (number, line) in (1..).zip(text.lines()) {
        for foreign in ["arn:aws", ".amazonaws.com.cn", "us-east", "us-west", "eu-", ACCOUNT] {
            let example = foreign == "eu-" && line.contains("such as -eu-west-1");
            assert!(!line.contains(foreign) || example, "line {number} has {foreign}: {line}");
        }
        let digits = line.split(|character: char| !character.is_ascii_digit());
        let longest = digits.map(str::len).max().unwrap_or_default();
        assert!(longest < 12, "line {number} may hold an account: {line}");
    }
}

#[test]
fn every_parameter_has_a_default_but_the_bucket() {
    let parameters = TEMPLATE["Parameters"].as_object().expect("parameters");
    let without = parameters.iter().filter(|(_, parameter)| parameter.get("Default").is_none());
    assert_eq!(without.map(|(name, _)| name).collect::<Vec<_>>(), ["CodeBucket"]);
    for (name, parameter) in parameters {
        assert!(parameter["Description"].is_string(), "{name} is described");
        let kind = parameter["Type"].as_str().expect("a type");
        let constrained = ["AllowedValues", "AllowedPattern", "MinValue", "MinLength"];
        let constrained = constrained.iter().any(|name| parameter.get(name).is_some());
        assert!(constrained || kind == "CommaDelimitedList", "{name} is constrained");
    }
}

#[test]
fn every_parameter_is_in_a_group() {
    let groups = &TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let mut grouped: Vec<_> = groups
        .as_array()
        .expect("groups of parameters")
        .iter()
        .flat_map(|group| group["Parameters"].as_array().expect("parameters of a group"))
        .filter_map(Value::as_str)
        .collect();
    grouped.sort_unstable();
    let parameters = TEMPLATE["Parameters"].as_object().expect("parameters");
    let mut declared: Vec<_> = parameters.keys().map(String::as_str).collect();
    declared.sort_unstable();
    assert_eq!(grouped, declared);
}

#[test]
fn every_parameter_output_and_alarm_is_in_the_documentation() {
    let readme = fs::read_to_string(workspace().join("infra/README.md")).expect("the README");
    let names = |section: &str| TEMPLATE[section].as_object().expect("names").keys();
    let alarms = resources("AWS::CloudWatch::Alarm").map(|(id, _)| id);
    let documented = names("Parameters").chain(names("Outputs")).map(String::as_str).chain(alarms);
    for name in documented {
        assert!(readme.contains(&format!("`{name}`")), "infra/README.md tells of {name}");
    }
}

#[test]
fn the_sweep_knows_the_documents_that_the_rule_knows() {
    let rule = &TEMPLATE["Resources"]["CommandEndedRule"]["Properties"]["EventPattern"];
    let of_rule = &rule["detail"]["document-name"]["Fn::Split"][1];
    let sweep = &TEMPLATE["Resources"]["SweepFunction"]["Properties"]["Environment"];
    assert_eq!(*of_rule, sweep["Variables"]["DOCUMENT_NAMES"]);
    let command_documents = resources("AWS::SSM::Document")
        .filter(|(_, document)| document["DocumentType"] == "Command")
        .map(|(id, _)| json!({ "Ref": id }));
    let names = of_rule["Fn::Join"][1][0]["Fn::Join"][1].as_array().expect("a list of names");
    for document in command_documents {
        assert!(names.contains(&document), "{document} is not among {names:?}");
    }
}

#[test]
fn the_queue_is_encrypted_and_closed_and_logs_end() {
    let (_, queue) = resources("AWS::SQS::Queue").next().expect("a queue");
    assert_eq!(queue["SqsManagedSseEnabled"], true);
    let (_, policy) = resources("AWS::SQS::QueuePolicy").next().expect("a policy of the queue");
    for statement in policy["PolicyDocument"]["Statement"].as_array().expect("statements") {
        let for_everybody = statement["Principal"] == "*";
        assert!(!for_everybody || statement["Effect"] == "Deny", "{statement}");
    }
    let groups: Vec<_> = resources("AWS::Logs::LogGroup").collect();
    assert_eq!(groups.len(), 2);
    for (id, group) in groups {
        assert_eq!(group["RetentionInDays"], json!({ "Ref": "LogRetentionDays" }), "{id}");
    }
}

#[tokio::test]
async fn a_deployed_stack_has_its_outputs() {
    let sandbox = Sandbox::shared().await;
    let described = sandbox.aws_cli(&["cloudformation", "describe-stacks", "--stack-name", STACK]);
    let outputs = described["Stacks"][0]["Outputs"].as_array().expect("outputs").iter();
    let outputs: BTreeMap<_, _> = outputs
        .map(|output| (&output["OutputKey"], &output["OutputValue"]))
        .filter_map(|(key, value)| Some((key.as_str()?, value.as_str()?)))
        .collect();
    let declared = TEMPLATE["Outputs"].as_object().expect("outputs").keys();
    let mut declared: Vec<_> = declared.map(String::as_str).collect();
    declared.sort_unstable();
    assert_eq!(outputs.keys().copied().collect::<Vec<_>>(), declared);

    let document = |name: &str| format!("arn:aws:ssm:{REGION}:{ACCOUNT}:document/{name}");
    let documents =
        ["SfnRunShellScript", "SfnRunPowerShellScript", "SfnRunDocument"].map(document).join(",");
    let expected = [
        ("RunShellScriptDocumentName", "SfnRunShellScript"),
        ("RunPowerShellScriptDocumentName", "SfnRunPowerShellScript"),
        ("RunDocumentDocumentName", "SfnRunDocument"),
        ("RunCommandByInstanceIdsDocumentName", "SfnRunCommandByInstanceIds"),
        ("RunCommandByTargetsDocumentName", "SfnRunCommandByTargets"),
        ("SendCommandResource", "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken"),
        ("DocumentArns", documents.as_str()),
        ("RelayFunctionName", "run-command-relay-relay"),
        ("SweepFunctionName", "run-command-relay-sweep"),
        ("DashboardName", "run-command-relay-us-east-1"),
    ];
    for (key, value) in expected {
        assert_eq!(outputs[key], value, "{key}");
    }
    for policy in ["StartCommandsPolicyArn", "StartAutomationsPolicyArn"] {
        sandbox.aws_cli(&["iam", "get-policy", "--policy-arn", outputs[policy]]);
    }
}
