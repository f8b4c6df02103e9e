//! The page at the endpoint: a browser's request is told from an API call, and opens no API.

use reqwest::{Client, Method, Response, StatusCode};
use sandbox::aws::{SSM, STATES};
use sandbox_client::{OpenedPage, recorded};
use serde_json::{Value, json};

use crate::running::{eventually, shared};

const HTML: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";

async fn ask(method: Method, path: &str, headers: &[(&'static str, &str)]) -> Response {
    let client = Client::builder().no_proxy().build().expect("a client");
    let mut request = client.request(method, format!("{}{path}", shared().running.endpoint()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

async fn opened() -> OpenedPage {
    OpenedPage::of(shared().running.process.ready()).await
}

#[tokio::test]
async fn a_browser_gets_the_page_and_a_program_the_api() {
    let OpenedPage { cookie, .. } = opened().await;
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
    let OpenedPage { cookie, secret } = opened().await;
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
        seen = recorded(shared().running.process.ready()).await;
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
