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
        name: "believes-a-stale-output",
        rule: "the answer tells each node as it is",
        file: "settle.rs",
        find: "bytes(full) >= bytes(listed)",
        replace: "bytes(full) < usize::MAX || bytes(listed) == 0",
    },
    Mutation {
        name: "cancels-after-invalid-token",
        rule: "only an abandoned command is cancelled",
        file: "sweep.rs",
        find: "Some(Pulse::Rejected) => {}",
        replace: "Some(Pulse::Rejected) if is_executing => cancel(run_command, &id, tally).await,
        Some(Pulse::Rejected) => {}",
    },
    Mutation {
        name: "cancels-twice",
        rule: "a cancel is asked for once",
        file: "sweep.rs",
        find: "is_executing && !is_cancelling &&",
        replace: "is_executing &&",
    },
    Mutation {
        name: "cancels-when-a-call-fails",
        rule: "only an abandoned command is cancelled",
        file: "sweep.rs",
        find: "Some(Pulse::Alive) | None if is_executing =>",
        replace: "None if is_executing => cancel(run_command, &id, tally).await,
        Some(Pulse::Alive) if is_executing =>",
    },
    Mutation {
        name: "counts-recoveries-that-came-late",
        rule: "a sweep reports what it did",
        file: "sweep.rs",
        find: "if matches!(outcome, Outcome::Succeeded | Outcome::Failed { .. }) {",
        replace: "if outcome != Outcome::Running {",
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
        rule: "the answer is the command's true result",
        file: "settle.rs",
        find: "let output = report_without_outputs(",
        replace: "let output = report(",
    },
    Mutation {
        name: "forgets-running-nodes",
        rule: "no answer from a read that lags",
        file: "verdict.rs",
        find: ".all(|invocation| has_ended(&invocation.status, &invocation.status_details))",
        replace: ".all(|_| true)",
    },
    Mutation {
        name: "forgets-what-ended",
        rule: "what was seen executing is answered two sweeps after",
        file: "memory.rs",
        find: "if !self.executing.contains_key(&id) { remember(&mut self.ended, id, token);",
        replace: "if !self.executing.contains_key(&id) { drop((id, token));",
    },
    Mutation {
        name: "ignores-on-abandon",
        rule: "only an abandoned command is cancelled",
        file: "sweep.rs",
        find: "&& on_abandon == OnAbandon::Cancel",
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
        name: "is-never-overdue",
        rule: "what has ended is answered by the probe after",
        file: "sweep.rs",
        find: "slice.age >= OVERDUE_AGE &&",
        replace: "slice.age >= OVERDUE_AGE * 100 &&",
    },
    Mutation {
        name: "keeps-listed-outputs",
        rule: "outputs of few nodes are told in full",
        file: "settle.rs",
        find: "if invocations.len() > FULL_OUTPUT_NODES_MAX {",
        replace: "if !invocations.is_empty() {",
    },
    Mutation {
        name: "looks-twice-at-borders",
        rule: "a flow makes the calls that are documented",
        file: "sweep.rs",
        find: "Ok(command) if !slice.holds(command.requested_at) => return None,",
        replace: "",
    },
    Mutation {
        name: "never-cancels",
        rule: "what is abandoned is cancelled",
        file: "sweep.rs",
        find: "OnAbandon::Cancel { cancel(run_command, &id, tally).await;",
        replace: "OnAbandon::Cancel { tracing::debug!(command_id = %id, \"left alone\");",
    },
    Mutation {
        name: "never-looks-back",
        rule: "what was seen executing is answered two sweeps after",
        file: "sweep.rs",
        find: "stream::iter(last.ended())",
        replace: "stream::iter(last.ended().iter().take(0))",
    },
    Mutation {
        name: "never-recovers",
        rule: "what has ended is answered by the probe after",
        file: "sweep.rs",
        find: "if recover(run_command, tasks, &id, hint, tally).await.is_none() {
                tally.is_undecided(id, token);
            }",
        replace: "tracing::debug!(?hint, \"not recovered\");",
    },
    Mutation {
        name: "probes-too-few-ages",
        rule: "what has ended is answered by the probe after",
        file: "sweep.rs",
        find: "|age| age.checked_mul(2)",
        replace: "|age| age.checked_mul(8)",
    },
    Mutation {
        name: "reads-one-page",
        rule: "what was seen executing is answered two sweeps after",
        file: "sweep.rs",
        find: "let next = page.next.map(",
        replace: "let next = page.next.filter(|_| false).map(",
    },
    Mutation {
        name: "slices-without-overlap-and-late",
        rule: "what has ended is answered by the probe after",
        file: "sweep.rs",
        find: "self.interval() * SLICE_INTERVALS",
        replace: "self.interval() / 2",
    },
    Mutation {
        name: "takes-an-output-for-a-cause",
        rule: "the limits of Step Functions hold",
        file: "settle.rs",
        find: "report(command, invocations, CAUSE_BYTES_MAX)",
        replace: "report(command, invocations, OUTPUT_BYTES_MAX)",
    },
    Mutation {
        name: "takes-missing-nodes-for-seen",
        rule: "the answer is the command's true result",
        file: "verdict.rs",
        find: "targets == nodes.len()",
        replace: "targets >= nodes.len()",
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
