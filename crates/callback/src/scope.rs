//! What sweeps look after: which documents, how often, how far back, and how fast.

use std::time::Duration;

/// The shortest interval.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// How many intervals lists overlap.
const OVERLAP_INTERVALS: u32 = 2;

/// What a sweep looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Documents whose commands are looked after.
    pub documents: Documents,
    /// From one sweep to the next. Less than a second counts as a second.
    pub interval: Duration,
    /// The greatest age at which a new process looks for completed commands.
    pub lookback: Duration,
    /// The most heartbeats per second. Zero counts as one.
    pub heartbeats_per_second: u32,
}

impl Scope {
    pub(crate) fn interval(&self) -> Duration {
        self.interval.max(INTERVAL_MIN)
    }

    /// How far lists overlap, so that a read that lags leaves no hole.
    pub(crate) fn overlap(&self) -> Duration {
        self.interval() * OVERLAP_INTERVALS
    }
}

/// Names of documents, as `SendCommand` takes them: plain, or as an ARN.
///
/// Run Command keeps the name as it was given (SSM API, `ListCommands`), so a document is known by
/// its plain name and by its ARN.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents {
    names: Vec<String>,
    arn_prefix: Option<String>,
}

impl Documents {
    /// These documents. `arn_prefix` is what the ARN of an own document begins with, such as
    /// `arn:aws:ssm:eu-central-1:111122223333:document/`; without it, lists that have to be filtered
    /// are filtered by name only.
    pub fn new(names: Vec<String>, arn_prefix: Option<String>) -> Self {
        Self { names, arn_prefix }
    }

    /// The same documents, with this `arn_prefix`.
    #[must_use]
    pub fn with_arn_prefix(self, arn_prefix: Option<String>) -> Self {
        Self { arn_prefix, ..self }
    }

    /// Whether a command of a document with this name is one of them.
    pub fn include(&self, document_name: &str) -> bool {
        let plain = plain_name(document_name);
        self.names.iter().any(|name| plain_name(name) == plain)
    }

    /// Every way to name them.
    pub fn spellings(&self) -> impl Iterator<Item = String> {
        let of_prefix = |name: &String| {
            let prefix = self.arn_prefix.as_ref().filter(|_| !name.starts_with("arn:"))?;
            Some(format!("{prefix}{name}"))
        };
        self.names.iter().flat_map(move |name| [Some(name.clone()), of_prefix(name)]).flatten()
    }
}

/// The name in `arn:aws:ssm:eu-central-1:111122223333:document/NAME`, or the name itself.
fn plain_name(name: &str) -> &str {
    match name.strip_prefix("arn:").and_then(|arn| arn.split_once(":document/")) {
        Some((_, plain)) => plain,
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "arn:aws:ssm:eu-central-1:111122223333:document/";

    fn documents() -> Documents {
        let foreign = "arn:aws:ssm:eu-central-1:444455556666:document/Shared".to_owned();
        Documents::new(vec!["SfnRunShellScript".to_owned(), foreign], Some(PREFIX.to_owned()))
    }

    #[test]
    fn a_document_is_known_by_its_name_and_by_its_arn() {
        let documents = documents();
        for name in ["SfnRunShellScript", &format!("{PREFIX}SfnRunShellScript"), "Shared"] {
            assert!(documents.include(name), "{name}");
        }
        for name in ["SfnRunShell", "sfnrunshellscript", "", "AWS-RunShellScript", PREFIX] {
            assert!(!documents.include(name), "{name}");
        }
    }

    #[test]
    fn a_filter_needs_every_spelling() {
        let spellings: Vec<_> = documents().spellings().collect();
        let expected = [
            "SfnRunShellScript",
            "arn:aws:ssm:eu-central-1:111122223333:document/SfnRunShellScript",
            "arn:aws:ssm:eu-central-1:444455556666:document/Shared",
        ];
        assert_eq!(spellings, expected);
        let names = Documents::new(vec!["One".to_owned()], None);
        assert_eq!(names.spellings().collect::<Vec<_>>(), ["One"]);
        let names = names.with_arn_prefix(Some(PREFIX.to_owned()));
        assert_eq!(names, Documents::new(vec!["One".to_owned()], Some(PREFIX.to_owned())));
    }
}
