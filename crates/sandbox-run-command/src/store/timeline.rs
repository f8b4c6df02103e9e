//! A value with its recent past, so that reads can be as late as those of the real API.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A value that changes, with as much of its past as a late read can ask for.
#[derive(Debug, Clone)]
pub(crate) struct Timeline<T> {
    /// Oldest first; never empty.
    changes: VecDeque<(Instant, T)>,
    kept: Duration,
}

impl<T> Timeline<T> {
    /// A value that did not exist before `now`, whose last `kept` can be read.
    pub(crate) fn new(now: Instant, value: T, kept: Duration) -> Self {
        Self { changes: VecDeque::from([(now, value)]), kept }
    }

    /// Changes the value, and drops what no read can ask for any more.
    pub(crate) fn push(&mut self, now: Instant, value: T) {
        self.changes.push_back((now, value));
        while self.changes.get(1).is_some_and(|(since, _)| *since + self.kept <= now) {
            self.changes.pop_front();
        }
    }

    /// The value now.
    pub(crate) fn current(&self) -> &T {
        &self.changes[self.changes.len() - 1].1
    }

    /// The value as it was at that time; `None` before it existed.
    pub(crate) fn at(&self, time: Instant) -> Option<&T> {
        self.changes.iter().rev().find(|(since, _)| *since <= time).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn shows_the_value_of_that_time() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start + SECOND, "a", 10 * SECOND);
        timeline.push(start + 2 * SECOND, "b");

        assert_eq!(timeline.at(start), None);
        assert_eq!(timeline.at(start + SECOND), Some(&"a"));
        assert_eq!(timeline.at(start + 3 * SECOND), Some(&"b"));
        assert_eq!(timeline.current(), &"b");
    }

    #[test]
    fn forgets_what_nobody_can_read() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start, 0, SECOND);
        for second in 1..100 {
            timeline.push(start + second * SECOND, second);
        }

        assert_eq!(timeline.changes.len(), 2);
        assert_eq!(timeline.at(start + 98 * SECOND), Some(&98));
    }

    #[test]
    fn keeps_one_value_when_reads_are_never_late() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start, 0, Duration::ZERO);
        timeline.push(start, 1);

        assert_eq!(timeline.changes.len(), 1);
        assert_eq!(timeline.at(start), Some(&1));
    }
}
