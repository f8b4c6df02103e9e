//! Commands and invocations to decide and to report on.

use callback::command::{Callback, Output, Plugin};
use callback::{Command, CommandId, InstanceId, Invocation, Status, StatusDetails};

/// A command on `SfnRunShellScript` with the token [`TOKEN`], with these words of the API.
pub(crate) fn command(status: &str, details: &str, target_count: u32) -> Command {
    let parameters =
        [("taskToken", TOKEN)].map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
    Command {
        id: CommandId::parse("0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00").unwrap(),
        document_name: "SfnRunShellScript".into(),
        status: Status::parse(status),
        status_details: StatusDetails::parse(details),
        requested_at: "2026-11-22T10:00:00Z".parse().unwrap(),
        target_count,
        completed_count: target_count,
        error_count: 0,
        delivery_timed_out_count: 0,
        callback: Callback::from_parameters(&parameters.into()),
    }
}

/// The token of every sample command.
pub(crate) const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAtokenOfTheSampleCommand";

/// An invocation that printed nothing, on the node with this number.
pub(crate) fn invocation(node: usize, status: &str, details: &str) -> Invocation {
    Invocation {
        instance_id: InstanceId::parse(&format!("i-{node:017}")).unwrap(),
        status: Status::parse(status),
        status_details: StatusDetails::parse(details),
        plugins: Vec::new(),
        standard_output_url: String::new(),
        standard_error_url: String::new(),
    }
}

/// An invocation of one step that exited with this code.
pub(crate) fn exited(node: usize, code: i32, stdout: &str, stderr: &str) -> Invocation {
    let word = if code == 0 { "Success" } else { "Failed" };
    Invocation {
        plugins: vec![plugin("runShellScript", code, stdout, stderr)],
        ..invocation(node, word, word)
    }
}

/// A step that ran for 1.25 s and exited with this code.
pub(crate) fn plugin(name: &str, code: i32, stdout: &str, stderr: &str) -> Plugin {
    Plugin {
        name: name.into(),
        status_details: StatusDetails::parse(if code == 0 { "Success" } else { "Failed" }),
        response_code: Some(code),
        started_at: Some("2026-11-22T10:00:01Z".parse().unwrap()),
        ended_at: Some("2026-11-22T10:00:02.25Z".parse().unwrap()),
        output: Output {
            stdout: stdout.into(),
            stderr: stderr.into(),
            truncated: false,
            exact: true,
        },
    }
}
