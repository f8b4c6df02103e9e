//! All executions so far, and what requests and running executions have in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use sandbox_run_command::documents::Documents;
use sandbox_run_command::locked::Locked;

use crate::account::Account;
use crate::execution::Execution;

/// What a sandbox decides about its Automation.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The region, as runbooks see it.
    pub region: String,
    /// The account, as runbooks see it.
    pub account: String,
}

/// What requests and running executions have in common.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) account: Arc<dyn Account>,
    pub(crate) store: Mutex<Store>,
}

/// All executions so far.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) executions: HashMap<String, Execution>,
    /// The execution that a client token started.
    pub(crate) started_by: HashMap<String, String>,
}

impl Shared {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.locked()
    }

    /// Changes an execution; there is always one for an id that was given out.
    pub(crate) fn update(&self, id: &str, change: impl FnOnce(&mut Execution)) {
        if let Some(execution) = self.store().executions.get_mut(id) {
            change(execution);
        }
    }
}
