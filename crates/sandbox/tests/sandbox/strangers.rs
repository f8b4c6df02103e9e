//! Nobody but its owner uses the sandbox: no page in the owner's browser, no other user of the
//! machine, and no script that looks for more than the owner's files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::header::HOST;
use reqwest::{Method, Response, StatusCode};
use sandbox::aws::SSM;
use serde_json::{Value, json};

use crate::running::{OWNERS_SECRET, Running, python, shared};

const EVIL: &str = "http://evil.example";
const SEND_COMMAND: &str = r#"{"DocumentName":"AWS-RunShellScript","InstanceIds":["i-00000000000000001"],"Parameters":{"commands":["touch stranger"]}}"#;
/// A user who owns nothing.
const NOBODY: u32 = 65_534;

/// What a browser or another program asks, which knows the address and nothing else.
fn ask(method: Method, path: &str) -> reqwest::RequestBuilder {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    client.request(method, format!("{}{path}", shared().running.endpoint()))
}

/// The same with the key, as if a page had learned it.
fn ask_with_key(method: Method, path: &str) -> reqwest::RequestBuilder {
    shared().running.client().request(method, path, "ssm")
}

async fn refused(request: reqwest::RequestBuilder, reason: &str) {
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    no_cors(&response);
    let said = response.text().await.expect("a text");
    assert!(said.contains("AccessDenied") && said.contains(reason), "{said}");
}

fn no_cors(response: &Response) {
    let cors = response.headers().keys().find(|name| name.as_str().starts_with("access-control"));
    assert_eq!(cors, None);
}

fn nothing_ran() {
    let node = shared().running_directory().join("nodes/i-00000000000000001");
    assert!(!node.join("stranger").exists());
}

#[tokio::test]
async fn a_page_cannot_ask_first() {
    let preflight = ask(Method::OPTIONS, "/")
        .header("origin", EVIL)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-amz-target");
    refused(preflight, "web pages are not let in").await;
}

#[tokio::test]
async fn a_page_cannot_send_a_command_even_with_the_key() {
    let send = |origin: (&'static str, &'static str)| {
        ask_with_key(Method::POST, "/")
            .header("x-amz-target", "AmazonSSM.SendCommand")
            .header(origin.0, origin.1)
            .body(SEND_COMMAND)
    };
    refused(send(("origin", EVIL)), "expected no Origin header").await;
    refused(send(("sec-fetch-site", "cross-site")), "expected no Sec-Fetch-Site header").await;
    refused(send(("sec-fetch-site", "same-site")), "expected no Sec-Fetch-Site header").await;
    nothing_ran();
}

#[tokio::test]
async fn a_page_cannot_record_and_replay() {
    for path in ["/moto-api/recorder/upload-recording", "/moto-api/recorder/replay-recording"] {
        for request in [ask(Method::POST, path), ask_with_key(Method::POST, path)] {
            let request = request.header("content-type", "text/plain").body(SEND_COMMAND);
            refused(request, "/moto-api is not an API of AWS").await;
        }
    }
    nothing_ran();
    assert!(!Path::new("moto_recording").exists());
}

#[tokio::test]
async fn a_name_that_was_made_to_lead_here_is_refused() {
    let rebound = ask_with_key(Method::GET, "/").header(HOST, "evil.example:5000");
    refused(rebound, "expected the host 127.0.0.1:").await;
}

#[tokio::test]
async fn the_emulator_cannot_be_emptied() {
    let client = shared().running.client();
    client.put("/a-bucket-that-stays", Vec::new()).await.expect("a bucket");
    let reset = ask_with_key(Method::POST, "/moto-api/reset");
    refused(reset, "/moto-api is not an API of AWS").await;
    let bucket = client.request(Method::HEAD, "/a-bucket-that-stays", "s3").send().await;
    assert_eq!(bucket.expect("an answer").status(), StatusCode::OK);
}

#[tokio::test]
async fn who_does_not_know_the_key_is_told_where_it_is() {
    let request = ask(Method::POST, "/").header("x-amz-target", "AmazonSSM.SendCommand");
    refused(request.body(SEND_COMMAND), "target/sandbox.env").await;
    nothing_ran();
}

#[tokio::test]
async fn the_emulators_own_port_is_closed_too() {
    let port = moto_port();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let paths = ["/", "/moto-api/reset", "/moto-api/lambda-code/us-east-1/obedient"];
    for (path, method) in paths.into_iter().zip([Method::OPTIONS, Method::POST, Method::GET]) {
        let request = client
            .request(method, format!("http://127.0.0.1:{port}{path}"))
            .header("origin", EVIL)
            .header("access-control-request-headers", "x-amz-target");
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
        no_cors(&response);
    }
}

/// The port that moto was started with.
fn moto_port() -> u16 {
    let launcher = shared().running_directory().join("moto/moto_launcher.py").display().to_string();
    let processes = fs::read_dir("/proc").expect("the processes").flatten();
    let words = processes.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    let found = words.filter(|words| words.contains(&launcher)).find_map(|words| {
        words.split('\0').skip_while(|word| *word != "--port").nth(1)?.parse().ok()
    });
    found.expect("moto runs")
}

