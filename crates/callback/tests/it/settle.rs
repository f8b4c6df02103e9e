//! What becomes of a task, whatever its command, the reads and the answers go through.

use std::error::Error as _;
use std::time::Duration;

use callback::output::Trace;
use callback::ports::{CallErrorKind, LISTED_OUTPUTS_NODES_MAX, NODES_MAX};
use callback::testing::log::Log;
use callback::testing::sample::{command, command_id, instance_id, invocation, skipped_invocation};
use callback::testing::world::{Answer, Fault, Op, World};
use callback::{Command, CommandId, Hint, Invocation, Outcome, SettleError, settle};
use serde_json::{Value, json};
use tokio::time::Instant;

const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAtokenThatWaits";
/// Parameters with which a task is told a failure as a success.
const REPORT: [(&str, &str); 2] = [("taskToken", TOKEN), ("onFailure", "Report")];

/// A world in which a task waits for a command with these details on these nodes.
fn world_with(details: &str, nodes: Vec<Invocation>) -> (World, CommandId) {
    world_with_parameters(&[("taskToken", TOKEN)], details, nodes)
}

fn world_with_parameters(
    parameters: &[(&str, &str)],
    details: &str,
    nodes: Vec<Invocation>,
) -> (World, CommandId) {
    let world = World::new();
    let id = command_id(1);
    world.open_task(TOKEN);
    world.put_command(command(&id, parameters, details, &nodes), nodes);
    (world, id)
}

/// A world in which the task waits for a command of three nodes, of which only two are told.
fn world_with_a_missing_node(details: &str) -> (World, CommandId) {
    let nodes = nodes(3, details);
    let (world, id) = world_with(details, nodes.clone());
    world.put_command(command_of(&id, details, &nodes), nodes[..2].to_vec());
    (world, id)
}

fn command_of(id: &CommandId, details: &str, nodes: &[Invocation]) -> Command {
    command(id, &[("taskToken", TOKEN)], details, nodes)
}

fn nodes(count: u32, details: &str) -> Vec<Invocation> {
    (1..=count).map(|node| invocation(node, details, "Hello\n", "")).collect()
}

/// Settles what an event says has ended.
async fn settle_ended(world: &World, id: &CommandId) -> Result<Outcome, SettleError> {
    settle(world, world, id, Hint::Ended).await
}

/// The output of the only answer, which was a success.
#[track_caller]
fn the_output(world: &World) -> Value {
    match the_answer(world) {
        Answer::Success { output } => serde_json::from_str(&output).unwrap(),
        answer @ Answer::Failure { .. } => panic!("{answer:?}"),
    }
}

/// Error and cause of the only answer, which was a failure.
#[track_caller]
fn the_error_and_cause(world: &World) -> (String, Value) {
    match the_answer(world) {
        Answer::Failure { error, cause } => (error, serde_json::from_str(&cause).unwrap()),
        answer @ Answer::Success { .. } => panic!("{answer:?}"),
    }
}

#[track_caller]
fn the_answer(world: &World) -> Answer {
    let answers = world.answers();
    let [(token, answer)] = answers.as_slice() else { panic!("one answer wanted: {answers:?}") };
    assert_eq!(token, TOKEN);
    answer.clone()
}

#[track_caller]
fn assert_unanswered(world: &World) {
    assert_eq!(world.answers(), []);
}

/// Calls to Step Functions, taken or not.
fn answer_calls(world: &World) -> usize {
    world.calls(Op::SendTaskSuccess) + world.calls(Op::SendTaskFailure)
}

fn failed(error: &str) -> Outcome {
    Outcome::Failed { error: error.to_owned() }
}

// Answers.

#[tokio::test(start_paused = true)]
async fn success_is_told_with_its_outputs() {
    let node = invocation(7, "Success", "Hello\n", "a warning\n");
    let (world, id) = world_with("Success", vec![node]);
    let started = Instant::now();

    assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::Succeeded);

    let output = the_output(&world);
    assert_eq!(output["CommandId"], id.as_str());
    assert_eq!(output["Status"], "Success");
    assert_eq!(output["TargetCount"], 1);
    let node = &output["Invocations"][0];
    assert_eq!(node["InstanceId"], "i-00000000000000007");
    assert_eq!(node["ResponseCode"], 0);
    assert_eq!(node["StandardOutputContent"], "Hello\n");
    assert_eq!(node["StandardErrorContent"], "a warning\n");
    assert_eq!(started.elapsed(), Duration::ZERO, "nothing is waited for");
}

#[tokio::test(start_paused = true)]
async fn failure_is_told_by_name_and_with_its_outputs() {
    let nodes =
        vec![invocation(1, "Success", "fine\n", ""), invocation(2, "Failed", "half\n", "broken\n")];
    let (world, id) = world_with("Failed", nodes);

    assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.Failed"));

    let (error, cause) = the_error_and_cause(&world);
    assert_eq!(error, "RunCommand.Failed");
    assert_eq!((&cause["Status"], &cause["ErrorCount"]), (&"Failed".into(), &1.into()));
    let node = &cause["Invocations"][0];
    assert_eq!(node["InstanceId"], "i-00000000000000002");
    assert_eq!(
        (&node["ResponseCode"], &node["StandardErrorContent"]),
        (&1.into(), &"broken\n".into())
    );
}

