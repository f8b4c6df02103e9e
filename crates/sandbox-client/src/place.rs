//! The region and the account of everything in the sandbox, and numbers for names used once.

use std::sync::atomic::{AtomicU32, Ordering};

/// The region and the account that everything in the sandbox is in.
pub const REGION: &str = "us-east-1";
/// See [`REGION`].
pub const ACCOUNT: &str = "123456789012";
/// A number that no other test of this program gets.
pub fn unique_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}
