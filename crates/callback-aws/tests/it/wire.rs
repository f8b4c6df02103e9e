//! The SDK adapters against a loopback server that answers well, badly, late and not at all.

use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_smithy_http_client::tls::TrustStore;
use callback::command::{OnFailure, Plugin};
use callback::ports::{
    AnswerReceipt, CallError, CallErrorKind, CallErrorReason, LISTED_OUTPUTS_NODES_MAX, NODES_MAX,
    Outputs,
};
use callback::{
    CommandId, InstanceId, Invocation, RunCommand, Status, StatusDetails, TaskToken, Tasks,
};
use callback_aws::Clients;
use callback_aws::clients::{Patience, http_client};
use callback_aws::testing::aws_server::{AwsServer, Reply};
use callback_aws::trust::AMAZON_ROOTS;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const COMMAND_ID: &str = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";
const NODE: &str = "i-1234567890abcdef0";
const TOKEN: &str = "AAAAKgAAAAIAAAAAAAAAATokenOfTheWireTests";

fn id() -> CommandId {
    CommandId::parse(COMMAND_ID).unwrap()
}

fn token() -> TaskToken {
    TaskToken::from_parameter(&[TOKEN.to_owned()]).unwrap()
}

/// Clients that talk to `endpoint_url` and lose their patience within a second.
async fn clients(endpoint_url: String) -> Clients {
    clients_that_trust(TrustStore::empty(), endpoint_url).await
}

async fn clients_that_trust(trust_store: TrustStore, endpoint_url: String) -> Clients {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(trust_store))
        .endpoint_url(endpoint_url)
        .region(Region::new("eu-central-1"))
        .test_credentials()
        .load()
        .await;
    let patience = Patience {
        connect_timeout: Duration::from_millis(200),
        attempt_timeout: Duration::from_millis(200),
        call_timeout: Duration::from_secs(2),
        attempts_max: 3,
        backoff_max: Duration::from_millis(10),
    };
    Clients::new(&config, &patience)
}

pub(crate) async fn server_and_clients() -> (AwsServer, Clients) {
    let server = AwsServer::start().await;
    let clients = clients(server.endpoint_url()).await;
    (server, clients)
}

fn command_json() -> Value {
    json!({
        "CommandId": COMMAND_ID,
        "DocumentName": "SfnRunShellScript",
        "Parameters": { "commands": ["id"], "taskToken": [TOKEN], "onFailure": ["Report"] },
        "RequestedDateTime": 1_795_341_600.5,
        "Status": "TimedOut",
        "StatusDetails": "Delivery Timed Out",
        "TargetCount": 3, "CompletedCount": 2, "ErrorCount": 1, "DeliveryTimedOutCount": 1,
        "AFieldOfTheFuture": { "x": 1 }
    })
}

fn invocation_json(instance_id: &str) -> Value {
    json!({
        "CommandId": COMMAND_ID, "InstanceId": instance_id,
        "Status": "Failed", "StatusDetails": "Failed",
        "StandardOutputUrl": "https://example.com/stdout", "StandardErrorUrl": "",
        "CommandPlugins": [{
            "Name": "runShellScript", "Status": "Failed", "StatusDetails": "Failed", "ResponseCode": 3,
            "ResponseStartDateTime": 1_795_341_601.5, "ResponseFinishDateTime": 1_795_341_602.25,
            "Output": "out\n----------ERROR-------\nfailed to run commands: exit status 3"
        }]
    })
}

#[tokio::test]
async fn a_command_is_read_with_its_callback() {
    let (server, clients) = server_and_clients().await;
    server.script("ListCommands", [Reply::Answer(json!({ "Commands": [command_json()] }))]);

    let command = clients.ssm.command(&id()).await.unwrap().unwrap();

    assert_eq!(server.calls("ListCommands"), [json!({ "CommandId": COMMAND_ID })]);
    assert_eq!(command.id, id());
    assert_eq!(command.document_name, "SfnRunShellScript");
    assert_eq!(command.status, Status::TimedOut);
    assert_eq!(command.status_details, StatusDetails::DeliveryTimedOut);
    assert_eq!(command.requested_at.to_string(), "2026-11-22T10:00:00.5Z");
    assert_eq!((command.target_count, command.completed_count, command.error_count), (3, 2, 1));
    assert_eq!(command.delivery_timed_out_count, 1);
    assert_eq!(command.callback.on_failure, OnFailure::Report);
    assert_eq!(command.callback.task_token.unwrap().unwrap().expose(), TOKEN);
}

