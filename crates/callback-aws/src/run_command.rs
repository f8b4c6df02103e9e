//! The port [`RunCommand`] over the SSM API.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_ssm::operation::list_command_invocations::builders::ListCommandInvocationsFluentBuilder;
use aws_sdk_ssm::primitives::DateTime;
use aws_sdk_ssm::types::{self, CommandFilter, CommandFilterKey};
use callback::command::{Callback, Plugin};
use callback::output::{Output, Trace, skip_reason};
use callback::ports::{
    CallError, CallErrorKind, CommandListing, CommandPage, NODES_MAX, Outputs, PageToken, Stage,
};
use callback::{Command, CommandId, InstanceId, Invocation, RunCommand, Status, StatusDetails};
use jiff::Timestamp;

use crate::call_error::{call_error, invalid_response, not_built};
use crate::warm_up::{self, ConnectOnly};

/// Maximum page size of `ListCommands` and `ListCommandInvocations` (SSM API, `MaxResults`).
const PAGE_ITEMS_MAX: i32 = 50;
/// Maximum number of pages of invocations read of one command. Pages can be shorter than requested,
/// so this allows for half-full ones.
const INVOCATION_PAGES_MAX: usize = 2 * NODES_MAX as usize / PAGE_ITEMS_MAX as usize;

/// Run Command over the SSM API.
#[derive(Debug, Clone)]
pub struct Ssm {
    client: Client,
}

impl Ssm {
    /// Wraps a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// A request for the first page of a command's invocations.
    ///
    /// Always with details: only they tell that a node skipped every step of the document, for
    /// which the status is Success.
    fn list_invocations(&self, id: &CommandId) -> ListCommandInvocationsFluentBuilder {
        let request = self.client.list_command_invocations().command_id(id.as_str());
        request.details(true).max_results(PAGE_ITEMS_MAX)
    }

    /// Opens a connection; see [`warm_up`](crate::warm_up).
    pub(crate) async fn connect(&self) {
        let config = aws_sdk_ssm::Config::builder().retry_config(warm_up::retry_config());
        let request = self.client.list_commands().customize().interceptor(ConnectOnly);
        warm_up::note("Systems Manager", &request.config_override(config).send().await);
    }
}

impl RunCommand for Ssm {
    async fn command(&self, id: &CommandId) -> Result<Option<Command>, CallError> {
        const OPERATION: &str = "ListCommands";
        let answer = self.client.list_commands().command_id(id.as_str()).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_unknown_command(&error) => return Ok(None),
            Err(error) => return Err(call_error(OPERATION, &error)),
        };
        answer.commands.unwrap_or_default().into_iter().next().map(command).transpose()
    }

    async fn invocations(
        &self,
        id: &CommandId,
        outputs: Outputs,
    ) -> Result<Vec<Invocation>, CallError> {
        all_pages(self.list_invocations(id), outputs).await
    }

    async fn invocation(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
    ) -> Result<Option<Invocation>, CallError> {
        let request = self.list_invocations(id).instance_id(instance_id.as_str());
        let invocations = all_pages(request, Outputs::Listed).await?;
        Ok(invocations.into_iter().find(|one| one.instance_id == *instance_id))
    }

    async fn output(
        &self,
        id: &CommandId,
        instance_id: &InstanceId,
        plugin_name: &str,
    ) -> Result<Output, CallError> {
        const OPERATION: &str = "GetCommandInvocation";
        let request = self
            .client
            .get_command_invocation()
            .command_id(id.as_str())
            .instance_id(instance_id.as_str())
            .plugin_name(plugin_name);
        match request.send().await {
            Ok(answer) => Ok(Output::from_invocation(
                answer.standard_output_content.unwrap_or_default(),
                answer.standard_error_content.unwrap_or_default(),
            )),
            Err(error) => {
                let mut failure = call_error(OPERATION, &error);
                // It was listed a moment ago, so it exists, and this read lags.
                if error.code() == Some("InvocationDoesNotExist") {
                    failure.kind = CallErrorKind::Transient;
                }
                Err(failure)
            }
        }
    }

    async fn commands(
        &self,
        listing: &CommandListing,
        page: Option<&PageToken>,
    ) -> Result<CommandPage, CallError> {
        const OPERATION: &str = "ListCommands";
        let answer = self
            .client
            .list_commands()
            .set_filters(Some(filters(listing).map_err(|_| not_built(OPERATION))?))
            .max_results(PAGE_ITEMS_MAX)
            .set_next_token(page.map(|token| token.0.clone()))
            .send()
            .await
            .map_err(|error| call_error(OPERATION, &error))?;
        Ok(CommandPage {
            commands: answer.commands.unwrap_or_default().into_iter().map(command).collect(),
            next: answer.next_token.filter(|token| !token.is_empty()).map(PageToken),
        })
    }

    async fn cancel(&self, id: &CommandId) -> Result<(), CallError> {
        let answer = self.client.cancel_command().command_id(id.as_str()).send().await;
        answer.map(|_| ()).map_err(|error| call_error("CancelCommand", &error))
    }
}

