//! Builds the task's output or failure cause: JSON within the limits of Step Functions. Pure: the
//! same input gives the same bytes.
//!
//! Failed nodes come first; within each group, entries are sorted by instance ID. If the report is
//! too long, it is shortened in this order, until it fits:
//!
//! 1. Texts of successful nodes are truncated, the longest first and evenly.
//! 2. Texts of failed nodes are truncated likewise, to [`FAILED_TEXT_BYTES_KEPT`] each.
//! 3. Entries of successful nodes are omitted and counted in `InvocationsOmitted`.
//! 4. Texts of failed nodes are truncated further.
//! 5. Entries of failed nodes are omitted and counted.
//!
//! The texts of a node are its standard output, its standard error, and the agent's trace. The trace
//! and the words of the command can quote the command's own task token. It is replaced in them.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Reverse;

use jiff::{Timestamp, Unit};
use serde::Serialize;

use crate::command::{Command, Invocation, Plugin};
use crate::limits::ERROR_BYTES_MAX;
use crate::output::Trace;
use crate::status::StatusDetails;
use crate::token::Redaction;

/// How much of each text of a failed node is kept before entries of successful nodes are omitted, in
/// bytes of JSON.
pub const FAILED_TEXT_BYTES_KEPT: usize = 1_024;
/// Maximum length of the command's document name, status, status details, and comment, in bytes of
/// JSON each. Valid values are shorter (SSM API: `DocumentARN` up to 200 characters, `StatusDetails`
/// and `Comment` up to 100), except for a comment of many bytes per character. The bound ensures
/// that some report always fits.
const WORD_BYTES_MAX: usize = 256;
/// Maximum length of the name of a CloudWatch Logs group, in bytes of JSON. Valid names are not
/// longer (SSM API, `CloudWatchLogGroupName`).
const LOG_GROUP_NAME_BYTES_MAX: usize = 512;

/// The error name that a state machine can catch: `RunCommand.` and the reason as one word, at most
/// 256 bytes.
pub fn error_name(reason: &StatusDetails) -> String {
    let mut name = format!("RunCommand.{reason}");
    name.truncate(name.floor_char_boundary(ERROR_BYTES_MAX));
    name
}

/// The report on a command: JSON of at most `bytes_max` bytes of UTF-8.
///
/// The smallest report has no invocations and less than 2,000 bytes. It can exceed a lower
/// `bytes_max`.
pub fn report(command: &Command, invocations: &[Invocation], bytes_max: usize) -> String {
    let mut report = Report::new(command, invocations);
    report.fit(bytes_max);
    report.to_json()
}

/// The report without script output, of at most `bytes_max` bytes of UTF-8. For use after Step
/// Functions rejects the full report.
pub fn report_without_outputs(
    command: &Command,
    invocations: &[Invocation],
    bytes_max: usize,
) -> String {
    let mut report = Report::new(command, invocations);
    for entry in &mut report.invocations {
        entry.cut_texts(0);
    }
    report.fit(bytes_max);
    report.to_json()
}

/// Why a task is told nothing about the nodes of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// The command has more nodes than are read.
    TooManyNodes,
    /// Run Command's list of nodes cannot be understood, or Step Functions refuses what it says.
    Unreadable,
}

impl Unread {
    /// The error name that a state machine can catch.
    pub fn error_name(self) -> &'static str {
        match self {
            Self::TooManyNodes => "RunCommand.TooManyNodes",
            Self::Unreadable => "RunCommand.Unreadable",
        }
    }
}

/// The report on a command whose nodes are not told: its own words and counts. All of its nodes are
/// counted as omitted. It has less than 2,000 bytes.
pub fn report_without_nodes(command: &Command) -> String {
    let mut report = Report::new(command, &[]);
    report.invocations_omitted = usize::try_from(command.target_count).unwrap_or(usize::MAX);
    report.to_json()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report<'a> {
    command_id: &'a str,
    document_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    cloud_watch_log_group_name: Cow<'a, str>,
    status: &'a str,
    status_details: &'a str,
    requested_date_time: String,
    target_count: u32,
    completed_count: u32,
    error_count: u32,
    delivery_timed_out_count: u32,
    invocations: Vec<Entry<'a>>,
    invocations_omitted: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    instance_id: &'a str,
    status: &'a str,
    status_details: &'a str,
    response_code: i32,
    execution_start_date_time: String,
    execution_end_date_time: String,
    standard_output_content: String,
    standard_error_content: String,
    output_truncated: bool,
    standard_output_url: &'a str,
    standard_error_url: &'a str,
    /// `None` if the agent gave no reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_output: Option<String>,
    #[serde(skip)]
    group: Group,
    /// Bytes of JSON without the texts.
    #[serde(skip)]
    frame_bytes: usize,
}

/// The nodes that are shortened together. Their order is that of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Failed,
    Succeeded,
}

