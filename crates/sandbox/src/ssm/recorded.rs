//! Records what happens to commands.

use sandbox_run_command::observer::{Change, Observer};

use crate::record::{Entry, Record};

impl Observer for Record {
    fn observe(&self, change: Change<'_>) {
        self.add(&match change {
            Change::Sent { command_id, document, comment, parameters } => Entry::CommandSent {
                command_id: command_id.to_owned(),
                document: document.to_owned(),
                comment: some(comment),
                script: parameters.get("commands").map(|lines| lines.join("\n")),
                task: parameters
                    .get("taskToken")
                    .and_then(|values| values.first())
                    .map(|token| self.task(token)),
            },
            Change::Command { command_id, details, targets } => Entry::Command {
                command_id: command_id.to_owned(),
                status: details.as_str().to_owned(),
                targets,
            },
            Change::Invocation { command_id, instance_id, details, result, trace_output } => {
                Entry::Node {
                    command_id: command_id.to_owned(),
                    node: instance_id.to_owned(),
                    status: details.as_str().to_owned(),
                    exit_code: result.as_ref().map(|result| result.response_code),
                    stdout: result.as_ref().and_then(|result| some(&result.stdout)),
                    stderr: result.as_ref().and_then(|result| some(&result.stderr)),
                    trace_output: some(trace_output),
                }
            }
        });
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
