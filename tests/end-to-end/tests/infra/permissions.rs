//! What the roles and policies of the template grant, as far as the text tells it.

use std::collections::BTreeSet;
use std::fs;

use sandbox_client::{ACCOUNT, REGION, Sandbox, workspace};
use serde_json::{Value, json};

use crate::deploy_script::{new_bucket, small_functions};
use crate::{TEMPLATE, deploy_script, resources, succeed};

/// Each role and managed policy, with all that it may do.
const GRANTED: [(&str, &[&str]); 6] = [
    // It has two of the managed policies.
    ("CheckRole", &[]),
    (
        "RelayRole",
        &[
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "sqs:SendMessage",
            "ssm:GetCommandInvocation",
            "ssm:ListCommandInvocations",
            "ssm:ListCommands",
            "states:SendTaskFailure",
            "states:SendTaskSuccess",
        ],
    ),
    ("SSMSyncRole", &["ssm:SendCommand", "states:SendTaskFailure"]),
    ("StartAutomationsPolicy", &["ssm:StartAutomationExecution"]),
    ("StartCommandsPolicy", &["ssm:SendCommand"]),
    (
        "SweepRole",
        &[
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
            "kms:Decrypt",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "ssm:CancelCommand",
            "ssm:GetCommandInvocation",
            "ssm:ListCommandInvocations",
            "ssm:ListCommands",
            "states:SendTaskFailure",
            "states:SendTaskHeartbeat",
            "states:SendTaskSuccess",
        ],
    ),
];
/// The only actions for which IAM knows no resource, or which Lambda requires on all of them.
const WITHOUT_RESOURCE: [&str; 10] = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "ssm:CancelCommand",
    "ssm:GetCommandInvocation",
    "ssm:ListCommandInvocations",
    "ssm:ListCommands",
];

#[test]
fn every_role_and_policy_grants_what_is_listed_here_and_no_more() {
    let granted: Vec<_> = policies()
        .into_iter()
        .map(|(id, statements)| {
            let actions = statements.iter().flat_map(|statement| list(&statement["Action"]));
            (id, actions.collect::<BTreeSet<_>>())
        })
        .collect();
    let expected = GRANTED
        .map(|(id, actions)| (id.to_owned(), actions.iter().copied().map(str::to_owned).collect()));
    assert_eq!(granted, expected);
}

#[test]
fn no_action_is_a_pattern_and_resources_are_named_where_iam_knows_them() {
    for (id, statements) in policies() {
        for statement in statements {
            let actions = list(&statement["Action"]);
            assert!(actions.iter().all(|action| !action.contains('*')), "{id}: {statement}");
            let without = actions.iter().all(|action| WITHOUT_RESOURCE.contains(&action.as_str()));
            assert_eq!(statement["Resource"] == "*", without, "{id}: {statement}");
        }
    }
}

#[test]
fn every_wildcard_of_a_statement_has_a_comment_that_says_why() {
    let text = fs::read_to_string(workspace().join("infra/template.yaml")).expect("the template");
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let mut found = 0;
    for (index, line) in lines.iter().enumerate() {
        let in_statement = line.contains("arn:") || line.contains("\"*\"") || line.ends_with(":*");
        if line.starts_with('#')
            || line.starts_with("AllowedPattern")
            || !line.contains('*')
            || !in_statement
        {
            continue;
        }
        found += 1;
        assert!(is_explained(&lines[..index]), "line {} has no comment: {line}", index + 1);
    }
    assert!(found > 10, "only {found} wildcards were found");
}

/// Whether there is a comment between the beginning of the statement and its wildcard. A policy
/// that is JSON text holds no comments: it has one above.
fn is_explained(before: &[&str]) -> bool {
    for line in before.iter().rev() {
        if line.starts_with('#') {
            return true;
        }
        if line.starts_with("- Sid:") || line.starts_with("- Effect:") {
            return false;
        }
    }
    false
}

