//! An event becomes requests for the command that it names, or an error that tells what is wrong
//! with it.

use callback::{CommandId, Documents, Memory, Scope, SweepReport, error_chain, settle, sweep};
use functions::event::{CommandChange, SweepTrigger};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

use crate::TOKEN;
use crate::aws::Aws;

/// The longest error: fixed words and two quotes of 64 characters.
const ERROR_CHARS_MAX: usize = 400;

/// Reads the event as both functions do, and settles the command of which it tells.
pub fn check(event: &[u8]) {
    // Lambda hands over JSON, so text.
    let Ok(event) = std::str::from_utf8(event) else { return };
    check_sweep(event);
    let requested = match CommandChange::parse(event) {
        Ok(change) => {
            assert_eq!(Some(change.command_id.as_str()), command_id_of(event).as_deref());
            requested_ids(&change)
        }
        Err(error) => {
            check_error(&error);
            Vec::new()
        }
    };
    // What is no id is in no request; what is one is asked for, and nothing else is.
    let named = command_id_of(event).filter(|id| is_uuid(id));
    for id in &requested {
        assert_eq!(Some(id), named.as_ref());
    }
}

/// The command ids of the requests that settling makes. AWS knows no command.
fn requested_ids(change: &CommandChange) -> Vec<String> {
    let aws = Aws::default();
    let clients = aws.clients();
    let settled = crate::aws::paused().block_on(settle(
        &clients.ssm,
        &clients.step_functions,
        &change.command_id,
        change.hint,
    ));
    check_error(&settled.expect_err("there is no such command"));
    let requests = aws.requests();
    assert!(!requests.is_empty());
    let id = |body: &Value| body["CommandId"].as_str().expect("reads are by id").to_owned();
    requests.iter().map(|request| id(&request.body)).collect()
}

fn check_sweep(event: &str) {
    match SweepTrigger::parse(event) {
        Ok(trigger) => check_lists(trigger.occurred_at),
        Err(error) => check_error(&error),
    }
}

/// A sweep at any time that an event may tell lists what executes and what completed.
fn check_lists(occurred_at: Option<Timestamp>) {
    let scope = Scope {
        documents: Documents::new(vec!["SfnRunShellScript".to_owned()], None),
        interval: Duration::from_mins(1),
        lookback: Duration::from_hours(49),
        heartbeats_per_second: 250,
    };
    let aws = Aws::default();
    let clients = aws.clients();
    let report = crate::aws::paused().block_on(sweep(
        &clients.ssm,
        &clients.step_functions,
        &scope,
        &mut Memory::default(),
        occurred_at.unwrap_or_default(),
        Duration::from_mins(1),
    ));
    assert_eq!(report, SweepReport::default(), "there is no command");
    let stage = |body: &Value| body["Filters"][0]["value"].as_str().expect("a stage").to_owned();
    let stages: Vec<_> = aws.requests().iter().map(|request| stage(&request.body)).collect();
    assert_eq!(stages, ["Executing", "Complete", "Complete"]);
}

fn check_error(error: &(dyn std::error::Error + 'static)) {
    let line = error_chain(error);
    assert!(!line.is_empty());
    assert!(line.chars().count() <= ERROR_CHARS_MAX, "{line}");
    assert!(!line.contains(TOKEN), "an error quotes the token");
}

/// The command id of an event, read in another way than the product does.
fn command_id_of(event: &str) -> Option<String> {
    let event: Value = serde_json::from_str(event).ok()?;
    Some(event["detail"]["command-id"].as_str()?.to_ascii_lowercase())
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    let is_hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(is_hex)
}

/// Keeps [`is_uuid`] and the product's own reading of an id at one opinion.
pub fn check_id(text: &str) {
    assert_eq!(CommandId::parse(text).is_ok(), is_uuid(text), "{text:?}");
}
