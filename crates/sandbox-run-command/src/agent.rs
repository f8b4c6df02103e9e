//! The agent of a node: runs the steps of a document in order and reports the result of each.

mod script;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::documents::{
    Action, CommandDocument, Documents, Given, Precondition, Step, Values, as_text, interpolate,
};
use crate::nodes::Node;
use crate::status::StatusDetails;
use crate::store::StepReport;
use script::{Ending, STDERR_CHARS_MAX, STDOUT_CHARS_MAX, Script};

pub(crate) use script::cancelled;

/// The execution timeout of a step that gives none, or one out of bounds, in seconds.
const EXECUTION_TIMEOUT_SECONDS_DEFAULT: u64 = 3_600;
/// The bounds of a step's execution timeout, in seconds.
const EXECUTION_TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 1..=172_800;
/// The response code of a script that was killed.
const KILLED: i32 = 137;
/// How deep documents may run documents.
const DOCUMENT_DEPTH_MAX: usize = 3;
/// Where `sh` and everything else is looked for when the sandbox itself was started without PATH.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// How a step, or a whole document inside a step, ended.
#[derive(Debug)]
struct StepResult {
    details: StatusDetails,
    response_code: i32,
    stdout: String,
    stderr: String,
}

/// The run of one command on one node.
pub(crate) struct Agent {
    pub(crate) node: Node,
    pub(crate) command_id: String,
    pub(crate) region: String,
    pub(crate) documents: Arc<dyn Documents>,
    /// What every script sees besides what the agent itself sets.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) cancel: watch::Receiver<bool>,
}

impl Agent {
    /// Runs all steps, and hands the reports of those begun to `progress` after every change.
    /// Returns how the whole document ended, and the last reports.
    pub(crate) async fn run(
        &self,
        document: &CommandDocument,
        values: &Values,
        progress: impl Fn(&[StepReport]),
    ) -> (StatusDetails, Vec<StepReport>) {
        let mut reports = Vec::with_capacity(document.steps.len());
        for (index, step) in document.steps.iter().enumerate() {
            reports.push(StepReport {
                name: step.name.clone(),
                details: StatusDetails::InProgress,
                response_code: -1,
                started: Timestamp::now(),
                finished: None,
                stdout: String::new(),
                stderr: String::new(),
            });
            progress(&reports);
            let inputs = interpolate(&step.inputs, values);
            let result = self.run_step(step, &inputs, &[index]).await;
            let last = &mut reports[index];
            last.details = result.details;
            last.response_code = result.response_code;
            last.finished = Some(Timestamp::now());
            last.stdout = script::cut(result.stdout, STDOUT_CHARS_MAX);
            last.stderr = script::cut(result.stderr, STDERR_CHARS_MAX);
            progress(&reports);
            if ends_the_document(reports[index].details, &inputs) {
                break;
            }
        }
        // What cannot be removed does no harm: the next command writes elsewhere.
        let _ = tokio::fs::remove_dir_all(self.scripts_directory()).await;
        (overall(reports.iter().map(|report| report.details)), reports)
    }

