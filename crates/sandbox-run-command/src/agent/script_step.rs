//! `aws:runShellScript` and `aws:runPowerShellScript`: a step that is a script.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Agent;
use super::go;
use super::script::{self, Ending, Script};
use super::step::{StepResult, StepStatus};
use super::stop::Stop;
use super::timeout::execution_timeout;
use crate::nodes::{PLATFORM_NAME, PLATFORM_VERSION};

/// The response code of a script that was killed, and of one that exits as if it had been.
const KILLED: i32 = 137;
/// The exit code that asks for a reboot.
const REBOOT: i32 = 194;
/// What Go gives for the exit code of a process that a signal has ended.
const SIGNALLED: i32 = -1;
/// Where `sh` and everything else is looked for when the sandbox itself was started without PATH.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The interpreter of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    Sh,
    PowerShell,
}

/// The inputs of the step.
#[derive(Debug, Default, PartialEq, Eq)]
struct Inputs {
    text: String,
    working_directory: String,
}

impl Agent {
    pub(super) async fn run_script(
        &self,
        inputs: &Value,
        place: &[usize],
        shell: Shell,
        stop: &Stop,
    ) -> StepResult {
        let Inputs { text, working_directory } = match Inputs::read(inputs) {
            Ok(read) => read,
            Err(reason) => return StepResult::failed(&reason),
        };
        let prepared = self.node.working_directory(&working_directory);
        let prepared =
            prepared.and_then(|path| Ok((path, self.write_script(&text, place, shell)?)));
        let (working_directory, file) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let reason = format!("failed to create script file. {}", go::error(&error));
                return StepResult::failed(&reason);
            }
        };
        let finished = script::run(
            &Script {
                command_line: &self.command_line(shell, &file),
                working_directory: &working_directory,
                environment: &self.script_environment(shell),
                execution_timeout: execution_timeout(inputs),
            },
            stop.clone(),
        )
        .await;
        result_of(finished, shell, stop)
    }

    fn write_script(&self, text: &str, place: &[usize], shell: Shell) -> std::io::Result<PathBuf> {
        let directory = self.scripts_directory();
        std::fs::create_dir_all(&directory)?;
        let place: Vec<_> = place.iter().map(ToString::to_string).collect();
        let file = directory.join(format!("{}.{}", place.join("."), shell.extension()));
        script::write(&file, text)?;
        Ok(file)
    }

    /// Where the scripts of this run are, while it lasts.
    pub(super) fn scripts_directory(&self) -> PathBuf {
        self.node.home.join(".commands").join(&self.command_id)
    }

    /// `sh` runs the file as a command, so that its first line may name another interpreter.
    fn command_line(&self, shell: Shell, file: &Path) -> [String; 3] {
        let file = file.to_string_lossy();
        match shell {
            Shell::Sh => ["sh".to_owned(), "-c".to_owned(), quoted(&file)],
            Shell::PowerShell => {
                // A node may have a PowerShell of its own.
                let own = self.node.home.join("bin/pwsh");
                let program = if own.exists() { own } else { PathBuf::from(shell.program()) };
                [program.to_string_lossy().into_owned(), "-f".to_owned(), file.into_owned()]
            }
        }
    }

    /// Exactly what the agent sets, with PATH and the sandbox's own mark. There is no HOME, as under
    /// systemd; only PowerShell gets one.
    fn script_environment(&self, shell: Shell) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap_or_else(|_| PATH_DEFAULT.to_owned());
        // A node may have programs of its own, and others than this machine's under their names.
        let own_programs = self.node.home.join("bin");
        let path = format!("{}:{path}", own_programs.display());
        let mut environment = vec![
            ("PATH", path.as_str()),
            ("SSM_COMMAND_ID", &self.command_id),
            ("AWS_SSM_INSTANCE_ID", &self.node.id),
            ("AWS_SSM_REGION_NAME", &self.region),
            ("AWS_SSM_PLATFORM_NAME", PLATFORM_NAME),
            ("AWS_SSM_PLATFORM_VERSION", PLATFORM_VERSION),
        ];
        if shell == Shell::PowerShell {
            environment.push(("HOME", "/"));
        }
        let own = environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        own.chain(self.environment.iter().cloned()).collect()
    }
}

