//! The output, or the cause of a failure, that the task gets: JSON within the limits of Step
//! Functions. Pure: the same input gives the same bytes.
//!
//! Failed nodes come first, then by instance id. What does not fit is left out in this order,
//! always the longest outputs first and evenly:
//!
//! 1. outputs of successful nodes,
//! 2. outputs of failed nodes, down to [`FAILED_TEXT_BYTES_KEPT`] each,
//! 3. whole entries of successful nodes, counted in `InvocationsOmitted`,
//! 4. what is left of the outputs of failed nodes,
//! 5. whole entries of failed nodes, counted too.

use std::cmp::Reverse;

use jiff::{Timestamp, Unit};
use serde::Serialize;

use crate::command::{Command, Invocation, Plugin, StatusDetails};

/// The longest output of a task, in bytes of UTF-8 (Step Functions service quotas).
pub const OUTPUT_BYTES_MAX: usize = 262_144;
/// The longest cause of a failed task (Step Functions API, `SendTaskFailure`: 32,768 characters;
/// kept in bytes, which is never more characters).
pub const CAUSE_BYTES_MAX: usize = 32_768;
/// The longest error name of a failed task (Step Functions API, `SendTaskFailure`).
pub const ERROR_BYTES_MAX: usize = 256;
/// What a failed node's standard output and standard error keep, in bytes of JSON each, before
/// entries of successful nodes are left out.
pub const FAILED_TEXT_BYTES_KEPT: usize = 1_024;
/// What is told of the document's name, the status and the details of the command, in bytes of
/// JSON each. Real ones are shorter (SSM API: `DocumentARN` up to 200 characters, `StatusDetails`
/// up to 100); without a bound, an odd one would leave no answer that Step Functions takes.
const WORD_BYTES_MAX: usize = 256;

/// The error name that a state machine can catch: `RunCommand.` and the reason as one word. At
/// most 256 bytes.
pub fn error_name(reason: &StatusDetails) -> String {
    let mut name = format!("RunCommand.{reason}");
    name.truncate(name.floor_char_boundary(ERROR_BYTES_MAX));
    name
}

/// The report on a command as JSON of at most `bytes_max` bytes of UTF-8.
///
/// The smallest report, without any invocation, has less than 1,500 bytes; a `bytes_max` below
/// that cannot be kept.
pub fn report(command: &Command, invocations: &[Invocation], bytes_max: usize) -> String {
    let mut report = Report::new(command, invocations);
    report.fit(bytes_max);
    report.to_json()
}

/// The report without any output of a script, of at most `bytes_max` bytes of UTF-8: what is left
/// to say when Step Functions refuses the whole report.
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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report<'a> {
    command_id: &'a str,
    document_name: &'a str,
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
    #[serde(skip)]
    succeeded: bool,
    /// Bytes of JSON of everything but the two outputs.
    #[serde(skip)]
    frame_bytes: usize,
}

