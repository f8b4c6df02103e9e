//! The endpoint: takes every request, and gives it to whoever answers it.
//!
//! Who is let in is decided by the [`gate`](crate::gate), before anything else. Run Command,
//! Automation, `PutEvents` and Lambda's `Invoke` are the sandbox's own; everything else is passed on
//! to moto as it came. Each call is noted in `logs/calls.log`: service, operation, caller, status,
//! and for one under a role, that role and what it was refused with.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    api_call::ApiCall,
    asynchronous::AsynchronousInvocations,
    automation::Automation,
    aws::Client,
    delivery::event,
    faults::{CallFault, FaultPlan},
    gate::Gate,
    journal::Journal,
    lambda::{self, Admission, Invocation, InvokeError, Lambda},
    roles::{self, Caller, Holder, Roles},
    run_command::{ApiError, RunCommand},
};

/// A deployment package may have 250 MB.
const BODY_BYTES_MAX: usize = 260 * 1024 * 1024;
/// `PutEvents` takes at most this many.
const ENTRIES_MAX: usize = 10;
const JSON: &str = "application/x-amz-json-1.1";

/// What the endpoint leads to.
pub struct Gateway {
    /// Who is let in.
    pub gate: Gate,
    /// Run Command.
    pub run_command: RunCommand,
    /// Automation.
    pub automation: Automation,
    /// Lambda.
    pub lambda: Lambda,
    /// Lambda's asynchronous invocations.
    pub invocations: AsynchronousInvocations,
    /// Where `PutEvents` puts events.
    pub events: mpsc::UnboundedSender<Value>,
    /// Everything else.
    pub moto: Client,
    /// The calls.
    pub journal: Journal,
    /// What goes wrong.
    pub faults: Arc<Mutex<FaultPlan>>,
    /// The roles that functions and runbooks work under, if their policies are enforced.
    pub roles: Option<Roles>,
    /// The region.
    pub region: String,
}

