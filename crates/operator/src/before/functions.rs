//! Whether somebody else has functions of the names that the stack would create.

use crate::aws::Aws;
use crate::before::plan::Plan;
use crate::call::found;
use crate::check::functions::{ABSENT, Function};
use crate::checks::{Check, Group};
use crate::problem::Problem;

pub(super) async fn group(aws: &Aws, plan: &Plan) -> Group {
    let (relay, sweep) =
        tokio::join!(check(aws, plan, Function::Relay), check(aws, plan, Function::Sweep));
    Group { name: "Functions".to_owned(), checks: vec![relay, sweep] }
}

async fn check(aws: &Aws, plan: &Plan, function: Function) -> Check {
    let name = name(plan, function);
    let answer = aws.lambda.get_function_configuration().function_name(&name).send().await;
    let is_there = found("lambda:GetFunctionConfiguration", &ABSENT, answer);
    free(plan, function, &name, is_there.map(|function| function.is_some()))
}

/// The name of a function of the stack.
pub(super) fn name(plan: &Plan, function: Function) -> String {
    format!("{}-{}", plan.stack, function.word())
}

fn free(plan: &Plan, function: Function, name: &str, is_there: Result<bool, Problem>) -> Check {
    let id = format!("{}Free", function.logical_id());
    let output = format!("{}Name", function.logical_id());
    let own = plan.existing().and_then(|stack| stack.outputs.get(&output));
    match is_there {
        Err(problem) => {
            Check::unknown(id, &format!("Whether there is a function {name}"), &problem)
        }
        Ok(false) => Check::good(id, format!("There is no function {name}.")),
        Ok(true) if own.is_some_and(|own| own == name) => {
            Check::good(id, format!("The function {name} is the stack's."))
        }
        Ok(true) => Check::wrong(
            id,
            format!("Expected no function {name} outside the stack, got one."),
            "Choose another name for the stack.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;
    use crate::stack::Described;

    #[test]
    fn a_function_of_others_is_in_the_way() {
        let mut plan = Plan::sample(&[]);
        let name = name(&plan, Function::Relay);
        let free = |plan: &Plan, is_there| free(plan, Function::Relay, &name, is_there).found;
        assert_eq!(free(&plan, Ok(false)), Found::Good);
        assert_eq!(free(&plan, Ok(true)), Found::Wrong);
        assert_eq!(free(&plan, Err(Problem::new("denied"))), Found::Unknown);
        let outputs = [("RelayFunctionName".to_owned(), name.clone())].into();
        plan.existing = Ok(Some(Described { outputs, ..Described::default() }));
        assert_eq!(free(&plan, Ok(true)), Found::Good);
    }
}
