//! The page: what happens in the sandbox, live, in a browser, with buttons that break things.
//!
//! It is one HTML file, one script and one style, embedded in the program. `events` feeds it from the
//! [`record`](crate::record), `actions` does what its buttons ask for, and `access` lets in who
//! opened it. `recording` writes it with a record inside, to be opened without a sandbox.
//!
//! Its paths begin with `/-/`, which no bucket can be called; its HTML is at `/`, for a browser that
//! asks for HTML.
//!
//! **Invariant.** Neither a page of the web in the same browser nor another user of the machine sees
//! or does anything here: [`access`].
//! **Invariant.** What scripts and services say is text, and never HTML: the script of the page makes
//! no HTML from texts, and a policy forbids every script but its own.

mod access;
mod actions;
mod events;
mod recording;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sandbox_run_command::RunCommand;
use serde::Serialize;
use tokio::sync::{OnceCell, watch};

use self::access::{Access, check_origin};
use crate::api_call;
use crate::aws::Client;
use crate::faults::FaultPlan;
use crate::gate::Gate;
use crate::record::Record;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The start of the page's own paths.
const PREFIX: &str = "/-/";
/// The longest request of the page.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Nothing from elsewhere, and no script or style in the HTML itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The page. Its clones are the same.
#[derive(Clone)]
pub struct Page(Arc<Inner>);

struct Inner {
    access: Access,
    shown: Shown,
    about: About,
    /// The ARN of the state machine that runs what the page asks for.
    state_machine: OnceCell<String>,
    /// Changes when an action has changed nodes or faults.
    changed: watch::Sender<()>,
}

/// What the page shows and acts on.
pub struct Shown {
    /// What happens.
    pub record: Record,
    /// The nodes.
    pub run_command: RunCommand,
    /// What goes wrong.
    pub faults: Arc<Mutex<FaultPlan>>,
    /// Calls the endpoint as the owner of the sandbox.
    pub client: Client,
}

/// What the page is told about the sandbox.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// The port of the endpoint.
    #[serde(skip)]
    pub port: u16,
    /// The mark of the sandbox, by which one run is told from another.
    pub run: String,
    /// The documents that run a script and answer its task.
    pub documents: Vec<String>,
    /// The names of the stack's functions.
    pub functions: Vec<String>,
    /// A tag that nodes have.
    pub node_tag: (&'static str, &'static str),
    /// The period of schedules in seconds, unless it is that of the template.
    pub schedule_seconds: Option<u64>,
}

impl Page {
    /// The page of this sandbox, with secrets of its own.
    pub fn new(shown: Shown, about: About) -> Self {
        Self(Arc::new(Inner {
            access: Access::new(about.port),
            shown,
            about,
            state_machine: OnceCell::new(),
            changed: watch::Sender::new(()),
        }))
    }

    /// The address that opens the page. Whoever knows it can do everything here.
    pub fn address(&self) -> String {
        self.0.access.address()
    }

    /// Whether a request is for the page. A browser's GET for HTML is told from an API call by what it
    /// accepts, and by having no key.
    pub fn is_asked_for(parts: &Parts) -> bool {
        let accept = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let wants_html = parts.method == Method::GET
            && parts.uri.path() == "/"
            && accept.is_some_and(|accept| accept.contains("text/html"))
            && api_call::access_key_id(&parts.headers, &parts.uri).is_none();
        wants_html || parts.uri.path().starts_with(PREFIX)
    }

    /// Answers a request for the page.
    pub async fn answer(&self, gate: &Gate, parts: &Parts, body: Body) -> Response {
        let mut response = match gate.check_host(&parts.uri, &parts.headers) {
            Ok(()) => self.route(parts, body).await,
            Err(reason) => refused(&reason),
        };
        response.headers_mut().extend(
            HEADERS.map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            }),
        );
        response
    }

    async fn route(&self, parts: &Parts, body: Body) -> Response {
        let access = &self.0.access;
        if parts.uri.path() == "/"
            && let Some(answer) = access.open(&parts.uri)
        {
            return answer;
        }
        if let Err(reason) = access.check_browser(&parts.headers) {
            return refused(reason);
        }
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/") => text("text/html; charset=utf-8", HTML),
            (&Method::GET, "/-/page.css") => text("text/css; charset=utf-8", STYLE),
            (&Method::GET, "/-/page.js") => text("text/javascript; charset=utf-8", SCRIPT),
            (&Method::GET, "/-/events") => match access.check_page(&parts.headers) {
                Ok(()) => self.events(events::last_event_id(&parts.headers)),
                Err(reason) => refused(reason),
            },
            (&Method::POST, "/-/actions") => {
                let checked = access.check_page(&parts.headers);
                if let Err(reason) = checked.and(check_origin(&parts.headers)) {
                    return refused(reason);
                }
                match to_bytes(body, BODY_BYTES_MAX).await {
                    Ok(body) => self.act(&body).await,
                    Err(_) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
                }
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

fn text(content_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

fn refused(reason: &str) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::FORBIDDEN, content_type, format!("{reason}\n")).into_response()
}

/// What every answer carries.
const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];
