//! The requests of Lambda that the sandbox answers itself: `Invoke`, and downloads of a function's
//! code.

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::code::{code_path, function_name};
use super::functions::{Admission, Invocation, InvokeError, Lambda, Occasion};
use super::queue::InvocationQueue;
use crate::arn::ACCOUNT;
use crate::aws::Client;
use crate::error_chain::error_chain;
use crate::responses::rest_error;

/// What answers the requests.
#[derive(Debug)]
pub struct LambdaRequests {
    /// The functions.
    pub functions: Lambda,
    /// Their asynchronous invocations.
    pub queue: InvocationQueue,
    /// Where the code of functions is.
    pub moto: Client,
    /// The region.
    pub region: String,
}

/// A request that the sandbox answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LambdaRequest {
    /// `Invoke` of this function.
    Invoke(String),
    /// The code of this function, `REGION/NAME`.
    Code(String),
}

impl LambdaRequest {
    /// The request, if it is one of these.
    pub fn of(parts: &Parts) -> Option<Self> {
        let code = function_code(parts).map(|function| Self::Code(function.to_owned()));
        code.or_else(|| invoked_function(parts).map(LambdaRequest::Invoke))
    }
}

impl LambdaRequests {
    /// Answers a request.
    pub async fn answer(
        &self,
        request: &LambdaRequest,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response {
        match request {
            LambdaRequest::Invoke(function) => self.invoke(function, headers, body).await,
            LambdaRequest::Code(function) => self.code_of(function).await,
        }
    }

    async fn invoke(&self, function: &str, headers: &HeaderMap, payload: Bytes) -> Response {
        let kind = headers.get("x-amz-invocation-type");
        match kind.and_then(|kind| kind.to_str().ok()).unwrap_or("RequestResponse") {
            "Event" | "DryRun" => match self.functions.exists(function).await {
                Ok(true) if kind.is_some_and(|kind| kind == "DryRun") => {
                    StatusCode::NO_CONTENT.into_response()
                }
                Ok(true) => {
                    self.queue.submit(function_name(function), payload, None);
                    StatusCode::ACCEPTED.into_response()
                }
                Ok(false) => self.not_found(function),
                Err(error) => invoke_error(&error),
            },
            _ => {
                let (refuse, occasion) = (Admission::Refuse, Occasion::default());
                match self.functions.invoke(function, payload, refuse, occasion).await {
                    Ok(invocation) => invoked(invocation),
                    Err(InvokeError::Unknown { name }) => self.not_found(&name),
                    Err(error) => invoke_error(&error),
                }
            }
        }
    }

    async fn code_of(&self, function: &str) -> Response {
        match self.moto.fetch(&code_path(function)).await {
            Ok(code) => ([(header::CONTENT_TYPE, "application/zip")], code).into_response(),
            Err(_) => self.not_found(function),
        }
    }

    fn not_found(&self, function: &str) -> Response {
        let name = function_name(function);
        let arn = format!("arn:aws:lambda:{}:{}:function:{name}", self.region, ACCOUNT);
        rest_error(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            &format!("Function not found: {arn}"),
        )
    }
}

/// The function in `/2015-03-31/functions/{function}/invocations`.
fn invoked_function(parts: &Parts) -> Option<String> {
    let path = parts.uri.path().strip_prefix("/2015-03-31/functions/")?;
    let function = path.strip_suffix("/invocations")?;
    Some(function.replace("%3A", ":").replace("%3a", ":").replace("%24", "$"))
}

/// The function, `REGION/NAME`, in the location of its code that `GetFunction` gives.
fn function_code(parts: &Parts) -> Option<&str> {
    let function = parts.uri.path().strip_prefix("/lambda-code/")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
    function.bytes().all(is_plain).then_some(function)
}

fn invoked(invocation: Invocation) -> Response {
    let mut response = Response::new(Body::from(invocation.outcome.payload));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert("x-amz-executed-version", header::HeaderValue::from_static("$LATEST"));
    if invocation.outcome.failed {
        headers.insert("x-amz-function-error", header::HeaderValue::from_static("Unhandled"));
    }
    response
}

fn invoke_error(error: &InvokeError) -> Response {
    let message = error_chain(error);
    match error {
        InvokeError::TooManyRequests => {
            rest_error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", &message)
        }
        _ => rest_error(StatusCode::BAD_GATEWAY, "ServiceException", &message),
    }
}
