//! The parameters of the documents in `infra/template.yaml`: each is refused by its declaration, or
//! reaches the script, or the command that an automation starts, as what it is.
//!
//! No script of an input is run. The node has one program, which stands for both shells: it prints
//! its working directory and the script that it was given. A script that names an interpreter of
//! its own would get it, so each begins with a comment.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, pending, ready};
use sandbox_automation::{Account, Automation, Service};
use sandbox_run_command::api::ApiError;
use sandbox_run_command::documents::{Document, Documents};
use sandbox_run_command::parameter_store::{ParameterStore, StoredParameter};
use sandbox_run_command::{NodeFile, RunCommand, Settings, create_node};
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

use crate::parts;

const NODE: &str = "i-0123456789abcdef0";
const ROLE: &str = "arn:aws:iam::123456789012:role/SSMSyncRole";
/// Stands for `sh` and for `pwsh`: the script is the last argument.
const SHELL: &str = "#!/bin/sh\npwd\nfor script; do :; done\nexec /bin/cat \"$script\"\n";
/// The first line of every script.
const FIRST_LINE: &str = "# not run";
/// A standard output of so many bytes is cut.
const STDOUT_BYTES_MAX: usize = 24_000;
/// What the agent keeps of it then, without its mark of a cut.
const STDOUT_BYTES_KEPT: usize = 23_980;
/// How long a command or an automation may take: a hang is a failure.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A document and what is given for its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Such as `SfnRunShellScript`.
    pub document: String,
    /// Every value is a list of texts.
    pub parameters: BTreeMap<String, Vec<String>>,
}

