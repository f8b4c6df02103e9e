//! Whether EventBridge invokes the functions: rules, their targets, and the permission to invoke.

use aws_sdk_eventbridge::operation::describe_rule::DescribeRuleOutput;
use aws_sdk_eventbridge::types::Target;
use serde_json::Value;

use crate::aws::Aws;
use crate::call::{answer, found};
use crate::check::deployed::Deployed;
use crate::check::functions::{self, Function};
use crate::check::policy::allows_rule;
use crate::checks::{Check, Group};
use crate::problem::Problem;
use crate::shown::printable;
use crate::stack::Stack;

/// Maximum number of targets of a rule that are read. A rule has five by default (EventBridge user
/// guide, quotas).
const TARGETS_MAX: i32 = 100;
const CHANGED: &str = "See infra/RUNBOOK.md#resources-that-were-changed.";
const MISSING: &str = "See infra/RUNBOOK.md#resources-that-are-missing.";

/// A rule, as the template has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// Its name in the template.
    id: &'static str,
    /// What it invokes.
    function: Function,
    /// What happens while it does not work.
    consequence: &'static str,
    /// The heading of the runbook for a disabled rule.
    heading: &'static str,
    /// When it fires.
    fires: Fires,
    /// The retries of its target.
    retries: i32,
    age_s: Option<i32>,
    /// The ARN of the queue of events that cannot be delivered.
    queue: Option<String>,
    /// Whether the target gets only what the template's input transformer takes.
    transforms: bool,
}

/// When a rule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fires {
    /// On this schedule.
    Schedule(String),
    /// For events whose pattern has all of these texts.
    Pattern(Vec<String>),
}

/// What was read of a rule.
struct Reading {
    rule: DescribeRuleOutput,
    targets: Result<Vec<Target>, Problem>,
}

/// The rules of the stack.
fn rules(stack: &Stack) -> [Rule; 3] {
    let mut commands = vec!["aws.ssm".to_owned(), stack.account().to_owned()];
    commands.push("EC2 Command Status-change Notification".to_owned());
    commands.extend(stack.document_names.iter().cloned());
    let stopped = ["aws.states", stack.account(), "Step Functions Execution Status Change"];
    let stopped = stopped.into_iter().chain(["ABORTED", "TIMED_OUT", "FAILED"]);
    let minutes = stack.parameter("SweepIntervalMinutes");
    let unit = if minutes == "1" { "minute" } else { "minutes" };
    let sweep = Rule {
        id: "SweepScheduleRule",
        function: Function::Sweep,
        consequence: "No sweep runs: tasks get no heartbeats.",
        heading: "sweepmissingalarm",
        fires: Fires::Schedule(format!("rate({minutes} {unit})")),
        retries: 0,
        age_s: Some(60),
        queue: None,
        transforms: false,
    };
    [
        Rule {
            id: "CommandEndedRule",
            function: Function::Relay,
            consequence: "Tasks are answered by the sweep only, and late.",
            heading: "recoveredalarm",
            fires: Fires::Pattern(commands),
            retries: 185,
            age_s: stack.parameter("RelayEventAgeSeconds").parse().ok(),
            queue: Some(stack.queue_arn()),
            transforms: true,
        },
        sweep.clone(),
        Rule {
            id: "ExecutionStoppedRule",
            consequence: "Commands of stopped executions are cancelled by the next sweep only.",
            heading: "resources-that-were-changed",
            fires: Fires::Pattern(stopped.map(str::to_owned).collect()),
            transforms: true,
            ..sweep
        },
    ]
}

/// Checks all rules.
pub(super) async fn group(aws: &Aws, stack: &Stack, deployed: &Deployed) -> Group {
    let [first, second, third] = rules(stack);
    let (first, second, third) = tokio::join!(
        checks(aws, stack, deployed, &first),
        checks(aws, stack, deployed, &second),
        checks(aws, stack, deployed, &third)
    );
    Group { name: "Rules".to_owned(), checks: [first, second, third].concat() }
}