/// The invocations of a command that a request lists, page by page. Of each page, only `outputs`
/// are kept.
async fn all_pages(
    request: ListCommandInvocationsFluentBuilder,
    outputs: Outputs,
) -> Result<Vec<Invocation>, CallError> {
    const OPERATION: &str = "ListCommandInvocations";
    // If pages shift between two reads, a node can be listed twice.
    let invocations_max = 2 * outputs.nodes_max() as usize;
    let mut invocations = Vec::new();
    let mut next_token = None;
    for _ in 0..INVOCATION_PAGES_MAX {
        let page = match request.clone().set_next_token(next_token).send().await {
            Ok(page) => page,
            Err(error) if is_unknown_command(&error) => return Ok(invocations),
            Err(error) => return Err(call_error(OPERATION, &error)),
        };
        for item in page.command_invocations.unwrap_or_default() {
            invocations.push(invocation(item, outputs)?);
        }
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            return Ok(invocations);
        }
        if invocations.len() > invocations_max {
            let problem = format!("more than {invocations_max} invocations of one command");
            return Err(invalid_response(OPERATION, &problem));
        }
    }
    let problem = format!("more than {INVOCATION_PAGES_MAX} pages of invocations of one command");
    Err(invalid_response(OPERATION, &problem))
}

/// The filters of `ListCommands` for a list. They take whole seconds, and whether they include a
/// command of that very second is not documented. So the list begins a second earlier.
fn filters(listing: &CommandListing) -> Result<Vec<CommandFilter>, BuildError> {
    let stage = match listing.stage {
        Stage::Executing => "Executing",
        Stage::Complete => "Complete",
    };
    let mut filters = vec![(CommandFilterKey::ExecutionStage, stage.to_owned())];
    if let Some(name) = &listing.document_name {
        filters.push((CommandFilterKey::DocumentName, name.clone()));
    }
    if let Some(after) = listing.invoked_after {
        filters.push((CommandFilterKey::InvokedAfter, second_before(after)));
    }
    let filter = |(key, value)| CommandFilter::builder().key(key).value(value).build();
    filters.into_iter().map(filter).collect()
}

/// The whole second before a time, in the format of `ListCommands`.
fn second_before(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second() - 1).unwrap_or(time).to_string()
}

/// Whether Run Command does not know the command, either not yet or no longer.
fn is_unknown_command(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("InvalidCommandId")
}

