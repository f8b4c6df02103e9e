//! Commands and invocations as the API answers them: the shapes and limits of the service model.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    agent::StepReport,
    node::Node,
    store::{CommandRecord, CommandState, InvocationRecord, InvocationState},
};

/// The most characters of a step's output in a list.
const LISTED_CHARS_MAX: usize = 2_500;
/// The agent's line between standard output and standard error in a list.
const ERROR_SEPARATOR: &str = "\n----------ERROR-------\n";
/// The agent's mark at the end of a cut standard output in a list.
const STDOUT_CUT: &str = "\n---Output truncated---";
/// The agent's mark at the end of a cut standard error in a list.
const STDERR_CUT: &str = "\n---Error truncated----";
/// The version of the agent that nodes claim to run.
const AGENT_VERSION: &str = "3.3.0.0";

/// `Command`.
pub(super) fn command(record: &CommandRecord, state: &CommandState) -> Value {
    let request = &record.request;
    let CommandState { details, counts } = state;
    let targets: Vec<_> = request
        .targets
        .iter()
        .map(|target| json!({"Key": target.key, "Values": target.values}))
        .collect();
    json!({
        "CommandId": record.id,
        "DocumentName": record.document_name,
        "DocumentVersion": request.document_version,
        "Comment": request.comment,
        "ExpiresAfter": epoch_seconds(record.expires),
        "Parameters": request.parameters,
        "InstanceIds": request.instance_ids,
        "Targets": targets,
        "RequestedDateTime": epoch_seconds(record.requested),
        "Status": details.status(),
        "StatusDetails": details.as_str(),
        "OutputS3Region": request.output_s3_region,
        "OutputS3BucketName": request.output_s3_bucket_name,
        "OutputS3KeyPrefix": request.output_s3_key_prefix,
        "MaxConcurrency": request.max_concurrency(),
        "MaxErrors": request.max_errors(),
        "TargetCount": counts.targets,
        "CompletedCount": counts.completed,
        "ErrorCount": counts.errors,
        "DeliveryTimedOutCount": counts.delivery_timed_out,
        "ServiceRole": request.service_role_arn,
        "NotificationConfig": notification_config(record),
        "CloudWatchOutputConfig": cloud_watch_output_config(record),
        "TimeoutSeconds": request.timeout_seconds(),
    })
}

/// `CommandInvocation`, with its steps if `with_details`.
pub(super) fn listed_invocation(
    record: &CommandRecord,
    invocation: &InvocationRecord,
    state: &InvocationState,
    with_details: bool,
) -> Value {
    let steps = if with_details { &state.steps[..] } else { &[] };
    let plugins: Vec<_> = steps.iter().map(|step| plugin(record, step)).collect();
    json!({
        "CommandId": record.id,
        "InstanceId": invocation.instance_id,
        "InstanceName": invocation.instance_name,
        "Comment": record.request.comment,
        "DocumentName": record.document_name,
        "DocumentVersion": record.request.document_version,
        "RequestedDateTime": epoch_seconds(record.requested),
        "Status": state.details.status(),
        "StatusDetails": state.details.as_str(),
        "TraceOutput": "",
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CommandPlugins": plugins,
        "ServiceRole": record.request.service_role_arn,
        "NotificationConfig": notification_config(record),
        "CloudWatchOutputConfig": cloud_watch_output_config(record),
    })
}

fn plugin(record: &CommandRecord, step: &StepReport) -> Value {
    let mut plugin = json!({
        "Name": step.name,
        "Status": step.details.status(),
        "StatusDetails": step.details.as_str(),
        "ResponseCode": step.response_code,
        "ResponseStartDateTime": epoch_seconds(step.started),
        "Output": listed_output(&step.stdout, &step.stderr),
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "OutputS3Region": record.request.output_s3_region,
        "OutputS3BucketName": record.request.output_s3_bucket_name,
        "OutputS3KeyPrefix": record.request.output_s3_key_prefix,
    });
    if let Some(finished) = step.finished {
        plugin["ResponseFinishDateTime"] = epoch_seconds(finished);
    }
    plugin
}

/// The answer of `GetCommandInvocation` for one step; `step` is `None` until it has begun. The
/// status is the step's own once it has ended.
pub(super) fn invocation(
    record: &CommandRecord,
    invocation: &InvocationRecord,
    state: &InvocationState,
    plugin_name: &str,
    step: Option<&StepReport>,
) -> Value {
    let started = step.map(|step| step.started);
    let finished = step.and_then(|step| step.finished);
    let ended = step.filter(|step| step.finished.is_some());
    let details = ended.map_or(state.details, |step| step.details);
    let elapsed = started.zip(finished).map(|(started, finished)| elapsed(started, finished));
    json!({
        "CommandId": record.id,
        "InstanceId": invocation.instance_id,
        "Comment": record.request.comment,
        "DocumentName": record.document_name,
        "DocumentVersion": record.request.document_version,
        "PluginName": plugin_name,
        "ResponseCode": step.map_or(-1, |step| step.response_code),
        "ExecutionStartDateTime": started.map(iso).unwrap_or_default(),
        "ExecutionElapsedTime": elapsed.unwrap_or_default(),
        "ExecutionEndDateTime": finished.map(iso).unwrap_or_default(),
        "Status": details.status(),
        "StatusDetails": details.as_str(),
        "StandardOutputContent": step.map_or("", |step| &step.stdout),
        "StandardOutputUrl": "",
        "StandardErrorContent": step.map_or("", |step| &step.stderr),
        "StandardErrorUrl": "",
        "CloudWatchOutputConfig": cloud_watch_output_config(record),
    })
}