#[tokio::test]
async fn the_code_of_a_function_is_fetched_from_its_location() {
    let client = shared().running.client();
    let function = client.get("lambda", "GetFunction", "/2015-03-31/functions/obedient").await;
    let function = function.expect("an answer").expect("the function");
    let location = function["Code"]["Location"].as_str().expect("a location");
    let anybody = reqwest::Client::builder().no_proxy().build().expect("a client");
    let fetch = |location: String| anybody.get(location).send();
    let code = fetch(location.to_owned()).await.expect("an answer");
    assert_eq!(code.status(), StatusCode::OK);
    assert!(code.bytes().await.expect("the code").starts_with(b"PK"));
    let (unsigned, _) = location.split_once('?').expect("a signature");
    let refused = fetch(unsigned.to_owned()).await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn events_are_for_the_function_that_was_started_for_them() {
    let running = &shared().running;
    let next = next_invocation(running).await;
    let stranger = reqwest::Client::builder().no_proxy().build().expect("a client");
    let taken = stranger.get(&next).send().await.expect("an answer");
    assert_eq!(taken.status(), StatusCode::FORBIDDEN);
    let answered = next.replace("/next", "/some-id/response");
    let answered = stranger.post(answered).body("{}").send().await.expect("an answer");
    assert_eq!(answered.status(), StatusCode::FORBIDDEN);
    // The function itself goes on.
    assert_eq!(invoke(running, json!({ "a": 1 })).await, json!({ "echo": { "a": 1 } }));
}

/// Where the running function asks for its next event.
async fn next_invocation(running: &Running) -> String {
    let environment = invoke(running, json!({ "do": "environment" })).await;
    let api = environment["AWS_LAMBDA_RUNTIME_API"].as_str().expect("an address").to_owned();
    format!("http://{api}/2018-06-01/runtime/invocation/next")
}

async fn invoke(running: &Running, event: Value) -> Value {
    let path = "/2015-03-31/functions/obedient/invocations";
    let request = running.client().request(Method::POST, path, "lambda").body(event.to_string());
    request.send().await.expect("an answer").json().await.expect("JSON")
}

#[tokio::test]
async fn another_user_of_the_machine_gets_nothing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: nobody else can be asked here");
        return;
    }
    let running = &shared().running;
    let as_nobody = |program: &str, arguments: &[&str]| -> Output {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).output().expect(program)
    };
    let status = |arguments: &[&str]| {
        let quiet = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
        let output = as_nobody("curl", &[&quiet, arguments].concat());
        String::from_utf8(output.stdout).expect("a status")
    };
    let target = ["--header", "x-amz-target: AmazonSSM.SendCommand"];
    assert_eq!(
        status(&[&target[..], &["--data", SEND_COMMAND, running.endpoint()]].concat()),
        "403"
    );
    nothing_ran();
    assert_eq!(status(&[&next_invocation(running).await]), "403");

    let directory = shared().running_directory().display().to_string();
    let env_file = running.process.env_file().display().to_string();
    assert!(as_nobody("id", &[]).status.success());
    assert!(!as_nobody("ls", &[&directory]).status.success());
    assert!(!as_nobody("cat", &[&env_file]).status.success());
}

#[test]
fn what_is_written_is_for_the_owner_alone() {
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(shared().running_directory()), 0o700);
    let process = &shared().running.process;
    assert_eq!(mode(&process.env_file()), 0o600);
    assert_eq!(mode(&process.ready_file()), 0o600);
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let start = || {
        let output = Command::new(env!("CARGO_BIN_EXE_sandbox"))
            .args(["up", "--port", "0", "--directory"])
            .arg(directory.path())
            .arg("--python")
            .arg(python())
            .output()
            .expect("the sandbox");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("a mode");
    let said = start();
    assert!(said.contains("expected one that only you may write to, got mode 777"), "{said}");
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        std::os::unix::fs::chown(directory.path(), Some(NOBODY), None).expect("another owner");
        let said = start();
        assert!(said.contains("expected one of yours, got one of user 65534"), "{said}");
        assert_eq!(fs::metadata(directory.path()).expect("it is there").uid(), NOBODY);
    }
}

#[tokio::test]
async fn a_script_finds_no_secret_of_the_owner_above_itself() {
    let running = &shared().running;
    // Above the guard are those who started the tests, whose environment is theirs.
    let walk = "p=$$; n=0; while [ $n -lt 3 ]; do \
                tr '\\0' '\\n' < /proc/$p/environ | sed \"s/^/$n /\"; n=$((n+1)); \
                p=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$p/status); done";
    let client = running.client();
    let node = "i-00000000000000001";
    let body = json!({
        "DocumentName": "AWS-RunShellScript", "InstanceIds": [node],
        "Parameters": { "commands": [walk] },
    });
    let sent = client.json(SSM, "SendCommand", &body).await.expect("a command");
    let invocation = json!({ "CommandId": sent["Command"]["CommandId"], "InstanceId": node });
    let mut said = None;
    for _ in 0..200 {
        let answer = client.json(SSM, "GetCommandInvocation", &invocation).await;
        let answer = answer.unwrap_or_default();
        if answer["Status"] == "Success" {
            said = answer["StandardOutputContent"].as_str().map(str::to_owned);
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let said = said.expect("the script ended");
    // The script itself, the sandbox, and its guard: each was read, and has a PATH and no secret.
    for level in 0..3 {
        assert!(said.contains(&format!("{level} PATH=")), "{said}");
    }
    assert!(!said.contains(OWNERS_SECRET), "{said}");
}
