//! The fake of both ports behaves as Run Command and Step Functions do.

use std::time::Duration;

use callback::ports::{AnswerReceipt, CallErrorKind, CommandListing, Outputs, Pulse, Stage};
use callback::testing::sample::{command, command_id, instance_id, invocation};
use callback::testing::world::{Answer, Fault, Op, World};
use callback::{CommandId, RunCommand, StatusDetails, TaskToken, Tasks};
use jiff::Timestamp;

fn token(text: &str) -> TaskToken {
    TaskToken::from_parameter(&[text.to_owned()]).unwrap()
}

#[tokio::test]
async fn a_task_takes_one_answer() {
    let world = World::new();
    world.open_task("open");
    assert_eq!(world.succeed(&token("open"), "1").await, Ok(AnswerReceipt::Accepted));
    assert_eq!(world.succeed(&token("open"), "2").await, Ok(AnswerReceipt::AlreadyClosed));
    assert_eq!(world.fail(&token("open"), "E", "c").await, Ok(AnswerReceipt::AlreadyClosed));
    let answer = Answer::Success { output: "1".into() };
    assert_eq!(world.answers(), [("open".to_owned(), answer)]);
    assert_eq!(world.calls(Op::SendTaskSuccess), 2);
}

#[tokio::test]
async fn a_closed_task_and_an_unknown_one_take_none() {
    let world = World::new();
    world.open_task("closed");
    world.close_task("closed");
    assert_eq!(world.succeed(&token("closed"), "1").await, Ok(AnswerReceipt::AlreadyClosed));
    assert_eq!(world.fail(&token("unknown"), "E", "c").await, Ok(AnswerReceipt::TokenRejected));
    assert_eq!(world.answers(), []);
}

#[tokio::test]
async fn an_answer_has_limits() {
    let world = World::new();
    world.open_task("t");
    let json = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    for output in ["", "{", &json(262_145)] {
        assert_eq!(world.succeed(&token("t"), output).await, Ok(AnswerReceipt::OutputRejected));
    }
    let (long, longest) = ("ü".repeat(32_769), "ü".repeat(32_768));
    assert!(world.fail(&token("t"), "E", &long).await.is_err());
    assert!(world.fail(&token("t"), &"ü".repeat(257), "c").await.is_err());
    assert_eq!(world.answers(), []);
    let receipt = world.fail(&token("t"), &"ü".repeat(256), &longest).await;
    assert_eq!(receipt, Ok(AnswerReceipt::Accepted));
    world.open_task("u");
    assert_eq!(world.succeed(&token("u"), &json(262_144)).await, Ok(AnswerReceipt::Accepted));
}

#[tokio::test]
async fn a_failed_call_may_have_taken_effect() {
    let world = World::new();
    world.open_task("t");
    world.fail_next(Op::SendTaskSuccess, Fault::TimedOut);
    world.fail_next(Op::SendTaskSuccess, Fault::TimedOutAfterTakingEffect);
    assert!(world.succeed(&token("t"), "1").await.is_err());
    assert_eq!(world.answers(), []);
    assert!(world.succeed(&token("t"), "2").await.is_err());
    assert_eq!(world.answers().len(), 1);
    assert_eq!(world.succeed(&token("t"), "3").await, Ok(AnswerReceipt::AlreadyClosed));
}

#[tokio::test]
async fn a_read_that_lags_shows_what_was() {
    let world = World::new();
    let id = command_id(1);
    let put = |details: &str| {
        let nodes = vec![invocation(1, details, "", "")];
        world.put_command(command(&id, &[], details, &nodes), nodes);
    };
    let details = async || {
        let command = world.command(&id).await.unwrap();
        command.map(|command| command.status_details.to_string())
    };
    assert_eq!(details().await, None);
    put("InProgress");
    world.lag_reads(&id, 1);
    assert_eq!(details().await, None);
    assert!(world.invocations(&id, Outputs::Listed).await.unwrap().is_empty());
    put("Success");
    world.lag_reads_of(Op::ListCommands, &id, 2);
    assert_eq!(details().await.as_deref(), Some("InProgress"));
    assert_eq!(
        world.invocations(&id, Outputs::Listed).await.unwrap()[0].status_details.as_str(),
        "Success"
    );
    assert_eq!(details().await.as_deref(), Some("InProgress"));
    assert_eq!(details().await.as_deref(), Some("Success"));
}

