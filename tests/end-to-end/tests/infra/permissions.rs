//! What the roles and policies of the template grant, as far as the text tells it.

use std::collections::BTreeSet;
use std::fs;

use sandbox_client::workspace;
use serde_json::{Value, json};

use crate::{TEMPLATE, resources};

/// Each role and managed policy, with all that it may do.
const GRANTED: [(&str, &[&str]); 5] = [
    (
        "RelayRole",
        &[
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
/// The only actions for which IAM knows no resource.
const WITHOUT_RESOURCE: [&str; 4] = [
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
    let policy = &TEMPLATE["Resources"]["StartCommandsPolicy"]["Properties"]["PolicyDocument"];
    let nodes = |statement: &&Value| {
        list(&statement["Resource"]).iter().any(|resource| resource.contains("instance/*"))
    };
    let statements = statements(policy);
    let of_nodes: Vec<_> = statements.iter().filter(nodes).collect();
    let condition =
        json!({ "StringEquals": { "ssm:resourceTag/${NodeTagKey}": "${NodeTagValue}" } });
    assert_eq!(of_nodes.len(), 1);
    assert_eq!(of_nodes[0]["Condition"], condition);
}

/// Roles and managed policies by logical id, with the statements that grant something.
fn policies() -> Vec<(String, Vec<Value>)> {
    let roles = resources("AWS::IAM::Role").map(|(id, role)| {
        let policies = role["Policies"].as_array().expect("a role has policies");
        (id, policies.iter().flat_map(|policy| statements(&policy["PolicyDocument"])).collect())
    });
    let managed = resources("AWS::IAM::ManagedPolicy")
        .map(|(id, policy)| (id, statements(&policy["PolicyDocument"])));
    let mut all: Vec<_> =
        roles.chain(managed).map(|(id, statements)| (id.to_owned(), statements)).collect();
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    all
}

/// The statements of a policy, which is an object or JSON text with references.
fn statements(document: &Value) -> Vec<Value> {
    let statements = match document["Fn::Sub"].as_str() {
        Some(text) => serde_json::from_str::<Value>(text).expect("JSON")["Statement"].take(),
        None => document["Statement"].clone(),
    };
    statements.as_array().expect("statements").clone()
}

/// One text, or several; what is no text is written as JSON.
fn list(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        value => vec![text(value)],
    }
}
