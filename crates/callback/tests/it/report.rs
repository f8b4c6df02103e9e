//! What a task is told: whole answers, their limits, and what is left out first.

use callback::command::{Callback, OutputBytes, Plugin};
use callback::limits::{CAUSE_BYTES_MAX, ERROR_BYTES_MAX, OUTPUT_BYTES_MAX};
use callback::output::Trace;
use callback::report::{
    FAILED_TEXT_BYTES_KEPT, error_name, report, report_without_nodes, report_without_outputs,
};
use callback::testing::sample::skipped;
use callback::{Command, Invocation, Status, StatusDetails};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Deserialize;

use crate::sample::{TOKEN, command, exited, invocation, plugin};

// Whole answers.

#[track_caller]
fn whole(command: &Command, invocations: &[Invocation]) -> String {
    whole_of(&report(command, invocations, OUTPUT_BYTES_MAX))
}

#[track_caller]
fn whole_of(json: &str) -> String {
    serde_json::from_str::<Read>(json).unwrap();
    laid_out(json)
}

/// The same JSON, one value per line. The bytes inside of strings stay as they are.
fn laid_out(json: &str) -> String {
    let (mut out, mut depth, mut in_string, mut escaped) = (String::new(), 0_usize, false, false);
    for char in json.chars() {
        if in_string {
            out.push(char);
            in_string = char != '"' || escaped;
            escaped = char == '\\' && !escaped;
            continue;
        }
        match char {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            '"' => in_string = true,
            _ => {}
        }
        if matches!(char, '}' | ']') {
            out.push_str(&line_break(depth));
        }
        out.push(char);
        if matches!(char, '{' | '[' | ',') {
            out.push_str(&line_break(depth));
        }
    }
    out
}

fn line_break(depth: usize) -> String {
    format!("\n{}", "  ".repeat(depth))
}

#[test]
fn one_node_that_succeeded() {
    let mut node = exited(1, 0, "Hello from the node\n", "");
    node.standard_output_url = "https://s3.eu-central-1.amazonaws.com/logs/stdout".into();
    node.standard_error_url = "https://s3.eu-central-1.amazonaws.com/logs/stderr".into();
    insta::assert_snapshot!(whole(&command("Success", "Success", 1), &[node]));
}

#[test]
fn failed_nodes_come_before_successful_ones() {
    let mut command = command("Failed", "Failed", 4);
    command.error_count = 1;
    command.delivery_timed_out_count = 1;
    let nodes = [
        exited(4, 0, "fine\n", ""),
        exited(3, 5, "half\n", "broken\nfailed to run commands: exit status 5"),
        exited(1, 0, "fine too\n", "a warning\n"),
        invocation(2, "TimedOut", "Delivery Timed Out"),
    ];
    insta::assert_snapshot!(whole(&command, &nodes));
}

#[test]
fn several_steps_are_told_one_after_the_other() {
    let mut node = exited(1, 3, "", "");
    node.plugins = vec![
        plugin("prepare", 0, "prepared, without a line's end", ""),
        plugin("run", 3, "ran\n", "went wrong\n"),
        plugin("cleanUp", 0, "cleaned up\n", "and warned\n"),
    ];
    node.plugins[0].started_at = Some("2026-11-22T09:59:59.1239Z".parse().unwrap());
    node.plugins[2].ended_at = Some("2026-11-22T10:03:00Z".parse().unwrap());
    node.plugins[2].output.truncated = true;
    insta::assert_snapshot!(whole(&command("Failed", "Failed", 1), &[node]));
}

#[test]
fn a_node_that_never_started() {
    let mut started = exited(2, 0, "", "");
    started.plugins[0].response_code = None;
    started.plugins[0].started_at = None;
    started.plugins[0].ended_at = None;
    started.plugins[0].status_details = StatusDetails::Terminated;
    started.status = Status::Failed;
    started.status_details = StatusDetails::Terminated;
    let nodes = [invocation(1, "Failed", "Undeliverable"), started];
    insta::assert_snapshot!(whole(&command("Failed", "Failed", 2), &nodes));
}

