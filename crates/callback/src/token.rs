//! The task token. Anyone who holds it and may call `states:SendTask*` can answer the task.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};

/// Maximum length of a token, in characters (Step Functions API, `TaskToken`).
pub const TOKEN_CHARS_MAX: usize = 2_048;

/// What stands in a text for a token that was replaced.
pub const REDACTED: &str = "[task token]";
/// Minimum length of a part of a token that is replaced, in bytes. Real tokens have about 700, so a
/// shorter part tells nothing.
const PART_BYTES_MIN: usize = 16;
/// Parts that are at most this many bytes apart are replaced as one. Covers an escaped character,
/// such as `%2B` or `\\u002b`.
const GAP_BYTES_MAX: usize = 8;

/// A task token. It cannot be printed or serialized. Only an implementation of
/// [`Tasks`](crate::ports::Tasks) may [`expose`](TaskToken::expose) it, to put it into a request.
#[derive(Clone)]
pub struct TaskToken(SecretString);

/// The `taskToken` parameter is not one token of 1 to 2,048 characters. Its text is deliberately
/// not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// The parameter does not have exactly one value, but this many.
    #[error("parameter `taskToken`: expected one value of 1 to 2,048 characters, got {0} values")]
    Values(usize),
    /// The value is empty or too long: it has this many characters.
    #[error("parameter `taskToken`: expected 1 to 2,048 characters, got {0}")]
    Chars(usize),
}

impl TaskToken {
    /// Reads the values of the parameter `taskToken`, which Run Command keeps as a list of one.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] if there is not exactly one value, or if it is empty or too long.
    pub fn from_parameter(values: &[String]) -> Result<Self, InvalidToken> {
        let [value] = values else { return Err(InvalidToken::Values(values.len())) };
        match value.chars().count() {
            1..=TOKEN_CHARS_MAX => Ok(Self(SecretString::from(value.as_str()))),
            chars => Err(InvalidToken::Chars(chars)),
        }
    }

    /// A hash of the token that tells nothing about it, and that only the owner of `keys` can compute.
    pub fn fingerprint(&self, keys: &RandomState) -> u64 {
        keys.hash_one(self.expose())
    }

    /// The token itself, for requests to Step Functions only.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Replaces this token in texts that others wrote.
    pub fn redaction(&self) -> Redaction {
        let bytes: Vec<_> = without_backslashes(self.expose()).map(|(_, byte)| byte).collect();
        let part_bytes = bytes.len().clamp(1, PART_BYTES_MIN);
        Redaction { part_bytes, parts: bytes.windows(part_bytes).map(<[u8]>::to_vec).collect() }
    }
}

/// Replaces a token in texts that others wrote: the whole token, each part of it of at least 16
/// bytes, and both where characters are escaped.
pub struct Redaction {
    part_bytes: usize,
    parts: HashSet<Vec<u8>>,
}

impl Redaction {
    /// The text with [`REDACTED`] in place of the token.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.parts.is_empty() {
            // A token of nothing but backslashes cannot be told from escapes.
            return Cow::Borrowed(if text.is_empty() { "" } else { REDACTED });
        }
        let (places, bytes): (Vec<_>, Vec<_>) = without_backslashes(text).unzip();
        let mut found: Vec<Range<usize>> = Vec::new();
        for (at, part) in bytes.windows(self.part_bytes).enumerate() {
            if !self.parts.contains(part) {
                continue;
            }
            let (start, end) = (places[at], places[at + self.part_bytes - 1] + 1);
            match found.last_mut() {
                Some(last) if start <= last.end + GAP_BYTES_MAX => last.end = end,
                _ => found.push(start..end),
            }
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut redacted = String::new();
        let mut told = 0;
        for Range { start, end } in found {
            redacted.push_str(&text[told..text.floor_char_boundary(start).max(told)]);
            redacted.push_str(REDACTED);
            told = text.ceil_char_boundary(end);
        }
        redacted.push_str(&text[told..]);
        Cow::Owned(redacted)
    }
}

/// The bytes of a text and their places. Left out are backslashes, which escape the next byte.
fn without_backslashes(text: &str) -> impl Iterator<Item = (usize, u8)> {
    text.bytes().enumerate().filter(|(_, byte)| *byte != b'\\')
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskToken(REDACTED)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_redacted_when_printed() {
        let token = TaskToken::from_parameter(&["AAAAKgAAAAIAAAAA".into()]).unwrap();
        assert_eq!(format!("{token:?}"), "TaskToken(REDACTED)");
        assert_eq!(token.expose(), "AAAAKgAAAAIAAAAA");
    }

    fn redacted(token: &str, text: &str) -> String {
        let token = TaskToken::from_parameter(&[token.to_owned()]).unwrap();
        token.redaction().redact(text).into_owned()
    }

    #[test]
    fn a_token_is_replaced_whole_in_parts_and_escaped() {
        let token = "AAAAKgAAAAIAAAAA+TokenOfTheUnit/\"Tests\"==";
        for (text, expected) in [
            (
                format!("value /{token}/ is wrong, {token}!"),
                "value /[task token]/ is wrong, [task token]!",
            ),
            (format!("cut: {}", &token[..16]), "cut: [task token]"),
            (format!("cut: {}", &token[..15]), &*format!("cut: {}", &token[..15])),
            (format!("...{} end", &token[9..30]), "...[task token] end"),
            (format!("{token:?}"), "\"[task token]\""),
            (format!("{}%2B{}", &token[..16], &token[17..]), "[task token]"),
            ("a text\\\\ of its own".to_owned(), "a text\\\\ of its own"),
        ] {
            assert_eq!(redacted(token, &text), expected);
        }
        assert_eq!(redacted("ä🦀", "aä🦀ä"), "a[task token]ä");
        assert_eq!(redacted("\\\\", "\\\\"), "[task token]");
    }

    #[test]
    fn a_fingerprint_is_that_of_the_token_and_of_the_keys() {
        let token = |text: &str| TaskToken::from_parameter(&[text.to_owned()]).unwrap();
        let (keys, others) = (RandomState::new(), RandomState::new());
        assert_eq!(token("one").fingerprint(&keys), token("one").fingerprint(&keys));
        assert_ne!(token("one").fingerprint(&keys), token("two").fingerprint(&keys));
        assert_ne!(token("one").fingerprint(&keys), token("one").fingerprint(&others));
    }

    #[test]
    fn one_value_of_1_to_2048_characters_is_a_token() {
        let values = |lengths: &[usize]| lengths.iter().map(|n| "ä".repeat(*n)).collect::<Vec<_>>();
        assert!(TaskToken::from_parameter(&values(&[1])).is_ok());
        assert!(TaskToken::from_parameter(&values(&[2048])).is_ok());
        for bad in [&[][..], &[0], &[2049], &[1, 1]] {
            assert!(TaskToken::from_parameter(&values(bad)).is_err(), "{bad:?}");
        }
        let error = TaskToken::from_parameter(&values(&[1, 1, 1])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "parameter `taskToken`: expected one value of 1 to 2,048 characters, got 3 values"
        );
    }

    #[test]
    fn an_invalid_token_is_not_quoted() {
        let error = TaskToken::from_parameter(&["secret".repeat(400)]).unwrap_err();
        assert!(!error.to_string().contains("secret"));
        assert!(!format!("{error:?}").contains("secret"));
    }
}
