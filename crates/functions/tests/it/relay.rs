//! What an event of Run Command comes to: the answer that Lambda gives back, the log, the metrics.

use std::time::Duration;

use callback::testing::sample::{command, command_id, invocation};
use callback::testing::world::{Answer, Fault, Op, World};
use callback::{CommandId, Invocation};
use functions::Relay;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::invoked::{FUNCTION_NAME, Invoked, REQUEST_ID, TOKEN, invoked};
use crate::lent_world::LentWorld;

/// Who logs what became of an event, and who logs what is odd about its command.
const RELAY: &str = "functions::relay";
const SETTLE: &str = "callback::settle";
/// How the error about nodes that were not seen tells their numbers.
const UNSEEN_COUNTS: [&str; 2] = ["3 nodes", "2 invocations"];
/// An output that the listing cuts, so that it is read in full.
const LONG_OUTPUT_CHARS: usize = 3_000;

/// A world in which a task waits for a command with these details on so many nodes.
fn world_with(details: &str, node_count: u32) -> World {
    world_with_parameters(details, node_count, &[("taskToken", TOKEN)])
}

fn world_with_parameters(details: &str, node_count: u32, parameters: &[(&str, &str)]) -> World {
    let world = World::new();
    world.open_task(TOKEN);
    put(&world, details, nodes(node_count, details), parameters);
    world
}

fn put(world: &World, details: &str, nodes: Vec<Invocation>, parameters: &[(&str, &str)]) {
    world.put_command(command(&id(), parameters, details, &nodes), nodes);
}

fn nodes(count: u32, details: &str) -> Vec<Invocation> {
    (1..=count).map(|node| invocation(node, details, "Hello\n", "")).collect()
}

fn id() -> CommandId {
    command_id(1)
}

/// The event that says that the command has this status.
fn event(status: &str) -> Value {
    json!({
        "version": "0",
        "id": "8f2d1c3a-0b1e-4e57-a0a0-000000000001",
        "source": "aws.ssm",
        "detail-type": "EC2 Command Status-change Notification",
        "time": Timestamp::now().to_string(),
        "resources": [],
        "detail": {
            "command-id": id().as_str(),
            "parameters": json!({ "taskToken": [TOKEN] }).to_string(),
            "status": status,
        },
    })
}

async fn invoke(world: &World, event: &Value) -> Invoked {
    relayed(world, &event.to_string()).await
}

/// The event comes in.
pub(crate) async fn relayed(world: &World, event_json: &str) -> Invoked {
    let relay = Relay::new(LentWorld(world), LentWorld(world), FUNCTION_NAME.to_owned());
    invoked(async |metrics| relay.handle(event_json, REQUEST_ID, metrics).await).await
}

/// The event of a command that has ended comes in once, and this comes of it.
async fn check_settled(world: &World, level: &str, outcome: &str) -> Invoked {
    let invoked = invoke(world, &event("Success")).await;
    assert_settled(&invoked, level, outcome);
    invoked
}

async fn check_not_settled(world: &World, error_type: &str, causes: &[&str]) -> Invoked {
    let invoked = invoke(world, &event("Success")).await;
    assert_not_settled(&invoked, error_type, causes);
    invoked
}

/// The invocation has come to this outcome, and tells so in all three places.
#[track_caller]
fn assert_settled(invoked: &Invoked, level: &str, outcome: &str) {
    let response = json!({ "CommandId": id().as_str(), "Outcome": outcome });
    assert_eq!(invoked.returned, response, "{invoked:?}");
    assert!(!invoked.has_failed);

    let line = invoked.line_of(RELAY);
    assert_eq!(line.level, level);
    assert!(line.says("outcome", outcome) && line.says("command_id", &id()), "{line:?}");

    let record = invoked.record();
    assert_counted(record, outcome);
    assert_eq!(record["CommandId"], id().as_str());
    assert!(line.says("settle_duration_ms", &record["SettleDuration"]), "{line:?}, {record}");
    assert!(line.says("event_to_answer_ms", &record["EventToAnswer"]), "{line:?}, {record}");
}

