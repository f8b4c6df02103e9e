//! Deliberate defects of the product, each of which the simulation must find.
//!
//! A mutation is an edit that is found by its text, so it survives a refactoring that keeps the
//! text. White space makes no difference. `make mutations` applies each to a copy and runs
//! histories until one breaks a rule.

use std::path::Path;
use std::{fmt, fs};

/// A deliberate defect.
#[derive(Debug, Clone, Copy)]
pub struct Mutation {
    /// What the product then does.
    pub name: &'static str,
    /// The rule that it breaks; one of [`crate::rules`]. Others may be broken as well.
    pub rule: &'static str,
    /// The file below `crates/callback/src`.
    pub file: &'static str,
    /// The text that is replaced. It must occur exactly once.
    pub find: &'static str,
    /// What stands there instead.
    pub replace: &'static str,
}

/// Why a mutation cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotApplicable {
    name: &'static str,
    file: &'static str,
    problem: String,
}

impl fmt::Display for NotApplicable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, file, problem } = self;
        write!(f, "mutation {name} cannot be applied to crates/callback/src/{file}: {problem}")
    }
}

impl std::error::Error for NotApplicable {}

impl Mutation {
    /// The mutation of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|mutation| mutation.name == name)
    }

    /// The text of its file with the mutation in it. `root` is the root of the workspace or of a
    /// copy.
    ///
    /// # Errors
    ///
    /// [`NotApplicable`] if the file cannot be read, or if the text to replace does not occur
    /// exactly once.
    pub fn apply(&self, root: &Path) -> Result<String, NotApplicable> {
        let text = fs::read_to_string(self.path(root))
            .map_err(|error| self.not_applicable(format!("reading it: {error}")))?;
        let (start, end) = match occurrences(&text, self.find).as_slice() {
            [one] => *one,
            all => {
                let problem = format!("expected to find once, found {} times:", all.len());
                return Err(self.not_applicable(format!("{problem}\n{}", self.find)));
            }
        };
        Ok(format!("{}{}{}", &text[..start], self.replace, &text[end..]))
    }

    /// Where its file is.
    pub fn path(&self, root: &Path) -> std::path::PathBuf {
        root.join("crates/callback/src").join(self.file)
    }

    fn not_applicable(&self, problem: String) -> NotApplicable {
        NotApplicable { name: self.name, file: self.file, problem }
    }
}

/// Where `find` begins and ends in `text`, each time. Any white space matches any other.
fn occurrences(text: &str, find: &str) -> Vec<(usize, usize)> {
    let words: Vec<_> = find.split_whitespace().collect();
    let Some(first) = words.first() else { return Vec::new() };
    let starts = text.match_indices(first).map(|(start, _)| start);
    starts.filter_map(|start| Some((start, start + matching(&text[start..], &words)?))).collect()
}

/// How much of the beginning of `text` is these words with white space between them.
fn matching(text: &str, words: &[&str]) -> Option<usize> {
    let mut rest = text;
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            let trimmed = rest.trim_start();
            if trimmed.len() == rest.len() {
                return None;
            }
            rest = trimmed;
        }
        rest = rest.strip_prefix(word)?;
    }
    Some(text.len() - rest.len())
}

