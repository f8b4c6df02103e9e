//! Every file of `events/` goes through the function that it is meant for.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use callback::CommandId;
use callback::testing::sample::{command, invocation};
use callback::testing::world::{Answer, World};

use crate::invoked::TOKEN;
use crate::relay::relayed;
use crate::sweep::{FUNCTION, swept_by};

/// The command that the files are about.
const COMMAND_ID: &str = "6d4c0e1a-6f3b-4c1d-9a44-0f5f7c1b2a10";

/// The function that a file is for, and what comes of it.
enum Row {
    /// The relay answers the task of a command with these details: with an error of this name, or
    /// with an output.
    Answered(&'static str, Option<&'static str>),
    /// The relay answers nobody. A command with these details comes to this outcome; it has a token,
    /// unless that is the outcome.
    Unanswered(&'static str, &'static str),
    /// The sweep looks after all commands, for this cause.
    Swept(&'static str),
}

const SUCCEEDED: Row = Row::Answered("Success", None);

const FILES: [(&str, Row); 16] = [
    ("command-canceled", Row::Answered("Cancelled", Some("RunCommand.Cancelled"))),
    ("command-cancelled", Row::Answered("Cancelled", Some("RunCommand.Cancelled"))),
    ("command-failed", Row::Answered("Failed", Some("RunCommand.Failed"))),
    ("command-in-progress", Row::Unanswered("InProgress", "Running")),
    ("command-success", SUCCEEDED),
    ("command-success-parameters-absent", SUCCEEDED),
    ("command-success-parameters-object", SUCCEEDED),
    ("command-timed-out", Row::Answered("ExecutionTimedOut", Some("RunCommand.ExecutionTimedOut"))),
    ("command-without-resources", SUCCEEDED),
    ("execution-aborted", Row::Swept("ExecutionEnded")),
    ("execution-failed", Row::Swept("ExecutionEnded")),
    ("execution-succeeded", Row::Swept("ExecutionEnded")),
    ("execution-timed-out", Row::Swept("ExecutionEnded")),
    ("foreign-document", Row::Unanswered("Success", "NoToken")),
    ("invocation-success", Row::Unanswered("InProgress", "Running")),
    ("scheduled", Row::Swept("Schedule")),
];

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../events")
}

fn event(name: &str) -> String {
    fs::read_to_string(directory().join(format!("{name}.json"))).expect(name)
}

/// A world in which a task waits for the command of the files.
fn world_with(details: &str, has_token: bool) -> World {
    let world = World::new();
    let id = CommandId::parse(COMMAND_ID).unwrap();
    let nodes = vec![invocation(1, details, "hello\n", "")];
    let parameters: &[_] = if has_token { &[("taskToken", TOKEN)] } else { &[] };
    world.open_task(TOKEN);
    world.put_command(command(&id, parameters, details, &nodes), nodes);
    world
}

async fn check(name: &str, row: &Row) {
    let event = event(name);
    match *row {
        Row::Answered(details, error) => {
            let world = world_with(details, true);
            let invoked = relayed(&world, &event).await;
            assert_eq!(invoked.returned["CommandId"], COMMAND_ID, "{name}: {invoked:?}");
            let outcome = if error.is_some() { "Failed" } else { "Succeeded" };
            assert_eq!(invoked.returned["Outcome"], outcome, "{name}");
            let answers = world.answers();
            let [(token, answer)] = &answers[..] else { panic!("{name}: {answers:?}") };
            assert_eq!(token, TOKEN, "{name}");
            match answer {
                Answer::Success { .. } => assert_eq!(error, None, "{name}"),
                Answer::Failure { error: told, .. } => {
                    assert_eq!(error, Some(told.as_str()), "{name}");
                }
            }
        }
        Row::Unanswered(details, outcome) => {
            let world = world_with(details, outcome != "NoToken");
            let invoked = relayed(&world, &event).await;
            assert_eq!(invoked.returned["CommandId"], COMMAND_ID, "{name}: {invoked:?}");
            assert_eq!(invoked.returned["Outcome"], outcome, "{name}");
            assert_eq!(world.answers(), [], "{name}");
        }
        Row::Swept(cause) => {
            let world = world_with("InProgress", true);
            world.close_task(TOKEN);
            let invoked = swept_by(&world, &event).await;
            assert_eq!(invoked.returned["Cancelled"], 1, "{name}: {invoked:?}");
            assert_eq!(world.cancelled(), [CommandId::parse(COMMAND_ID).unwrap()], "{name}");
            let line = invoked.line_of(FUNCTION);
            assert!(line.says("cause", cause), "{name}: {line:?}");
        }
    }
}

#[test]
fn every_event_file_is_in_the_table() {
    let files = fs::read_dir(directory()).expect("the directory of events");
    let files: BTreeSet<_> =
        files.map(|file| file.expect("a file").file_name().into_string().expect("text")).collect();
    assert_eq!(files, BTreeSet::from(FILES.map(|(name, _)| format!("{name}.json"))));
}

#[tokio::test(start_paused = true)]
async fn every_event_file_comes_to_what_the_table_says() {
    for (name, row) in &FILES {
        check(name, row).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_event_file_is_taken_by_the_other_function() {
    for (name, row) in &FILES {
        let world = world_with("Success", true);
        let invoked = match row {
            Row::Swept(_) => relayed(&world, &event(name)).await,
            Row::Answered(..) | Row::Unanswered(..) => swept_by(&world, &event(name)).await,
        };
        assert_eq!(invoked.error().0, "InvalidEvent", "{name}");
        assert_eq!(world.answers(), [], "{name}");
    }
}
