//! A small client for the AWS APIs that the sandbox itself calls: moto behind the gateway, and the
//! gateway for runbooks and the demo. Requests are signed in shape only: nobody checks signatures.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::credentials::Credentials;

const TIMEOUT: Duration = Duration::from_mins(2);
/// How much of an error's text is kept.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// An API of the AWS JSON protocol.
#[derive(Debug, Clone, Copy)]
pub struct JsonApi {
    service: &'static str,
    target: &'static str,
    content_type: &'static str,
}

/// Systems Manager.
pub const SSM: JsonApi =
    JsonApi { service: "ssm", target: "AmazonSSM", content_type: "application/x-amz-json-1.1" };
/// EventBridge.
pub const EVENTS: JsonApi =
    JsonApi { service: "events", target: "AWSEvents", content_type: "application/x-amz-json-1.1" };
/// Step Functions.
pub const STATES: JsonApi = JsonApi {
    service: "states",
    target: "AWSStepFunctions",
    content_type: "application/x-amz-json-1.0",
};
/// Simple Queue Service.
pub const SQS: JsonApi =
    JsonApi { service: "sqs", target: "AmazonSQS", content_type: "application/x-amz-json-1.0" };

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no answer.
    #[error("{operation}: no answer")]
    Unanswered {
        /// What was called.
        operation: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The API refused.
    #[error("{operation}: {code}: {message}")]
    Refused {
        /// What was called.
        operation: String,
        /// The HTTP status.
        status: StatusCode,
        /// The error's name, such as `InvalidDocument`; that of the status if the API gave none.
        code: String,
        /// What the API said.
        message: String,
    },
    /// The answer is not what the API's description says.
    #[error("{operation}: the answer has no {expected}")]
    Malformed {
        /// What was called.
        operation: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl CallError {
    /// The error's name in the API that refused the call.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the API said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                *status == StatusCode::NOT_FOUND || NOT_FOUND.contains(&code.as_str())
            }
            _ => false,
        }
    }
}

/// The codes by which the APIs say that there is no such thing.
const NOT_FOUND: [&str; 3] = ["NoSuchEntity", "NotFoundException", "ResourceNotFoundException"];

/// A client of one endpoint.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    region: Arc<str>,
    access_key_id: Arc<str>,
    session_token: Option<Arc<str>>,
}

/// The header with the secret that moto expects.
const DOOR_HEADER: HeaderName = HeaderName::from_static("x-sandbox-secret");

impl Client {
    /// A client of this endpoint, such as `http://127.0.0.1:5000`, with these credentials.
    pub fn new(
        base: &str,
        region: &str,
        credentials: &Credentials,
    ) -> Result<Self, reqwest::Error> {
        Self::with_headers(base, region, credentials, HeaderMap::new())
    }

    /// A client of moto, which expects this secret.
    pub fn of_moto(
        base: &str,
        region: &str,
        credentials: &Credentials,
        secret: &str,
    ) -> Result<Self, reqwest::Error> {
        let mut headers = HeaderMap::new();
        // Every secret that is made here is a valid header value.
        headers.extend(HeaderValue::from_str(secret).ok().map(|secret| (DOOR_HEADER, secret)));
        Self::with_headers(base, region, credentials, headers)
    }

    fn with_headers(
        base: &str,
        region: &str,
        credentials: &Credentials,
        headers: HeaderMap,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .default_headers(headers)
            .build()?;
        let client = Self {
            http,
            base: base.into(),
            region: region.into(),
            access_key_id: "".into(),
            session_token: None,
        };
        Ok(client.with_credentials(credentials))
    }

    /// The same client with other credentials. Its requests are signed in shape only all the same.
    #[must_use]
    pub fn with_credentials(self, credentials: &Credentials) -> Self {
        Self {
            access_key_id: credentials.access_key_id.as_str().into(),
            session_token: credentials.session_token.as_deref().map(Into::into),
            ..self
        }
    }

    /// The endpoint.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The HTTP client below, for requests that are passed on as they came.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Calls an operation of the AWS JSON protocol.
    pub async fn json(
        &self,
        api: JsonApi,
        operation: &str,
        body: &Value,
    ) -> Result<Value, CallError> {
        let request = self
            .request(Method::POST, "/", api.service)
            .header("content-type", api.content_type)
            .header("x-amz-target", format!("{}.{operation}", api.target))
            .body(body.to_string());
        let bytes = send(operation, request).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        parse(operation, &bytes)
    }