async fn checks(aws: &Aws, stack: &Stack, deployed: &Deployed, rule: &Rule) -> Vec<Check> {
    let unknown = |problem| vec![Check::unknown(rule.line("Enabled"), rule.id, &problem)];
    let (name, function) = match names(deployed, rule) {
        Ok((Some(name), function)) => (name, function.unwrap_or_default()),
        Ok((None, _)) => return vec![absent(rule)],
        Err(problem) => return unknown(problem),
    };
    let (reading, permission) =
        tokio::join!(read(aws, name), permission(aws, stack, rule, name, function));
    match reading {
        Ok(Some(reading)) => {
            let mut checks =
                judge(rule, &stack.arn("lambda", &format!("function:{function}")), &reading);
            checks.push(permission);
            checks
        }
        Ok(None) => vec![absent(rule)],
        Err(problem) => unknown(problem),
    }
}

/// The names of the rule and of its function.
fn names<'a>(
    deployed: &'a Deployed,
    rule: &Rule,
) -> Result<(Option<&'a str>, Option<&'a str>), Problem> {
    Ok((deployed.physical_id(rule.id)?, deployed.physical_id(rule.function.logical_id())?))
}

async fn read(aws: &Aws, name: &str) -> Result<Option<Reading>, Problem> {
    let (rule, targets) = tokio::join!(
        aws.eventbridge.describe_rule().name(name).send(),
        aws.eventbridge.list_targets_by_rule().rule(name).limit(TARGETS_MAX).send(),
    );
    let rule = found("events:DescribeRule", &functions::ABSENT, rule)?;
    let targets = answer("events:ListTargetsByRule", targets);
    Ok(rule.map(|rule| Reading {
        rule,
        targets: targets.map(|answer| answer.targets.unwrap_or_default()),
    }))
}

impl Rule {
    /// The name of a line about it.
    fn line(&self, what: &str) -> String {
        format!("{}{what}", self.id)
    }
}

fn absent(rule: &Rule) -> Check {
    Check::wrong(
        rule.line("Enabled"),
        format!("Expected rule {}, got none: it was deleted. {}", rule.id, rule.consequence),
        MISSING,
    )
}

fn judge(rule: &Rule, function_arn: &str, reading: &Reading) -> Vec<Check> {
    let mut checks = vec![enabled(rule, &reading.rule), fires(rule, &reading.rule)];
    match &reading.targets {
        Ok(targets) => checks.extend(target(rule, function_arn, targets)),
        Err(problem) => {
            let what = format!("What {} invokes", rule.id);
            checks.push(Check::unknown(rule.line("Target"), &what, problem));
        }
    }
    checks
}

fn enabled(rule: &Rule, is: &DescribeRuleOutput) -> Check {
    let id = rule.line("Enabled");
    let state = is.state.as_ref().map_or("none", |state| state.as_str());
    // ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS, too.
    if state.starts_with("ENABLED") {
        return Check::good(id, format!("{} is enabled.", rule.id));
    }
    Check::wrong(
        id,
        format!("Expected {} to be enabled, got {state}. {}", rule.id, rule.consequence),
        format!("See infra/RUNBOOK.md#{}.", rule.heading),
    )
}

fn fires(rule: &Rule, is: &DescribeRuleOutput) -> Check {
    match &rule.fires {
        Fires::Schedule(expected) => {
            let id = rule.line("Schedule");
            let got = is.schedule_expression.as_deref().unwrap_or("none");
            if got == expected {
                return Check::good(id, format!("{} fires at {got}.", rule.id));
            }
            let got = printable(got);
            Check::wrong(
                id,
                format!("Expected {} to fire at {expected}, got {got}.", rule.id),
                CHANGED,
            )
        }
        Fires::Pattern(expected) => {
            let id = rule.line("Pattern");
            let pattern: Value =
                serde_json::from_str(is.event_pattern.as_deref().unwrap_or_default())
                    .unwrap_or_default();
            let missing: Vec<_> =
                expected.iter().filter(|text| !has_text(&pattern, text)).cloned().collect();
            if missing.is_empty() {
                return Check::good(id, format!("The pattern of {} is the stack's.", rule.id));
            }
            Check::wrong(
                id,
                format!(
                    "Expected {} in the pattern of {}, got a pattern without. {}",
                    printable(&missing.join(", ")),
                    rule.id,
                    rule.consequence
                ),
                CHANGED,
            )
        }
    }
}

