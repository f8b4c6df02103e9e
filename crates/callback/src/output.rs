//! Script output, in the formats in which the SSM agent and the API deliver it.

use crate::status::StatusDetails;

/// The output of one step on one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether either stream was truncated.
    pub truncated: bool,
    /// Whether `stdout` and `stderr` are known to be split correctly. `false` if the script itself
    /// printed the agent's separator.
    pub exact: bool,
}

/// What the agent says of a node on which no step ran.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// The reason, in the agent's words. Empty if there is none.
    pub text: String,
    /// Whether the text was truncated.
    pub truncated: bool,
}

/// The line that the agent puts between standard output and standard error in a listing. It is
/// there exactly if there is standard error.
const ERROR_SEPARATOR: &str = "\n----------ERROR-------\n";
/// The agent's mark at the end of truncated standard output in a listing.
const STDOUT_CUT: &str = "\n---Output truncated---";
/// The agent's mark at the end of truncated standard error in a listing.
const STDERR_CUT: &str = "\n---Error truncated----";
/// The start of the line with which the agent ends the standard error of a failed script. No line
/// break precedes it.
const FAILED_TO_RUN: &str = "failed to run commands: ";
/// Maximum length of one plugin's `Output` and of `TraceOutput` in `ListCommandInvocations`, in
/// characters.
const LISTED_CHARS_MAX: usize = 2_500;
/// The agent truncates standard output and standard error of this length and more, in bytes.
const STREAM_BYTES_MAX: usize = 24_000;
/// The agent's mark at the end of output that is longer than the agent keeps.
const FULL_CUT: &str = "--output truncated--";
/// The length to which the service can truncate `StandardErrorContent`, without a mark (SSM API,
/// `GetCommandInvocation`). It does not always: longer ones occur.
const STDERR_SERVICE_MAX: usize = 8_000;
/// Maximum length of each stream of a [beginning](Output::into_beginning), in characters.
const BEGINNING_CHARS_MAX: usize = 64;
/// The start of the agent's reason for skipping a step because of its platform or an unmet
/// precondition (SSM Agent, plugin runner).
const STEP_SKIPPED: &str = "Step execution skipped due to ";
/// What follows in the same line.
const STEP_NAME: &str = ". Step name: ";
/// The start and the end of the agent's reason for skipping a step after one that ended the
/// document (SSM Agent, plugin runner).
const SKIPPED_AFTER_EXIT: [&str; 2] =
    ["Plugin with name ", " skipped due to prior step with an exit condition"];

impl Output {
    /// Splits a plugin's `Output` (SSM API, `ListCommandInvocations`): at most 2,500 characters of
    /// standard output and standard error, with the agent's separator between them.
    ///
    /// A script can print the separator itself. So the split is exact only without a separator, or
    /// with a single one if the step failed and the agent's last line proves that there is standard
    /// error.
    pub fn from_listing(text: &str, details: &StatusDetails) -> Self {
        let (stdout, stderr) = text.split_once(ERROR_SEPARATOR).unwrap_or((text, ""));
        let whole_stdout = stdout.strip_suffix(STDOUT_CUT);
        let whole_stderr =
            stderr.strip_suffix(STDERR_CUT).or_else(|| stderr.strip_suffix(STDOUT_CUT));
        Self {
            stdout: whole_stdout.unwrap_or(stdout).to_owned(),
            stderr: whole_stderr.unwrap_or(stderr).to_owned(),
            truncated: whole_stdout.is_some()
                || whole_stderr.is_some()
                || reaches(text, LISTED_CHARS_MAX),
            exact: match text.matches(ERROR_SEPARATOR).count() {
                0 => true,
                1 => *details == StatusDetails::Failed && ends_as_failed(stderr),
                _ => false,
            },
        }
    }

    /// Takes `StandardOutputContent` and `StandardErrorContent` (SSM API, `GetCommandInvocation`).
    /// The agent keeps 24,000 bytes of each.
    pub fn from_invocation(stdout: String, stderr: String) -> Self {
        let truncated =
            is_cut_by_agent(&stdout) || is_cut_by_agent(&stderr) || is_cut_by_service(&stderr);
        Self { stdout, stderr, truncated, exact: true }
    }

