//! What the product must never do, and what it must have done in time.
//!
//! Written from the promises in the documentation (README, `callback::settle`, `callback::sweep`),
//! with nothing of the code that decides.

use std::collections::BTreeMap;
use std::fmt;

use callback::SweepReport;
use callback::command::{OnAbandon, OnFailure};
use callback::ports::{CommandListing, PageToken, Pulse};
use callback::testing::world::Answer;
use serde_json::Value;

use crate::ending::Ending;
use crate::flow::{CommandCalls, FlowId, FlowKind};
use crate::history::{HOUR, MINUTE, Ms, SECOND};
use crate::script::{Printed, STDERR_CHARS_MAX, STREAM_BYTES_MAX, Told};
use crate::sent_command::{SentCommand, TokenKind};
use crate::simulated_aws::{Closed, Entry, LAG_MAX, Lost, PAGE_COMMANDS_MAX, State};

/// The longest answer where the command does not say otherwise, in bytes.
const OUTPUT_BYTES_DEFAULT: usize = 196_608;
/// The longest error name that Step Functions takes, in characters.
const ERROR_CHARS_MAX: usize = 256;
/// The longest cause that Step Functions takes, in characters.
const CAUSE_CHARS_MAX: usize = 32_768;
/// How often a command that has ended, and does not read so, is read.
const READS_MAX: u64 = 5;
/// Up to so many nodes, outputs are told in full: as long as `GetCommandInvocation` tells them.
const FULL_OUTPUT_NODES_MAX: usize = 10;
/// How much of the document's name, the status and the details of the command is told.
const WORD_CHARS_MAX: usize = 256;
/// A success whose nodes were not all seen to end is not called a failure before this age.
const OVERDUE_AGE: Ms = HOUR;
/// Executing, complete, and the lookback.
const KINDS_OF_LISTS: u64 = 3;
/// The swept documents, each by its name and by its ARN.
const SPELLINGS: u64 = 4;
/// Up to so many failed nodes of a large command are read one by one.
const FAILED_OUTPUT_NODES_MAX: u64 = 50;
/// Up to so many failed nodes, even a cause has room for the beginnings of their outputs.
const FAILED_NODES_TOLD: usize = 10;
/// So much of each output of a failed node is told before nodes are left out, in bytes of JSON.
const FAILED_TEXT_BYTES_KEPT: usize = 1_024;
/// The error of a command whose nodes cannot be told.
const UNREADABLE: &str = "RunCommand.Unreadable";
/// The error of a command that has more nodes than are read.
const TOO_MANY_NODES: &str = "RunCommand.TooManyNodes";
/// The answers to one task: the whole report, one without outputs, and one without nodes.
const ANSWERS_MAX: u64 = 3;
/// A task is answered so many intervals after the end of its command when its event is lost, and
/// one interval later for each sweep, and each process of the sweeps, that is lost meanwhile.
const INTERVALS_TO_ANSWER: u64 = 2;
/// A heartbeat comes after so many intervals, and one later for each such loss.
const INTERVALS_TO_BEAT: u64 = 3;
/// The shortest time between two sweeps that stopped executions start.
pub(crate) const BETWEEN_EXECUTIONS: Ms = 10 * SECOND;
/// How often a process is told that the task of a completed command is closed: once, and once more
/// if the command ended during a sweep, after that had listed it as executing.
const TOLD_CLOSED_MAX: u64 = 2;
/// What is refused for good is not asked again before.
const REFUSED_AGAIN: Ms = HOUR;
/// What a sweep, and a command that it settles, may take.
const SLACK: Ms = 20 * SECOND;

/// An answer in a word, for lines of a history.
pub(crate) fn answer_name(answer: &Answer) -> String {
    match answer {
        Answer::Success { .. } => "a success".to_owned(),
        Answer::Failure { error, .. } => error.clone(),
    }
}

/// Whether an answer contains any script output.
pub(crate) fn has_text(answer: &Answer) -> bool {
    let body: Value = serde_json::from_str(answer.body()).unwrap_or_default();
    entries(&body).iter().any(|entry| {
        ["StandardOutputContent", "StandardErrorContent"]
            .iter()
            .any(|name| !text(entry, name).is_empty())
    })
}

