//! The end of a node: its machine was stopped or terminated.

use std::collections::BTreeMap;
use std::future::pending;

use tokio::sync::watch;

/// How often each node has ended. Its clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends(watch::Sender<BTreeMap<String, u64>>);

/// The next end of one node.
#[derive(Debug, Clone)]
pub(crate) struct End {
    id: String,
    before: u64,
    ends: watch::Receiver<BTreeMap<String, u64>>,
}

impl Ends {
    /// Tells everybody who waits for it that this node has ended.
    pub(crate) fn tell(&self, id: &str) {
        self.0.send_modify(|ends| *ends.entry(id.to_owned()).or_default() += 1);
    }

    /// The next end of this node.
    pub(crate) fn next(&self, id: &str) -> End {
        let ends = self.0.subscribe();
        let before = count(&ends.borrow(), id);
        End { id: id.to_owned(), before, ends }
    }
}

impl End {
    /// Whether it has come.
    pub(crate) fn has_come(&self) -> bool {
        count(&self.ends.borrow(), &self.id) > self.before
    }

    /// Waits until it comes: for ever, if nobody can tell it any more.
    pub(crate) async fn come(&mut self) {
        let Self { id, before, ends } = self;
        if ends.wait_for(|ends| count(ends, id) > *before).await.is_err() {
            pending::<()>().await;
        }
    }
}

fn count(ends: &BTreeMap<String, u64>, id: &str) -> u64 {
    ends.get(id).copied().unwrap_or_default()
}
