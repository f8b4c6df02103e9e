//! Commands and invocations as Run Command would report them, to put into a
//! [`World`](super::world::World).

use crate::command::{Callback, Output, Plugin};
use crate::{Command, CommandId, InstanceId, Invocation, Status, StatusDetails};
use jiff::{SignedDuration, Timestamp};

/// The id of the command with this number.
pub fn command_id(number: u32) -> CommandId {
    CommandId::parse(&format!("{number:08x}-1b2c-4d3e-8f4a-5b6c7d8e9f00"))
        .expect("36 characters of a UUID")
}

/// A command with these details that targets these nodes, and no other; its counts fit them.
pub fn command(
    id: &CommandId,
    parameters: &[(&str, &str)],
    details: &str,
    nodes: &[Invocation],
) -> Command {
    let count = |wanted: &dyn Fn(&Invocation) -> bool| {
        u32::try_from(nodes.iter().filter(|node| wanted(node)).count()).expect("a few nodes")
    };
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]));
    Command {
        id: id.clone(),
        document_name: "SfnRunShellScript".to_owned(),
        status: status_of(details),
        status_details: StatusDetails::parse(details),
        requested_at: requested_at(),
        target_count: count(&|_| true),
        completed_count: count(&|node| node.status_details.has_ended() == Some(true)),
        error_count: count(&|node| {
            use StatusDetails::{ExecutionTimedOut, Failed};
            matches!(node.status_details, Failed | ExecutionTimedOut)
        }),
        delivery_timed_out_count: count(&|node| {
            node.status_details == StatusDetails::DeliveryTimedOut
        }),
        callback: Callback::from_parameters(&parameters.collect()),
    }
}

/// The invocation on the node with this number, of one step that printed this.
pub fn invocation(node: u32, details: &str, stdout: &str, stderr: &str) -> Invocation {
    let status_details = StatusDetails::parse(details);
    let response_code = match status_details {
        StatusDetails::Success => Some(0),
        StatusDetails::Failed => Some(1),
        StatusDetails::ExecutionTimedOut => Some(137),
        _ => None,
    };
    let moment = |seconds| requested_at() + SignedDuration::from_secs(seconds);
    Invocation {
        instance_id: InstanceId::parse(&format!("i-{node:017x}")).expect("17 digits"),
        status: status_of(details),
        status_details: status_details.clone(),
        plugins: vec![Plugin {
            name: "runShellScript".to_owned(),
            status_details,
            response_code,
            started_at: response_code.map(|_| moment(1)),
            ended_at: response_code.map(|_| moment(2)),
            output: Output {
                stdout: stdout.to_owned(),
                stderr: stderr.to_owned(),
                truncated: false,
                exact: true,
            },
        }],
        standard_output_url: String::new(),
        standard_error_url: String::new(),
    }
}

/// The `Status` that the API sends with these `StatusDetails`.
fn status_of(details: &str) -> Status {
    match StatusDetails::parse(details) {
        StatusDetails::ExecutionTimedOut | StatusDetails::DeliveryTimedOut => Status::TimedOut,
        StatusDetails::NoInstancesInTag => Status::Success,
        StatusDetails::RateExceeded => Status::Cancelled,
        StatusDetails::Terminated
        | StatusDetails::Undeliverable
        | StatusDetails::InvalidPlatform
        | StatusDetails::AccessDenied
        | StatusDetails::Incomplete => Status::Failed,
        same => Status::parse(same.as_str()),
    }
}

fn requested_at() -> Timestamp {
    Timestamp::from_second(1_795_341_600).expect("2026-11-22T10:00:00Z")
}