/// The endpoint's routes: there is only one, since AWS protocols route by header, body and path.
pub fn router(gateway: Gateway) -> Router {
    Router::new().fallback(answer).with_state(Arc::new(gateway))
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(reason) = gateway.gate.check(&parts.method, &parts.uri, &parts.headers) {
        return kept_out(&parts, &reason);
    }
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = ApiCall::of(&parts.method, &parts.uri, &parts.headers, &body);
    let caller = call.access_key_id.as_deref().and_then(|id| gateway.roles.as_ref()?.caller(id));
    let refusal = gateway.refusal(caller.as_ref(), &call, &parts, &body).await;
    let refused = refusal.as_ref().map(|error| error.code.clone());
    let mut response = match (refusal, gateway.fault(&call, caller.as_ref())) {
        (Some(refusal), _) => json_answer(Err(refusal)),
        (None, Some(fault)) => faulty(fault),
        (None, None) => gateway.route(&call, &parts, body).await,
    };
    gateway.journal.record([
        ("service", call.service.into()),
        ("operation", call.operation.into()),
        ("caller", call.caller.into()),
        ("role", caller.map(|caller| caller.role).into()),
        ("refused", refused.into()),
        ("status", response.status().as_u16().into()),
    ]);
    let headers = response.headers_mut();
    if !headers.contains_key("x-amzn-requestid")
        && let Ok(id) = Uuid::new_v4().to_string().parse()
    {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

impl Gateway {
    /// Why the policies of the caller's role do not allow this call. Who has no role may do all.
    async fn refusal(
        &self,
        caller: Option<&Caller>,
        call: &ApiCall,
        parts: &Parts,
        body: &[u8],
    ) -> Option<ApiError> {
        let (roles, caller) = (self.roles.as_ref()?, caller?);
        roles.authorize(caller, call, parts, body).await.err()
    }

    async fn route(&self, call: &ApiCall, parts: &Parts, body: Bytes) -> Response {
        let target = parts.headers.get("x-amz-target");
        let target = target.and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = call.operation.as_str();
        if target.starts_with("AmazonSSM.") && RunCommand::OPERATIONS.contains(&operation) {
            return json_answer(self.run_command.call(operation, &body).await);
        }
        if target.starts_with("AmazonSSM.") && Automation::OPERATIONS.contains(&operation) {
            return json_answer(self.automation.call(operation, &body).await);
        }
        if target == "AWSEvents.PutEvents" {
            return self.put_events(&body);
        }
        if let Some(code) = function_code(parts) {
            return self.code_of(code).await;
        }
        if let Some(function) = invoked_function(parts) {
            return self.invoke(&function, &parts.headers, body).await;
        }
        let answer = self.pass_on(parts, body).await;
        if call.service == "sts" && operation == "AssumeRole" {
            return self.admit_role(answer).await;
        }
        answer
    }

    /// Lets in whoever has got credentials of a role.
    async fn admit_role(&self, answer: Response) -> Response {
        let (parts, body) = answer.into_parts();
        // It was taken from moto whole.
        let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
        if let Some(credentials) = roles::credentials(&String::from_utf8_lossy(&body)) {
            self.gate.admit(credentials.access_key_id);
        }
        Response::from_parts(parts, Body::from(body))
    }

    /// Takes any source, so that any event can be tried; AWS keeps `aws.` for itself.
    fn put_events(&self, body: &[u8]) -> Response {
        let request: Value = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => {
                let code = "SerializationException";
                return api_error(StatusCode::BAD_REQUEST, code, &error.to_string());
            }
        };
        let entries = request["Entries"].as_array().cloned().unwrap_or_default();
        if entries.is_empty() || entries.len() > ENTRIES_MAX {
            let message = format!("Entries: {} given, 1 to {ENTRIES_MAX} wanted", entries.len());
            return api_error(StatusCode::BAD_REQUEST, "ValidationException", &message);
        }
        let results: Vec<Value> = entries.iter().map(|entry| self.put_event(entry)).collect();
        let failed = results.iter().filter(|result| result["ErrorCode"].is_string()).count();
        let answer = json!({ "FailedEntryCount": failed, "Entries": results });
        json_response(StatusCode::OK, &answer)
    }

    fn put_event(&self, entry: &Value) -> Value {
        let refused =
            |code: &str, message: String| json!({ "ErrorCode": code, "ErrorMessage": message });
        let (Some(source), Some(detail_type), Some(detail)) =
            (entry["Source"].as_str(), entry["DetailType"].as_str(), entry["Detail"].as_str())
        else {
            let message = "Source, DetailType and Detail are required".to_owned();
            return refused("InvalidArgument", message);
        };
        let detail: Value = match serde_json::from_str(detail) {
            Ok(detail @ Value::Object(_)) => detail,
            _ => return refused("MalformedDetail", "Detail is malformed.".to_owned()),
        };
        let resources: Vec<String> =
            serde_json::from_value(entry["Resources"].clone()).unwrap_or_default();
        let event = event(source, detail_type, &self.region, &resources, &detail);
        let id = event["id"].clone();
        match self.events.send(event) {
            Ok(()) => json!({ "EventId": id }),
            Err(_) => refused("InternalFailure", "the sandbox is ending".to_owned()),
        }
    }

    async fn invoke(&self, function: &str, headers: &HeaderMap, payload: Bytes) -> Response {
        let kind = headers.get("x-amz-invocation-type");
        match kind.and_then(|kind| kind.to_str().ok()).unwrap_or("RequestResponse") {
            "Event" | "DryRun" => match self.lambda.exists(function).await {
                Ok(true) if kind.is_some_and(|kind| kind == "DryRun") => {
                    StatusCode::NO_CONTENT.into_response()
                }
                Ok(true) => {
                    self.invocations.submit(crate::lambda::function_name(function), payload);
                    StatusCode::ACCEPTED.into_response()
                }
                Ok(false) => self.not_found(function),
                Err(error) => invoke_error(&error),
            },
            _ => match self.lambda.invoke(function, payload, Admission::Refuse).await {
                Ok(invocation) => invoked(invocation),
                Err(InvokeError::Unknown { name }) => self.not_found(&name),
                Err(error) => invoke_error(&error),
            },
        }
    }

    async fn code_of(&self, function: &str) -> Response {
        match self.moto.fetch(&lambda::code_path(function)).await {
            Ok(code) => ([(header::CONTENT_TYPE, "application/zip")], code).into_response(),
            Err(_) => self.not_found(function),
        }
    }

    fn not_found(&self, function: &str) -> Response {
        let name = crate::lambda::function_name(function);
        let arn = format!("arn:aws:lambda:{}:{}:function:{name}", self.region, crate::ACCOUNT);
        rest_error(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            &format!("Function not found: {arn}"),
        )
    }

    async fn pass_on(&self, parts: &Parts, body: Bytes) -> Response {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = parts.headers.clone();
        for name in NOT_PASSED_ON {
            headers.remove(name);
        }
        let request = self
            .moto
            .http()
            .request(parts.method.clone(), format!("{}{path}", self.moto.base()))
            .headers(headers)
            .body(body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return not_passed_on(&error),
        };
        let status = response.status();
        let mut headers = response.headers().clone();
        // The length of an answer to HEAD is that of the object: it must go through.
        if parts.method != axum::http::Method::HEAD {
            headers.remove(header::CONTENT_LENGTH);
        }
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONNECTION);
        match response.bytes().await {
            Ok(bytes) => {
                let mut passed = Response::new(Body::from(bytes));
                *passed.status_mut() = status;
                *passed.headers_mut() = headers;
                passed
            }
            Err(error) => not_passed_on(&error),
        }
    }

    fn fault(&self, call: &ApiCall, caller: Option<&Caller>) -> Option<CallFault> {
        let under_role = caller.is_some_and(|caller| caller.holder == Holder::Function);
        if !under_role && !call.is_of_function() {
            return None;
        }
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.next_call()
    }
}