    /// Calls an operation of the query protocol; the answer is XML.
    pub async fn query(
        &self,
        service: &str,
        operation: &str,
        parameters: &[(String, String)],
    ) -> Result<String, CallError> {
        let mut form = vec![("Action".to_owned(), operation.to_owned())];
        form.extend_from_slice(parameters);
        // The encoding of a query string is that of a form.
        let body = Url::parse_with_params("http://form/", &form)
            .ok()
            .and_then(|url| url.query().map(str::to_owned))
            .unwrap_or_default();
        let request = self
            .request(Method::POST, "/", service)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let bytes = send(operation, request).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads a resource of a REST API; `None` if there is none.
    pub async fn get(
        &self,
        service: &str,
        operation: &str,
        path: &str,
    ) -> Result<Option<Value>, CallError> {
        match send(operation, self.request(Method::GET, path, service)).await {
            Ok(bytes) => parse(operation, &bytes).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes a resource of a REST API.
    pub async fn put_json(
        &self,
        service: &str,
        operation: &str,
        path: &str,
        body: &Value,
    ) -> Result<(), CallError> {
        let request = self.request(Method::PUT, path, service).body(body.to_string());
        send(operation, request).await.map(|_| ())
    }

    /// Puts something into S3: a bucket (`/bucket`) or an object (`/bucket/key`).
    pub async fn put(&self, path: &str, content: Vec<u8>) -> Result<(), CallError> {
        let request = self.request(Method::PUT, path, "s3").body(content);
        send(&format!("PUT {path}"), request).await.map(|_| ())
    }

    /// Fetches what a path leads to.
    pub async fn fetch(&self, path: &str) -> Result<Bytes, CallError> {
        send(&format!("GET {path}"), self.http.get(format!("{}{path}", self.base))).await
    }

    /// A request of this path, signed in shape for this service.
    pub fn request(&self, method: Method, path: &str, service: &str) -> reqwest::RequestBuilder {
        let Self { access_key_id, region, .. } = self;
        let scope = format!("{access_key_id}/20200101/{region}/{service}/aws4_request");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.session_token {
            request = request.header("x-amz-security-token", token.as_ref());
        }
        request.header("x-amz-date", "20200101T000000Z").header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0"
            ),
        )
    }
}

async fn send(operation: &str, request: reqwest::RequestBuilder) -> Result<Bytes, CallError> {
    let unanswered = |source| CallError::Unanswered { operation: operation.to_owned(), source };
    let response = request.send().await.map_err(unanswered)?;
    let status = response.status();
    let headers = response.headers().clone();
    let bytes = response.bytes().await.map_err(unanswered)?;
    if status.is_success() {
        return Ok(bytes);
    }
    Err(refused(operation, status, &headers, &String::from_utf8_lossy(&bytes)))
}

/// What an API said in refusing a call, in the words of its protocol.
fn refused(operation: &str, status: StatusCode, headers: &HeaderMap, body: &str) -> CallError {
    let (code, message) =
        said_in_json(headers, body).or_else(|| said_in_xml(body)).unwrap_or_else(|| {
            let code = status.canonical_reason().unwrap_or("Unknown").to_owned();
            (code, body.to_owned())
        });
    let message = message.chars().take(MESSAGE_CHARS_MAX).collect();
    CallError::Refused { operation: operation.to_owned(), status, code, message }
}

/// `{"__type": "…", "message": "…"}`, or the code in a header, as the REST APIs have it.
fn said_in_json(headers: &HeaderMap, body: &str) -> Option<(String, String)> {
    let body: Value = serde_json::from_str(body).ok()?;
    let header = headers.get("x-amzn-errortype").and_then(|code| code.to_str().ok());
    let code = body["__type"].as_str().or(header)?;
    // Some services put the namespace of their shapes before the name, or more after it.
    let code = code.rsplit('#').next().unwrap_or(code).split(':').next().unwrap_or(code);
    let message = body["message"].as_str().or(body["Message"].as_str());
    Some((code.to_owned(), message.unwrap_or_default().to_owned()))
}

/// `<Error><Code>…</Code><Message>…</Message></Error>`, wherever it is.
fn said_in_xml(body: &str) -> Option<(String, String)> {
    let document = roxmltree::Document::parse(body).ok()?;
    let text = |name: &str| {
        let element = document.descendants().find(|node| node.tag_name().name() == name)?;
        element.text().map(str::to_owned)
    };
    Some((text("Code")?, text("Message").unwrap_or_default()))
}

fn parse(operation: &str, bytes: &[u8]) -> Result<Value, CallError> {
    serde_json::from_slice(bytes)
        .map_err(|_| CallError::Malformed { operation: operation.to_owned(), expected: "JSON" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, code: &str, said: &str) {
        match refused("SendCommand", StatusCode::BAD_REQUEST, &HeaderMap::new(), body) {
            CallError::Refused { code: got, message, .. } => {
                assert_eq!((&*got, &*message), (code, said));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_keeps_what_the_api_said() {
        check(r#"{"__type":"InvalidDocument","message":"none"}"#, "InvalidDocument", "none");
        check(
            r#"{"__type":"com.amazonaws#TaskTimedOut","Message":"late"}"#,
            "TaskTimedOut",
            "late",
        );
        check(
            r#"<R xmlns="https://iam/"><Error><Code>NoSuchEntity</Code><Message>none</Message></Error></R>"#,
            "NoSuchEntity",
            "none",
        );
        check("<html>", "Bad Request", "<html>");
    }

    #[test]
    fn what_does_not_exist_is_told_by_status_or_code() {
        let is_not_found = |status, code: &str| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("x-amzn-errortype"),
                HeaderValue::from_str(code).expect("a header value"),
            )]);
            refused("GetRole", status, &headers, "{}").is_not_found()
        };
        assert!(is_not_found(StatusCode::NOT_FOUND, "Whatever"));
        assert!(is_not_found(StatusCode::BAD_REQUEST, "NoSuchEntity"));
        assert!(is_not_found(StatusCode::BAD_REQUEST, "ResourceNotFoundException:http://x/"));
        assert!(!is_not_found(StatusCode::BAD_REQUEST, "ValidationException"));
    }
}
