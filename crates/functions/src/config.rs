//! The functions' environment variables. This is the only place that documents them.
//!
//! | Variable | Function | Default | Meaning |
//! |---|---|---|---|
//! | `LOG_LEVEL` | both | `info` | `error`, `warn`, `info`, `debug`, or `trace`; applies to this project's own code |
//! | `TRUST_SYSTEM_ROOTS` | both | `false` | `true` or `false`: whether to trust the certificate authorities of the system, instead of Amazon's five in the program |
//! | `AWS_LAMBDA_FUNCTION_NAME` | both | set by Lambda | the metric dimension `FunctionName` |
//! | `DOCUMENT_NAMES` | `sweep` | none, required | the documents to sweep, as named in `SendCommand`, separated by commas |
//! | `SWEEP_INTERVAL_SECONDS` | `sweep` | 60 | time between two sweeps, 1 to 3,600; must match the schedule |
//! | `LOOKBACK_HOURS` | `sweep` | 49 | the greatest age at which a new process looks for completed commands, 1 to 720; a script can run for 48 hours, and Run Command keeps commands for 720 |
//! | `HEARTBEATS_PER_SECOND` | `sweep` | 250 | maximum rate of heartbeats, 1 to 1,000 |
//!
//! The SDK reads its own variables, such as `AWS_REGION`, `AWS_ENDPOINT_URL`, and credentials.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use callback::{Documents, Scope};
use callback_aws::trust::Roots;
use tracing::level_filters::LevelFilter;

/// Settings of the function `relay`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// `LOG_LEVEL`.
    pub log_level: LevelFilter,
    /// `TRUST_SYSTEM_ROOTS`.
    pub roots: Roots,
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
}

/// Settings of the function `sweep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepConfig {
    /// `LOG_LEVEL`.
    pub log_level: LevelFilter,
    /// `TRUST_SYSTEM_ROOTS`.
    pub roots: Roots,
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
    /// `DOCUMENT_NAMES`, `SWEEP_INTERVAL_SECONDS`, `LOOKBACK_HOURS` and `HEARTBEATS_PER_SECOND`.
    /// The documents are known by name only.
    pub scope: Scope,
}

/// Lists every environment variable that is missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl RelayConfig {
    /// Reads the environment of the process.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names every invalid variable, its value, and what was expected.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the variables through `lookup`.
    ///
    /// # Errors
    ///
    /// See [`RelayConfig::from_environment`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables { lookup, problems: Vec::new() };
        let config = Self {
            log_level: variables.log_level(),
            roots: variables.roots(),
            function_name: variables.function_name(),
        };
        variables.finish(config)
    }
}

impl SweepConfig {
    /// Reads the environment of the process.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names every invalid variable, its value, and what was expected.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the variables through `lookup`.
    ///
    /// # Errors
    ///
    /// See [`SweepConfig::from_environment`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables { lookup, problems: Vec::new() };
        let interval_s = variables.number("SWEEP_INTERVAL_SECONDS", 60, 1..=3_600);
        let lookback_h = variables.number("LOOKBACK_HOURS", 49, 1..=720);
        let heartbeats_per_second = variables.number("HEARTBEATS_PER_SECOND", 250, 1..=1_000);
        let config = Self {
            log_level: variables.log_level(),
            roots: variables.roots(),
            function_name: variables.function_name(),
            scope: Scope {
                documents: Documents::new(variables.document_names(), None),
                interval: Duration::from_secs(interval_s.into()),
                lookback: Duration::from_hours(lookback_h.into()),
                heartbeats_per_second,
            },
        };
        variables.finish(config)
    }
}

/// Reads variables and collects what is wrong with them.
struct Variables<L> {
    lookup: L,
    problems: Vec<String>,
}

impl<L: Fn(&str) -> Option<String>> Variables<L> {
    fn log_level(&mut self) -> LevelFilter {
        let Some(text) = (self.lookup)("LOG_LEVEL") else { return LevelFilter::INFO };
        match text.to_ascii_lowercase().as_str() {
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => {
                self.problem("LOG_LEVEL", &text, "error, warn, info, debug or trace");
                LevelFilter::INFO
            }
        }
    }

