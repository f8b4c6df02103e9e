//! The API call that a request makes: enough to route and to log it, whatever its protocol.

use axum::http::{HeaderMap, Method, Uri, header};
use serde_json::Value;

use crate::credentials::{function_of, named_caller};
use crate::record::{Record, Subject};

/// A call of an AWS API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiCall {
    /// The signing name of the service, such as `ssm` or `states`.
    pub service: String,
    /// The operation's name, or method and path where the protocol has none.
    pub operation: String,
    /// How it is said, and how the answer must be.
    pub protocol: Protocol,
    /// Whose key signed it.
    pub access_key_id: Option<String>,
    /// Which function calls, or that Automation does, where these sign with the key of the run.
    pub caller: Option<String>,
}

impl ApiCall {
    /// Reads the call from a request.
    pub fn of(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Self {
        let credential = credential(headers, uri);
        let target = text(headers, TARGET).and_then(|target| target.rsplit_once('.'));
        let operation = match target {
            Some((_, operation)) => operation.to_owned(),
            None => match rpc_operation(headers, uri).or_else(|| form_action(headers, body)) {
                Some(operation) => operation,
                None => format!("{method} {}", uri.path()),
            },
        };
        let service = match (credential.service, target) {
            (Some(service), _) => service.to_owned(),
            (None, Some((api, _))) => service_of_target(api).to_owned(),
            (None, None) => String::new(),
        };
        Self {
            protocol: Protocol::of(headers, &service),
            service,
            operation,
            access_key_id: credential.access_key_id.map(str::to_owned),
            caller: text(headers, "x-amz-security-token").and_then(named_caller).map(str::to_owned),
        }
    }

    /// The name of the function that calls, if one does that signs with the key of the run.
    pub fn function(&self) -> Option<&str> {
        self.caller.as_deref().and_then(function_of)
    }

    /// What the request is about. The record learns its task token, and knows it by a number.
    pub fn subject(&self, body: &[u8], record: &Record) -> Subject {
        if !matches!(self.service.as_str(), "ssm" | "states") {
            return Subject::default();
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let parameters = &body["Parameters"]["taskToken"];
        let token = body["taskToken"].as_str().or(parameters[0].as_str());
        Subject {
            command_id: text(&body["CommandId"]),
            node: text(&body["InstanceId"]),
            execution: text(&body["executionArn"]),
            task: token.map(|token| record.task(token)),
        }
    }
}

/// A protocol of AWS (Smithy, "AWS protocols").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JSON, with the operation in a header.
    Json,
    /// JSON as well, from a service that once spoke [`Query`](Self::Query) and keeps its error codes.
    QueryCompatibleJson,
    /// CBOR, with the operation in the path, from such a service.
    Cbor,
    /// A form, answered in XML.
    Query,
    /// Method and path, with JSON.
    RestJson,
    /// Method and path, with XML. Also what cannot be told.
    RestXml,
}

impl Protocol {
    /// The protocol of a request to this service.
    pub fn of(headers: &HeaderMap, service: &str) -> Self {
        let form = text(headers, header::CONTENT_TYPE.as_str()).is_some_and(is_form);
        match service {
            _ if headers.contains_key("smithy-protocol") => Self::Cbor,
            "sqs" | "monitoring" if headers.contains_key(TARGET) => Self::QueryCompatibleJson,
            _ if headers.contains_key(TARGET) => Self::Json,
            _ if form => Self::Query,
            "lambda" => Self::RestJson,
            _ => Self::RestXml,
        }
    }
}

const TARGET: &str = "x-amz-target";

/// The access key id that a request is signed with, in its headers or, presigned, in its URL.
pub fn access_key_id(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    credential(headers, uri).access_key_id.map(str::to_owned)
}

#[derive(Default)]
struct Credential<'a> {
    access_key_id: Option<&'a str>,
    service: Option<&'a str>,
}

