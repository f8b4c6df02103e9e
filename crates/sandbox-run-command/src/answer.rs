//! Commands and invocations as the API answers them: the shapes and limits of the service model.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::documents::Given;
use crate::nodes::{Node, PLATFORM_NAME, PLATFORM_VERSION, Target};
use crate::status::StatusDetails;
use crate::store::{CommandRecord, CommandState, InvocationRecord, InvocationState, StepReport};
use crate::time::{EpochSeconds, elapsed, iso};

/// The most characters of standard error that the service gives back, without a mark of the cut.
const STDERR_CHARS_MAX: usize = 8_000;
/// The version of the agent that nodes claim to run.
const AGENT_VERSION: &str = "3.3.0.0";
/// The URL of an output in S3: there is none.
const NO_URL: &str = "";

/// The answer of `SendCommand`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SentCommand<'a> {
    pub(crate) command: ListedCommand<'a>,
}

/// `Command`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListedCommand<'a> {
    command_id: &'a str,
    document_name: &'a str,
    document_version: &'a str,
    comment: &'a str,
    expires_after: EpochSeconds,
    parameters: &'a Given,
    instance_ids: &'a [String],
    targets: &'a [Target],
    requested_date_time: EpochSeconds,
    #[serde(flatten)]
    status: StatusFields,
    output_s3_region: &'a str,
    output_s3_bucket_name: &'a str,
    output_s3_key_prefix: &'a str,
    max_concurrency: &'a str,
    max_errors: &'a str,
    target_count: usize,
    completed_count: usize,
    error_count: usize,
    delivery_timed_out_count: usize,
    service_role: &'a str,
    notification_config: Sent<'a, NotificationConfig>,
    cloud_watch_output_config: Sent<'a, CloudWatchOutputConfig>,
    timeout_seconds: u64,
}

/// `CommandInvocation`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListedInvocation<'a> {
    command_id: &'a str,
    instance_id: &'a str,
    instance_name: &'a str,
    comment: &'a str,
    document_name: &'a str,
    document_version: &'a str,
    requested_date_time: EpochSeconds,
    #[serde(flatten)]
    status: StatusFields,
    trace_output: &'a str,
    standard_output_url: &'a str,
    standard_error_url: &'a str,
    command_plugins: Vec<ListedStep<'a>>,
    service_role: &'a str,
    notification_config: Sent<'a, NotificationConfig>,
    cloud_watch_output_config: Sent<'a, CloudWatchOutputConfig>,
}

/// `CommandPlugin`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListedStep<'a> {
    name: &'a str,
    #[serde(flatten)]
    status: StatusFields,
    response_code: i32,
    response_start_date_time: EpochSeconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_finish_date_time: Option<EpochSeconds>,
    output: &'a str,
    standard_output_url: &'a str,
    standard_error_url: &'a str,
    output_s3_region: &'a str,
    output_s3_bucket_name: &'a str,
    output_s3_key_prefix: &'a str,
}

/// The answer of `GetCommandInvocation`, which is about one step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StepOfInvocation<'a> {
    command_id: &'a str,
    instance_id: &'a str,
    comment: &'a str,
    document_name: &'a str,
    document_version: &'a str,
    plugin_name: &'a str,
    response_code: i32,
    execution_start_date_time: String,
    execution_elapsed_time: String,
    execution_end_date_time: String,
    #[serde(flatten)]
    status: StatusFields,
    standard_output_content: &'a str,
    standard_output_url: &'a str,
    standard_error_content: &'a str,
    standard_error_url: &'a str,
    cloud_watch_output_config: Sent<'a, CloudWatchOutputConfig>,
}

/// The answer of `DescribeInstanceInformation`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribedNodes<'a> {
    pub(crate) instance_information_list: Vec<DescribedNode<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<&'a str>,
}

/// `InstanceInformation`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribedNode<'a> {
    instance_id: &'a str,
    ping_status: &'a str,
    last_ping_date_time: EpochSeconds,
    agent_version: &'a str,
    is_latest_version: bool,
    platform_type: &'a str,
    platform_name: &'a str,
    platform_version: &'a str,
    resource_type: &'a str,
    name: &'a str,
    #[serde(rename = "IPAddress")]
    ip_address: &'a str,
    computer_name: &'a str,
}

/// `Status` and `StatusDetails`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatusFields {
    status: &'static str,
    status_details: &'static str,
}

