//! What the demo runs, what it expects, and how it shows the results.

use std::fmt::Write as _;

use serde_json::Value;

use crate::printable::printable;

/// A command and its expected result.
pub(super) struct Case {
    pub(super) title: &'static str,
    pub(super) state_machine: &'static str,
    pub(super) input: Value,
    pub(super) expected: Expected,
}

/// How an execution must end.
pub(super) enum Expected {
    /// With what each of so many nodes wrote to stdout.
    Success { nodes: usize, stdout: &'static str },
    /// With this error, and this exit code in its cause.
    Failure { error: &'static str, response_code: i64 },
}

/// How an execution ended.
pub(super) struct Ended {
    pub(super) status: String,
    error: Option<String>,
    /// The output, or the cause as JSON.
    pub(super) report: Value,
    /// The output or the cause as it came.
    text: String,
}

/// Reads the answer of `DescribeExecution`.
pub(super) fn ended(described: &Value) -> Ended {
    let text = described["output"].as_str().or(described["cause"].as_str());
    let text = text.unwrap_or_default().to_owned();
    Ended {
        status: described["status"].as_str().unwrap_or_default().to_owned(),
        error: described["error"].as_str().map(str::to_owned),
        report: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}

/// In what an execution differs from what is expected.
pub(super) fn problems(expected: &Expected, ended: &Ended) -> Vec<String> {
    let invocations = invocations(&ended.report);
    let mut problems = Vec::new();
    let mut check = |right: bool, expectation: String| {
        if !right {
            problems.push(expectation);
        }
    };
    match expected {
        Expected::Success { nodes, stdout } => {
            check(ended.status == "SUCCEEDED", "status SUCCEEDED".to_owned());
            check(invocations.len() == *nodes, format!("{nodes} nodes"));
            let said = |invocation: &&Value| {
                let output = invocation["StandardOutputContent"].as_str();
                output.is_some_and(|output| output.contains(stdout))
            };
            let all = invocations.iter().filter(said).count() == *nodes;
            check(all, format!("{stdout:?} from each"));
        }
        Expected::Failure { error, response_code } => {
            check(ended.status == "FAILED", "status FAILED".to_owned());
            check(ended.error.as_deref() == Some(*error), format!("error {error}"));
            let coded = |invocation: &Value| invocation["ResponseCode"] == *response_code;
            let code = format!("ResponseCode {response_code} in the cause");
            check(invocations.iter().any(coded), code);
        }
    }
    problems
}

fn invocations(report: &Value) -> &[Value] {
    report["Invocations"].as_array().map_or(&[], Vec::as_slice)
}

/// An execution at a glance.
pub(super) fn show(case: &Case, ended: &Ended, problems: &[String]) -> String {
    let mut text = format!("── {}\n", case.title);
    let mut line = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "   {name:<10} {}", printable(value));
    };
    line("execution", &ended.status);
    if let Some(error) = &ended.error {
        line("error", error);
    }
    match ended.report["CommandId"].as_str() {
        Some(id) => line("command", id),
        None => line("answer", if ended.text.is_empty() { "none" } else { &ended.text }),
    }
    for invocation in invocations(&ended.report) {
        let field = |name: &str| invocation[name].as_str().unwrap_or_default();
        let exit = &invocation["ResponseCode"];
        let summary = format!("{}: {}, exit {exit}", field("InstanceId"), field("StatusDetails"));
        line("node", &summary);
        for (name, stream) in
            [("  stdout", "StandardOutputContent"), ("  stderr", "StandardErrorContent")]
        {
            for content in field(stream).lines() {
                line(name, content);
            }
        }
    }
    match problems {
        [] => line("✓", "as expected"),
        problems => line("✗", &format!("expected: {}", problems.join(", "))),
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Case, Expected, ended, problems, show};

    #[test]
    fn a_script_cannot_speak_to_the_terminal() {
        let output = "\u{1b}]0;title\u{7}\u{1b}[2J\rgone\u{9b}1m\tä";
        let report = json!({ "Invocations": [{ "StandardOutputContent": output }] });
        let case = Case {
            title: "a case",
            state_machine: "a-machine",
            input: json!({}),
            expected: Expected::Success { nodes: 1, stdout: "gone" },
        };
        let shown = show(
            &case,
            &ended(&json!({ "status": "SUCCEEDED", "output": report.to_string() })),
            &["a\u{7}b".to_owned()],
        );
        assert!(shown.contains(r"\u{1b}]0;title\u{7}\u{1b}[2J\rgone\u{9b}1m\tä"), "{shown}");
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    }

    #[test]
    fn a_success_must_say_what_each_node_wrote() {
        let expected = Expected::Success { nodes: 1, stdout: "hello" };
        let output = |stdout: &str| {
            let report = json!({ "Invocations": [{ "StandardOutputContent": stdout }] });
            ended(&json!({ "status": "SUCCEEDED", "output": report.to_string() }))
        };
        assert_eq!(problems(&expected, &output("hello\n")), Vec::<String>::new());
        assert_eq!(problems(&expected, &output("")), ["\"hello\" from each"]);
        let empty = ended(&json!({ "status": "SUCCEEDED", "output": "{}" }));
        assert_eq!(problems(&expected, &empty).len(), 2);
    }

    #[test]
    fn a_failure_must_have_its_error_and_its_exit_code() {
        let expected = Expected::Failure { error: "RunCommand.Failed", response_code: 3 };
        let cause = json!({ "Invocations": [{ "ResponseCode": 3 }] }).to_string();
        let failure =
            |error: &str| ended(&json!({ "status": "FAILED", "error": error, "cause": cause }));
        assert_eq!(problems(&expected, &failure("RunCommand.Failed")), Vec::<String>::new());
        assert_eq!(problems(&expected, &failure("States.Timeout")), ["error RunCommand.Failed"]);
        let running = ended(&json!({ "status": "RUNNING" }));
        assert_eq!(problems(&expected, &running).len(), 3);
    }
}