/// A listed command, as the ports report it.
///
/// # Errors
///
/// If it lacks a valid ID or time.
pub fn command(command: types::Command) -> Result<Command, CallError> {
    let invalid = |problem| invalid_response("ListCommands", problem);
    Ok(Command {
        id: command
            .command_id
            .as_deref()
            .and_then(|id| CommandId::parse(id).ok())
            .ok_or_else(|| invalid("command without a valid CommandId"))?,
        requested_at: command
            .requested_date_time
            .and_then(timestamp)
            .ok_or_else(|| invalid("command without a valid RequestedDateTime"))?,
        status: Status::parse(command.status.as_ref().map_or("", types::CommandStatus::as_str)),
        status_details: details(command.status_details.as_deref(), command.status.as_ref()),
        target_count: count(command.target_count),
        completed_count: count(command.completed_count),
        error_count: count(command.error_count),
        delivery_timed_out_count: count(command.delivery_timed_out_count),
        callback: Callback::from_parameters(&command.parameters.unwrap_or_default()),
        document_name: command.document_name.unwrap_or_default(),
        comment: command.comment.unwrap_or_default(),
        log_group_name: command
            .cloud_watch_output_config
            .filter(|config| config.cloud_watch_output_enabled)
            .and_then(|config| config.cloud_watch_log_group_name)
            .unwrap_or_default(),
    })
}

fn invocation(
    invocation: types::CommandInvocation,
    outputs: Outputs,
) -> Result<Invocation, CallError> {
    let listed = invocation.command_plugins.unwrap_or_default();
    let trace = trace(invocation.trace_output, &listed);
    let instance_id = invocation.instance_id.as_deref().unwrap_or_default();
    Ok(Invocation {
        instance_id: InstanceId::parse(instance_id)
            .map_err(|error| invalid_response("ListCommandInvocations", &error.to_string()))?,
        status: Status::parse(
            invocation.status.as_ref().map_or("", types::CommandInvocationStatus::as_str),
        ),
        status_details: details(invocation.status_details.as_deref(), invocation.status.as_ref()),
        plugins: listed.into_iter().map(|one| plugin(one, outputs)).collect(),
        trace: outputs.keep_trace(Trace::new(trace)),
        standard_output_url: invocation.standard_output_url.unwrap_or_default(),
        standard_error_url: invocation.standard_error_url.unwrap_or_default(),
    })
}

/// Why no step ran on a node: the `TraceOutput` if none began, or else the reasons for skipping all
/// of them. Empty if a step ran.
fn trace(trace_output: Option<String>, listed: &[types::CommandPlugin]) -> String {
    let has_begun = listed.iter().any(|plugin| plugin.response_start_date_time.is_some());
    let trace_output = trace_output.filter(|text| !has_begun && !text.is_empty());
    trace_output.unwrap_or_else(|| {
        let reasons: Option<Vec<_>> = listed.iter().map(skip_reason_of).collect();
        let told = reasons.into_iter().flatten().filter(|reason| !reason.is_empty());
        told.collect::<Vec<_>>().join("\n")
    })
}

fn skip_reason_of(plugin: &types::CommandPlugin) -> Option<&str> {
    skip_reason(plugin.output.as_deref().unwrap_or_default(), &step_details(plugin))
}

fn step_details(plugin: &types::CommandPlugin) -> StatusDetails {
    details(plugin.status_details.as_deref(), plugin.status.as_ref())
}

fn plugin(plugin: types::CommandPlugin, outputs: Outputs) -> Plugin {
    let status_details = step_details(&plugin);
    let is_skipped = skip_reason_of(&plugin).is_some();
    let printed = plugin.output.as_deref().filter(|_| !is_skipped).unwrap_or_default();
    Plugin {
        output: outputs.keep(Output::from_listing(printed, &status_details)),
        status_details,
        response_code: Some(plugin.response_code),
        started_at: plugin.response_start_date_time.and_then(timestamp),
        ended_at: plugin.response_finish_date_time.and_then(timestamp),
        is_skipped,
        name: plugin.name.unwrap_or_default(),
    }
}

/// The status details, or the status if there are none.
fn details<S: AsRef<str>>(details: Option<&str>, status: Option<&S>) -> StatusDetails {
    let text = details.filter(|text| !text.is_empty());
    StatusDetails::parse(text.or_else(|| status.map(AsRef::as_ref)).unwrap_or_default())
}

fn timestamp(time: DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

fn count(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(0)
}
