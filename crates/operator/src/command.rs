//! Commands with their limits, which the relay does not need.

use aws_sdk_ssm::types::{self, CommandFilter, CommandFilterKey};
use callback::{Command, CommandId};
use callback_aws::run_command::command;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::call::{answer, found};
use crate::problem::Problem;
use crate::shown::shown;
use crate::stack::Stack;
use crate::times::iso;

/// The right for it.
const ACTION: &str = "ssm:ListCommands";
/// Maximum page size of `ListCommands` (SSM API, `MaxResults`).
const PAGE_ITEMS_MAX: i32 = 50;
/// Maximum number of pages read for one spelling of a document: 5,000 commands, if they are full.
const PAGES_MAX: usize = 100;
/// Maximum number of lists that are read at the same time. Run Command throttles at rates that it does not
/// publish.
const LISTS_AT_ONCE: usize = 5;
/// What the documents and Run Command take if nothing is given, in seconds, for the delivery and for
/// the script (Systems Manager user guide, command timeout values).
const TIMEOUT_DEFAULT_S: i64 = 3_600;
/// The agent takes a smaller `executionTimeout` for the default.
const EXECUTION_TIMEOUT_MIN_S: i64 = 5;
/// How long after its limit a command counts as overdue. How soon Run Command ends it is not documented.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// A command, and how long it can last.
#[derive(Debug, Clone)]
pub struct LimitedCommand {
    /// The command, as the relay sees it.
    pub command: Command,
    /// `executionTimeout` of a script, in seconds. `None` for documents that run no script themselves.
    pub execution_timeout_s: Option<i64>,
    /// When nodes that have not answered end as Delivery Timed Out (SSM API, `ExpiresAfter`). If Run
    /// Command does not tell, the sum of both timeouts.
    pub expires_at: Timestamp,
}

impl LimitedCommand {
    fn new(stack: &Stack, listed: types::Command) -> Result<Self, Problem> {
        let parameter = listed.parameters.as_ref().and_then(|all| all.get("executionTimeout"));
        let given = parameter.and_then(|values| values.first()?.trim().parse().ok());
        let given = given.filter(|seconds| *seconds >= EXECUTION_TIMEOUT_MIN_S);
        let delivery_timeout_s = listed.timeout_seconds.map_or(TIMEOUT_DEFAULT_S, i64::from);
        let expires_after = listed.expires_after;
        let command = command(listed).map_err(|error| Problem::call(ACTION, &error))?;
        let runs_script = stack.script_documents.include(&command.document_name);
        let execution_timeout_s = given.or_else(|| runs_script.then_some(TIMEOUT_DEFAULT_S));
        let sum = delivery_timeout_s + execution_timeout_s.unwrap_or(TIMEOUT_DEFAULT_S);
        let expires_at = expires_after
            .and_then(|time| Timestamp::from_second(time.secs()).ok())
            .or_else(|| command.requested_at.checked_add(SignedDuration::from_secs(sum)).ok())
            .unwrap_or(Timestamp::MAX);
        Ok(Self { command, execution_timeout_s, expires_at })
    }

    /// Whether it has a task token, so that a task has waited for it.
    pub fn has_token(&self) -> bool {
        matches!(self.command.callback.task_token, Some(Ok(_)))
    }

    /// Whether Run Command should have ended it.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        now.duration_since(self.expires_at) > OVERDUE_AFTER
    }

    /// The command for programs.
    pub fn to_json(&self) -> Value {
        let command = &self.command;
        let said = |text: &str| shown(command, text);
        json!({
            "CommandId": command.id.as_str(),
            "DocumentName": said(&command.document_name),
            "Comment": said(&command.comment),
            "Status": said(command.status.as_str()),
            "StatusDetails": said(command.status_details.as_str()),
            "RequestedDateTime": iso(command.requested_at),
            "ExpiresAfter": iso(self.expires_at),
            "ExecutionTimeout": self.execution_timeout_s,
            "TargetCount": command.target_count,
            "CompletedCount": command.completed_count,
        })
    }
}

/// Reads one command. `None` if Run Command does not know it.
pub async fn read(
    aws: &Aws,
    stack: &Stack,
    id: &CommandId,
) -> Result<Option<LimitedCommand>, Problem> {
    let listed = aws.ssm.list_commands().command_id(id.as_str()).send().await;
    let listed = found(ACTION, &["InvalidCommandId"], listed)?;
    let command = listed.and_then(|listed| listed.commands?.into_iter().next());
    command.map(|command| LimitedCommand::new(stack, command)).transpose()
}

/// The executing commands of the stack's documents that have a task token, oldest first, and whether
/// there were too many to list them all.
pub async fn executing(aws: &Aws, stack: &Stack) -> Result<(Vec<LimitedCommand>, bool), Problem> {
    let lists = stack.documents.spellings().map(|spelling| executing_of(aws, stack, spelling));
    let lists: Vec<_> = stream::iter(lists).buffered(LISTS_AT_ONCE).try_collect().await?;
    let is_cut = lists.iter().any(|(_, is_cut)| *is_cut);
    let mut commands: Vec<_> = lists.into_iter().flat_map(|(commands, _)| commands).collect();
    commands.retain(LimitedCommand::has_token);
    commands.sort_by(|one, other| {
        let key =
            |limited: &LimitedCommand| (limited.command.requested_at, limited.command.id.clone());
        key(one).cmp(&key(other))
    });
    // Whether a filter by name also finds commands sent by ARN is not documented.
    commands.dedup_by(|one, other| one.command.id == other.command.id);
    Ok((commands, is_cut))
}

/// The executing commands of a document, spelled so, and whether there are more.
async fn executing_of(
    aws: &Aws,
    stack: &Stack,
    spelling: String,
) -> Result<(Vec<LimitedCommand>, bool), Problem> {
    let filters = [
        (CommandFilterKey::ExecutionStage, "Executing"),
        (CommandFilterKey::DocumentName, spelling.as_str()),
    ]
    .map(|(key, value)| CommandFilter::builder().key(key).value(value).build());
    let filters = filters.into_iter().collect::<Result<Vec<_>, _>>();
    let filters = filters.map_err(|_| Problem::new("a filter of ListCommands is not valid"))?;
    let mut commands = Vec::new();
    let mut next_token = None;
    for _ in 0..PAGES_MAX {
        let request = aws.ssm.list_commands().set_filters(Some(filters.clone()));
        let request = request.max_results(PAGE_ITEMS_MAX).set_next_token(next_token);
        let page = answer(ACTION, request.send().await)?;
        for listed in page.commands.unwrap_or_default() {
            commands.push(LimitedCommand::new(stack, listed)?);
        }
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            return Ok((commands, false));
        }
    }
    Ok((commands, true))
}