#[tokio::test(start_paused = true)]
async fn every_bad_end_has_its_error_name() {
    for (details, node, name) in [
        ("Failed", "Failed", "RunCommand.Failed"),
        ("Execution Timed Out", "ExecutionTimedOut", "RunCommand.ExecutionTimedOut"),
        ("DeliveryTimedOut", "DeliveryTimedOut", "RunCommand.DeliveryTimedOut"),
        ("Canceled", "Cancelled", "RunCommand.Cancelled"),
        ("Terminated", "Terminated", "RunCommand.Terminated"),
        ("Undeliverable", "Undeliverable", "RunCommand.Undeliverable"),
        ("InvalidPlatform", "InvalidPlatform", "RunCommand.InvalidPlatform"),
        ("AccessDenied", "AccessDenied", "RunCommand.AccessDenied"),
        ("RateExceeded", "Cancelled", "RunCommand.RateExceeded"),
        ("Incomplete", "Failed", "RunCommand.Incomplete"),
        // Success, but not on every node.
        ("Success", "Undeliverable", "RunCommand.Incomplete"),
    ] {
        let nodes = vec![invocation(1, "Success", "", ""), invocation(2, node, "", "")];
        let (world, id) = world_with(details, nodes);
        assert_eq!(settle_ended(&world, &id).await.unwrap(), failed(name));
        assert_eq!(the_error_and_cause(&world).0, name);
    }
    let (world, id) = world_with("NoInstancesInTag", vec![]);
    assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.NoInstancesInTag"));
    assert_eq!(the_error_and_cause(&world).1["Status"], "Success");
}

