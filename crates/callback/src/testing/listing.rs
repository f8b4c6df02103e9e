//! Truncates script output as the SSM agent does for `ListCommandInvocations`.

use crate::output::Output;

/// Maximum length of a step's listed output, in characters.
const LISTED_CHARS_MAX: usize = 2_500;
/// What remains of standard output and of standard error if they are too long to be listed, in
/// characters each.
const LISTED_PART_CHARS: usize = 1_200;

/// The output of a step that printed this, as the listing returns it.
pub fn listed_output(stdout: &str, stderr: &str) -> Output {
    Output::from_listing(&agents_text(stdout, stderr))
}

/// Both outputs in one text, in the agent's format.
fn agents_text(stdout: &str, stderr: &str) -> String {
    let joined = |stdout: &str, stderr: &str| match stderr {
        "" => stdout.to_owned(),
        _ => format!("{stdout}\n----------ERROR-------\n{stderr}"),
    };
    let whole = joined(stdout, stderr);
    if whole.chars().count() < LISTED_CHARS_MAX {
        return whole;
    }
    let cut = |text: &str, mark: &str| match text.char_indices().nth(LISTED_PART_CHARS) {
        Some((end, _)) => format!("{}\n{mark}", &text[..end]),
        None => text.to_owned(),
    };
    joined(&cut(stdout, "---Output truncated---"), &cut(stderr, "---Error truncated----"))
}