impl<'a> Report<'a> {
    fn new(command: &'a Command, invocations: &'a [Invocation]) -> Self {
        let redactor = Redactor::new(command);
        let mut entries: Vec<_> =
            invocations.iter().map(|invocation| Entry::new(invocation, &redactor)).collect();
        entries.sort_by_key(|entry| (entry.group, entry.instance_id));
        Self {
            command_id: command.id.as_str(),
            document_name: within(&command.document_name, WORD_BYTES_MAX),
            comment: within_redacted(&redactor, &command.comment, WORD_BYTES_MAX),
            cloud_watch_log_group_name: within_redacted(
                &redactor,
                &command.log_group_name,
                LOG_GROUP_NAME_BYTES_MAX,
            ),
            status: within(command.status.as_str(), WORD_BYTES_MAX),
            status_details: within(command.status_details.as_str(), WORD_BYTES_MAX),
            requested_date_time: date_time(Some(command.requested_at)),
            target_count: command.target_count,
            completed_count: command.completed_count,
            error_count: command.error_count,
            delivery_timed_out_count: command.delivery_timed_out_count,
            invocations: entries,
            invocations_omitted: 0,
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report of strings and numbers is serializable")
    }

    /// Shortens the report to `bytes_max`, in the order given in the module documentation.
    fn fit(&mut self, bytes_max: usize) {
        let budget = self.entries_budget(bytes_max, 0);
        if self.entries_bytes() <= budget {
            return;
        }
        self.cut_texts(Group::Succeeded, 0, budget);
        self.cut_texts(Group::Failed, FAILED_TEXT_BYTES_KEPT, budget);
        if self.entries_bytes() <= budget {
            return;
        }
        let budget = self.entries_budget(bytes_max, self.invocations.len());
        self.drop_entries(Group::Succeeded, budget);
        self.cut_texts(Group::Failed, 0, budget);
        self.drop_entries(Group::Failed, budget);
    }

    /// Bytes of JSON available to the entries if up to `omitted_max` of them are omitted.
    fn entries_budget(&mut self, bytes_max: usize, omitted_max: usize) -> usize {
        let entries = std::mem::take(&mut self.invocations);
        self.invocations_omitted = omitted_max;
        let around_bytes = self.to_json().len();
        self.invocations_omitted = 0;
        self.invocations = entries;
        // Each entry counts a comma, but the last one has none.
        bytes_max.saturating_add(1).saturating_sub(around_bytes)
    }

    fn entries_bytes(&self) -> usize {
        self.invocations.iter().map(Entry::bytes).sum()
    }

    /// Truncates the outputs of a group evenly until the entries fit into `budget`, but not below
    /// `bytes_kept` each.
    fn cut_texts(&mut self, group: Group, bytes_kept: usize, budget: usize) {
        let excess = self.entries_bytes().saturating_sub(budget);
        if excess == 0 {
            return;
        }
        let mut lengths = Vec::new();
        for entry in self.invocations.iter().filter(|entry| entry.group == group) {
            lengths.extend(entry.texts().map(json_bytes));
        }
        let cap = even_cap(&mut lengths, excess).max(bytes_kept);
        for entry in self.invocations.iter_mut().filter(|entry| entry.group == group) {
            entry.cut_texts(cap);
        }
    }

    /// Omits entries of a group, the last ones first, until the entries fit into `budget`.
    fn drop_entries(&mut self, group: Group, budget: usize) {
        let mut bytes = self.entries_bytes();
        while bytes > budget
            && let Some(entry) = self.invocations.pop_if(|last| last.group == group)
        {
            bytes -= entry.bytes();
            self.invocations_omitted += 1;
        }
    }
}

impl<'a> Entry<'a> {
    fn new(invocation: &'a Invocation, redactor: &Redactor<'_>) -> Self {
        let Trace { text: trace, .. } = &invocation.trace;
        let mut entry = Self {
            instance_id: invocation.instance_id.as_str(),
            status: invocation.status.as_str(),
            status_details: invocation.status_details.as_str(),
            response_code: response_code(&invocation.plugins),
            execution_start_date_time: date_time(
                invocation.plugins.iter().filter_map(|plugin| plugin.started_at).min(),
            ),
            execution_end_date_time: date_time(
                invocation.plugins.iter().filter_map(|plugin| plugin.ended_at).max(),
            ),
            standard_output_content: String::new(),
            standard_error_content: String::new(),
            output_truncated: invocation.is_truncated(),
            standard_output_url: &invocation.standard_output_url,
            standard_error_url: &invocation.standard_error_url,
            trace_output: (!trace.is_empty()).then(String::new),
            group: if invocation.has_succeeded() { Group::Succeeded } else { Group::Failed },
            frame_bytes: 0,
        };
        // Plus the comma between two entries.
        entry.frame_bytes = 1 + serde_json::to_string(&entry)
            .expect("an entry of strings and numbers is serializable")
            .len();
        entry.standard_output_content =
            joined(invocation.plugins.iter().map(|p| p.output.stdout.as_str()));
        entry.standard_error_content =
            joined(invocation.plugins.iter().map(|p| p.output.stderr.as_str()));
        if let Some(trace_output) = &mut entry.trace_output {
            *trace_output = redactor.redact(trace).into_owned();
        }
        entry
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        [&self.standard_output_content, &self.standard_error_content]
            .into_iter()
            .chain(&self.trace_output)
            .map(String::as_str)
    }