#[test]
fn nodes_are_chosen_by_the_tag_of_the_parameters() {
    let resources = &TEMPLATE["Resources"];
    let role = &resources["SSMSyncRole"]["Properties"]["Policies"][1]["PolicyDocument"]["Fn::If"];
    let nodes = |statement: &&Value| {
        list(&statement["Resource"]).iter().any(|resource| resource.contains("instance/*"))
    };
    let condition =
        json!({ "StringEquals": { "ssm:resourceTag/${NodeTagKey}": "${NodeTagValue}" } });
    for policy in [&resources["StartCommandsPolicy"]["Properties"]["PolicyDocument"], &role[2]] {
        let statements = statements(policy);
        let of_nodes: Vec<_> = statements.iter().filter(nodes).collect();
        assert_eq!(of_nodes.len(), 1);
        assert_eq!(of_nodes[0]["Condition"], condition);
    }
    // As AWS's sample has it, if that is asked for.
    assert_eq!(role[0], "AutomationsReachEveryNode");
    assert_eq!(statements(&role[1])[0].get("Condition"), None);
    let every_node = json!({ "Fn::Equals": [{ "Ref": "AutomationDocuments" }, "every-node"] });
    assert_eq!(TEMPLATE["Conditions"]["AutomationsReachEveryNode"], every_node);
    assert_eq!(TEMPLATE["Parameters"]["AutomationDocuments"]["Default"], "tagged");
}

#[test]
fn every_answer_is_bounded_by_the_state_machines_in_the_same_way() {
    let mut resources = Vec::new();
    for (id, statements) in policies() {
        for statement in statements {
            if list(&statement["Action"]).iter().any(|action| action.starts_with("states:")) {
                resources.push((id.clone(), statement["Resource"].clone()));
            }
        }
    }
    let ids: Vec<_> = resources.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["RelayRole", "SSMSyncRole", "SweepRole"]);
    let machines = json!({ "Ref": "StateMachineArns" });
    let own = ",arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:\
               ${AWS::StackName}-check";
    let check = json!({ "Fn::If": ["CreatesCheckStateMachine", { "Fn::Sub": own }, ""] });
    let given = json!({ "Fn::Split": [",", { "Fn::Sub": ["${Machines},${Maps}/*${Check}", {
        "Machines": { "Fn::Join": [",", machines] }, "Maps": { "Fn::Join": ["/*,", machines] },
        "Check": check,
    }] }] });
    let every = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:*";
    let expected = json!({
        "Fn::If": ["AnswersEveryStateMachine", { "Fn::Sub": every }, given],
    });
    for (id, resource) in resources {
        assert_eq!(resource, expected, "{id}");
    }
    let condition = json!({ "Fn::Equals": [{ "Fn::Join": [",", machines] }, "*"] });
    assert_eq!(TEMPLATE["Conditions"]["AnswersEveryStateMachine"], condition);
}

