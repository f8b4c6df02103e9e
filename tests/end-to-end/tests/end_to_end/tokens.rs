//! A task token never appears in what is logged or kept, however fine the logs are.

use std::fs;
use std::path::Path;

use aws_sdk_sfn::types::ExecutionStatus;
use end_to_end::secret::Secret;
use sandbox_client::{
    DOCUMENT_WITHOUT_TOKEN, NODES, Sandbox, event_of, recorded, task_token, unique_number,
};
use serde_json::{Value, json};

use crate::{borrowed, shell_task};

/// Which of these texts, by name, hold a token.
fn with_a_token<'a>(texts: &'a [(String, String)], tokens: &[String]) -> Vec<&'a str> {
    let secrets: Vec<_> = tokens.iter().map(|token| Secret::new(token)).collect();
    let holds = |text: &str| secrets.iter().any(|secret| secret.is_in(text));
    texts.iter().filter(|(_, text)| holds(text)).map(|(name, _)| name.as_str()).collect()
}

/// The logs in this directory, by name.
fn logs(directory: &Path) -> Vec<(String, String)> {
    let files = fs::read_dir(directory.join("logs")).expect("the directory of the logs");
    files
        .map(|file| {
            let path = file.expect("a log").path();
            let text = fs::read(&path).expect("a log can be read");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, String::from_utf8_lossy(&text).into_owned())
        })
        .collect()
}

/// Takes every way through the relay.
async fn every_flow(sandbox: &Sandbox) {
    let shell = async |change: fn(&mut Value), script: &[&str]| {
        let mut task = shell_task(&[NODES[0]], script);
        change(&mut task);
        sandbox.run_task(&task).await.status
    };
    let report = |task: &mut Value| {
        task["Parameters"]["Parameters"]["onFailure"] = json!(["Report"]);
    };
    let undelivered = async || {
        let mut nodes = sandbox.add_nodes(["undeliverable"]);
        nodes.push(NODES[1].to_owned());
        sandbox.run_task(&shell_task(&borrowed(&nodes), &["true"])).await.status
    };
    let statuses = tokio::join!(
        shell(|_| {}, &["echo hello"]),
        // An output that is cut and read again in full.
        shell(|_| {}, &["printf '%09000d' 0"]),
        shell(|_| {}, &["exit 3"]),
        shell(report, &["exit 3"]),
        undelivered(),
        already_closed(sandbox),
        token_rejected(sandbox),
        no_token(sandbox),
        unknown_command_and_no_event(sandbox),
        printed(sandbox),
    );
    let (hello, long, failed, reported, undelivered, ..) = statuses;
    assert_eq!([hello, long, reported], [const { ExecutionStatus::Succeeded }; 3]);
    assert_eq!([failed, undelivered], [const { ExecutionStatus::Failed }; 2]);
}

async fn already_closed(sandbox: &Sandbox) {
    let barrier = sandbox.barrier(NODES[2]);
    let execution = sandbox.start_task(&shell_task(&[NODES[2]], &[&barrier.line()])).await;
    let id = sandbox.commands_of(&execution).await.remove(0);
    let running = sandbox.command(&id).await;
    let mut of_node = event_of(&running, "Success");
    of_node["detail-type"] = json!("EC2 Command Invocation Status-change Notification");
    assert_eq!(sandbox.invoke_relay(&of_node).await.outcome(), "Running");
    sandbox.stop_execution(&execution).await;
    barrier.open();
    assert_eq!(sandbox.relay_outcomes_of(&id, 1).await.last().unwrap(), "Running");
    assert_eq!(sandbox.relay_outcomes_of(&id, 2).await, ["Running", "AlreadyClosed"]);
}

async fn token_rejected(sandbox: &Sandbox) {
    let token = format!("another-that-is-no-token-{}", unique_number());
    let parameters = [("commands", "true"), ("taskToken", token.as_str())];
    let id = sandbox.send_command("SfnRunShellScript", NODES[1], &parameters).await;
    assert_eq!(sandbox.relay_outcomes_of(&id, 1).await, ["TokenRejected"]);
}

