//! Whether CloudFormation says that the stack and its resources are complete.

use crate::check::deployed::Deployed;
use crate::checks::{Check, Group};
use crate::stack::Stack;

const ADVICE: &str = "See infra/RUNBOOK.md#stacks-that-are-not-complete.";
/// Maximum number of resources that are named.
const NAMED_MAX: usize = 5;

/// The state of the stack and of its resources.
pub(super) fn group(stack: &Stack, deployed: &Deployed) -> Group {
    Group {
        name: format!("Stack {}", stack.name),
        checks: vec![status(&stack.status), resources(deployed)],
    }
}

fn status(status: &str) -> Check {
    const ID: &str = "StackComplete";
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => {
            Check::good(ID, format!("CloudFormation says {status}."))
        }
        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => Check::attention(
            ID,
            format!("CloudFormation says {status}: the last update failed, and was taken back."),
            ADVICE,
        ),
        _ if status.ends_with("_IN_PROGRESS") => Check::attention(
            ID,
            format!("CloudFormation says {status}: the stack is being changed."),
            "Wait until that has ended, and check again.",
        ),
        _ => Check::wrong(ID, format!("Expected a stack that is complete, got {status}."), ADVICE),
    }
}

fn resources(deployed: &Deployed) -> Check {
    const ID: &str = "StackResourcesComplete";
    let all = match deployed.all() {
        Ok(all) => all,
        Err(problem) => return Check::unknown(ID, "The stack's resources", &problem),
    };
    let bad: Vec<_> = all
        .iter()
        .filter(|(_, resource)| {
            resource.status.ends_with("_FAILED") || resource.status.starts_with("DELETE_")
        })
        .map(|(name, resource)| format!("{name} ({})", resource.status))
        .collect();
    if bad.is_empty() {
        return Check::good(ID, "All of its resources are complete.");
    }
    let more = if bad.len() > NAMED_MAX { " and more" } else { "" };
    let named = bad.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    Check::wrong(ID, format!("Resources that are not complete: {named}{more}."), ADVICE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::deployed::Resource;
    use crate::checks::Found;
    use crate::problem::Problem;

    #[test]
    fn a_stack_is_complete_or_says_what_it_is() {
        for (text, found) in [
            ("UPDATE_COMPLETE", Found::Good),
            ("UPDATE_ROLLBACK_COMPLETE", Found::Attention),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Found::Attention),
            ("UPDATE_ROLLBACK_FAILED", Found::Wrong),
            ("ROLLBACK_COMPLETE", Found::Wrong),
            ("", Found::Wrong),
        ] {
            assert_eq!(status(text).found, found, "{text}");
        }
    }

    #[test]
    fn resources_that_failed_are_named() {
        let of = |status: &str| {
            let resource = Resource {
                physical_id: "queue".to_owned(),
                kind: "AWS::SQS::Queue".to_owned(),
                status: status.to_owned(),
            };
            Deployed::of(Ok(BTreeMap::from([("OnFailureQueue".to_owned(), resource)])))
        };
        assert_eq!(resources(&of("CREATE_COMPLETE")).found, Found::Good);
        for status in ["UPDATE_FAILED", "DELETE_COMPLETE"] {
            assert_eq!(resources(&of(status)).found, Found::Wrong, "{status}");
        }
        assert_eq!(
            resources(&of("DELETE_FAILED")).sentence,
            "Resources that are not complete: OnFailureQueue (DELETE_FAILED)."
        );
        let unread = Deployed::of(Err(Problem::new("a right is missing")));
        assert_eq!(resources(&unread).found, Found::Unknown);
    }
}
