//! Managed nodes and their agents: whether they respond.

use std::collections::HashMap;

use aws_sdk_ssm::types::{InstanceInformation, InstanceInformationStringFilter};
use callback::InstanceId;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::aws::Aws;
use crate::call::answer;
use crate::problem::Problem;
use crate::shown::printable;

/// Maximum number of nodes asked for in one call: a page.
const NODES_PER_CALL_MAX: usize = 50;
/// Maximum page size (SSM API, `DescribeInstanceInformation`, `MaxResults`).
const PAGE_NODES_MAX: i32 = 50;
/// Maximum number of pages of one call. Pages can be shorter than requested.
pub const PAGES_MAX: usize = 10;
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
    let (found, _) = managed(aws, vec![filter("InstanceIds", nodes)?], PAGES_MAX).await?;
    let agents = found.into_iter().map(|node| {
        let agent = Agent {
            ping_status: ping_status(&node),
            last_ping: node
                .last_ping_date_time
                .and_then(|time| Timestamp::from_second(time.secs()).ok()),
            version: printable(&node.agent_version.unwrap_or_default()),
        };
        (node.instance_id.unwrap_or_default(), agent)
    });
    Ok(agents.collect())
}

/// The managed nodes that fit these filters, and whether there are more than so many pages hold.
pub async fn managed(
    aws: &Aws,
    filters: Vec<InstanceInformationStringFilter>,
    pages_max: usize,
) -> Result<(Vec<InstanceInformation>, bool), Problem> {
    let mut nodes = Vec::new();
    let mut next_token = None;
    for _ in 0..pages_max {
        let request = aws.ssm.describe_instance_information().set_filters(Some(filters.clone()));
        let request = request.max_results(PAGE_NODES_MAX).set_next_token(next_token);
        let page = answer("ssm:DescribeInstanceInformation", request.send().await)?;
        nodes.extend(page.instance_information_list.unwrap_or_default());
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            return Ok((nodes, false));
        }
    }
    Ok((nodes, true))
}

/// A filter for nodes with one of these values.
pub fn filter(key: &str, values: Vec<String>) -> Result<InstanceInformationStringFilter, Problem> {
    let filter = InstanceInformationStringFilter::builder().key(key).set_values(Some(values));
    filter.build().map_err(|_| Problem::new("a filter of nodes is not valid"))
}

/// A filter for nodes with this tag. A filter's value cannot be empty, so that of a tag without a value
/// is its key.
pub fn tag_filter(key: &str, value: &str) -> Result<InstanceInformationStringFilter, Problem> {
    match value {
        "" => filter("tag-key", vec![key.to_owned()]),
        value => filter(&format!("tag:{key}"), vec![value.to_owned()]),
    }
}

/// Such as `Online` or `ConnectionLost`.
pub fn ping_status(node: &InstanceInformation) -> String {
    printable(node.ping_status.as_ref().map_or("none", |status| status.as_str()))
}
