//! `relayctl check --before`: what would stop `make deploy`.
//!
//! The rules are those of infra/deploy.py, which looks at them again before it creates anything. The
//! rights of the caller are simulated, which `make deploy` does not do. The values of parameters are left
//! to `make deploy`.

mod bucket;
mod documents;
mod functions;
mod plan;
mod reservation;
mod rights;
mod stack;

use crate::aws::Aws;
use crate::before::plan::Plan;
use crate::checks::{Check, Group, printout};
use crate::printout::Printout;
use crate::problem::Problem;

/// Checks what a deployment needs. Fails if there are no valid credentials.
pub async fn before(
    aws: &Aws,
    stack: &str,
    bucket: Option<&str>,
    parameters: &[String],
) -> Result<Printout, Problem> {
    let plan = &Plan::read(aws, stack, bucket, parameters).await?;
    let (documents, functions, reservation, bucket, rights) = tokio::join!(
        documents::group(aws, plan),
        functions::group(aws, plan),
        reservation::group(aws, plan),
        bucket::group(aws, plan),
        rights::group(aws, plan),
    );
    let who = Check::good("Credentials", format!("The credentials are those of {}.", plan.caller));
    let name = format!("Account {} in {}", plan.account, aws.region());
    let caller = Group { name, checks: vec![who] };
    let groups = [caller, stack::group(plan), documents, functions, reservation, bucket, rights];
    Ok(printout(&plan.stack, &groups))
}