#[tokio::test]
async fn a_deployed_stack_grants_what_its_parameters_say() {
    let sandbox = Sandbox::shared().await;
    let functions = small_functions();
    let deployed = |kind: &str, more: &str| {
        let stack = new_bucket(&sandbox, kind);
        let mut deploy = deploy_script::deploy(&sandbox, &stack, &functions);
        succeed(deploy.args(["--parameters", &format!("DocumentNamePrefix={stack}- {more}")]));
        stack
    };
    let machine = format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine");
    let some = format!("StateMachineArns={machine}:one,{machine}:ops-*");
    let few = format!("{some} AutomationDocuments=none AllowRunDocument=false");
    let few = deployed("few", &format!("{few} CreateCheckStateMachine=false"));
    let own = deployed("own", &format!("StateMachineArns={machine}:one"));
    let many = deployed("many", "StateMachineArns=* AutomationDocuments=every-node");
    let policy = |role: &str, name: &str| {
        let get = ["iam", "get-role-policy", "--policy-name", name, "--role-name", role];
        sandbox.aws_cli(&get)["PolicyDocument"]["Statement"].take()
    };
    let role_of = |stack: &str, id: &str| {
        let describe = ["cloudformation", "describe-stack-resources", "--stack-name", stack];
        let described = sandbox.aws_cli(&describe);
        let resources = described["StackResources"].as_array().expect("resources");
        let role = resources.iter().find(|resource| resource["LogicalResourceId"] == id);
        role.expect("a role")["PhysicalResourceId"].as_str().expect("a name").to_owned()
    };
    let answers = |stack: &str| policy(&role_of(stack, "RelayRole"), "relay")[1]["Resource"].take();
    let each = ["one", "ops-*", "one/*", "ops-*/*"].map(|name| format!("{machine}:{name}"));
    assert_eq!(answers(&few), json!(each));
    let each = ["one", "one/*", &format!("{own}-check")].map(|name| format!("{machine}:{name}"));
    assert_eq!(answers(&own), json!(each));
    assert_eq!(answers(&many), json!(format!("{machine}:*")));

    let commands = |stack: &str| {
        let arn = output(&sandbox, stack, "StartCommandsPolicyArn").expect("a policy");
        let get = ["iam", "get-policy-version", "--version-id", "v1", "--policy-arn", &arn];
        list(&sandbox.aws_cli(&get)["PolicyVersion"]["Document"]["Statement"][0]["Resource"])
    };
    let with_run_document = |stack: &str| {
        commands(stack)
            .iter()
            .any(|arn| arn.ends_with(&format!(":document/{stack}-SfnRunDocument")))
    };
    assert_eq!((commands(&few).len(), with_run_document(&few)), (2, false));
    assert_eq!((commands(&many).len(), with_run_document(&many)), (3, true));

    for name in [
        "SyncRoleArn",
        "StartAutomationsPolicyArn",
        "RunCommandByInstanceIdsDocumentName",
        "RunCommandByTargetsDocumentName",
        "CheckStateMachineArn",
    ] {
        assert_eq!(output(&sandbox, &few, name), None, "{name}");
        assert!(output(&sandbox, &many, name).is_some(), "{name}");
    }
    let nodes = |stack: &str| policy(&role_of(stack, "SSMSyncRole"), "nodes")[0].take();
    assert_eq!(nodes(&many).get("Condition"), None);
    let condition = json!({ "StringEquals": { "ssm:resourceTag/RunCommandRelay": "allowed" } });
    assert_eq!(nodes("run-command-relay")["Condition"], condition);
    let roles = sandbox.aws_cli(&["iam", "list-roles", "--query", "Roles[].RoleName"]);
    assert!(!roles.to_string().contains(&format!("{few}-SSMSyncRole")), "{roles}");
}

/// What passes the acceptance run passes for the state machines of users.
#[test]
fn the_acceptance_run_has_the_policies_that_users_attach_and_no_others() {
    let role = &TEMPLATE["Resources"]["CheckRole"]["Properties"];
    let automations = json!({ "Fn::If": [
        "HasAutomationDocuments", { "Ref": "StartAutomationsPolicy" }, { "Ref": "AWS::NoValue" },
    ] });
    let expected = json!([{ "Ref": "StartCommandsPolicy" }, automations]);
    assert_eq!((&role["ManagedPolicyArns"], role.get("Policies")), (&expected, None));
    let [trust] = &all_statements(&role["AssumeRolePolicyDocument"])[..] else { panic!("{role}") };
    let machine = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:\
                   ${AWS::StackName}-check";
    assert_eq!(trust["Condition"]["ArnEquals"]["aws:SourceArn"], json!({ "Fn::Sub": machine }));
}

/// The function's code has no use for the network interfaces that Lambda manages under its role.
#[test]
fn the_code_of_a_function_may_not_use_the_network_rights_of_its_role() {
    for (role, function) in [("RelayRole", "relay"), ("SweepRole", "sweep")] {
        let policy = &TEMPLATE["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"];
        let mut denied = all_statements(policy);
        denied.retain(|statement| statement["Effect"] == "Deny");
        let [denied] = &denied[..] else { panic!("{role}: {denied:?}") };
        assert_eq!((&denied["Action"], &denied["Resource"]), (&json!("ec2:*"), &json!("*")));
        let arn = format!(
            "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:${{AWS::StackName}}-{function}"
        );
        let condition = json!({ "ArnEquals": { "lambda:SourceFunctionArn": { "Fn::Sub": arn } } });
        assert_eq!(denied["Condition"], condition, "{role}");
    }
}

