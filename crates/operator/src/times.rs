//! Times and durations, as people read them.

use jiff::{SignedDuration, Timestamp, Unit};

/// A time to the second, such as `2026-11-22 10:00:00 UTC`.
pub fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A time for programs, in milliseconds, as in a report.
pub fn iso(time: Timestamp) -> String {
    time.round(Unit::Millisecond).unwrap_or(time).to_string()
}

/// A duration in its two largest units, such as `3 min 20 s` or `2 d 3 h`. A negative one is `0 s`.
pub fn duration(duration: SignedDuration) -> String {
    let s = duration.as_secs().max(0);
    let (d, h, min) = (s / 86_400, s / 3_600 % 24, s / 60 % 60);
    match (d, h, min, s % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, min, 0) => format!("{min} min"),
        (0, 0, min, s) => format!("{min} min {s} s"),
        (0, h, 0, _) => format!("{h} h"),
        (0, h, min, _) => format!("{h} h {min} min"),
        (d, 0, ..) => format!("{d} d"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

/// How long ago a time is.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    format!("{} ago", duration(now.duration_since(time)))
}

/// When a time comes, or how long ago it was.
pub fn until(time: Timestamp, now: Timestamp) -> String {
    if time > now { format!("in {}", duration(time.duration_since(now))) } else { ago(time, now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_two_units_at_most() {
        for (seconds, expected) in [
            (-5, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (200, "3 min 20 s"),
            (3_600, "1 h"),
            (6_600, "1 h 50 min"),
            (86_400, "1 d"),
            (183_600, "2 d 3 h"),
        ] {
            assert_eq!(duration(SignedDuration::from_secs(seconds)), expected);
        }
    }
}
