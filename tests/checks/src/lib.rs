//! What must hold whatever comes in. Each module has one entrance, `check`, which panics when it
//! does not hold. The tests of this crate go in with arbitrary values; `make fuzz` (`tests/fuzz`)
//! goes in with bytes that libFuzzer makes.
//!
//! - [`event`]: an event reaches AWS as a command id that is one, or not at all.
//! - [`answers`]: whatever AWS answers, the task is told something that Step Functions takes.
//! - [`report`]: a report is JSON within its limit and tells every node truly.
//! - [`documents`]: a parameter of our documents reaches the script as what it is, or is refused.
//!
//! Input as bytes is text of several parts, divided by lines that hold [`DIVIDER`] alone. So seeds
//! can be read, and a fuzzer can cut and join them.

pub mod answers;
pub mod aws;
pub mod documents;
pub mod event;
pub mod report;

/// The line between two parts of an input.
pub const DIVIDER: &str = "%%";

/// A task token as long as real ones are. Whatever quotes it has quoted a token.
pub const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAtokenOfHostileInput0123456789/tokenOfHostileInput0123456789\
    +tokenOfHostileInput0123456789/tokenOfHostileInput0123456789==";

/// The parts of an input.
pub fn parts(input: &[u8]) -> Vec<&[u8]> {
    let divider = format!("\n{DIVIDER}\n").into_bytes();
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(divider.len()).position(|window| window == divider) {
        parts.push(&rest[..at]);
        rest = &rest[at + divider.len()..];
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_divided_at_lines_of_their_own() {
        let whole: [&[u8]; 4] = [b"a%%b", b"", b"%%", b"c\n"];
        assert_eq!(parts(b"a%%b\n%%\n\n%%\n%%\n%%\nc\n"), whole);
        assert_eq!(parts(b""), [b""]);
    }
}
