//! The page at the endpoint: a browser's request is told from an API call, and opens no API.

use reqwest::header::{ACCEPT, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode};
use sandbox::aws::{SSM, STATES};
use serde_json::{Value, json};

use crate::running::{eventually, shared};

const HTML: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";

fn browser() -> Client {
    let client = Client::builder().no_proxy().redirect(Policy::none()).build();
    client.expect("a client")
}

/// The cookie, and the secret of the page.
async fn opened() -> (String, String) {
    let address = &shared().running.process.ready().page;
    let answer = browser().get(address).header(ACCEPT, HTML).send().await.expect("an answer");
    let header = |name| answer.headers()[&name].to_str().expect("a text").to_owned();
    let cookie = header(SET_COOKIE).split(';').next().expect("a cookie").to_owned();
    (cookie, header(LOCATION).replace("/#", ""))
}

async fn ask(method: Method, path: &str, headers: &[(&'static str, &str)]) -> Response {
    let mut request = browser().request(method, format!("{}{path}", shared().running.endpoint()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

/// The entries that the page gets at first.
async fn entries(cookie: &str, secret: &str) -> Vec<Value> {
    let headers = [("cookie", cookie), ("x-sandbox-page", secret)];
    let mut answer = ask(Method::GET, "/-/events", &headers).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let mut text = String::new();
    // Until it waits for what comes.
    let pause = std::time::Duration::from_millis(500);
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(pause, answer.chunk()).await {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

#[tokio::test]
async fn a_browser_gets_the_page_and_a_program_the_api() {
    let (cookie, _) = opened().await;
    let page = ask(Method::GET, "/", &[("accept", HTML), ("cookie", &cookie)]).await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    // Without the key in the address, without the cookie.
    let refused = ask(Method::GET, "/", &[("accept", HTML)]).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.text().await.expect("a text").starts_with("Open the address"));
    // `ListBuckets` of S3 is a GET of the same path.
    let buckets = shared().running.client().request(Method::GET, "/", "s3").send().await;
    let buckets = buckets.expect("an answer").text().await.expect("a text");
    assert!(buckets.contains("ListAllMyBucketsResult"), "{buckets}");
}

#[tokio::test]
async fn what_opens_the_page_opens_no_api() {
    let (cookie, secret) = opened().await;
    let headers = [
        ("cookie", cookie.as_str()),
        ("x-sandbox-page", &secret),
        ("x-amz-target", "AmazonSSM.ListCommands"),
    ];
    let answer = ask(Method::POST, "/", &headers).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let said = answer.text().await.expect("a text");
    assert!(said.contains("AccessDeniedException"), "{said}");
}

#[tokio::test]
async fn calls_and_histories_are_recorded_without_a_token() {
    const TOKEN: &str = "a-token-that-nobody-may-see-0123456789";
    let client = shared().running.client();
    let definition =
        json!({ "StartAt": "Only", "States": { "Only": { "Type": "Pass", "End": true } } });
    let body = json!({
        "name": "seen-on-the-page",
        "definition": definition.to_string(),
        "roleArn": "arn:aws:iam::123456789012:role/any",
    });
    let machine = client.json(STATES, "CreateStateMachine", &body).await.expect("a machine");
    // Whoever knows the token shows it: it is known from the refused call on.
    let heartbeat = json!({ "taskToken": TOKEN });
    client.json(STATES, "SendTaskHeartbeat", &heartbeat).await.expect_err("no such task");
    let sent = json!({
        "DocumentName": "AWS-RunShellScript",
        "InstanceIds": ["i-00000000000000002"],
        "Parameters": { "commands": [format!("echo {TOKEN}")] },
    });
    let sent = client.json(SSM, "SendCommand", &sent).await.expect("a command");
    let command = sent["Command"]["CommandId"].clone();
    let body = json!({
        "stateMachineArn": machine["stateMachineArn"],
        "input": json!({ "say": TOKEN }).to_string(),
    });
    let started = client.json(STATES, "StartExecution", &body).await.expect("an execution");

    let (cookie, secret) = opened().await;
    let is_whole = |entries: &[Value]| {
        let types: Vec<_> = entries
            .iter()
            .filter(|entry| entry["execution"] == started["executionArn"])
            .filter_map(|entry| entry["type"].as_str())
            .collect();
        let ran =
            |entry: &Value| entry["command_id"] == command && entry["stdout"] == "[task token]\n";
        types == ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]
            && entries.iter().any(ran)
    };
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen = entries(&cookie, &secret).await;
        if is_whole(&seen) {
            break;
        }
    }
    assert!(is_whole(&seen), "{seen:#?}");
    let refused = seen.iter().find(|entry| entry["operation"] == "SendTaskHeartbeat");
    let refused = refused.expect("the call");
    assert_eq!(refused["status"], 400);
    assert!(refused["task"].is_u64(), "{refused}");
    assert!(!json!(seen).to_string().contains(TOKEN));
}

#[test]
fn the_address_is_printed() {
    let process = &shared().running.process;
    let printed = eventually(|| {
        let words = process.words();
        words.contains(&process.ready().page).then_some(())
    });
    assert!(printed.is_some(), "{}", process.words());
}