impl Request {
    /// Reads an input: its first part is the document's name. Each other part is one value of a
    /// parameter, whose name is the first line.
    pub fn from_bytes(input: &[u8]) -> Self {
        let input = String::from_utf8_lossy(input);
        let parts = parts(input.as_bytes());
        let mut parts = parts.iter().map(|part| std::str::from_utf8(part).unwrap_or_default());
        let document = parts.next().unwrap_or_default().trim().to_owned();
        let mut parameters = BTreeMap::<String, Vec<String>>::new();
        for part in parts {
            let (name, value) = part.split_once('\n').unwrap_or((part, ""));
            parameters.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        Self { document, parameters }
    }

    fn values(&self, name: &str) -> &[String] {
        self.parameters.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The value, or the default where nothing is given.
    fn value<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.values(name).first().map_or(default, String::as_str)
    }
}

/// Sends the request, and compares what the script, or the command, gets.
pub fn check(request: &Request) {
    match request.document.as_str() {
        "SfnRunShellScript" | "SfnRunPowerShellScript" => {
            let mut request = request.clone();
            if let Some(lines) = request.parameters.get_mut("commands") {
                lines.insert(0, FIRST_LINE.to_owned());
            }
            let lines = request.values("commands").to_vec();
            check_command(&request, Some(&lines), request.value("workingDirectory", ""));
        }
        "SfnRunDocument" => check_nested(request),
        "SfnRunCommandByInstanceIds" | "SfnRunCommandByTargets" => check_automation(request),
        _ => {}
    }
}

fn check_nested(request: &Request) {
    // One of ours inside would hold a script one level deeper, and without its first line.
    if request.value("documentName", "").contains("Sfn") {
        return;
    }
    let mut request = request.clone();
    let mut lines = None;
    let mut working_directory = String::new();
    if let Some(texts) = request.parameters.get_mut("documentParameters") {
        for text in texts {
            let Ok(mut nested) = serde_json::from_str::<Map<String, Value>>(text) else { continue };
            lines = nested.get_mut("commands").and_then(begin_with_a_comment);
            working_directory = match nested.get("workingDirectory") {
                Some(Value::String(text)) => text.clone(),
                None => String::new(),
                Some(_) => return,
            };
            *text = Value::Object(nested).to_string();
        }
    }
    check_command(&request, lines.as_deref(), &working_directory);
}

/// Puts the first line before the lines of a nested script. All of them, when they are texts.
fn begin_with_a_comment(commands: &mut Value) -> Option<Vec<String>> {
    if !commands.is_array() {
        *commands = json!([commands.take()]);
    }
    let lines = commands.as_array_mut()?;
    lines.insert(0, FIRST_LINE.into());
    lines.iter().map(|line| line.as_str().map(str::to_owned)).collect()
}

/// Sends a Command document to the node. `lines` is the script, where the document runs one.
fn check_command(request: &Request, lines: Option<&[String]>, working_directory: &str) {
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    let (run_command, mut events) = place.run_command();
    let body = json!({
        "DocumentName": request.document,
        "InstanceIds": [NODE],
        "Parameters": request.parameters,
    });
    let body = body.to_string();
    let sent = place.runtime.block_on(run_command.call("SendCommand", body.as_bytes()));
    assert_eq!(sent.is_ok(), is_good(request), "{sent:?} for {request:?}");
    match sent {
        Ok(sent) => {
            assert_eq!(sent["Command"]["Parameters"], json!(request.parameters));
            let id = sent["Command"]["CommandId"].as_str().expect("a command has an id");
            let invocation = place.runtime.block_on(ended(&run_command, &mut events, id));
            place.check_script(request, &invocation, lines, working_directory);
        }
        Err(error) => check_refusal(request, &error, "InvalidParameters"),
    }
    place.clear();
}

/// A refusal names a parameter and quotes no value that could be a token.
fn check_refusal(request: &Request, error: &ApiError, code: &str) {
    assert_eq!(error.code, code, "{error}");
    let (_, named) = error.message.split_once("Parameter ").expect("the message names a parameter");
    let is_known = |name: &str| request.parameters.contains_key(name);
    let is_named =
        DOCUMENTS.parameters(&request.document).iter().any(|name| named.starts_with(*name));
    let is_given = request.parameters.keys().any(|name| named.starts_with(name.as_str()));
    assert!(is_named || is_given, "{error}");
    for token in request.values("taskToken").iter().filter(|token| token.len() >= 40) {
        assert!(!error.message.contains(token) || is_known(token), "a refusal quotes the token");
    }
}

async fn ended(run_command: &RunCommand, events: &mut UnboundedReceiver<Value>, id: &str) -> Value {
    let end = async {
        while let Some(event) = events.recv().await {
            let of_command = event["detail-type"] == "EC2 Command Status-change Notification";
            let status = event["detail"]["status"].as_str().unwrap_or_default();
            if of_command && !["Pending", "InProgress"].contains(&status) {
                break;
            }
        }
    };
    timeout(WAIT_MAX, end).await.expect("the command ends");
    let body = json!({ "CommandId": id, "InstanceId": NODE }).to_string();
    let invocation = run_command.call("GetCommandInvocation", body.as_bytes()).await;
    invocation.expect("the node ran the command")
}

/// What the declarations in the template take, in other words than theirs.
fn is_good(request: &Request) -> bool {
    let given = |name: &str| request.parameters.contains_key(name);
    let declared = DOCUMENTS.parameters(&request.document);
    let is_automation = request.document.starts_with("SfnRunCommand");
    let one = |name: &str, is_good: &dyn Fn(&str) -> bool| match request.values(name) {
        [] => !given(name),
        // The agent knows what it stands for, and checks that.
        [text] if !is_automation && has_reference(text) => true,
        [text] => is_good(text),
        _ => false,
    };
    let token = |text: &str| {
        is_automation
            || (text.len() <= 2_048
                && !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_graphic()))
    };
    let seconds = |text: &str| is_number(text, 5..=172_800);
    let bytes = |text: &str| is_number(text, 2_048..=262_144);
    let delivery = |text: &str| is_number(text, 30..=2_592_000);
    let error_name = |text: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b" _.:-".contains(&byte);
        text.len() <= 256 && text.bytes().all(is_part)
    };
    let directory = |text: &str| is_automation || text.chars().count() <= 4_096;
    let name = |text: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
        (3..=200).contains(&text.len()) && text.bytes().all(is_part)
    };
    let map = |text: &str| serde_json::from_str::<Map<String, Value>>(text).is_ok();
    let maps = |texts: &[String]| texts.iter().all(|text| map(text));
    let required = match request.document.as_str() {
        "SfnRunDocument" => ["documentName", "taskToken"].as_slice(),
        "SfnRunCommandByInstanceIds" => &["Commands", "InstanceIds", "taskToken"],
        "SfnRunCommandByTargets" => &["Commands", "Targets", "taskToken"],
        _ => &["commands", "taskToken"],
    };
    request.parameters.keys().all(|name| declared.contains(&name.as_str()))
        && required.iter().all(|name| given(name))
        && one("taskToken", &token)
        && one("executionTimeout", &seconds)
        && one("workingDirectory", &directory)
        && one("onFailure", &|text| ["Fail", "Report"].contains(&text))
        && one("onAbandon", &|text| ["Cancel", "Continue"].contains(&text))
        && one("outputBytes", &bytes)
        && one("errorName", &error_name)
        && one("shell", &|text| ["Shell", "PowerShell"].contains(&text))
        && one("deliveryTimeout", &delivery)
        && one("documentName", &name)
        // JSON, YAML, or what the agent refuses.
        && one("documentParameters", &|_| true)
        && maps(request.values("Targets"))
}

