//! `relayctl check --before`: what would stop `make deploy`.

use crate::aws::Aws;
use crate::printout::Printout;
use crate::problem::Problem;

/// Checks what a deployment needs.
pub async fn before(_: &Aws, _: &str, _: Option<&str>, _: &[String]) -> Result<Printout, Problem> {
    Err(Problem::new("not there yet"))
}
