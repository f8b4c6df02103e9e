//! What is left to chance, from one seed.

use std::sync::{Arc, Mutex};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use crate::locked::Locked;

/// A source of chance. Its clones are the same source.
#[derive(Debug, Clone)]
pub(crate) struct Random(Arc<Mutex<SmallRng>>);

impl Random {
    /// The source that this seed leads to.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))))
    }

    /// Puts the items into any order.
    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        items.shuffle(&mut *self.0.locked());
    }
}
