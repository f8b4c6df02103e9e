//! Identifiers. They are parsed once, so that every value in a request is well-formed.

use std::fmt;

/// Maximum length of an invalid identifier in an error, in characters: enough to recognize it, but
/// not enough to expose a task token passed by mistake.
const QUOTED_CHARS_MAX: usize = 16;
/// Maximum length of a node's ID, in characters. The API documents 10 to 20. A task token has
/// hundreds, so that one in the place of an ID is not accepted.
const INSTANCE_ID_CHARS_MAX: usize = 128;

/// A command's ID: a UUID in lower case (SSM API, `CommandId`: 36 characters).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(String);

/// A managed node's ID, such as `i-02573cafcfEXAMPLE` or `mi-0471e04240EXAMPLE0` (SSM API,
/// `InstanceId`). Other forms are kept as they come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(String);

/// A malformed identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got `{got}`")]
pub struct InvalidId {
    expected: &'static str,
    got: String,
}

impl CommandId {
    /// Parses a UUID: hexadecimal digits in groups of 8-4-4-4-12, 36 characters in all. Converts
    /// it to lower case.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] quotes the start of the text.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let well_formed = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if well_formed {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidId::new(text, "a command ID (a UUID of 36 characters)"))
        }
    }

    /// The ID in the API's spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InstanceId {
    /// Parses 1 to 128 printable ASCII characters without spaces. The API documents `i-` or `mi-`
    /// and 8 or 17 digits; other forms are accepted so that a new one does not lose a result.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] quotes the start of the text.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let well_formed = (1..=INSTANCE_ID_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(text, "a managed node ID (1 to 128 ASCII characters, no spaces)"))
        }
    }

    /// The ID in the API's spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InvalidId {
    fn new(text: &str, expected: &'static str) -> Self {
        let mut got: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        if got.len() < text.len() {
            got.push('…');
        }
        Self { expected, got }
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
    fn instance_id_is_whatever_aws_calls_a_node() {
        for good in [
            "i-12345678",
            "i-1234567890abcdef0",
            "mi-1234567890abcdef0",
            "i-02573cafcfEXAMPLE",
            "ecs:cluster_task-7/0",
            &"x".repeat(128),
        ] {
            assert_eq!(InstanceId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "i-1234 5678", "i-12345678\n", "i-\u{7f}", "i-ä2345678", &"x".repeat(129)]
        {
            assert!(InstanceId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_quotes_what_came_and_cuts_it() {
        let error = CommandId::parse(&"z".repeat(1000)).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("expected a command ID (a UUID of 36 characters), got `{}…`", "z".repeat(16))
        );
    }
}
