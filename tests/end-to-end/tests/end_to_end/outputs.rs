//! What scripts print: long, much, and not always text.

use std::iter::repeat_n;

use aws_sdk_sfn::types::ExecutionStatus;
use rstest::rstest;
use sandbox_client::{Ended, NODES, Sandbox};
use serde_json::{Value, json};

use crate::{borrowed, node, shell_task};

/// The longest output of a task that does not say `outputBytes`.
const OUTPUT_BYTES_MAX: usize = 196_608;
/// The longest cause of a failed task (Step Functions API, `SendTaskFailure`).
const CAUSE_CHARS_MAX: usize = 32_768;
/// A standard output of so many bytes is cut.
const STDOUT_BYTES_MAX: usize = 24_000;

/// A line that prints this character so often.
fn print(character: char, count: usize) -> String {
    format!("printf '%0{count}d' 0 | sed 's/0/{character}/g'")
}

/// The same of a control character, which takes six bytes of JSON.
fn print_control(count: usize) -> String {
    print('\u{1}', count).replace('\u{1}', "\\x01")
}

fn stdout_of(entry: &Value) -> &str {
    entry["StandardOutputContent"].as_str().expect("a text")
}

#[tokio::test]
async fn a_long_output_of_one_node_comes_in_full() {
    let sandbox = Sandbox::shared().await;
    let characters = (STDOUT_BYTES_MAX - 1) / 'é'.len_utf8();
    let stdout = print('é', characters);
    let stderr = format!("{} >&2", print('ß', 7_999));
    let ended = sandbox.run_task(&shell_task(&[NODES[0]], &[&stdout, &stderr])).await;
    let node = node(ended.success(), NODES[0]);
    assert!(stdout_of(node) == "é".repeat(characters), "{} bytes", stdout_of(node).len());
    assert!(node["StandardErrorContent"] == "ß".repeat(7_999).as_str());
    assert_eq!(node["OutputTruncated"], false);
}

#[tokio::test]
async fn an_output_below_the_limit_comes_in_full_and_one_at_it_is_said_to_be_cut() {
    let sandbox = Sandbox::shared().await;
    let below = shell_task(&[NODES[1]], &[&print('x', STDOUT_BYTES_MAX - 1)]);
    let at_limit = shell_task(&[NODES[2]], &[&print('x', STDOUT_BYTES_MAX)]);
    let (below, at_limit) = tokio::join!(sandbox.run_task(&below), sandbox.run_task(&at_limit));
    let below = node(below.success(), NODES[1]);
    assert!(stdout_of(below) == "x".repeat(STDOUT_BYTES_MAX - 1));
    let at_limit = node(at_limit.success(), NODES[2]);
    assert!(stdout_of(at_limit).starts_with(&"x".repeat(STDOUT_BYTES_MAX - 100)));
    assert_eq!(at_limit["OutputTruncated"], true);
}

#[tokio::test]
async fn fifty_long_outputs_are_shortened_evenly_and_every_node_is_told() {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(repeat_n("online", 50));
    // Of 50 nodes, 2,500 bytes each can be read: more than fits, at six bytes of JSON each.
    let script = print_control(STDOUT_BYTES_MAX);
    let ended = sandbox.run_task(&shell_task(&borrowed(&nodes), &[&script])).await;

    let output = ended.success();
    let bytes = output.to_string().len();
    assert!((OUTPUT_BYTES_MAX - 1_000..=OUTPUT_BYTES_MAX).contains(&bytes), "{bytes} bytes");
    assert_eq!((&output["TargetCount"], &output["InvocationsOmitted"]), (&50.into(), &0.into()));
    let entries = output["Invocations"].as_array().expect("a list");
    let ids: Vec<_> = entries.iter().map(|entry| entry["InstanceId"].as_str().unwrap()).collect();
    assert_eq!(ids, nodes);
    let lengths = entries.iter().map(|entry| {
        assert_eq!(entry["OutputTruncated"], true);
        assert!(stdout_of(entry).bytes().all(|byte| byte == 1));
        stdout_of(entry).len()
    });
    let (least, most) = lengths
        .fold((usize::MAX, 0), |(least, most), length| (least.min(length), most.max(length)));
    assert!(least > 500 && most - least <= 1, "{least} to {most} characters");
}

#[tokio::test]
async fn ten_long_outputs_are_read_in_full_and_shortened_to_what_fits() {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["online"; 10]);
    let script = print_control(STDOUT_BYTES_MAX - 1);
    let ended = sandbox.run_task(&shell_task(&borrowed(&nodes), &[&script])).await;
    let output = ended.success();
    let bytes = output.to_string().len();
    // Each such character takes six bytes of JSON.
    assert!((OUTPUT_BYTES_MAX - 1_000..=OUTPUT_BYTES_MAX).contains(&bytes), "{bytes} bytes");
    for id in &nodes {
        let stdout = stdout_of(node(output, id));
        assert!(stdout.len() > 3_000, "{} characters", stdout.len());
        assert!(stdout.bytes().all(|byte| byte == 1));
    }
}

