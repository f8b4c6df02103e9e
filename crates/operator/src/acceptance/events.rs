//! A rule and a queue of the run, which keep the events of its commands and executions.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_eventbridge::types::Target;
use aws_sdk_sqs::types::QueueAttributeName;
use callback_aws::call_error::call_error;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aws::Aws;
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
    let place: Vec<_> = machine.split(':').collect();
    let partition = place.get(1).copied().unwrap_or("aws");
    let (region, account) = (aws.region(), stack.account());
    let queue_arn = format!("arn:{partition}:sqs:{region}:{account}:{name}");
    let rule_arn = format!("arn:{partition}:events:{region}:{account}:rule/{name}");
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
    let attributes = HashMap::from([(QueueAttributeName::Policy, policy.to_string())]);
    let created = aws.sqs.create_queue().queue_name(&name).set_attributes(Some(attributes)).send();
    let created = created
        .await
        .map_err(|error| Problem::call("sqs:CreateQueue", &call_error("CreateQueue", &error)))?;
    let documents: Vec<_> = stack.documents.spellings().collect();
    let pattern = json!({
        "account": [account],
        "region": [region],
        "$or": [
            { "source": ["aws.ssm"], "detail": { "document-name": documents } },
            { "source": ["aws.states"], "detail": { "stateMachineArn": [machine] } },
        ],
    });
    let put = aws.eventbridge.put_rule().name(&name).event_pattern(pattern.to_string());
    put.description("Events of an acceptance run, which removes this rule at its end.")
        .send()
        .await
        .map_err(|error| Problem::call("events:PutRule", &call_error("PutRule", &error)))?;
    let target = Target::builder().id(TARGET).arn(queue_arn).build();
    let target = target.map_err(|_| Problem::new("a target of a rule is not valid"))?;
    let put = aws.eventbridge.put_targets().rule(&name).targets(target).send().await;
    put.map_err(|error| Problem::call("events:PutTargets", &call_error("PutTargets", &error)))?;
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
        let answer = request.wait_time_seconds(WAIT_SECONDS).visibility_timeout(600).send().await;
        let answer = answer.map_err(|error| {
            Problem::call("sqs:ReceiveMessage", &call_error("ReceiveMessage", &error))
        })?;
        let messages = answer.messages.unwrap_or_default();
        empty = if messages.is_empty() { empty + 1 } else { 0 };
        let bodies = messages.into_iter().filter_map(|message| message.body);
        events
            .extend(bodies.map(|body| {
                serde_json::from_str(&body).unwrap_or_else(|_| Value::from("no JSON"))
            }));
    }
    Ok((events, requests))
}

/// Removes the rule and the queue of this name, if they are there.
pub async fn remove(aws: &Aws, name: &str, queue_url: &str) -> Result<(), Problem> {
    let removed = aws.eventbridge.remove_targets().rule(name).ids(TARGET).send().await;
    if let Err(error) = removed
        && !error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception())
    {
        return Err(Problem::call("events:RemoveTargets", &call_error("RemoveTargets", &error)));
    }
    let deleted = aws.eventbridge.delete_rule().name(name).send().await;
    deleted
        .map_err(|error| Problem::call("events:DeleteRule", &call_error("DeleteRule", &error)))?;
    if !queue_url.is_empty() {
        let deleted = aws.sqs.delete_queue().queue_url(queue_url).send().await;
        if let Err(error) = deleted
            && !error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist())
        {
            return Err(Problem::call("sqs:DeleteQueue", &call_error("DeleteQueue", &error)));
        }
    }
    Ok(())
}

/// Removes what runs left that were killed more than an hour ago.
pub async fn remove_leftovers(aws: &Aws, stack: &Stack, now: Timestamp) -> Result<(), Problem> {
    let prefix = format!("{}{INFIX}", stack.name);
    let is_old =
        |name: &str| age_seconds(name, &prefix, now).is_some_and(|age| age > LEFTOVER_AGE_SECONDS);
    let rules = aws.eventbridge.list_rules().name_prefix(&prefix).limit(LEFTOVERS_MAX).send().await;
    let rules = rules
        .map_err(|error| Problem::call("events:ListRules", &call_error("ListRules", &error)))?;
    let rules = rules.rules.unwrap_or_default().into_iter().filter_map(|rule| rule.name);
    for rule in rules.filter(|name| is_old(name)) {
        remove(aws, &rule, "").await?;
    }
    let queues = aws.sqs.list_queues().queue_name_prefix(&prefix).send().await;
    let queues = queues
        .map_err(|error| Problem::call("sqs:ListQueues", &call_error("ListQueues", &error)))?;
    for url in queues.queue_urls.unwrap_or_default() {
        if url.rsplit('/').next().is_some_and(is_old) {
            let deleted = aws.sqs.delete_queue().queue_url(url).send().await;
            deleted.map_err(|error| {
                Problem::call("sqs:DeleteQueue", &call_error("DeleteQueue", &error))
            })?;
        }
    }
    Ok(())
}

/// Enables or disables a rule of the stack.
pub async fn set_enabled(aws: &Aws, rule: &str, is_enabled: bool) -> Result<(), Problem> {
    if is_enabled {
        let enabled = aws.eventbridge.enable_rule().name(rule).send().await;
        enabled
            .map(|_| ())
            .map_err(|error| Problem::call("events:EnableRule", &call_error("EnableRule", &error)))
    } else {
        let disabled = aws.eventbridge.disable_rule().name(rule).send().await;
        disabled.map(|_| ()).map_err(|error| {
            Problem::call("events:DisableRule", &call_error("DisableRule", &error))
        })
    }
}

/// The name of the rule that invokes the relay.
pub async fn relay_rule(aws: &Aws, stack: &Stack) -> Result<String, Problem> {
    let request = aws.cloudformation.describe_stack_resource().stack_name(&stack.name);
    let answer = request.logical_resource_id("CommandEndedRule").send().await;
    let answer = answer.map_err(|error| {
        let error = call_error("DescribeStackResource", &error);
        Problem::call("cloudformation:DescribeStackResource", &error)
    })?;
    let resource = answer.stack_resource_detail.and_then(|detail| detail.physical_resource_id);
    resource.ok_or_else(|| Problem::new("the stack has no CommandEndedRule. Deploy it again"))
}

/// How long a change of a rule takes before it counts on. AWS says "a short period of time".
pub const RULE_SETTLES: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

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