#[rstest]
#[case::none_listed(Reply::Answer(json!({ "Commands": [] })))]
#[case::no_list(Reply::Answer(json!({})))]
#[case::refused(Reply::Error(400, "InvalidCommandId", "unknown"))]
#[tokio::test]
async fn an_unknown_command_is_no_error(#[case] reply: Reply) {
    let (server, clients) = server_and_clients().await;
    server.script("ListCommands", [reply.clone()]);
    server.script("ListCommandInvocations", [reply]);
    assert!(clients.ssm.command(&id()).await.unwrap().is_none());
    assert_eq!(clients.ssm.invocations(&id(), Outputs::Listed).await.unwrap(), []);
}

#[rstest]
#[case::no_id("CommandId", "invalid response: command without a valid CommandId")]
#[case::no_date("RequestedDateTime", "invalid response: command without a valid RequestedDateTime")]
#[tokio::test]
async fn a_command_that_lacks_a_field_is_an_error_that_names_it(
    #[case] field: &str,
    #[case] expected: &str,
) {
    let (server, clients) = server_and_clients().await;
    let mut command = command_json();
    command.as_object_mut().unwrap().remove(field);
    server.script("ListCommands", [Reply::Answer(json!({ "Commands": [command] }))]);
    let error = clients.ssm.command(&id()).await.unwrap_err();
    assert_eq!((&*error.reason.to_string(), error.kind), (expected, CallErrorKind::Permanent));
}

#[tokio::test]
async fn values_of_the_future_are_kept_and_missing_ones_fall_back() {
    let (server, clients) = server_and_clients().await;
    let mut command = command_json();
    command["Status"] = json!("Paused");
    command["StatusDetails"] = json!("LidClosed");
    let mut bare = invocation_json(NODE);
    bare.as_object_mut().unwrap().remove("StatusDetails");
    server.script("ListCommands", [Reply::Answer(json!({ "Commands": [command] }))]);
    server
        .script("ListCommandInvocations", [Reply::Answer(json!({ "CommandInvocations": [bare] }))]);
    let command = clients.ssm.command(&id()).await.unwrap().unwrap();
    assert_eq!(command.status, Status::Other("Paused".into()));
    assert_eq!(command.status_details, StatusDetails::Other("LidClosed".into()));
    let invocations = clients.ssm.invocations(&id(), Outputs::Listed).await.unwrap();
    assert_eq!(invocations[0].status_details, StatusDetails::Failed);
}

#[tokio::test]
async fn invocations_are_read_page_by_page() {
    let (server, clients) = server_and_clients().await;
    let page = |node: &str, next: Value| {
        Reply::Answer(json!({ "CommandInvocations": [invocation_json(node)], "NextToken": next }))
    };
    server.script(
        "ListCommandInvocations",
        [
            page("i-00000001", json!("p2")),
            page("i-00000002", json!("p3")),
            page("mi-00000003", json!("")),
        ],
    );

    let invocations = clients.ssm.invocations(&id(), Outputs::Listed).await.unwrap();

    let nodes: Vec<_> = invocations.iter().map(|one| one.instance_id.as_str()).collect();
    assert_eq!(nodes, ["i-00000001", "i-00000002", "mi-00000003"]);
    let calls = server.calls("ListCommandInvocations");
    let first = json!({ "CommandId": COMMAND_ID, "Details": true, "MaxResults": 50 });
    assert_eq!(calls[0], first);
    assert_eq!(
        calls.iter().map(|call| &call["NextToken"]).collect::<Vec<_>>(),
        [&Value::Null, &json!("p2"), &json!("p3")]
    );
    let plugin = &invocations[0].plugins[0];
    assert_eq!((plugin.name.as_str(), plugin.response_code), ("runShellScript", Some(3)));
    assert_eq!(plugin.started_at.unwrap().to_string(), "2026-11-22T10:00:01.5Z");
    assert_eq!(plugin.ended_at.unwrap().to_string(), "2026-11-22T10:00:02.25Z");
    assert_eq!(plugin.output.stdout, "out");
    assert_eq!(plugin.output.stderr, "failed to run commands: exit status 3");
    assert_eq!(invocations[0].standard_output_url, "https://example.com/stdout");
}

