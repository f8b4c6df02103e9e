//! Whether there are nodes on which the stack's policies let commands run, and whether they respond.

use aws_sdk_ssm::types::InstanceInformation;

use crate::aws::Aws;
use crate::checks::{Check, Group};
use crate::nodes::{managed, ping_status, tag_filter};
use crate::problem::Problem;
use crate::shown::printable;
use crate::stack::Stack;

/// Maximum number of pages, with up to 50 nodes each.
const PAGES_MAX: usize = 40;
/// Maximum number of nodes that are named.
const NAMED_MAX: usize = 5;

/// The managed nodes with the stack's tag.
pub(super) async fn group(aws: &Aws, stack: &Stack) -> Group {
    let (key, value) = (stack.parameter("NodeTagKey"), stack.parameter("NodeTagValue"));
    let tag = printable(&format!("{key}={value}"));
    let checks = match tagged(aws, key, value).await {
        Ok((nodes, is_cut)) => judge(&tag, &nodes, is_cut),
        Err(problem) => vec![Check::unknown("NodesTagged", "The nodes with the tag", &problem)],
    };
    Group { name: format!("Nodes with the tag {tag}"), checks }
}

/// The nodes with a tag, and whether there are more.
async fn tagged(
    aws: &Aws,
    key: &str,
    value: &str,
) -> Result<(Vec<InstanceInformation>, bool), Problem> {
    managed(aws, vec![tag_filter(key, value)?], PAGES_MAX).await
}

fn judge(tag: &str, nodes: &[InstanceInformation], is_cut: bool) -> Vec<Check> {
    let count = nodes.len();
    if count == 0 {
        let check = Check::attention(
            "NodesTagged",
            format!("No managed node has the tag {tag}."),
            "Commands that StartCommandsPolicy allows reach none. See infra/RUNBOOK.md#nodes.",
        );
        return vec![check];
    }
    let more = if is_cut { " or more" } else { "" };
    let mut checks = vec![Check::good("NodesTagged", format!("Managed nodes: {count}{more}."))];
    let silent: Vec<_> = nodes.iter().filter(|node| ping_status(node) != "Online").collect();
    checks.push(if silent.is_empty() {
        Check::good("NodesOnline", "Their agents respond.")
    } else {
        let names: Vec<_> = silent
            .iter()
            .take(NAMED_MAX)
            .map(|node| {
                let id = printable(node.instance_id.as_deref().unwrap_or("without an id"));
                format!("{id} ({})", ping_status(node))
            })
            .collect();
        let more = if silent.len() > NAMED_MAX { " and more" } else { "" };
        Check::attention(
            "NodesOnline",
            format!(
                "Agents that do not respond: {} of {count}: {}{more}.",
                silent.len(),
                names.join(", ")
            ),
            "See infra/RUNBOOK.md#nodes.",
        )
    });
    let old = nodes.iter().filter(|node| node.is_latest_version == Some(false)).count();
    if old > 0 {
        let sentence = format!("Agents that are not of the latest version: {old} of {count}.");
        checks.push(Check::fact("NodeAgents", sentence));
    }
    checks
}

#[cfg(test)]
mod tests {
    use aws_sdk_ssm::types::PingStatus;

    use super::*;
    use crate::checks::Found;

    fn node(status: PingStatus) -> InstanceInformation {
        InstanceInformation::builder()
            .instance_id("i-00000000000000001")
            .ping_status(status)
            .is_latest_version(false)
            .build()
    }

    #[test]
    fn silent_nodes_are_counted_and_some_named() {
        let mut nodes = vec![node(PingStatus::ConnectionLost); 7];
        nodes.push(node(PingStatus::Online));
        let checks = judge("a=b", &nodes, true);
        let found: Vec<_> = checks.iter().map(|check| check.found).collect();
        assert_eq!(found, [Found::Good, Found::Attention, Found::Fact]);
        assert_eq!(checks[0].sentence, "Managed nodes: 8 or more.");
        assert!(checks[1].sentence.starts_with("Agents that do not respond: 7 of 8: i-0"));
        assert!(checks[1].sentence.ends_with("(ConnectionLost) and more."), "{checks:?}");
        assert_eq!(checks[1].sentence.matches("i-00").count(), NAMED_MAX);
    }

    #[test]
    fn no_node_deserves_attention() {
        let checks = judge("a=b", &[], false);
        assert_eq!((checks.len(), checks[0].found), (1, Found::Attention));
    }
}
