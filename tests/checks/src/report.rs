//! A report on any command and any nodes is JSON within its limit, tells each node that it has room
//! for with a true beginning of its outputs, and counts the others.

use std::collections::HashMap;

use callback::command::Plugin;
use callback::limits::{CAUSE_BYTES_MAX, ERROR_BYTES_MAX, OUTPUT_BYTES_MAX};
use callback::output::{Output, Trace};
use callback::report::{error_name, report, report_without_outputs};
use callback::testing::sample;
use callback::{Command, Invocation, Status, StatusDetails};
use jiff::Timestamp;
use serde_json::Value;

use crate::{TOKEN, parts};

/// What the smallest report has at most, as documented.
const SMALLEST_BYTES_MAX: usize = 2_000;
/// The most nodes of an input, repeats included.
const NODES_MAX: usize = 100;
/// How often a text of an input is repeated at most.
const REPEATS_MAX: usize = 40;

/// What is reported on.
#[derive(Debug, Clone)]
pub struct Reads {
    /// The command.
    pub command: Command,
    /// Its invocations.
    pub invocations: Vec<Invocation>,
    /// The limit.
    pub bytes_max: usize,
}

impl Reads {
    /// Reads the command from the first part of an input, and nodes from each other part. Fields
    /// are divided by `|`:
    ///
    /// - command: limit, status, details, document name, requested at (seconds)
    /// - nodes: how many, status, details, exit code, repeats of the texts, standard output,
    ///   standard error, started at (seconds), URL; and again from the details on for more steps.
    ///   The URL is the agent's trace, too
    pub fn from_bytes(input: &[u8]) -> Self {
        let input = String::from_utf8_lossy(input);
        let parts = parts(input.as_bytes());
        let mut parts = parts.iter().map(|part| std::str::from_utf8(part).unwrap_or_default());
        let mut fields = Fields::of(parts.next().unwrap_or_default());
        let bytes_max = fields.number(OUTPUT_BYTES_MAX).max(SMALLEST_BYTES_MAX);
        let mut command = command(fields.text(), fields.text(), fields.text());
        command.requested_at = fields.timestamp().unwrap_or_default();
        let mut invocations = Vec::new();
        for part in parts {
            let room = NODES_MAX - invocations.len();
            let mut fields = Fields::of(part);
            for _ in 0..fields.number(1).min(room) {
                let number = u32::try_from(invocations.len()).expect("a few nodes");
                invocations.push(fields.clone().node(number));
            }
        }
        Self { command, invocations, bytes_max }
    }
}

/// A command with these words of the API, and a token.
pub fn command(status: &str, details: &str, document_name: &str) -> Command {
    Command {
        document_name: document_name.to_owned(),
        status: Status::parse(status),
        requested_at: Timestamp::UNIX_EPOCH,
        target_count: u32::MAX,
        completed_count: u32::MAX,
        error_count: u32::MAX,
        delivery_timed_out_count: u32::MAX,
        ..sample::command(&sample::command_id(1), &[("taskToken", TOKEN)], details, &[])
    }
}

/// The fields of one part of an input, from left to right. A missing one is empty.
#[derive(Debug, Clone)]
struct Fields<'a>(std::str::Split<'a, char>);

impl<'a> Fields<'a> {
    fn of(part: &'a str) -> Self {
        Self(part.split('|'))
    }

    fn text(&mut self) -> &'a str {
        self.0.next().unwrap_or_default()
    }

    fn number(&mut self, default: usize) -> usize {
        self.text().parse().unwrap_or(default)
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        Timestamp::from_second(self.text().parse().ok()?).ok()
    }

    fn node(&mut self, number: u32) -> Invocation {
        let status = Status::parse(self.text());
        let mut plugins = vec![self.plugin()];
        while self.0.clone().next().is_some() {
            plugins.push(self.plugin());
        }
        let (first, url) = &plugins[0];
        Invocation {
            instance_id: sample::instance_id(number),
            status,
            status_details: first.status_details.clone(),
            standard_output_url: url.clone(),
            standard_error_url: url.clone(),
            trace: Trace::new(url.clone()),
            plugins: plugins.into_iter().map(|(plugin, _)| plugin).collect(),
        }
    }

    /// A step, and the URL after it.
    fn plugin(&mut self) -> (Plugin, String) {
        let status_details = StatusDetails::parse(self.text());
        let response_code = self.text().parse().ok();
        let repeats = self.number(1).min(REPEATS_MAX);
        let (stdout, stderr) = (self.text().repeat(repeats), self.text().repeat(repeats));
        let output = Output { truncated: repeats == 0, ..sample::output(&stdout, &stderr) };
        let started_at = self.timestamp();
        let ended_at = started_at;
        let name = "runShellScript".to_owned();
        let is_skipped = status_details == StatusDetails::Skipped;
        let plugin = Plugin {
            name,
            status_details,
            response_code,
            started_at,
            ended_at,
            output,
            is_skipped,
        };
        (plugin, self.text().to_owned())
    }
}

