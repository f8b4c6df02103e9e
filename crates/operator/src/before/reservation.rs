//! Whether Lambda lets the stack reserve concurrency.

use crate::aws::Aws;
use crate::before::plan::Plan;
use crate::call::found;
use crate::check::account::{self, Concurrency, UNRESERVED_MIN};
use crate::check::functions::ABSENT;
use crate::checks::{Check, Group};
use crate::problem::Problem;
use crate::stack::OWN_OUTPUTS;

const ID: &str = "Reservation";

pub(super) async fn group(aws: &Aws, plan: &Plan) -> Group {
    let check = match free(aws, plan).await {
        Ok((concurrency, reserved)) => judge(plan, concurrency, reserved),
        Err(problem) => Check::unknown(ID, "The concurrency that Lambda allows", &problem),
    };
    Group { name: "Lambda".to_owned(), checks: vec![check] }
}

/// The concurrency of the account, and what the stack has reserved of it already.
async fn free(aws: &Aws, plan: &Plan) -> Result<(Concurrency, i32), Problem> {
    let concurrency = account::read(aws).await?;
    let mut reserved = 0;
    let outputs = plan.existing().map(|stack| &stack.outputs);
    for name in OWN_OUTPUTS.iter().filter_map(|output| outputs?.get(*output)) {
        let answer = aws.lambda.get_function_concurrency().function_name(name).send().await;
        let own = found("lambda:GetFunctionConcurrency", &ABSENT, answer)?;
        reserved += own.and_then(|own| own.reserved_concurrent_executions).unwrap_or(0);
    }
    Ok((concurrency, reserved))
}

fn judge(plan: &Plan, concurrency: Concurrency, reserved: i32) -> Check {
    if plan.parameter("ReserveConcurrency") != "true" {
        return Check::good(ID, "The stack reserves no concurrency: ReserveConcurrency is false.");
    }
    let wanted = account::wanted(plan.parameter("RelayMaxConcurrency"));
    let free = concurrency.unreserved + reserved;
    if free - wanted >= UNRESERVED_MIN {
        return Check::good(
            ID,
            format!("Lambda's limit leaves room for the concurrency of the stack: {wanted}."),
        );
    }
    let sentence = format!(
        "Lambda allows a concurrency of {}, and others have reserved {} of it. {UNRESERVED_MIN} must stay \
         unreserved, and the stack would reserve {wanted}.",
        concurrency.limit,
        concurrency.limit - free
    );
    let fitting = free - UNRESERVED_MIN - 1;
    let other = match fitting {
        1.. => format!(" To reserve less: RelayMaxConcurrency={fitting}."),
        _ => String::new(),
    };
    let heading = "See infra/RUNBOOK.md#reserved-concurrency.";
    if plan.gives("ReserveConcurrency", "true") {
        let todo = format!("Leave ReserveConcurrency out, or set it to false.{other} {heading}");
        return Check::wrong(ID, sentence, todo);
    }
    let todo = format!("`make deploy` sets ReserveConcurrency=false.{other} {heading}");
    Check::attention(ID, sentence, todo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;

    fn check(parameters: &[&str], unreserved: i32, reserved: i32) -> Check {
        let concurrency = Concurrency { limit: 1_000, unreserved };
        judge(&Plan::sample(parameters), concurrency, reserved)
    }

    #[test]
    fn a_hundred_stay_unreserved() {
        assert_eq!(check(&[], 121, 0).found, Found::Good);
        assert_eq!(check(&[], 100, 21).found, Found::Good);
        let short = check(&[], 120, 0);
        assert_eq!(short.found, Found::Attention);
        assert!(short.todo.contains("RelayMaxConcurrency=19"), "{short:?}");
        assert!(!check(&[], 100, 0).todo.contains("RelayMaxConcurrency"));
        assert_eq!(check(&["ReserveConcurrency=true"], 120, 0).found, Found::Wrong);
        assert_eq!(check(&["ReserveConcurrency=false"], 10, 0).found, Found::Good);
    }
}
