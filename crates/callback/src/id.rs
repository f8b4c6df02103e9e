//! Identifiers, parsed once, so that a value that reaches a request is known to be one.

use std::fmt;

/// How much of a wrong identifier an error quotes, in characters: enough to recognize it, and too
/// little of a task token that stands where it does not belong.
const QUOTED_CHARS_MAX: usize = 16;

/// A command's id: a UUID in lower case (SSM API, `CommandId`: 36 characters).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(String);

/// A managed node's id, such as `i-02573cafcfEXAMPLE` or `mi-0471e04240EXAMPLE0` (SSM API,
/// `InstanceId`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(String);

/// A text that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{came}` is not {wanted}")]
pub struct InvalidId {
    came: String,
    wanted: &'static str,
}

impl CommandId {
    /// Parses a UUID: 36 characters, hexadecimal digits in groups of 8-4-4-4-12. Upper case
    /// becomes lower case.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] tells what came and what was wanted.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let well_formed = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if well_formed {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidId::new(text, "a command id (a UUID of 36 characters)"))
        }
    }

    /// The id as the API takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InstanceId {
    /// Parses `i-` or `mi-` and 1 to 64 letters, digits or underscores. The API knows 8 and 17
    /// of them today; a new length is no reason to lose a command's result.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] tells what came and what was wanted.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let suffix = text.strip_prefix("i-").or_else(|| text.strip_prefix("mi-"));
        let well_formed = suffix.is_some_and(|suffix| {
            (1..=64).contains(&suffix.len())
                && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(text, "a managed node's id (`i-…` or `mi-…`)"))
        }
    }

    /// The id as the API takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InvalidId {
    fn new(came: &str, wanted: &'static str) -> Self {
        let mut quoted: String = came.chars().take(QUOTED_CHARS_MAX).collect();
        if quoted.len() < came.len() {
            quoted.push('…');
        }
        Self { came: quoted, wanted }
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";

    #[test]
    fn command_id_is_a_uuid_in_lower_case() {
        assert_eq!(CommandId::parse(UUID).unwrap().as_str(), UUID);
        assert_eq!(CommandId::parse(&UUID.to_uppercase()).unwrap().as_str(), UUID);
        for bad in
            ["", "x", &UUID[1..], "0b8ef9e2x1b2c-4d3e-8f4a-5b6c7d8e9f00", &format!("{UUID}0")]
        {
            assert!(CommandId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instance_id_is_a_node_or_a_hybrid_node() {
        for good in
            ["i-12345678", "i-1234567890abcdef0", "mi-1234567890abcdef0", "i-02573cafcfEXAMPLE"]
        {
            assert_eq!(InstanceId::parse(good).unwrap().as_str(), good);
        }
        for bad in
            ["", "i-", "x-12345678", "i-1234 5678", "i-ä2345678", &format!("i-{}", "a".repeat(65))]
        {
            assert!(InstanceId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_quotes_what_came_and_cuts_it() {
        let error = CommandId::parse(&"z".repeat(1000)).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("`{}…` is not a command id (a UUID of 36 characters)", "z".repeat(16))
        );
    }
}