    /// Runs one step. `place` is its number, after those of the steps that run its document.
    fn run_step<'a>(
        &'a self,
        step: &'a Step,
        inputs: &'a Value,
        place: &'a [usize],
    ) -> BoxFuture<'a, StepResult> {
        Box::pin(async move {
            if !step.runs_on(self.node.file.platform_type) {
                return StepResult::skipped(step);
            }
            match &step.action {
                Action::RunShellScript => self.run_script(inputs, place, Shell::Sh).await,
                Action::RunPowerShellScript => {
                    self.run_script(inputs, place, Shell::PowerShell).await
                }
                Action::RunDocument => self.run_document(inputs, place).await,
                Action::Other(action) => StepResult::failed(format!(
                    "Plugin with name {action} is not supported by this agent. Step name: {}",
                    step.name
                )),
            }
        })
    }

    async fn run_document(&self, inputs: &Value, place: &[usize]) -> StepResult {
        if place.len() > DOCUMENT_DEPTH_MAX {
            return StepResult::failed(format!(
                "documents run documents more than {DOCUMENT_DEPTH_MAX} deep"
            ));
        }
        match self.nested_document(inputs).await {
            Ok((document, values)) => self.run_nested(&document, &values, place).await,
            Err(reason) => StepResult::failed(reason),
        }
    }

    async fn nested_document(&self, inputs: &Value) -> Result<(CommandDocument, Values), String> {
        if inputs["documentType"] != "SSMDocument" {
            return Err("documentType of aws:runDocument: expected SSMDocument".to_owned());
        }
        let path = inputs["documentPath"].as_str();
        let path =
            path.ok_or("documentPath of aws:runDocument: expected the name of a document")?;
        let given = nested_parameters(&inputs["documentParameters"])?;
        let document = CommandDocument::find(self.documents.as_ref(), path).await;
        let document = document.map_err(|error| error.to_string())?;
        let values = document.bind(&given).map_err(|error| error.to_string())?;
        Ok((document, values))
    }

    /// Runs the steps of a document as if they were one step.
    async fn run_nested(
        &self,
        document: &CommandDocument,
        values: &Values,
        place: &[usize],
    ) -> StepResult {
        let mut whole = StepResult::success(String::new());
        for (index, step) in document.steps.iter().enumerate() {
            let inputs = interpolate(&step.inputs, values);
            let place = [place, &[index]].concat();
            let result = self.run_step(step, &inputs, &place).await;
            whole.stdout.push_str(&result.stdout);
            whole.stderr.push_str(&result.stderr);
            whole.details = overall([whole.details, result.details]);
            if whole.response_code == 0 {
                whole.response_code = result.response_code;
            }
            if ends_the_document(result.details, &inputs) {
                break;
            }
        }
        whole
    }

    async fn run_script(&self, inputs: &Value, place: &[usize], shell: Shell) -> StepResult {
        let text = script_text(&inputs["runCommand"]);
        let working_directory =
            self.node.working_directory(&as_text_or_empty(&inputs["workingDirectory"]));
        let file = match self.write_script(&text, place, shell, &working_directory).await {
            Ok(file) => file,
            Err(error) => return StepResult::failed(format!("failed to run commands: {error}")),
        };
        let finished = script::run(
            &Script {
                command_line: &shell.command_line(&text, &file.to_string_lossy()),
                working_directory: &working_directory,
                environment: &self.script_environment(),
                execution_timeout: execution_timeout(inputs),
            },
            self.cancel.clone(),
        )
        .await;
        StepResult::of(finished)
    }

    async fn write_script(
        &self,
        text: &str,
        place: &[usize],
        shell: Shell,
        working_directory: &PathBuf,
    ) -> std::io::Result<PathBuf> {
        let directory = self.scripts_directory();
        tokio::fs::create_dir_all(&directory).await?;
        tokio::fs::create_dir_all(working_directory).await?;
        let place: Vec<_> = place.iter().map(ToString::to_string).collect();
        let file = directory.join(format!("{}.{}", place.join("."), shell.extension()));
        tokio::fs::write(&file, text).await?;
        Ok(file)
    }

    /// Where the scripts of this run are, while it lasts.
    fn scripts_directory(&self) -> PathBuf {
        self.node.home.join(".commands").join(&self.command_id)
    }

    fn script_environment(&self) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap_or_else(|_| PATH_DEFAULT.to_owned());
        // A node may have programs of its own, and others than this machine's under their names.
        let own_programs = self.node.home.join("bin");
        let mut environment = vec![
            ("PATH".to_owned(), format!("{}:{path}", own_programs.display())),
            ("HOME".to_owned(), self.node.home.to_string_lossy().into_owned()),
            ("AWS_SSM_INSTANCE_ID".to_owned(), self.node.id.clone()),
            ("AWS_SSM_COMMAND_ID".to_owned(), self.command_id.clone()),
            ("AWS_SSM_REGION_NAME".to_owned(), self.region.clone()),
        ];
        environment.extend(self.environment.iter().cloned());
        environment
    }
}

/// The interpreter of a script.
#[derive(Debug, Clone, Copy)]
enum Shell {
    Sh,
    PowerShell,
}

