//! One endpoint for everything.

use reqwest::{Method, StatusCode};
use sandbox::aws::{CallError, SSM};
use serde_json::json;

use crate::running::shared;

#[tokio::test]
async fn other_services_are_answered_behind_the_endpoint() {
    let client = shared().running.client();
    let identity = client.query("sts", "GetCallerIdentity", &[]).await;
    assert!(identity.expect("an identity").contains("<Account>123456789012</Account>"));

    client.put("/a-bucket", Vec::new()).await.expect("a bucket");
    let content: Vec<u8> = (0..=255).collect();
    client.put("/a-bucket/a%20key", content.clone()).await.expect("an object");
    let ask = |method| client.request(method, "/a-bucket/a%20key", "s3").send();
    let object = ask(Method::GET).await.expect("an answer");
    assert_eq!(object.bytes().await.expect("the object"), content);
    let head = ask(Method::HEAD).await.expect("its head");
    assert_eq!(head.headers()["content-length"], "256");
}

#[tokio::test]
async fn errors_of_run_command_have_the_shape_of_the_api() {
    let response = shared()
        .running
        .client()
        .request(Method::POST, "/", "ssm")
        .header("x-amz-target", "AmazonSSM.SendCommand")
        .body(r#"{"DocumentName":"none","InstanceIds":["i-00000000000000001"]}"#)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
    assert!(response.headers().contains_key("x-amzn-requestid"));
    let body: serde_json::Value = response.json().await.expect("JSON");
    assert_eq!(body["__type"], "InvalidDocument");
    assert!(body["message"].is_string(), "{body}");
}

#[tokio::test]
async fn operations_that_are_not_run_command_go_to_the_emulator() {
    let client = shared().running.client();
    let missing = client.json(SSM, "GetDocument", &json!({ "Name": "none" })).await;
    assert_eq!(missing.as_ref().err().and_then(CallError::code), Some("InvalidDocument"));
}

#[tokio::test]
async fn calls_are_noted_by_name_and_caller_without_what_was_said() {
    let client = shared().running.client();
    let body = json!({ "Filters": [], "MaxResults": 7, "NextToken": "secret-of-the-caller" });
    // Refused or not: it was called.
    let _ = client.json(SSM, "ListCommandInvocations", &body).await;
    let calls = shared().journal("calls.log");
    let noted = |call: &&serde_json::Value| {
        call["service"] == "ssm" && call["operation"] == "ListCommandInvocations"
    };
    let call = calls.iter().find(noted).expect("a note of the call");
    assert!(call["caller"].is_null(), "neither a function nor a runbook: {call}");
    assert!(call["status"].is_u64());
    assert!(!shared().log("calls.log").contains("secret-of-the-caller"));
}
