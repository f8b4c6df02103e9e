//! The task token: whoever holds it, and may call `states:SendTask*`, can answer the task.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// The longest token that Step Functions takes, in characters (Step Functions API, `TaskToken`).
pub const TOKEN_CHARS_MAX: usize = 2048;

/// A task token. It cannot be printed or serialized; only an adapter of
/// [`Tasks`](crate::ports::Tasks) may [`expose`](TaskToken::expose) it, to put it in a request.
#[derive(Clone)]
pub struct TaskToken(SecretString);

/// The `taskToken` parameter does not hold one token of 1 to 2,048 characters. The text is
/// deliberately not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the parameter `taskToken` has {chars} characters in {values} values, wanted is one value of 1 to 2048"
)]
pub struct InvalidToken {
    /// Characters of the first value.
    pub chars: usize,
    /// Values in the parameter's list.
    pub values: usize,
}

impl TaskToken {
    /// Takes the values of the parameter `taskToken` as Run Command keeps them: a list of one.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] when there is not exactly one value, or it is empty or too long.
    pub fn from_parameter(values: &[String]) -> Result<Self, InvalidToken> {
        let chars = values.first().map_or(0, |value| value.chars().count());
        match values {
            [value] if (1..=TOKEN_CHARS_MAX).contains(&chars) => {
                Ok(Self(SecretString::from(value.as_str())))
            }
            _ => Err(InvalidToken { chars, values: values.len() }),
        }
    }

    /// The token itself, for a request to Step Functions and for nothing else.
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
    fn one_value_of_1_to_2048_characters_is_a_token() {
        let values = |lengths: &[usize]| lengths.iter().map(|n| "ä".repeat(*n)).collect::<Vec<_>>();
        assert!(TaskToken::from_parameter(&values(&[1])).is_ok());
        assert!(TaskToken::from_parameter(&values(&[2048])).is_ok());
        for bad in [&[][..], &[0], &[2049], &[1, 1]] {
            assert!(TaskToken::from_parameter(&values(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_invalid_token_is_not_quoted() {
        let error = TaskToken::from_parameter(&["secret".repeat(400)]).unwrap_err();
        assert!(!error.to_string().contains("secret"));
        assert!(!format!("{error:?}").contains("secret"));
    }
}