#[tokio::test]
async fn pages_without_end_are_not_read_without_end() {
    let (server, clients) = server_and_clients().await;
    let page = json!({ "CommandInvocations": [], "NextToken": "again" });
    server.script("ListCommandInvocations", [Reply::Answer(page)]);
    let error = clients.ssm.invocations(&id(), Outputs::Beginnings).await.unwrap_err();
    assert!(error.is_final());
    assert!(error.to_string().contains("more than 800 pages of invocations"), "{error}");
    // Twice as many as full pages would take.
    assert_eq!(server.calls("ListCommandInvocations").len(), NODES_MAX as usize / 25);
}

#[tokio::test]
async fn whole_outputs_are_not_kept_without_end() {
    let (server, clients) = server_and_clients().await;
    let nodes = vec![invocation_json(NODE); 50];
    let page = json!({ "CommandInvocations": nodes, "NextToken": "again" });
    server.script("ListCommandInvocations", [Reply::Answer(page)]);
    let error = clients.ssm.invocations(&id(), Outputs::Listed).await.unwrap_err();
    assert!(error.is_final());
    assert!(error.to_string().contains("more than 2000 invocations of one command"), "{error}");
    // Twice as many as there should be, and the page that tells.
    let pages = LISTED_OUTPUTS_NODES_MAX as usize / 25 + 1;
    assert_eq!(server.calls("ListCommandInvocations").len(), pages);
}

/// What a read invocation holds on the heap, and itself, in bytes.
fn held_bytes(invocation: &Invocation) -> usize {
    let texts = |plugin: &Plugin| {
        let Plugin { name, output, .. } = plugin;
        name.capacity() + output.stdout.capacity() + output.stderr.capacity()
    };
    let plugins = invocation.plugins.capacity() * size_of::<Plugin>();
    size_of::<Invocation>()
        + invocation.instance_id.as_str().len()
        + invocation.standard_output_url.capacity()
        + invocation.standard_error_url.capacity()
        + plugins
        + invocation.plugins.iter().map(texts).sum::<usize>()
}

#[tokio::test]
async fn beginnings_of_outputs_fit_into_memory() {
    let (server, clients) = server_and_clients().await;
    let mut node = invocation_json(NODE);
    node["StandardOutputUrl"] = "u".repeat(300).into();
    node["StandardErrorUrl"] = "u".repeat(300).into();
    node["CommandPlugins"][0]["Output"] =
        format!("{}\n----------ERROR-------\n{}", "語".repeat(1_200), "語".repeat(1_200)).into();
    let page = json!({ "CommandInvocations": [node] });
    server.script("ListCommandInvocations", [Reply::Answer(page)]);

    let listed = clients.ssm.invocations(&id(), Outputs::Listed).await.unwrap();
    let beginnings = clients.ssm.invocations(&id(), Outputs::Beginnings).await.unwrap();

    let plugin = &beginnings[0].plugins[0];
    assert_eq!((plugin.response_code, plugin.output.truncated), (Some(3), true));
    assert_eq!(plugin.output.stdout, "語".repeat(64));
    assert_eq!(plugin.output.stderr, "語".repeat(64));
    // The functions have 256 MB. A report takes about as much again.
    let whole = held_bytes(&listed[0]) * NODES_MAX as usize;
    let kept = held_bytes(&beginnings[0]) * NODES_MAX as usize;
    assert!(whole > 150_000_000, "{whole} bytes, too many to keep");
    assert!(kept < 45_000_000, "{kept} bytes of {NODES_MAX} nodes");
}

#[tokio::test]
async fn one_node_is_read_by_its_id() {
    let (server, clients) = server_and_clients().await;
    let other = "ecs:cluster_task-7";
    let page = json!({ "CommandInvocations": [invocation_json(NODE), invocation_json(other)] });
    server.script("ListCommandInvocations", [Reply::Answer(page)]);
    let node = InstanceId::parse(other).unwrap();

    let read = clients.ssm.invocation(&id(), &node).await.unwrap().unwrap();

    assert_eq!((&read.instance_id, read.plugins[0].output.stdout.as_str()), (&node, "out"));
    assert_eq!(
        server.calls("ListCommandInvocations"),
        [
            json!({ "CommandId": COMMAND_ID, "InstanceId": other, "Details": true, "MaxResults": 50 })
        ]
    );
    server.script("ListCommandInvocations", [Reply::Answer(json!({}))]);
    assert_eq!(clients.ssm.invocation(&id(), &node).await, Ok(None));
}

