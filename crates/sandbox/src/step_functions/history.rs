//! Follows what moto's Step Functions does: the events in the histories of executions, and the task
//! tokens. `moto/history.py` writes them.

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::record::{Entry, HistoryEvent, Record};

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Token { execution: String, token: String },
    Event(HistoryEvent),
}

/// Records the lines until there are no more, as moto ends. What is no such line is left out.
pub async fn follow(lines: impl AsyncRead + Unpin, record: Record) {
    let mut lines = BufReader::new(lines).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(line) = serde_json::from_str(&line) {
            record_line(line, &record);
        }
    }
}

fn record_line(line: Line, record: &Record) {
    record.add(&match line {
        Line::Token { execution, token } => Entry::Task { task: record.task(&token), execution },
        Line::Event(event) => Entry::History(event),
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::follow;
    use crate::record::Record;

    #[tokio::test]
    async fn lines_become_entries_without_tokens() {
        const TOKEN: &str = "4f6dbb1e-5b5b-4f5e-9a53-d4f7c0a8a0f1";
        let lines = [
            json!({ "execution": "arn", "type": "TaskToken", "token": TOKEN }).to_string(),
            " * Serving Flask app".to_owned(),
            json!({ "execution": "arn", "id": 7, "type": "TaskFailed", "at": "2026-11-24T10:00:00Z",
                "error": "E", "cause": format!("with {TOKEN}") })
            .to_string(),
        ];
        let record = Record::without_logs();
        follow(lines.join("\n").as_bytes(), record.clone()).await;
        let entries = record.all();
        let entries: Vec<Value> = entries
            .iter()
            .map(|entry| {
                let mut entry: Value = serde_json::from_str(&entry.json).expect("JSON");
                entry["time"] = Value::Null;
                entry
            })
            .collect();
        assert_eq!(
            entries,
            [
                json!({ "kind": "task", "task": 1, "execution": "arn", "number": 1, "time": null }),
                json!({ "kind": "history", "execution": "arn", "id": 7, "type": "TaskFailed",
                    "at": "2026-11-24T10:00:00Z", "error": "E", "cause": "with [task token]",
                    "number": 2, "time": null }),
            ]
        );
    }
}
