//! The task token. Anyone who holds it and may call `states:SendTask*` can answer the task.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use secrecy::{ExposeSecret, SecretString};

/// Maximum length of a token, in characters (Step Functions API, `TaskToken`).
pub const TOKEN_CHARS_MAX: usize = 2_048;

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
