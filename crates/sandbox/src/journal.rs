//! A log of JSON lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use jiff::Timestamp;
use sandbox_run_command::locked::Locked;
use serde_json::{Map, Value};

/// A file to which lines are appended, one JSON object each.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<File>,
}

impl Journal {
    /// Opens the file, and makes it if there is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Appends a line of these fields, after the time. A line that cannot be written is dropped:
    /// the sandbox goes on working on a full disk.
    pub fn record<const N: usize>(&self, fields: [(&str, Value); N]) {
        let mut line = Map::new();
        line.insert("time".to_owned(), Timestamp::now().to_string().into());
        for (name, value) in fields {
            if !value.is_null() {
                line.insert(name.to_owned(), value);
            }
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        let _ = self.file.locked().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Journal;

    #[test]
    fn lines_are_json_and_leave_out_what_is_null() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("calls.log");
        let journal = Journal::open(&path).expect("a journal");
        journal.record([("operation", json!("SendCommand")), ("key", Value::Null)]);
        journal.record([("operation", json!("ListCommands"))]);
        let text = std::fs::read_to_string(&path).expect("its text");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["operation"], "SendCommand");
        assert!(lines[0].get("key").is_none());
    }
}