/// `AWS4-HMAC-SHA256 Credential=AKIA…/20261122/us-east-1/ssm/aws4_request, SignedHeaders=…`, or
/// `X-Amz-Credential=AKIA…%2F20261122%2F…` in the query.
fn credential<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Credential<'a> {
    if let Some((_, scope)) = text(headers, header::AUTHORIZATION.as_str())
        .and_then(|authorization| authorization.split_once("Credential="))
    {
        let mut parts = scope.split(',').next().unwrap_or_default().trim().split('/');
        return Credential { access_key_id: parts.next(), service: parts.nth(2) };
    }
    let mut query = uri.query().unwrap_or_default().split('&');
    let Some(scope) = query.find_map(|pair| pair.strip_prefix("X-Amz-Credential=")) else {
        return Credential::default();
    };
    // A slash may or may not be escaped in a query.
    let mut parts = scope.split(['/', '%']).map(|part| part.strip_prefix("2F").unwrap_or(part));
    Credential { access_key_id: parts.next(), service: parts.nth(2) }
}

/// The operation in `/service/GraniteServiceVersion20100801/operation/DescribeAlarms`, the path of the
/// RPC v2 protocol.
fn rpc_operation(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    headers.get("smithy-protocol")?;
    let (_, operation) = uri.path().strip_prefix("/service/")?.split_once("/operation/")?;
    Some(operation.to_owned())
}

/// The `Action` of the query protocol.
fn form_action(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let content_type = text(headers, header::CONTENT_TYPE.as_str())?;
    if !is_form(content_type) {
        return None;
    }
    let form = std::str::from_utf8(body).ok()?;
    form.split('&').find_map(|pair| pair.strip_prefix("Action=")).map(str::to_owned)
}

fn is_form(content_type: &str) -> bool {
    content_type.starts_with("application/x-www-form-urlencoded")
}

