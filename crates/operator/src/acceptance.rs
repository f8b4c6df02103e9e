//! `relayctl check --run`: the acceptance run. It runs scripts on a node through the stack's
//! `CheckStateMachine`, compares what comes with what is documented, and keeps what AWS said.

pub mod calls;
pub mod came;
pub mod cases;
pub mod cost;
pub mod events;
pub mod redaction;
pub mod report;
pub mod running;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::acceptance::cases::{Case, Doing, Place};
use crate::acceptance::running::{Done, Run};
use crate::aws::Aws;
use crate::check::deployed::Deployed;
use crate::cli::Acceptance;
use crate::nodes::{PAGES_MAX, filter, managed, ping_status, tag_filter};
use crate::printout::Printout;
use crate::problem::Problem;
use crate::shown::printable;
use crate::stack::Stack;

/// Cases at a time. The agent runs five commands at a time by default, and cases that look on the node
/// run two.
const CASES_AT_A_TIME: usize = 5;

/// What must be removed at the end, besides what [`Run`] knows.
#[derive(Debug, Clone, Default)]
struct Made {
    /// The URL of the queue, once there may be a rule and a queue.
    queue_url: Option<String>,
    /// The rule that is disabled.
    disabled_rule: Option<String>,
}

/// Runs the cases on a node, after the stack was checked by reading.
pub async fn run(
    aws: &Aws,
    stack: &Stack,
    acceptance: &Acceptance,
    checked: Printout,
) -> Result<Printout, Problem> {
    let now = Timestamp::now();
    let id = events::run_id(now);
    let directory = directory(acceptance, &id)?;
    let node = acceptance.node.as_deref().unwrap_or_default();
    let tag = acceptance.tag.as_deref().map(key_and_value).transpose()?;
    let machine = stack.check_state_machine().ok_or_else(|| {
        Problem::new(format!(
            "expected an output CheckStateMachineArn of stack {}, got none. Deploy it with \
             CreateCheckStateMachine=true",
            printable(&stack.name)
        ))
    })?;
    let place = Place { stack, node, tag, disturb: acceptance.disturb, run: &id };
    let cases = cases::chosen(cases::cases(&place), &acceptance.cases)?;
    check_node(aws, stack, node).await?;
    events::remove_leftovers(aws, stack, now).await?;

    let run = Arc::new(Run::new(aws, stack, id.clone(), node, machine));
    let made = Mutex::new(Made::default());
    let outcome = tokio::select! {
        outcome = all(aws, stack, &run, &made, cases) => outcome.map(Some),
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    Run::progress("removing what was made");
    let cleaned = tokio::select! {
        cleaned = clean(aws, stack, &run, &made) => cleaned,
        _ = tokio::signal::ctrl_c() => Err(left(stack, &run, &made)),
    };
    let ended = outcome?;
    cleaned?;
    let Some((done, events, queue_requests)) = ended else {
        return Err(Problem::new(
            "interrupted. The executions of this run are stopped, and its rule, its queue and its files \
             on the node are removed",
        ));
    };
    let report = report::Report::new(stack, node, &run, done, events, queue_requests);
    report.write(&directory)?;
    Ok(report.printout(&directory, checked))
}

type Outcome = (Vec<Done>, Vec<serde_json::Value>, usize);

/// Runs all cases, and reads the events.
async fn all(
    aws: &Aws,
    stack: &Stack,
    run: &Arc<Run>,
    made: &Mutex<Made>,
    cases: Vec<Case>,
) -> Result<Outcome, Problem> {
    let locked = || made.lock().unwrap_or_else(PoisonError::into_inner);
    locked().queue_url = Some(String::new());
    let queue_url = events::create(aws, stack, &run.id, run.machine()).await?;
    locked().queue_url = Some(queue_url.clone());
    sleep(events::RULE_SETTLES).await;

    let (lost, cases): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|case| case.doing == Doing::LoseEvent);
    let names: Vec<_> = cases.iter().map(|case| case.name).collect();
    let mut done = Vec::new();
    // A sweep that looks after one execution that has ended is not there for the next one. So this case
    // comes before those that fail.
    let (stopped, cases): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|case| case.doing == Doing::Stop);
    for case in stopped {
        done.push(run.case(case).await?);
    }
    let permits = Arc::new(Semaphore::new(CASES_AT_A_TIME));
    let mut running = JoinSet::new();
    for case in cases {
        let (run, permits) = (Arc::clone(run), Arc::clone(&permits));
        running.spawn(async move {
            let _permit = permits.acquire().await;
            run.case(case).await
        });
    }
    while let Some(ended) = running.join_next().await {
        done.push(ended.map_err(|_| Problem::new("a case ended unexpectedly"))??);
    }
    done.sort_by_key(|done| names.iter().position(|name| *name == done.case.name));
    for case in lost {
        let deployed = Deployed::read(aws, stack).await;
        let rule = deployed.physical_id("CommandEndedRule")?;
        let rule =
            rule.ok_or_else(|| Problem::new("the stack has no CommandEndedRule. Deploy it again"))?;
        locked().disabled_rule = Some(rule.to_owned());
        events::set_enabled(aws, rule, false).await?;
        sleep(events::DISABLED_RULE_SETTLES).await;
        done.push(run.case(case).await?);
        events::set_enabled(aws, rule, true).await?;
        locked().disabled_rule = None;
    }
    let (events, requests) = events::received(aws, &queue_url).await?;
    let requests = requests + events.len();
    Ok((done, events, requests))
}

