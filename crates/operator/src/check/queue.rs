//! Whether the on-failure queue is empty, and takes what EventBridge cannot deliver. How old its
//! messages are is no attribute of a queue: `relayctl queue` reads them.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName;

use crate::aws::Aws;
use crate::call::found;
use crate::check::deployed::Deployed;
use crate::check::policy::allows_rule;
use crate::checks::{Check, Group};
use crate::problem::Problem;
use crate::stack::Stack;

/// Error codes of a queue that is not there (SQS API, `QueueDoesNotExist`; the second one is that of the
/// query protocol).
const ABSENT: [&str; 2] = ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"];
/// Messages that can be received, that somebody has just received, and that are delayed.
const COUNTS: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
];

type Attributes = HashMap<QueueAttributeName, String>;

/// The queue.
pub(super) async fn group(aws: &Aws, stack: &Stack, deployed: &Deployed) -> Group {
    let request = aws.sqs.get_queue_attributes().queue_url(&stack.queue_url);
    let request = request.set_attribute_names(Some(COUNTS.to_vec()));
    let answer = request.attribute_names(QueueAttributeName::Policy).send().await;
    let attributes = found("sqs:GetQueueAttributes", &ABSENT, answer)
        .map(|answer| answer.map(|answer| answer.attributes.unwrap_or_default()));
    let mut checks = vec![empty(attributes.as_ref())];
    if let Ok(Some(attributes)) = &attributes {
        let rule = deployed.physical_id("CommandEndedRule");
        let rule =
            rule.map(|name| stack.arn("events", &format!("rule/{}", name.unwrap_or_default())));
        checks.push(policy(attributes, rule));
    }
    Group { name: "On-failure queue".to_owned(), checks }
}

fn empty(attributes: Result<&Option<Attributes>, &Problem>) -> Check {
    const ID: &str = "OnFailureQueueEmpty";
    let attributes = match attributes {
        Err(problem) => return Check::unknown(ID, "The number of messages", problem),
        Ok(None) => {
            return Check::wrong(
                ID,
                "Expected the on-failure queue, got none: it was deleted. Events that fail are lost.",
                "See infra/RUNBOOK.md#resources-that-are-missing.",
            );
        }
        Ok(Some(attributes)) => attributes,
    };
    let count = |name| attributes.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    match COUNTS.iter().map(count).sum() {
        0 => Check::good(ID, "The queue is empty."),
        count => Check::wrong(
            ID,
            format!(
                "Expected no messages, got about {count}: events that the relay could not handle."
            ),
            "`relayctl queue` lists them. See infra/RUNBOOK.md#onfailurequeuealarm.",
        ),
    }
}

fn policy(attributes: &Attributes, rule_arn: Result<String, Problem>) -> Check {
    const ID: &str = "OnFailureQueuePolicy";
    let rule_arn = match rule_arn {
        Ok(arn) => arn,
        Err(problem) => return Check::unknown(ID, "Whether the queue takes events", &problem),
    };
    let policy = attributes.get(&QueueAttributeName::Policy).map_or("", String::as_str);
    if allows_rule(policy, "sqs:SendMessage", &rule_arn) {
        return Check::good(ID, "The queue takes events that EventBridge cannot deliver.");
    }
    Check::wrong(
        ID,
        "Expected the policy of the queue to let CommandEndedRule send to it, got none that does. Events \
         that cannot be delivered are lost.",
        "See infra/RUNBOOK.md#resources-that-were-changed.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;

    #[test]
    fn messages_are_counted_wherever_they_are() {
        for name in COUNTS {
            let attributes = HashMap::from([(name, "2".to_owned())]);
            let check = empty(Ok(&Some(attributes)));
            assert_eq!(check.found, Found::Wrong);
            assert!(check.sentence.contains("about 2:"), "{check:?}");
        }
        assert_eq!(empty(Ok(&Some(HashMap::new()))).found, Found::Good);
        assert_eq!(empty(Ok(&None)).found, Found::Wrong);
        assert_eq!(empty(Err(&Problem::new("denied"))).found, Found::Unknown);
    }
}
