//! The credentials of a caller: the key of this run, or a key issued for a role.

use std::fmt;

use uuid::Uuid;

/// The start of a session token that says which function calls.
const FUNCTION_PREFIX: &str = "function:";
/// The session token of runbooks.
const AUTOMATION: &str = "automation";

/// Credentials as the AWS APIs take them.
#[derive(Clone)]
pub struct Credentials {
    /// The access key id, which the gate knows a caller by.
    pub access_key_id: String,
    /// What requests are signed with.
    pub secret_access_key: String,
    /// What goes with each request; the key of a run has none.
    pub session_token: Option<String>,
}

/// Never prints the secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(REDACTED)")
    }
}

impl Credentials {
    /// A new key that nobody can guess.
    pub fn random() -> Self {
        let random = || Uuid::new_v4().simple().to_string();
        Self {
            access_key_id: format!("AKIA{}", random().to_ascii_uppercase()),
            secret_access_key: random(),
            session_token: None,
        }
    }

    /// The same key in the hands of a function.
    #[must_use]
    pub fn for_function(&self, name: &str) -> Self {
        Self { session_token: Some(format!("{FUNCTION_PREFIX}{name}")), ..self.clone() }
    }

    /// The same key in the hands of a runbook.
    #[must_use]
    pub fn for_automation(&self) -> Self {
        Self { session_token: Some(AUTOMATION.to_owned()), ..self.clone() }
    }
}

/// The name of the function whose session token this is, if it signs with the key of the run.
pub fn function_of(session_token: &str) -> Option<&str> {
    session_token.strip_prefix(FUNCTION_PREFIX)
}

/// The caller that a session token names, if it is one of [`Credentials::for_function`] or
/// [`Credentials::for_automation`]. Any other token is a secret.
pub fn named_caller(session_token: &str) -> Option<&str> {
    (function_of(session_token).is_some() || session_token == AUTOMATION).then_some(session_token)
}
