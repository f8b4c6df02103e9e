//! Why something could not be found out, in one sentence.

use std::fmt;

use callback::ports::{CallError, CallErrorReason};

/// Error codes of credentials that are not valid, or not any more.
const INVALID_CREDENTIALS: [&str; 8] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// One sentence: what was expected, what came, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

impl Problem {
    /// A problem with this sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// A call that failed. `action` is the right that it needs, such as `ssm:ListCommands`.
    pub fn call(action: &str, error: &CallError) -> Self {
        Self(match &error.reason {
            CallErrorReason::Api(code) if is_denial_of_key(code) => format!(
                "the right kms:Decrypt on the key of KmsKeyArn is missing: {error}. Give it to the role \
                 or user that runs relayctl"
            ),
            CallErrorReason::Api(code) if is_denial(code) => format!(
                "the right {action} is missing: {error}. Give it to the role or user that runs relayctl"
            ),
            CallErrorReason::Api(code) if INVALID_CREDENTIALS.contains(&code.as_str()) => format!(
                "expected valid AWS credentials, got {code} from {}. Sign in again, or choose another \
                 profile with AWS_PROFILE",
                error.operation
            ),
            CallErrorReason::UnexpectedResponse(Some(status @ (401 | 403 | 407))) => format!(
                "{} was refused with HTTP status {status}, and not by AWS. Check AWS_ENDPOINT_URL, the \
                 network's proxy, and the credentials",
                error.operation
            ),
            CallErrorReason::NotConnected
            | CallErrorReason::NotSent
            | CallErrorReason::TimedOut => {
                format!("{error}. Check the network, --region and AWS_ENDPOINT_URL")
            }
            _ => format!("{error}. See infra/RUNBOOK.md#failed-calls"),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

/// Whether a code means that a key may not be used: `KmsAccessDenied` of SQS, or with a dot before.
fn is_denial_of_key(code: &str) -> bool {
    code.to_ascii_lowercase().starts_with("kms") && is_denial(code)
}

/// Whether a code means that a right is missing.
fn is_denial(code: &str) -> bool {
    code.contains("AccessDenied") || matches!(code, "UnauthorizedOperation" | "NotAuthorized")
}

#[cfg(test)]
mod tests {
    use callback::ports::CallErrorKind;

    use super::*;

    fn sentence(reason: CallErrorReason) -> String {
        let kind = CallErrorKind::Permanent;
        let error = CallError { operation: "ListCommands", reason, request_id: None, kind };
        Problem::call("ssm:ListCommands", &error).to_string()
    }

    #[test]
    fn a_denied_call_names_the_right() {
        for code in ["AccessDenied", "AccessDeniedException"] {
            let sentence = sentence(CallErrorReason::Api(code.to_owned()));
            assert!(sentence.starts_with("the right ssm:ListCommands is missing: "), "{sentence}");
        }
    }

    /// SQS calls the key with the caller's rights.
    #[test]
    fn a_key_that_is_denied_is_named() {
        for code in ["KMS.AccessDeniedException", "KmsAccessDenied"] {
            let sentence = sentence(CallErrorReason::Api(code.to_owned()));
            assert!(
                sentence.starts_with("the right kms:Decrypt on the key of KmsKeyArn is missing")
            );
        }
    }

    #[test]
    fn credentials_that_are_not_valid_are_named() {
        let sentence = sentence(CallErrorReason::Api("ExpiredTokenException".to_owned()));
        assert!(
            sentence.starts_with("expected valid AWS credentials, got ExpiredToken"),
            "{sentence}"
        );
    }

    #[test]
    fn anything_else_is_told_as_it_is() {
        let throttled = sentence(CallErrorReason::Api("ThrottlingException".to_owned()));
        assert_eq!(
            throttled,
            "ListCommands failed: ThrottlingException. See infra/RUNBOOK.md#failed-calls"
        );
        assert!(sentence(CallErrorReason::NotConnected).ends_with("AWS_ENDPOINT_URL"));
        assert!(sentence(CallErrorReason::UnexpectedResponse(Some(403))).contains("not by AWS"));
    }
}