/// The invocation has failed with an error of this type that tells the command and these causes,
/// so that Lambda tries the event again.
#[track_caller]
fn assert_not_settled(invoked: &Invoked, error_type: &str, causes: &[&str]) {
    let (came, message) = invoked.error();
    assert_eq!(came, error_type, "{message}");
    assert_eq!(message.matches(id().as_str()).count(), 1, "{message}");
    for cause in causes {
        assert_eq!(message.matches(cause).count(), 1, "{cause}: {message}");
    }

    let line = invoked.line_of(RELAY);
    assert_eq!(line.level, "ERROR");
    assert!(line.says("outcome", error_type) && line.says("error", message), "{line:?}");
    assert!(line.says("command_id", &id()), "{line:?}");

    assert_counted(invoked.record(), error_type);
    assert_eq!(invoked.record()["CommandId"], id().as_str());
}

#[track_caller]
fn assert_counted(record: &Value, outcome: &str) {
    assert_eq!(record["FunctionName"], FUNCTION_NAME);
    assert_eq!(record["Outcome"], outcome);
    assert_eq!(record["Settled"], 1);
    assert_eq!(record["RequestId"], REQUEST_ID);
    assert_eq!(
        record["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        json!([["FunctionName", "Outcome"]])
    );
}

/// The only answer, which went to the token of the command.
#[track_caller]
fn the_answer(world: &World) -> Answer {
    let answers = world.answers();
    let [(token, answer)] = &answers[..] else { panic!("expected one answer, got {answers:?}") };
    assert_eq!(token, TOKEN);
    answer.clone()
}

#[track_caller]
fn the_output(world: &World) -> Value {
    let Answer::Success { output } = the_answer(world) else { panic!("a failure was told") };
    serde_json::from_str(&output).unwrap()
}

#[track_caller]
fn the_error(world: &World) -> String {
    let Answer::Failure { error, .. } = the_answer(world) else { panic!("a success was told") };
    error
}

#[track_caller]
fn assert_unanswered(world: &World) {
    assert_eq!(world.answers(), []);
}

// Outcomes.

#[tokio::test(start_paused = true)]
async fn a_success_is_told_logged_and_counted() {
    let world = world_with("Success", 2);
    let invoked = check_settled(&world, "INFO", "Succeeded").await;
    assert_eq!(the_output(&world)["CommandId"], id().as_str());
    assert_eq!(invoked.log.len(), 1, "{invoked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_command_is_told_by_its_error_name_and_is_no_failed_invocation() {
    for (details, error) in [
        ("Failed", "RunCommand.Failed"),
        ("ExecutionTimedOut", "RunCommand.ExecutionTimedOut"),
        ("DeliveryTimedOut", "RunCommand.DeliveryTimedOut"),
        ("Cancelled", "RunCommand.Cancelled"),
    ] {
        let world = world_with(details, 1);
        let invoked = check_settled(&world, "INFO", "Failed").await;
        assert_eq!(the_error(&world), error);
        assert_eq!(invoked.log.len(), 1, "{invoked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_to_be_reported_is_a_success() {
    let parameters = [("taskToken", TOKEN), ("onFailure", "Report")];
    let world = world_with_parameters("Failed", 1, &parameters);
    check_settled(&world, "INFO", "Succeeded").await;
    assert_eq!(the_output(&world)["StatusDetails"], "Failed");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_runs_is_logged_and_is_no_error() {
    let world = world_with("InProgress", 1);
    let invoked = invoke(&world, &event("InProgress")).await;
    assert_settled(&invoked, "INFO", "Running");
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_ended_is_not_a_command_that_has() {
    let world = world_with("InProgress", 2);
    let mut event = event("Success");
    event["detail-type"] = json!("EC2 Command Invocation Status-change Notification");
    assert_settled(&invoke(&world, &event).await, "INFO", "Running");
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn a_closed_task_is_logged_and_is_no_error() {
    for details in ["Success", "Failed"] {
        let world = world_with(details, 1);
        world.close_task(TOKEN);
        check_settled(&world, "INFO", "AlreadyClosed").await;
        assert_unanswered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_token_has_nobody_to_answer() {
    let world = world_with_parameters("Success", 1, &[("commands", "echo mine")]);
    check_settled(&world, "INFO", "NoToken").await;
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_step_functions_rejects_is_a_warning_and_no_error() {
    let rejected = format!("{TOKEN}rejected");
    for details in ["Success", "Failed"] {
        let world = world_with_parameters(details, 1, &[("taskToken", &rejected)]);
        check_settled(&world, "WARN", "TokenRejected").await;
        assert_unanswered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_that_cannot_be_a_token_is_not_sent_to_step_functions() {
    for text in [String::new(), TOKEN.repeat(100)] {
        let world = world_with_parameters("Success", 1, &[("taskToken", &text)]);
        check_settled(&world, "WARN", "TokenRejected").await;
        assert_eq!(world.calls(Op::SendTaskSuccess), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_twice_is_answered_once() {
    let world = world_with("Failed", 1);
    check_settled(&world, "INFO", "Failed").await;
    check_settled(&world, "INFO", "AlreadyClosed").await;
    assert_eq!(the_error(&world), "RunCommand.Failed");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_lies_about_the_status_does_not_make_the_answer() {
    let world = world_with("Failed", 1);
    check_settled(&world, "INFO", "Failed").await;
    assert_eq!(the_error(&world), "RunCommand.Failed");
}

#[tokio::test(start_paused = true)]
async fn a_token_in_an_event_is_not_the_one_that_is_answered() {
    let world = world_with("Success", 1);
    let forged = format!("{TOKEN}forged");
    world.open_task(&forged);
    let mut event = event("Success");
    event["detail"]["parameters"] = json!({ "taskToken": [forged] });
    assert_settled(&invoke(&world, &event).await, "INFO", "Succeeded");
    the_answer(&world);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_may_not_be_read_in_full_stays_cut_with_a_warning() {
    let world = World::new();
    world.open_task(TOKEN);
    let node = invocation(1, "Success", &"x".repeat(LONG_OUTPUT_CHARS), "");
    put(&world, "Success", vec![node], &[("taskToken", TOKEN)]);
    world.fail_next(Op::GetCommandInvocation, Fault::Denied);

    let invoked = check_settled(&world, "INFO", "Succeeded").await;

    assert_eq!(the_output(&world)["Invocations"][0]["OutputTruncated"], true);
    let line = invoked.line_of(SETTLE);
    assert_eq!(line.level, "WARN");
    assert!(line.says("command_id", &id()), "{line:?}");
    assert!(line.says("instance_id", "i-00000000000000001"), "{line:?}");
    let error = line.field("error").unwrap();
    assert!(error.contains("GetCommandInvocation") && error.contains("AccessDenied"), "{error}");
}

// Errors.

/// A read or an answer that fails is an error that names the operation and what came.
async fn check_failed_call(world: &World, op: Op, error_type: &str) {
    for (fault, code) in [
        (Fault::Throttled, "ThrottlingException"),
        (Fault::Denied, "AccessDeniedException"),
        (Fault::TimedOut, "timed out"),
    ] {
        world.fail_next(op, fault);
        check_not_settled(world, error_type, &[op.name(), code]).await;
        assert_unanswered(world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_not_read_is_named() {
    let world = world_with("Success", 1);
    check_failed_call(&world, Op::ListCommands, "ReadCommandFailed").await;
}

#[tokio::test(start_paused = true)]
async fn invocations_that_are_not_read_are_named() {
    let world = world_with("Success", 1);
    check_failed_call(&world, Op::ListCommandInvocations, "ReadInvocationsFailed").await;
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_not_read_is_named() {
    let world = World::new();
    world.open_task(TOKEN);
    let node = invocation(1, "Success", &"x".repeat(LONG_OUTPUT_CHARS), "");
    put(&world, "Success", vec![node], &[("taskToken", TOKEN)]);
    world.fail_next(Op::GetCommandInvocation, Fault::Throttled);
    let causes = ["GetCommandInvocation", "ThrottlingException"];
    check_not_settled(&world, "ReadOutputFailed", &causes).await;
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_fails_is_named() {
    let world = world_with("Success", 1);
    check_failed_call(&world, Op::SendTaskSuccess, "AnswerFailed").await;
    let world = world_with("Failed", 1);
    check_failed_call(&world, Op::SendTaskFailure, "AnswerFailed").await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_failed_is_settled_when_it_comes_again() {
    let world = world_with("Success", 1);
    world.fail_next(Op::ListCommands, Fault::Throttled);
    check_not_settled(&world, "ReadCommandFailed", &[]).await;
    check_settled(&world, "INFO", "Succeeded").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_arrived_although_its_call_failed_is_not_given_again() {
    let world = world_with("Success", 1);
    world.fail_next(Op::SendTaskSuccess, Fault::TimedOutAfterTakingEffect);
    check_not_settled(&world, "AnswerFailed", &["SendTaskSuccess", "timed out"]).await;
    check_settled(&world, "INFO", "AlreadyClosed").await;
    the_answer(&world);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_not_known_is_an_error() {
    let world = World::new();
    check_not_settled(&world, "CommandNotFound", &[]).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_read_within_three_seconds_is_an_error() {
    let world = world_with("InProgress", 1);
    let started = Instant::now();
    check_not_settled(&world, "CommandNotEnded", &["InProgress"]).await;
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_read_late_is_answered_by_the_same_invocation() {
    let world = world_with("InProgress", 1);
    put(&world, "Success", nodes(1, "Success"), &[("taskToken", TOKEN)]);
    world.lag_reads(&id(), 4);
    check_settled(&world, "INFO", "Succeeded").await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_holds_a_token_is_not_quoted() {
    let world = world_with(TOKEN, 1);
    check_not_settled(&world, "CommandNotEnded", &[]).await;
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn a_success_of_nodes_that_are_not_seen_is_an_error_that_counts_them() {
    let world = world_with("Success", 3);
    let seen = nodes(2, "Success");
    let of_three = command(&id(), &[("taskToken", TOKEN)], "Success", &nodes(3, "Success"));
    world.put_command(of_three, seen);
    check_not_settled(&world, "InvocationsUnseen", &UNSEEN_COUNTS).await;
    assert_unanswered(&world);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_step_functions_refuses_altogether_is_an_error() {
    let world = world_with("Success", 1);
    world.take_outputs_up_to(10);
    world.take_no_causes();
    check_not_settled(&world, "OutputRefused", &[]).await;
    assert_eq!(world.calls(Op::SendTaskSuccess), 2, "with and without the scripts' outputs");
    assert_eq!(world.calls(Op::SendTaskFailure), 1, "without the nodes");
    assert_unanswered(&world);
}

// Times.

#[tokio::test(start_paused = true)]
async fn the_time_from_the_event_to_the_answer_is_counted() {
    let world = world_with("Success", 1);
    let mut event = event("Success");
    event["time"] = json!((Timestamp::now() - SignedDuration::from_mins(2)).to_string());
    let invoked = invoke(&world, &event).await;
    assert_settled(&invoked, "INFO", "Succeeded");
    let counted_ms = invoked.record()["EventToAnswer"].as_u64().unwrap();
    assert!((120_000..180_000).contains(&counted_ms), "{counted_ms} ms");
}

#[tokio::test(start_paused = true)]
async fn an_event_from_the_future_was_answered_at_once() {
    let world = world_with("Success", 1);
    let mut event = event("Success");
    event["time"] = json!("2100-01-01T00:00:00Z");
    let invoked = invoke(&world, &event).await;
    assert_settled(&invoked, "INFO", "Succeeded");
    assert_eq!(invoked.record()["EventToAnswer"], 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_time_counts_none() {
    let world = world_with("Success", 1);
    let mut event = event("Success");
    event.as_object_mut().unwrap().remove("time");
    let invoked = invoke(&world, &event).await;
    assert_eq!(invoked.returned["Outcome"], "Succeeded");
    assert_counted(invoked.record(), "Succeeded");
    assert_eq!(invoked.record().get("EventToAnswer"), None);
    assert_eq!(invoked.line_of(RELAY).field("event_to_answer_ms"), None);
}

// Metrics that are not taken.

#[tokio::test(start_paused = true)]
async fn metrics_that_cannot_be_written_are_logged_and_fail_nothing() {
    let world = world_with("Success", 1);
    let relay = Relay::new(LentWorld(&world), LentWorld(&world), FUNCTION_NAME.to_owned());
    let event = event("Success").to_string();
    let mut full: &mut [u8] = &mut [];
    let invoked = invoked(async |_| relay.handle(&event, REQUEST_ID, &mut full).await).await;
    assert_eq!(invoked.returned["Outcome"], "Succeeded");
    let levels: Vec<_> = invoked.log.iter().map(|line| line.level.as_str()).collect();
    assert_eq!(levels, ["INFO", "ERROR"]);
    the_answer(&world);
}

// Events that are none.

/// The event is refused with an error that tells this, and AWS is asked nothing.
async fn check_refused(event_json: &str, told: &[&str]) {
    let world = world_with("Success", 1);
    let invoked = relayed(&world, event_json).await;
    let (error_type, message) = invoked.error();
    assert_eq!(error_type, "InvalidEvent");
    for part in told {
        assert!(message.contains(part), "{part}: {message}");
    }
    let line = invoked.line_of(RELAY);
    assert_eq!(line.level, "ERROR");
    assert!(line.says("outcome", "InvalidEvent") && line.says("error", message), "{line:?}");
    assert_eq!(line.field("command_id"), None);
    assert_counted(invoked.record(), "InvalidEvent");
    assert_eq!(invoked.record().get("CommandId"), None);
    assert_eq!(Op::ALL.map(|op| world.calls(op)), [0; 9]);
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_no_event_is_refused() {
    for text in ["", "{", "null", "[]", "{}", "17", TOKEN, &format!("\"{TOKEN}\"")] {
        check_refused(text, &[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_of_another_service_is_refused_by_its_source() {
    for source in ["aws.events", "aws.states", "mine"] {
        let mut event = event("Success");
        event["source"] = json!(source);
        check_refused(&event.to_string(), &[source, "EC2 Command Status-change Notification"])
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_event_of_systems_manager_is_refused_by_its_type() {
    let mut event = event("Success");
    event["detail-type"] = json!("Parameter Store Change");
    check_refused(&event.to_string(), &["aws.ssm", "Parameter Store Change"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_command_id_is_refused_by_its_field() {
    for wrong in [json!(null), json!(7), json!([id().as_str()]), json!({ "taskToken": TOKEN })] {
        let mut event = event("Success");
        event["detail"]["command-id"] = wrong;
        check_refused(&event.to_string(), &["detail.command-id"]).await;
    }
    let mut event = event("Success");
    event["detail"].as_object_mut().unwrap().remove("command-id");
    check_refused(&event.to_string(), &["detail.command-id"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_in_the_place_of_a_command_id_is_not_told() {
    let mut event = event("Success");
    event["detail"]["command-id"] = json!(TOKEN);
    check_refused(&event.to_string(), &["detail.command-id"]).await;
}

#[tokio::test(start_paused = true)]
async fn two_events_at_once_are_refused() {
    let event = event("Success");
    check_refused(&format!("{event}{event}"), &[]).await;
}
