//! `timeoutSeconds` of a step.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

/// The execution timeout of a step that gives none, or one out of bounds, in seconds.
const SECONDS_DEFAULT: u64 = 3_600;
/// The bounds of an execution timeout, in seconds.
const SECONDS: RangeInclusive<u64> = 5..=172_800;

/// A value out of bounds counts as none, and so does what is no number.
pub(crate) fn execution_timeout(inputs: &Value) -> Duration {
    let seconds = match &inputs["timeoutSeconds"] {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    let seconds = seconds.filter(|seconds| SECONDS.contains(seconds));
    Duration::from_secs(seconds.unwrap_or(SECONDS_DEFAULT))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seconds(value: &Value) -> u64 {
        execution_timeout(&json!({ "timeoutSeconds": value })).as_secs()
    }

    #[test]
    fn an_execution_timeout_of_1_to_4_seconds_is_an_hour() {
        for short in ["1", "2", "3", "4"] {
            assert_eq!(seconds(&short.into()), 3_600, "{short}");
        }
        assert_eq!(seconds(&"5".into()), 5);
        assert_eq!(seconds(&"172800".into()), 172_800);
    }

    #[test]
    fn an_execution_timeout_that_is_no_string_of_digits_is_an_hour() {
        let none =
            [json!(null), json!(""), json!("0"), json!("172801"), json!("1h"), json!(["60"])];
        for none in none {
            assert_eq!(seconds(&none), 3_600, "{none}");
        }
        assert_eq!(seconds(&json!(60)), 60, "a document may say it as a number");
    }
}
