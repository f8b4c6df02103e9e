//! A rule and a queue of the run, which keep the events of its commands and executions.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::call::{answer, found};
use crate::problem::Problem;
use crate::stack::Stack;

/// What follows the name of the stack in the names of the rule and the queue. A rule's name has up to
/// 64 characters, and a stack's up to 52.
const INFIX: &str = "-run-";
/// What is older was left by a run that was killed.
const LEFTOVER_AGE_SECONDS: i64 = 3_600;
/// Maximum number of leftovers that one run removes.
const LEFTOVERS_MAX: i32 = 100;
/// Maximum number of times that the queue is read, and how often it must be empty in a row.
const READS_MAX: usize = 200;
const EMPTY_READS: usize = 2;
const MESSAGES_PER_READ: i32 = 10;
const WAIT_SECONDS: i32 = 1;
const TARGET: &str = "events";
/// Error codes of what is not there.
const NO_RULE: [&str; 1] = ["ResourceNotFoundException"];
const NO_QUEUE: [&str; 2] = ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"];

/// The id of a run that begins now: its second, in base 36.
pub fn run_id(now: Timestamp) -> String {
    let mut rest = now.as_second();
    let mut digits = Vec::new();
    while rest > 0 {
        let digit = u32::try_from(rest % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        rest /= 36;
    }
    digits.iter().rev().collect()
}

fn age_seconds(name: &str, prefix: &str, now: Timestamp) -> Option<i64> {
    let began = i64::from_str_radix(name.strip_prefix(prefix)?, 36).ok()?;
    Some(now.as_second() - began)
}

/// The name of the rule and of the queue.
pub fn name(stack: &Stack, run: &str) -> String {
    format!("{}{INFIX}{run}", stack.name)
}

/// Creates the queue and the rule. Gives the URL of the queue.
pub async fn create(aws: &Aws, stack: &Stack, run: &str, machine: &str) -> Result<String, Problem> {
    let name = name(stack, run);
    let queue_arn = stack.arn("sqs", &name);
    let rule_arn = stack.arn("events", &format!("rule/{name}"));
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "events.amazonaws.com" },
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": { "ArnEquals": { "aws:SourceArn": rule_arn } },
        }],
    });
    let attributes = HashMap::from([
        (QueueAttributeName::Policy, policy.to_string()),
        // Events of commands hold task tokens. Those of a run that was killed are gone in an hour.
        (QueueAttributeName::MessageRetentionPeriod, LEFTOVER_AGE_SECONDS.to_string()),
    ]);
    let created = aws.sqs.create_queue().queue_name(&name).set_attributes(Some(attributes)).send();
    let created = answer("sqs:CreateQueue", created.await)?;
    let documents: Vec<_> = stack.documents.spellings().collect();
    let pattern = json!({
        "account": [stack.account()],
        "region": [stack.region()],
        "$or": [
            { "source": ["aws.ssm"], "detail": { "document-name": documents } },
            { "source": ["aws.states"], "detail": { "stateMachineArn": [machine] } },
        ],
    });
    let put = aws.eventbridge.put_rule().name(&name).event_pattern(pattern.to_string());
    let put = put.description("Events of an acceptance run, which removes this rule at its end.");
    answer("events:PutRule", put.send().await)?;
    let target = Target::builder().id(TARGET).arn(queue_arn).build();
    let target = target.map_err(|_| Problem::new("a target of a rule is not valid"))?;
    let put = aws.eventbridge.put_targets().rule(&name).targets(target).send().await;
    answer("events:PutTargets", put)?;
    Ok(created.queue_url.unwrap_or_default())
}

/// The events that came, and how many requests it took.
pub async fn received(aws: &Aws, queue_url: &str) -> Result<(Vec<Value>, usize), Problem> {
    let (mut events, mut empty, mut requests) = (Vec::new(), 0, 0);
    while empty < EMPTY_READS && requests < READS_MAX {
        requests += 1;
        let request = aws.sqs.receive_message().queue_url(queue_url);
        let request = request.max_number_of_messages(MESSAGES_PER_READ);
        // The messages are deleted with their queue.
        let read = request.wait_time_seconds(WAIT_SECONDS).visibility_timeout(600).send().await;
        let messages = answer("sqs:ReceiveMessage", read)?.messages.unwrap_or_default();
        empty = if messages.is_empty() { empty + 1 } else { 0 };
        let bodies = messages.into_iter().filter_map(|message| message.body);
        events
            .extend(bodies.map(|body| {
                serde_json::from_str(&body).unwrap_or_else(|_| Value::from("no JSON"))
            }));
    }
    Ok((events, requests))
}

