//! Commands of Run Command.

use aws_sdk_ssm::types::{Command, CommandStatus, DocumentFormat, DocumentType};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::place::{ACCOUNT, REGION, unique_number};
use crate::sandbox::Sandbox;
use crate::waiting::eventually;

/// Pages of commands of one sandbox.
const COMMAND_PAGES_MAX: usize = 40;

impl Sandbox {
    /// Sends a command to a node, as somebody at a terminal would, and returns its id.
    pub async fn send_command(
        &self,
        document: &str,
        node: &str,
        parameters: &[(&str, &str)],
    ) -> String {
        let mut request = self.ssm.send_command().document_name(document).instance_ids(node);
        for (name, value) in parameters {
            request = request.parameters(*name, vec![(*value).to_owned()]);
        }
        let sent = request.send().await.expect("a command");
        sent.command.and_then(|command| command.command_id).expect("a command has an id")
    }

    /// A command as Run Command shows it.
    pub async fn command(&self, id: &str) -> Command {
        let listed = self.ssm.list_commands().command_id(id).send().await.expect("the command");
        listed.commands.into_iter().flatten().next().expect("the command is there")
    }

    /// Waits until a command has ended.
    pub async fn command_ended(&self, id: &str) -> Command {
        eventually(&format!("the end of command {id}"), async || {
            let command = self.command(id).await;
            let runs = matches!(
                command.status,
                Some(
                    CommandStatus::Pending | CommandStatus::InProgress | CommandStatus::Cancelling
                )
            );
            (!runs).then_some(command)
        })
        .await
    }

    /// All commands so far.
    pub async fn commands(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut next_token = None;
        for _ in 0..COMMAND_PAGES_MAX {
            let request = self.ssm.list_commands().set_next_token(next_token);
            let page = request.send().await.expect("commands");
            commands.extend(page.commands.into_iter().flatten());
            next_token = page.next_token;
            if next_token.is_none() {
                return commands;
            }
        }
        panic!("there are more than {COMMAND_PAGES_MAX} pages of commands");
    }

    /// Creates a Command document that runs `commands` as a shell script and declares these
    /// parameters too. One that is there already is left as it is.
    pub async fn create_script_document(&self, name: &str, more_parameters: &[&str]) {
        let mut parameters = json!({ "commands": { "type": "StringList" } });
        for parameter in more_parameters {
            parameters[*parameter] = json!({ "type": "String" });
        }
        let content = json!({
            "schemaVersion": "2.2",
            "description": "A script of the user's own.",
            "parameters": parameters,
            "mainSteps": [{
                "action": "aws:runShellScript",
                "name": "run",
                "inputs": { "runCommand": "{{ commands }}" },
            }],
        });
        let request = self.ssm.create_document().name(name).content(content.to_string());
        let request = request.document_type(DocumentType::Command);
        let created = request.document_format(DocumentFormat::Json).send().await;
        if let Err(error) = created {
            let error = error.into_service_error();
            assert!(error.is_document_already_exists(), "document {name}: {error:?}");
        }
    }
}

/// The token that a command carries.
pub fn task_token(command: &Command) -> Option<&str> {
    let values = command.parameters.as_ref()?.get("taskToken")?;
    values.first().map(String::as_str)
}

/// The event for a command's status, in its production shape.
pub fn event_of(command: &Command, status: &str) -> Value {
    let parameters = json!(command.parameters.clone().unwrap_or_default());
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let arn = |id: &String| format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{id}");
    json!({
        "version": "0",
        "id": format!("00000000-0000-4000-8000-{:012x}", unique_number()),
        "detail-type": "EC2 Command Status-change Notification",
        "source": "aws.ssm",
        "account": ACCOUNT,
        "time": now,
        "region": REGION,
        "resources": command.instance_ids().iter().map(arn).collect::<Vec<_>>(),
        "detail": {
            "command-id": command.command_id,
            "document-name": command.document_name,
            "expire-after": now,
            "parameters": parameters.to_string(),
            "requested-date-time": now,
            "status": status,
        },
    })
}