/// `InstanceInformation`.
pub(super) fn instance(node: &Node) -> Value {
    let name = node.file.name.as_deref().unwrap_or(&node.id);
    json!({
        "InstanceId": node.id,
        "PingStatus": node.ping_status(),
        "LastPingDateTime": epoch_seconds(Timestamp::now()),
        "AgentVersion": AGENT_VERSION,
        "IsLatestVersion": true,
        "PlatformType": node.file.platform_type.as_str(),
        "PlatformName": "Sandbox",
        "PlatformVersion": "1",
        "ResourceType": node.resource_type(),
        "Name": node.file.name.as_deref().unwrap_or_default(),
        "IPAddress": "127.0.0.1",
        "ComputerName": name,
    })
}

fn notification_config(record: &CommandRecord) -> Value {
    let none = json!({"NotificationArn": "", "NotificationEvents": [], "NotificationType": ""});
    record.request.notification_config.clone().unwrap_or(none)
}

fn cloud_watch_output_config(record: &CommandRecord) -> Value {
    let none = json!({"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false});
    record.request.cloud_watch_output_config.clone().unwrap_or(none)
}

/// Both outputs in one text of at most 2,500 characters, as the agent makes it: what does not fit
/// is cut from the longer one first, and both get the same when both are too long.
fn listed_output(stdout: &str, stderr: &str) -> String {
    let separator = if stderr.is_empty() { "" } else { ERROR_SEPARATOR };
    let room = LISTED_CHARS_MAX - separator.chars().count();
    let (stdout_chars, stderr_chars) = (stdout.chars().count(), stderr.chars().count());
    if stdout_chars + stderr_chars <= room {
        return format!("{stdout}{separator}{stderr}");
    }
    let half = room / 2;
    let (stdout_room, stderr_room) = if stderr_chars <= half {
        (room - stderr_chars, stderr_chars)
    } else if stdout_chars <= half {
        (stdout_chars, room - stdout_chars)
    } else {
        (half, half)
    };
    let stdout = shortened(stdout, stdout_room, STDOUT_CUT);
    let stderr = shortened(stderr, stderr_room, STDERR_CUT);
    format!("{stdout}{separator}{stderr}")
}

fn shortened(text: &str, chars_max: usize, mark: &str) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - mark.chars().count()).chain(mark.chars()).collect()
}

/// A time as AWS JSON has it: seconds since 1970, here with three decimals.
pub(crate) fn epoch_seconds(time: Timestamp) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
    let seconds = time.as_millisecond() as f64 / 1_000.0;
    json!(seconds)
}

/// A time as text, in UTC with milliseconds.
pub(super) fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A duration as `PT1.234S`.
fn elapsed(started: Timestamp, finished: Timestamp) -> String {
    let milliseconds = finished.as_millisecond() - started.as_millisecond();
    format!("PT{}.{:03}S", milliseconds / 1_000, milliseconds % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_share_one_text() {
        assert_eq!(listed_output("out", ""), "out");
        assert_eq!(listed_output("", "err"), "\n----------ERROR-------\nerr");
        assert_eq!(listed_output("out", "err"), "out\n----------ERROR-------\nerr");
    }

    #[test]
    fn a_long_listed_output_is_cut_with_the_marks_of_the_agent() {
        let (long, short) = ("ä".repeat(3_000), "s".repeat(10));
        for (stdout, stderr) in [(&long, &short), (&short, &long), (&long, &long)] {
            let text = listed_output(stdout, stderr);
            assert_eq!(text.chars().count(), LISTED_CHARS_MAX);
            assert_eq!(text.contains(STDOUT_CUT), stdout.len() > 10);
            assert_eq!(text.ends_with(STDERR_CUT), stderr.len() > 10);
        }
        let only = listed_output(&long, "");
        assert_eq!(only.chars().count(), LISTED_CHARS_MAX);
        assert!(only.ends_with(STDOUT_CUT));
        assert_eq!(listed_output(&"x".repeat(2_500), ""), "x".repeat(2_500));
    }

    #[test]
    fn times_have_milliseconds() {
        let time: Timestamp = "2026-11-22T10:00:00.0456Z".parse().unwrap();
        assert_eq!(epoch_seconds(time).to_string(), "1795341600.045");
        assert_eq!(iso(time), "2026-11-22T10:00:00.045Z");
        let later = "2026-11-22T10:01:05.1Z".parse().unwrap();
        assert_eq!(elapsed(time, later), "PT65.055S");
    }
}
