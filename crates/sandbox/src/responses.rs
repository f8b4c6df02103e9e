//! Responses in the forms that clients of AWS can read.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sandbox_run_command::api::ApiError;
use serde_json::{Value, json};

const JSON: &str = "application/x-amz-json-1.1";

/// The answer of an operation of the JSON protocol.
pub fn json_answer(answer: Result<Value, ApiError>) -> Response {
    match answer {
        Ok(answer) => json_response(StatusCode::OK, &answer),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
            api_error(status, &error.code, &error.message)
        }
    }
}

/// An error of the JSON protocol.
pub fn api_error(status: StatusCode, code: &str, message: &str) -> Response {
    json_response(status, &json!({ "__type": code, "message": message }))
}

/// An error of Lambda's REST protocol.
pub fn rest_error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "Type": "User", "Message": message }).to_string();
    let headers = [("content-type", "application/json"), ("x-amzn-errortype", code)];
    (status, headers, body).into_response()
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body.to_string()).into_response()
}