/// What is worth another try, even if only after somebody corrects a policy, and what never is.
#[rstest]
#[case::throttled(Reply::Error(400, "ThrottlingException", "x"), false)]
#[case::denied(Reply::Error(400, "AccessDeniedException", "x"), false)]
#[case::expired(Reply::Error(400, "ExpiredTokenException", "x"), false)]
#[case::signature(Reply::Error(400, "InvalidSignatureException", "x"), false)]
#[case::stale_page(Reply::Error(400, "InvalidNextToken", "x"), false)]
#[case::garbage(Reply::Raw(200, "<html>"), false)]
#[case::new(Reply::Error(400, "NewException", "x"), false)]
#[case::invalid(Reply::Error(400, "ValidationException", "x"), true)]
#[case::no_id(Reply::Raw(200, r#"{"CommandInvocations":[{"InstanceId":""}]}"#), true)]
#[case::space(Reply::Raw(200, r#"{"CommandInvocations":[{"InstanceId":"i 1"}]}"#), true)]
#[tokio::test]
async fn a_read_fails_for_good_or_not(#[case] reply: Reply, #[case] is_final: bool) {
    let (server, clients) = server_and_clients().await;
    server.script("ListCommandInvocations", [reply]);
    let error = clients.ssm.invocations(&id(), Outputs::Listed).await.unwrap_err();
    assert_eq!(error.is_final(), is_final, "{error}");
}

#[tokio::test]
async fn a_full_output_is_read_by_step_name() {
    let (server, clients) = server_and_clients().await;
    let answer = json!({ "StandardOutputContent": "out", "StandardErrorContent": "err" });
    server.script("GetCommandInvocation", [Reply::Answer(answer)]);
    let node = InstanceId::parse(NODE).unwrap();
    let output = clients.ssm.output(&id(), &node, "runShellScript").await.unwrap();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out", "err"));
    assert!(!output.truncated && output.exact);
    assert_eq!(
        server.calls("GetCommandInvocation"),
        [json!({ "CommandId": COMMAND_ID, "InstanceId": NODE, "PluginName": "runShellScript" })]
    );
}

#[tokio::test]
async fn an_invocation_that_was_listed_and_is_not_found_is_worth_another_try() {
    let (server, clients) = server_and_clients().await;
    let reply = Reply::Error(400, "InvocationDoesNotExist", "none");
    server.script("GetCommandInvocation", [reply]);
    let node = InstanceId::parse(NODE).unwrap();
    let error = clients.ssm.output(&id(), &node, "runShellScript").await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Transient);
}

#[tokio::test]
async fn a_throttled_call_is_tried_again_by_the_client() {
    let (server, clients) = server_and_clients().await;
    let throttled = Reply::Error(400, "ThrottlingException", "Rate exceeded");
    let answer = Reply::Answer(json!({ "Commands": [command_json()] }));
    server.script("ListCommands", [throttled.clone(), throttled, answer]);
    assert!(clients.ssm.command(&id()).await.unwrap().is_some());
    assert_eq!(server.calls("ListCommands").len(), 3);
}

