//! The agents of nodes: whether they respond.

use std::collections::HashMap;

use aws_sdk_ssm::types::InstanceInformationStringFilter;
use callback::InstanceId;
use callback_aws::call_error::call_error;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::aws::Aws;
use crate::problem::Problem;
use crate::shown::printable;

/// Maximum number of nodes asked for in one call (SSM API, `DescribeInstanceInformation`,
/// `MaxResults`).
const NODES_PER_CALL_MAX: usize = 50;
/// Maximum number of pages of one call. Pages can be shorter than requested.
const PAGES_MAX: usize = 10;
/// Maximum number of calls at the same time.
const CALLS_AT_ONCE: usize = 5;

/// The agent of a managed node (SSM API, `InstanceInformation`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Such as `Online` or `ConnectionLost`.
    pub ping_status: String,
    /// When it last pinged the service.
    pub last_ping: Option<Timestamp>,
    /// Its version.
    pub version: String,
}

impl Agent {
    /// Whether it responds.
    pub fn is_online(&self) -> bool {
        self.ping_status == "Online"
    }
}

/// The agents of these nodes. A node that is missing is not a managed node, or not any more.
pub async fn agents<'a>(
    aws: &Aws,
    nodes: impl Iterator<Item = &'a InstanceId>,
) -> Result<HashMap<String, Agent>, Problem> {
    let nodes: Vec<_> = nodes.map(|node| node.as_str().to_owned()).collect();
    let calls = nodes.chunks(NODES_PER_CALL_MAX).map(|some| agents_of(aws, some.to_vec()));
    let agents: Vec<_> = stream::iter(calls).buffered(CALLS_AT_ONCE).try_collect().await?;
    Ok(agents.into_iter().flatten().collect())
}

/// The agents of so many nodes as one call takes.
async fn agents_of(aws: &Aws, nodes: Vec<String>) -> Result<Vec<(String, Agent)>, Problem> {
    const OPERATION: &str = "DescribeInstanceInformation";
    let filter = InstanceInformationStringFilter::builder().key("InstanceIds");
    let filter = filter.set_values(Some(nodes)).build();
    let filter = filter.map_err(|_| Problem::new("a filter of nodes is not valid"))?;
    let mut agents = Vec::new();
    let mut next_token = None;
    for _ in 0..PAGES_MAX {
        let request = aws.ssm.describe_instance_information().filters(filter.clone());
        let page = request.set_next_token(next_token).send().await.map_err(|error| {
            Problem::call("ssm:DescribeInstanceInformation", &call_error(OPERATION, &error))
        })?;
        for node in page.instance_information_list.unwrap_or_default() {
            let status = node.ping_status.as_ref().map_or("", |status| status.as_str());
            let agent = Agent {
                ping_status: printable(status),
                last_ping: node
                    .last_ping_date_time
                    .and_then(|time| Timestamp::from_second(time.secs()).ok()),
                version: printable(&node.agent_version.unwrap_or_default()),
            };
            agents.push((node.instance_id.unwrap_or_default(), agent));
        }
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            break;
        }
    }
    Ok(agents)
}
