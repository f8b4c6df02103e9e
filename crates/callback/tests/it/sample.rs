//! Commands and invocations whose words, counts, and exit codes a test sets.

use callback::command::Plugin;
use callback::testing::sample;
use callback::{Command, Invocation, Status};

/// The token of every sample command.
pub(crate) const TOKEN: &str = "AQCEAAAAKgAAAAMAAAAAtokenOfTheSampleCommand";

/// A command with the token [`TOKEN`] and these words of the API.
pub(crate) fn command(status: &str, details: &str, target_count: u32) -> Command {
    let id = sample::command_id(0x0b8e_f9e2);
    Command {
        status: Status::parse(status),
        target_count,
        completed_count: target_count,
        ..sample::command(&id, &[("taskToken", TOKEN)], details, &[])
    }
}

/// An invocation that printed nothing, on the node with this number.
pub(crate) fn invocation(node: usize, status: &str, details: &str) -> Invocation {
    let node = u32::try_from(node).unwrap();
    Invocation {
        status: Status::parse(status),
        plugins: Vec::new(),
        ..sample::invocation(node, details, "", "")
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

/// A step that exited with this code.
pub(crate) fn plugin(name: &str, code: i32, stdout: &str, stderr: &str) -> Plugin {
    let word = if code == 0 { "Success" } else { "Failed" };
    Plugin { response_code: Some(code), ..sample::plugin(name, word, stdout, stderr) }
}