/// What a bad reply is told as, and after how many calls.
#[rstest]
#[case::throttled(
    Reply::Error(400, "ThrottlingException", "x"),
    "ThrottlingException",
    CallErrorKind::Transient,
    3
)]
#[case::too_many(
    Reply::Error(429, "TooManyRequestsException", "x"),
    "TooManyRequestsException",
    CallErrorKind::Transient,
    3
)]
#[case::service(
    Reply::Error(500, "InternalServerError", "x"),
    "InternalServerError",
    CallErrorKind::Transient,
    3
)]
#[case::unavailable(
    Reply::Raw(503, ""),
    "unexpected response with HTTP status 503",
    CallErrorKind::Transient,
    3
)]
#[case::refused(
    Reply::Error(400, "AccessDeniedException", "x"),
    "AccessDeniedException",
    CallErrorKind::Permanent,
    1
)]
#[case::invalid(
    Reply::Error(400, "ValidationException", "x"),
    "ValidationException",
    CallErrorKind::Permanent,
    1
)]
#[case::no_code(
    Reply::Raw(400, "<html>"),
    "unexpected response with HTTP status 400",
    CallErrorKind::Transient,
    1
)]
#[case::stalled(Reply::Stall, "timed out", CallErrorKind::Transient, 3)]
#[case::broken_off(
    Reply::BreakOff,
    "unexpected response with HTTP status 200",
    CallErrorKind::Transient,
    3
)]
#[case::closed(Reply::Close, "the request could not be sent", CallErrorKind::Transient, 3)]
#[tokio::test]
async fn a_bad_reply_is_sorted(
    #[case] reply: Reply,
    #[case] reason: &str,
    #[case] kind: CallErrorKind,
    #[case] calls: usize,
) {
    let (server, clients) = server_and_clients().await;
    server.script("ListCommands", [reply.clone()]);
    server.script("SendTaskSuccess", [reply]);
    let read = clients.ssm.command(&id()).await.unwrap_err();
    let answered = clients.step_functions.succeed(&token(), "{}").await.unwrap_err();
    for (error, operation) in [(read, "ListCommands"), (answered, "SendTaskSuccess")] {
        assert_eq!((&*error.reason.to_string(), error.kind), (reason, kind), "{operation}");
        assert_eq!(error.operation, operation);
        assert_eq!(server.calls(operation).len(), calls, "{operation}");
    }
}