/// Whether a text is one of these numbers, written in the only way.
fn is_number(text: &str, allowed: RangeInclusive<u32>) -> bool {
    let number = text.parse::<u32>().ok();
    number.is_some_and(|number| allowed.contains(&number) && number.to_string() == text)
}

/// Whether a text refers to Parameter Store, in which nothing is kept here.
fn has_reference(text: &str) -> bool {
    let is_name =
        |character: char| character.is_ascii_alphanumeric() || "/_.:-".contains(character);
    text.match_indices("{{").any(|(start, braces)| {
        let inside = text[start + braces.len()..].trim_start_matches(' ');
        inside.strip_prefix("ssm:").is_some_and(|name| {
            let rest = name.trim_start_matches(is_name);
            rest.len() < name.len() && rest.trim_start_matches(' ').starts_with("}}")
        })
    })
}

/// Automation with the documents of the template, and the calls that it makes.
fn automation(
    answers_send_command: AnswersSendCommand,
) -> (Automation, UnboundedReceiver<(String, Value)>) {
    let (calls, called) = mpsc::unbounded_channel();
    let settings = sandbox_automation::Settings {
        region: "eu-central-1".to_owned(),
        account: "123456789012".to_owned(),
    };
    let account = Arc::new(NotingAccount { calls, answers_send_command });
    (Automation::new(settings, Arc::clone(&*DOCUMENTS) as _, account), called)
}

/// Cancels an automation while it starts the command, and looks at what it does then: it must fail the
/// task.
pub fn check_cancelled(request: &Request) {
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    let (automation, mut called) = automation(AnswersSendCommand::Never);
    let body = json!({ "DocumentName": request.document, "Parameters": request.parameters });
    let body = body.to_string();
    place.runtime.block_on(async {
        let started = automation.call("StartAutomationExecution", body.as_bytes()).await;
        let started = started.expect("the automation starts");
        let mut next = async || {
            let call = timeout(WAIT_MAX, called.recv()).await.expect("the automation goes on");
            call.expect("the automation has a step")
        };
        assert_eq!(next().await.0, "SendCommand");
        automation
            .call("StopAutomationExecution", started.to_string().as_bytes())
            .await
            .expect("the automation is cancelled");
        let (operation, mut failure) = next().await;
        assert_eq!(operation, "SendTaskFailure");
        let cause = failure["cause"].take();
        let cause = cause.as_str().expect("a cause");
        let id = started["AutomationExecutionId"].as_str().expect("an id");
        assert!(cause.contains(id) && cause.contains("was cancelled"), "{cause}");
        let token = request.value("taskToken", "");
        assert_eq!(
            failure,
            json!({ "taskToken": token, "error": "RunCommand.StartFailed", "cause": null })
        );
    });
}

/// Starts an automation, and looks at the command that it starts.
fn check_automation(request: &Request) {
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    let (automation, mut called) = automation(AnswersSendCommand::AtOnce);
    let body = json!({ "DocumentName": request.document, "Parameters": request.parameters });
    let body = body.to_string();
    place.runtime.block_on(async {
        let started = automation.call("StartAutomationExecution", body.as_bytes()).await;
        assert_eq!(started.is_ok(), is_good(request), "{started:?} for {request:?}");
        if let Err(error) = started {
            return check_refusal(request, &error, "InvalidAutomationExecutionParametersException");
        }
        let call = timeout(WAIT_MAX, called.recv()).await.expect("the automation goes on");
        let (operation, body) = call.expect("the automation has a step");
        assert_eq!(operation, "SendCommand");
        assert_eq!(body, started_command(request));
    });
}

