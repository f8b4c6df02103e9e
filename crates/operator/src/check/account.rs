//! What Lambda allows the account.

use crate::aws::Aws;
use crate::call::answer;
use crate::checks::{Check, Group};
use crate::problem::Problem;
use crate::stack::Stack;

/// What Lambda leaves of an account's concurrency to functions without a reservation (Lambda API,
/// `PutFunctionConcurrency`).
pub const UNRESERVED_MIN: i32 = 100;
const ID: &str = "LambdaConcurrency";

/// The concurrency of an account (Lambda API, `AccountLimit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// All functions together.
    pub limit: i32,
    /// What no function has reserved.
    pub unreserved: i32,
}

/// The account.
pub async fn group(aws: &Aws, stack: &Stack) -> Group {
    let check = match read(aws).await {
        Ok(concurrency) => judge(stack, concurrency),
        Err(problem) => Check::unknown(ID, "The concurrency that Lambda allows", &problem),
    };
    Group { name: format!("Account {}", stack.account()), checks: vec![check] }
}

/// Reads it.
pub async fn read(aws: &Aws) -> Result<Concurrency, Problem> {
    let settings = aws.lambda.get_account_settings().send().await;
    let settings = answer("lambda:GetAccountSettings", settings)?;
    let limit = settings
        .account_limit
        .ok_or_else(|| Problem::new("expected Lambda's limits of the account, got none"))?;
    Ok(Concurrency {
        limit: limit.concurrent_executions,
        unreserved: limit.unreserved_concurrent_executions.unwrap_or(0),
    })
}

/// What the stack reserves with this `RelayMaxConcurrency`. One is for the sweep.
pub fn wanted(relay_max: &str) -> i32 {
    relay_max.parse().unwrap_or(0) + 1
}

fn judge(stack: &Stack, Concurrency { limit, unreserved }: Concurrency) -> Check {
    let text = format!("Lambda allows a concurrency of {limit}, and {unreserved} is not reserved");
    if stack.parameter("ReserveConcurrency") == "true" {
        return Check::good(ID, format!("{text}."));
    }
    let wanted = wanted(stack.parameter("RelayMaxConcurrency"));
    if unreserved - wanted >= UNRESERVED_MIN {
        return Check::attention(
            ID,
            format!("{text}: enough for the stack, which reserves none."),
            "Deploy it with ReserveConcurrency=true: see infra/RUNBOOK.md#reserved-concurrency.",
        );
    }
    Check::fact(ID, format!("{text}. The stack reserves none."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;
    use crate::stack::tests::{stack, stack_with};

    #[test]
    fn a_reservation_that_fits_is_recommended() {
        let (with, without) = (stack("*"), stack_with("*", &[("ReserveConcurrency", "false")]));
        let found =
            |stack, unreserved| judge(stack, Concurrency { limit: 1_000, unreserved }).found;
        assert_eq!(found(&with, 979), Found::Good);
        assert_eq!(found(&without, 121), Found::Attention);
        assert_eq!(found(&without, 120), Found::Fact);
    }
}
