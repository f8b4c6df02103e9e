//! Bad environments: one error that names every bad variable and no other.

use std::time::Duration;

use callback_aws::trust::Roots;
use functions::config::ConfigError;
use functions::{RelayConfig, SweepConfig};
use tracing::level_filters::LevelFilter;

/// All variables.
const NAMES: [&str; 7] = [
    "LOG_LEVEL",
    "TRUST_SYSTEM_ROOTS",
    "AWS_LAMBDA_FUNCTION_NAME",
    "DOCUMENT_NAMES",
    "SWEEP_INTERVAL_SECONDS",
    "LOOKBACK_HOURS",
    "HEARTBEATS_PER_SECOND",
];
/// Those that have no default.
const NEEDED: [(&str, &str); 2] =
    [("AWS_LAMBDA_FUNCTION_NAME", "stack-sweep"), ("DOCUMENT_NAMES", "SfnRunShellScript")];

/// Good variables, but for these.
fn lookup(changed: &[(&str, Option<&str>)]) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let changed = changed.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        let needed = || NEEDED.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        changed.unwrap_or_else(needed).map(str::to_owned)
    }
}

fn sweep(changed: &[(&str, Option<&str>)]) -> Result<SweepConfig, ConfigError> {
    SweepConfig::from_lookup(lookup(changed))
}

/// The error is one line that names these variables, each with what it holds, and no other.
#[track_caller]
fn assert_names(error: &ConfigError, bad: &[(&str, Option<&str>)]) {
    let error = error.to_string();
    assert!(!error.contains('\n'), "{error}");
    for name in NAMES {
        let value = bad.iter().find(|(other, _)| *other == name);
        assert_eq!(error.matches(name).count(), usize::from(value.is_some()), "{name}: {error}");
        if let Some((_, Some(value))) = value {
            assert!(error.contains(&format!("`{value}`")), "{name}: {error}");
        }
    }
}

#[track_caller]
fn check_bad(name: &str, values: &[Option<&str>]) {
    for value in values {
        let bad = [(name, *value)];
        assert_names(&sweep(&bad).unwrap_err(), &bad);
    }
}

#[test]
fn a_level_is_one_of_five_words() {
    let bad = ["", " ", "loud", "info,debug", "off", "3", " info"];
    check_bad("LOG_LEVEL", &bad.map(Some));
    for value in bad {
        let bad = [("LOG_LEVEL", Some(value))];
        assert_names(&RelayConfig::from_lookup(lookup(&bad)).unwrap_err(), &bad);
    }
    for (word, level) in [
        ("error", LevelFilter::ERROR),
        ("WARN", LevelFilter::WARN),
        ("Info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ] {
        assert_eq!(sweep(&[("LOG_LEVEL", Some(word))]).unwrap().log_level, level);
    }
}

#[test]
fn the_roots_of_the_system_are_trusted_if_that_is_said() {
    let name = "TRUST_SYSTEM_ROOTS";
    let bad = ["", " ", "yes", "1", "True", "true ", "system"];
    check_bad(name, &bad.map(Some));
    for value in bad {
        let bad = [(name, Some(value))];
        assert_names(&RelayConfig::from_lookup(lookup(&bad)).unwrap_err(), &bad);
    }
    for (value, roots) in
        [(None, Roots::Amazon), (Some("false"), Roots::Amazon), (Some("true"), Roots::System)]
    {
        let variables = [(name, value)];
        assert_eq!(sweep(&variables).unwrap().roots, roots);
        assert_eq!(RelayConfig::from_lookup(lookup(&variables)).unwrap().roots, roots);
    }
}

#[test]
fn a_function_has_a_name() {
    check_bad("AWS_LAMBDA_FUNCTION_NAME", &[None, Some("")]);
    let bad = [("AWS_LAMBDA_FUNCTION_NAME", None)];
    assert_names(&RelayConfig::from_lookup(lookup(&bad)).unwrap_err(), &bad);
}

#[test]
fn a_sweep_has_documents() {
    check_bad("DOCUMENT_NAMES", &[None, Some(""), Some(" "), Some(","), Some(" , ,")]);
}

#[test]
fn an_interval_is_1_to_3600_seconds() {
    let name = "SWEEP_INTERVAL_SECONDS";
    let bad = ["", "0", "3601", "-1", "1.5", "60s", "one", "99999999999999999999"];
    check_bad(name, &bad.map(Some));
    for (text, interval) in [("1", Duration::from_secs(1)), (" 3600 ", Duration::from_hours(1))] {
        assert_eq!(sweep(&[(name, Some(text))]).unwrap().scope.interval, interval);
    }
}

#[test]
fn a_lookback_is_1_to_720_hours() {
    let name = "LOOKBACK_HOURS";
    check_bad(name, &["", "0", "721", "-49", "49.0", "2 days", "99999999999999999999"].map(Some));
    for (text, hours) in [("1", 1), ("720", 720)] {
        let scope = sweep(&[(name, Some(text))]).unwrap().scope;
        assert_eq!(scope.lookback, Duration::from_hours(hours));
    }
}

#[test]
fn heartbeats_are_1_to_1000_per_second() {
    let name = "HEARTBEATS_PER_SECOND";
    check_bad(name, &["", "0", "1001", "-1", "0.5", "many", "4294967546"].map(Some));
    for (text, heartbeats) in [("1", 1), ("1000", 1_000)] {
        let scope = sweep(&[(name, Some(text))]).unwrap().scope;
        assert_eq!(scope.heartbeats_per_second, heartbeats);
    }
}

#[test]
fn all_bad_variables_are_named_in_one_error() {
    let bad = [
        ("LOG_LEVEL", Some("loud")),
        ("TRUST_SYSTEM_ROOTS", Some("maybe")),
        ("AWS_LAMBDA_FUNCTION_NAME", None),
        ("DOCUMENT_NAMES", Some(",,")),
        ("SWEEP_INTERVAL_SECONDS", Some("0")),
        ("LOOKBACK_HOURS", Some("two")),
        ("HEARTBEATS_PER_SECOND", Some("no")),
    ];
    assert_names(&sweep(&bad).unwrap_err(), &bad);
    assert_names(&RelayConfig::from_lookup(lookup(&bad)).unwrap_err(), &bad[..3]);
}

#[test]
fn two_bad_variables_are_named_without_the_good_ones() {
    let bad = [("DOCUMENT_NAMES", None), ("LOOKBACK_HOURS", Some("721"))];
    assert_names(&sweep(&bad).unwrap_err(), &bad);
}

#[test]
fn the_relay_does_not_mind_the_variables_of_the_sweep() {
    let bad = [("DOCUMENT_NAMES", None), ("LOOKBACK_HOURS", Some("two"))];
    assert_eq!(RelayConfig::from_lookup(lookup(&bad)).unwrap().function_name, "stack-sweep");
}
