//! The limits in `infra/README.md` are those of AWS's service models, of our code and of the template.

use std::fs;
use std::process::Command;

use callback::command::OutputBytes;
use callback::limits::{CAUSE_BYTES_MAX, ERROR_BYTES_MAX};
use callback::ports::{LISTED_OUTPUTS_NODES_MAX, NODES_MAX};
use callback::report::FAILED_TEXT_BYTES_KEPT;
use callback::settle::{FAILED_OUTPUT_NODES_MAX, FULL_OUTPUT_NODES_MAX};
use callback::token::TOKEN_CHARS_MAX;
use sandbox_client::{python_tool, workspace};

use crate::{TEMPLATE, succeed};

/// Rows with shapes of AWS's service models, whose limit each tells.
const OF_AWS: [(&str, &str, &str); 16] = [
    ("`InstanceIds`", "ssm", "InstanceIdList"),
    ("`Targets`", "ssm", "Targets"),
    ("`Targets`", "ssm", "TargetValues"),
    ("`Comment`", "ssm", "Comment"),
    ("`TimeoutSeconds`", "ssm", "TimeoutSeconds"),
    ("Values of a parameter of an automation", "ssm", "AutomationParameterValueList"),
    ("Values of a parameter of an automation", "ssm", "AutomationParameterValue"),
    ("Outputs of up to 10 nodes", "ssm", "StandardOutputContent"),
    ("Outputs of up to 10 nodes", "ssm", "StandardErrorContent"),
    ("Outputs of up to 1,000 nodes", "ssm", "CommandPluginOutput"),
    ("Nodes of a command", "ssm", "CommandMaxResults"),
    ("Task token", "stepfunctions", "TaskToken"),
    ("Output of a task", "stepfunctions", "SensitiveData"),
    ("Input or output of a state", "stepfunctions", "SensitiveData"),
    ("Cause of a failure", "stepfunctions", "SensitiveCause"),
    ("Error name", "stepfunctions", "SensitiveError"),
];
/// Prints the maximum of each shape.
const MAXIMA: &str = "\
import sys, botocore.session
session = botocore.session.get_session()
for pair in sys.argv[1:]:
    service, shape = pair.split('/')
    print(session.get_service_model(service).shape_for(shape).metadata['max'])";

#[test]
fn limits_of_aws_are_those_of_its_models() {
    let mut python = Command::new(python_tool("python"));
    python.args(["-c", MAXIMA]);
    let printed =
        succeed(python.args(OF_AWS.map(|(_, service, shape)| format!("{service}/{shape}"))));
    let maxima: Vec<_> = printed.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(maxima.len(), OF_AWS.len());
    for ((row, _, shape), maximum) in OF_AWS.into_iter().zip(maxima) {
        assert_tells(row, maximum, shape);
    }
}

#[test]
fn limits_of_ours_are_those_of_the_code_and_the_template() {
    let of_code = [
        ("Nodes of a command", NODES_MAX as usize),
        ("Outputs of up to", FULL_OUTPUT_NODES_MAX),
        ("Outputs of up to 1,", LISTED_OUTPUTS_NODES_MAX as usize),
        ("Outputs of more nodes", FAILED_OUTPUT_NODES_MAX),
        ("Task token", TOKEN_CHARS_MAX),
        ("Output of a task", OutputBytes::MIN),
        ("Output of a task", OutputBytes::DEFAULT),
        ("Output of a task", OutputBytes::MAX),
        ("Cause of a failure", CAUSE_BYTES_MAX),
        ("Error name", ERROR_BYTES_MAX),
    ];
    for (row, limit) in of_code {
        assert_tells(row, limit, row);
    }
    let kept = format!("down to {FAILED_TEXT_BYTES_KEPT} bytes");
    assert!(limits().replace(',', "").contains(&kept), "{kept}");
    let default = |parameter: &str| {
        let number = TEMPLATE["Parameters"][parameter]["Default"].as_u64().expect("a number");
        usize::try_from(number).expect("a small number")
    };
    assert_tells("Late answers of the relay", default("RelayEventAgeSeconds") / 3_600, "hours");
    assert_tells("Age of a completed command", default("LookbackHours"), "hours");
    let queue = &TEMPLATE["Resources"]["OnFailureQueue"]["Properties"]["MessageRetentionPeriod"];
    let seconds = usize::try_from(queue.as_u64().expect("a number")).expect("a small number");
    assert_tells("Messages in the on-failure queue", seconds / 86_400, "days");
}

/// The section about limits.
fn limits() -> String {
    let text = fs::read_to_string(workspace().join("infra/README.md")).expect("the README");
    let (_, rest) = text.split_once("\n## Limits\n").expect("a section about limits");
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

/// The first row that begins so tells the number as a word of its own.
fn assert_tells(row: &str, number: usize, of: &str) {
    let limits = limits();
    let row = limits.lines().find(|line| line.starts_with(&format!("| {row}")));
    let row = row.unwrap_or_else(|| panic!("a row about {of}"));
    let row = row.replace(',', "");
    let mut numbers = row.split(|character: char| !character.is_ascii_digit());
    assert!(numbers.any(|word| word == number.to_string()), "{of} is {number}: {row}");
}