    fn bytes(&self) -> usize {
        self.frame_bytes + self.texts().map(json_bytes).sum::<usize>()
    }

    /// Truncates each text to at most `cap` bytes of JSON.
    fn cut_texts(&mut self, cap: usize) {
        let texts = [&mut self.standard_output_content, &mut self.standard_error_content];
        for text in texts.into_iter().chain(&mut self.trace_output) {
            let kept = prefix_within(text, cap);
            if kept < text.len() {
                text.truncate(kept);
                // `true` is one byte shorter than `false`.
                self.frame_bytes -= usize::from(!self.output_truncated);
                self.output_truncated = true;
            }
        }
    }
}

/// Replaces the command's own task token in texts of others. It is prepared when the first text
/// needs it: most reports have none.
struct Redactor<'a> {
    command: &'a Command,
    redaction: OnceCell<Option<Redaction>>,
}

impl<'a> Redactor<'a> {
    fn new(command: &'a Command) -> Self {
        Self { command, redaction: OnceCell::new() }
    }

    fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if text.is_empty() {
            return Cow::Borrowed(text);
        }
        let redaction = self.redaction.get_or_init(|| match &self.command.callback.task_token {
            Some(Ok(token)) => Some(token.redaction()),
            _ => None,
        });
        redaction.as_ref().map_or(Cow::Borrowed(text), |redaction| redaction.redact(text))
    }
}

/// The start of a word about the command itself, of at most `bytes_max` bytes of JSON.
fn within(text: &str, bytes_max: usize) -> &str {
    &text[..prefix_within(text, bytes_max)]
}

fn within_redacted<'a>(redactor: &Redactor<'_>, text: &'a str, bytes_max: usize) -> Cow<'a, str> {
    match redactor.redact(text) {
        Cow::Borrowed(text) => Cow::Borrowed(within(text, bytes_max)),
        Cow::Owned(text) => Cow::Owned(within(&text, bytes_max).to_owned()),
    }
}

/// The exit code of the first step that failed, or else of the last one that ran; −1 if it has not
/// started, as in `GetCommandInvocation`. If every step was skipped, that of the last one.
fn response_code(plugins: &[Plugin]) -> i32 {
    let mut ran = plugins.iter().filter(|plugin| !plugin.is_skipped);
    let decisive = ran
        .clone()
        .find(|plugin| plugin.status_details != StatusDetails::Success)
        .or_else(|| ran.next_back())
        .or(plugins.last());
    decisive.and_then(|plugin| plugin.response_code).unwrap_or(-1)
}

/// The outputs of several steps, concatenated. Each starts on a new line.
fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut all = String::new();
    for text in texts.filter(|text| !text.is_empty()) {
        if !all.is_empty() && !all.ends_with('\n') {
            all.push('\n');
        }
        all.push_str(text);
    }
    all
}

/// A time in the API's format, in milliseconds; empty for none, as in `GetCommandInvocation`.
fn date_time(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| time.round(Unit::Millisecond).unwrap_or(time).to_string())
}

/// The greatest cap that saves at least `excess` if every length is cut to it; 0 if none does.
/// Sorts `lengths`.
fn even_cap(lengths: &mut [usize], excess: usize) -> usize {
    lengths.sort_unstable_by_key(|length| Reverse(*length));
    let mut sum = 0;
    for (at, length) in lengths.iter().enumerate() {
        sum += length;
        let next = lengths.get(at + 1).copied().unwrap_or(0);
        let count = at + 1;
        // Cutting the longest `count` texts to the length of the next one saves enough.
        if sum - next * count >= excess {
            return (sum - excess) / count;
        }
    }
    0
}

/// The length of a text inside a JSON string as `serde_json` writes it, in bytes.
fn json_bytes(text: &str) -> usize {
    text.bytes().map(json_bytes_of).sum()
}

/// The length of the longest prefix, in whole characters, that takes at most `cap` bytes of JSON.
fn prefix_within(text: &str, cap: usize) -> usize {
    let mut taken = 0;
    for (at, byte) in text.bytes().enumerate() {
        taken += json_bytes_of(byte);
        if taken > cap {
            return text.floor_char_boundary(at);
        }
    }
    text.len()
}

fn json_bytes_of(byte: u8) -> usize {
    usize::from(JSON_BYTES[usize::from(byte)])
}

/// The length of each byte inside a JSON string. A table, because every output is measured several
/// times and makes up most of a report.
const JSON_BYTES: [u8; 256] = {
    let mut bytes = [1; 256];
    let mut control = 0;
    while control < 0x20 {
        bytes[control] = 6;
        control += 1;
    }
    let escaped = *b"\"\\\n\r\t\x08\x0c";
    let mut at = 0;
    while at < escaped.len() {
        bytes[escaped[at] as usize] = 2;
        at += 1;
    }
    bytes
};
