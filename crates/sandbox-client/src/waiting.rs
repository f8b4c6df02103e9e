//! Waiting for something to happen, instead of for a time.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long anything may take that is waited for. Most takes a second; a machine may be busy.
const WAIT_MAX: Duration = Duration::from_secs(75);
const WAIT_PAUSE: Duration = Duration::from_millis(50);

/// Asks repeatedly until there is an answer.
///
/// # Panics
///
/// If there is none within a bound that only a fault, or a machine that is much too busy, exceeds.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", WAIT_MAX.as_secs());
        tokio::time::sleep(WAIT_PAUSE).await;
    }
}

/// A barrier that keeps a script waiting until it is opened.
#[derive(Debug)]
pub struct Barrier {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
}

impl Barrier {
    /// The line of the script that waits.
    pub fn line(&self) -> String {
        format!("until [ -e {} ]; do sleep 0.05; done", self.name)
    }

    /// The name of the file, in the node's directory, that opens it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets the script go on.
    pub fn open(&self) {
        fs::write(&self.path, "").expect("the node's directory is there");
    }
}
