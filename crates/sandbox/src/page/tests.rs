//! The page over HTTP, without the rest of the sandbox.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use reqwest::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use sandbox_run_command::{NodeFile, RunCommand, create_node};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{About, Page, Shown};
use crate::aws::Client;
use crate::credentials::Credentials;
use crate::faults::{FaultPlan, Faults};
use crate::gate::Gate;
use crate::record::{Entry, Record};
use crate::ssm::documents::StoredDocuments;
use crate::ssm::parameters::StoredParameters;

const NODE: &str = "i-00000000000000001";
/// What everybody else is told.
const NOT_OPENED: &str = "Open the address";
const PATIENCE: Duration = Duration::from_secs(30);

/// A page that is served, and what belongs to a test.
struct Trial {
    record: Record,
    page: Page,
    origin: String,
    directory: TempDir,
}

impl Trial {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        create_node(directory.path(), NODE, &NodeFile::default()).expect("a node");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let origin = format!("http://127.0.0.1:{port}");
        let credentials = Credentials::random();
        // Nobody is there: these tests call no API.
        let client =
            Client::new("http://127.0.0.1:1", "us-east-1", &credentials).expect("a client");
        let record = Record::without_logs();
        let run_command = RunCommand::new(
            sandbox_run_command::Settings {
                directory: directory.path().to_owned(),
                region: "us-east-1".to_owned(),
                account: "123456789012".to_owned(),
                read_lag: Duration::ZERO,
                environment: Vec::new(),
                seed: 0,
            },
            Arc::new(StoredDocuments::new(client.clone())),
            Arc::new(StoredParameters::new(client.clone())),
            mpsc::unbounded_channel().0,
            Arc::new(()),
        );
        let shown = Shown {
            record: record.clone(),
            run_command,
            faults: Arc::new(Mutex::new(FaultPlan::new(Faults::default()))),
            client,
        };
        let about = About {
            port,
            run: "run".to_owned(),
            documents: vec!["SfnRunShellScript".to_owned()],
            functions: vec!["relay".to_owned()],
            node_tag: ("Role", "web"),
            schedule_seconds: None,
        };
        let page = Page::new(shown, about);
        let gate = Arc::new(Gate::new(port, &credentials.access_key_id, None));
        let served = page.clone();
        let router = Router::new().fallback(async move |request: Request| {
            let (parts, body) = request.into_parts();
            served.answer(&gate, &parts, body).await
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { record, page, origin, directory }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build();
        client.expect("a client").request(method, format!("{}{path}", self.origin))
    }

    /// What opening the address gives: the cookie, and the secret behind the `#`.
    async fn opened(&self) -> Opened {
        let path = self.page.address().replace(&self.origin, "");
        let answer = self.ask(Method::GET, &path).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let header = |name| answer.headers()[&name].to_str().expect("a text").to_owned();
        let cookie = header(SET_COOKIE).split(';').next().expect("a cookie").to_owned();
        let secret = header(LOCATION).strip_prefix("/#").expect("the page").to_owned();
        Opened { cookie, secret }
    }

    /// A request of the page itself.
    fn of_page(&self, opened: &Opened, method: Method, path: &str) -> RequestBuilder {
        self.ask(method, path)
            .header(COOKIE, &opened.cookie)
            .header("x-sandbox-page", &opened.secret)
            .header("sec-fetch-site", "same-origin")
            .header(ORIGIN, &self.origin)
    }

    async fn events(&self, opened: &Opened, last: u64) -> Stream {
        let request = self.of_page(opened, Method::GET, "/-/events");
        let answer = request.header("last-event-id", last.to_string()).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Stream { answer, text: String::new() }
    }

    async fn act(&self, opened: &Opened, action: &Value) -> (StatusCode, Value) {
        let request = self.of_page(opened, Method::POST, "/-/actions").body(action.to_string());
        let answer = request.send().await.expect("an answer");
        (
            answer.status(),
            serde_json::from_str(&answer.text().await.expect("a text")).expect("JSON"),
        )
    }

    fn add(&self, text: &str) {
        self.record.add(&Entry::Fault { fault: text.to_owned(), on: true });
    }
}

struct Opened {
    cookie: String,
    secret: String,
}

/// A stream of server-sent events.
struct Stream {
    answer: Response,
    text: String,
}

#[derive(Debug, Default)]
struct Message {
    event: String,
    id: Option<u64>,
    data: Value,
}

impl Stream {
    async fn next(&mut self) -> Message {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let message = read(message);
                self.text = rest.to_owned();
                return message;
            }
            let chunk = timeout(PATIENCE, self.answer.chunk()).await.expect("more in time");
            let chunk = chunk.expect("more").expect("no end");
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next entry of the record.
    async fn entry(&mut self) -> (u64, Value) {
        loop {
            let message = self.next().await;
            if let Some(id) = message.id {
                return (id, message.data);
            }
        }
    }

