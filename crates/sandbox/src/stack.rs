//! Deploys the project's CloudFormation template into moto, and creates the state machines beside
//! it, in the way a user would deploy them into AWS.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Cursor, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::time::sleep;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    ACCOUNT,
    aws::{CallError, Client, STATES},
};

/// The stack's name, which its functions' names begin with.
pub const STACK_NAME: &str = "run-command-relay";
const BUCKET: &str = "sandbox-code";
/// The parameters of the template that take a function's code, with the function's binary.
const FUNCTIONS: [(&str, &str); 2] = [("RelayCodeKey", "relay"), ("SweepCodeKey", "sweep")];
const POLLS_MAX: u32 = 600;
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// Why the stack could not be deployed.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A file could not be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A function's deployment package could not be made.
    #[error("packing {path}")]
    Pack {
        /// The function's program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An answer is not the XML that the API's description says.
    #[error("{operation}: the answer is not XML")]
    Xml {
        /// What was called.
        operation: &'static str,
        /// Why.
        source: roxmltree::Error,
    },
    /// The stack was not created.
    #[error("stack {STACK_NAME}: {status}\n  {reasons}")]
    Failed {
        /// How it ended.
        status: String,
        /// What CloudFormation says about it, line by line.
        reasons: String,
    },
}

/// What was deployed.
#[derive(Debug, Default)]
pub struct Stack {
    /// The stack's outputs.
    pub outputs: BTreeMap<String, String>,
    /// The state machines' ARNs by name.
    pub state_machines: BTreeMap<String, String>,
}

/// Deploys the template with the functions' binaries from this directory.
pub async fn deploy(
    moto: &Client,
    template: &Path,
    functions: &Path,
) -> Result<BTreeMap<String, String>, StackError> {
    let body = fs::read_to_string(template)
        .map_err(|source| StackError::Read { path: template.to_owned(), source })?;
    let declared = declared_parameters(moto, &body).await?;
    let mut parameters = vec![
        ("CodeBucket".to_owned(), BUCKET.to_owned()),
        ("Architecture".to_owned(), architecture().to_owned()),
    ];
    moto.put(&format!("/{BUCKET}"), Vec::new()).await?;
    for (parameter, binary) in FUNCTIONS {
        if declared.iter().any(|name| name == parameter) {
            let key = format!("{binary}.zip");
            let package = package(functions.join(binary)).await?;
            moto.put(&format!("/{BUCKET}/{key}"), package).await?;
            parameters.push((parameter.to_owned(), key));
        }
    }
    parameters.retain(|(name, _)| declared.contains(name));
    create_stack(moto, body, &parameters).await?;
    wait_until_created(moto).await
}

/// Tells the sweep how often it runs, where that is not what the template says. Nothing, if the
/// stack has no sweep.
pub async fn set_sweep_interval(moto: &Client, seconds: u64) -> Result<(), StackError> {
    const OPERATION: &str = "UpdateFunctionConfiguration";
    let path = format!("/2015-03-31/functions/{STACK_NAME}-sweep/configuration");
    let read = moto.get("lambda", "GetFunctionConfiguration", &path).await?;
    let Some(mut configuration) = read else { return Ok(()) };
    let mut environment = configuration["Environment"].take();
    environment["Variables"]["SWEEP_INTERVAL_SECONDS"] = seconds.to_string().into();
    let body = json!({ "Environment": environment });
    Ok(moto.put_json("lambda", OPERATION, &path, &body).await?)
}

/// Creates a state machine of each file `NAME.asl.json` in this directory.
pub async fn create_state_machines(
    moto: &Client,
    directory: &Path,
) -> Result<BTreeMap<String, String>, StackError> {
    let unreadable = |source| StackError::Read { path: directory.to_owned(), source };
    let mut created = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let file_name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = file_name.and_then(|name| name.strip_suffix(".asl.json")) else {
            continue;
        };
        let definition = fs::read_to_string(&path)
            .map_err(|source| StackError::Read { path: path.clone(), source })?;
        let body = json!({
            "name": name,
            "definition": definition,
            "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/sandbox-state-machines"),
        });
        let answer = moto.json(STATES, "CreateStateMachine", &body).await?;
        let arn = answer["stateMachineArn"].as_str().unwrap_or_default();
        created.insert(name.to_owned(), arn.to_owned());
    }
    Ok(created)
}