fn service_of_target(api: &str) -> &str {
    match api {
        "AmazonSSM" => "ssm",
        "AWSEvents" => "events",
        "AWSStepFunctions" => "states",
        "AmazonSQS" => "sqs",
        other => other,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method, Uri};

    use super::{ApiCall, Protocol};
    use crate::record::{Record, Subject};

    const TOKEN: axum::http::HeaderName =
        axum::http::HeaderName::from_static("x-amz-security-token");
    const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261122/us-east-1/SERVICE/aws4_request, SignedHeaders=host, Signature=0";

    fn check(headers: &[(&'static str, &str)], body: &str, service: &str, operation: &str) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header value"));
        }
        let uri = Uri::from_static("http://127.0.0.1:5000/bucket/key?x=1");
        let call = ApiCall::of(&Method::PUT, &uri, &map, body.as_bytes());
        assert_eq!((call.service.as_str(), call.operation.as_str()), (service, operation));
    }

    #[test]
    fn json_calls_are_named_by_their_target() {
        let authorization = AUTHORIZATION.replace("SERVICE", "ssm");
        check(
            &[("x-amz-target", "AmazonSSM.SendCommand"), ("authorization", &authorization)],
            "{}",
            "ssm",
            "SendCommand",
        );
        check(
            &[("x-amz-target", "AWSStepFunctions.StartExecution")],
            "{}",
            "states",
            "StartExecution",
        );
    }

    #[test]
    fn query_calls_are_named_by_their_action() {
        let authorization = AUTHORIZATION.replace("SERVICE", "sts");
        check(
            &[
                ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("authorization", &authorization),
            ],
            "Version=2011-06-15&Action=GetCallerIdentity",
            "sts",
            "GetCallerIdentity",
        );
    }

    #[test]
    fn rpc_calls_are_named_by_the_end_of_their_path() {
        let uri =
            Uri::from_static("/service/GraniteServiceVersion20100801/operation/GetMetricData");
        let mut headers = HeaderMap::new();
        let call = |headers: &HeaderMap| ApiCall::of(&Method::POST, &uri, headers, b"").operation;
        assert!(call(&headers).starts_with("POST /service/"), "an object in a bucket");
        headers.insert("smithy-protocol", "rpc-v2-cbor".parse().expect("a header value"));
        assert_eq!(call(&headers), "GetMetricData");
    }

    #[test]
    fn the_protocol_is_told_by_headers_and_service() {
        const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
        for (header, service, expected) in [
            (("x-amz-target", "AmazonSSM.SendCommand"), "ssm", Protocol::Json),
            (("x-amz-target", "AmazonSQS.SendMessage"), "sqs", Protocol::QueryCompatibleJson),
            (("smithy-protocol", "rpc-v2-cbor"), "monitoring", Protocol::Cbor),
            (FORM, "iam", Protocol::Query),
            (("accept", "*/*"), "lambda", Protocol::RestJson),
            (("accept", "*/*"), "s3", Protocol::RestXml),
            (("accept", "*/*"), "", Protocol::RestXml),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header.0, header.1.parse().expect("a header value"));
            assert_eq!(Protocol::of(&headers, service), expected, "{header:?} {service}");
        }
    }

    #[test]
    fn rest_calls_are_named_by_method_and_path() {
        let authorization = AUTHORIZATION.replace("SERVICE", "s3");
        check(&[("authorization", &authorization)], "Action=x", "s3", "PUT /bucket/key");
    }

    #[test]
    fn an_unsigned_request_has_neither_service_nor_caller() {
        check(&[], "", "", "PUT /bucket/key");
        check(&[("authorization", "Credential=")], "", "", "PUT /bucket/key");
    }

    #[test]
    fn a_presigned_request_has_a_caller() {
        for slash in ["/", "%2F"] {
            let scope = ["AKIAEXAMPLE", "20261122", "us-east-1", "s3", "aws4_request"].join(slash);
            let uri: Uri = format!("/bucket/key?x=1&X-Amz-Credential={scope}&X-Amz-Date=x")
                .parse()
                .expect("a URI");
            let call = ApiCall::of(&Method::GET, &uri, &HeaderMap::new(), b"");
            assert_eq!(call.access_key_id.as_deref(), Some("AKIAEXAMPLE"));
            assert_eq!(call.service, "s3");
        }
    }

    #[test]
    fn a_function_is_told_by_its_session_token_and_any_other_token_is_kept_back() {
        let caller = |token: &str| {
            let headers = HeaderMap::from_iter([(TOKEN, token.parse().expect("a header value"))]);
            let call = ApiCall::of(&Method::POST, &Uri::from_static("/"), &headers, b"");
            (call.function().map(str::to_owned), call.caller)
        };
        let relay = (Some("relay".to_owned()), Some("function:relay".to_owned()));
        assert_eq!(caller("function:relay"), relay);
        assert_eq!(caller("automation"), (None, Some("automation".to_owned())));
        assert_eq!(caller("a secret"), (None, None));
    }

    #[test]
    fn what_a_request_is_about_is_told_without_its_token() {
        const TOKEN_OF_TASK: &str = "4f6dbb1e-5b5b-4f5e-9a53-d4f7c0a8a0f1";
        let record = Record::without_logs();
        let subject = |target: &'static str, body: &serde_json::Value| {
            let headers = HeaderMap::from_iter([(
                axum::http::HeaderName::from_static("x-amz-target"),
                axum::http::HeaderValue::from_static(target),
            )]);
            let body = body.to_string();
            let uri = Uri::from_static("/");
            let call = ApiCall::of(&Method::POST, &uri, &headers, body.as_bytes());
            call.subject(body.as_bytes(), &record)
        };
        let sent = serde_json::json!({ "Parameters": { "taskToken": [TOKEN_OF_TASK] } });
        let about_task = Subject { task: Some(1), ..Subject::default() };
        assert_eq!(subject("AmazonSSM.SendCommand", &sent), about_task);
        let answered = serde_json::json!({ "taskToken": TOKEN_OF_TASK, "output": "{}" });
        assert_eq!(subject("AWSStepFunctions.SendTaskSuccess", &answered), about_task);
        let cancelled = serde_json::json!({ "CommandId": "c" });
        let about_command = Subject { command_id: Some("c".to_owned()), ..Subject::default() };
        assert_eq!(subject("AmazonSSM.CancelCommand", &cancelled), about_command);
    }
}
