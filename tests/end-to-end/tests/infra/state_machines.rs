//! The state machines of `infra/state-machines`, and the examples in the documentation.

use std::fs;

use sandbox_client::workspace;
use serde_json::{Value, json};

/// How long a node that has just been launched is waited for.
const LAUNCH_SECONDS: u64 = 600;

/// Every definition, by the name of its file.
fn machines() -> Vec<(String, Value)> {
    let files = fs::read_dir(workspace().join("infra/state-machines")).expect("state machines");
    let mut machines: Vec<_> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let text = fs::read_to_string(&path).expect("a state machine");
            let machine: Value = serde_json::from_str(&text).expect("JSON");
            (path.file_name().expect("a name").to_string_lossy().into_owned(), machine)
        })
        .collect();
    machines.sort_by(|(one, _), (other, _)| one.cmp(other));
    machines
}

/// The tasks that start a command, by the names of their files: all but that of the hub account.
fn tasks() -> Vec<(String, Value)> {
    let mut tasks = machines();
    tasks.retain(|(name, _)| name != "run-command-in-node-account.asl.json");
    for (_, machine) in &mut tasks {
        let states = &machine["States"];
        let inner = &states["EachNode"]["ItemProcessor"]["States"];
        let states = if inner.is_object() { inner } else { states };
        *machine = states["RunScript"].clone();
    }
    assert_eq!(tasks.len(), 6);
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
fn a_launched_instance_is_waited_for_as_long_and_is_terminated_whatever_fails() {
    let machines = machines();
    let launch = machines.iter().find(|(name, _)| name == "launch-run-terminate.asl.json");
    let states = &launch.expect("the machine that launches").1["States"];
    let looks = &states["IsManaged"]["Choices"][1]["NumericGreaterThanEquals"];
    let wait = &states["WaitForNode"]["Seconds"];
    assert_eq!(looks.as_u64().zip(wait.as_u64()).map(|(a, b)| a * b), Some(LAUNCH_SECONDS));
    // Every task between the launch and the end.
    for name in ["LookForNode", "RunScript"] {
        let catchers = states[name]["Catch"].as_array().expect("catchers");
        let errors: Vec<_> = catchers.iter().map(|catcher| &catcher["ErrorEquals"][0]).collect();
        assert_eq!(errors, ["States.DataLimitExceeded", "States.ALL"], "{name}");
        assert!(
            catchers.iter().all(|catcher| catcher["Next"] == "TerminateAfterFailure"),
            "{name}"
        );
    }
}

#[test]
fn a_hub_starts_the_execution_under_a_role_of_the_nodes_account_and_gives_away_no_token() {
    let machines = machines();
    let hub = machines.iter().find(|(name, _)| name == "run-command-in-node-account.asl.json");
    let hub = &hub.expect("the machine of a hub").1;
    let task = &hub["States"]["RunInNodeAccount"];
    assert_eq!(task["Resource"], "arn:aws:states:::states:startExecution.sync:2");
    assert_eq!(task["Credentials"], json!({ "RoleArn.$": "$.RoleArn" }));
    assert!(!hub.to_string().contains("Task.Token"));
}

#[test]
fn every_state_machine_is_listed() {
    let readme = fs::read_to_string(workspace().join("infra/README.md")).expect("a README");
    for (name, _) in machines() {
        assert!(readme.contains(&format!("(state-machines/{name})")), "{name}");
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