/// With them, another region and another stack of the account would find the names taken.
#[test]
fn nothing_of_iam_has_a_name_of_its_own_and_everything_has_the_path_and_the_boundary() {
    let choice = |condition: &str, parameter: &str| json!({ "Fn::If": [condition, { "Ref": parameter }, { "Ref": "AWS::NoValue" }] });
    let path = choice("HasRolePath", "RolePath");
    let boundary = choice("HasPermissionsBoundary", "PermissionsBoundaryArn");
    for (id, role) in resources("AWS::IAM::Role") {
        assert_eq!(role.get("RoleName"), None, "{id}");
        assert_eq!((&role["Path"], &role["PermissionsBoundary"]), (&path, &boundary), "{id}");
    }
    for (id, policy) in resources("AWS::IAM::ManagedPolicy") {
        assert_eq!(policy.get("ManagedPolicyName"), None, "{id}");
        assert_eq!(policy["Path"], path, "{id}");
    }
}

/// An output of a stack, if it has it.
fn output(sandbox: &Sandbox, stack: &str, name: &str) -> Option<String> {
    let described = sandbox.aws_cli(&["cloudformation", "describe-stacks", "--stack-name", stack]);
    let outputs = described["Stacks"][0]["Outputs"].as_array()?.clone();
    let output = outputs.into_iter().find(|output| output["OutputKey"] == name)?;
    output["OutputValue"].as_str().map(str::to_owned)
}

/// Roles and managed policies by logical id, with the statements that grant something.
fn policies() -> Vec<(String, Vec<Value>)> {
    let roles = resources("AWS::IAM::Role").map(|(id, role)| {
        let policies = role["Policies"].as_array().into_iter().flatten();
        (id, policies.flat_map(|policy| statements(&policy["PolicyDocument"])).collect())
    });
    let managed = resources("AWS::IAM::ManagedPolicy")
        .map(|(id, policy)| (id, statements(&policy["PolicyDocument"])));
    let mut all: Vec<_> =
        roles.chain(managed).map(|(id, statements)| (id.to_owned(), statements)).collect();
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    all
}

/// The statements that grant something in a policy, which is an object or JSON text with references;
/// of a choice between two, those of both.
fn statements(document: &Value) -> Vec<Value> {
    let mut statements = all_statements(document);
    statements.retain(|statement| statement["Effect"] == "Allow");
    statements
}

fn all_statements(document: &Value) -> Vec<Value> {
    if let Some(choices) = document["Fn::If"].as_array() {
        return choices[1..].iter().flat_map(all_statements).collect();
    }
    let statements = match text_of(&document["Fn::Sub"]) {
        Some(text) => serde_json::from_str::<Value>(&text).expect("JSON")["Statement"].take(),
        None => document["Statement"].clone(),
    };
    let statements = statements.as_array().expect("statements").iter();
    let choices = |statement: &Value| match statement["Fn::If"].as_array() {
        Some(choices) => choices[1..].to_vec(),
        None => vec![statement.clone()],
    };
    statements.flat_map(choices).collect()
}

/// The text of `Fn::Sub`, with the longest values of its own variables in their places.
fn text_of(sub: &Value) -> Option<String> {
    if let Some(text) = sub.as_str() {
        return Some(text.to_owned());
    }
    let mut text = sub[0].as_str()?.to_owned();
    for (name, value) in sub[1].as_object().expect("variables") {
        let value = value["Fn::If"][1]["Fn::Sub"].as_str().expect("a choice of texts");
        text = text.replace(&format!("${{{name}}}"), value);
    }
    Some(text)
}

/// One text, or several; what is no text is written as JSON.
fn list(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        value => vec![text(value)],
    }
}