#[test]
fn a_node_whose_agent_refused_the_document_tells_why() {
    let mut command = command("Failed", "Failed", 2);
    command.comment = "nightly-2026-11-22".into();
    command.log_group_name = "/fleet/scripts".into();
    let mut node = invocation(1, "Failed", "Failed");
    node.trace = Trace::new("Document with schema version 9.9 is not supported".into());
    insta::assert_snapshot!(whole(&command, &[node, exited(2, 0, "fine\n", "")]));
}

#[test]
fn the_exit_code_is_that_of_a_step_that_ran() {
    let node = |plugins| Invocation { plugins, ..exited(1, 0, "", "") };
    let (ok, ended, failed) =
        (plugin("a", 0, "", ""), plugin("b", 168, "", ""), plugin("c", 5, "", ""));
    let ended = Plugin { status_details: StatusDetails::Success, ..ended };
    for (plugins, code) in [
        (vec![ok.clone(), skipped("z")], 0),
        (vec![ended, skipped("z")], 168),
        (vec![skipped("y"), failed, skipped("z")], 5),
        (vec![Plugin { status_details: StatusDetails::Skipped, ..skipped("y") }, ok], 0),
        (vec![skipped("y"), skipped("z")], 0),
        (vec![], -1),
    ] {
        let json = report(&command("Success", "Success", 1), &[node(plugins)], OUTPUT_BYTES_MAX);
        assert!(json.contains(&format!(r#""ResponseCode":{code},"#)), "{json}");
    }
}

#[test]
fn text_of_every_kind_is_told_as_it_came() {
    let mut command = command("Success", "BatteryEmpty", 1);
    command.document_name = "arn:aws:ssm:eu-central-1:123456789012:document/Größe \"1\"".into();
    let stdout = "tab\t, quote \", backslash \\, escape \u{1b}[1m, nul \0, delete \u{7f}, \
                  line\r\nfeed\u{c}, back\u{8}, ü, 漢字, 🦀, \u{2028}, \u{fffd}";
    insta::assert_snapshot!(whole(&command, &[exited(1, 0, stdout, "</script>")]));
}

#[test]
fn no_node_at_all() {
    insta::assert_snapshot!(whole(&command("Success", "NoInstancesInTag", 0), &[]));
}

#[test]
fn without_outputs_everything_else_is_told() {
    let nodes = [exited(1, 0, "said", ""), exited(2, 1, "", "said"), exited(3, 0, "", "")];
    let json = report_without_outputs(&command("Failed", "Failed", 3), &nodes, OUTPUT_BYTES_MAX);
    insta::assert_snapshot!(laid_out(&json));
}

#[test]
fn without_nodes_the_command_is_told_and_all_nodes_are_counted() {
    let mut command = command("Failed", "Failed", 20_001);
    command.error_count = 7;
    insta::assert_snapshot!(whole_of(&report_without_nodes(&command)));
}

// Limits.

/// A report as its reader sees it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Read {
    #[serde(rename = "CommandId")]
    _command_id: String,
    #[serde(rename = "DocumentName")]
    _document_name: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    cloud_watch_log_group_name: String,
    #[serde(rename = "Status")]
    _status: String,
    #[serde(rename = "StatusDetails")]
    _status_details: String,
    #[serde(rename = "RequestedDateTime")]
    _requested_date_time: String,
    target_count: usize,
    #[serde(rename = "CompletedCount")]
    _completed_count: u32,
    #[serde(rename = "ErrorCount")]
    _error_count: u32,
    #[serde(rename = "DeliveryTimedOutCount")]
    _delivery_timed_out_count: u32,
    invocations: Vec<ReadEntry>,
    invocations_omitted: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReadEntry {
    instance_id: String,
    #[serde(rename = "Status")]
    _status: String,
    status_details: String,
    #[serde(rename = "ResponseCode")]
    _response_code: i32,
    #[serde(rename = "ExecutionStartDateTime")]
    _execution_start_date_time: String,
    #[serde(rename = "ExecutionEndDateTime")]
    _execution_end_date_time: String,
    standard_output_content: String,
    standard_error_content: String,
    output_truncated: bool,
    #[serde(rename = "StandardOutputUrl")]
    _standard_output_url: String,
    #[serde(rename = "StandardErrorUrl")]
    _standard_error_url: String,
    trace_output: Option<String>,
}

/// The most bytes that one character takes in JSON: a control character, `\u0000`.
const CHAR_BYTES_MAX: usize = 6;

/// One text of the report and what became of it, in bytes of JSON.
#[derive(Debug)]
struct Text {
    succeeded: bool,
    kept_bytes: usize,
    is_cut: bool,
}

fn json_bytes(text: &str) -> usize {
    serde_json::to_string(text).unwrap().len() - 2
}

/// Everything that the module documentation promises of a report. Tells it, read.
fn check(command: &Command, invocations: &[Invocation], bytes_max: usize) -> Read {
    let json = report(command, invocations, bytes_max);
    assert!(json.len() <= bytes_max, "{} bytes, {bytes_max} allowed", json.len());
    assert!(!json.contains(TOKEN));
    let read: Read = serde_json::from_str(&json).unwrap();
    let texts = texts_in_order(&read, invocations);
    check_evenness(&texts);
    check_order_of_leaving_out(&read, &texts, invocations);

    let full = report(command, invocations, usize::MAX);
    if full.len() <= bytes_max {
        assert_eq!(json, full, "nothing is left out of what fits");
    } else if read.invocations_omitted == 0 {
        // A character's rest per text, and one byte each where `false` became `true`.
        let slack = invocations.len() * (3 * CHAR_BYTES_MAX + 1);
        assert!(json.len() + slack >= bytes_max, "{} bytes of {bytes_max} used", json.len());
    }
    read
}

/// The entries are those of the first nodes in the order of the report, with a true beginning of
/// their texts.
fn texts_in_order(read: &Read, invocations: &[Invocation]) -> Vec<Text> {
    assert_eq!(read.invocations.len() + read.invocations_omitted, invocations.len());
    let mut texts = Vec::new();
    for (entry, node) in read.invocations.iter().zip(invocations_in_order(invocations)) {
        assert_eq!(entry.instance_id, node.instance_id.as_str());
        assert_eq!(entry.status_details, node.status_details.as_str());
        let output = &node.plugins[0].output;
        let mut is_cut = output.truncated;
        assert_eq!(entry.trace_output.is_some(), !node.trace.text.is_empty());
        let trace = entry.trace_output.iter().map(|kept| (kept, &node.trace.text));
        let outputs = [
            (&entry.standard_output_content, &output.stdout),
            (&entry.standard_error_content, &output.stderr),
        ];
        for (kept, whole) in outputs.into_iter().chain(trace) {
            assert!(whole.starts_with(kept), "{kept:?} begins {whole:?}");
            is_cut |= kept.len() < whole.len();
            texts.push(Text {
                succeeded: is_success(&node.status_details),
                kept_bytes: json_bytes(kept),
                is_cut: kept.len() < whole.len(),
            });
        }
        assert_eq!(entry.output_truncated, is_cut, "{}", entry.instance_id);
    }
    texts
}

fn invocations_in_order(invocations: &[Invocation]) -> Vec<&Invocation> {
    let mut ordered: Vec<_> = invocations.iter().collect();
    ordered.sort_by_key(|node| (is_success(&node.status_details), node.instance_id.clone()));
    ordered
}

fn is_success(details: &StatusDetails) -> bool {
    *details == StatusDetails::Success
}

/// No text of a group keeps more than one that was cut, but for a character.
fn check_evenness(texts: &[Text]) {
    for succeeded in [true, false] {
        let group = || texts.iter().filter(|text| text.succeeded == succeeded);
        let longest = group().map(|text| text.kept_bytes).max().unwrap_or(0);
        for cut in group().filter(|text| text.is_cut) {
            assert!(longest < cut.kept_bytes + CHAR_BYTES_MAX, "{longest} bytes beside {cut:?}");
        }
    }
}

fn check_order_of_leaving_out(read: &Read, texts: &[Text], invocations: &[Invocation]) {
    let group = |succeeded| texts.iter().filter(move |text| text.succeeded == succeeded);
    let nodes = |succeeded| {
        invocations.iter().filter(|node| is_success(&node.status_details) == succeeded).count()
    };
    let entries = |succeeded| {
        let told = &invocations_in_order(invocations)[..read.invocations.len()];
        told.iter().filter(|node| is_success(&node.status_details) == succeeded).count()
    };
    let (successful_entries, failed_entries) = (entries(true), entries(false));
    assert_eq!(
        nodes(true) + nodes(false),
        successful_entries + failed_entries + read.invocations_omitted
    );

    let successful_texts_are_gone = group(true).all(|text| text.kept_bytes == 0);
    let least_of_a_cut_failed_text =
        group(false).filter(|text| text.is_cut).map(|text| text.kept_bytes).min();
    if least_of_a_cut_failed_text.is_some() || read.invocations_omitted > 0 {
        assert!(successful_texts_are_gone, "outputs of successful nodes go first");
    }
    if successful_entries > 0
        && let Some(least) = least_of_a_cut_failed_text
    {
        assert!(least + CHAR_BYTES_MAX > FAILED_TEXT_BYTES_KEPT, "{least} bytes kept");
    }
    if successful_entries < nodes(true) {
        let longest = group(false).map(|text| text.kept_bytes).max().unwrap_or(0);
        assert!(longest <= FAILED_TEXT_BYTES_KEPT, "{longest} bytes kept beside an omitted entry");
    }
    if failed_entries < nodes(false) {
        assert_eq!(successful_entries, 0, "entries of successful nodes go first");
        assert!(texts.iter().all(|text| text.kept_bytes == 0), "outputs go before entries");
    }
}

/// Every third node has failed. The texts differ in length, so that evenness shows.
fn many(count: usize, chars: usize, unit: &str) -> Vec<Invocation> {
    (0..count)
        .map(|node| {
            let text = unit.repeat(chars - chars * (node % 7) / 14);
            exited(
                node,
                i32::from(node % 3 == 0),
                &text,
                &text[..text.len() / 2 / unit.len() * unit.len()],
            )
        })
        .collect()
}

#[test]
fn big_reports_keep_to_their_limits() {
    for (count, chars, unit) in [
        (1, 24_000, "\u{1}"),
        (1, 24_000, "🦀"),
        (10, 24_000, "\""),
        (50, 24_000, "x"),
        (50, 8_000, "漢"),
        (600, 1_000, "ü"),
        (5_000, 100, "\n"),
        (5_000, 0, "x"),
    ] {
        let nodes = many(count, chars, unit);
        let command = command("Failed", "Failed", u32::try_from(count).unwrap());
        for bytes_max in [OUTPUT_BYTES_MAX, CAUSE_BYTES_MAX] {
            let read = check(&command, &nodes, bytes_max);
            assert_eq!(read.target_count, count);
            assert!(!read.invocations.is_empty());
        }
    }
}

#[test]
fn five_thousand_failed_nodes_fit_into_a_cause() {
    let nodes: Vec<_> = (0..5_000).map(|node| exited(node, 1, "out", "err")).collect();
    let read = check(&command("Failed", "Failed", 5_000), &nodes, CAUSE_BYTES_MAX);
    assert!(read.invocations.len() > 80, "{} entries", read.invocations.len());
}

#[test]
fn one_failed_node_among_many_keeps_its_error() {
    let error = "e".repeat(FAILED_TEXT_BYTES_KEPT);
    let mut nodes: Vec<_> = (0..5_000).map(|node| exited(node, 0, &"o".repeat(250), "")).collect();
    nodes.push(exited(5_000, 1, "", &error));
    let read = check(&command("Failed", "Failed", 5_001), &nodes, CAUSE_BYTES_MAX);
    assert_eq!(read.invocations[0].standard_error_content, error);
    assert!(!read.invocations[0].output_truncated);
    assert!(read.invocations_omitted > 0);
}

#[test]
fn what_fits_exactly_is_not_cut() {
    for nodes in [many(1, 500, "x"), many(9, 300, "x"), many(40, 200, "\u{1}ü"), Vec::new()] {
        let command = command("Failed", "Failed", u32::try_from(nodes.len()).unwrap());
        let full = report(&command, &nodes, usize::MAX);
        assert_eq!(report(&command, &nodes, full.len()), full);
    }
}

#[test]
fn one_byte_too_many_costs_a_few_characters() {
    let nodes = many(9, 300, "x");
    let command = command("Failed", "Failed", 9);
    let full = report(&command, &nodes, usize::MAX).len();
    let cut = report(&command, &nodes, full - 1);
    // One character, and `true` for `false`, for each of the longest texts.
    assert!((full - 12..full).contains(&cut.len()), "{} of {full} bytes", cut.len());
    assert_eq!(check(&command, &nodes, full - 1).invocations_omitted, 0);
}

#[test]
fn every_limit_is_kept_to_the_byte() {
    let nodes: Vec<_> = (0..20).map(|node| exited(node, 1, "", "")).collect();
    let command = command("Failed", "Failed", 20);
    // Wider than an entry, so that each of them ends at every distance from the limit. More than
    // nine are omitted: their count takes a byte more than none.
    for bytes_max in 2_000..2_400 {
        check(&command, &nodes, bytes_max);
    }
}

#[test]
fn a_report_without_outputs_keeps_to_the_limit() {
    let nodes = many(5_000, 50, "ü");
    let json =
        report_without_outputs(&command("Failed", "Failed", 5_000), &nodes, OUTPUT_BYTES_MAX);
    assert!((OUTPUT_BYTES_MAX - 1_000..=OUTPUT_BYTES_MAX).contains(&json.len()));
    let read: Read = serde_json::from_str(&json).unwrap();
    assert_eq!(read.invocations.len() + read.invocations_omitted, 5_000);
    for entry in &read.invocations {
        assert_eq!((&*entry.standard_output_content, &*entry.standard_error_content), ("", ""));
        assert!(entry.output_truncated);
    }
}

#[test]
fn the_smallest_report_is_as_small_as_documented() {
    let mut command = command("Failed", "Failed", u32::MAX);
    command.document_name =
        format!("arn:aws:ssm:eu-central-1:123456789012:document/{}", "n".repeat(128));
    command.completed_count = u32::MAX;
    command.comment = "\u{1}".repeat(100);
    command.log_group_name = "g".repeat(600);
    command.status = Status::Other("s".repeat(300));
    command.status_details = StatusDetails::Other("d".repeat(300));
    let nodes = many(200, 10, "x");
    assert!(report(&command, &nodes, 2_000).len() <= 2_000);
    assert!(report(&command, &nodes, 0).len() < 2_000);
    assert!(report_without_nodes(&command).len() < 2_000);
    const { assert!(2_000 < OutputBytes::MIN) };
    let read: Read = serde_json::from_str(&report(&command, &nodes, 0)).unwrap();
    assert_eq!(json_bytes(&read.comment), 252, "a whole character at most");
    assert_eq!(read.cloud_watch_log_group_name.len(), 512);
}

#[test]
fn the_token_is_in_no_report() {
    let mut command = command("Failed", "Failed", 1);
    command.comment = format!("for {TOKEN}");
    command.log_group_name = TOKEN.to_owned();
    assert!(
        matches!(&command.callback, Callback { task_token: Some(Ok(token)), .. } if token.expose() == TOKEN)
    );
    let mut node = exited(1, 1, "out", "err");
    node.trace = Trace::new(format!("a{TOKEN}b {TOKEN:?} {}", &TOKEN[..30]));
    let nodes = [node];
    for json in [
        report(&command, &nodes, OUTPUT_BYTES_MAX),
        report(&command, &nodes, 0),
        report_without_outputs(&command, &nodes, OUTPUT_BYTES_MAX),
        report_without_nodes(&command),
    ] {
        assert!(!json.contains(&TOKEN[..16]) && !json.contains("askToken"), "{json}");
        assert!(json.contains(r#""Comment":"for [task token]""#), "{json}");
    }
}

#[test]
fn an_error_name_is_one_word_of_at_most_256_bytes() {
    for (details, name) in [
        ("Failed", "RunCommand.Failed"),
        ("Execution Timed Out", "RunCommand.ExecutionTimedOut"),
        ("Canceled", "RunCommand.Cancelled"),
        ("LimitExceeded", "RunCommand.RateExceeded"),
        ("NoInstancesInTag", "RunCommand.NoInstancesInTag"),
        ("BatteryEmpty", "RunCommand.BatteryEmpty"),
        ("", "RunCommand."),
    ] {
        assert_eq!(error_name(&StatusDetails::parse(details)), name);
    }
    for unit in ["x", "ü", "漢", "🦀"] {
        let name = error_name(&StatusDetails::Other(unit.repeat(300)));
        assert!((ERROR_BYTES_MAX - 3..=ERROR_BYTES_MAX).contains(&name.len()), "{unit}");
        assert!(name.trim_start_matches("RunCommand.").replace(unit, "").is_empty());
    }
}

// Properties of small reports, where a few bytes more or less matter.

fn text() -> impl Strategy<Value = String> {
    let piece =
        (select(&["a", "ü", "漢", "🦀", "\"", "\\", "\n", "\u{1}", "\u{7f}"][..]), 0..400_usize);
    vec(piece, 0..4)
        .prop_map(|pieces| pieces.into_iter().map(|(unit, times)| unit.repeat(times)).collect())
}

fn nodes() -> impl Strategy<Value = Vec<Invocation>> {
    vec((text(), text(), text(), any::<bool>(), any::<bool>()), 0..12).prop_map(|nodes| {
        nodes
            .into_iter()
            .enumerate()
            .map(|(node, (stdout, stderr, trace, succeeded, truncated))| {
                let mut invocation = exited(node, i32::from(!succeeded), &stdout, &stderr);
                invocation.plugins[0].output.truncated = truncated;
                invocation.trace.text = trace;
                invocation
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn a_report_keeps_its_promises(nodes in nodes(), per_mille in 0..1_100_usize) {
        let command = command("Failed", "Failed", u32::try_from(nodes.len()).unwrap());
        let full = report(&command, &nodes, usize::MAX).len();
        check(&command, &nodes, (full * per_mille / 1_000).max(2_000));
    }

    #[test]
    fn the_same_reads_give_the_same_bytes(
        nodes in nodes(),
        bytes_max in 2_000..20_000_usize,
        swaps in vec(any::<(Index, Index)>(), 8),
    ) {
        let command = command("Failed", "Failed", u32::try_from(nodes.len()).unwrap());
        let mut shuffled = nodes.clone();
        for (a, b) in swaps {
            if !shuffled.is_empty() {
                let (a, b) = (a.index(shuffled.len()), b.index(shuffled.len()));
                shuffled.swap(a, b);
            }
        }
        prop_assert_eq!(report(&command, &nodes, bytes_max), report(&command, &shuffled, bytes_max));
    }
}