#[tokio::test(start_paused = true)]
async fn a_command_can_name_its_failures() {
    const NAME: &str = "Automation document failure";
    let parameters = [("taskToken", TOKEN), ("errorName", NAME)];
    for details in ["Failed", "NoInstancesInTag"] {
        let nodes = if details == "Failed" { nodes(1, details) } else { vec![] };
        let (world, id) = world_with_parameters(&parameters, details, nodes.clone());
        assert_eq!(settle_ended(&world, &id).await.unwrap(), failed(NAME));
        let (error, cause) = the_error_and_cause(&world);
        assert_eq!((error.as_str(), &cause["StatusDetails"]), (NAME, &details.into()));
    }

    let (world, id) = world_with_parameters(&parameters, "Failed", nodes(2, "Failed"));
    world.fail_next(Op::ListCommandInvocations, Fault::Incomprehensible);
    assert_eq!(settle_ended(&world, &id).await.unwrap(), failed(NAME));
    assert_unread(&world, NAME, "Failed", 2);

    let (world, id) = world_with_parameters(&parameters, "Success", nodes(1, "Success"));
    assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_failure_can_be_reported_as_data() {
    let parameters = [("taskToken", TOKEN), ("onFailure", "Report")];
    let nodes = vec![invocation(1, "Failed", "", "broken\n")];
    let (world, id) = world_with_parameters(&parameters, "Failed", nodes);

    assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::Succeeded);

    let output = the_output(&world);
    assert_eq!(output["StatusDetails"], "Failed");
    assert_eq!(output["Invocations"][0]["ResponseCode"], 1);
    assert_eq!(output["Invocations"][0]["StandardErrorContent"], "broken\n");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_runs_is_not_answered() {
    for details in ["Pending", "InProgress", "Delayed", "Cancelling"] {
        let (world, id) = world_with(details, nodes(1, details));
        let started = Instant::now();
        let outcome = settle(&world, &world, &id, Hint::Changed).await.unwrap();
        assert_eq!(outcome, Outcome::Running);
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_unanswered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_nodes_with_long_outputs_fit() {
    for details in ["Success", "Failed"] {
        let nodes =
            (1..=50).map(|node| invocation(node, details, &"ü".repeat(24_000), "")).collect();
        let (world, id) = world_with(details, nodes);
        settle_ended(&world, &id).await.unwrap();
        let told = match details {
            "Success" => the_output(&world),
            _ => the_error_and_cause(&world).1,
        };
        assert_eq!(told["Invocations"].as_array().unwrap().len(), 50);
        assert_eq!(told["Invocations"][0]["OutputTruncated"], true);
    }
}

// One answer per task.

#[tokio::test(start_paused = true)]
async fn duplicate_event_answers_once() {
    for (details, first) in
        [("Success", Outcome::Succeeded), ("Failed", failed("RunCommand.Failed"))]
    {
        let (world, id) = world_with(details, nodes(1, details));
        assert_eq!(settle_ended(&world, &id).await.unwrap(), first);
        for _ in 0..4 {
            assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::AlreadyClosed);
        }
        the_answer(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn two_settles_at_once_answer_once() {
    let (world, id) = world_with("Success", nodes(1, "Success"));
    let (one, other) = tokio::join!(settle_ended(&world, &id), settle_ended(&world, &id));
    let mut outcomes = [one.unwrap().name(), other.unwrap().name()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["AlreadyClosed", "Succeeded"]);
    assert_eq!(answer_calls(&world), 2, "they met");
    the_answer(&world);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_finds_the_task_closed() {
    for details in ["Success", "Failed"] {
        let (world, id) = world_with(details, nodes(1, details));
        world.close_task(TOKEN);
        assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::AlreadyClosed);
        assert_unanswered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_on_its_way_back_was_given_once() {
    for (details, op) in [("Success", Op::SendTaskSuccess), ("Failed", Op::SendTaskFailure)] {
        let (world, id) = world_with(details, nodes(1, details));
        world.fail_next(op, Fault::TimedOutAfterTakingEffect);
        let error = settle_ended(&world, &id).await.unwrap_err();
        assert_eq!(error.name(), "AnswerFailed");
        assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::AlreadyClosed);
        the_answer(&world);
    }
}

// Tokens.

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_gave_out_is_rejected() {
    for details in ["Success", "Failed"] {
        let garbage = [("taskToken", "no token of Step Functions")];
        let (world, id) = world_with_parameters(&garbage, details, nodes(1, details));
        assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::TokenRejected);
        assert_eq!(answer_calls(&world), 1);
        assert_unanswered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_token_is_never_sent() {
    for malformed in ["", &"t".repeat(2_049)] {
        let parameters = [("taskToken", malformed)];
        let (world, id) = world_with_parameters(&parameters, "Success", nodes(1, "Success"));
        assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::TokenRejected);
        assert_eq!(answer_calls(&world), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_token_is_none_of_ours() {
    for details in ["Success", "Failed", "InProgress"] {
        let (world, id) = world_with_parameters(&[], details, nodes(1, details));
        assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::NoToken);
        assert_eq!(answer_calls(&world), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn each_command_answers_its_own_task() {
    let world = World::new();
    let ids = [command_id(1), command_id(2)];
    for (id, (token, details)) in ids.iter().zip([("one", "Success"), ("two", "Failed")]) {
        let nodes = nodes(1, details);
        world.open_task(token);
        world.put_command(command(id, &[("taskToken", token)], details, &nodes), nodes);
    }
    settle_ended(&world, &ids[1]).await.unwrap();
    settle_ended(&world, &ids[0]).await.unwrap();
    let answers = world.answers();
    assert!(matches!(&answers[0], (token, Answer::Failure { cause, .. })
        if token == "two" && cause.contains(ids[1].as_str())));
    assert!(matches!(&answers[1], (token, Answer::Success { output })
        if token == "one" && output.contains(ids[0].as_str())));
}

// Reads that lag behind the event.

/// How long `settle` has paused after so many reads that lagged.
const PAUSED: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_millis(600),
    Duration::from_millis(1_400),
    Duration::from_secs(3),
];

#[tokio::test(start_paused = true)]
async fn an_event_before_the_read_is_consistent_is_answered() {
    for (lagging_reads, paused) in PAUSED.into_iter().enumerate() {
        let (world, id) = world_with("InProgress", nodes(2, "InProgress"));
        let ended = nodes(2, "Success");
        world.put_command(command_of(&id, "Success", &ended), ended);
        world.lag_reads(&id, lagging_reads);
        let started = Instant::now();

        assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::Succeeded);

        assert_eq!(started.elapsed(), paused);
        assert_eq!(world.calls(Op::ListCommands), lagging_reads + 1);
        assert_eq!(the_output(&world)["CompletedCount"], 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_read_yet_is_answered() {
    for (lagging_reads, paused) in PAUSED.into_iter().enumerate() {
        let (world, id) = world_with("Failed", nodes(1, "Failed"));
        world.lag_reads(&id, lagging_reads);
        let started = Instant::now();
        assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.Failed"));
        assert_eq!(started.elapsed(), paused);
    }
}

#[tokio::test(start_paused = true)]
async fn invocations_that_lag_behind_their_command_are_waited_for() {
    for details in ["Success", "Failed"] {
        for before in [vec![], nodes(1, details), nodes(2, "InProgress")] {
            for (lagging_reads, paused) in PAUSED.into_iter().enumerate().skip(1) {
                let (world, id) = world_with("InProgress", before.clone());
                let ended = nodes(2, details);
                world.put_command(command_of(&id, details, &ended), ended);
                world.lag_reads_of(Op::ListCommandInvocations, &id, lagging_reads);
                let started = Instant::now();
                // Whether an event came makes no difference.
                let hint = if lagging_reads % 2 == 0 { Hint::Changed } else { Hint::Ended };

                settle(&world, &world, &id, hint).await.unwrap();

                if details == "Success" {
                    assert_eq!(started.elapsed(), paused);
                    assert_eq!(the_output(&world)["Invocations"][1]["Status"], "Success");
                } else {
                    assert_eq!(the_error_and_cause(&world).0, "RunCommand.Failed");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_lags_for_ever_is_an_error() {
    let (world, id) = world_with("InProgress", nodes(1, "InProgress"));
    let ended = nodes(1, "Success");
    world.put_command(command_of(&id, "Success", &ended), ended);
    world.lag_reads(&id, usize::MAX);
    let started = Instant::now();

    let error = settle_ended(&world, &id).await.unwrap_err();

    assert_eq!(started.elapsed(), Duration::from_secs(3));
    assert_eq!((world.calls(Op::ListCommands), world.calls(Op::ListCommandInvocations)), (5, 5));
    assert!(
        matches!(&error, SettleError::NotEnded { command_id, status_details }
            if *command_id == id && status_details.as_str() == "InProgress"),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!("command {id} is reported to have ended, but its status is InProgress")
    );
    assert_eq!(error.name(), "CommandNotEnded");
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_command_is_an_error() {
    for hint in [Hint::Changed, Hint::Ended] {
        let (world, id) = (World::new(), command_id(404));
        let started = Instant::now();
        let error = settle(&world, &world, &id, hint).await.unwrap_err();
        assert!(matches!(&error, SettleError::NotFound { command_id } if *command_id == id));
        assert!(error.to_string().contains(id.as_str()));
        assert_eq!(error.name(), "CommandNotFound");
        assert_eq!(started.elapsed(), Duration::from_secs(3));
        assert_eq!(world.calls(Op::ListCommands), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_with_a_node_that_is_never_seen_is_never_answered() {
    for hint in [Hint::Changed, Hint::Ended] {
        let (world, id) = world_with_a_missing_node("Success");
        let started = Instant::now();
        let error = settle(&world, &world, &id, hint).await.unwrap_err();
        assert!(
            matches!(&error, SettleError::Unseen { command_id, target_count: 3, read_count: 2 }
                if *command_id == id),
            "{error:?}"
        );
        assert!(error.to_string().contains("each of its 3 nodes (2 invocations were read)"));
        assert_eq!(error.name(), "InvocationsUnseen");
        assert_eq!(started.elapsed(), Duration::from_secs(3));
        assert_eq!(answer_calls(&world), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_with_a_node_that_is_never_seen_is_answered_after_the_pauses() {
    let (world, id) = world_with_a_missing_node("Failed");
    let started = Instant::now();
    assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.Failed"));
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    let (_, cause) = the_error_and_cause(&world);
    assert_eq!(cause["TargetCount"], 3);
    assert_eq!(cause["Invocations"].as_array().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_still_unseen_when_it_is_overdue_never_ran_the_command() {
    for (details, name) in [("Success", "RunCommand.Incomplete"), ("Failed", "RunCommand.Failed")] {
        let (world, id) = world_with_a_missing_node(details);
        let started = Instant::now();
        let outcome = settle(&world, &world, &id, Hint::Overdue).await.unwrap();
        assert_eq!(outcome, failed(name));
        assert!(started.elapsed() <= Duration::from_secs(3));
        let (error, cause) = the_error_and_cause(&world);
        assert_eq!(error, name);
        assert_eq!(cause["TargetCount"], 3);
        assert_eq!(cause["Invocations"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn overdue_is_no_reason_to_doubt_what_is_seen_or_what_runs() {
    let (world, id) = world_with("Success", nodes(2, "Success"));
    let outcome = settle(&world, &world, &id, Hint::Overdue).await.unwrap();
    assert_eq!(outcome, Outcome::Succeeded);
    the_output(&world);

    let (world, id) = world_with("InProgress", nodes(2, "InProgress"));
    let error = settle(&world, &world, &id, Hint::Overdue).await.unwrap_err();
    assert_eq!(error.name(), "CommandNotEnded");
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_was_refused_before_it_reached_a_node_is_a_failure() {
    let (world, id) = world_with("AccessDenied", nodes(1, "AccessDenied"));
    world.put_command(command_of(&id, "AccessDenied", &nodes(1, "AccessDenied")), vec![]);
    assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.AccessDenied"));
    assert_eq!(the_error_and_cause(&world).1["Invocations"], Value::Array(vec![]));
}

// Outputs.

#[tokio::test(start_paused = true)]
async fn long_outputs_of_few_nodes_are_read_in_full() {
    for count in [1, 10] {
        let long = "ü".repeat(5_000);
        let nodes = (1..=count).map(|node| invocation(node, "Success", &long, "short")).collect();
        let (world, id) = world_with("Success", nodes);
        settle_ended(&world, &id).await.unwrap();
        assert_eq!(world.calls(Op::GetCommandInvocation), usize::try_from(count).unwrap());
        let output = the_output(&world);
        for node in output["Invocations"].as_array().unwrap() {
            assert_eq!(node["StandardOutputContent"], long);
            assert_eq!(node["StandardErrorContent"], "short");
            assert_eq!(node["OutputTruncated"], false);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn long_outputs_of_many_nodes_stay_as_listed() {
    let nodes = (1..=11).map(|node| invocation(node, "Success", &"x".repeat(5_000), "")).collect();
    let (world, id) = world_with("Success", nodes);
    settle_ended(&world, &id).await.unwrap();
    assert_eq!(world.calls(Op::GetCommandInvocation), 0);
    let node = &the_output(&world)["Invocations"][0];
    let listed = node["StandardOutputContent"].as_str().unwrap();
    assert!((1..=2_500).contains(&listed.len()), "{} bytes", listed.len());
    assert_eq!(node["OutputTruncated"], true);
}

#[tokio::test(start_paused = true)]
async fn only_what_the_listing_cut_or_may_have_mixed_up_is_read_again() {
    let separator = "a\n----------ERROR-------\nb";
    let failed = "went wrong\nfailed to run commands: exit status 1";
    let nodes = vec![
        // The agent's last line proves that there is standard error.
        invocation(1, "Failed", "short", failed),
        invocation(2, "Success", "short", ""),
        invocation(3, "Success", "", ""),
    ];
    let (world, id) = world_with_parameters(&REPORT, "Failed", nodes);
    settle_ended(&world, &id).await.unwrap();
    assert_eq!(world.calls(Op::GetCommandInvocation), 0);
    assert_eq!(the_output(&world)["Invocations"][0]["StandardErrorContent"], failed);

    for (details, stdout, stderr) in [
        ("Success", "short", "short, too"),
        ("Success", separator, ""),
        ("Success", separator, "printed"),
        ("Failed", separator, failed),
        ("Success", "short", &"e".repeat(3_000)),
    ] {
        let nodes = vec![invocation(1, details, stdout, stderr)];
        let (world, id) = world_with_parameters(&REPORT, details, nodes);
        settle_ended(&world, &id).await.unwrap();
        assert_eq!(world.calls(Op::GetCommandInvocation), 1);
        let node = &the_output(&world)["Invocations"][0];
        assert_eq!(node["StandardOutputContent"], stdout);
        assert_eq!(node["StandardErrorContent"], stderr);
        assert_eq!(node["OutputTruncated"], false);
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_node_is_read_by_its_own_name() {
    let mut node = invocation(1, "Success", &"1".repeat(3_000), "");
    let mut second = node.plugins[0].clone();
    second.name = "second".into();
    second.output.stdout = "2".repeat(3_000);
    node.plugins.push(second);
    let (world, id) = world_with("Success", vec![node]);
    settle_ended(&world, &id).await.unwrap();
    assert_eq!(world.calls(Op::GetCommandInvocation), 2);
    let expected = format!("{}\n{}", "1".repeat(3_000), "2".repeat(3_000));
    assert_eq!(the_output(&world)["Invocations"][0]["StandardOutputContent"], expected);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_cannot_be_read_now_is_an_error() {
    let (world, id) = world_with("Success", vec![invocation(1, "Success", &"x".repeat(3_000), "")]);
    for fault in [Fault::Throttled, Fault::TimedOut] {
        world.fail_next(Op::GetCommandInvocation, fault);
        let error = settle_ended(&world, &id).await.unwrap_err();
        assert!(matches!(&error, SettleError::ReadOutput { command_id, .. } if *command_id == id));
        assert_unanswered(&world);
    }
    assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_can_never_be_read_stays_as_listed() {
    let ambiguous = "a\n----------ERROR-------\nb";
    for (stdout, listed) in [("x".repeat(3_000), "x".repeat(1_200)), (ambiguous.into(), "a".into())]
    {
        let node = invocation(1, "Success", &stdout, "printed");
        let (world, id) = world_with("Success", vec![node]);
        world.fail_next(Op::GetCommandInvocation, Fault::Denied);
        assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::Succeeded);
        let node = &the_output(&world)["Invocations"][0];
        assert_eq!(node["StandardOutputContent"], listed);
        assert_eq!(node["OutputTruncated"], true);
    }
}

/// A world in which the task waits for a command that filled an answer of any length.
fn talkative_world(parameters: &[(&str, &str)], details: &str) -> (World, CommandId) {
    let parameters: Vec<_> = [("taskToken", TOKEN)].iter().chain(parameters).copied().collect();
    let nodes = (1..=11).map(|node| invocation(node, details, &"\u{1}".repeat(2_400), ""));
    let nodes = nodes.map(|mut node| {
        node.plugins = vec![node.plugins[0].clone(); 3];
        node
    });
    world_with_parameters(&parameters, details, nodes.collect())
}

#[tokio::test(start_paused = true)]
async fn an_answer_leaves_room_for_the_state_unless_the_command_says_otherwise() {
    for (parameters, bytes_max) in [
        (&[][..], 196_608),
        (&[("outputBytes", "262144")], 262_144),
        (&[("outputBytes", "2048")], 2_048),
        (&[("outputBytes", "many")], 196_608),
    ] {
        let (world, id) = talkative_world(parameters, "Success");
        settle_ended(&world, &id).await.unwrap();
        let bytes = the_answer(&world).body().len();
        assert!((bytes_max - 1_000..=bytes_max).contains(&bytes), "{bytes} of {bytes_max} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cause_has_no_more_bytes_than_the_command_says() {
    for (value, bytes_max) in [("262144", 32_768), ("2048", 2_048)] {
        let (world, id) = talkative_world(&[("outputBytes", value)], "Failed");
        settle_ended(&world, &id).await.unwrap();
        let bytes = the_answer(&world).body().len();
        assert!((bytes_max - 1_000..=bytes_max).contains(&bytes), "{bytes} of {bytes_max} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_output_of_any_length_is_answered_without_the_scripts_outputs() {
    for (value, taken) in [("65536", 60_000), ("262144", 200_000)] {
        let (world, id) = talkative_world(&[("outputBytes", value)], "Success");
        world.take_outputs_up_to(taken);
        let outcome = settle_ended(&world, &id).await.unwrap();
        assert_eq!(outcome, Outcome::Succeeded);
        assert_eq!(world.calls(Op::SendTaskSuccess), 2);
        for node in the_output(&world)["Invocations"].as_array().unwrap() {
            assert_eq!(node["StandardOutputContent"], "");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_quotes_the_token_is_told_without_it() {
    let reason = format!("value /{TOKEN}/ does not match");
    let node = Invocation {
        plugins: Vec::new(),
        trace: Trace::new(reason),
        ..invocation(1, "Failed", "", "")
    };
    // Of a large command, the reason is read in two parts.
    for count in [1, LISTED_OUTPUTS_NODES_MAX + 1] {
        let mut nodes = nodes(count, "Success");
        nodes[0] = node.clone();
        let (world, id) = world_with("Failed", nodes);
        settle_ended(&world, &id).await.unwrap();
        let (_, cause) = the_error_and_cause(&world);
        let entry = &cause["Invocations"][0];
        assert_eq!(entry["TraceOutput"], "value /[task token]/ does not match");
        assert_eq!(
            (&entry["ResponseCode"], &entry["OutputTruncated"]),
            (&json!(-1), &json!(false))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_output_is_answered_without_the_scripts_outputs() {
    for parameters in
        [&[("taskToken", TOKEN)][..], &[("taskToken", TOKEN), ("onFailure", "Report")]]
    {
        let details = if parameters.len() == 1 { "Success" } else { "Failed" };
        let nodes = vec![invocation(1, details, &"x".repeat(2_000), "")];
        let (world, id) = world_with_parameters(parameters, details, nodes);
        world.take_outputs_up_to(1_500);
        assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::Succeeded);
        let output = the_output(&world);
        assert_eq!(output["StatusDetails"], details);
        assert_eq!(output["Invocations"][0]["StandardOutputContent"], "");
        assert_eq!(output["Invocations"][0]["OutputTruncated"], true);
    }
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_refused_twice_is_a_failure_without_nodes() {
    for parameters in
        [&[("taskToken", TOKEN)][..], &[("taskToken", TOKEN), ("onFailure", "Report")]]
    {
        let nodes = vec![invocation(1, "Success", "said", "")];
        let (world, id) = world_with_parameters(parameters, "Success", nodes);
        world.take_outputs_up_to(10);
        assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.Unreadable"));
        assert_unread(&world, "RunCommand.Unreadable", "Success", 1);
        assert_eq!(answer_calls(&world), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_refused_in_every_form_is_an_error_for_good() {
    for (details, calls) in [("Success", 3), ("Failed", 2)] {
        let (world, id) = world_with(details, nodes(1, details));
        world.take_outputs_up_to(10);
        world.take_no_causes();
        let error = settle_ended(&world, &id).await.unwrap_err();
        assert!(matches!(&error, SettleError::OutputRefused { command_id } if *command_id == id));
        assert!(error.to_string().contains(id.as_str()));
        assert_eq!(error.name(), "OutputRefused");
        assert_eq!(answer_calls(&world), calls);
        assert_unanswered(&world);
    }
}

// Nodes that cannot be read.

/// The only answer tells no node, counts them all, and says how the command ended.
#[track_caller]
fn assert_unread(world: &World, name: &str, details: &str, target_count: u32) {
    let (error, cause) = the_error_and_cause(world);
    assert_eq!(error, name);
    assert_tells_no_node(&cause, details, target_count);
}

#[track_caller]
fn assert_tells_no_node(report: &Value, details: &str, target_count: u32) {
    assert_eq!(report["StatusDetails"], details);
    assert_eq!(report["TargetCount"], target_count);
    assert_eq!(report["Invocations"], Value::Array(vec![]));
    assert_eq!(report["InvocationsOmitted"], target_count);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_can_never_be_read_are_a_failure_of_their_own() {
    for details in ["Success", "Failed"] {
        for parameters in
            [&[("taskToken", TOKEN)][..], &[("taskToken", TOKEN), ("onFailure", "Report")]]
        {
            let (world, id) = world_with_parameters(parameters, details, nodes(2, details));
            world.fail_next(Op::ListCommandInvocations, Fault::Incomprehensible);
            let started = Instant::now();
            assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.Unreadable"));
            assert_eq!(started.elapsed(), Duration::ZERO);
            assert_unread(&world, "RunCommand.Unreadable", details, 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_command_is_not_answered_whatever_becomes_of_its_nodes() {
    for fault in [Fault::Incomprehensible, Fault::Denied, Fault::Throttled] {
        let (world, id) = world_with("InProgress", nodes(1, "InProgress"));
        world.fail_next(Op::ListCommandInvocations, fault);
        let outcome = settle(&world, &world, &id, Hint::Changed).await.unwrap();
        assert_eq!(outcome, Outcome::Running);
        assert_unanswered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_can_never_be_read_is_an_error() {
    // Without it, there is no token to answer.
    let (world, id) = world_with("Success", nodes(1, "Success"));
    world.fail_next(Op::ListCommands, Fault::Incomprehensible);
    assert_eq!(settle_ended(&world, &id).await.unwrap_err().name(), "ReadCommandFailed");
}

// Commands of many nodes.

/// A world in which the task waits for a command of so many nodes, some of which failed.
fn large_world(nodes_count: u32, failed: u32, details: &str) -> (World, CommandId) {
    let error = "e".repeat(500);
    let nodes = (1..=nodes_count).map(|node| match node {
        // The last ones.
        node if node > nodes_count - failed => invocation(node, "Failed", "half", &error),
        node => invocation(node, "Success", &"o".repeat(500), ""),
    });
    world_with(details, nodes.collect())
}

#[tokio::test(start_paused = true)]
async fn too_many_nodes_are_a_failure_of_their_own() {
    for details in ["Success", "Failed", "DeliveryTimedOut"] {
        let (world, id) = world_with(details, nodes(2, details));
        let mut command = command_of(&id, details, &nodes(2, details));
        command.target_count = NODES_MAX + 1;
        world.put_command(command.clone(), nodes(2, details));
        let started = Instant::now();
        assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.TooManyNodes"));
        assert_eq!(started.elapsed(), Duration::ZERO);
        assert_unread(&world, "RunCommand.TooManyNodes", details, NODES_MAX + 1);
        assert_eq!(world.calls(Op::ListCommandInvocations), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_nodes_can_be_reported_as_data() {
    for is_refused in [false, true] {
        let parameters = [("taskToken", TOKEN), ("onFailure", "Report")];
        let (world, id) = world_with_parameters(&parameters, "Failed", vec![]);
        let mut command = command(&id, &parameters, "Failed", &[]);
        command.target_count = NODES_MAX + 1;
        world.put_command(command, vec![]);
        if is_refused {
            world.take_outputs_up_to(10);
            assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.TooManyNodes"));
            assert_unread(&world, "RunCommand.TooManyNodes", "Failed", NODES_MAX + 1);
        } else {
            assert_eq!(settle_ended(&world, &id).await.unwrap(), Outcome::Succeeded);
            assert_tells_no_node(&the_output(&world), "Failed", NODES_MAX + 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_nodes_are_no_reason_to_answer_while_the_command_runs() {
    let (world, id) = world_with("InProgress", vec![]);
    for target_count in [LISTED_OUTPUTS_NODES_MAX + 1, NODES_MAX + 1] {
        let mut command = command_of(&id, "InProgress", &[]);
        command.target_count = target_count;
        world.put_command(command, vec![]);
        let outcome = settle(&world, &world, &id, Hint::Changed).await.unwrap();
        assert_eq!(outcome, Outcome::Running);
        assert_eq!(settle_ended(&world, &id).await.unwrap_err().name(), "CommandNotEnded");
        assert_unanswered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn many_nodes_are_not_read_for_nobody() {
    for parameters in [&[][..], &[("taskToken", "")]] {
        let nodes = nodes(LISTED_OUTPUTS_NODES_MAX + 1, "Success");
        let (world, id) = world_with_parameters(parameters, "Success", nodes);
        settle_ended(&world, &id).await.unwrap();
        assert_eq!(world.calls(Op::ListCommandInvocations), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_thousand_nodes_are_answered_within_the_time_of_the_relay() {
    for (failed_nodes, details) in [(0, "Success"), (300, "Failed"), (NODES_MAX, "Failed")] {
        let (world, id) = large_world(NODES_MAX, failed_nodes, details);
        for op in [
            Op::ListCommands,
            Op::ListCommandInvocations,
            Op::ListNodeInvocation,
            Op::SendTaskSuccess,
            Op::SendTaskFailure,
        ] {
            world.slow(op, Duration::from_millis(500));
        }
        let started = Instant::now();

        let outcome = settle_ended(&world, &id).await.unwrap();

        assert!(started.elapsed() < Duration::from_secs(220), "{:?}", started.elapsed());
        let told = if outcome == Outcome::Succeeded {
            the_output(&world)
        } else {
            the_error_and_cause(&world).1
        };
        let entries = told["Invocations"].as_array().unwrap();
        let omitted = told["InvocationsOmitted"].as_u64().unwrap();
        assert_eq!(entries.len() as u64 + omitted, u64::from(NODES_MAX));
        assert!(entries.len() > 50, "{} entries", entries.len());
        // Exit codes are told of each.
        assert_eq!(entries[0]["ResponseCode"], i32::from(details != "Success"));
        assert_eq!(entries[0]["OutputTruncated"], true);
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_of_many_nodes_are_read_where_they_failed() {
    for (count, failed, reads) in [(1_001, 3, 3), (1_001, 200, 50), (2_000, 0, 0)] {
        let (world, id) =
            large_world(count, failed, if failed == 0 { "Success" } else { "Failed" });
        settle_ended(&world, &id).await.unwrap();
        assert_eq!(world.calls(Op::ListNodeInvocation), reads);
        assert!(world.most_at_once(Op::ListNodeInvocation) <= 5);
        assert_eq!(world.calls(Op::GetCommandInvocation), 0);
        if failed == 3 {
            let (_, cause) = the_error_and_cause(&world);
            for (entry, node) in cause["Invocations"].as_array().unwrap()[..3].iter().zip(999..) {
                assert_eq!(entry["InstanceId"], instance_id(node).as_str());
                assert_eq!(entry["StandardErrorContent"], "e".repeat(500));
                assert_eq!(entry["OutputTruncated"], false);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn up_to_a_thousand_nodes_keep_their_listed_outputs() {
    let (world, id) = large_world(1_000, 60, "Failed");
    let started = Instant::now();
    settle_ended(&world, &id).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(world.calls(Op::ListNodeInvocation), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_node_of_many_that_cannot_be_read_alone_keeps_the_beginning() {
    for fault in [Fault::Denied, Fault::Incomprehensible] {
        let (world, id) = large_world(1_001, 1, "Failed");
        world.fail_next(Op::ListNodeInvocation, fault);
        assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.Failed"));
        let (_, cause) = the_error_and_cause(&world);
        let entry = &cause["Invocations"][0];
        assert_eq!((&entry["Status"], &entry["ResponseCode"]), (&"Failed".into(), &1.into()));
        assert_eq!(entry["StandardErrorContent"], "e".repeat(64));
        assert_eq!(entry["OutputTruncated"], true);
    }
    let (world, id) = large_world(1_001, 1, "Failed");
    world.fail_next(Op::ListNodeInvocation, Fault::Throttled);
    assert_eq!(settle_ended(&world, &id).await.unwrap_err().name(), "ReadInvocationsFailed");
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn one_node_of_many_that_skipped_every_step_is_no_success() {
    let reason = "Step execution skipped due to unsupported plugin: aws:runPowerShellScript. \
                  Step name: script";
    let mut nodes = nodes(1_001, "Success");
    nodes[700] = skipped_invocation(701, reason);
    let (world, id) = world_with("Success", nodes);
    assert_eq!(settle_ended(&world, &id).await.unwrap(), failed("RunCommand.Incomplete"));
    let (_, cause) = the_error_and_cause(&world);
    let entry = &cause["Invocations"][0];
    assert_eq!(
        (&entry["TraceOutput"], &entry["StandardOutputContent"]),
        (&json!(reason), &json!(""))
    );
    assert_eq!(entry["OutputTruncated"], false);
}

#[tokio::test(start_paused = true)]
async fn nodes_of_a_large_command_are_read_once_after_a_pause() {
    let count = LISTED_OUTPUTS_NODES_MAX + 1;
    for (details, name) in [("Success", "InvocationsUnseen"), ("Failed", "RunCommand.Failed")] {
        let ended = nodes(count, details);
        let (world, id) = world_with(details, ended.clone());
        world.put_command(command_of(&id, details, &ended), ended[1..].to_vec());
        let started = Instant::now();
        let name_of = |result| match result {
            Ok(Outcome::Failed { error }) => error,
            Ok(outcome) => outcome.name().to_owned(),
            Err(error) => SettleError::name(&error).to_owned(),
        };
        assert_eq!(name_of(settle_ended(&world, &id).await), name);
        assert_eq!(started.elapsed(), Duration::from_secs(3));
        assert_eq!(world.calls(Op::ListCommandInvocations), 20);
    }
}

// Calls that fail.

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_an_error_that_names_it_and_a_later_try_answers() {
    let long = "x".repeat(3_000);
    for (op, details, name) in [
        (Op::ListCommands, "Success", "ReadCommandFailed"),
        (Op::ListCommandInvocations, "Success", "ReadInvocationsFailed"),
        (Op::GetCommandInvocation, "Success", "ReadOutputFailed"),
        (Op::SendTaskSuccess, "Success", "AnswerFailed"),
        (Op::SendTaskFailure, "Failed", "AnswerFailed"),
    ] {
        let (world, id) = world_with(details, vec![invocation(1, details, &long, "")]);
        world.fail_next(op, Fault::Throttled);

        let error = settle_ended(&world, &id).await.unwrap_err();

        assert_eq!(error.name(), name);
        assert!(error.to_string().contains(id.as_str()), "{error}");
        let source = error.source().unwrap().to_string();
        assert_eq!(source, format!("{} failed: ThrottlingException", op.name()));
        assert!(!error.to_string().contains(&source), "the source is told once, by the chain");
        assert_unanswered(&world);

        settle_ended(&world, &id).await.unwrap();
        the_answer(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_read_is_not_an_answer() {
    for op in [Op::ListCommands, Op::ListCommandInvocations] {
        let (world, id) = world_with("Success", nodes(1, "Success"));
        world.fail_next(op, Fault::Denied);
        let error = settle_ended(&world, &id).await.unwrap_err();
        let (SettleError::ReadCommand { source, .. } | SettleError::ReadInvocations { source, .. }) =
            error
        else {
            panic!("{error:?}")
        };
        assert_eq!((source.operation, source.kind), (op.name(), CallErrorKind::Permanent));
        assert_eq!(answer_calls(&world), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_have_one_name_each() {
    let names = [
        Outcome::Succeeded,
        failed("RunCommand.Failed"),
        Outcome::Running,
        Outcome::AlreadyClosed,
        Outcome::NoToken,
        Outcome::TokenRejected,
    ]
    .map(|outcome| outcome.name());
    assert_eq!(
        names,
        ["Succeeded", "Failed", "Running", "AlreadyClosed", "NoToken", "TokenRejected"]
    );
}

// Logs.

#[tokio::test(start_paused = true)]
async fn no_log_line_and_no_error_holds_a_token() {
    let log = Log::capture();
    let mut told = Vec::new();
    for details in ["Success", "Failed", "InProgress"] {
        for (op, fault) in [
            (Op::GetCommandInvocation, Fault::Denied),
            (Op::GetCommandInvocation, Fault::Throttled),
            (Op::ListCommands, Fault::Denied),
            (Op::ListCommandInvocations, Fault::TimedOut),
            (Op::SendTaskSuccess, Fault::Throttled),
            (Op::SendTaskFailure, Fault::TimedOutAfterTakingEffect),
        ] {
            let node = invocation(1, details, &"x".repeat(3_000), "");
            let (world, id) = world_with(details, vec![node]);
            world.fail_next(op, fault);
            for _ in 0..2 {
                let result = settle_ended(&world, &id).await;
                if let Err(error) = &result {
                    told.push(error.to_string());
                }
                told.push(format!("{result:?}"));
            }
        }
    }
    for malformed in ["", &TOKEN.repeat(100)] {
        let parameters = [("taskToken", malformed)];
        let (world, id) = world_with_parameters(&parameters, "Success", nodes(1, "Success"));
        told.push(format!("{:?}", settle_ended(&world, &id).await));
    }

    let (log, told) = (log.text(), told.join("\n"));
    assert!(log.contains("output stays truncated"), "there are log lines:\n{log}");
    assert!(told.contains("ThrottlingException"));
    assert!(!log.contains(TOKEN), "{log}");
    assert!(!told.contains(TOKEN), "{told}");
}