fn is_called_unreadable(answer: &Answer) -> bool {
    matches!(answer, Answer::Failure { error, .. } if error == UNREADABLE)
}

/// Whether no other answer comes after this one.
pub(crate) fn is_last_resort(answer: &Answer) -> bool {
    let last = [UNREADABLE, TOO_MANY_NODES];
    matches!(answer, Answer::Failure { error, .. } if last.contains(&error.as_str()))
}

/// Whether an answer says anything of a node.
pub(crate) fn names_nodes(answer: &Answer) -> bool {
    let body: Value = serde_json::from_str(answer.body()).unwrap_or_default();
    !entries(&body).is_empty()
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: &'static str,
    /// What happened instead.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

type Checked = Result<(), Violation>;

fn holds(condition: bool, rule: &'static str, what: impl FnOnce() -> String) -> Checked {
    if condition { Ok(()) } else { Err(Violation { rule, what: what() }) }
}

/// An answer is about to be given.
pub(crate) fn check_answer(
    state: &mut State,
    id: FlowId,
    token: &str,
    answer: &Answer,
    now: Ms,
) -> Checked {
    let index = state.with_token(token);
    let index = index.ok_or_else(|| Violation {
        rule: "an answer goes to the token of a command",
        what: "no command has this token".to_owned(),
    })?;
    let are_nodes_unreadable = state.are_nodes_unreadable(index);
    let swept_at = state.swept_at;
    let closed_is_invalid = state.settings.closed_is_invalid;
    // A heartbeat that was rejected is not sent again, so the first look is no call.
    let is_unseen = state.are_beats_rejected(index);
    let Some(flow) = state.flows.get_mut(&id) else { return Ok(()) };
    let kind = flow.kind;
    let calls = flow.of(index);
    calls.answers += 1;
    let Entry { command, seen_ended, task, .. } = &state.entries[index];
    let is_unseen =
        is_unseen || task.as_ref().is_none_or(|task| task.closed.is_some() && closed_is_invalid);
    let is_second_look = seen_ended.is_some_and(|seen| seen < id)
        || is_unseen && swept_at.is_some_and(|at| command.ends <= at);
    holds(kind == FlowKind::Relay || is_second_look, "a sweep settles at its second look", || {
        format!("command {:?}", command.place)
    })?;
    let place = command.place;
    holds(command.has_ended(now), "no answer before the command has ended", || {
        format!("command {place:?} ends at {} ms, and is {:?}", command.ends, command.status(now))
    })?;
    let has_too_many = command.ending == Ending::HasTooManyNodes;
    let is_read = calls.command_reads > 0 && (has_too_many || calls.invocation_reads > 0);
    holds(is_read, "no answer unread", || format!("command {place:?}"))?;
    let is_refused = calls.report_refused && is_called_unreadable(answer);
    let is_unreadable = is_refused || are_nodes_unreadable && !has_too_many;
    check_kind(command, answer, is_unreadable, calls.report_refused)?;
    let is_early = command.ending == Ending::SucceedsUnseen
        && !is_unreadable
        && command.end().1 == "Success"
        && now < command.requested + OVERDUE_AGE;
    holds(!is_early, "an unconfirmed success is no failure before it is overdue", || {
        format!("command {place:?}, {} ms after its request", now - command.requested)
    })?;
    holds(!answer.body().contains(token), "the token is in no answer", || format!("{place:?}"))?;
    check_limits(command, answer)?;
    // Until then a read may be refused for good.
    let can_read_outputs = now >= state.settings.faults_end + MINUTE;
    check_body(command, calls, answer, is_unreadable || has_too_many, can_read_outputs)
}

/// Success or failure, and the error's name.
fn check_kind(
    command: &SentCommand,
    answer: &Answer,
    is_unreadable: bool,
    is_second_try: bool,
) -> Checked {
    let place = command.place;
    let expected = if is_unreadable { Some(UNREADABLE.to_owned()) } else { command.error() };
    let is_told_as_success =
        expected.is_none() || command.on_failure == OnFailure::Report && !is_unreadable;
    // When a report is refused that says nothing of the nodes, its words are sent as a failure.
    let is_told_as_success = is_told_as_success
        && !(is_second_try && command.ending == Ending::HasTooManyNodes && !answer.is_success());
    let is_right = match answer {
        Answer::Success { .. } => is_told_as_success,
        Answer::Failure { error, .. } => !is_told_as_success && Some(error) == expected.as_ref(),
    };
    holds(is_right, "the answer is the command's true result", || {
        format!(
            "command {place:?} ({:?}, onFailure {:?}) must be told as {expected:?}, and is told as {}",
            command.ending,
            command.on_failure,
            answer_name(answer)
        )
    })
}

/// The most bytes of an answer to its task.
fn answer_bytes_max(command: &SentCommand) -> usize {
    command.output_bytes.map_or(OUTPUT_BYTES_DEFAULT, |bytes| bytes.parse().unwrap_or(0))
}

fn check_limits(command: &SentCommand, answer: &Answer) -> Checked {
    const RULE: &str = "the limits of Step Functions hold";
    let bytes = answer.body().len();
    holds(bytes <= answer_bytes_max(command), "an answer keeps to outputBytes", || {
        format!("{bytes} bytes, and outputBytes is {:?}", command.output_bytes)
    })?;
    match answer {
        Answer::Success { .. } => Ok(()),
        Answer::Failure { error, cause } => {
            let (error, cause) = (error.chars().count(), cause.chars().count());
            holds(error <= ERROR_CHARS_MAX && cause <= CAUSE_CHARS_MAX, RULE, || {
                format!("an error of {error} and a cause of {cause} characters")
            })
        }
    }
}

fn entries(body: &Value) -> &[Value] {
    body["Invocations"].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// What the answer says of the command and of its nodes.
fn check_body(
    command: &SentCommand,
    calls: &CommandCalls,
    answer: &Answer,
    is_without_nodes: bool,
    can_read_outputs: bool,
) -> Checked {
    const RULE: &str = "the answer tells the command as it is";
    let place = command.place;
    let body: Value = serde_json::from_str(answer.body()).map_err(|error| Violation {
        rule: RULE,
        what: format!("{place:?} is no JSON: {error}"),
    })?;
    let (status, details) = command.end();
    for (name, expected) in [
        ("CommandId", command.id.as_str()),
        ("DocumentName", command.document_name),
        ("Status", status),
        ("StatusDetails", details),
    ] {
        let came = text(&body, name);
        // Longer ones are told by their beginning. Those here are of plain letters.
        let expected = &expected[..expected.len().min(WORD_CHARS_MAX)];
        holds(came == expected, RULE, || format!("{place:?}: {name} is {came}, not {expected}"))?;
    }
    let targets = &body["TargetCount"];
    holds(*targets == command.target_count(), RULE, || format!("{place:?}: {targets} targets"))?;
    if is_without_nodes {
        let omitted = &body["InvocationsOmitted"];
        let is_right = entries(&body).is_empty() && *omitted == command.target_count();
        return holds(is_right, "nodes that cannot be told are counted", || {
            format!("{place:?}: {omitted} omitted, of {}", command.target_count())
        });
    }
    check_entries(command, calls, answer, &body, can_read_outputs)
}

fn check_entries(
    command: &SentCommand,
    calls: &CommandCalls,
    answer: &Answer,
    body: &Value,
    can_read_outputs: bool,
) -> Checked {
    const RULE: &str = "the answer tells each node as it is";
    let place = command.place;
    let at = calls.invocations_as_of;
    let is_cancelling = command.is_cancelling(at);
    let nodes: BTreeMap<_, _> =
        command.listed_nodes(at).map(|node| (node.id.as_str(), node)).collect();
    // Stale reads are told only after all re-reads, and never of a success.
    let is_stale =
        command.nodes.iter().any(|node| node.is_listed && node.ends != Ms::MAX && node.ends > at);
    let reads = if command.is_large() { 1 } else { READS_MAX };
    // Each time, the command is read, too; of its nodes a read can fail while it reads as running.
    let may_be_stale = calls.command_reads >= reads && command.end().1 != "Success";
    holds(!is_stale || may_be_stale, "no answer from a read that lags", || format!("{place:?}"))?;

    let omitted = body["InvocationsOmitted"].as_u64().unwrap_or(u64::MAX);
    let told = entries(body);
    holds(told.len() as u64 + omitted == nodes.len() as u64, RULE, || {
        format!("{place:?}: {} nodes and {omitted} omitted, of {}", told.len(), nodes.len())
    })?;
    // Where more failed, their outputs are cut before they are left out.
    let has_failed = |entry: &&Value| {
        let node = nodes.get(text(entry, "InstanceId"));
        node.is_some_and(|node| !node.told(at, is_cancelling).has_succeeded)
    };
    let failed = told.iter().filter(has_failed).count();
    let mut last_key = (false, String::new());
    for entry in told {
        let id = text(entry, "InstanceId");
        let what = |what: &str| format!("{place:?}, node {id}: {what}");
        let Some(node) = nodes.get(id) else {
            return holds(false, RULE, || what("is none of the command's"));
        };
        let expected = node.told(at, is_cancelling);
        let (details, code) = (text(entry, "StatusDetails"), &entry["ResponseCode"]);
        holds(details == expected.details && *code == expected.exit_code, RULE, || {
            what(&format!(
                "{details} with exit code {code}, not {} with {}",
                expected.details, expected.exit_code
            ))
        })?;
        let is_cut = entry["OutputTruncated"] == true;
        for (name, Printed { whole, kept }) in [
            ("StandardOutputContent", &expected.stdout),
            ("StandardErrorContent", &expected.stderr),
        ] {
            let came = text(entry, name);
            let is_told = if is_cut { are_beginnings(came, kept) } else { whole == came };
            holds(is_told, RULE, || {
                what(&format!("{name} of {} bytes, of {}", came.len(), whole.len()))
            })?;
        }
        let stderr = &expected.stderr.whole;
        let fits = expected.stdout.whole.len() < STREAM_BYTES_MAX
            && stderr.len() < STREAM_BYTES_MAX
            && stderr.chars().count() < STDERR_CHARS_MAX
            && answer.body().len() < CAUSE_CHARS_MAX.min(answer_bytes_max(command)) / 2;
        let is_first_answer = calls.answers == 1;
        let is_needless = is_cut
            && fits
            && is_first_answer
            && can_read_outputs
            && !calls.has_stale_output
            && nodes.len() <= FULL_OUTPUT_NODES_MAX;
        holds(!is_needless, "outputs of few nodes are told in full", || what("is cut"))?;
        let is_needless = is_cut
            && command.is_large()
            && is_short(&expected)
            && answer_bytes_max(command) >= OUTPUT_BYTES_DEFAULT
            && is_first_answer
            && can_read_outputs
            && !calls.has_stale_output
            && !expected.has_succeeded
            && failed <= FAILED_NODES_TOLD;
        holds(!is_needless, "outputs of failed nodes are told", || what("is cut"))?;
        let key = (expected.has_succeeded, id.to_owned());
        holds(last_key < key, RULE, || what("stands in the wrong place"))?;
        last_key = key;
    }
    Ok(())
}

/// Whether each output is as short as those of failed nodes are kept.
fn is_short(told: &Told) -> bool {
    let outputs = [&told.stdout, &told.stderr];
    outputs.iter().all(|steps| json_bytes(&steps.whole) < FAILED_TEXT_BYTES_KEPT)
}

fn json_bytes(text: &str) -> usize {
    Value::from(text).to_string().len()
}

/// Whether a text is made of the beginnings of these, each on a line of its own.
fn are_beginnings(text: &str, wholes: &[String]) -> bool {
    let Some((whole, others)) = wholes.split_first() else { return text.is_empty() };
    let same = text.bytes().zip(whole.bytes()).take_while(|(one, other)| one == other).count();
    (0..=same).rev().filter_map(|same| text.get(same..)).any(|rest| {
        rest.is_empty() || are_beginnings(rest.strip_prefix('\n').unwrap_or(rest), others)
    })
}

/// A list is about to be read.
pub(crate) fn check_list(
    state: &mut State,
    flow: FlowId,
    listing: &CommandListing,
    page: Option<&PageToken>,
    now: Ms,
) -> Checked {
    const RULE: &str = "a sweep makes the calls that are documented";
    // A list that goes on after a page that failed is read once more from its beginning.
    let readings = if state.is_calm(now) { 1 } else { 2 };
    let Some(flow) = state.flows.get_mut(&flow) else { return Ok(()) };
    let asked = (format!("{listing:?}"), page.map(|PageToken(last)| last.clone()));
    let times = flow.asked.entry(asked).or_default();
    *times += 1;
    holds(*times <= readings, RULE, || format!("a page was listed {times} times"))?;
    let lists = flow.asked.values().sum::<u64>();
    // Executing, complete, and the lookback: one list each where others' commands are few. Where
    // they are many, as many pages as there are spellings are read in vain, and then a list each.
    let is_busy = state.settings.others > 0 || state.settings.has_odd_lists();
    let lists_max = if is_busy { KINDS_OF_LISTS * (1 + 2 * SPELLINGS) } else { KINDS_OF_LISTS };
    let pages_max = readings * lists_max + flow.odd_pages + flow.rows / PAGE_COMMANDS_MAX as u64;
    holds(lists <= pages_max, RULE, || format!("{lists} lists, for {} commands", flow.rows))?;
    if listing.document_name.is_some() {
        return Ok(());
    }
    let pages = flow.unfiltered_pages.entry((listing.stage, listing.invoked_after)).or_default();
    *pages += 1;
    // A list whose commands are mostly others' is left after as many pages as there are spellings.
    let pages_max = readings * (SPELLINGS + 1)
        + flow.odd_pages
        + 2 * flow.swept_rows / PAGE_COMMANDS_MAX as u64;
    holds(*pages <= pages_max, "others' commands are not listed to the end", || {
        format!("page {pages} of {listing:?}, for {} commands", flow.swept_rows)
    })
}

/// A sweep was told that the task of a command that has ended is closed.
pub(crate) fn check_told_closed(state: &mut State, index: usize, now: Ms) -> Checked {
    let is_calm = state.is_calm(now);
    let Entry { command, told_closed, .. } = &mut state.entries[index];
    if !is_calm || !command.has_ended(now) {
        return Ok(());
    }
    *told_closed += 1;
    holds(*told_closed <= TOLD_CLOSED_MAX, "what is known to be closed is not asked again", || {
        format!("command {:?}: told {told_closed} times", command.place)
    })
}

/// A cancel is about to be asked for.
pub(crate) fn check_cancel(state: &mut State, flow: FlowId, index: Option<usize>) -> Checked {
    const RULE: &str = "only an abandoned command is cancelled";
    let Some(index) = index else { return holds(false, RULE, || "an unknown one".to_owned()) };
    let Entry { command, task, .. } = &state.entries[index];
    let what = |what: &str| format!("command {:?}: {what}", command.place);
    holds(command.token_kind == TokenKind::OfTask, RULE, || what("no task's"))?;
    holds(task.as_ref().is_some_and(|task| task.closed.is_some()), RULE, || {
        what("its task waits")
    })?;
    holds(command.on_abandon == OnAbandon::Cancel, RULE, || what("onAbandon is Continue"))?;
    holds(command.is_swept(), RULE, || what("its document is not in the scope"))?;
    let Some(flow) = state.flows.get_mut(&flow) else { return Ok(()) };
    let is_running = flow.executing.get(&index) == Some(&true);
    holds(flow.kind.is_sweep(), RULE, || what("not by a sweep"))?;
    holds(flow.of(index).pulse == Some(Pulse::Closed), RULE, || what("its task was not asked"))?;
    holds(is_running, "a cancel is asked for once", || {
        what("it is being cancelled, or was not listed as executing")
    })
}

/// An invocation of a function has ended.
pub(crate) fn check_flow(
    state: &State,
    flow: FlowId,
    report: Option<&SweepReport>,
    now: Ms,
) -> Checked {
    const RULE: &str = "a flow makes the calls that are documented";
    let Some(flow) = state.flows.get(&flow) else { return Ok(()) };
    // When reads do not lag, a command that executes while its task waits is not remembered as one
    // that has ended.
    let is_calm = state.is_calm(now);
    for (index, calls) in flow.each() {
        let command = &state.entries[index].command;
        let (settles_max, looks_max) = match flow.kind {
            FlowKind::Relay => (1, 0),
            FlowKind::Sweep if is_calm => (1, 1),
            // After one that was cut short, it looks at its beginning and at its end.
            FlowKind::Sweep => (1, 2),
            FlowKind::ExecutingSweep => (0, 0),
        };
        let heartbeats_max = match flow.kind {
            FlowKind::Relay => 0,
            FlowKind::ExecutingSweep => 1,
            FlowKind::Sweep if is_calm && !flow.completed.contains(&index) => 1,
            // It ended while the sweep went on: in the lists of executing and of completed ones.
            FlowKind::Sweep if is_calm => 2,
            FlowKind::Sweep => 3,
        };
        let steps = 2 * command.nodes.len().min(FULL_OUTPUT_NODES_MAX) as u64;
        // They are read besides while the command is not known, as when its read lags.
        let nodes_reads = READS_MAX + u64::from(command.is_large());
        let is_right = calls.heartbeats <= heartbeats_max
            && calls.command_reads <= READS_MAX * settles_max + looks_max
            && calls.invocation_reads <= nodes_reads * settles_max
            && calls.node_reads <= FAILED_OUTPUT_NODES_MAX * settles_max
            && calls.output_reads <= steps * settles_max
            && calls.answers <= ANSWERS_MAX * settles_max
            && calls.cancels <= if is_calm { 1 } else { 2 };
        holds(is_right, RULE, || format!("command {:?}: {calls:?}", command.place))?;
    }
    if let Some(report) = report {
        let is_right =
            report.recovered <= flow.accepted && (!is_calm || report.recovered == flow.accepted);
        holds(is_right, "a sweep reports what it did", || {
            format!("{} tasks took an answer: {report:?}", flow.accepted)
        })?;
    }
    Ok(())
}

/// The promises with a time limit, at `now`.
pub(crate) fn check_promises(state: &State, now: Ms) -> Checked {
    (0..state.entries.len()).try_for_each(|index| {
        check_answered(state, index, now)?;
        check_cancelled(state, index, now)?;
        check_cancelled_at_once(state, index, now)?;
        check_heartbeats(state, index)?;
        check_refused(state, index)
    })
}

/// When a promise of so many intervals from `since` on is due. Each loss meanwhile puts it off by an
/// interval.
fn deadline(state: &State, since: Ms, intervals: u64, counts: impl Fn(Lost) -> bool) -> Ms {
    // Where there is more to do than one sweep can, it takes a round of them.
    let interval = state.settings.interval * state.settings.sweeps_of_a_round();
    let mut losses = state.losses.iter().filter(|loss| counts(loss.what) && loss.at >= since);
    let mut deadline = since + intervals * interval + SLACK;
    // They are in the order of time.
    while losses.next().is_some_and(|loss| loss.at <= deadline) {
        deadline += interval;
    }
    deadline
}

/// A task is answered within three intervals of its command's end, whatever was lost: the event, and
/// a sweep or the sweep's process; one more if both were lost. The faults that end count as if the
/// command had ended after them.
fn check_answered(state: &State, index: usize, now: Ms) -> Checked {
    let Entry { command, task, .. } = &state.entries[index];
    let Some(task) = task else { return Ok(()) };
    if !state.is_in_scope(index) || !command.has_ended(now) || state.are_answers_refused(index) {
        return Ok(());
    }
    let closed = task.closed.as_ref().map_or(now, |(at, _)| *at);
    let mut since = (command.ends + LAG_MAX).max(after_faults(state));
    if command.ending == Ending::SucceedsUnseen && !state.are_nodes_unreadable(index) {
        since = since.max(command.requested + OVERDUE_AGE);
    }
    // A process that began when the command was older does not find it.
    let is_in_reach = since.saturating_sub(command.requested) <= state.settings.lookback;
    // A round of several sweeps is too long to have seen it complete lately: it is read once more.
    let is_read_again = command.ending == Ending::SucceedsUnseen && state.settings.is_tight;
    let intervals = INTERVALS_TO_ANSWER + u64::from(is_read_again);
    let deadline = deadline(state, since, intervals, |_| true);
    holds(
        !is_in_reach || closed <= deadline,
        "what has ended is answered in three intervals",
        || {
            format!(
                "command {:?} ended at {}, limit {deadline}, now {closed}",
                command.place, command.ends
            )
        },
    )
}

/// From when on promises with a time limit hold: the first sweep without the faults that end does
/// what the others left undone.
fn after_faults(state: &State) -> Ms {
    deadline(state, state.settings.faults_end, 1, |lost| lost == Lost::Sweep) - SLACK
}

/// What is refused for good is asked once an hour by each process, at most.
fn check_refused(state: &State, index: usize) -> Checked {
    let Entry { command, refusals, .. } = &state.entries[index];
    // Counted from the beginning of a sweep.
    let asked =
        refusals.windows(2).filter(|pair| pair[1] - pair[0] + MINUTE < REFUSED_AGAIN).count();
    holds(asked == 0, "what is refused for good is remembered", || {
        format!("command {:?}: asked at {refusals:?}", command.place)
    })
}

/// Everything abandoned is cancelled by the next sweep.
fn check_cancelled(state: &State, index: usize, now: Ms) -> Checked {
    let Entry { command, task, .. } = &state.entries[index];
    let closed = task.as_ref().and_then(|task| task.closed.as_ref());
    let Some((closed, _)) = closed else { return Ok(()) };
    if !state.is_to_be_cancelled(index) || command.cancel_asked.is_some() {
        return Ok(());
    }
    let since = (*closed).max(after_faults(state));
    let deadline = deadline(state, since, 1, |lost| lost == Lost::Sweep);
    holds(now.min(command.ends) <= deadline, "what is abandoned is cancelled", || {
        format!("command {:?}: abandoned at {closed}, limit {deadline}", command.place)
    })
}

/// When an execution was stopped, and the sweep is told, its command is cancelled at once.
fn check_cancelled_at_once(state: &State, index: usize, now: Ms) -> Checked {
    let Entry { command, stop_told: Some(told), .. } = &state.entries[index] else {
        return Ok(());
    };
    if state.settings.is_tight
        || *told < after_faults(state)
        || !state.is_to_be_cancelled(index)
        || command.cancel_asked.is_some()
    {
        return Ok(());
    }
    let deadline = told + BETWEEN_EXECUTIONS + SLACK;
    let is_lost = state.losses.iter().any(|loss| (*told..=deadline).contains(&loss.at));
    holds(
        is_lost || now.min(command.ends) <= deadline,
        "a stopped execution's command is cancelled at once",
        || format!("command {:?}: stopped at {told}, limit {deadline}", command.place),
    )
}

/// A task whose `HeartbeatSeconds` is at least four intervals does not miss a heartbeat, unless more
/// than one sweep, or process, was lost meanwhile.
fn check_heartbeats(state: &State, index: usize) -> Checked {
    let Entry { command, task, .. } = &state.entries[index];
    let Some(task) = task else { return Ok(()) };
    let Some((at, Closed::MissedHeartbeat)) = &task.closed else { return Ok(()) };
    let last_beat = task.last_beat;
    let is_promised = state.is_in_scope(index)
        && command.requested >= after_faults(state)
        && deadline(state, last_beat, INTERVALS_TO_BEAT, |_| true) <= *at
        && command.ending != Ending::SucceedsUnseen
        && !state.are_answers_refused(index);
    holds(!is_promised, "no task misses a heartbeat for want of a sweep", || {
        format!("command {:?} at {at}", command.place)
    })
}