impl Shell {
    /// A script that begins with `#!` names its interpreter.
    fn command_line(self, text: &str, file: &str) -> Vec<String> {
        let first_line = text.lines().next().unwrap_or_default();
        let interpreter: Vec<&str> = match (self, first_line.strip_prefix("#!")) {
            // As in execve(2): a program and at most one argument.
            (Self::Sh, Some(line)) => line.trim().splitn(2, char::is_whitespace).collect(),
            (Self::Sh, None) => vec!["sh"],
            (Self::PowerShell, _) => vec!["pwsh", "-NoLogo", "-NonInteractive", "-File"],
        };
        interpreter.into_iter().chain([file]).map(|word| word.trim().to_owned()).collect()
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::PowerShell => "ps1",
        }
    }
}

impl StepResult {
    fn success(stdout: String) -> Self {
        Self { details: StatusDetails::Success, response_code: 0, stdout, stderr: String::new() }
    }

    fn failed(reason: String) -> Self {
        let details = StatusDetails::Failed;
        Self { details, response_code: 1, stdout: String::new(), stderr: reason }
    }

    /// A step that is not for this platform: the agent says so, and counts it as a success.
    fn skipped(step: &Step) -> Self {
        let name = &step.name;
        Self::success(match &step.precondition {
            Some(Precondition { platform }) => format!(
                "Step execution skipped due to unsatisfied preconditions: '\"StringEquals\": \
                 [platformType, {platform}]'. Step name: {name}"
            ),
            None => {
                format!("Step execution skipped due to incompatible platform. Step name: {name}")
            }
        })
    }

    fn of(finished: script::Finished) -> Self {
        let script::Finished { ending, stdout, mut stderr } = finished;
        let (details, response_code, reason) = match ending {
            Ending::Exited(0) => (StatusDetails::Success, 0, None),
            Ending::Exited(code) => {
                (StatusDetails::Failed, code, Some(format!("exit status {code}")))
            }
            Ending::TimedOut => (StatusDetails::ExecutionTimedOut, KILLED, None),
            Ending::Cancelled => (StatusDetails::Cancelled, KILLED, None),
            Ending::NotStarted(reason) => (StatusDetails::Failed, 1, Some(reason)),
        };
        if let Some(reason) = reason {
            if !stderr.is_empty() && !stderr.ends_with('\n') {
                stderr.push('\n');
            }
            stderr.push_str("failed to run commands: ");
            stderr.push_str(&reason);
        }
        Self { details, response_code, stdout, stderr }
    }
}

/// A failed step does not keep the next one from running, unless it says so itself.
fn ends_the_document(details: StatusDetails, inputs: &Value) -> bool {
    match details {
        StatusDetails::Success => false,
        StatusDetails::Cancelled => true,
        _ => inputs["onFailure"] == "exit",
    }
}

/// The status of several steps together.
fn overall(steps: impl IntoIterator<Item = StatusDetails>) -> StatusDetails {
    let weight = |details: &StatusDetails| match details {
        StatusDetails::Success => 0,
        StatusDetails::ExecutionTimedOut => 1,
        StatusDetails::Failed => 2,
        _ => 3,
    };
    steps.into_iter().max_by_key(weight).unwrap_or(StatusDetails::Success)
}

/// How long all steps of a document may take together, as far as the document itself says.
pub(crate) fn total_execution_timeout(document: &CommandDocument, values: &Values) -> Duration {
    document.steps.iter().map(|step| execution_timeout(&interpolate(&step.inputs, values))).sum()
}

/// A value out of bounds counts as none, as it does for the agent.
fn execution_timeout(inputs: &Value) -> Duration {
    let seconds = as_text_or_empty(&inputs["timeoutSeconds"])
        .parse()
        .ok()
        .filter(|seconds| EXECUTION_TIMEOUT_SECONDS.contains(seconds));
    Duration::from_secs(seconds.unwrap_or(EXECUTION_TIMEOUT_SECONDS_DEFAULT))
}

fn as_text_or_empty(value: &Value) -> String {
    if value.is_null() { String::new() } else { as_text(value).into_owned() }
}

/// The lines of `runCommand`, joined; a list parameter may be one of the lines.
fn script_text(run_command: &Value) -> String {
    match run_command {
        Value::Array(lines) => lines.iter().map(script_text).collect(),
        Value::Null => String::new(),
        line => format!("{}\n", as_text(line)),
    }
}

