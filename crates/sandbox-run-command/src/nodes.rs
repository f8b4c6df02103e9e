//! Managed nodes: directories with an id, a name, tags, and a behaviour of their agent.

mod directories;
mod end;
mod target;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

pub(crate) use end::{End, Ends};
pub(crate) use target::Target;

/// A managed node, as its `node.json` describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct NodeFile {
    /// Shown as `InstanceName` and `ComputerName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The operating system that the node claims to run.
    pub platform_type: Platform,
    /// The tags by which targets find it.
    pub tags: BTreeMap<String, String>,
    /// How its agent behaves.
    pub agent: Behaviour,
}

/// The operating system that a node claims to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Platform {
    /// Runs shell scripts.
    #[default]
    Linux,
    /// Runs no shell scripts, so that mixed fleets can be tried.
    Windows,
}

impl Platform {
    /// The value of `PlatformType`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Windows => "Windows",
        }
    }
}

/// How a node's agent behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// It runs what it is sent.
    #[default]
    Online,
    /// It is not running, and has pinged last when `node.json` was written: what it is sent stays in
    /// progress until the timeouts pass.
    Silent,
    /// Nothing can be delivered to it: `Undeliverable` at once.
    Undeliverable,
    /// It may not run what it is sent: `AccessDenied` at once.
    AccessDenied,
    /// It loses its document worker as soon as a script has begun: the script runs on, and a minute
    /// later the agent reports a failure.
    WorkerLost,
}

/// The operating system of every node, as scripts and `DescribeInstanceInformation` see it.
pub(crate) const PLATFORM_NAME: &str = "Sandbox";
/// Its version.
pub(crate) const PLATFORM_VERSION: &str = "1";

/// The file in a node's directory that describes it.
const NODE_FILE: &str = "node.json";