/// Whether an event is of this run: of one of its commands, or of one of its executions. The rule also
/// matches those of others, whose scripts are nobody's business.
pub fn is_of_run(event: &Value, run: &str, command_ids: &[String]) -> bool {
    let detail = &event["detail"];
    if let Some(id) = detail["command-id"].as_str() {
        return command_ids.iter().any(|own| own == id);
    }
    let name = detail["name"].as_str().unwrap_or_default();
    name.starts_with(&format!("relayctl-{run}-"))
}

/// Removes the rule and the queue of this name, if they are there.
pub async fn remove(aws: &Aws, name: &str, queue_url: &str) -> Result<(), Problem> {
    let removed = aws.eventbridge.remove_targets().rule(name).ids(TARGET).send().await;
    found("events:RemoveTargets", &NO_RULE, removed)?;
    answer("events:DeleteRule", aws.eventbridge.delete_rule().name(name).send().await)?;
    if !queue_url.is_empty() {
        let deleted = aws.sqs.delete_queue().queue_url(queue_url).send().await;
        found("sqs:DeleteQueue", &NO_QUEUE, deleted)?;
    }
    Ok(())
}

/// Removes what runs left that were killed more than an hour ago.
pub async fn remove_leftovers(aws: &Aws, stack: &Stack, now: Timestamp) -> Result<(), Problem> {
    let prefix = format!("{}{INFIX}", stack.name);
    let is_old =
        |name: &str| age_seconds(name, &prefix, now).is_some_and(|age| age > LEFTOVER_AGE_SECONDS);
    let rules = aws.eventbridge.list_rules().name_prefix(&prefix).limit(LEFTOVERS_MAX).send().await;
    let rules = answer("events:ListRules", rules)?;
    let rules = rules.rules.unwrap_or_default().into_iter().filter_map(|rule| rule.name);
    for rule in rules.filter(|name| is_old(name)) {
        remove(aws, &rule, "").await?;
    }
    let queues = aws.sqs.list_queues().queue_name_prefix(&prefix).send().await;
    let queues = answer("sqs:ListQueues", queues)?;
    for url in queues.queue_urls.unwrap_or_default() {
        if url.rsplit('/').next().is_some_and(is_old) {
            let deleted = aws.sqs.delete_queue().queue_url(url).send().await;
            found("sqs:DeleteQueue", &NO_QUEUE, deleted)?;
        }
    }
    Ok(())
}

/// Enables or disables a rule of the stack.
pub async fn set_enabled(aws: &Aws, rule: &str, is_enabled: bool) -> Result<(), Problem> {
    if is_enabled {
        answer("events:EnableRule", aws.eventbridge.enable_rule().name(rule).send().await)?;
    } else {
        answer("events:DisableRule", aws.eventbridge.disable_rule().name(rule).send().await)?;
    }
    Ok(())
}

/// How long is waited until a new rule matches events. AWS says "a short period of time"; events that it
/// misses are missing in the report, and nowhere else.
pub const RULE_SETTLES: Duration = Duration::from_secs(3);
/// The same for a rule that is disabled. If it still works then, the event is not lost.
pub const DISABLED_RULE_SETTLES: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_others_are_not_of_the_run() {
        let of_command = |id: &str| json!({ "detail": { "command-id": id, "parameters": {} } });
        let of_execution = |name: &str| json!({ "detail": { "name": name } });
        let own = ["one".to_owned()];
        for (event, expected) in [
            (of_command("one"), true),
            (of_command("two"), false),
            (of_execution("relayctl-abc-exit-0"), true),
            (of_execution("relayctl-abd-exit-0"), false),
            (of_execution("nightly"), false),
            (json!("no JSON"), false),
        ] {
            assert_eq!(is_of_run(&event, "abc", &own), expected, "{event}");
        }
    }

    #[test]
    fn a_run_id_tells_when_the_run_began() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let id = run_id(now);
        assert_eq!(id.len(), 6);
        let later = Timestamp::from_second(1_800_004_000).expect("a time");
        assert_eq!(age_seconds(&format!("relay-run-{id}"), "relay-run-", later), Some(4_000));
        assert_eq!(age_seconds("relay-runner", "relay-run-", later), None);
        assert!(format!("{}{INFIX}{id}", "x".repeat(52)).len() <= 64);
    }
}