/// What the request said, or what the API shows if it said nothing.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Sent<'a, T> {
    As(&'a Value),
    Not(T),
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the words of the API")]
struct NotificationConfig {
    notification_arn: &'static str,
    notification_events: [&'static str; 0],
    notification_type: &'static str,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CloudWatchOutputConfig {
    cloud_watch_log_group_name: &'static str,
    cloud_watch_output_enabled: bool,
}

impl From<StatusDetails> for StatusFields {
    fn from(details: StatusDetails) -> Self {
        Self { status: details.status(), status_details: details.as_str() }
    }
}

impl<'a, T: Default> From<&'a Option<Value>> for Sent<'a, T> {
    fn from(sent: &'a Option<Value>) -> Self {
        sent.as_ref().map_or_else(|| Sent::Not(T::default()), Sent::As)
    }
}

impl<'a> ListedCommand<'a> {
    /// The command in this state.
    pub(crate) fn of(record: &'a CommandRecord, state: &CommandState) -> Self {
        let request = &record.request;
        let CommandState { details, counts } = state;
        ListedCommand {
            command_id: &record.id,
            document_name: &record.document_name,
            document_version: &request.document_version,
            comment: &request.comment,
            expires_after: EpochSeconds(record.expires),
            parameters: &request.parameters,
            instance_ids: &request.instance_ids,
            targets: &request.targets,
            requested_date_time: EpochSeconds(record.requested),
            status: (*details).into(),
            output_s3_region: &request.output_s3_region,
            output_s3_bucket_name: &request.output_s3_bucket_name,
            output_s3_key_prefix: &request.output_s3_key_prefix,
            max_concurrency: request.max_concurrency(),
            max_errors: request.max_errors(),
            target_count: counts.targets,
            completed_count: counts.completed,
            error_count: counts.errors,
            delivery_timed_out_count: counts.delivery_timed_out,
            service_role: &request.service_role_arn,
            notification_config: (&request.notification_config).into(),
            cloud_watch_output_config: (&request.cloud_watch_output_config).into(),
            timeout_seconds: request.timeout_seconds(),
        }
    }
}

impl<'a> ListedInvocation<'a> {
    /// The invocation in this state, with its steps if the request asks for `details`.
    pub(crate) fn of(
        record: &'a CommandRecord,
        invocation: &'a InvocationRecord,
        state: &'a InvocationState,
        details: bool,
    ) -> Self {
        let request = &record.request;
        let steps = if details { &state.steps[..] } else { &[] };
        ListedInvocation {
            command_id: &record.id,
            instance_id: &invocation.instance_id,
            instance_name: &invocation.instance_name,
            comment: &request.comment,
            document_name: &record.document_name,
            document_version: &request.document_version,
            requested_date_time: EpochSeconds(record.requested),
            status: state.details.into(),
            trace_output: &state.trace_output,
            standard_output_url: NO_URL,
            standard_error_url: NO_URL,
            command_plugins: steps.iter().map(|step| ListedStep::of(record, step)).collect(),
            service_role: &request.service_role_arn,
            notification_config: (&request.notification_config).into(),
            cloud_watch_output_config: (&request.cloud_watch_output_config).into(),
        }
    }
}

impl<'a> ListedStep<'a> {
    fn of(record: &'a CommandRecord, step: &'a StepReport) -> Self {
        ListedStep {
            name: &step.name,
            status: step.details.into(),
            response_code: step.response_code,
            response_start_date_time: EpochSeconds(step.started),
            response_finish_date_time: step.finished.map(EpochSeconds),
            output: &step.output,
            standard_output_url: NO_URL,
            standard_error_url: NO_URL,
            output_s3_region: &record.request.output_s3_region,
            output_s3_bucket_name: &record.request.output_s3_bucket_name,
            output_s3_key_prefix: &record.request.output_s3_key_prefix,
        }
    }
}

impl<'a> StepOfInvocation<'a> {
    /// The step of this name; `step` is `None` until it has begun. The status is the step's own
    /// once it has ended.
    pub(crate) fn of(
        record: &'a CommandRecord,
        invocation: &'a InvocationRecord,
        state: &InvocationState,
        plugin_name: &'a str,
        step: Option<&'a StepReport>,
    ) -> Self {
        let started = step.map(|step| step.started);
        let finished = step.and_then(|step| step.finished);
        let ended = step.filter(|step| step.finished.is_some());
        let elapsed = started.zip(finished).map(|(started, finished)| elapsed(started, finished));
        StepOfInvocation {
            command_id: &record.id,
            instance_id: &invocation.instance_id,
            comment: &record.request.comment,
            document_name: &record.document_name,
            document_version: &record.request.document_version,
            plugin_name,
            response_code: step.map_or(-1, |step| step.response_code),
            execution_start_date_time: started.map(iso).unwrap_or_default(),
            execution_elapsed_time: elapsed.unwrap_or_default(),
            execution_end_date_time: finished.map(iso).unwrap_or_default(),
            status: ended.map_or(state.details, |step| step.details).into(),
            standard_output_content: step.map_or("", |step| &step.stdout),
            standard_output_url: NO_URL,
            standard_error_content: step
                .map_or("", |step| beginning(&step.stderr, STDERR_CHARS_MAX)),
            standard_error_url: NO_URL,
            cloud_watch_output_config: (&record.request.cloud_watch_output_config).into(),
        }
    }
}

impl<'a> DescribedNode<'a> {
    /// The node as it is now.
    pub(crate) fn of(node: &'a Node) -> Self {
        let name = node.file.name.as_deref();
        DescribedNode {
            instance_id: &node.id,
            ping_status: node.ping_status(),
            last_ping_date_time: EpochSeconds(node.last_ping(Timestamp::now())),
            agent_version: AGENT_VERSION,
            is_latest_version: true,
            platform_type: node.file.platform_type.as_str(),
            platform_name: PLATFORM_NAME,
            platform_version: PLATFORM_VERSION,
            resource_type: node.resource_type(),
            name: name.unwrap_or_default(),
            ip_address: "127.0.0.1",
            computer_name: name.unwrap_or(&node.id),
        }
    }
}

/// The beginning of a text.
fn beginning(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_counted_in_characters() {
        assert_eq!(beginning("äöü", 3), "äöü");
        assert_eq!(beginning("äöü", 2), "äö");
    }
}