#[tokio::test]
async fn a_listed_output_is_cut_and_a_read_one_is_not() {
    let world = World::new();
    let id = command_id(1);
    let (stdout, stderr) = ("ü".repeat(2_000), "e".repeat(2_000));
    let nodes =
        vec![invocation(1, "Failed", &stdout, &stderr), invocation(2, "Success", "short", "also")];
    world.put_command(command(&id, &[], "Failed", &nodes), nodes.clone());

    let listed = world.invocations(&id, Outputs::Listed).await.unwrap();
    let cut = &listed[0].plugins[0].output;
    assert!(cut.truncated);
    assert_eq!((cut.stdout.as_str(), cut.stderr.len()), (&stdout[..1_200], 1_200));
    // Whether the script printed the separator itself, the listing does not tell.
    let short = &listed[1].plugins[0].output;
    assert_eq!((&*short.stdout, &*short.stderr, short.exact), ("short", "also", false));

    let whole = world.output(&id, &nodes[0].instance_id, "runShellScript").await.unwrap();
    assert_eq!(whole, nodes[0].plugins[0].output);
    let unknown = world.output(&id, &nodes[0].instance_id, "other").await.unwrap_err();
    assert_eq!(unknown.kind, CallErrorKind::Permanent);
}

#[tokio::test]
async fn a_beginning_is_shorter_than_what_is_listed_and_one_node_is_listed_alone() {
    let world = World::new();
    let id = command_id(1);
    let nodes: Vec<_> =
        (1..=101).map(|node| invocation(node, "Failed", &"o".repeat(500), "")).collect();
    world.put_command(command(&id, &[], "Failed", &nodes), nodes.clone());

    let beginnings = world.invocations(&id, Outputs::Beginnings).await.unwrap();
    assert_eq!((beginnings.len(), world.calls(Op::ListCommandInvocations)), (101, 3));
    let output = &beginnings[0].plugins[0].output;
    assert_eq!((output.stdout.len(), output.stderr.as_str(), output.truncated), (64, "", true));

    let one = world.invocation(&id, &nodes[7].instance_id).await.unwrap();
    assert_eq!(one.as_ref(), Some(&nodes[7]));
    assert_eq!(world.invocation(&id, &instance_id(404)).await, Ok(None));
    assert_eq!(world.calls(Op::ListNodeInvocation), 2);
}

