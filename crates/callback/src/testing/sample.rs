//! Sample commands and invocations, as Run Command reports them.
//!
//! A test that needs other values changes the fields that matter to it:
//!
//! ```
//! use callback::Command;
//! use callback::testing::sample::{command, command_id, invocation};
//!
//! let nodes = [invocation(1, "Success", "Hello\n", ""), invocation(2, "Failed", "", "broken\n")];
//! let sample = command(&command_id(1), &[("onFailure", "Report")], "Failed", &nodes);
//! let own = Command { document_name: "MyDocument".to_owned(), ..sample };
//! assert_eq!((own.target_count, own.error_count), (2, 1));
//! ```

use jiff::{SignedDuration, Timestamp};

use crate::command::{Callback, Plugin};
use crate::output::{Output, Trace};
use crate::{Command, CommandId, InstanceId, Invocation, Status, StatusDetails};

/// The ID of a sample command: [`command_id`] of `0x0b8e_f9e2`.
pub const COMMAND_ID: &str = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";

/// The ID of the command with this number.
pub fn command_id(number: u32) -> CommandId {
    CommandId::parse(&format!("{number:08x}-1b2c-4d3e-8f4a-5b6c7d8e9f00"))
        .expect("36 characters of a UUID")
}

/// The ID of the node with this number.
pub fn instance_id(node: u32) -> InstanceId {
    InstanceId::parse(&format!("i-{node:017x}")).expect("17 digits")
}

/// A command with these status details that targets exactly these nodes. Its counts match them.
///
/// It was requested on 2026-11-22 at 10:00:00 UTC, on `SfnRunShellScript`.
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
        comment: String::new(),
        log_group_name: String::new(),
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
    Invocation {
        instance_id: instance_id(node),
        status: status_of(details),
        status_details: StatusDetails::parse(details),
        plugins: vec![plugin("runShellScript", details, stdout, stderr)],
        trace: Trace::default(),
        standard_output_url: String::new(),
        standard_error_url: String::new(),
    }
}

/// A step that printed this. If it ran, it ran from 1 s to 2.25 s after the request, and its exit
/// code matches the details.
pub fn plugin(name: &str, details: &str, stdout: &str, stderr: &str) -> Plugin {
    let status_details = StatusDetails::parse(details);
    let response_code = match status_details {
        StatusDetails::Success => Some(0),
        StatusDetails::Failed => Some(1),
        StatusDetails::ExecutionTimedOut => Some(137),
        _ => None,
    };
    let after = |ms| requested_at() + SignedDuration::from_millis(ms);
    Plugin {
        name: name.to_owned(),
        status_details,
        response_code,
        started_at: response_code.map(|_| after(1_000)),
        ended_at: response_code.map(|_| after(2_250)),
        output: output(stdout, stderr),
        is_skipped: false,
    }
}

/// A step that the agent skipped, as Run Command lists it.
pub fn skipped(name: &str) -> Plugin {
    Plugin { is_skipped: true, ..plugin(name, "Success", "", "") }
}

/// The invocation on the node with this number, all of whose steps were skipped for this reason.
pub fn skipped_invocation(node: u32, reason: &str) -> Invocation {
    Invocation {
        plugins: vec![skipped("runShellScript")],
        trace: Trace::new(reason.to_owned()),
        ..invocation(node, "Success", "", "")
    }
}

/// The full output of a step that printed this.
pub fn output(stdout: &str, stderr: &str) -> Output {
    Output { stdout: stdout.to_owned(), stderr: stderr.to_owned(), truncated: false, exact: true }
}

/// The `Status` that the API returns with these `StatusDetails`.
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