#[tokio::test]
async fn a_read_that_is_answered_with_garbage_is_worth_another_try() {
    let (server, clients) = server_and_clients().await;
    server.script("ListCommands", [Reply::Raw(200, "<html>")]);
    let error = clients.ssm.command(&id()).await.unwrap_err();
    assert_eq!(error.reason, CallErrorReason::UnexpectedResponse(Some(200)));
    assert_eq!(error.kind, CallErrorKind::Transient);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_told() {
    let server = AwsServer::start().await;
    let endpoint_url = server.endpoint_url();
    drop(server);
    tokio::task::yield_now().await;
    let error = clients(endpoint_url).await.ssm.command(&id()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Transient);
    assert_eq!(error.reason, CallErrorReason::NotConnected, "{error:?}");
}

#[rstest]
#[case("TaskTimedOut", AnswerReceipt::AlreadyClosed)]
#[case("TaskDoesNotExist", AnswerReceipt::AlreadyClosed)]
#[case("InvalidToken", AnswerReceipt::TokenRejected)]
#[case("InvalidOutput", AnswerReceipt::OutputRejected)]
#[tokio::test]
async fn what_no_retry_mends_is_a_value(
    #[case] code: &'static str,
    #[case] expected: AnswerReceipt,
) {
    let (server, clients) = server_and_clients().await;
    for operation in ["SendTaskSuccess", "SendTaskFailure"] {
        server.script(operation, [Reply::Error(400, code, "message")]);
    }
    let tasks = &clients.step_functions;
    assert_eq!(tasks.succeed(&token(), "{}").await.unwrap(), expected);
    assert_eq!(tasks.fail(&token(), "RunCommand.Failed", "{}").await.unwrap(), expected);
    for operation in ["SendTaskSuccess", "SendTaskFailure"] {
        assert_eq!(server.calls(operation).len(), 1);
    }
}

#[tokio::test]
async fn an_answer_carries_token_output_error_and_cause() {
    let (server, clients) = server_and_clients().await;
    for operation in ["SendTaskSuccess", "SendTaskFailure"] {
        server.script(operation, [Reply::Answer(json!({}))]);
    }
    let tasks = &clients.step_functions;
    assert_eq!(tasks.succeed(&token(), r#"{"a":1}"#).await.unwrap(), AnswerReceipt::Accepted);
    assert_eq!(
        tasks.fail(&token(), "RunCommand.Failed", "cause").await.unwrap(),
        AnswerReceipt::Accepted
    );
    assert_eq!(
        server.calls("SendTaskSuccess"),
        [json!({ "taskToken": TOKEN, "output": r#"{"a":1}"# })]
    );
    assert_eq!(
        server.calls("SendTaskFailure"),
        [json!({ "taskToken": TOKEN, "error": "RunCommand.Failed", "cause": "cause" })]
    );
}

/// A service may quote the request in its answer, and a broken one may echo all of it.
#[rstest]
#[case::message(Reply::Error(400, "ValidationException", TOKEN))]
#[case::code(Reply::Raw(400, r#"{"__type":"no code: AAAAKgAAAAIAAAAAAAAAATokenOfTheWireTests"}"#))]
#[case::body(Reply::Raw(400, TOKEN))]
#[tokio::test]
async fn an_error_never_holds_the_token(#[case] reply: Reply) {
    let (server, clients) = server_and_clients().await;
    server.script("SendTaskFailure", [reply]);
    let answered = clients.step_functions.fail(&token(), "e", "c").await;
    let error: CallError = answered.unwrap_err();
    let printed = format!("{error} {error:?}");
    assert!(!printed.contains("TokenOfTheWireTests"), "{printed}");
    assert!(!server.calls("SendTaskFailure").is_empty());
}

#[tokio::test]
async fn warm_connections_are_those_that_the_first_calls_use() {
    let (server, clients) = server_and_clients().await;
    server.script("", [Reply::Raw(200, "healthy")]);
    server.script("ListCommands", [Reply::Answer(json!({}))]);
    server.script("ListCommandInvocations", [Reply::Answer(json!({}))]);
    server.script("SendTaskHeartbeat", [Reply::Answer(json!({}))]);
    clients.warm_up().await;
    assert_eq!(server.connections(), 3);

    let command_id = id();
    let reads =
        (clients.ssm.command(&command_id), clients.ssm.invocations(&command_id, Outputs::Listed));
    let (command, invocations) = tokio::join!(reads.0, reads.1);
    assert!(command.unwrap().is_none() && invocations.unwrap().is_empty());
    clients.step_functions.heartbeat(&token()).await.unwrap();
    assert_eq!(server.connections(), 3);
}

#[rstest]
#[case::answered(Reply::Raw(200, "healthy"))]
#[case::unknown(Reply::Error(404, "UnknownOperationException", "no"))]
#[case::broken(Reply::Raw(503, "<html>"))]
#[case::throttled(Reply::Error(400, "ThrottlingException", "slowly"))]
#[case::closed(Reply::Close)]
#[tokio::test]
async fn a_warm_up_calls_no_operation_and_tries_once(#[case] reply: Reply) {
    let (server, clients) = server_and_clients().await;
    server.script("", [reply]);
    clients.warm_up().await;
    assert_eq!(server.calls("").len(), 3);
    for operation in ["ListCommands", "SendTaskHeartbeat"] {
        assert!(server.calls(operation).is_empty(), "{operation}");
    }
}

#[tokio::test]
async fn a_warm_up_without_an_answer_ends_in_time() {
    let (server, clients) = server_and_clients().await;
    server.script("", [Reply::Stall]);
    let ended = tokio::time::timeout(Duration::from_secs(3), clients.warm_up()).await;
    assert!(ended.is_ok());
    // Nobody listens there.
    drop(server);
    clients.warm_up().await;
}

#[tokio::test]
async fn a_connection_that_answered_with_a_server_error_is_not_used_again() {
    let (server, clients) = server_and_clients().await;
    server.script("ListCommands", [Reply::Raw(503, ""), Reply::Answer(json!({}))]);
    assert!(clients.ssm.command(&id()).await.unwrap().is_none());
    assert_eq!(server.connections(), 2);
}

#[rstest]
#[case::of_amazon(false)]
#[case::of_the_store(true)]
#[tokio::test]
async fn a_server_is_trusted_if_its_authority_is(#[case] is_trusted: bool) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint_url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let accepted = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_ok()
    });

    let roots = if is_trusted { cert.pem() } else { AMAZON_ROOTS.to_owned() };
    let trust_store = TrustStore::empty().with_pem_certificate(roots);
    let clients = clients_that_trust(trust_store, endpoint_url).await;
    // Where TLS comes about, the server closes the connection and listens no more.
    let error = clients.ssm.command(&id()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Transient);
    assert_eq!(accepted.await.unwrap(), is_trusted);
}
