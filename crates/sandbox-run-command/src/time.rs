//! How the API writes points in time and durations.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A time as AWS JSON has it: seconds since 1970, here with three decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochSeconds(pub Timestamp);

impl Serialize for EpochSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
        let seconds = self.0.as_millisecond() as f64 / 1_000.0;
        serializer.serialize_f64(seconds)
    }
}

/// A time as text, in UTC with milliseconds.
pub(crate) fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A duration as `PT1.234S`.
pub(crate) fn elapsed(started: Timestamp, finished: Timestamp) -> String {
    let milliseconds = finished.as_millisecond() - started.as_millisecond();
    format!("PT{}.{:03}S", milliseconds / 1_000, milliseconds % 1_000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_have_milliseconds() {
        let time: Timestamp = "2026-11-22T10:00:00.0456Z".parse().unwrap();
        assert_eq!(json!(EpochSeconds(time)).to_string(), "1795341600.045");
        assert_eq!(iso(time), "2026-11-22T10:00:00.045Z");
        let later = "2026-11-22T10:01:05.1Z".parse().unwrap();
        assert_eq!(elapsed(time, later), "PT65.055S");
    }
}
