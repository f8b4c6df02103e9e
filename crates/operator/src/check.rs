//! `relayctl check`: whether a deployed stack is as it must be.
//!
//! Each group of lines has a module: it reads, and a function of what was read decides on each line.
//! Resources are found by the names that CloudFormation gave them, and compared with the parameters of
//! the stack. A line that could not be found out does not keep the others from being found out.

pub mod account;
mod alarms;
pub mod deployed;
pub mod documents;
pub mod functions;
mod invocations;
mod nodes;
mod policy;
mod queue;
mod rules;
mod stack_state;
mod state_machine;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;

use crate::aws::Aws;
use crate::check::deployed::Deployed;
use crate::checks::printout;
use crate::printout::Printout;
use crate::problem::Problem;
use crate::stack::Stack;

/// Maximum number of state machines that are read at a time.
const STATE_MACHINES_AT_A_TIME: usize = 4;

/// Checks a stack by reading. Fails only if one of the state machines is none of the stack's account and
/// region.
pub async fn check(
    aws: &Aws,
    stack: &Stack,
    state_machines: &[String],
    now: Timestamp,
) -> Result<Printout, Problem> {
    let deployed = &Deployed::read(aws, stack).await;
    let (functions, rules, documents, queue, invocations, alarms, nodes, account, machines) = tokio::join!(
        functions::group(aws, stack, deployed),
        rules::group(aws, stack, deployed),
        documents::group(aws, stack, deployed),
        queue::group(aws, stack, deployed),
        invocations::group(aws, stack, deployed, now),
        alarms::group(aws, deployed),
        nodes::group(aws, stack),
        account::group(aws, stack),
        stream::iter(state_machines)
            .map(|arn| state_machine::group(aws, stack, arn))
            .buffered(STATE_MACHINES_AT_A_TIME)
            .collect::<Vec<_>>(),
    );
    let mut groups = vec![stack_state::group(stack, deployed)];
    groups.extend([functions, rules, documents, queue, invocations, alarms, nodes, account]);
    groups.extend(machines.into_iter().collect::<Result<Vec<_>, _>>()?);
    Ok(printout(&stack.name, &groups))
}
