//! The answers of EC2.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::{Document, Node};

/// An instance, as `DescribeInstances` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// Such as `running`.
    pub(super) state: String,
    pub(super) tags: BTreeMap<String, String>,
}

/// The ids of the instances in an answer.
pub(super) fn instance_ids(xml: &str) -> BTreeSet<String> {
    let Ok(document) = Document::parse(xml) else { return BTreeSet::new() };
    let ids = document.descendants().filter(|node| node.tag_name().name() == "instanceId");
    ids.filter_map(|id| id.text().map(str::to_owned)).collect()
}

/// The first instance in an answer of `DescribeInstances`.
pub(super) fn described(xml: &str) -> Option<Described> {
    let document = Document::parse(xml).ok()?;
    let instances = document.descendants().find(|node| node.tag_name().name() == "instancesSet")?;
    let instance = child(instances, "item")?;
    let state = text(child(instance, "instanceState")?, "name")?;
    let tags = child(instance, "tagSet").into_iter().flat_map(|tags| tags.children());
    let tags =
        tags.filter_map(|tag| Some((text(tag, "key")?, text(tag, "value").unwrap_or_default())));
    Some(Described { state, tags: tags.collect() })
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.tag_name().name() == name)
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    child(node, name)?.text().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"<DescribeInstancesResponse xmlns="http://ec2/"><reservationSet><item>
        <instancesSet><item><instanceId>i-00000000000000001</instanceId>
        <instanceState><code>16</code><name>running</name></instanceState>
        <tagSet><item><key>Role</key><value>web</value></item><item><key>Empty</key><value/></item>
        </tagSet></item></instancesSet></item></reservationSet></DescribeInstancesResponse>"#;

    #[test]
    fn an_instance_has_an_id_a_state_and_tags() {
        assert_eq!(instance_ids(ANSWER), BTreeSet::from(["i-00000000000000001".to_owned()]));
        let tags = [("Empty", ""), ("Role", "web")];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let expected = Described { state: "running".to_owned(), tags: BTreeMap::from(tags) };
        assert_eq!(described(ANSWER), Some(expected));
    }

    #[test]
    fn an_answer_without_instances_has_none() {
        for xml in ["", "<R/>", "<R><instancesSet/></R>"] {
            assert!(instance_ids(xml).is_empty(), "{xml}");
            assert_eq!(described(xml), None, "{xml}");
        }
    }
}
