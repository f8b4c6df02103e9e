//! What came of a case.

use serde_json::Value;

/// What came of a case, as far as it is compared.
#[derive(Debug, Clone, Default)]
pub struct Came {
    /// The status of the execution.
    pub status: String,
    /// The error of the task, or of the execution.
    pub error: Option<String>,
    /// Its cause.
    pub cause: String,
    /// The result of the command, of a success or a failure.
    pub report: Value,
    /// Length of the execution's output.
    pub output_bytes: usize,
    /// What was seen of the script: `gone`, `ended`, or something else.
    pub watched: Option<String>,
    /// How long after the end of the execution, or of its task, that was seen, in seconds.
    pub watched_s: Option<f64>,
    /// From the end of the script to that of the task, in seconds, if both are known.
    pub latency_s: Option<f64>,
    /// Whether the answer came within two intervals of the sweep after the end of the script.
    pub in_time: bool,
}

impl Came {
    /// Whether the execution succeeded.
    pub fn succeeded(&self) -> bool {
        self.status == "SUCCEEDED"
    }

    /// Whether this is the error.
    pub fn error_is(&self, name: &str) -> bool {
        self.error.as_deref() == Some(name)
    }

    /// Whether IAM refused the call.
    pub fn was_denied(&self) -> bool {
        self.error.as_deref().is_some_and(|error| error.starts_with("Ssm."))
            && self.cause.contains("not authorized")
    }

    /// Whether this was seen of the script.
    pub fn watched_is(&self, what: &str) -> bool {
        self.watched.as_deref() == Some(what)
    }

    fn invocation(&self) -> &Value {
        &self.report["Invocations"][0]
    }

    /// The exit code of the script.
    pub fn code(&self) -> Option<i64> {
        self.invocation()["ResponseCode"].as_i64()
    }

    /// What the script printed.
    pub fn stdout(&self) -> &str {
        self.invocation()["StandardOutputContent"].as_str().unwrap_or_default()
    }

    /// Whether the output is said to be cut.
    pub fn is_truncated(&self) -> bool {
        self.invocation()["OutputTruncated"] == true
    }

    /// What came, in words.
    pub fn said(&self) -> String {
        let mut parts = Vec::new();
        match (&self.error, self.status.as_str()) {
            (Some(error), _) => parts.push(error.clone()),
            (None, "SUCCEEDED") => parts.push("success".to_owned()),
            (None, status) => parts.push(status.to_lowercase()),
        }
        if let Some(code) = self.code() {
            parts.push(format!("code {code}"));
        }
        if let Some(watched) = &self.watched {
            parts.push(format!("script {watched}"));
        }
        if self.is_truncated() {
            parts.push(format!("cut at {}", self.stdout().len()));
        }
        parts.join(", ")
    }
}
