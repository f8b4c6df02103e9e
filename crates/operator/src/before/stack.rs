//! Whether the name of the stack is free, or its stack ours and in a state that takes an update.

use crate::before::plan::Plan;
use crate::checks::{Check, Group};
use crate::shown::printable;
use crate::stack::{Described, OWN_OUTPUTS};

/// The parameters of a Run Command Relay whose creation failed. It has no outputs.
const OWN_PARAMETERS: [&str; 2] = ["RelayCodeKey", "SweepCodeKey"];
/// The states in which CloudFormation updates a stack.
const UPDATABLE: [&str; 5] = [
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
];
/// The state after a first creation that failed: nothing is left, but the name.
const CREATION_FAILED: &str = "ROLLBACK_COMPLETE";
/// A function's name begins with the stack's, and has at most 64 characters.
const NAME_CHARS_MAX: usize = 52;

pub(super) fn group(plan: &Plan) -> Group {
    let checks = vec![name(&plan.stack), state(plan), machines(plan)];
    Group { name: format!("Stack {}", plan.stack), checks }
}

fn name(name: &str) -> Check {
    const ID: &str = "StackName";
    let is_valid = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.len() <= NAME_CHARS_MAX
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-');
    if is_valid {
        return Check::good(ID, "A stack may have this name.");
    }
    Check::wrong(
        ID,
        format!(
            "Expected the name of a stack to be a letter and up to 51 letters, digits and hyphens, got \
             `{name}`."
        ),
        "Choose another name.",
    )
}

fn state(plan: &Plan) -> Check {
    const ID: &str = "StackState";
    let stack = match &plan.existing {
        Ok(None) => return Check::good(ID, "There is no stack of this name."),
        Ok(Some(stack)) => stack,
        Err(problem) => return Check::unknown(ID, "Whether there is such a stack", problem),
    };
    let status = &stack.status;
    if !is_ours(stack) {
        let mut got: Vec<_> = stack.outputs.keys().map(|name| printable(name)).collect();
        got.sort_unstable();
        let got = if got.is_empty() { "none".to_owned() } else { got.join(", ") };
        return Check::wrong(
            ID,
            format!(
                "The stack is not a Run Command Relay ({status}): expected the outputs {}, got {got}.",
                OWN_OUTPUTS.join(" and ")
            ),
            "Choose another name.",
        );
    }
    match status.as_str() {
        CREATION_FAILED => Check::attention(
            ID,
            format!("The creation of the stack failed, and its state is {status}."),
            "`make deploy` deletes it, after asking.",
        ),
        _ if UPDATABLE.contains(&status.as_str()) => Check::good(
            ID,
            format!("The stack is a Run Command Relay that can be updated: {status}."),
        ),
        _ => Check::wrong(
            ID,
            format!(
                "The stack cannot be updated now: expected one that is complete, got {status}."
            ),
            "See infra/RUNBOOK.md#stacks-that-are-not-complete.",
        ),
    }
}

fn is_ours(stack: &Described) -> bool {
    OWN_OUTPUTS.iter().all(|name| stack.outputs.contains_key(*name))
        || stack.outputs.is_empty()
            && OWN_PARAMETERS.iter().all(|name| stack.parameters.contains_key(*name))
}

/// There is no default for the state machines whose tasks may be answered.
fn machines(plan: &Plan) -> Check {
    const ID: &str = "StateMachineArns";
    match plan.parameter("StateMachineArns") {
        "" => Check::attention(
            ID,
            "A new stack needs the parameter StateMachineArns, and it was not given here.",
            "Give it to `make deploy`: see infra/README.md#trust-zones.",
        ),
        arns => Check::good(ID, format!("StateMachineArns is {}.", printable(arns))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;
    use crate::problem::Problem;

    fn found(stack: Option<(&str, &[&str])>) -> Found {
        let mut plan = Plan::sample(&[]);
        plan.existing = Ok(stack.map(|(status, outputs)| Described {
            status: status.to_owned(),
            outputs: outputs.iter().map(|&name| (name.to_owned(), String::new())).collect(),
            ..Described::default()
        }));
        state(&plan).found
    }

    #[test]
    fn a_stack_is_free_or_ours_and_complete() {
        assert_eq!(found(None), Found::Good);
        assert_eq!(found(Some(("UPDATE_ROLLBACK_COMPLETE", &OWN_OUTPUTS))), Found::Good);
        assert_eq!(found(Some(("ROLLBACK_COMPLETE", &OWN_OUTPUTS))), Found::Attention);
        assert_eq!(found(Some(("UPDATE_ROLLBACK_FAILED", &OWN_OUTPUTS))), Found::Wrong);
        assert_eq!(found(Some(("UPDATE_IN_PROGRESS", &OWN_OUTPUTS))), Found::Wrong);
        assert_eq!(found(Some(("CREATE_COMPLETE", &["Other"]))), Found::Wrong);
        assert_eq!(found(Some(("CREATE_COMPLETE", &[]))), Found::Wrong);
        let mut plan = Plan::sample(&[]);
        plan.existing = Err(Problem::new("denied"));
        assert_eq!(state(&plan).found, Found::Unknown);
    }

    #[test]
    fn a_name_leaves_room_for_those_of_functions() {
        for (text, expected) in [
            ("relay", Found::Good),
            (&"a".repeat(52), Found::Good),
            (&"a".repeat(53), Found::Wrong),
            ("1relay", Found::Wrong),
            ("re_lay", Found::Wrong),
            ("", Found::Wrong),
        ] {
            assert_eq!(name(text).found, expected, "{text}");
        }
    }
}
