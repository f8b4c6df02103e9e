//! The one place in which the sandbox records what happens.
//!
//! Every call, event, delivery, invocation, command and state of an execution is an [`Entry`]. It
//! gets a running number and a time, and goes to the log that it belongs to and to the page
//! ([`crate::page`]), which gets the last few thousand when it connects.
//!
//! **Invariant.** No task token enters: [`Record::add`] replaces all that were seen in a request or
//! issued by Step Functions.
//! **Invariant.** Nobody who reads slows the sandbox. A [`Reader`] takes what is kept at its own
//! pace, and is told how much it has missed.

mod entry;
mod log;
mod tokens;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use sandbox_run_command::locked::Locked;
use serde_json::Value;
use tokio::sync::watch;

pub use self::entry::{Entry, HistoryEvent, Subject};
use self::log::Log;
use self::tokens::Tokens;

/// How many entries are kept.
const ENTRIES_MAX: usize = 10_000;
/// How many bytes of entries are kept.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// A longer text is cut.
const TEXT_CHARS_MAX: usize = 8_000;
/// How many entries a reader gets at once.
const BATCH_MAX: usize = 256;

/// A log that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("opening {path}")]
pub struct LogError {
    path: PathBuf,
    source: io::Error,
}

/// The record. Its clones are the same.
#[derive(Debug, Clone)]
pub struct Record {
    kept: Arc<Mutex<Kept>>,
    /// The number of the newest entry.
    newest: Arc<watch::Sender<u64>>,
}

#[derive(Debug)]
struct Kept {
    /// Oldest first, with numbers one after the other.
    entries: VecDeque<Numbered>,
    bytes: usize,
    newest: u64,
    tokens: Tokens,
    logs: Option<Logs>,
}

#[derive(Debug)]
struct Logs {
    calls: Log,
    deliveries: Log,
}

/// An entry as JSON, with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Its number; that of the first entry is 1.
    pub number: u64,
    /// The entry as JSON on one line, which also has its number and time.
    pub json: Arc<str>,
}

impl Record {
    /// A record without entries. Calls, events, deliveries and invocations also go to `calls.log`
    /// and `delivery.log` in this directory.
    ///
    /// # Errors
    ///
    /// A log could not be opened.
    pub fn open(logs: &Path) -> Result<Self, LogError> {
        let open = |name: &str| {
            let path = logs.join(name);
            Log::open(&path).map_err(|source| LogError { path, source })
        };
        let logs = Logs { calls: open("calls.log")?, deliveries: open("delivery.log")? };
        Ok(Self::with_logs(Some(logs)))
    }

    /// A record without entries and logs.
    pub fn without_logs() -> Self {
        Self::with_logs(None)
    }

    fn with_logs(logs: Option<Logs>) -> Self {
        let kept =
            Kept { entries: VecDeque::new(), bytes: 0, newest: 0, tokens: Tokens::default(), logs };
        Self { kept: Arc::new(Mutex::new(kept)), newest: Arc::new(watch::Sender::new(0)) }
    }

    /// The number of the task with this token. The token is replaced in every entry from now on.
    pub fn task(&self, token: &str) -> u64 {
        self.kept.locked().tokens.number(token)
    }

    /// Adds an entry.
    pub fn add(&self, entry: &Entry) {
        // Every entry is an object of texts and numbers.
        let Ok(mut value) = serde_json::to_value(entry) else { return };
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        let newest = self.kept.locked().add(entry, value);
        // Two at once may come here in the other order.
        self.newest.send_if_modified(|last| {
            let is_newer = newest > *last;
            *last = newest.max(*last);
            is_newer
        });
    }

    /// Reads what comes after the entry of this number; from the oldest that is kept if it is 0, or
    /// if there is no such entry.
    pub fn read_after(&self, number: u64) -> Reader {
        let read = if number > self.kept.locked().newest { 0 } else { number };
        Reader { record: self.clone(), read, newest: self.newest.subscribe() }
    }

    /// Everything that is kept, oldest first.
    pub fn all(&self) -> Vec<Numbered> {
        self.kept.locked().entries.iter().cloned().collect()
    }
}

impl Kept {
    fn add(&mut self, entry: &Entry, mut value: Value) -> u64 {
        self.tokens.replace_in(&mut value);
        cut(&mut value);
        self.newest += 1;
        value["number"] = self.newest.into();
        value["time"] = Timestamp::now().to_string().into();
        let json = value.to_string();
        if let Some(log) = self.logs.as_mut().and_then(|logs| logs.of(entry)) {
            log.append(&json);
        }
        self.bytes += json.len();
        self.entries.push_back(Numbered { number: self.newest, json: json.into() });
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.json.len();
        }
        self.newest
    }
}

impl Logs {
    /// The log of an entry. What holds texts of scripts or executions is in none.
    fn of(&mut self, entry: &Entry) -> Option<&mut Log> {
        match entry {
            Entry::Call { .. } => Some(&mut self.calls),
            Entry::Event { .. }
            | Entry::Delivery { .. }
            | Entry::Schedule { .. }
            | Entry::InvocationBegun { .. }
            | Entry::Invocation { .. }
            | Entry::GivenUp { .. } => Some(&mut self.deliveries),
            Entry::CommandSent { .. }
            | Entry::Command { .. }
            | Entry::Node { .. }
            | Entry::Task { .. }
            | Entry::History(_)
            | Entry::Fault { .. } => None,
        }
    }
}