/// Whether a pattern names a text anywhere.
fn has_text(pattern: &Value, text: &str) -> bool {
    match pattern {
        Value::String(own) => own == text,
        Value::Array(values) => values.iter().any(|value| has_text(value, text)),
        Value::Object(fields) => fields.values().any(|value| has_text(value, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn target(rule: &Rule, function_arn: &str, targets: &[Target]) -> Vec<Check> {
    let id = || rule.line("Target");
    let (own, others): (Vec<_>, Vec<_>) =
        targets.iter().partition(|target| target.arn == function_arn);
    let mut checks = Vec::new();
    let word = rule.function.word();
    checks.push(match own.first() {
        None => Check::wrong(
            id(),
            format!(
                "Expected {} to invoke the {word}, which is none of its targets. {}",
                rule.id, rule.consequence
            ),
            CHANGED,
        ),
        Some(own) => {
            let differences = differences(rule, own);
            if differences.is_empty() {
                Check::good(id(), format!("{} invokes the {word}.", rule.id))
            } else {
                Check::wrong(
                    id(),
                    format!(
                        "{} invokes the {word} with other settings: {}.",
                        rule.id,
                        differences.join("; ")
                    ),
                    CHANGED,
                )
            }
        }
    });
    if !others.is_empty() {
        checks.push(Check::attention(
            rule.line("OtherTargets"),
            format!(
                "{} has other targets: {}. Without an input transformer, they get whole events, and \
                 those of commands have task tokens.",
                rule.id,
                others.len()
            ),
            CHANGED,
        ));
    }
    checks
}

fn differences(rule: &Rule, is: &Target) -> Vec<String> {
    let mut differences = Vec::new();
    let retry = is.retry_policy.as_ref();
    let retries = retry.and_then(|retry| retry.maximum_retry_attempts);
    let age_s = retry.and_then(|retry| retry.maximum_event_age_in_seconds);
    let number = |one: Option<i32>| one.map_or("none".to_owned(), |one| one.to_string());
    if (retries, age_s) != (Some(rule.retries), rule.age_s) {
        differences.push(format!(
            "expected {} retries within {} seconds, got {} within {}",
            rule.retries,
            number(rule.age_s),
            number(retries),
            number(age_s)
        ));
    }
    let queue = is.dead_letter_config.as_ref().and_then(|config| config.arn.as_ref());
    if queue != rule.queue.as_ref() {
        differences.push(format!(
            "expected {} for events that cannot be delivered, got {}",
            rule.queue.as_deref().unwrap_or("no queue"),
            printable(queue.map_or("no queue", String::as_str))
        ));
    }
    if is.input_transformer.is_some() != rule.transforms {
        let (expected, got) = if rule.transforms { ("an", "none") } else { ("no", "one") };
        differences.push(format!("expected {expected} input transformer, got {got}"));
    }
    differences
}

async fn permission(aws: &Aws, stack: &Stack, rule: &Rule, name: &str, function: &str) -> Check {
    let policy = aws.lambda.get_policy().function_name(function).send().await;
    let policy = found("lambda:GetPolicy", &functions::ABSENT, policy);
    let policy = policy.map(|answer| answer.and_then(|answer| answer.policy));
    permitted(rule, &stack.arn("events", &format!("rule/{name}")), policy.as_ref())
}

fn permitted(rule: &Rule, rule_arn: &str, policy: Result<&Option<String>, &Problem>) -> Check {
    let id = rule.line("Permission");
    let word = rule.function.word();
    match policy {
        Err(problem) => {
            Check::unknown(id, &format!("Whether {} may invoke the {word}", rule.id), problem)
        }
        Ok(Some(policy)) if allows_rule(policy, "lambda:InvokeFunction", rule_arn) => {
            Check::good(id, format!("{} may invoke the {word}.", rule.id))
        }
        Ok(_) => Check::wrong(
            id,
            format!(
                "Expected the policy of the {word} to let {} invoke it, got none that does. {}",
                rule.id, rule.consequence
            ),
            MISSING,
        ),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_eventbridge::types::{DeadLetterConfig, InputTransformer, RetryPolicy, RuleState};

    use super::*;
    use crate::checks::Found;
    use crate::stack::tests::stack;

    const FUNCTION: &str = "arn:aws:lambda:eu-central-1:111122223333:function:relay";

    fn command_ended() -> Rule {
        let [rule, ..] = rules(&stack("*"));
        rule
    }

    fn own_target() -> aws_sdk_eventbridge::types::builders::TargetBuilder {
        let retry = RetryPolicy::builder().maximum_retry_attempts(185);
        let retry = retry.maximum_event_age_in_seconds(21_600).build();
        let queue = DeadLetterConfig::builder().arn(stack("*").queue_arn()).build();
        let transformer = InputTransformer::builder().input_template("{}").build();
        let target = Target::builder().id("relay").arn(FUNCTION).retry_policy(retry);
        target.dead_letter_config(queue).input_transformer(transformer.expect("a transformer"))
    }

    fn found_of(targets: &[Target]) -> Vec<(String, Found)> {
        let checks = target(&command_ended(), FUNCTION, targets);
        checks.into_iter().map(|check| (check.id.into_owned(), check.found)).collect()
    }

    #[test]
    fn a_rule_invokes_its_function_with_the_settings_of_the_stack() {
        let own = own_target().build().expect("a target");
        let target = |found| ("CommandEndedRuleTarget".to_owned(), found);
        assert_eq!(found_of(std::slice::from_ref(&own)), [target(Found::Good)]);
        assert_eq!(found_of(&[]), [target(Found::Wrong)]);
        for other in [
            own_target().set_dead_letter_config(None),
            own_target().set_input_transformer(None),
            own_target().set_retry_policy(None),
        ] {
            assert_eq!(found_of(&[other.build().expect("a target")]), [target(Found::Wrong)]);
        }
        let foreign = Target::builder().id("x").arn("arn:aws:sqs:x").build().expect("a target");
        let others = ("CommandEndedRuleOtherTargets".to_owned(), Found::Attention);
        assert_eq!(found_of(&[own, foreign]), [target(Found::Good), others]);
    }

    #[test]
    fn a_rule_is_enabled() {
        let state =
            |state: &str| DescribeRuleOutput::builder().state(RuleState::from(state)).build();
        let found = |text| enabled(&command_ended(), &state(text)).found;
        assert_eq!(found("ENABLED"), Found::Good);
        assert_eq!(found("ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"), Found::Good);
        assert_eq!(found("DISABLED"), Found::Wrong);
    }

    #[test]
    fn a_schedule_and_a_pattern_are_those_of_the_stack() {
        let [ended, schedule, _] = rules(&stack("*"));
        let every = |rate: &str| DescribeRuleOutput::builder().schedule_expression(rate).build();
        assert_eq!(fires(&schedule, &every("rate(5 minutes)")).found, Found::Good);
        assert_eq!(fires(&schedule, &every("rate(1 minute)")).found, Found::Wrong);

        let Fires::Pattern(mut texts) = ended.fires.clone() else { panic!("a pattern") };
        let of = |texts: &[String]| {
            let pattern = serde_json::json!({ "detail": { "$or": [{ "names": texts }] } });
            DescribeRuleOutput::builder().event_pattern(pattern.to_string()).build()
        };
        assert_eq!(fires(&ended, &of(&texts)).found, Found::Good);
        let missing = texts.pop().expect("a document");
        let check = fires(&ended, &of(&texts));
        assert_eq!((check.found, missing.as_str()), (Found::Wrong, "Other"));
        assert!(check.sentence.starts_with("Expected Other in the pattern"), "{check:?}");
    }

    #[test]
    fn a_rule_that_may_not_invoke_is_wrong() {
        let found = |policy| permitted(&command_ended(), "arn:rule", policy).found;
        assert_eq!(found(Ok(&None)), Found::Wrong);
        assert_eq!(found(Err(&Problem::new("denied"))), Found::Unknown);
    }
}
