//! What the page of a sandbox gets.

use std::time::Duration;

use reqwest::header::{ACCEPT, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::Value;
use tokio::time::timeout;

use crate::process::Ready;

/// Nothing more is coming if nothing has come for so long.
const PAUSE: Duration = Duration::from_millis(500);
/// A busy sandbox is never quiet.
const CHUNKS_MAX: usize = 10_000;

/// What opening the address of a page gives.
#[derive(Debug)]
pub struct OpenedPage {
    /// `NAME=VALUE`.
    pub cookie: String,
    /// The secret that the page keeps.
    pub secret: String,
}

impl OpenedPage {
    /// Opens the page of this sandbox, as a browser does.
    ///
    /// # Panics
    ///
    /// If it does not open.
    pub async fn of(ready: &Ready) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build();
        let answer = client.expect("a client").get(&ready.page).header(ACCEPT, "text/html").send();
        let answer = answer.await.expect("an answer");
        let header = |name| answer.headers()[&name].to_str().expect("a text").to_owned();
        let cookie = header(SET_COOKIE).split(';').next().expect("a cookie").to_owned();
        Self { cookie, secret: header(LOCATION).replace("/#", "") }
    }
}

/// Everything that the page of this sandbox gets until nothing more comes, the record among it.
///
/// # Panics
///
/// If it gets nothing.
pub async fn recorded(ready: &Ready) -> Vec<Value> {
    let OpenedPage { cookie, secret } = OpenedPage::of(ready).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.get(format!("{}/-/events", ready.endpoint)).header(COOKIE, cookie);
    let answer = request.header("x-sandbox-page", secret).send().await.expect("an answer");
    let mut answer = answer.error_for_status().expect("events");
    let mut bytes = Vec::new();
    for _ in 0..CHUNKS_MAX {
        let Ok(Ok(Some(chunk))) = timeout(PAUSE, answer.chunk()).await else { break };
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&bytes);
    // The last one may not be whole.
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let data = whole.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}
