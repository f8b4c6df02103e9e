//! What a step wrote: kept as bytes, cut by bytes, told as text.
//!
//! All limits are the agent's, in bytes (seen with amazon-ssm-agent 3.3). A cut may split a
//! character.

/// An output of this many bytes or more is cut. Also the most that is kept of it.
pub(crate) const OUTPUT_BYTES_MAX: usize = 24_000;
/// What the agent writes at the end of an output that it cut.
const CUT_MARK: &[u8] = b"--output truncated--";
/// Both outputs in one text, with all marks, are at most this long.
const LISTED_BYTES_MAX: usize = 2_500;
/// The line between standard output and standard error in the listed text.
const ERROR_SEPARATOR: &[u8] = b"\n----------ERROR-------\n";
/// The mark at the end of a cut standard output in the listed text.
const STDOUT_CUT: &[u8] = b"\n---Output truncated---";
/// The mark at the end of a cut standard error in the listed text.
const STDERR_CUT: &[u8] = b"\n---Error truncated----";

/// Both outputs of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Output {
    /// Appends what came later.
    pub(crate) fn append(&mut self, later: &Self) {
        self.stdout.extend_from_slice(&later.stdout);
        self.stderr.extend_from_slice(&later.stderr);
    }

    /// Both in one text, as a list of invocations shows them. What does not fit is cut from the
    /// longer one; when both are too long, both get the same.
    pub(crate) fn listed(&self) -> String {
        let Self { stdout, stderr } = self;
        let separator = if stderr.is_empty() { b"" } else { ERROR_SEPARATOR };
        let room = LISTED_BYTES_MAX - separator.len();
        let (out, err) = (stdout.len(), stderr.len());
        let parts: [&[u8]; 5] = if out + err < room {
            [stdout, b"", separator, stderr, b""]
        } else if out > room / 2 && err > room / 2 {
            let each = (room - STDOUT_CUT.len() - STDERR_CUT.len()) / 2;
            [&stdout[..each], STDOUT_CUT, separator, &stderr[..each], STDERR_CUT]
        } else if out <= room / 2 {
            let kept = room - STDERR_CUT.len() - out;
            [stdout, b"", separator, &stderr[..kept], STDERR_CUT]
        } else {
            let kept = room - STDOUT_CUT.len() - err;
            [&stdout[..kept], STDOUT_CUT, separator, stderr, b""]
        };
        text(&parts.concat())
    }
}

/// One output as the agent reports it: whole, or its beginning and the mark.
pub(crate) fn reported(output: &[u8]) -> String {
    if output.len() < OUTPUT_BYTES_MAX {
        return text(output);
    }
    text(&[&output[..OUTPUT_BYTES_MAX - CUT_MARK.len()], CUT_MARK].concat())
}

/// The bytes as text. Each byte that belongs to no character becomes U+FFFD, as Go writes JSON.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stdout: &[u8], stderr: &[u8]) -> Output {
        Output { stdout: stdout.to_vec(), stderr: stderr.to_vec() }
    }

    #[test]
    fn the_separator_is_there_exactly_when_stderr_has_a_byte() {
        assert_eq!(output(b"out", b"").listed(), "out");
        assert_eq!(output(b"", b"e").listed(), "\n----------ERROR-------\ne");
        assert_eq!(output(b"out", b"err").listed(), "out\n----------ERROR-------\nerr");
        // So a script can write one that is none.
        assert_eq!(
            output(b"out\n----------ERROR-------\nerr", b"").listed(),
            output(b"out", b"err").listed()
        );
    }

    #[test]
    fn a_listed_output_has_a_room_of_2500_bytes_and_fits_below_it() {
        let long = |byte: u8, count: usize| vec![byte; count];
        assert_eq!(output(&long(b'o', 2_499), b"").listed(), "o".repeat(2_499));
        let cut = output(&long(b'o', 2_500), b"").listed();
        assert_eq!(cut, format!("{}\n---Output truncated---", "o".repeat(2_477)));

        let room = 2_500 - 24;
        let fits = output(&long(b'o', room - 4), b"err").listed();
        assert_eq!(fits.len(), 2_499);
        assert!(!fits.contains("truncated"));
        let cut = output(&long(b'o', room - 3), b"err").listed();
        assert!(cut.ends_with("\n---Output truncated---\n----------ERROR-------\nerr"), "{cut}");
        assert_eq!(cut.len(), 2_500);
    }

    #[test]
    fn a_long_stderr_is_cut_and_a_short_stdout_is_kept() {
        let cut = output(b"out", &[b'e'; 3_000]).listed();
        assert!(cut.starts_with("out\n----------ERROR-------\neee"));
        assert!(cut.ends_with("e\n---Error truncated----"));
        assert_eq!(cut.len(), 2_500);
    }

    #[test]
    fn two_long_outputs_get_1215_bytes_each() {
        let cut = output(&[b'o'; 3_000], &[b'e'; 3_000]).listed();
        let (out, err) = ("o".repeat(1_215), "e".repeat(1_215));
        let expected = format!(
            "{out}\n---Output truncated---\n----------ERROR-------\n{err}\n---Error truncated----"
        );
        assert_eq!(cut, expected);
    }

    #[test]
    fn an_output_of_24000_bytes_is_cut_to_23980_and_the_mark() {
        assert_eq!(reported(&vec![b'x'; 23_999]), "x".repeat(23_999));
        for length in [24_000, 50_000] {
            let expected = format!("{}--output truncated--", "x".repeat(23_980));
            assert_eq!(reported(&vec![b'x'; length]), expected);
        }
    }

    #[test]
    fn a_cut_can_split_a_character() {
        let cut = reported("€".repeat(8_000).as_bytes());
        assert_eq!(cut, format!("{}\u{fffd}--output truncated--", "€".repeat(7_993)));
        let listed = output("ä".repeat(2_000).as_bytes(), b"").listed();
        assert_eq!(listed, format!("{}\u{fffd}\n---Output truncated---", "ä".repeat(1_238)));
    }

    #[test]
    fn every_byte_that_is_no_text_is_replaced() {
        assert_eq!(text(b"a\xffb\x01\xe2\x82"), "a\u{fffd}b\u{1}\u{fffd}\u{fffd}");
    }
}