async fn no_token(sandbox: &Sandbox) {
    sandbox.create_script_document(DOCUMENT_WITHOUT_TOKEN, &[]).await;
    let id = sandbox.send_command(DOCUMENT_WITHOUT_TOKEN, NODES[1], &[("commands", "true")]).await;
    assert_eq!(sandbox.relay_outcomes_of(&id, 1).await, ["NoToken"]);
}

/// A script that prints the token of its own task.
async fn printed(sandbox: &Sandbox) {
    let mut task = shell_task(&[NODES[1]], &[]);
    let parameters = task["Parameters"]["Parameters"].as_object_mut().expect("parameters");
    parameters.remove("commands");
    let line = "States.Array(States.Format('echo {}', $$.Task.Token))";
    parameters.insert("commands.$".to_owned(), json!(line));
    assert_eq!(sandbox.run_task(&task).await.status, ExecutionStatus::Succeeded);
}

/// Events with a real token in them that cannot be handled.
async fn unknown_command_and_no_event(sandbox: &Sandbox) {
    let execution = sandbox.start_task(&shell_task(&[NODES[1]], &["true"])).await;
    sandbox.execution_ended(&execution).await;
    let id = sandbox.commands_of(&execution).await.remove(0);
    let command = sandbox.command(&id).await;
    let token = task_token(&command).expect("a command of a task carries a token");
    let event = event_of(&command, "Success");
    let with = |field: &str, value: Value| {
        let mut event = event.clone();
        event[field] = value;
        event
    };
    let mut unknown = event.clone();
    unknown["detail"]["command-id"] = json!("00000000-0000-4000-8000-000000000000");
    assert_eq!(sandbox.invoke_relay(&unknown).await.outcome(), "CommandNotFound");
    for odd in [
        with("detail", json!({ "command-id": { "taskToken": token } })),
        with("detail", json!({ "command-id": [token] })),
        with("detail", json!({ "command-id": format!("taskToken={token}") })),
        with("detail", json!(format!("taskToken={token}"))),
        with("time", json!(token)),
        with("resources", json!({ token: token })),
    ] {
        let invoked = sandbox.invoke_relay(&odd).await;
        assert_eq!(invoked.outcome(), "InvalidEvent", "{invoked:?}");
        let payload = invoked.payload.to_string();
        assert!(!Secret::new(token).is_in(&payload), "an error tells a token");
    }
}

#[tokio::test]
async fn no_flow_shows_a_token_in_any_log_at_trace() {
    let sandbox = Sandbox::shared().await;
    assert_eq!(sandbox.relay_variables().await["LOG_LEVEL"], "trace");
    Box::pin(every_flow(&sandbox)).await;
    let commands = sandbox.commands().await;
    let tokens: Vec<_> = commands.iter().filter_map(task_token).map(str::to_owned).collect();
    assert!(tokens.len() >= 8, "{} commands carry a token", tokens.len());

    let log = sandbox.relay_log();
    assert!(log.len() >= 20, "the relay has logged {} lines", log.len());
    let mut texts = logs(sandbox.directory());
    let relay = texts.iter().find(|(name, _)| name == "run-command-relay-relay.log");
    assert!(relay.is_some_and(|(_, text)| !text.is_empty()), "the relay has a log");
    texts.push(("stdout and stderr of the sandbox".to_owned(), sandbox.words()));
    // The page, which also has what scripts print and what tasks get.
    let page = recorded(sandbox.ready()).await;
    for output in ["hello\n", "[task token]\n"] {
        assert!(page.iter().any(|entry| entry["stdout"] == output), "no output {output:?}");
    }
    texts.push(("the page".to_owned(), json!(page).to_string()));
    // What the functions got and have answered.
    let kept = sandbox.failed_events().await.into_iter();
    texts.extend(kept.map(|failed| ("the on-failure queue".to_owned(), failed.to_string())));
    assert_eq!(with_a_token(&texts, &tokens), [] as [&str; 0]);

    // The check sees a token where there is one, whole or in part, whichever it is.
    for token in &tokens {
        for text in
            [json!({ "message": token }).to_string(), format!("…{}", &token[token.len() - 16..])]
        {
            let planted = [("planted".to_owned(), format!("before\n{text}\nafter"))];
            assert_eq!(with_a_token(&planted, &tokens), ["planted"]);
        }
    }
}