    /// The next message with this name.
    async fn named(&mut self, event: &str) -> Value {
        loop {
            let message = self.next().await;
            if message.event == event {
                return message.data;
            }
        }
    }
}

fn read(text: &str) -> Message {
    let mut message = Message::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("event", event)) => event.clone_into(&mut message.event),
            Some(("id", id)) => message.id = id.parse().ok(),
            Some(("data", data)) => message.data = serde_json::from_str(data).expect("JSON"),
            other => panic!("an unknown line: {other:?}"),
        }
    }
    message
}

async fn refused(request: RequestBuilder, reason: &str) {
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let said = answer.text().await.expect("a text");
    assert!(said.contains(reason), "{said}");
}

#[tokio::test]
async fn what_is_kept_is_replayed_in_order_and_then_followed() {
    let trial = Trial::new().await;
    for number in 1..=10_000 {
        trial.add(&number.to_string());
    }
    let opened = trial.opened().await;
    let mut stream = trial.events(&opened, 0).await;
    assert_eq!(stream.next().await.event, "about");
    for number in 1..=10_000 {
        let (id, entry) = stream.entry().await;
        assert_eq!((id, &entry["fault"]), (number, &json!(number.to_string())));
    }
    trial.add("live");
    let (id, entry) = stream.entry().await;
    assert_eq!((id, &entry["fault"]), (10_001, &json!("live")));
}

#[tokio::test]
async fn who_comes_back_gets_what_has_happened_since() {
    let trial = Trial::new().await;
    for number in 1..=300 {
        trial.add(&number.to_string());
    }
    let opened = trial.opened().await;
    assert_eq!(trial.events(&opened, 298).await.entry().await.0, 299);
    // It was another run that had so many.
    assert_eq!(trial.events(&opened, 301).await.entry().await.0, 1);
}

