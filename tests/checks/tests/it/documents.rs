//! Parameters of our documents that hold what shells, paths and documents make much of.

use checks::TOKEN;
use checks::documents::{Request, check, check_cancelled};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

const ODD: &[&str] = &[
    "",
    "$(touch x)",
    "`touch x`",
    "; rm -rf .",
    "\"",
    "'",
    "\\",
    "a\nb\r\nc",
    "{{ commands }}",
    "{{commands}}",
    "{{ taskToken }}",
    "{{ workingDirectory }}",
    "{{ Commands }}",
    "{{ssm:x}}",
    "{{ global:REGION }}",
    "{{",
    "}}",
    "$HOME ~ * ? [a] {a,b} & | < > ! #",
    "%PATH% $env:PATH",
    "#!/bin/echo",
    "../../..",
    "/",
    "node.json",
    "ü 漢字 🦀 \u{202e}\u{2028}\u{feff}",
    "\u{0}",
    "\u{7}\u{1b}[2J",
    "--",
    "-rf",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => vec(select(ODD), 1..4).prop_map(|pieces| pieces.concat()),
        1 => ".{0,60}",
        1 => (".", 1..30_000_usize).prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

/// A value that the parameter takes, or now and then any text.
fn mostly(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![5 => select(good).prop_map(str::to_owned), 1 => text()]
}

fn request(document: &str, values: Vec<(&str, String)>) -> Request {
    let mut request = Request { document: document.to_owned(), parameters: [].into() };
    for (name, value) in values {
        request.parameters.entry(name.to_owned()).or_default().push(value);
    }
    request
}

#[test]
fn an_automation_that_is_cancelled_fails_the_task() {
    for (document, nodes) in [
        ("SfnRunCommandByInstanceIds", ("InstanceIds", "i-0123456789abcdef0".to_owned())),
        (
            "SfnRunCommandByTargets",
            ("Targets", json!({ "Key": "tag:Role", "Values": ["web"] }).to_string()),
        ),
    ] {
        let token = ("taskToken", TOKEN.to_owned());
        check_cancelled(&request(document, vec![nodes, ("Commands", "true".to_owned()), token]));
    }
}

#[test]
fn a_delivery_timeout_is_taken_or_refused_at_its_limits() {
    for seconds in [
        "0", "10", "29", "30", "99", "100", "999999", "1000000", "1999999", "2000000", "2499999",
        "2500000", "2589999", "2590000", "2592000", "2592001", "2600000", "3000000", "030", "+30",
        "30 s",
    ] {
        check(&request(
            "SfnRunCommandByInstanceIds",
            vec![
                ("InstanceIds", "i-0123456789abcdef0".to_owned()),
                ("Commands", "true".to_owned()),
                ("taskToken", TOKEN.to_owned()),
                ("deliveryTimeout", seconds.to_owned()),
            ],
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_script_gets_its_lines_and_its_directory(
        is_shell in any::<bool>(),
        lines in vec(text(), 0..4),
        directory in text(),
        seconds in mostly(&["5", "3600", "172800"]),
        token in mostly(&[TOKEN]),
        on_failure in mostly(&["Fail", "Report"]),
        on_abandon in mostly(&["Cancel", "Continue"]),
        output_bytes in prop_oneof![
            4 => (2_048..=262_144_u32).prop_map(|bytes| bytes.to_string()),
            1 => select(&["2047", "262145", "02048", "-1", " 4096"][..]).prop_map(str::to_owned),
        ],
        error_name in mostly(&["", "Automation document failure"]),
    ) {
        let mut values: Vec<_> = lines.into_iter().map(|line| ("commands", line)).collect();
        values.extend([
            ("workingDirectory", directory),
            ("executionTimeout", seconds),
            ("taskToken", token),
            ("onFailure", on_failure),
            ("onAbandon", on_abandon),
            ("outputBytes", output_bytes),
            ("errorName", error_name),
        ]);
        let document = if is_shell { "SfnRunShellScript" } else { "SfnRunPowerShellScript" };
        check(&request(document, values));
    }

    #[test]
    fn a_nested_script_gets_its_lines_and_its_directory(
        name in mostly(&["AWS-RunShellScript", "AWS-RunPowerShellScript"]),
        lines in vec(text(), 1..4),
        directory in text(),
        odd in proptest::option::weighted(0.1, text()),
    ) {
        let parameters = json!({ "commands": lines, "workingDirectory": directory }).to_string();
        check(&request("SfnRunDocument", vec![
            ("documentName", name),
            ("documentParameters", odd.unwrap_or(parameters)),
            ("taskToken", TOKEN.to_owned()),
        ]));
    }

    #[test]
    fn an_automation_starts_the_command_that_it_was_asked_for(
        by_targets in any::<bool>(),
        lines in vec(text(), 1..4),
        directory in prop_oneof![Just("\"\"".to_owned()), text()],
        node in mostly(&["i-0123456789abcdef0"]),
        (key, value) in (text(), text()),
        seconds in mostly(&["5", "3600", "172800"]),
        delivery in mostly(&["30", "99", "3600", "1999999", "2592000"]),
        shell in mostly(&["Shell", "PowerShell"]),
        token in text(),
    ) {
        let mut values: Vec<_> = lines.into_iter().map(|line| ("Commands", line)).collect();
        values.extend([
            ("workingDirectory", directory),
            ("executionTimeout", seconds),
            ("deliveryTimeout", delivery),
            ("shell", shell),
            ("taskToken", token),
        ]);
        let document = if by_targets {
            values.push(("Targets", json!({ "Key": key, "Values": [value] }).to_string()));
            "SfnRunCommandByTargets"
        } else {
            values.push(("InstanceIds", node));
            "SfnRunCommandByInstanceIds"
        };
        check(&request(document, values));
    }

    #[test]
    fn an_unknown_parameter_is_refused(name in text(), document in select(&[
        "SfnRunShellScript", "SfnRunPowerShellScript", "SfnRunDocument",
        "SfnRunCommandByInstanceIds", "SfnRunCommandByTargets",
    ][..])) {
        check(&request(document, vec![(&name, "x".to_owned()), ("taskToken", TOKEN.to_owned())]));
    }
}
