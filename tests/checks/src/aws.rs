//! AWS inside the process: answers every call of an operation with the body that was laid down for
//! it, and notes what was asked. The SDK in between is the real one, down to its parser.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ssm::config::{Credentials, HttpClient, RuntimeComponents, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use callback_aws::Clients;
use callback_aws::clients::Patience;
use serde_json::Value;

/// How often an operation is answered with its body; after that with an empty object. A body can
/// promise another page for ever.
const ANSWERS_MAX: usize = 12;

/// The answers and the requests of one account.
#[derive(Debug, Clone, Default)]
pub struct Aws {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<&'static str, (u16, Vec<u8>)>,
    requests: Vec<Request>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Such as `ListCommands`.
    pub operation: String,
    /// Its members.
    pub body: Value,
}

impl Aws {
    /// Answers an operation with this HTTP status and body. Others get an empty object.
    pub fn lay_down(&self, operation: &'static str, status: u16, body: &[u8]) {
        self.change(|state| state.answers.insert(operation, (status, body.to_vec())));
    }

    /// The product's clients, which call this account once and do not wait.
    pub fn clients(&self) -> Clients {
        let credentials = Credentials::new("hostile", "hostile", None, None, "hostile");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.clone())
            .build();
        Clients::new(&config, &Patience { attempts_max: 1, ..Patience::default() })
    }

    /// What was asked, in its order.
    pub fn requests(&self) -> Vec<Request> {
        self.change(|state| state.requests.clone())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn answer(&mut self, request: Request) -> (u16, Vec<u8>) {
        let of_operation = |earlier: &&Request| earlier.operation == request.operation;
        let earlier = self.requests.iter().filter(of_operation).count();
        let answer = self.answers.get(request.operation.as_str()).cloned();
        self.requests.push(request);
        answer.filter(|_| earlier < ANSWERS_MAX).unwrap_or_else(|| (200, b"{}".to_vec()))
    }
}

impl HttpClient for Aws {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().expect("the SDK sends JSON as a whole");
        let body = serde_json::from_slice(body).expect("the SDK sends JSON");
        let (status, answer) = self.change(|state| state.answer(Request { operation, body }));
        let status = status.try_into().expect("the tests lay down statuses of HTTP");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, answer.into())))
    }
}

/// A runtime in which pauses pass at once.
pub fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread")
}