/// A command that was requested so many seconds after the others, on this document.
fn put_at(world: &World, number: u32, second: i64, document: &str, details: &str) -> CommandId {
    let id = command_id(number);
    let nodes = vec![invocation(1, details, "", "")];
    let mut command = command(&id, &[], details, &nodes);
    command.requested_at = moment(second);
    document.clone_into(&mut command.document_name);
    world.put_command(command, nodes);
    id
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn listing(document: Option<&str>, stage: Stage, after: Option<i64>) -> CommandListing {
    let document_name = document.map(ToOwned::to_owned);
    CommandListing { document_name, stage, invoked_after: after.map(moment) }
}

fn complete() -> CommandListing {
    listing(None, Stage::Complete, None)
}

/// All pages of a list: their commands, or nothing where one cannot be read.
async fn pages(world: &World, listing: &CommandListing) -> Vec<Vec<Option<CommandId>>> {
    let mut pages = Vec::new();
    let mut token = None;
    loop {
        let page = world.commands(listing, token.as_ref()).await.unwrap();
        pages.push(page.commands.into_iter().map(|one| Some(one.ok()?.id)).collect());
        token = page.next;
        if token.is_none() {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_list_holds_one_stage_and_what_its_filters_let_through() {
    let world = World::new();
    let at = |second: i64, document| {
        let number = u32::try_from(second).unwrap();
        Some(put_at(&world, number, second, document, "Success"))
    };
    let (early, from, late) = (at(99, "Ours"), at(100, "Ours"), at(101, "Ours"));
    let (early_theirs, theirs) = (at(50, "Theirs"), at(150, "Theirs"));
    let running = Some(put_at(&world, 301, 150, "Ours", "InProgress"));

    let found = async |document, stage, after| {
        pages(&world, &listing(document, stage, after)).await.concat()
    };
    let (ours, others, unknown) = (Some("Ours"), Some("Theirs"), Some("ours"));
    let young = [theirs.clone(), late.clone(), from.clone()];
    assert_eq!(found(None, Stage::Complete, Some(100)).await, young);
    assert_eq!(found(ours, Stage::Complete, Some(100)).await, young[1..]);
    assert_eq!(found(others, Stage::Complete, Some(100)).await, young[..1]);
    assert_eq!(found(ours, Stage::Complete, None).await, [late, from, early]);
    assert_eq!(found(others, Stage::Complete, None).await, [theirs, early_theirs]);
    assert_eq!(found(unknown, Stage::Complete, None).await, []);
    let running = [running];
    assert_eq!(found(None, Stage::Executing, Some(100)).await, running);
    assert_eq!(found(ours, Stage::Executing, None).await, running);
    assert_eq!(found(others, Stage::Executing, None).await, []);
    assert_eq!(found(None, Stage::Complete, Some(200)).await, []);
}

#[tokio::test]
async fn a_list_comes_in_pages_of_50_newest_first() {
    for (count, expected) in
        [(0, vec![0]), (50, vec![50]), (51, vec![50, 1]), (120, vec![50, 50, 20])]
    {
        let world = World::new();
        // Seven were requested in the same second each.
        let mut put: Vec<_> = (0..count)
            .map(|number| {
                let second = i64::from(number / 7);
                (second, put_at(&world, number, second, "Ours", "Success"))
            })
            .collect();
        put.sort_unstable_by(|one, other| other.cmp(one));
        let pages = pages(&world, &complete()).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), expected);
        let put: Vec<_> = put.into_iter().map(|(_, id)| Some(id)).collect();
        assert_eq!(pages.concat(), put);
        assert_eq!(world.calls(Op::ListPage), expected.len());
    }
}

#[tokio::test]
async fn a_list_that_was_asked_for_is_told_once() {
    let world = World::new();
    for number in 0..120 {
        put_at(&world, number, i64::from(number), "Ours", "Success");
    }
    let late = listing(Some("Ours"), Stage::Complete, Some(100));
    pages(&world, &complete()).await;
    pages(&world, &late).await;
    world.fail_next(Op::ListPage, Fault::Throttled);
    assert!(world.commands(&late, None).await.is_err());
    assert_eq!(world.listings(), [complete(), late.clone(), late]);
}

#[tokio::test]
async fn a_command_that_ends_changes_its_list() {
    let world = World::new();
    let id = put_at(&world, 1, 0, "Ours", "InProgress");
    let lists = async || {
        let executing = listing(None, Stage::Executing, None);
        (pages(&world, &executing).await.concat(), pages(&world, &complete()).await.concat())
    };
    assert_eq!(lists().await, (vec![Some(id.clone())], vec![]));
    put_at(&world, 1, 0, "Ours", "Cancelling");
    assert_eq!(lists().await, (vec![Some(id.clone())], vec![]));
    world.cancel(&id).await.unwrap();
    assert_eq!(lists().await, (vec![], vec![Some(id)]));
}

#[tokio::test]
async fn a_cancel_ends_what_runs_and_nothing_else() {
    let world = World::new();
    let details = async |id: &CommandId| {
        let command = world.command(id).await.unwrap().unwrap().status_details;
        (command, world.invocations(id, Outputs::Listed).await.unwrap()[0].status_details.clone())
    };
    let running = put_at(&world, 1, 0, "Ours", "InProgress");
    let ended = put_at(&world, 2, 0, "Ours", "Failed");
    for id in [&running, &ended, &command_id(404)] {
        world.cancel(id).await.unwrap();
    }
    let cancelled = StatusDetails::Cancelled;
    assert_eq!(details(&running).await, (cancelled.clone(), cancelled));
    assert_eq!(details(&ended).await, (StatusDetails::Failed, StatusDetails::Failed));
    assert_eq!(world.cancelled(), [running, ended, command_id(404)]);
}

#[tokio::test]
async fn a_spoilt_command_is_one_error_on_its_page() {
    let world = World::new();
    let id = put_at(&world, 1, 1, "Ours", "Success");
    put_at(&world, 2, 2, "Ours", "Success");
    world.spoil(&command_id(2));
    let listed = pages(&world, &complete()).await;
    assert_eq!(listed, [[None, Some(id)]]);
    assert!(world.command(&command_id(2)).await.is_err());
}

#[tokio::test]
async fn a_heartbeat_tells_whether_a_task_waits() {
    let world = World::new();
    world.open_task("open");
    world.close_task("closed");
    for (text, pulse) in
        [("open", Pulse::Alive), ("closed", Pulse::Closed), ("unknown", Pulse::Rejected)]
    {
        assert_eq!(world.heartbeat(&token(text)).await, Ok(pulse));
    }
    world.succeed(&token("open"), "1").await.unwrap();
    assert_eq!(world.heartbeat(&token("open")).await, Ok(Pulse::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_happens_at_its_end_or_not_at_all() {
    let world = World::new();
    world.open_task("t");
    world.slow(Op::SendTaskSuccess, Duration::from_secs(2));
    let token = token("t");
    let hasty = tokio::time::timeout(Duration::from_secs(1), world.succeed(&token, "1"));
    assert!(hasty.await.is_err());
    assert_eq!(world.answers(), []);
    let started = tokio::time::Instant::now();
    let (one, other) = tokio::join!(world.succeed(&token, "2"), world.succeed(&token, "3"));
    assert_eq!((one, other), (Ok(AnswerReceipt::Accepted), Ok(AnswerReceipt::AlreadyClosed)));
    assert_eq!(started.elapsed(), Duration::from_secs(2));
    assert_eq!(world.calls(Op::SendTaskSuccess), 3);
    assert_eq!(world.most_at_once(Op::SendTaskSuccess), 2);
}
