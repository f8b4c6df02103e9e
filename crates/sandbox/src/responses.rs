//! Responses in the forms that clients of AWS can read.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sandbox_run_command::api::ApiError;
use serde_json::{Value, json};

use crate::api_call::Protocol;

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

/// Refuses a request before it is answered, as its protocol has errors. The code is that of the JSON
/// protocol; others have names of their own for it.
pub fn refused(protocol: Protocol, code: &str, message: &str) -> Response {
    const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
    let of_query = match code {
        "AccessDeniedException" => "AccessDenied",
        "InvalidSignatureException" => "SignatureDoesNotMatch",
        "UnrecognizedClientException" if protocol == Protocol::RestXml => "InvalidAccessKeyId",
        "UnrecognizedClientException" => "InvalidClientTokenId",
        other => other,
    };
    let query_error = [("x-amzn-query-error", format!("{of_query};Sender"))];
    match protocol {
        Protocol::Json => api_error(StatusCode::BAD_REQUEST, code, message),
        Protocol::QueryCompatibleJson => {
            (query_error, api_error(StatusCode::BAD_REQUEST, code, message)).into_response()
        }
        Protocol::Cbor => {
            let headers =
                [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")];
            // A map of two pairs.
            let mut body = vec![0xa2];
            for text in ["__type", code, "message", message] {
                push_cbor_text(&mut body, text);
            }
            (FORBIDDEN, headers, query_error, body).into_response()
        }
        Protocol::RestJson => rest_error(FORBIDDEN, code, message),
        Protocol::Query => {
            let error = format!("<Type>Sender</Type>{}", code_and_message(of_query, message));
            xml(format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"))
        }
        Protocol::RestXml => xml(format!("<Error>{}</Error>", code_and_message(of_query, message))),
    }
}

fn xml(body: String) -> Response {
    (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

fn code_and_message(code: &str, message: &str) -> String {
    let escaped = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<Code>{code}</Code><Message>{escaped}</Message>")
}

/// A text in CBOR (RFC 8949, section 3): its length in bytes, and the bytes.
fn push_cbor_text(body: &mut Vec<u8>, text: &str) {
    // Longer ones are cut: no message is.
    let text: String = text.chars().take(1000).collect();
    let length = u16::try_from(text.len()).unwrap_or_default().to_be_bytes();
    body.extend([0x79, length[0], length[1]]);
    body.extend(text.bytes());
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// Status, header of the code, and body of an error with this protocol.
    async fn told(protocol: Protocol, header: &str) -> (u16, String, Vec<u8>) {
        let response = refused(protocol, "AccessDeniedException", "not <you>");
        let code = response.headers().get(header).and_then(|code| code.to_str().ok());
        let (status, code) = (response.status().as_u16(), code.unwrap_or_default().to_owned());
        let body = to_bytes(response.into_body(), 10_000).await.expect("a body");
        (status, code, body.to_vec())
    }

    #[tokio::test]
    async fn a_refusal_has_the_shape_of_its_protocol() {
        let none = String::new;
        let json = br#"{"__type":"AccessDeniedException","message":"not <you>"}"#.to_vec();
        assert_eq!(told(Protocol::Json, "x-amzn-query-error").await, (400, none(), json.clone()));
        let of_query = "AccessDenied;Sender".to_owned();
        let compatible = told(Protocol::QueryCompatibleJson, "x-amzn-query-error").await;
        assert_eq!(compatible, (400, of_query.clone(), json));
        let cbor = b"\xa2\x79\x00\x06__type\x79\x00\x15AccessDeniedException\
                     \x79\x00\x07message\x79\x00\x09not <you>";
        let told_cbor = told(Protocol::Cbor, "x-amzn-query-error").await;
        assert_eq!(told_cbor, (403, of_query, cbor.to_vec()));
        let rest = br#"{"Message":"not <you>","Type":"User"}"#.to_vec();
        let code = "AccessDeniedException".to_owned();
        assert_eq!(told(Protocol::RestJson, "x-amzn-errortype").await, (403, code, rest));
        let error = "<Code>AccessDenied</Code><Message>not &lt;you&gt;</Message>";
        let xml = format!("<Error>{error}</Error>").into_bytes();
        assert_eq!(told(Protocol::RestXml, "x").await, (403, none(), xml));
        let query =
            format!("<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>");
        assert_eq!(told(Protocol::Query, "x").await, (403, none(), query.into_bytes()));
    }
}
