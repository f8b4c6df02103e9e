//! Script output, in the formats in which the SSM agent and the API deliver it.

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

/// The line that the agent puts between standard output and standard error in a listing.
const ERROR_SEPARATOR: &str = "\n----------ERROR-------\n";
/// The agent's mark at the end of truncated standard output in a listing.
const STDOUT_CUT: &str = "\n---Output truncated---";
/// The agent's mark at the end of truncated standard error in a listing.
const STDERR_CUT: &str = "\n---Error truncated----";
/// Maximum length of one plugin's `Output` in `ListCommandInvocations`, in characters.
const LISTED_CHARS_MAX: usize = 2_500;
/// Maximum length of `StandardOutputContent` in `GetCommandInvocation`, in characters.
const STDOUT_CHARS_MAX: usize = 24_000;
/// Maximum length of `StandardErrorContent` in `GetCommandInvocation`, in characters.
const STDERR_CHARS_MAX: usize = 8_000;
/// Maximum length of each stream of a [beginning](Output::into_beginning), in characters. Enough to
/// tell a step that the agent skipped.
const BEGINNING_CHARS_MAX: usize = 64;
/// The agent's mark at the end of output that is longer than the agent keeps.
const FULL_CUT: &str = "--output truncated--";

impl Output {
    /// Splits a plugin's `Output` (SSM API, `ListCommandInvocations`): at most 2,500 characters of
    /// standard output and standard error, with the agent's separator between them.
    pub fn from_listing(text: &str) -> Self {
        let (stdout, stderr) = text.split_once(ERROR_SEPARATOR).unwrap_or((text, ""));
        let whole_stdout = stdout.strip_suffix(STDOUT_CUT);
        let whole_stderr = stderr.strip_suffix(STDERR_CUT);
        let truncated =
            whole_stdout.is_some() || whole_stderr.is_some() || reaches(text, LISTED_CHARS_MAX);
        Self {
            stdout: whole_stdout.unwrap_or(stdout).to_owned(),
            stderr: whole_stderr.unwrap_or(stderr).to_owned(),
            truncated,
            exact: !stderr.contains(ERROR_SEPARATOR),
        }
    }

    /// Takes `StandardOutputContent` and `StandardErrorContent` (SSM API, `GetCommandInvocation`):
    /// at most 24,000 and 8,000 characters.
    pub fn from_invocation(stdout: String, stderr: String) -> Self {
        let truncated = reaches(&stdout, STDOUT_CHARS_MAX)
            || reaches(&stderr, STDERR_CHARS_MAX)
            || stdout.trim_end().ends_with(FULL_CUT)
            || stderr.trim_end().ends_with(FULL_CUT);
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

    #[test]
    fn a_listed_output_is_split_at_the_agents_separator() {
        let output = Output::from_listing(
            "out\n----------ERROR-------\nfailed to run commands: exit status 3",
        );
        assert_eq!(output.stdout, "out");
        assert_eq!(output.stderr, "failed to run commands: exit status 3");
        assert!(!output.truncated && output.exact);
        assert_eq!(Output::from_listing("only out\n").stdout, "only out\n");
        assert_eq!(Output::from_listing("\n----------ERROR-------\nonly err").stderr, "only err");
    }

    #[test]
    fn a_cut_listed_output_says_so() {
        let output = Output::from_listing(
            "o\n---Output truncated---\n----------ERROR-------\ne\n---Error truncated----",
        );
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("o", "e"));
        assert!(output.truncated);
        assert!(Output::from_listing(&"ä".repeat(2_500)).truncated);
        assert!(!Output::from_listing(&"ä".repeat(2_499)).truncated);
    }

    #[test]
    fn a_script_that_prints_the_separator_is_noticed() {
        let output =
            Output::from_listing("a\n----------ERROR-------\nb\n----------ERROR-------\nc");
        assert!(!output.exact);
    }

    #[test]
    fn a_beginning_says_whether_it_is_cut() {
        let short = Output::from_listing(&format!("{}\n----------ERROR-------\ne", "ä".repeat(64)));
        assert_eq!(short.clone().into_beginning(), short);
        let long = Output { stdout: "ä".repeat(65), ..short.clone() };
        assert_eq!(long.into_beginning(), Output { truncated: true, ..short.clone() });
        let cut = Output { truncated: true, ..short };
        assert_eq!(cut.clone().into_beginning(), cut);
    }

    #[test]
    fn a_full_output_at_its_limit_is_truncated() {
        assert!(!Output::from_invocation("x".repeat(23_999), "y".repeat(7_999)).truncated);
        assert!(Output::from_invocation("x".repeat(24_000), String::new()).truncated);
        assert!(Output::from_invocation(String::new(), "y".repeat(8_000)).truncated);
        assert!(Output::from_invocation("x\n--output truncated--".into(), String::new()).truncated);
    }
}
