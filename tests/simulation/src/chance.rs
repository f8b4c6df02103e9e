//! Chance without state: each draw is a hash of the seed and of what it is drawn for.
//!
//! So a draw does not depend on how many others came before it. A history stays the same when a
//! fault or a command is taken out of it, which is what makes shrinking work, and no new version
//! of a library changes it.

/// A place in the tree of draws. Children are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// The root of a seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The child of this name.
    #[must_use]
    pub fn of(self, name: &str) -> Self {
        name.bytes().fold(self, |chance, byte| chance.nth(u64::from(byte)))
    }

    /// The child of this number.
    #[must_use]
    pub fn nth(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number)))
    }

    /// A number from `least` to `most`.
    pub fn between(self, least: u64, most: u64) -> u64 {
        least + self.0 % (most - least + 1)
    }

    /// True in so many of a thousand cases.
    pub fn hits(self, per_mille: u64) -> bool {
        self.between(0, 999) < per_mille
    }

    /// One of these.
    pub fn pick<T: Copy>(self, all: &[T]) -> T {
        all[usize::try_from(self.0 % all.len() as u64).unwrap_or_default()]
    }

    /// One of these, each as often as its weight says.
    pub fn weigh<T: Copy>(self, all: &[(u64, T)]) -> T {
        let mut left = self.0 % all.iter().map(|(weight, _)| weight).sum::<u64>();
        for (weight, one) in all {
            if left < *weight {
                return *one;
            }
            left -= weight;
        }
        all[0].1
    }

    /// The number itself, to make ids of.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// `SplitMix64`, the finalizer.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
