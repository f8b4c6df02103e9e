//! What the end-to-end tests share.

pub mod secret;

use std::time::Duration;

/// A little longer than rules and functions are taken as read.
pub const READ_AGAIN: Duration = Duration::from_millis(1500);

/// What Lambda calls this machine's architecture.
pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}
