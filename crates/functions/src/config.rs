//! The environment variables of the functions. Each is documented here and nowhere else.
//!
//! | Variable | Function | Default | Meaning |
//! |---|---|---|---|
//! | `LOG_LEVEL` | both | `info` | `error`, `warn`, `info`, `debug` or `trace`; for this project's own code |
//! | `AWS_LAMBDA_FUNCTION_NAME` | both | set by Lambda | the metric dimension `FunctionName` |
//!
//! The SDK reads its own: `AWS_REGION`, `AWS_ENDPOINT_URL`, credentials and so on.

use std::fmt;

use tracing::level_filters::LevelFilter;

/// Settings of the function `relay`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// `LOG_LEVEL`.
    pub log_level: LevelFilter,
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
}

/// Every environment variable that is missing or bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl RelayConfig {
    /// Reads the environment of the process.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names every bad variable, what it holds and what was wanted.
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
        let config =
            Self { log_level: variables.log_level(), function_name: variables.function_name() };
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

    fn function_name(&mut self) -> String {
        let name = (self.lookup)("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        if name.is_empty() {
            self.problem("AWS_LAMBDA_FUNCTION_NAME", "", "the function's name, which Lambda sets");
        }
        name
    }

    fn problem(&mut self, name: &str, came: &str, wanted: &str) {
        self.problems.push(format!("{name} is `{came}`, wanted is {wanted}"));
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
        write!(f, "bad environment: {}", self.problems.join("; "))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(variables: &[(&str, &str)]) -> Result<RelayConfig, ConfigError> {
        RelayConfig::from_lookup(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
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
        insta::assert_snapshot!(error, @"bad environment: LOG_LEVEL is `loud`, wanted is error, warn, info, debug or trace; AWS_LAMBDA_FUNCTION_NAME is ``, wanted is the function's name, which Lambda sets");
    }
}
