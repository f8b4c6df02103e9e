//! The stream of server-sent events that feeds the page: first `about`, then the record from where
//! the page has been, and `state` whenever the nodes or the faults are others.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use sandbox_run_command::locked::Locked;
use sandbox_run_command::{Behaviour, NodeFile};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Page;
use crate::record::{Batch, Reader};

/// How often it looks whether the nodes or the faults have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The number of the last entry that the page has, as it says itself.
pub(super) fn last_event_id(headers: &HeaderMap) -> u64 {
    let id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    id.and_then(|id| id.parse().ok()).unwrap_or_default()
}

impl Page {
    /// The events after the entry of this number.
    pub(super) fn events(&self, last: u64) -> Response {
        let feed = Feed {
            page: self.clone(),
            reader: self.0.shown.record.read_after(last),
            changed: self.0.changed.subscribe(),
            pending: VecDeque::from([named("about", &json!(self.0.about))]),
            told: Value::Null,
            look_at: Instant::now(),
        };
        Sse::new(stream::unfold(feed, Feed::next)).keep_alive(KeepAlive::default()).into_response()
    }

    /// The nodes, and the faults that are switched on.
    pub(super) async fn state(&self) -> Value {
        // Nodes that cannot be read are missing; a command to them says why.
        let nodes = self.0.shown.run_command.nodes().await.unwrap_or_default();
        let nodes: Vec<Value> = nodes.iter().map(|(id, node)| shown(id, node)).collect();
        json!({ "nodes": nodes, "faults": self.0.shown.faults.locked().switched_on() })
    }
}

fn shown(id: &str, node: &NodeFile) -> Value {
    let NodeFile { name, tags, platform_type, agent } = node;
    let tags: &BTreeMap<String, String> = tags;
    json!({
        "id": id,
        "name": name,
        "tags": tags,
        "platform": platform_type,
        "agent": agent,
        "runs": *agent != Behaviour::Silent,
    })
}

/// What one page is fed with.
struct Feed {
    page: Page,
    reader: Reader,
    changed: watch::Receiver<()>,
    /// Is sent before anything else is looked for.
    pending: VecDeque<Event>,
    /// The state that the page knows.
    told: Value,
    look_at: Instant,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some((Ok(event), self));
            }
            tokio::select! {
                () = sleep_until(self.look_at) => self.look().await,
                // The sender lives in `page`.
                _ = self.changed.changed() => self.look().await,
                batch = self.reader.next() => self.take(&batch),
            }
        }
    }

    async fn look(&mut self) {
        self.look_at = Instant::now() + LOOK_EVERY;
        let state = self.page.state().await;
        if state != self.told {
            self.pending.push_back(named("state", &state));
            self.told = state;
        }
    }

    fn take(&mut self, batch: &Batch) {
        if batch.missed > 0 {
            self.pending.push_back(named("missed", &batch.missed.into()));
        }
        self.pending.extend(
            batch
                .entries
                .iter()
                .map(|entry| Event::default().id(entry.number.to_string()).data(&*entry.json)),
        );
    }
}

fn named(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