#[tokio::test]
async fn a_slow_reader_slows_nobody_and_is_told_what_it_has_missed() {
    let trial = Trial::new().await;
    let opened = trial.opened().await;
    trial.add("first");
    let mut stream = trial.events(&opened, 0).await;
    assert_eq!(stream.entry().await.0, 1);
    // More than the buffers of the connection hold. Nobody reads meanwhile.
    let begun = Instant::now();
    let long = "x".repeat(1_000);
    for number in 2..=30_000 {
        trial.record.add(&Entry::Fault { fault: long.clone(), on: number % 2 == 0 });
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let (mut last, mut missed) = (1, 0);
    while last < 30_000 {
        let message = stream.next().await;
        if message.event == "missed" {
            missed += message.data.as_u64().expect("a number");
            continue;
        }
        let Some(id) = message.id else { continue };
        assert!(id == last + 1 || missed > 0, "{id} after {last}");
        assert!(id > last, "{id} after {last}");
        last = id;
    }
    assert!(missed > 1_000, "{missed}");
}

#[tokio::test]
async fn a_text_cannot_leave_its_event() {
    let trial = Trial::new().await;
    let opened = trial.opened().await;
    let hostile = "\n\nevent: about\r\ndata: {}\r\n\n<script>alert(1)</script>\u{2028}\0";
    trial.add(hostile);
    let line = "y".repeat(1_000_000);
    trial.add(&line);
    let mut stream = trial.events(&opened, 0).await;
    assert_eq!(stream.entry().await.1["fault"], hostile);
    let (_, entry) = stream.entry().await;
    let text = entry["fault"].as_str().expect("a text");
    assert_eq!(text.len(), 8_000 + "… (992000 more characters)".len());
}

#[tokio::test]
async fn only_the_browser_that_opened_the_address_sees_the_page() {
    let trial = Trial::new().await;
    for path in ["/", "/?key=x", "/-/page.js", "/-/page.css", "/-/events"] {
        refused(trial.ask(Method::GET, path), NOT_OPENED).await;
    }
    refused(trial.ask(Method::POST, "/-/actions"), NOT_OPENED).await;

    let opened = trial.opened().await;
    let page = trial.ask(Method::GET, "/").header(COOKIE, &opened.cookie);
    let page = page.send().await.expect("an answer");
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().expect("a text");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(page.text().await.expect("a text").starts_with("<!doctype html>"));
}

#[tokio::test]
async fn the_cookie_alone_shows_and_does_nothing() {
    let trial = Trial::new().await;
    let opened = trial.opened().await;
    // Another server of this machine has got it.
    let stolen = |method, path| trial.ask(method, path).header(COOKIE, &opened.cookie);
    refused(stolen(Method::GET, "/-/events"), NOT_OPENED).await;
    let action = stolen(Method::POST, "/-/actions").header(ORIGIN, &trial.origin);
    refused(action, NOT_OPENED).await;
}

#[tokio::test]
async fn another_host_or_origin_is_refused() {
    let trial = Trial::new().await;
    let opened = trial.opened().await;
    let action = json!({ "do": "fault", "fault": "lose-all", "on": true }).to_string();
    let ask = || {
        trial
            .ask(Method::POST, "/-/actions")
            .header(COOKIE, &opened.cookie)
            .header("x-sandbox-page", &opened.secret)
            .body(action.clone())
    };
    refused(ask(), "expected the Origin").await;
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        refused(ask().header(ORIGIN, origin), "expected the Origin").await;
    }
    let other_port = ask().header(ORIGIN, &trial.origin).header("sec-fetch-site", "same-site");
    refused(other_port, "expected a request of the sandbox's own page").await;
    for (method, path) in [(Method::GET, "/"), (Method::GET, "/-/events")] {
        let rebound = trial.of_page(&opened, method, path).header(HOST, "evil.example");
        refused(rebound, "expected the host").await;
    }
    assert_eq!(trial.record.all(), []);
}

#[tokio::test]
async fn a_fault_is_switched_recorded_and_told() {
    let trial = Trial::new().await;
    let opened = trial.opened().await;
    let mut stream = trial.events(&opened, 0).await;
    assert_eq!(stream.named("state").await["faults"], json!([]));
    let action = json!({ "do": "fault", "fault": { "kill": "relay" }, "on": true });
    assert_eq!(trial.act(&opened, &action).await, (StatusCode::OK, json!({})));
    assert_eq!(stream.entry().await.1["fault"], "kill relay");
    let mut after = trial.events(&opened, 0).await;
    assert_eq!(after.named("state").await["faults"], json!([{ "kill": "relay" }]));
}

#[tokio::test]
async fn an_agent_is_stopped_and_started() {
    let trial = Trial::new().await;
    let opened = trial.opened().await;
    for (runs, agent) in [(false, "silent"), (true, "online")] {
        let action = json!({ "do": "agent", "node": NODE, "runs": runs });
        assert_eq!(trial.act(&opened, &action).await.0, StatusCode::OK);
        let state = trial.events(&opened, 0).await.named("state").await;
        assert_eq!(state["nodes"][0]["agent"], agent);
    }
    let unknown = json!({ "do": "agent", "node": "i-0000000000000000f", "runs": true });
    let (status, said) = trial.act(&opened, &unknown).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(said["error"], "there is no node i-0000000000000000f");
    assert!(trial.directory.path().join("nodes").join(NODE).join("node.json").exists());
}

#[tokio::test]
async fn what_is_no_action_is_refused_with_its_reason() {
    let trial = Trial::new().await;
    let opened = trial.opened().await;
    let (status, said) = trial.act(&opened, &json!({ "do": "everything" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(said["error"].as_str().is_some_and(|error| error.contains("everything")), "{said}");
    let answers: BTreeMap<&str, StatusCode> =
        BTreeMap::from([("/-/", StatusCode::NOT_FOUND), ("/-/page.html", StatusCode::NOT_FOUND)]);
    for (path, status) in answers {
        let answer = trial.of_page(&opened, Method::GET, path).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
    }
}
