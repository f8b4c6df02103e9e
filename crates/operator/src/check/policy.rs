//! Whether the policy of a function or a queue lets EventBridge's rule use it.

use serde_json::Value;

/// The service that rules act as.
const EVENTS: &str = "events.amazonaws.com";

/// Whether a statement of the policy allows `action` to EventBridge for this rule. Conditions besides
/// the rule's ARN are not looked at.
pub(super) fn allows_rule(policy: &str, action: &str, rule_arn: &str) -> bool {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    listed(&policy["Statement"]).any(|statement| {
        statement["Effect"] == "Allow"
            && texts(&statement["Principal"]["Service"]).any(|service| service == EVENTS)
            && texts(&statement["Action"]).any(|one| one.eq_ignore_ascii_case(action))
            && names_rule(&statement["Condition"], rule_arn)
    })
}

/// Whether the condition on `aws:SourceArn`, whose name has no case, is this rule.
fn names_rule(condition: &Value, rule_arn: &str) -> bool {
    let operators = condition.as_object().into_iter().flatten();
    let keys = operators.filter_map(|(_, keys)| keys.as_object()).flatten();
    keys.filter(|(key, _)| key.eq_ignore_ascii_case("aws:SourceArn"))
        .any(|(_, arns)| texts(arns).any(|arn| arn == rule_arn))
}

/// What stands in a policy alone or in a list.
fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    let (list, single) = match value {
        Value::Array(values) => (values.as_slice(), None),
        Value::Null => (&[][..], None),
        single => (&[][..], Some(single)),
    };
    list.iter().chain(single)
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    listed(value).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULE: &str = "arn:aws:events:eu-central-1:111122223333:rule/one";

    fn policy() -> Value {
        json!({ "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "events.amazonaws.com" },
            "Action": "lambda:InvokeFunction",
            "Resource": "*",
            "Condition": { "ArnLike": { "AWS:SourceArn": RULE } },
        }] })
    }

    fn allows(policy: &Value) -> bool {
        allows_rule(&policy.to_string(), "lambda:InvokeFunction", RULE)
    }

    #[test]
    fn the_rule_is_allowed_in_every_way_to_write_it() {
        assert!(allows(&policy()));
        let mut other = policy();
        other["Statement"] = policy()["Statement"][0].clone();
        other["Statement"]["Action"] = json!(["lambda:InvokeFunction"]);
        other["Statement"]["Condition"] = json!({ "ArnEquals": { "aws:SourceArn": [RULE] } });
        assert!(allows(&other));
    }

    #[test]
    fn anything_else_is_not_allowed() {
        for (field, value) in [
            ("Effect", json!("Deny")),
            ("Principal", json!({ "AWS": "*" })),
            ("Action", json!("lambda:GetFunction")),
            ("Condition", json!({ "ArnLike": { "AWS:SourceArn": "arn:other" } })),
            ("Condition", Value::Null),
        ] {
            let mut other = policy();
            other["Statement"][0][field] = value;
            assert!(!allows(&other), "{other}");
        }
        assert!(!allows(&Value::Null) && !allows_rule("no JSON", "lambda:InvokeFunction", RULE));
    }
}