/// Removes all that was made. What cannot be removed does not keep the rest from being removed.
async fn clean(aws: &Aws, stack: &Stack, run: &Run, made: &Mutex<Made>) -> Result<(), Problem> {
    let locked = || made.lock().unwrap_or_else(PoisonError::into_inner);
    let Made { queue_url, disabled_rule } = locked().clone();
    let enabled = match &disabled_rule {
        Some(rule) => events::set_enabled(aws, rule, true).await,
        None => Ok(()),
    };
    if enabled.is_ok() {
        locked().disabled_rule = None;
    }
    let removed = match &queue_url {
        Some(url) => events::remove(aws, &events::name(stack, &run.id), url).await,
        None => Ok(()),
    };
    let cleaned = run.clean().await;
    enabled.and(removed).and(cleaned)
}

/// What may be left, and how to remove it.
fn left(stack: &Stack, run: &Run, made: &Mutex<Made>) -> Problem {
    let name = printable(&events::name(stack, &run.id));
    let made = made.lock().unwrap_or_else(PoisonError::into_inner);
    let mut sentence = format!(
        "interrupted twice. Executions with names that begin with relayctl-{id} may still run: stop \
         them. The rule and the queue {name} may be left: the next run removes them after an hour. On \
         the node, files /tmp/relayctl-{id}-* may be left: remove them, which also ends their \
         scripts",
        id = run.id
    );
    if let Some(rule) = &made.disabled_rule {
        let rule = printable(rule);
        let _ = write!(sentence, ". Enable the rule {rule}: aws events enable-rule --name {rule}");
    }
    Problem::new(sentence)
}

/// The directory of the report, which does not exist yet.
fn directory(acceptance: &Acceptance, run: &str) -> Result<PathBuf, Problem> {
    let default = || Path::new(".").join(format!("relayctl-report-{run}"));
    let directory = acceptance.report.clone().unwrap_or_else(default);
    if directory.exists() {
        let shown = printable(&directory.display().to_string());
        return Err(Problem::new(format!(
            "expected a directory that does not exist yet, got {shown}. Choose another one with --report"
        )));
    }
    Ok(directory)
}

fn key_and_value(tag: &str) -> Result<(&str, &str), Problem> {
    tag.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Problem::new(format!("expected --tag Key=Value, got `{}`", printable(tag))))
}

/// Checks that the node can be used: its id, and whether it is managed, online, with Linux and the tag.
async fn check_node(aws: &Aws, stack: &Stack, node: &str) -> Result<(), Problem> {
    let shown = printable(node);
    let is_id = ["i-", "mi-"].iter().any(|prefix| {
        node.strip_prefix(prefix).is_some_and(|digits| {
            matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    if !is_id {
        return Err(Problem::new(format!(
            "expected the id of a node, such as i-0123456789abcdef0, got `{shown}`. Correct --node"
        )));
    }
    let Some(found) = find_node(aws, node, None).await? else {
        return Err(Problem::new(format!(
            "expected a managed node of this account and region, got {shown}, which is none. Check \
             --node and --region, and that the agent runs and has an instance profile"
        )));
    };
    let (ping, platform) = found;
    if ping != "Online" {
        return Err(Problem::new(format!(
            "expected a node that is online, got {shown}, whose agent is {ping}. Start its agent"
        )));
    }
    if platform != "Linux" {
        return Err(Problem::new(format!(
            "expected a node with Linux, got {shown} with {platform}. Choose another node"
        )));
    }
    let (key, value) = (stack.parameter("NodeTagKey"), stack.parameter("NodeTagValue"));
    if find_node(aws, node, Some((key, value))).await?.is_none() {
        return Err(Problem::new(format!(
            "expected a node with the tag {key}={value} of the stack, got {shown} without it. Tag the \
             node, or choose another one"
        )));
    }
    Ok(())
}

/// The ping status and the platform of a node, if it is managed and has this tag.
async fn find_node(
    aws: &Aws,
    node: &str,
    tag: Option<(&str, &str)>,
) -> Result<Option<(String, String)>, Problem> {
    let mut filters = vec![filter("InstanceIds", vec![node.to_owned()])?];
    if let Some((key, value)) = tag {
        filters.push(tag_filter(key, value)?);
    }
    let (found, _) = managed(aws, filters, PAGES_MAX).await?;
    Ok(found.into_iter().next().map(|node| {
        let platform = node.platform_type.as_ref().map_or("", |kind| kind.as_str());
        (ping_status(&node), printable(platform))
    }))
}
