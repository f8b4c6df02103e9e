//! Whether a function lets EventBridge invoke it for a rule.

use serde_json::Value;

/// The statements of `GetPolicy`'s answer, whose policy is JSON in JSON.
pub fn policy_statements(answer: &Value) -> Vec<Value> {
    let document = answer["Policy"].as_str().unwrap_or_default();
    let mut policy: Value = serde_json::from_str(document).unwrap_or_default();
    match policy["Statement"].take() {
        Value::Array(statements) => statements,
        _ => Vec::new(),
    }
}

/// Whether EventBridge may invoke the function on behalf of this rule.
pub fn allows_rule(statements: &[Value], rule_arn: &str) -> bool {
    statements.iter().any(|statement| {
        let principal = &statement["Principal"];
        let service = principal["Service"].as_str().or(principal.as_str());
        let source = statement["Condition"]
            .as_object()
            .into_iter()
            .flat_map(|condition| condition.values())
            .filter_map(Value::as_object)
            .flatten()
            .find(|(key, _)| key.eq_ignore_ascii_case("aws:SourceArn"))
            .and_then(|(_, arn)| arn.as_str());
        statement["Effect"] == "Allow"
            && statement["Action"] == "lambda:InvokeFunction"
            && service == Some("events.amazonaws.com")
            && source.is_none_or(|pattern| arn_like(pattern, rule_arn))
    })
}

/// `ArnLike`: `*` stands for any characters.
fn arn_like(pattern: &str, arn: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == arn;
    };
    let Some(rest) = arn.strip_prefix(head) else {
        return false;
    };
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.map(|at| &rest[at..]).any(|rest| arn_like(tail, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{allows_rule, arn_like};

    const RULE: &str = "arn:aws:events:us-east-1:123456789012:rule/on-end";

    fn permission(source: &str) -> Value {
        json!({
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Principal": { "Service": "events.amazonaws.com" },
            "Condition": { "ArnLike": { "AWS:SourceArn": source } },
        })
    }

    #[test]
    fn a_permission_holds_for_its_rule_only() {
        assert!(allows_rule(&[permission(RULE)], RULE));
        assert!(!allows_rule(&[permission("arn:aws:events:us-east-1:123456789012:rule/x")], RULE));
        assert!(!allows_rule(&[], RULE));
    }

    #[test]
    fn a_permission_of_another_service_does_not_hold() {
        let mut other = permission(RULE);
        other["Principal"] = json!({ "Service": "s3.amazonaws.com" });
        assert!(!allows_rule(&[other], RULE));
    }

    #[test]
    fn an_arn_pattern_stands_for_any_characters() {
        assert!(arn_like("arn:aws:events:*:rule/on-end", RULE));
        assert!(arn_like("arn:aws:events:us-east-1:123456789012:rule/*", RULE));
        assert!(arn_like("*", RULE));
        assert!(!arn_like("arn:aws:events:*:rule/on", RULE));
        assert!(!arn_like("arn:aws:s3:*", RULE));
    }
}