/// What the automation documents promise to start.
fn started_command(request: &Request) -> Value {
    let timeout = request.value("deliveryTimeout", "3600");
    let mut command = json!({
        "DocumentName": format!("SfnRun{}Script", request.value("shell", "Shell")),
        "TimeoutSeconds": timeout.parse::<u32>().expect("it was accepted"),
        "Parameters": {
            "commands": request.values("Commands"),
            // Two quote characters are a directory that the agent ignores.
            "workingDirectory": [request.value("workingDirectory", "\"\"")],
            "executionTimeout": [request.value("executionTimeout", "3600")],
            "taskToken": [request.value("taskToken", "")],
            "errorName": [""],
        },
    });
    if request.document == "SfnRunCommandByTargets" {
        let target = |text: &String| serde_json::from_str::<Value>(text).expect("it was accepted");
        command["Targets"] = request.values("Targets").iter().map(target).collect();
    } else {
        command["InstanceIds"] = json!(request.values("InstanceIds"));
    }
    command
}

/// An account in which every call is noted, and succeeds if it is answered.
struct NotingAccount {
    calls: UnboundedSender<(String, Value)>,
    answers_send_command: AnswersSendCommand,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AnswersSendCommand {
    AtOnce,
    Never,
}

impl Account for NotingAccount {
    fn call(
        &self,
        _service: Service,
        operation: &str,
        body: Value,
    ) -> BoxFuture<'static, Result<Value, ApiError>> {
        // Nobody listens any more once the first call has been seen.
        let _ = self.calls.send((operation.to_owned(), body));
        if operation == "SendCommand" && self.answers_send_command == AnswersSendCommand::Never {
            return Box::pin(pending());
        }
        Box::pin(ready(Ok(json!({ "Command": { "CommandId": "x" } }))))
    }

    fn has_role(&self, arn: &str) -> BoxFuture<'static, Result<bool, String>> {
        Box::pin(ready(Ok(arn == ROLE)))
    }

    fn under_role(
        self: Arc<Self>,
        _arn: &str,
        _id: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn Account>, String>> {
        Box::pin(ready(Ok(self as Arc<dyn Account>)))
    }
}

/// The place where commands run: one node, used by one check after the other.
static PLACE: LazyLock<Mutex<Place>> = LazyLock::new(|| Mutex::new(Place::new()));

struct Place {
    runtime: Runtime,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        create_node(directory.path(), NODE, &NodeFile::default()).expect("a node");
        let place = Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime of one thread"),
            directory,
        };
        fs::create_dir(place.programs()).expect("a directory of programs");
        for name in ["sh", "pwsh"] {
            let program = place.programs().join(name);
            fs::write(&program, SHELL).expect("a program");
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&program, mode).expect("a program that can be run");
        }
        place
    }

    fn run_command(&self) -> (RunCommand, UnboundedReceiver<Value>) {
        let path = self.programs().display().to_string();
        let settings = Settings {
            directory: self.directory.path().to_owned(),
            region: "eu-central-1".to_owned(),
            account: "123456789012".to_owned(),
            read_lag: Duration::ZERO,
            // The last one of a name counts, so no other program is found.
            environment: vec![("PATH".to_owned(), path)],
            seed: 0,
        };
        let (events, received) = mpsc::unbounded_channel();
        let documents = Arc::clone(&*DOCUMENTS) as _;
        let (parameters, observer) = (Arc::new(NoParameters), Arc::new(()));
        (RunCommand::new(settings, documents, parameters, events, observer), received)
    }

    fn programs(&self) -> PathBuf {
        self.home().join("bin")
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("nodes").join(NODE)
    }

    fn check_script(
        &self,
        request: &Request,
        invocation: &Value,
        lines: Option<&[String]>,
        working_directory: &str,
    ) {
        let stdout = invocation["StandardOutputContent"].as_str().expect("a text");
        let home = self.home().canonicalize().expect("the node is there");
        let Some(directory) = directory_on(&home, working_directory) else {
            assert_eq!((&invocation["Status"], stdout), (&json!("Failed"), ""), "{request:?}");
            return;
        };
        if request.parameters.values().flatten().any(|text| has_reference(text)) {
            // The agent refuses the document. In the name of a nested parameter, none is looked for.
            let is_refused = (&invocation["Status"], stdout) == (&json!("Failed"), "");
            assert!(is_refused || request.document == "SfnRunDocument", "{request:?}");
            return;
        }
        if invocation["Status"] == "Failed" {
            // A nested document that is not there, or does not take its parameters.
            assert_eq!(request.document, "SfnRunDocument", "{invocation} of {request:?}");
            assert_eq!(stdout, "", "{invocation}");
            return;
        }
        assert_eq!(invocation["Status"], "Success", "{invocation} of {request:?}");
        let Some(lines) = lines else { return };
        let script: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let expected = format!("{}\n{script}", directory.display());
        if expected.len() < STDOUT_BYTES_MAX {
            assert_eq!(stdout, expected, "{request:?}");
        } else {
            let kept = &expected[..expected.floor_char_boundary(STDOUT_BYTES_KEPT)];
            assert!(stdout.starts_with(kept), "{stdout}");
        }
    }

    /// Removes what the check left in the node, and sees that it left nothing elsewhere.
    fn clear(&self) {
        for entry in fs::read_dir(self.home()).expect("the node is there") {
            let entry = entry.expect("an entry");
            if !["node.json", "bin"].contains(&&*entry.file_name().to_string_lossy()) {
                fs::remove_dir_all(entry.path()).expect("only directories are made");
            }
        }
        let names = |directory: &Path| -> Vec<_> {
            let entries = fs::read_dir(directory).expect("it is there");
            let mut names: Vec<_> =
                entries.map(|entry| entry.expect("an entry").file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(self.directory.path()), ["nodes"]);
        assert_eq!(names(&self.directory.path().join("nodes")), [NODE]);
    }
}

