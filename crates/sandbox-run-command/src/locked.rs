//! The one way in which the sandbox takes a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks that stay usable after a panic.
pub trait Locked<T> {
    /// Takes the lock. If a thread panicked while holding it, the value is used as that thread left
    /// it: an incomplete value is better than a sandbox that stops answering.
    fn locked(&self) -> MutexGuard<'_, T>;
}

impl<T> Locked<T> for Mutex<T> {
    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
