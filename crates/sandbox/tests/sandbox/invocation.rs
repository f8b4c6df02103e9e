//! Functions, invoked as a client of Lambda does.

use std::fs;
use std::io::Write;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::running::{Running, shared, write_function};

async fn invoke(running: &Running, payload: &Value) -> Response {
    let path = "/2015-03-31/functions/obedient/invocations";
    let request = running.client().request(Method::POST, path, "lambda").body(payload.to_string());
    request.send().await.expect("an answer")
}

async fn json_of(response: Response) -> Value {
    response.json().await.expect("JSON")
}

/// A sandbox of its own for each test that uses up the two processes of the function.
fn alone() -> Running {
    Running::start(&[])
}

#[tokio::test]
async fn a_function_answers_and_is_used_again() {
    let running = alone();
    let response = invoke(&running, &json!({ "say": "äöü" })).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("x-amz-function-error"));
    assert_eq!(json_of(response).await, json!({ "echo": { "say": "äöü" } }));

    let ask = json!({ "do": "environment" });
    let first = json_of(invoke(&running, &ask).await).await;
    let second = json_of(invoke(&running, &ask).await).await;
    assert_eq!(first["pid"], second["pid"]);
    assert_eq!(first["GREETING"], "hello");
    assert_eq!(first["AWS_LAMBDA_FUNCTION_NAME"], "obedient");
    assert_eq!(first["AWS_REGION"], "us-east-1");
    assert_eq!(first["AWS_ENDPOINT_URL"], running.endpoint());
    assert_eq!(first["_HANDLER"], "bootstrap");
    assert!(first.get("HOME").is_none(), "inherited: {first}");
}

#[tokio::test]
async fn an_invocation_has_the_headers_of_the_runtime_api() {
    let running = alone();
    let headers = json_of(invoke(&running, &json!({ "do": "headers" })).await).await;
    let deadline = headers["lambda-runtime-deadline-ms"].as_str().expect("a deadline");
    let left =
        deadline.parse::<i64>().expect("milliseconds") - jiff::Timestamp::now().as_millisecond();
    assert!((0..=2000).contains(&left), "{left} ms left of 2 s");
    assert_eq!(
        headers["lambda-runtime-invoked-function-arn"],
        "arn:aws:lambda:us-east-1:123456789012:function:obedient"
    );
    assert!(headers["lambda-runtime-aws-request-id"].is_string());
    let trace = headers["lambda-runtime-trace-id"].as_str().expect("a trace");
    assert!(trace.starts_with("Root=1-"), "{trace}");
}

#[tokio::test]
async fn a_failure_is_told_in_a_header_and_leaves_the_process_usable() {
    let running = alone();
    let before = json_of(invoke(&running, &json!({ "do": "environment" })).await).await;
    let response = invoke(&running, &json!({ "do": "fail" })).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-amz-function-error"], "Unhandled");
    assert_eq!(json_of(response).await["errorType"], "Told");
    let after = json_of(invoke(&running, &json!({ "do": "environment" })).await).await;
    assert_eq!(before["pid"], after["pid"]);
}

#[tokio::test]
async fn a_process_that_ends_or_hangs_is_replaced() {
    let running = alone();
    for (ask, error_type) in [("exit", "Runtime.ExitError"), ("sleep", "Sandbox.Timedout")] {
        let response = invoke(&running, &json!({ "do": ask })).await;
        assert_eq!(response.headers()["x-amz-function-error"], "Unhandled");
        assert_eq!(json_of(response).await["errorType"], error_type);
        assert_eq!(invoke(&running, &json!({})).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn more_invocations_at_once_than_are_reserved_are_refused() {
    let running = alone();
    let sleep = json!({ "do": "sleep" });
    let (first, second, third) =
        tokio::join!(invoke(&running, &sleep), invoke(&running, &sleep), async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            invoke(&running, &json!({})).await
        });
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(second.status(), StatusCode::OK);
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(third.headers()["x-amzn-errortype"], "TooManyRequestsException");
}

#[tokio::test]
async fn new_code_is_used_by_the_next_invocations() {
    let running = alone();
    let ask = json!({ "do": "environment" });
    let before = json_of(invoke(&running, &ask).await).await;

    let file = running.directory.path().join("changed");
    write_function(&file, "changed");
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("bootstrap", SimpleFileOptions::default()).expect("an entry");
    archive.write_all(&fs::read(file).expect("the function")).expect("its code");
    let package = archive.finish().expect("a package").into_inner();
    let client = running.client();
    client.put("/sandbox-code/changed.zip", package).await.expect("an upload");
    let path = "/2015-03-31/functions/obedient/code";
    let body = json!({ "S3Bucket": "sandbox-code", "S3Key": "changed.zip" });
    let request = client.request(Method::PUT, path, "lambda").json(&body);
    let updated = request.send().await.expect("an answer");
    assert_eq!(updated.status(), StatusCode::OK);
    // As long as the sandbox takes a function as read.
    tokio::time::sleep(Duration::from_millis(1100)).await;

    let after = json_of(invoke(&running, &ask).await).await;
    assert_ne!(before["pid"], after["pid"]);
    assert_ne!(before["LAMBDA_TASK_ROOT"], after["LAMBDA_TASK_ROOT"]);
}

#[tokio::test]
async fn an_unknown_function_is_not_found() {
    let path = "/2015-03-31/functions/none/invocations";
    let request = shared().running.client().request(Method::POST, path, "lambda");
    let response = request.body("{}").send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["x-amzn-errortype"], "ResourceNotFoundException");
}