/// Cuts texts that are too long. Tokens were replaced before, so none is cut in two.
fn cut(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
                let more = text[end..].chars().count();
                *text = format!("{}… ({more} more characters)", &text[..end]);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(cut),
        Value::Object(fields) => fields.values_mut().for_each(cut),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Reads the record from some entry on, and waits for what comes.
#[derive(Debug)]
pub struct Reader {
    record: Record,
    /// The number of the last entry that was read.
    read: u64,
    newest: watch::Receiver<u64>,
}

/// Entries that were read at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// How many entries are no longer kept that came between the last batch and this one.
    pub missed: u64,
    /// The entries, oldest first.
    pub entries: Vec<Numbered>,
}

impl Reader {
    /// The next entries, at most a few hundred. Waits until there is one. May be dropped while it
    /// waits.
    pub async fn next(&mut self) -> Batch {
        let read = self.read;
        // The sender lives in `record`.
        let _ = self.newest.wait_for(|newest| *newest > read).await;
        let kept = self.record.kept.locked();
        let first = kept.newest - kept.entries.len() as u64 + 1;
        // Who has read nothing yet gets what is kept, and has missed nothing.
        let missed = if self.read == 0 { 0 } else { first.saturating_sub(self.read + 1) };
        let skipped = usize::try_from((self.read + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let entries: Vec<_> = kept.entries.iter().skip(skipped).take(BATCH_MAX).cloned().collect();
        if let Some(last) = entries.last() {
            self.read = last.number;
        }
        Batch { missed, entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "4f6dbb1e-5b5b-4f5e-9a53-d4f7c0a8a0f1";

    fn fault(text: &str) -> Entry {
        Entry::Fault { fault: text.to_owned(), on: true }
    }

    fn numbers(batch: &Batch) -> Vec<u64> {
        batch.entries.iter().map(|entry| entry.number).collect()
    }

    fn json(entry: &Numbered) -> Value {
        serde_json::from_str(&entry.json).expect("JSON")
    }

    #[tokio::test]
    async fn a_reader_gets_each_entry_once_and_in_order() {
        let record = Record::without_logs();
        record.add(&fault("a"));
        let mut reader = record.read_after(0);
        assert_eq!(numbers(&reader.next().await), [1]);
        let waiting = tokio::spawn(async move { reader.next().await });
        record.add(&fault("b"));
        assert_eq!(numbers(&waiting.await.expect("a batch")), [2]);
        assert_eq!(numbers(&record.read_after(1).next().await), [2]);
        // Of another record.
        assert_eq!(numbers(&record.read_after(99).next().await), [1, 2]);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_has_missed() {
        let record = Record::without_logs();
        record.add(&fault("first"));
        let mut reader = record.read_after(0);
        reader.next().await;
        for number in 0..ENTRIES_MAX + 5 {
            record.add(&fault(&number.to_string()));
        }
        let batch = reader.next().await;
        assert_eq!(batch.missed, 5);
        assert_eq!(batch.entries[0].number, 7);
        assert_eq!(batch.entries.len(), BATCH_MAX);
        assert_eq!(reader.next().await.missed, 0);
        assert_eq!(record.all().len(), ENTRIES_MAX);
    }

    #[test]
    fn large_entries_push_others_out() {
        let record = Record::without_logs();
        for _ in 0..ENTRIES_MAX {
            record.add(&fault(&"x".repeat(TEXT_CHARS_MAX)));
        }
        let kept = record.kept.locked();
        assert!(kept.bytes <= BYTES_MAX, "{}", kept.bytes);
        assert!(kept.entries.len() < ENTRIES_MAX);
        let bytes: usize = kept.entries.iter().map(|entry| entry.json.len()).sum();
        assert_eq!(kept.bytes, bytes);
    }

    #[test]
    fn a_long_text_is_cut_and_a_token_at_the_cut_is_replaced() {
        let record = Record::without_logs();
        record.task(TOKEN);
        let before = "ä".repeat(TEXT_CHARS_MAX - 8);
        record.add(&fault(&format!("{before}{TOKEN}{TOKEN}")));
        let entry = json(&record.all()[0]);
        let text = entry["fault"].as_str().expect("a text");
        assert_eq!(text, format!("{before}[task to… (16 more characters)"));
    }

    #[test]
    fn only_calls_and_deliveries_are_logged_and_nothing_that_is_null() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let record = Record::open(directory.path()).expect("a record");
        record.add(&fault("not logged"));
        record.add(&Entry::Invocation {
            function: "relay".to_owned(),
            request_id: None,
            attempt: Some(1),
            outcome: "done".to_owned(),
            killed: false,
        });
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name));
        let line: Value =
            serde_json::from_str(&read("delivery.log").expect("a log")).expect("JSON");
        assert_eq!(line["kind"], "invocation");
        assert_eq!(line["number"], 2);
        assert!(line.get("request_id").is_none(), "{line}");
        assert_eq!(read("calls.log").expect("a log"), "");
    }
}
