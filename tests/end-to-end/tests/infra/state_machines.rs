//! The state machines of `infra/state-machines`, and the examples in the documentation.

use std::fs;

use sandbox_client::workspace;
use serde_json::{Value, json};

/// How long a node that has just been launched is waited for.
const LAUNCH_SECONDS: u64 = 600;

/// The tasks that start a command, by the names of their files.
fn tasks() -> Vec<(String, Value)> {
    let files = fs::read_dir(workspace().join("infra/state-machines")).expect("state machines");
    let mut tasks: Vec<_> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let text = fs::read_to_string(&path).expect("a state machine");
            let machine: Value = serde_json::from_str(&text).expect("JSON");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, machine["States"]["RunScript"].clone())
        })
        .collect();
    tasks.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(tasks.len(), 4);
    tasks
}

#[test]
fn what_means_that_nothing_has_run_is_tried_again() {
    for (name, task) in tasks() {
        let retriers = task["Retry"].as_array().expect("retriers");
        let retrier = |error: &str| {
            let found = retriers.iter().filter(|retrier| {
                retrier["ErrorEquals"].as_array().is_some_and(|names| names.contains(&json!(error)))
            });
            let found: Vec<_> = found.collect();
            assert_eq!(found.len(), 1, "{name}: {error}");
            found[0]
        };
        for error in ["Ssm.ThrottlingException", "Ssm.SsmException", "RunCommand.RateExceeded"] {
            let retrier = retrier(error);
            assert!(
                retrier["MaxAttempts"].as_u64().is_some_and(|attempts| attempts <= 5),
                "{name}"
            );
            assert_eq!(retrier["JitterStrategy"], "FULL", "{name}");
        }
        let launched = retrier("Ssm.InvalidInstanceIdException");
        let number = |field: &str| launched[field].as_u64().expect("a number");
        assert_eq!(number("BackoffRate"), 1, "{name}");
        assert_eq!(number("IntervalSeconds") * number("MaxAttempts"), LAUNCH_SECONDS, "{name}");
        let comment = task["Comment"].as_str().expect("a comment");
        assert!(comment.contains("10 minutes"), "{name}: {comment}");
        // A script that has run is not run again.
        let names =
            retriers.iter().flat_map(|retrier| retrier["ErrorEquals"].as_array().expect("names"));
        assert_eq!(names.count(), 4, "{name}");
    }
}

#[test]
fn the_comment_of_a_command_is_the_name_of_the_execution() {
    for (name, task) in tasks() {
        let comment = match task.get("Arguments") {
            Some(arguments) => (&arguments["Comment"], "{% $states.context.Execution.Name %}"),
            None => (&task["Parameters"]["Comment.$"], "$$.Execution.Name"),
        };
        assert_eq!(comment.0, comment.1, "{name}");
    }
}

#[test]
fn every_script_of_an_example_ends_at_its_first_failure() {
    let mut scripts = 0;
    for name in ["README.md", "infra/README.md"] {
        let text = fs::read_to_string(workspace().join(name)).expect("a README");
        for line in text.lines().filter(|line| line.contains("commands") && line.contains("[\"")) {
            assert!(line.contains("[\"set -eu\", "), "{name}: {line}");
            scripts += 1;
        }
    }
    assert_eq!(scripts, 3);
}