/// Runs a script that fills any answer, on ten nodes, in a state that keeps its input beside the
/// output and catches every error.
async fn ten_talkative_nodes(output_bytes: Option<&str>) -> Ended {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(["online"; 10]);
    let script = print_control(10_000);
    let mut run = shell_task(&borrowed(&nodes), &[&script]);
    if let Some(bytes) = output_bytes {
        run["Parameters"]["Parameters"]["outputBytes"] = json!([bytes]);
    }
    run["ResultPath"] = json!("$.Result");
    run["Catch"] = json!([{ "ErrorEquals": ["States.ALL"], "Next": "Caught" }]);
    let states = json!({ "Run": run, "Caught": { "Type": "Succeed" } });
    let definition = json!({ "StartAt": "Run", "States": states });
    let state_machine = sandbox.create_state_machine(&definition).await;
    sandbox.run(&state_machine, &json!({ "Given": "x".repeat(2_000) })).await
}

#[tokio::test]
async fn a_state_has_room_for_its_input_beside_the_output_of_ten_talkative_nodes() {
    let ended = ten_talkative_nodes(None).await;
    let output = ended.success();
    assert_eq!(output["Given"].as_str().map(str::len), Some(2_000));
    assert_eq!(output["Result"]["Invocations"].as_array().map(Vec::len), Some(10));
}

#[tokio::test]
async fn an_output_of_262_144_bytes_leaves_no_room_and_no_catch_helps() {
    let ended = ten_talkative_nodes(Some("262144")).await;
    assert_eq!(ended.status, ExecutionStatus::Failed, "{ended:?}");
    assert_eq!(ended.error.as_deref(), Some("States.DataLimitExceeded"), "{ended:?}");
}

#[rstest]
#[case::too_short("2047")]
#[case::too_long("262145")]
#[case::words("64 KiB")]
#[tokio::test]
async fn output_bytes_out_of_bounds_are_refused_by_name(#[case] value: &str) {
    let sandbox = Sandbox::shared().await;
    let mut run = shell_task(&[NODES[0]], &["true"]);
    run["Parameters"]["Parameters"]["outputBytes"] = json!([value]);
    let ended = sandbox.run_task(&run).await;
    assert_eq!(ended.error.as_deref(), Some("Ssm.InvalidParametersException"), "{ended:?}");
    assert!(ended.cause.unwrap_or_default().contains("outputBytes"));
}

#[tokio::test]
async fn the_cause_of_a_failure_keeps_its_limit_and_says_what_failed() {
    let sandbox = Sandbox::shared().await;
    let nodes = sandbox.add_nodes(repeat_n("online", 12));
    let failing = nodes[7].as_str();
    let script = [
        print('o', 2_000),
        format!("[ $AWS_SSM_INSTANCE_ID != {failing} ] || {{ echo 'no space left' >&2; exit 9; }}"),
    ];
    let ended = sandbox.run_task(&shell_task(&borrowed(&nodes), &borrowed(&script))).await;
    let report = ended.failure("RunCommand.Failed");
    let cause = ended.cause.as_deref().unwrap_or_default();
    assert!(cause.chars().count() <= CAUSE_CHARS_MAX, "{} characters", cause.chars().count());
    // It comes first, and whole.
    let first = &report["Invocations"][0];
    assert_eq!((&first["InstanceId"], &first["ResponseCode"]), (&failing.into(), &9.into()));
    assert!(stdout_of(first) == "o".repeat(2_000));
    let stderr = first["StandardErrorContent"].as_str().unwrap_or_default();
    assert!(stderr.starts_with("no space left\n"), "{stderr}");
    let entries = report["Invocations"].as_array().map_or(0, Vec::len);
    assert_eq!(
        entries + usize::try_from(report["InvocationsOmitted"].as_u64().unwrap()).unwrap(),
        12
    );
}

#[tokio::test]
async fn bytes_that_are_no_text_and_control_characters_come_through() {
    let sandbox = Sandbox::shared().await;
    let script = r#"printf 'a\377b\001c\033[31m\000d\tü"\\\r\n\342\202'"#;
    let ended = sandbox.run_task(&shell_task(&[NODES[0]], &[script])).await;
    let node = node(ended.success(), NODES[0]);
    assert_eq!(stdout_of(node), "a\u{fffd}b\u{1}c\u{1b}[31m\0d\tü\"\\\r\n\u{fffd}\u{fffd}");
    assert_eq!(node["OutputTruncated"], false);
}

#[tokio::test]
async fn a_script_that_prints_nothing_has_empty_outputs() {
    let sandbox = Sandbox::shared().await;
    let ended = sandbox.run_task(&shell_task(&[NODES[0]], &["true"])).await;
    let node = node(ended.success(), NODES[0]);
    assert_eq!((stdout_of(node), &node["StandardErrorContent"]), ("", &"".into()));
}

#[tokio::test]
async fn a_separator_without_standard_error_is_not_misread() {
    let sandbox = Sandbox::shared().await;
    let script = ["echo before", "echo '----------ERROR-------'", "echo after"];
    let ended = sandbox.run_task(&shell_task(&[NODES[0]], &script)).await;
    let node = node(ended.success(), NODES[0]);
    assert_eq!(stdout_of(node), "before\n----------ERROR-------\nafter\n");
    assert_eq!(node["StandardErrorContent"], "");
}

#[tokio::test]
async fn a_script_that_prints_the_separator_of_the_agent_is_not_misread() {
    let sandbox = Sandbox::shared().await;
    let script = ["echo before", "echo '----------ERROR-------'", "echo after", "echo bad >&2"];
    let ended = sandbox.run_task(&shell_task(&[NODES[0]], &script)).await;
    let node = node(ended.success(), NODES[0]);
    assert_eq!(stdout_of(node), "before\n----------ERROR-------\nafter\n");
    assert_eq!(node["StandardErrorContent"], "bad\n");
}