/// Reports on it in every form.
pub fn check(reads: &Reads) {
    let Reads { command, invocations, bytes_max } = reads;
    for bytes_max in [*bytes_max, OUTPUT_BYTES_MAX, CAUSE_BYTES_MAX, SMALLEST_BYTES_MAX] {
        let json = report(command, invocations, bytes_max);
        check_report(&json, invocations, bytes_max);
        assert_eq!(json, report(command, invocations, bytes_max), "same input, same bytes");
    }
    let json = report_without_outputs(command, invocations, OUTPUT_BYTES_MAX);
    let read = check_report(&json, invocations, OUTPUT_BYTES_MAX);
    for entry in entries(&read) {
        assert_eq!(
            (text(entry, "StandardOutputContent"), text(entry, "StandardErrorContent")),
            ("", "")
        );
    }
    let name = error_name(&command.status_details);
    assert!(name.starts_with("RunCommand.") && name.len() <= ERROR_BYTES_MAX, "{name}");
}

fn check_report(json: &str, invocations: &[Invocation], bytes_max: usize) -> Value {
    assert!(json.len() <= bytes_max, "{} bytes, {bytes_max} allowed", json.len());
    let read: Value = serde_json::from_str(json).expect("a report is JSON");
    assert!(!json.contains(TOKEN));
    let omitted = read["InvocationsOmitted"].as_u64().expect("a count");
    assert_eq!(entries(&read).len() as u64 + omitted, invocations.len() as u64);
    let nodes: HashMap<_, _> =
        invocations.iter().map(|node| (node.instance_id.as_str(), node)).collect();
    for entry in entries(&read) {
        let node = nodes.get(text(entry, "InstanceId"));
        check_entry(entry, node.expect("a node that was read"));
    }
    read
}

fn check_entry(entry: &Value, node: &Invocation) {
    let is_whole = begins(node, text(entry, "StandardOutputContent"), |output| &output.stdout)
        & begins(node, text(entry, "StandardErrorContent"), |output| &output.stderr);
    let trace = entry.get("TraceOutput").map_or("", |trace| trace.as_str().expect("a text"));
    assert_eq!(entry.get("TraceOutput").is_none(), node.trace.text.is_empty());
    if !quotes_token(&node.trace.text) {
        assert!(node.trace.text.starts_with(trace), "{trace:?} does not begin {:?}", node.trace);
        let is_whole = is_whole && node.trace.text == trace;
        assert_eq!(entry["OutputTruncated"], !is_whole || node.is_truncated());
    }
    assert_eq!(text(entry, "Status"), node.status.as_str());
    assert_eq!(text(entry, "StatusDetails"), node.status_details.as_str());
}

/// Whether a text holds enough of the token to be told with something else in its place.
fn quotes_token(text: &str) -> bool {
    const PART_BYTES: usize = 16;
    let text = text.replace('\\', "");
    TOKEN
        .as_bytes()
        .windows(PART_BYTES)
        .any(|part| text.as_bytes().windows(PART_BYTES).any(|window| window == part))
}

/// Whether a text tells all that the steps printed, one after the other, each from the start of a
/// line. It must tell the beginning.
fn begins(node: &Invocation, told: &str, of: impl Fn(&Output) -> &String) -> bool {
    let printed: Vec<_> = node.plugins.iter().map(|plugin| of(&plugin.output).as_str()).collect();
    let printed: Vec<_> = printed.into_iter().filter(|text| !text.is_empty()).collect();
    let mut whole = String::new();
    for (at, text) in printed.iter().enumerate() {
        whole.push_str(text);
        if at + 1 < printed.len() && !text.ends_with('\n') {
            whole.push('\n');
        }
    }
    assert!(whole.starts_with(told), "{told:?} does not begin {whole:?}");
    whole == told
}

fn entries(report: &Value) -> &[Value] {
    report["Invocations"].as_array().expect("a report has invocations")
}

fn text<'a>(entry: &'a Value, member: &str) -> &'a str {
    entry[member].as_str().expect("a text")
}