/// A word of a command line, in quotes if the shell would not take it as it is.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn result_of(finished: script::Finished, shell: Shell, stop: &Stop) -> StepResult {
    let script::Finished { ending, output } = finished;
    let killed = if stop.is_requested() { StepStatus::Cancelled } else { StepStatus::TimedOut };
    let ended = |status: StepStatus, code: i32| StepResult::new(status, code, output);
    let failed = |result: StepResult, reason: &str| {
        result.with_failure(&format!("failed to run commands: {reason}"))
    };
    match ending {
        Ending::Exited(0) => ended(StepStatus::Success, 0),
        Ending::Exited(REBOOT) => ended(StepStatus::Reboot, 0),
        Ending::Exited(KILLED) | Ending::TimedOut | Ending::Stopped => ended(killed, KILLED),
        Ending::Signalled(_) if stop.is_requested() => ended(killed, KILLED),
        Ending::Exited(code) => {
            failed(ended(StepStatus::Failed, code), &format!("exit status {code}"))
        }
        Ending::Signalled(name) => {
            failed(ended(StepStatus::Failed, SIGNALLED), &format!("signal: {name}"))
        }
        Ending::NotKilled(reason) => failed(ended(StepStatus::Failed, 1), &reason),
        Ending::NotStarted(reason) => {
            let program = shell.program();
            failed(ended(StepStatus::Failed, 1), &format!("fork/exec {program}: {reason}"))
        }
    }
}

impl Shell {
    /// Where it is on a node.
    fn program(self) -> &'static str {
        match self {
            Self::Sh => "/usr/bin/sh",
            Self::PowerShell => "/usr/bin/pwsh",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::PowerShell => "ps1",
        }
    }
}

impl Inputs {
    /// Reads the inputs as the agent's decoder does.
    fn read(inputs: &Value) -> Result<Self, String> {
        let invalid = |value: &Value, field: &str, wanted: &str| {
            let (inputs, kind) = (go::value(inputs), go::kind(value));
            format!(
                "Invalid format in plugin properties {inputs};\nerror json: cannot unmarshal {kind} \
                 into Go struct field RunScriptPluginInput.{field} of type {wanted}"
            )
        };
        let text = |value: &Value, field: &str| match value {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            other => Err(invalid(other, field, "string")),
        };
        let lines = match &inputs["runCommand"] {
            Value::Null => Vec::new(),
            Value::Array(lines) => {
                lines.iter().map(|line| text(line, "RunCommand")).collect::<Result<_, _>>()?
            }
            other => return Err(invalid(other, "RunCommand", "[]string")),
        };
        let working_directory = text(&inputs["workingDirectory"], "WorkingDirectory")?;
        Ok(Self { text: format!("{}\n", lines.join("\n")), working_directory })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_script_is_its_lines() {
        let text =
            |run_command: Value| Inputs::read(&json!({ "runCommand": run_command })).unwrap().text;
        assert_eq!(text(json!(["a", "b\nc"])), "a\nb\nc\n");
        assert_eq!(text(json!(null)), "\n");
        assert_eq!(text(json!([null])), "\n");
    }

    #[test]
    fn inputs_of_another_type_are_told_in_the_words_of_the_decoder() {
        let error = |inputs: Value| Inputs::read(&inputs).unwrap_err();
        assert_eq!(
            error(json!({ "runCommand": "x" })),
            "Invalid format in plugin properties map[runCommand:x];\nerror json: cannot unmarshal \
             string into Go struct field RunScriptPluginInput.RunCommand of type []string"
        );
        let nested = error(json!({ "runCommand": [["x"]] }));
        assert!(nested.ends_with("unmarshal array into Go struct field RunScriptPluginInput.RunCommand of type string"), "{nested}");
    }

    #[test]
    fn a_path_with_a_space_is_one_word() {
        assert_eq!(quoted("/tmp/a-1/0.sh"), "/tmp/a-1/0.sh");
        assert_eq!(quoted("/tmp/it's a/0.sh"), r"'/tmp/it'\''s a/0.sh'");
    }
}