impl<'a> Report<'a> {
    fn new(command: &'a Command, invocations: &'a [Invocation]) -> Self {
        let mut entries: Vec<_> = invocations.iter().map(Entry::new).collect();
        entries.sort_by_key(|entry| (entry.succeeded, entry.instance_id));
        Self {
            command_id: command.id.as_str(),
            document_name: word(&command.document_name),
            status: word(command.status.as_str()),
            status_details: word(command.status_details.as_str()),
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

    /// Leaves out what does not fit into `bytes_max`, in the order of the module documentation.
    fn fit(&mut self, bytes_max: usize) {
        let budget = self.entries_budget(bytes_max, 0);
        if self.entries_bytes() <= budget {
            return;
        }
        self.cut_texts(true, 0, budget);
        self.cut_texts(false, FAILED_TEXT_BYTES_KEPT, budget);
        if self.entries_bytes() <= budget {
            return;
        }
        let budget = self.entries_budget(bytes_max, self.invocations.len());
        self.drop_entries(true, budget);
        self.cut_texts(false, 0, budget);
        self.drop_entries(false, budget);
    }

    /// Bytes of JSON that the entries may take, when up to `omitted_max` of them are left out.
    fn entries_budget(&mut self, bytes_max: usize, omitted_max: usize) -> usize {
        let entries = std::mem::take(&mut self.invocations);
        self.invocations_omitted = omitted_max;
        let around_bytes = self.to_json().len();
        self.invocations_omitted = 0;
        self.invocations = entries;
        // Each entry counts a comma, and the last one has none.
        bytes_max.saturating_add(1).saturating_sub(around_bytes)
    }

    fn entries_bytes(&self) -> usize {
        self.invocations.iter().map(Entry::bytes).sum()
    }

    /// Shortens the outputs of successful or of failed nodes, evenly, so far that the entries fit
    /// into `budget`, but not below `bytes_kept` each.
    fn cut_texts(&mut self, succeeded: bool, bytes_kept: usize, budget: usize) {
        let excess = self.entries_bytes().saturating_sub(budget);
        if excess == 0 {
            return;
        }
        let mut lengths = Vec::new();
        for entry in self.invocations.iter().filter(|entry| entry.succeeded == succeeded) {
            lengths.push(json_bytes(&entry.standard_output_content));
            lengths.push(json_bytes(&entry.standard_error_content));
        }
        let cap = even_cap(&mut lengths, excess).max(bytes_kept);
        for entry in self.invocations.iter_mut().filter(|entry| entry.succeeded == succeeded) {
            entry.cut_texts(cap);
        }
    }

    /// Leaves out entries of successful or of failed nodes, the last ones first, so far that the
    /// entries fit into `budget`.
    fn drop_entries(&mut self, succeeded: bool, budget: usize) {
        let mut bytes = self.entries_bytes();
        while bytes > budget
            && let Some(entry) = self.invocations.pop_if(|last| last.succeeded == succeeded)
        {
            bytes -= entry.bytes();
            self.invocations_omitted += 1;
        }
    }
}

impl<'a> Entry<'a> {
    fn new(invocation: &'a Invocation) -> Self {
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
            output_truncated: invocation.plugins.iter().any(|plugin| plugin.output.truncated),
            standard_output_url: &invocation.standard_output_url,
            standard_error_url: &invocation.standard_error_url,
            succeeded: invocation.has_succeeded(),
            frame_bytes: 0,
        };
        // One more for the comma between two entries.
        entry.frame_bytes = 1 + serde_json::to_string(&entry)
            .expect("an entry of strings and numbers is serializable")
            .len();
        entry.standard_output_content =
            joined(invocation.plugins.iter().map(|p| p.output.stdout.as_str()));
        entry.standard_error_content =
            joined(invocation.plugins.iter().map(|p| p.output.stderr.as_str()));
        entry
    }

    fn bytes(&self) -> usize {
        self.frame_bytes
            + json_bytes(&self.standard_output_content)
            + json_bytes(&self.standard_error_content)
    }

    /// Cuts both outputs to at most `cap` bytes of JSON each.
    fn cut_texts(&mut self, cap: usize) {
        for text in [&mut self.standard_output_content, &mut self.standard_error_content] {
            let kept = prefix_within(text, cap);
            if kept < text.len() {
                text.truncate(kept);
                // `true` is a byte shorter than `false`.
                self.frame_bytes -= usize::from(!self.output_truncated);
                self.output_truncated = true;
            }
        }
    }
}

/// A word about the command itself, or its beginning.
fn word(text: &str) -> &str {
    &text[..prefix_within(text, WORD_BYTES_MAX)]
}

/// The exit code of the first step that did not succeed, or else of the last step; −1 when none
/// has started, as in `GetCommandInvocation`.
fn response_code(plugins: &[Plugin]) -> i32 {
    plugins
        .iter()
        .find(|plugin| plugin.status_details != StatusDetails::Success)
        .or(plugins.last())
        .and_then(|plugin| plugin.response_code)
        .unwrap_or(-1)
}

/// The outputs of several steps, one after the other, each from the start of a line.
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

/// A time as the API writes it, to the millisecond; empty for none, as in `GetCommandInvocation`.
fn date_time(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| time.round(Unit::Millisecond).unwrap_or(time).to_string())
}

/// The greatest cap so that cutting every length to it saves at least `excess`; 0 when nothing
/// saves that much. Sorts `lengths`.
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

/// Bytes that a text takes inside a JSON string, as `serde_json` writes it.
fn json_bytes(text: &str) -> usize {
    text.bytes().map(json_bytes_of).sum()
}

/// The length of the longest prefix of whole characters that takes at most `cap` bytes of JSON.
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

/// Bytes that each byte of a text takes inside a JSON string. A table, because every output is
/// measured several times, and outputs are most of what a report holds.
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
