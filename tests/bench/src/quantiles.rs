//! Many times in a few numbers.

use std::time::Duration;

use serde::Serialize;

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Quantiles {
    /// How many there were.
    pub count: usize,
    /// Half of them took at most this.
    pub p50_ms: f64,
    /// 99 of 100 took at most this.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
}

impl Quantiles {
    /// The nearest ranks of these times; zeros if there are none.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<_> = times.into_iter().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().map_or(0.0, millis)
        };
        Self { count: sorted.len(), p50_ms: rank(50), p99_ms: rank(99), max_ms: rank(100) }
    }
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