/// The answer to who is not let in, in a form that clients of either protocol can read.
fn kept_out(parts: &Parts, reason: &str) -> Response {
    const CODE: &str = "AccessDeniedException";
    let path = parts.uri.path();
    if parts.headers.contains_key("x-amz-target") || path.starts_with("/2015-03-31/") {
        return api_error(StatusCode::FORBIDDEN, CODE, reason);
    }
    // The reason is ours, and holds nothing that XML would have to escape.
    let body = format!("<Error><Code>{CODE}</Code><Message>{reason}</Message></Error>");
    (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

/// What belongs to one connection, and not to the request.
const NOT_PASSED_ON: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::EXPECT];

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

fn json_answer(answer: Result<Value, ApiError>) -> Response {
    match answer {
        Ok(answer) => json_response(StatusCode::OK, &answer),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
            api_error(status, &error.code, &error.message)
        }
    }
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
    let cause =
        std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    let message = format!("{error}{cause}");
    match error {
        InvokeError::TooManyRequests => {
            rest_error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", &message)
        }
        _ => rest_error(StatusCode::BAD_GATEWAY, "ServiceException", &message),
    }
}

fn faulty(fault: CallFault) -> Response {
    match fault {
        CallFault::Throttled => {
            api_error(StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded")
        }
        CallFault::Failed => api_error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "An error occurred on the server side.",
        ),
    }
}

fn not_passed_on(error: &reqwest::Error) -> Response {
    let message = format!("the emulator behind the sandbox did not answer: {error}");
    api_error(StatusCode::BAD_GATEWAY, "ServiceUnavailable", &message)
}

/// An error of the JSON protocol.
fn api_error(status: StatusCode, code: &str, message: &str) -> Response {
    json_response(status, &json!({ "__type": code, "message": message }))
}

/// An error of Lambda's REST protocol.
fn rest_error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "Type": "User", "Message": message }).to_string();
    let headers = [("content-type", "application/json"), ("x-amzn-errortype", code)];
    (status, headers, body).into_response()
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body.to_string()).into_response()
}