/// All mutations, by name.
pub const ALL: &[Mutation] = &[
    Mutation {
        name: "answers-an-unseen-success-early",
        rule: "an unconfirmed success is no failure before it is overdue",
        file: "settle.rs",
        find: "&& self.hint != Hint::Overdue",
        replace: "&& self.hint == Hint::Changed",
    },
    Mutation {
        name: "answers-while-running",
        rule: "no answer before the command has ended",
        file: "verdict.rs",
        find: "if !has_ended(&command.status, &command.status_details) {",
        replace: "if !has_ended(&command.status, &command.status_details) && invocations.is_empty() {",
    },
    Mutation {
        name: "asks-closed-tasks-again",
        rule: "what is known to be closed is not asked again",
        file: "sweep/memory.rs",
        find: "self.closed.contains(key) ||",
        replace: "self.closed.contains(key) && self.closed.is_empty() ||",
    },
    Mutation {
        name: "asks-refused-tasks-again",
        rule: "what is refused for good is remembered",
        file: "sweep/memory.rs",
        find: "(now.duration_since(*at) < REFUSED_AGAIN).then_some(*refusal)",
        replace: "(now.duration_since(*at) < REFUSED_AGAIN / 60).then_some(*refusal)",
    },
    Mutation {
        name: "asks-twice-what-is-listed-twice",
        rule: "a flow makes the calls that are documented",
        file: "sweep/executing.rs",
        find: "commands.retain(|command| !self.memory.has_seen(&command.id));",
        replace: "commands.retain(|_| true);",
    },
    Mutation {
        name: "asks-what-takes-no-answer-again",
        rule: "what is refused for good is remembered",
        file: "sweep/suspects.rs",
        find: "SettleError::OutputRefused { .. } => self.memory.acquit(id),",
        replace: "SettleError::OutputRefused { .. } => self.memory.suspect_again(id, self.now),",
    },
    Mutation {
        name: "begins-every-list-anew",
        rule: "what has ended is answered in three intervals",
        file: "sweep/pass.rs",
        find: "if self.memory.reading(list).is_none() {",
        replace: "self.memory.end_reading(list); {",
    },
    Mutation {
        name: "believes-a-stale-output",
        rule: "the answer tells each node as it is",
        file: "settle.rs",
        find: "bytes(full) >= bytes(listed)",
        replace: "bytes(full) < usize::MAX || bytes(listed) == 0",
    },
    Mutation {
        name: "calls-a-refused-read-unreadable",
        rule: "the answer is the command's true result",
        file: "settle.rs",
        find: "Err(error) if error.is_final() => {",
        replace: "Err(error) if error.kind == CallErrorKind::Permanent => {",
    },
    Mutation {
        name: "cancels-after-a-refused-heartbeat",
        rule: "only an abandoned command is cancelled",
        file: "sweep/executing.rs",
        find: "matches!(look, Look::Pulse(Pulse::Closed))",
        replace: "matches!(look, Look::Pulse(Pulse::Closed) | Look::Refused(_))",
    },
    Mutation {
        name: "cancels-after-a-rejected-token",
        rule: "only an abandoned command is cancelled",
        file: "sweep/executing.rs",
        find: "matches!(look, Look::Pulse(Pulse::Closed))",
        replace: "matches!(look, Look::Pulse(Pulse::Closed | Pulse::Rejected))",
    },
    Mutation {
        name: "cancels-twice",
        rule: "a cancel is asked for once",
        file: "sweep/executing.rs",
        find: "&& !command.is_cancelling",
        replace: "",
    },
    Mutation {
        name: "cancels-when-a-call-fails",
        rule: "only an abandoned command is cancelled",
        file: "sweep/executing.rs",
        find: "matches!(look, Look::Pulse(Pulse::Closed))",
        replace: "matches!(look, Look::Pulse(Pulse::Closed) | Look::Failed)",
    },
    Mutation {
        name: "counts-recoveries-that-came-late",
        rule: "a sweep reports what it did",
        file: "sweep/suspects.rs",
        find: "if matches!(outcome, Outcome::Succeeded | Outcome::Failed { .. }) {",
        replace: "if outcome != Outcome::Running {",
    },
    Mutation {
        name: "cuts-the-lookback-short",
        rule: "what has ended is answered in three intervals",
        file: "sweep.rs",
        find: "if self.read_completed(List::Lookback, LOOKBACK_PAGES_PER_SWEEP).await {",
        replace: "self.read_completed(List::Lookback, LOOKBACK_PAGES_PER_SWEEP.min(1)).await; {",
    },
    Mutation {
        name: "does-not-read-again",
        rule: "no answer from a read that lags",
        file: "settle.rs",
        find: "if attempt == Attempt::Early ||",
        replace: "if attempt == Attempt::Last &&",
    },
    Mutation {
        name: "does-not-shorten-a-refused-output",
        rule: "what has ended is answered in three intervals",
        file: "settle.rs",
        find: "let output = report_without_outputs(",
        replace: "let output = report(",
    },
    Mutation {
        name: "forgets-executing-after-a-failed-heartbeat",
        rule: "what has ended is answered in three intervals",
        file: "sweep/executing.rs",
        find: "Look::Failed => {
                    report.failed += 1;
                    report.note_waiting(command.requested_at, now);
                    memory.sees_executing(command);
                }",
        replace: "Look::Failed => report.failed += 1,",
    },
    Mutation {
        name: "forgets-running-nodes",
        rule: "no answer from a read that lags",
        file: "verdict.rs",
        find: ".all(|invocation| has_ended(&invocation.status, &invocation.status_details))",
        replace: ".all(|_| true)",
    },
    Mutation {
        name: "forgets-suspects-that-cannot-be-settled",
        rule: "what has ended is answered in three intervals",
        file: "sweep/suspects.rs",
        find: "_ => self.memory.suspect_again(id, self.now),",
        replace: "_ => self.memory.acquit(id),",
    },
    Mutation {
        name: "forgets-suspects-when-an-execution-ends",
        rule: "what has ended is answered in three intervals",
        file: "sweep/memory.rs",
        find: "self.suspects = suspects;",
        replace: "drop(suspects);",
    },
    Mutation {
        name: "forgets-what-ended",
        rule: "what has ended is answered in three intervals",
        file: "sweep/memory.rs",
        find: "self.ended.extend(ended);",
        replace: "drop(ended);",
    },
    Mutation {
        name: "gives-large-commands-no-outputs",
        rule: "outputs of failed nodes are told",
        file: "settle.rs",
        find: "settling.complete_failed_outputs(&mut invocations).await?;",
        replace: "if invocations.is_empty() { settling.complete_failed_outputs(&mut invocations).await?; }",
    },
    Mutation {
        name: "goes-on-and-never-begins-anew",
        rule: "what has ended is answered in three intervals",
        file: "sweep.rs",
        find: "Some(reading) if reading.has_failed => {}",
        replace: "Some(reading) if reading.has_failed && reading.has_left_out => {}",
    },
    Mutation {
        name: "goes-on-where-it-is-refused",
        rule: "what has ended is answered in three intervals",
        file: "sweep/pass.rs",
        find: "if pages == 0 || error.kind == CallErrorKind::Permanent {",
        replace: "if error.kind == CallErrorKind::Permanent && pages == usize::MAX {",
    },
    Mutation {
        name: "ignores-on-abandon",
        rule: "only an abandoned command is cancelled",
        file: "sweep/executing.rs",
        find: "&& command.on_abandon == OnAbandon::Cancel",
        replace: "",
    },
    Mutation {
        name: "ignores-on-failure",
        rule: "the answer is the command's true result",
        file: "settle.rs",
        find: "Some(reason) if command.callback.on_failure == OnFailure::Fail =>",
        replace: "Some(reason) =>",
    },
    Mutation {
        name: "ignores-stopped-executions",
        rule: "a stopped execution's command is cancelled at once",
        file: "sweep.rs",
        find: "tokio::time::timeout(time_left, pass.executing())",
        replace: "tokio::time::timeout(time_left * 0, pass.executing())",
    },
    Mutation {
        name: "is-never-overdue",
        rule: "what has ended is answered in three intervals",
        file: "sweep/memory.rs",
        find: "if is_old && is_complete {",
        replace: "if is_old && is_complete && self.seen_by == u64::MAX {",
    },
    Mutation {
        name: "is-overdue-at-once",
        rule: "an unconfirmed success is no failure before it is overdue",
        file: "sweep/memory.rs",
        find: "if is_old && is_complete {",
        replace: "if is_old || is_complete {",
    },
    Mutation {
        name: "keeps-listed-outputs",
        rule: "outputs of few nodes are told in full",
        file: "settle.rs",
        find: "if invocations.len() > FULL_OUTPUT_NODES_MAX {",
        replace: "if !invocations.is_empty() {",
    },
    Mutation {
        name: "knows-no-arn",
        rule: "what has ended is answered in three intervals",
        file: "scope.rs",
        find: "Some((_, plain)) => plain,",
        replace: "Some((_, plain)) if plain.is_empty() => plain, Some(_) => name,",
    },
    Mutation {
        name: "leaves-rejected-commands-waiting",
        rule: "what has ended is answered in three intervals",
        file: "sweep/completed.rs",
        find: "report.reject(memory, &command.id, now); memory.suspect(command, now)",
        replace: "report.reject(memory, &command.id, now); true",
    },
    Mutation {
        name: "leaves-unreadable-commands-waiting",
        rule: "what has ended is answered in three intervals",
        file: "settle.rs",
        find: "Err(error) if error.is_final() => {",
        replace: "Err(error) if error.is_final() && command.id.as_str().is_empty() => {",
    },
    Mutation {
        name: "lists-by-name-only",
        rule: "what has ended is answered in three intervals",
        file: "scope.rs",
        find: "Some(format!(\"{prefix}{name}\"))",
        replace: "Some(format!(\"{prefix}{name}\")).filter(String::is_empty)",
    },
    Mutation {
        name: "lists-others-to-the-end",
        rule: "others' commands are not listed to the end",
        file: "sweep/reading.rs",
        find: "&& self.ours * 2 < self.all",
        replace: "&& self.all == 0",
    },
    Mutation {
        name: "lists-without-overlap",
        rule: "what has ended is answered in three intervals",
        file: "sweep/memory.rs",
        find: "if let Some(before) = self.last_whole_began.replace(began) {
            self.since = Some(earlier(before, overlap));
        }",
        replace: "self.last_whole_began = Some(began); self.since = Some(earlier(began, overlap * 0));",
    },
    Mutation {
        name: "looks-back-an-hour-only",
        rule: "what has ended is answered in three intervals",
        file: "sweep.rs",
        find: "earlier(self.now, self.scope.lookback)",
        replace: "earlier(self.now, FIRST_LOOK)",
    },
    Mutation {
        name: "looks-back-before-it-knows-what-is-executing",
        rule: "what has ended is answered in three intervals",
        file: "sweep.rs",
        find: "let begins = is_due && self.memory.knows_executing;",
        replace: "let begins = is_due;",
    },
    Mutation {
        name: "moves-on-after-a-failed-list",
        rule: "what has ended is answered in three intervals",
        file: "sweep.rs",
        find: "if let (Some(began), true) = (began, is_read) {",
        replace: "if let (Some(began), true | false) = (began, is_read) {",
    },
    Mutation {
        name: "never-cancels",
        rule: "what is abandoned is cancelled",
        file: "sweep/executing.rs",
        find: "if is_abandoned { Some(run_command.cancel(&command.id).await) } else { None }",
        replace: "if is_abandoned && command.id.as_str().is_empty() { Some(run_command.cancel(&command.id).await) } else { None }",
    },
    Mutation {
        name: "never-looks-at-what-ended",
        rule: "what has ended is answered in three intervals",
        file: "sweep/completed.rs",
        find: "self.memory.some_ended(ENDED_AT_ONCE)",
        replace: "self.memory.some_ended(ENDED_AT_ONCE * 0)",
    },
    Mutation {
        name: "never-recovers",
        rule: "what has ended is answered in three intervals",
        file: "sweep/suspects.rs",
        find: "self.settle_some(&suspects, SETTLED_AT_ONCE)",
        replace: "self.settle_some(&suspects[..0], SETTLED_AT_ONCE)",
    },
    Mutation {
        name: "never-settles-large-commands",
        rule: "what has ended is answered in three intervals",
        file: "sweep.rs",
        find: "self.settle_large_suspects().await;",
        replace: "",
    },
    Mutation {
        name: "reads-one-page",
        rule: "what has ended is answered in three intervals",
        file: "sweep/reading.rs",
        find: "self.page = next;",
        replace: "self.page = next.filter(|_| false);",
    },
    Mutation {
        name: "reads-too-many-nodes",
        rule: "what has ended is answered in three intervals",
        file: "settle.rs",
        find: "if !is_awaited || !ended(command) || command.target_count > NODES_MAX {",
        replace: "if !is_awaited || !ended(command) {",
    },
    Mutation {
        name: "settles-at-first-sight",
        rule: "a sweep settles at its second look",
        file: "sweep.rs",
        find: "let is_read = self.completed_lately().await;",
        replace: "let is_read = self.completed_lately().await; self.memory.begin_sweep(self.now); self.settle_suspects().await;",
    },
    Mutation {
        name: "stops-at-a-short-page",
        rule: "what has ended is answered in three intervals",
        file: "sweep/reading.rs",
        find: "self.page = next;",
        replace: "self.page = next.filter(|_| all == 50);",
    },
    Mutation {
        name: "stops-at-an-empty-page",
        rule: "what has ended is answered in three intervals",
        file: "sweep/reading.rs",
        find: "self.page = next;",
        replace: "self.page = next.filter(|_| all > 0);",
    },
    Mutation {
        name: "takes-a-failed-heartbeat-for-closed",
        rule: "what has ended is answered in three intervals",
        file: "sweep/completed.rs",
        find: "Look::Failed => {
            report.failed += 1;
            memory.suspect(command, now)",
        replace: "Look::Failed => {
            report.failed += 1;
            memory.close(command.key());
            true",
    },
    Mutation {
        name: "takes-an-output-for-a-cause",
        rule: "the limits of Step Functions hold",
        file: "settle.rs",
        find: "report(command, invocations, bytes_max.min(CAUSE_BYTES_MAX))",
        replace: "report(command, invocations, bytes_max)",
    },
    Mutation {
        name: "takes-missing-nodes-for-seen",
        rule: "the answer is the command's true result",
        file: "verdict.rs",
        find: "targets == nodes.len()",
        replace: "targets >= nodes.len()",
    },
    Mutation {
        name: "takes-no-notice-of-output-bytes",
        rule: "an answer keeps to outputBytes",
        file: "settle.rs",
        find: "let bytes_max = command.callback.output_bytes.get();",
        replace: "let bytes_max = crate::limits::OUTPUT_BYTES_MAX;",
    },
    Mutation {
        name: "takes-skipped-for-success",
        rule: "the answer is the command's true result",
        file: "verdict.rs",
        find: "StatusDetails::Success if is_seen && invocations.iter().all(Invocation::was_skipped) => {
            StatusDetails::InvalidPlatform
        }",
        replace: "",
    },
    Mutation {
        name: "takes-too-many-nodes-for-unseen",
        rule: "what has ended is answered in three intervals",
        file: "settle.rs",
        find: "if ended(&command) && command.target_count > NODES_MAX {",
        replace: "if ended(&command) && command.target_count == u32::MAX {",
    },
    Mutation {
        name: "tells-refused-reports-again",
        rule: "what has ended is answered in three intervals",
        file: "settle.rs",
        find: "self.answer_unread(token, command, Unread::Unreadable).await }",
        replace: "Err(SettleError::OutputRefused { command_id: command.id.clone() }) }",
    },
    Mutation {
        name: "tells-the-token-that-a-comment-quotes",
        rule: "the token is in no answer",
        file: "report.rs",
        find: "Some(Ok(token)) => Some(token.redaction()),",
        replace: "",
    },
    Mutation {
        name: "trusts-success-without-nodes",
        rule: "the answer is the command's true result",
        file: "verdict.rs",
        find: "StatusDetails::Success if command.target_count == 0 && invocations.is_empty() => {
            StatusDetails::NoInstancesInTag
        }",
        replace: "",
    },
    Mutation {
        name: "trusts-the-commands-success",
        rule: "the answer is the command's true result",
        file: "verdict.rs",
        find: "if is_seen && invocations.iter().all(Invocation::has_succeeded) =>",
        replace: "if is_seen =>",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_whatever_white_space_is_in_it() {
        let text = "if a {\n    b(c);\n}\nif a { b(d); }\n";
        let found = |find| {
            let occurrences = occurrences(text, find).into_iter();
            occurrences.map(|(start, end)| &text[start..end]).collect::<Vec<_>>()
        };
        assert_eq!(found("if a { b(c);"), ["if a {\n    b(c);"]);
        assert_eq!(found("if a { b("), ["if a {\n    b(", "if a { b("]);
        assert_eq!(found("b (c)"), Vec::<&str>::new());
        assert_eq!(found(""), Vec::<&str>::new());
    }

    #[test]
    fn a_mutation_that_does_not_apply_says_which_and_where() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mutation = Mutation { find: "no such text", ..ALL[0] };
        let error = mutation.apply(&root).unwrap_err().to_string();
        assert_eq!(
            error,
            "mutation answers-an-unseen-success-early cannot be applied to \
             crates/callback/src/settle.rs: expected to find once, found 0 times:\nno such text"
        );
    }
}
