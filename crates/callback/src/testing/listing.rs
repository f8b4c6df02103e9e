//! Truncates script output as the SSM agent does for `ListCommandInvocations`.

use crate::StatusDetails;
use crate::output::Output;

/// Both outputs of a step are listed whole if they are shorter than this together, in bytes.
const LISTED_BYTES_MAX: usize = 2_500;
/// What remains of standard output and of standard error if they are too long to be listed, in bytes
/// each.
const LISTED_PART_BYTES: usize = 1_200;

/// The output of a step that ended so and printed this, as the listing returns it.
pub fn listed_output(stdout: &str, stderr: &str, details: &StatusDetails) -> Output {
    Output::from_listing(&agents_text(stdout, stderr), details)
}

/// Both outputs in one text, in the agent's format.
fn agents_text(stdout: &str, stderr: &str) -> String {
    let joined = |stdout: &str, stderr: &str| match stderr {
        "" => stdout.to_owned(),
        _ => format!("{stdout}\n----------ERROR-------\n{stderr}"),
    };
    let whole = joined(stdout, stderr);
    if whole.len() < LISTED_BYTES_MAX {
        return whole;
    }
    let cut = |text: &str, mark: &str| match text.len() {
        0..=LISTED_PART_BYTES => text.to_owned(),
        _ => format!("{}\n{mark}", &text[..text.floor_char_boundary(LISTED_PART_BYTES)]),
    };
    joined(&cut(stdout, "---Output truncated---"), &cut(stderr, "---Error truncated----"))
}