async fn declared_parameters(moto: &Client, body: &str) -> Result<Vec<String>, StackError> {
    const OPERATION: &str = "GetTemplateSummary";
    let parameters = [("TemplateBody".to_owned(), body.to_owned())];
    let xml = moto.query("cloudformation", OPERATION, &parameters).await?;
    texts(OPERATION, &xml, "ParameterKey")
}

async fn create_stack(
    moto: &Client,
    body: String,
    parameters: &[(String, String)],
) -> Result<(), StackError> {
    let mut form = vec![
        ("StackName".to_owned(), STACK_NAME.to_owned()),
        ("Capabilities.member.1".to_owned(), "CAPABILITY_NAMED_IAM".to_owned()),
        ("TemplateBody".to_owned(), body),
    ];
    for (number, (name, value)) in (1..).zip(parameters) {
        let member = format!("Parameters.member.{number}");
        form.push((format!("{member}.ParameterKey"), name.clone()));
        form.push((format!("{member}.ParameterValue"), value.clone()));
    }
    moto.query("cloudformation", "CreateStack", &form).await?;
    Ok(())
}

async fn wait_until_created(moto: &Client) -> Result<BTreeMap<String, String>, StackError> {
    const OPERATION: &str = "DescribeStacks";
    let name = [("StackName".to_owned(), STACK_NAME.to_owned())];
    let mut status = String::new();
    for _ in 0..POLLS_MAX {
        let xml = moto.query("cloudformation", OPERATION, &name).await?;
        status = texts(OPERATION, &xml, "StackStatus")?.pop().unwrap_or_default();
        if status == "CREATE_COMPLETE" {
            let names = texts(OPERATION, &xml, "OutputKey")?;
            let values = texts(OPERATION, &xml, "OutputValue")?;
            return Ok(names.into_iter().zip(values).collect());
        }
        if !status.ends_with("_IN_PROGRESS") {
            break;
        }
        sleep(POLL_PAUSE).await;
    }
    let xml = moto.query("cloudformation", "DescribeStackEvents", &name).await?;
    let reasons = texts("DescribeStackEvents", &xml, "ResourceStatusReason")?;
    let reasons = reasons.join("\n  ");
    Err(StackError::Failed { status, reasons })
}

/// The texts of all elements of this name, in the order of the document.
fn texts(operation: &'static str, xml: &str, name: &str) -> Result<Vec<String>, StackError> {
    let document =
        roxmltree::Document::parse(xml).map_err(|source| StackError::Xml { operation, source })?;
    let elements = document.descendants().filter(|node| node.tag_name().name() == name);
    Ok(elements.map(|node| node.text().unwrap_or_default().to_owned()).collect())
}

/// A deployment package: the program as `bootstrap`.
async fn package(program: PathBuf) -> Result<Vec<u8>, StackError> {
    let path = program.clone();
    let packed = tokio::task::spawn_blocking(move || {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        // Not compressed: it travels within one machine.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .unix_permissions(0o755);
        archive.start_file("bootstrap", options).map_err(io::Error::other)?;
        archive.write_all(&fs::read(&program)?)?;
        archive.finish().map(Cursor::into_inner).map_err(io::Error::other)
    })
    .await;
    packed
        .unwrap_or_else(|panic| Err(io::Error::other(panic)))
        .map_err(|source| StackError::Pack { path, source })
}

/// What Lambda calls this machine's architecture.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn texts_are_found_in_any_namespace() {
        let xml = r#"<R xmlns="http://x/"><m><OutputKey>A</OutputKey></m><m><OutputKey/></m></R>"#;
        assert_eq!(texts("DescribeStacks", xml, "OutputKey").expect("XML"), ["A", ""]);
    }

    #[test]
    fn what_is_no_xml_is_an_error() {
        assert!(texts("DescribeStacks", "no", "OutputKey").is_err());
    }
}