    /// The first 64 characters of each stream, in as little memory.
    #[must_use]
    pub fn into_beginning(self) -> Self {
        let (stdout, stderr) = (beginning(&self.stdout), beginning(&self.stderr));
        let is_cut = stdout.len() < self.stdout.len() || stderr.len() < self.stderr.len();
        Self {
            truncated: self.truncated || is_cut,
            exact: self.exact,
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        }
    }
}

impl Trace {
    /// Takes a `TraceOutput` (SSM API, `ListCommandInvocations`): at most 2,500 characters.
    pub fn new(text: String) -> Self {
        Self { truncated: reaches(&text, LISTED_CHARS_MAX), text }
    }

    /// The first 64 characters, in as little memory.
    #[must_use]
    pub fn into_beginning(self) -> Self {
        let text = beginning(&self.text);
        Self { truncated: self.truncated || text.len() < self.text.len(), text: text.to_owned() }
    }
}

/// The agent's reason for skipping a step, if the step's listed `Output` is one. Such a text is no
/// output of a script.
///
/// The agent calls such a step skipped. Run Command reports it as a success, with exit code 0.
pub fn skip_reason<'a>(text: &'a str, details: &StatusDetails) -> Option<&'a str> {
    let line = text.trim();
    let [prefix, suffix] = SKIPPED_AFTER_EXIT;
    let is_reason = !line.contains('\n')
        && (line.starts_with(STEP_SKIPPED) && line.contains(STEP_NAME)
            || line.starts_with(prefix) && line.ends_with(suffix));
    match details {
        StatusDetails::Skipped => Some(line),
        StatusDetails::Success if is_reason => Some(line),
        _ => None,
    }
}

/// Whether a text ends with the agent's line about a script that failed.
fn ends_as_failed(stderr: &str) -> bool {
    stderr.rfind(FAILED_TO_RUN).is_some_and(|at| !stderr[at..].contains('\n'))
}

fn is_cut_by_agent(text: &str) -> bool {
    text.len() >= STREAM_BYTES_MAX || text.trim_end().ends_with(FULL_CUT)
}

/// Whether standard error has exactly the length to which the service truncates. In which unit it
/// counts is not documented: bytes, characters, or UTF-16 code units. A character that was cut in
/// two becomes U+FFFD, which adds up to two bytes.
fn is_cut_by_service(stderr: &str) -> bool {
    const MAX: usize = STDERR_SERVICE_MAX;
    stderr.len() >= MAX
        && (stderr.len() <= MAX + 2
            || stderr.chars().count() == MAX
            || stderr.encode_utf16().count() == MAX)
}