/// Where a working directory is on the node: the agent's own unless it is absolute; `None` where the
/// node has no such directory.
fn directory_on(home: &Path, wanted: &str) -> Option<PathBuf> {
    if !wanted.starts_with('/') {
        return Some(home.to_owned());
    }
    let mut names: Vec<&OsStr> = Vec::new();
    for component in Path::new(wanted).components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            _ => {}
        }
    }
    let mut directory = home.to_owned();
    directory.extend(&names);
    directory.is_dir().then_some(directory)
}

/// The documents of the template.
static DOCUMENTS: LazyLock<Arc<TemplateDocuments>> =
    LazyLock::new(|| Arc::new(TemplateDocuments::read()));

struct TemplateDocuments(BTreeMap<String, Document>);

impl TemplateDocuments {
    fn read() -> Self {
        let template = include_str!("../../../infra/template.yaml");
        let template: Yaml = serde_yaml_ng::from_str(template).expect("the template is YAML");
        let resources = template["Resources"].as_mapping().expect("it has resources");
        let documents =
            resources.values().filter(|resource| resource["Type"] == "AWS::SSM::Document");
        let documents = documents.map(|resource| {
            let properties = &resource["Properties"];
            let text = |name: &str| resolved(&properties[name]).as_str().map(str::to_owned);
            let name = text("Name").expect("a document has a name");
            let document_type = text("DocumentType").expect("a document has a type");
            let content = resolved(&properties["Content"]);
            (name.clone(), Document { name, document_type, content })
        });
        Self(documents.collect())
    }

    /// The parameters that a document declares.
    fn parameters(&self, document: &str) -> Vec<&str> {
        let declared =
            self.0.get(document).and_then(|document| document.content["parameters"].as_object());
        declared.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }
}

/// A Parameter Store in which nothing is kept.
struct NoParameters;

impl ParameterStore for NoParameters {
    fn parameters(
        &self,
        _names: Vec<String>,
    ) -> BoxFuture<'static, Result<BTreeMap<String, StoredParameter>, String>> {
        Box::pin(ready(Ok(BTreeMap::new())))
    }
}

impl Documents for TemplateDocuments {
    fn document(
        &self,
        name: &str,
        _version: Option<&str>,
    ) -> BoxFuture<'static, Result<Option<Document>, String>> {
        Box::pin(ready(Ok(self.0.get(name).cloned())))
    }
}

/// What CloudFormation makes of a value, with the default parameters: of its functions those that
/// the documents use.
fn resolved(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Tagged(tagged) => {
            let text = tagged.value.as_str().unwrap_or_default();
            match tagged.tag.to_string().as_str() {
                "!Sub" => text.replace("${DocumentNamePrefix}", "").into(),
                "!Ref" if text == "RunShellScriptDocument" => "SfnRunShellScript".into(),
                "!Ref" if text == "AutomationErrorName" => "".into(),
                "!GetAtt" if text == "SSMSyncRole.Arn" => ROLE.into(),
                "!If" if tagged.value[0] == "HasAutomationErrorName" => resolved(&tagged.value[2]),
                other => panic!("the documents use {other} {text}, which is not known here"),
            }
        }
        Yaml::Sequence(items) => items.iter().map(resolved).collect(),
        Yaml::Mapping(members) => members
            .iter()
            .map(|(name, value)| (name.as_str().unwrap_or_default().to_owned(), resolved(value)))
            .collect(),
        scalar => serde_json::to_value(scalar).expect("a scalar is JSON"),
    }
}