/// The parameters of a nested document: a map, or a text that holds one as JSON.
fn nested_parameters(written: &Value) -> Result<Given, String> {
    let reason = "documentParameters of aws:runDocument: expected a JSON object";
    let parameters: Map<String, Value> = match written {
        Value::Null => Map::new(),
        Value::String(text) if text.trim().is_empty() => Map::new(),
        Value::String(text) => serde_json::from_str(text).map_err(|_| reason)?,
        Value::Object(parameters) => parameters.clone(),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) => return Err(reason.to_owned()),
    };
    let texts = |value: Value| match value {
        Value::Array(items) => items.iter().map(|item| as_text(item).into_owned()).collect(),
        other => vec![as_text(&other).into_owned()],
    };
    Ok(parameters.into_iter().map(|(name, value)| (name, texts(value))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_become_a_script() {
        assert_eq!(script_text(&json!(["a", "b c"])), "a\nb c\n");
        assert_eq!(script_text(&json!([["a", "b"], "c"])), "a\nb\nc\n");
        assert_eq!(script_text(&json!("a\nb")), "a\nb\n");
        assert_eq!(script_text(&Value::Null), "");
    }

    #[test]
    fn a_script_may_name_its_reader() {
        let line = |text| Shell::Sh.command_line(text, "/f");
        assert_eq!(line("echo"), ["sh", "/f"]);
        assert_eq!(line("#!/bin/bash\necho"), ["/bin/bash", "/f"]);
        assert_eq!(
            line("#! /usr/bin/env -S python3 -u\n"),
            ["/usr/bin/env", "-S python3 -u", "/f"]
        );
        assert_eq!(Shell::PowerShell.command_line("x", "/f")[0], "pwsh");
    }

    #[test]
    fn an_execution_timeout_out_of_bounds_is_the_default() {
        let seconds = |value| execution_timeout(&json!({"timeoutSeconds": value})).as_secs();
        assert_eq!(seconds(json!("60")), 60);
        assert_eq!(seconds(json!(60)), 60);
        for none in [json!(null), json!(""), json!("0"), json!("172801"), json!("1h")] {
            assert_eq!(seconds(none), 3_600);
        }
    }

    #[test]
    fn the_worst_step_is_the_status() {
        use StatusDetails::{Cancelled, ExecutionTimedOut, Failed, Success};
        assert_eq!(overall([Success, Success]), Success);
        assert_eq!(overall([Failed, Success]), Failed);
        assert_eq!(overall([ExecutionTimedOut, Failed]), Failed);
        assert_eq!(overall([Success, ExecutionTimedOut]), ExecutionTimedOut);
        assert_eq!(overall([Failed, Cancelled]), Cancelled);
    }

    #[test]
    fn nested_parameters_come_as_text_or_as_a_map() {
        let expected = Given::from([
            ("list".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
            ("text".to_owned(), vec!["t".to_owned()]),
        ]);
        let map = json!({"list": ["a", "b"], "text": "t"});
        assert_eq!(nested_parameters(&map), Ok(expected.clone()));
        assert_eq!(nested_parameters(&json!(map.to_string())), Ok(expected));
        assert_eq!(nested_parameters(&json!("")), Ok(Given::new()));
        assert_eq!(nested_parameters(&Value::Null), Ok(Given::new()));
        assert!(nested_parameters(&json!("[]")).is_err());
        assert!(nested_parameters(&json!(3)).is_err());
    }

    #[test]
    fn the_agent_says_why_a_script_failed() {
        let of = |ending, stderr: &str| {
            let finished =
                script::Finished { ending, stdout: String::new(), stderr: stderr.to_owned() };
            let result = StepResult::of(finished);
            (result.response_code, result.stderr)
        };
        let line = "failed to run commands: exit status 5";
        assert_eq!(of(Ending::Exited(5), ""), (5, line.to_owned()));
        assert_eq!(of(Ending::Exited(5), "x"), (5, format!("x\n{line}")));
        assert_eq!(of(Ending::Exited(0), "x"), (0, "x".to_owned()));
        assert_eq!(of(Ending::TimedOut, ""), (137, String::new()));
    }
}
