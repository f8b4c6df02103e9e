//! Instances become managed nodes some seconds after they were started, and stop being nodes when
//! they are stopped or terminated. Their scripts end with them.
//!
//! Moto keeps the instances. The gateway shows each answer that starts or ends some of them here. A
//! node has the tags that its instance has at that time.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sandbox_run_command::{NodeFile, RunCommand, create_node};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::aws::Client;
use crate::ec2::answers::{self, Described};
use crate::error_chain::error_chain;

/// The version of the EC2 API.
const VERSION: &str = "2016-11-15";

/// The instances whose nodes are kept up to date. Its clones are the same.
#[derive(Clone)]
pub struct Instances {
    directory: PathBuf,
    moto: Client,
    run_command: RunCommand,
    managed_after: Duration,
    /// Held while nodes change, so that no instance becomes a node after it was terminated.
    changing: Arc<Mutex<()>>,
}

impl Instances {
    /// Instances whose nodes are below this directory, that of the sandbox. A started instance is a
    /// managed node after `managed_after`.
    pub fn new(
        directory: PathBuf,
        moto: Client,
        run_command: RunCommand,
        managed_after: Duration,
    ) -> Self {
        Self { directory, moto, run_command, managed_after, changing: Arc::default() }
    }

    /// Follows what an operation did, given its answer. When this returns, the nodes of ended
    /// instances are gone; those of started ones come later.
    pub async fn follow(&self, change: Change, answer: &str) {
        let ids = answers::instance_ids(answer);
        match change {
            Change::Start => {
                for id in ids {
                    let instances = self.clone();
                    tokio::spawn(async move {
                        sleep(instances.managed_after).await;
                        instances.manage(&id).await;
                    });
                }
            }
            Change::End => {
                let _changing = self.changing.lock().await;
                for id in ids {
                    say(&id, self.run_command.end_node(&id));
                }
            }
        }
    }

    /// Makes a node of an instance that still runs.
    async fn manage(&self, id: &str) {
        let _changing = self.changing.lock().await;
        let parameters = [("Version", VERSION), ("InstanceId.1", id)];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let answer = match self.moto.query("ec2", "DescribeInstances", &parameters).await {
            Ok(answer) => answer,
            Err(error) => return eprintln!("instance {id}: {}", error_chain(&error)),
        };
        match answers::described(&answer) {
            Some(Described { state, tags }) if state == "running" => {
                let node =
                    NodeFile { name: tags.get("Name").cloned(), tags, ..NodeFile::default() };
                say(id, create_node(&self.directory, id, &node));
            }
            _ => {}
        }
    }
}

/// What an operation does to instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They run after it.
    Start,
    /// They are stopped or terminated.
    End,
}

impl Change {
    /// The change whose answer has to be shown to [`Instances::follow`], if the operation makes one.
    pub fn of(operation: &str) -> Option<Self> {
        match operation {
            "RunInstances" | "StartInstances" => Some(Self::Start),
            "StopInstances" | "TerminateInstances" => Some(Self::End),
            _ => None,
        }
    }
}

fn say(id: &str, done: io::Result<()>) {
    if let Err(error) = done {
        eprintln!("instance {id}: {error}");
    }
}
