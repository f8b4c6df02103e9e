//! What requests and running commands have in common.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::documents::Documents;
use crate::locked::Locked;
use crate::nodes::{Ends, Nodes};
use crate::parameter_store::ParameterStore;
use crate::random::Random;
use crate::store::Store;

/// What a sandbox decides about its Run Command.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Holds `nodes/<instance id>/`, one directory per managed node.
    pub directory: PathBuf,
    /// The region in events.
    pub region: String,
    /// The account in events and errors.
    pub account: String,
    /// `List*` and `Get*` show the state as it was this long ago, as the real reads may.
    pub read_lag: Duration,
    /// Set for every script: the sandbox's own mark, by which its processes are found.
    pub environment: Vec<(String, String)>,
    /// The seed of what is left to chance: the order of outputs inside nested documents.
    pub seed: u64,
}

/// What requests and running commands have in common.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) nodes: Nodes,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) parameters: Arc<dyn ParameterStore>,
    pub(crate) random: Random,
    pub(crate) store: Mutex<Store>,
    /// Turns true when the sandbox ends. Then every script ends, also one that no cancel reaches.
    pub(crate) closing: watch::Sender<bool>,
    /// The ends of nodes.
    pub(crate) ends: Ends,
    /// How many commands are being carried out.
    pub(crate) active: watch::Sender<usize>,
}

impl Shared {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.locked()
    }

    /// The time whose state reads show now.
    pub(crate) fn read_time(&self) -> Instant {
        let now = Instant::now();
        now.checked_sub(self.settings.read_lag).unwrap_or(now)
    }
}

/// Counts a command as active until it is dropped, however the command ends.
pub(crate) struct Active(pub(crate) Arc<Shared>);

impl Active {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.active.send_modify(|count| *count += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.send_modify(|count| *count -= 1);
    }
}