    fn roots(&mut self) -> Roots {
        const NAME: &str = "TRUST_SYSTEM_ROOTS";
        let Some(text) = (self.lookup)(NAME) else { return Roots::Amazon };
        match text.as_str() {
            "true" => Roots::System,
            "false" => Roots::Amazon,
            _ => {
                self.problem(NAME, &text, "true or false");
                Roots::Amazon
            }
        }
    }

    fn function_name(&mut self) -> String {
        let name = (self.lookup)("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        if name.is_empty() {
            self.problem("AWS_LAMBDA_FUNCTION_NAME", "", "the function name, which Lambda sets");
        }
        name
    }

    fn document_names(&mut self) -> Vec<String> {
        let text = (self.lookup)("DOCUMENT_NAMES").unwrap_or_default();
        let names: Vec<_> = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            self.problem(
                "DOCUMENT_NAMES",
                &text,
                "one or more document names, separated by commas",
            );
        }
        names
    }

    fn number(&mut self, name: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        let Some(text) = (self.lookup)(name) else { return default };
        match text.trim().parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                self.problem(name, &text, &expected);
                default
            }
        }
    }

    fn problem(&mut self, name: &str, value: &str, expected: &str) {
        self.problems.push(format!("{name} is `{value}`; expected {expected}"));
    }

    fn finish<C>(self, config: C) -> Result<C, ConfigError> {
        if self.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { problems: self.problems })
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid environment: {}", self.problems.join(". "))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        }
    }

    fn relay(variables: &[(&str, &str)]) -> Result<RelayConfig, ConfigError> {
        RelayConfig::from_lookup(lookup(variables))
    }

    fn sweep(variables: &[(&str, &str)]) -> Result<SweepConfig, ConfigError> {
        SweepConfig::from_lookup(lookup(variables))
    }

    #[test]
    fn the_log_level_is_info_unless_it_is_set() {
        let name = ("AWS_LAMBDA_FUNCTION_NAME", "stack-relay");
        assert_eq!(relay(&[name]).unwrap().log_level, LevelFilter::INFO);
        assert_eq!(relay(&[name, ("LOG_LEVEL", "Trace")]).unwrap().log_level, LevelFilter::TRACE);
    }

    #[test]
    fn every_bad_variable_is_named_in_one_error() {
        let error = relay(&[("LOG_LEVEL", "loud")]).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"invalid environment: LOG_LEVEL is `loud`; expected error, warn, info, debug or trace. AWS_LAMBDA_FUNCTION_NAME is ``; expected the function name, which Lambda sets");
    }

    #[test]
    fn a_sweep_looks_after_its_documents_every_minute_for_49_hours() {
        let config = sweep(&[
            ("AWS_LAMBDA_FUNCTION_NAME", "stack-sweep"),
            ("DOCUMENT_NAMES", "SfnRunShellScript, Mine,,"),
        ]);
        let scope = config.unwrap().scope;
        let names = ["SfnRunShellScript", "Mine"].map(str::to_owned);
        assert_eq!(scope.documents, Documents::new(names.to_vec(), None));
        assert_eq!(scope.interval, Duration::from_mins(1));
        assert_eq!(scope.lookback, Duration::from_hours(49));
        assert_eq!(scope.heartbeats_per_second, 250);
    }

    #[test]
    fn every_bad_variable_of_a_sweep_is_named_in_one_error() {
        let error = sweep(&[
            ("DOCUMENT_NAMES", " , "),
            ("SWEEP_INTERVAL_SECONDS", "0"),
            ("LOOKBACK_HOURS", "two"),
            ("HEARTBEATS_PER_SECOND", "1001"),
            ("LOG_LEVEL", ""),
        ]);
        insta::assert_snapshot!(error.unwrap_err().to_string().replace(". ", "\n"));
    }
}