/// Makes a node below `directory`, the directory of [`Settings`](crate::Settings): its own
/// directory and its `node.json`. A node that is there already is described anew.
pub fn create_node(directory: &Path, id: &str, node: &NodeFile) -> io::Result<()> {
    if !is_instance_id(id) {
        let message = format!("expected an instance id such as i-0123456789abcdef0, got {id:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let home = directory.join("nodes").join(id);
    std::fs::create_dir_all(&home)?;
    // Renamed into its place, so that no read finds half a file.
    let written = tempfile::NamedTempFile::new_in(&home)?;
    serde_json::to_writer_pretty(&written, node)?;
    written.persist(home.join(NODE_FILE))?;
    Ok(())
}

/// Makes an instance be no node any more. Its directory stays, as its disk does. An instance that is
/// no node stays none.
pub(crate) fn remove_node(directory: &Path, id: &str) -> io::Result<()> {
    if !is_instance_id(id) {
        return Ok(());
    }
    match std::fs::remove_file(directory.join("nodes").join(id).join(NODE_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether this is an id of the service model: `i-` and 8 or 17 letters or digits, or `mi-` and
/// 17. It is also what makes an id safe as the name of a directory.
pub(crate) fn is_instance_id(id: &str) -> bool {
    let word = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match (id.strip_prefix("mi-"), id.strip_prefix("i-")) {
        (Some(rest), _) => word(rest, &[17]),
        (None, Some(rest)) => word(rest, &[8, 17]),
        (None, None) => false,
    }
}

/// One managed node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: String,
    /// Its directory, which is its whole world.
    pub(crate) home: PathBuf,
    pub(crate) file: NodeFile,
    /// When the file was written.
    pub(crate) described_at: Timestamp,
}

impl Node {
    /// Whether every one of the targets names this node.
    pub(crate) fn is_targeted(&self, targets: &[Target]) -> bool {
        targets.iter().all(|target| self.has(&target.key, &target.values))
    }

    /// Whether one of the values is what the node has under this key of a target or a filter.
    pub(crate) fn has(&self, key: &str, values: &[String]) -> bool {
        let listed = |own: &str| values.iter().any(|value| value == own);
        if let Some(tag) = key.strip_prefix("tag:") {
            return self.file.tags.get(tag).is_some_and(|value| listed(value));
        }
        match key.to_ascii_lowercase().as_str() {
            "tag-key" => self.file.tags.keys().any(|tag| listed(tag)),
            "instanceids" => listed(&self.id),
            "platformtypes" => listed(self.file.platform_type.as_str()),
            "pingstatus" => listed(self.ping_status()),
            "resourcetype" => listed(self.resource_type()),
            _ => false,
        }
    }

    /// The value of `PingStatus`.
    pub(crate) fn ping_status(&self) -> &'static str {
        match self.file.agent {
            Behaviour::Silent => "ConnectionLost",
            Behaviour::Online
            | Behaviour::Undeliverable
            | Behaviour::AccessDenied
            | Behaviour::WorkerLost => "Online",
        }
    }

    /// The value of `LastPingDateTime`. A silent agent has been silent since its node was described.
    pub(crate) fn last_ping(&self, now: Timestamp) -> Timestamp {
        match self.file.agent {
            Behaviour::Silent => self.described_at,
            Behaviour::Online
            | Behaviour::Undeliverable
            | Behaviour::AccessDenied
            | Behaviour::WorkerLost => now,
        }
    }

    /// The value of `ResourceType`.
    pub(crate) fn resource_type(&self) -> &'static str {
        if self.id.starts_with("mi-") { "ManagedInstance" } else { "EC2Instance" }
    }

    /// The directory that a script starts in. It need not be there.
    ///
    /// # Errors
    ///
    /// One that every node has could not be made.
    pub(crate) fn working_directory(&self, wanted: &str) -> io::Result<PathBuf> {
        directories::working_directory(&self.home, wanted)
    }
}

/// All managed nodes, read from their directories whenever they are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    directory: PathBuf,
}

impl Nodes {
    /// The nodes below the directory of the sandbox.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.join("nodes") }
    }

    /// The node of this id, if there is one. The error names the file that cannot be read.
    pub(crate) async fn get(&self, id: &str) -> io::Result<Option<Node>> {
        if !is_instance_id(id) {
            return Ok(None);
        }
        let home = self.directory.join(id);
        let path = home.join(NODE_FILE);
        let named = |error: &dyn std::fmt::Display, kind| {
            io::Error::new(kind, format!("reading the node {}: {error}", path.display()))
        };
        match read_with_time(&path).await {
            Ok((bytes, described_at)) => {
                let file = serde_json::from_slice(&bytes)
                    .map_err(|error| named(&error, io::ErrorKind::InvalidData))?;
                Ok(Some(Node { id: id.to_owned(), home, file, described_at }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(named(&error, error.kind())),
        }
    }

    /// Every node, by id.
    pub(crate) async fn all(&self) -> io::Result<Vec<Node>> {
        let mut ids = Vec::new();
        let mut entries = match tokio::fs::read_dir(&self.directory).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        while let Some(entry) = entries.next_entry().await? {
            ids.extend(entry.file_name().into_string());
        }
        ids.sort();
        let mut nodes = Vec::with_capacity(ids.len());
        for id in &ids {
            nodes.extend(self.get(id).await?);
        }
        Ok(nodes)
    }
}

/// A file, and when it was written.
async fn read_with_time(path: &Path) -> io::Result<(Vec<u8>, Timestamp)> {
    let mut file = tokio::fs::File::open(path).await?;
    let written = file.metadata().await?.modified()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).await?;
    Ok((bytes, Timestamp::try_from(written).map_err(io::Error::other)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let tags = BTreeMap::from([("Role".to_owned(), "web".to_owned())]);
        Node {
            id: "i-0123456789abcdef0".to_owned(),
            home: PathBuf::from("/sandbox/nodes/i-0123456789abcdef0"),
            file: NodeFile { tags, ..NodeFile::default() },
            described_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn knows_an_instance_id() {
        for id in
            ["i-12345678", "i-0123456789abcdef0", "i-02573cafcfEXAMPLE", "mi-0123456789abcdef0"]
        {
            assert!(is_instance_id(id), "{id}");
        }
        for id in ["", "i-", "i-1234567", "i-../../etc", "mi-12345678", "x-12345678", "i-1234567é"]
        {
            assert!(!is_instance_id(id), "{id}");
        }
    }

    #[test]
    fn targets_are_alternatives_inside_and_conditions_between() {
        let target = |key: &str, values: &[&str]| Target {
            key: key.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let web = target("tag:Role", &["db", "web"]);
        let id = target("instanceids", &["i-0123456789abcdef0"]);
        assert!(node().is_targeted(std::slice::from_ref(&web)));
        assert!(node().is_targeted(&[web.clone(), id]));
        assert!(node().is_targeted(&[target("tag-key", &["Role"])]));
        assert!(!node().is_targeted(&[web, target("InstanceIds", &["i-12345678"])]));
        assert!(!node().is_targeted(&[target("tag:role", &["web"])]));
        assert!(!node().is_targeted(&[target("tag:Role", &[])]));
    }

    #[tokio::test]
    async fn a_node_is_read_when_it_is_needed() {
        let directory = tempfile::tempdir().unwrap();
        let nodes = Nodes::new(directory.path());
        assert!(nodes.all().await.unwrap().is_empty());

        let file = NodeFile { agent: Behaviour::AccessDenied, ..node().file };
        create_node(directory.path(), "i-12345678", &file).unwrap();
        let home = directory.path().join("nodes/mi-0123456789abcdef0");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join(NODE_FILE), r#"{"Tags":{}}"#).unwrap();

        let all = nodes.all().await.unwrap();
        assert_eq!(
            all.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(),
            ["i-12345678", "mi-0123456789abcdef0"]
        );
        assert_eq!(all[0].file, file);
        assert_eq!(all[1].file, NodeFile::default());
        assert!(create_node(directory.path(), "../x", &file).is_err());

        for _ in 0..2 {
            remove_node(directory.path(), "i-12345678").unwrap();
            assert_eq!(nodes.get("i-12345678").await.unwrap().map(|node| node.id), None);
        }
        assert_eq!(nodes.all().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_broken_node_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("nodes/i-12345678");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join(NODE_FILE), r#"{"Agent":"asleep"}"#).unwrap();

        let error = Nodes::new(directory.path()).get("i-12345678").await.unwrap_err();
        assert!(error.to_string().contains("i-12345678/node.json"), "{error}");
        assert!(error.to_string().contains("asleep"), "{error}");
    }
}
