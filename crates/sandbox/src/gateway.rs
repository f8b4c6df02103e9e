//! The endpoint: takes every request and routes it to the part that answers it.
//!
//! The [`gate`](crate::gate) decides first who is let in. The sandbox itself answers Run Command,
//! Automation, `PutEvents` and Lambda's `Invoke`; it passes everything else to moto unchanged. Each
//! call is recorded: service, operation, caller and status. A call under a role also has that role,
//! and the error if it was refused. What a browser asks for is [`crate::page`]'s.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sandbox_automation::Automation;
use sandbox_run_command::RunCommand;
use sandbox_run_command::api::ApiError;
use sandbox_run_command::locked::Locked;
use serde_json::Value;
use uuid::Uuid;

use crate::api_call::ApiCall;
use crate::aws::Client;
use crate::ec2::instances::{Change, Instances};
use crate::error_chain::error_chain;
use crate::eventbridge::put_events::EventBus;
use crate::faults::{CallFault, FaultPlan, Switch};
use crate::gate::Gate;
use crate::iam::roles::{Caller, Holder, Roles};
use crate::iam::sts;
use crate::lambda::requests::{LambdaRequest, LambdaRequests};
use crate::page::Page;
use crate::record::{Entry, Record};
use crate::responses::{api_error, json_answer, refused};

/// A deployment package may have 250 MB.
const BODY_BYTES_MAX: usize = 260 * 1024 * 1024;

/// The parts that answer requests.
pub struct Gateway {
    /// Who is let in.
    pub gate: Gate,
    /// Run Command.
    pub run_command: RunCommand,
    /// Automation.
    pub automation: Automation,
    /// The instances that are managed nodes.
    pub instances: Instances,
    /// Lambda.
    pub lambda: LambdaRequests,
    /// Where `PutEvents` puts events.
    pub event_bus: EventBus,
    /// Everything else.
    pub moto: Client,
    /// Where calls are recorded.
    pub record: Record,
    /// What browsers see.
    pub page: Page,
    /// What goes wrong.
    pub faults: Arc<Mutex<FaultPlan>>,
    /// The roles that functions, runbooks and sessions work under, if their policies are enforced.
    pub roles: Option<Roles>,
}

/// The endpoint's routes: there is only one, since AWS protocols route by header, body and path.
pub fn router(gateway: Gateway) -> Router {
    Router::new().fallback(answer).with_state(Arc::new(gateway))
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if Page::is_asked_for(&parts) {
        return gateway.page.answer(&gateway.gate, &parts, body).await;
    }
    if let Err(reason) = gateway.gate.check(&parts.method, &parts.uri, &parts.headers) {
        let call = ApiCall::of(&parts.method, &parts.uri, &parts.headers, b"");
        let mut response = refused(call.protocol, "AccessDeniedException", &reason);
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let begun = Instant::now();
    let call = ApiCall::of(&parts.method, &parts.uri, &parts.headers, &body);
    // Before anybody acts on the request: from now on, its token is replaced in what is recorded.
    let subject = call.subject(&body, &gateway.record);
    let caller = call.access_key_id.as_deref().and_then(|id| gateway.roles.as_ref()?.caller(id));
    let function = function(&call, caller.as_ref());
    let refusal = gateway.refusal(caller.as_ref(), &call, &parts, &body).await;
    let refusal_code = refusal.as_ref().map(|error| error.code.clone());
    let fault = gateway.fault(function.as_deref());
    let is_fault = fault.is_some();
    let response = match (refusal, fault) {
        (_, Some(Fault::Kill(function))) => {
            gateway.lambda.functions.kill(&function).await;
            // Nobody hears it.
            faulty(CallFault::Failed)
        }
        (Some(refusal), _) => refused(call.protocol, &refusal.code, &refusal.message),
        (None, Some(Fault::Answer(fault))) => faulty(fault),
        (None, None) => gateway.route(&call, &parts, body).await,
    };
    let (mut response, error) = with_error(response).await;
    gateway.record.add(&Entry::Call {
        service: call.service,
        operation: call.operation,
        caller: call.caller.or(function.map(|name| format!("function:{name}"))),
        role: caller.map(|caller| caller.role),
        refused: refusal_code,
        status: response.status().as_u16(),
        error,
        fault: is_fault,
        subject,
        ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    let headers = response.headers_mut();
    if !headers.contains_key("x-amzn-requestid")
        && let Ok(id) = Uuid::new_v4().to_string().parse()
    {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

impl Gateway {
    /// Why the policies of the caller's role do not allow this call. A caller without a role may do
    /// everything.
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
            return json_answer(self.event_bus.put_events(&body));
        }
        if let Some(request) = LambdaRequest::of(parts) {
            return self.lambda.answer(&request, &parts.headers, body).await;
        }
        let answer = self.pass_on(parts, body).await;
        if call.service == "sts" && operation == "AssumeRole" {
            return self.admit_role(answer).await;
        }
        if call.service == "ec2"
            && let Some(change) = Change::of(operation)
            && answer.status().is_success()
        {
            let (answer, text) = read(answer).await;
            self.instances.follow(change, &text).await;
            return answer;
        }
        answer
    }

    /// Lets in the holder of credentials that were issued for a role.
    async fn admit_role(&self, answer: Response) -> Response {
        let (answer, text) = read(answer).await;
        if let Some(credentials) = sts::credentials(&text) {
            match (&self.roles, sts::assumed_role(&text)) {
                (Some(roles), Some(role)) => {
                    let caller = Caller { holder: Holder::Session, role, function: None };
                    roles.hold(credentials.access_key_id, caller);
                }
                _ => self.gate.admit(credentials.access_key_id),
            }
        }
        answer
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

    /// What goes wrong with a call of this function.
    fn fault(&self, function: Option<&str>) -> Option<Fault> {
        let function = function?;
        let mut faults = self.faults.locked();
        if faults.take(&Switch::Kill(function.to_owned())) {
            return Some(Fault::Kill(function.to_owned()));
        }
        faults.next_call().map(Fault::Answer)
    }
}

/// What goes wrong with a call.
enum Fault {
    /// It is answered with an error.
    Answer(CallFault),
    /// The function that called is killed.
    Kill(String),
}

/// The name of the function that calls, if one does.
fn function(call: &ApiCall, caller: Option<&Caller>) -> Option<String> {
    let under_role = caller.and_then(|caller| caller.function.clone());
    under_role.or_else(|| call.function().map(str::to_owned))
}

/// The answer, and the error's name if it is an error of the JSON protocol.
async fn with_error(answer: Response) -> (Response, Option<String>) {
    if answer.status().is_success() {
        return (answer, None);
    }
    let (answer, text) = read(answer).await;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let error = body["__type"].as_str();
    let error = error.map(|error| error.rsplit('#').next().unwrap_or(error).to_owned());
    (answer, error)
}

/// An answer, and its text.
async fn read(answer: Response) -> (Response, String) {
    let (parts, body) = answer.into_parts();
    // It is whole already.
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    (Response::from_parts(parts, Body::from(body)), text)
}

/// What belongs to one connection, and not to the request.
const NOT_PASSED_ON: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::EXPECT];

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
    let message = format!("no answer from the emulator behind the sandbox: {}", error_chain(error));
    api_error(StatusCode::BAD_GATEWAY, "ServiceUnavailable", &message)
}