fn beginning(text: &str) -> &str {
    let end = text.char_indices().nth(BEGINNING_CHARS_MAX).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

/// Whether `text` has at least `chars` characters. Compares bytes first, which is cheap and settles
/// most cases.
fn reaches(text: &str, chars: usize) -> bool {
    text.len() >= chars && text.chars().nth(chars - 1).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Output {
        Output::from_listing(text, &StatusDetails::Success)
    }

    #[test]
    fn a_listed_output_is_split_at_the_agents_separator() {
        let text = "out\n----------ERROR-------\nerrfailed to run commands: exit status 3";
        let output = Output::from_listing(text, &StatusDetails::Failed);
        assert_eq!(output.stdout, "out");
        assert_eq!(output.stderr, "errfailed to run commands: exit status 3");
        assert!(!output.truncated && output.exact);
        assert_eq!(listed("only out\n").stdout, "only out\n");
        assert!(listed("only out\n").exact);
        assert_eq!(listed("\n----------ERROR-------\nonly err").stderr, "only err");
    }

    #[test]
    fn a_cut_listed_output_says_so() {
        let output =
            listed("o\n---Output truncated---\n----------ERROR-------\ne\n---Error truncated----");
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("o", "e"));
        assert!(output.truncated);
        // The script printed the separator, and the agent cut what follows.
        assert!(listed("o\n----------ERROR-------\no\n---Output truncated---").truncated);
        assert!(listed(&"ä".repeat(2_500)).truncated);
        assert!(!listed(&"ä".repeat(2_499)).truncated);
    }

    #[test]
    fn a_separator_that_the_script_may_have_printed_is_noticed() {
        use StatusDetails::{ExecutionTimedOut, Failed, Success};
        let failed = "a\n----------ERROR-------\nfailed to run commands: exit status 1";
        for (text, details) in [
            ("a\n----------ERROR-------\nb\n----------ERROR-------\nc", Failed),
            ("a\n----------ERROR-------\nb", Success),
            ("a\n----------ERROR-------\n", Success),
            (failed, Success),
            (&format!("{failed}\nwas its end"), Failed),
            ("a\n----------ERROR-------\nb", ExecutionTimedOut),
        ] {
            assert!(!Output::from_listing(text, &details).exact, "{text} {details}");
        }
        assert!(Output::from_listing(failed, &Failed).exact);
    }

    #[test]
    fn a_beginning_says_whether_it_is_cut() {
        let text = format!("{}\n----------ERROR-------\nfailed to run commands: x", "ä".repeat(64));
        let short = Output::from_listing(&text, &StatusDetails::Failed);
        assert_eq!(short.clone().into_beginning(), short);
        let long = Output { stdout: "ä".repeat(65), ..short.clone() };
        assert_eq!(long.into_beginning(), Output { truncated: true, ..short.clone() });
        let cut = Output { truncated: true, ..short };
        assert_eq!(cut.clone().into_beginning(), cut);
        let trace = Trace::new("ä".repeat(65));
        assert!(!trace.truncated && Trace::new("x".repeat(2_500)).truncated);
        assert_eq!(trace.into_beginning(), Trace { text: "ä".repeat(64), truncated: true });
    }

    #[test]
    fn a_full_output_is_truncated_at_24_000_bytes_or_with_the_agents_mark() {
        let is_cut = |stdout: &str, stderr: &str| {
            Output::from_invocation(stdout.to_owned(), stderr.to_owned()).truncated
        };
        let marked = format!("{}--output truncated--", "x".repeat(100));
        assert!(!is_cut(&"x".repeat(23_999), &"y".repeat(23_999)));
        assert!(is_cut(&"x".repeat(24_000), ""));
        assert!(is_cut("", &"y".repeat(24_000)));
        assert!(is_cut(&"漢".repeat(8_000), ""), "bytes count, not characters");
        assert!(is_cut(&marked, ""));
        assert!(is_cut("", &marked));
    }

    #[test]
    fn standard_error_of_exactly_8_000_is_truncated_in_whatever_unit() {
        let is_cut = |stderr: String| Output::from_invocation("x".repeat(8_000), stderr).truncated;
        for (whole, unit) in [("y".repeat(7_999), "bytes"), ("y".repeat(16_312), "bytes")] {
            assert!(!is_cut(whole), "{unit}");
        }
        assert!(!is_cut("ü".repeat(7_999)) && !is_cut("🦀".repeat(3_999)));
        assert!(is_cut("y".repeat(8_000)));
        assert!(is_cut(format!("{}\u{fffd}", "y".repeat(7_999))), "half a character");
        assert!(is_cut("ü".repeat(8_000)), "characters");
        assert!(is_cut("🦀".repeat(4_000)), "UTF-16 code units");
    }

    #[test]
    fn a_reason_for_skipping_is_no_output() {
        use StatusDetails::{Failed, Skipped, Success};
        let platform = "Step execution skipped due to unsupported plugin: aws:runPowerShellScript. \
                        Step name: onWindows";
        let after_exit = "Plugin with name aws:runShellScript and id last skipped due to prior \
                          step with an exit condition";
        for reason in [platform, after_exit] {
            assert_eq!(skip_reason(&format!("{reason}\n"), &Success), Some(reason));
            assert_eq!(skip_reason(reason, &Failed), None);
            assert_eq!(skip_reason(&format!("{reason}\nand more"), &Success), None);
            assert_eq!(skip_reason(&format!("said: {reason}"), &Success), None);
        }
        assert_eq!(skip_reason("", &Skipped), Some(""));
        assert_eq!(skip_reason("done", &Success), None);
    }
}
