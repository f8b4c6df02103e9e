//! What to explain: a command, or an execution.

use callback::CommandId;

use crate::problem::Problem;
use crate::shown::printable;

/// Maximum length of a quote from the command line, in characters: not enough to show a task token.
const QUOTED_CHARS_MAX: usize = 60;

/// What to explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The task of a command.
    Command(CommandId),
    /// The tasks of an execution.
    Execution(ExecutionArn),
}

/// The ARN of an execution of a standard state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionArn {
    arn: String,
    region: String,
    account: String,
}

impl Subject {
    /// Parses a command's ID or an execution's ARN.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.starts_with("arn:") {
            return ExecutionArn::parse(text).map(Self::Execution);
        }
        CommandId::parse(text).map(Self::Command).map_err(|_| {
            let (got, hint) = (quoted(text), hint(text));
            Problem::new(format!(
                "expected a command id (a UUID) or the ARN of an execution, got `{got}`{hint}. \
                 `relayctl waiting` lists commands"
            ))
        })
    }

    /// The region in an ARN.
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Command(_) => None,
            Self::Execution(execution) => Some(&execution.region),
        }
    }

    /// Checks that an ARN is of this region.
    pub fn check_region(&self, region: &str) -> Result<(), Problem> {
        match self {
            Self::Execution(execution) if execution.region != region => Err(Problem::new(format!(
                "expected an execution in {region}, got one in {}. Leave out --region, or give that one",
                execution.region
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that an ARN is of this account.
    pub fn check_account(&self, account: &str) -> Result<(), Problem> {
        match self {
            Self::Execution(execution) if execution.account != account => {
                Err(Problem::new(format!(
                    "expected an execution of account {account}, whose credentials these are, got one \
                     of {}. Use credentials of that account",
                    execution.account
                )))
            }
            _ => Ok(()),
        }
    }
}

impl ExecutionArn {
    /// Parses `arn:PARTITION:states:REGION:ACCOUNT:execution:STATE_MACHINE:NAME`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let parts: Vec<_> = text.split(':').collect();
        let kind = match parts[..] {
            ["arn", _, "states", region, account, "execution", machine, name]
                if ![region, account, machine, name].contains(&"") && is_plain(text) =>
            {
                let (region, account) = (region.to_owned(), account.to_owned());
                return Ok(Self { arn: text.to_owned(), region, account });
            }
            ["arn", _, "states", _, _, "express", ..] => {
                "an express execution, which cannot wait for a command"
            }
            ["arn", _, "states", _, _, "stateMachine", ..] => "a state machine",
            ["arn", _, "states", _, _, "mapRun", ..] => {
                "a map run. Give the ARN of a child execution"
            }
            ["arn", _, "states", ..] => "something else of Step Functions",
            _ => "something else",
        };
        Err(Problem::new(format!(
            "expected the ARN of an execution, got `{}`, which is that of {kind}",
            quoted(text)
        )))
    }

    /// The execution of this name of a state machine.
    pub fn of_machine(machine_arn: &str, name: &str) -> Option<Self> {
        let machine = machine_arn.replacen(":stateMachine:", ":execution:", 1);
        Self::parse(&format!("{machine}:{name}")).ok()
    }

    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.arn
    }

    /// The name of the execution.
    pub fn name(&self) -> &str {
        crate::shown::after_colon(&self.arn)
    }
}

/// Whether a text can be an ARN: printable, without spaces.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|char| char.is_whitespace() || char.is_control())
}

/// What an ID of another kind is.
fn hint(text: &str) -> &'static str {
    match text {
        _ if text.starts_with("i-") || text.starts_with("mi-") => ", which is a node",
        _ if text.len() > 100 => ", which may be a task token",
        _ => "",
    }
}

/// The beginning of an argument. A token is as long as an ARN, so less of other texts is quoted.
fn quoted(text: &str) -> String {
    let chars_max = if text.starts_with("arn:") { QUOTED_CHARS_MAX } else { 12 };
    let mut got: String = printable(text).chars().take(chars_max).collect();
    if got.len() < text.len() {
        got.push('…');
    }
    got
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:states:eu-central-1:111122223333:execution:ops:nightly";

    fn problem(text: &str) -> String {
        Subject::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_subject_is_a_command_or_an_execution() {
        let id = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";
        assert_eq!(Subject::parse(id).unwrap(), Subject::Command(CommandId::parse(id).unwrap()));
        let Subject::Execution(execution) = Subject::parse(ARN).unwrap() else { panic!("an ARN") };
        assert_eq!((execution.as_str(), execution.name()), (ARN, "nightly"));
        let machine = "arn:aws:states:eu-central-1:111122223333:stateMachine:ops";
        assert_eq!(ExecutionArn::of_machine(machine, "nightly"), Some(execution));
        assert_eq!(ExecutionArn::of_machine(machine, "a comment: free text"), None);
    }

    #[test]
    fn another_kind_is_named() {
        for (text, part) in [
            ("i-00000000000000001", "got `i-0000000000…`, which is a node"),
            (
                "arn:aws:states:eu-central-1:111122223333:stateMachine:ops",
                "that of a state machine",
            ),
            (
                "arn:aws:states:eu-central-1:111122223333:express:ops:one:two",
                "an express execution",
            ),
            ("arn:aws:states:eu-central-1:111122223333:mapRun:ops/x:y", "a map run"),
            ("arn:aws:s3:::bucket", "something else"),
            (
                "arn:aws:states:eu-central-1::execution:ops:nightly",
                "something else of Step Functions",
            ),
        ] {
            assert!(problem(text).contains(part), "{}", problem(text));
        }
        let token = "AAAAKgAAAAIAAAAA".repeat(40);
        assert!(problem(&token).contains("`AAAAKgAAAAIA…`, which may be a task token"));
    }

    #[test]
    fn another_account_or_region_is_named() {
        let subject = Subject::parse(ARN).unwrap();
        assert_eq!(subject.check_region("eu-central-1"), Ok(()));
        assert_eq!(subject.check_account("111122223333"), Ok(()));
        let region = subject.check_region("us-east-1").unwrap_err().to_string();
        assert!(region.starts_with("expected an execution in us-east-1, got one in eu-central-1."));
        let account = subject.check_account("444455556666").unwrap_err().to_string();
        assert!(account.contains("got one of 111122223333"), "{account}");
    }
}
