//! `PutEvents`, the way of other programs to the event bus.

use sandbox_run_command::api::{self, ApiError};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::event::event;

/// `PutEvents` takes at most this many.
const ENTRIES_MAX: usize = 10;

/// Where `PutEvents` puts events. It takes any source, so that any event can be tried; AWS keeps
/// `aws.` for itself.
#[derive(Debug, Clone)]
pub struct EventBus {
    /// What is delivered from there.
    pub events: mpsc::UnboundedSender<Value>,
    /// The region.
    pub region: String,
}

/// The request of `PutEvents`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEvents {
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    source: Option<String>,
    detail_type: Option<String>,
    detail: Option<String>,
    resources: Option<Vec<String>>,
}

impl EventBus {
    /// Answers `PutEvents`.
    pub fn put_events(&self, body: &[u8]) -> Result<Value, ApiError> {
        let PutEvents { entries } = api::parse(body)?;
        if entries.is_empty() || entries.len() > ENTRIES_MAX {
            let reason = format!("Entries: expected 1 to {ENTRIES_MAX}, got {}", entries.len());
            return Err(ApiError::refused("ValidationException", reason));
        }
        let results: Vec<Value> = entries.iter().map(|entry| self.put_event(entry)).collect();
        let failed = results.iter().filter(|result| result["ErrorCode"].is_string()).count();
        Ok(json!({ "FailedEntryCount": failed, "Entries": results }))
    }

    fn put_event(&self, entry: &Entry) -> Value {
        let refused =
            |code: &str, message: &str| json!({ "ErrorCode": code, "ErrorMessage": message });
        let Entry {
            source: Some(source),
            detail_type: Some(detail_type),
            detail: Some(detail),
            resources,
        } = entry
        else {
            return refused("InvalidArgument", "Source, DetailType and Detail are required");
        };
        let detail: Value = match serde_json::from_str(detail) {
            Ok(detail @ Value::Object(_)) => detail,
            _ => return refused("MalformedDetail", "Detail is malformed."),
        };
        let resources = resources.as_deref().unwrap_or_default();
        let event = event(source, detail_type, &self.region, resources, &detail);
        let id = event["id"].clone();
        match self.events.send(event) {
            Ok(()) => json!({ "EventId": id }),
            Err(_) => refused("InternalFailure", "the sandbox is stopping"),
        }
    }
}
