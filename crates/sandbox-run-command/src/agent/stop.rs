//! Who may end a script before its time.

use std::future::pending;

use tokio::sync::watch;

use crate::nodes::End;

/// Tells a step to stop: when its command is cancelled, when its node ends, and when the sandbox
/// does.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// `None` inside a nested document: a cancel does not reach it (seen with amazon-ssm-agent 3.3).
    cancelled: Option<watch::Receiver<bool>>,
    /// `None` for what outlives the node.
    node: Option<End>,
    closing: watch::Receiver<bool>,
}

impl Stop {
    /// One that listens to the cancel of an invocation and to the end of the sandbox.
    pub(crate) fn new(cancelled: watch::Receiver<bool>, closing: watch::Receiver<bool>) -> Self {
        Self { cancelled: Some(cancelled), node: None, closing }
    }

    /// The same, and it listens to the end of the node.
    pub(crate) fn with_end(&self, node: End) -> Self {
        Self { node: Some(node), ..self.clone() }
    }

    /// The same, but no cancel reaches it.
    pub(crate) fn without_cancel(&self) -> Self {
        Self { cancelled: None, ..self.clone() }
    }

    /// Whether the step is to stop.
    pub(crate) fn is_requested(&self) -> bool {
        *self.closing.borrow()
            || self.cancelled.as_ref().is_some_and(|flag| *flag.borrow())
            || self.node.as_ref().is_some_and(End::has_come)
    }

    /// Waits until the step is to stop: for ever, if nobody can tell it any more.
    pub(crate) async fn requested(&mut self) {
        let Self { cancelled, node, closing } = self;
        let ended = async {
            match node {
                Some(node) => node.come().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = is_true(cancelled.as_mut()) => {}
            () = is_true(Some(closing)) => {}
            () = ended => {}
        }
    }
}

async fn is_true(flag: Option<&mut watch::Receiver<bool>>) {
    let Some(flag) = flag else { return pending().await };
    if flag.wait_for(|is_set| *is_set).await.is_err() {
        pending::<()>().await;
    }
}
