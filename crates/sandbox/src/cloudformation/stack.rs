//! Deploys the project's CloudFormation template into moto, as a user would deploy it into AWS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::package::package;
use crate::aws::{CallError, Client};

/// The stack's name, which its functions' names begin with.
pub const STACK_NAME: &str = "run-command-relay";
const BUCKET: &str = "sandbox-code";
const BUCKET_PARAMETER: &str = "CodeBucket";
const ARCHITECTURE_PARAMETER: &str = "Architecture";
/// Everything in a sandbox belongs to its user, so the stack may answer every task unless it is told
/// otherwise.
const STATE_MACHINES: (&str, &str) = ("StateMachineArns", "*");
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
    /// The template does not declare a parameter that was given.
    #[error("--parameter: expected one of {}, got {name}", declared.join(", "))]
    UnknownParameter {
        /// The parameter.
        name: String,
        /// Those that may be given.
        declared: Vec<String>,
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

/// The stack as it was deployed.
#[derive(Debug, Serialize)]
pub struct Stack {
    /// Its name.
    pub name: &'static str,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
}

/// Deploys the template with these values of its parameters, and with the functions' binaries from
/// this directory.
pub async fn deploy(
    moto: &Client,
    template: &Path,
    given: &BTreeMap<String, String>,
    functions: &Path,
) -> Result<Stack, StackError> {
    let body = fs::read_to_string(template)
        .map_err(|source| StackError::Read { path: template.to_owned(), source })?;
    let declared = declared_parameters(moto, &body).await?;
    check_parameters(given, &declared)?;
    let own =
        [(BUCKET_PARAMETER, BUCKET), (ARCHITECTURE_PARAMETER, architecture()), STATE_MACHINES];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut parameters = BTreeMap::from(own);
    moto.put(&format!("/{BUCKET}"), Vec::new()).await?;
    for (parameter, binary) in FUNCTIONS {
        if declared.iter().any(|name| name == parameter) {
            let key = format!("{binary}.zip");
            let path = functions.join(binary);
            let package = package(path.clone()).await;
            let package = package.map_err(|source| StackError::Pack { path, source })?;
            moto.put(&format!("/{BUCKET}/{key}"), package).await?;
            parameters.insert(parameter.to_owned(), key);
        }
    }
    parameters.retain(|name, _| declared.contains(name));
    parameters.extend(given.clone());
    create_stack(moto, body, &parameters).await?;
    Ok(Stack { name: STACK_NAME, outputs: wait_until_created(moto).await? })
}

/// Refuses parameters that the template does not declare, and those that the sandbox sets itself.
fn check_parameters(
    given: &BTreeMap<String, String>,
    declared: &[String],
) -> Result<(), StackError> {
    let own = |name: &String| {
        name == BUCKET_PARAMETER
            || name == ARCHITECTURE_PARAMETER
            || FUNCTIONS.iter().any(|(parameter, _)| name == parameter)
    };
    let declared: Vec<String> = declared.iter().filter(|name| !own(name)).cloned().collect();
    match given.keys().find(|name| !declared.contains(name)) {
        Some(name) => Err(StackError::UnknownParameter { name: name.clone(), declared }),
        None => Ok(()),
    }
}

/// Sets the interval of the sweep to another one than the template's. Does nothing if the stack has
/// no sweep.
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

async fn declared_parameters(moto: &Client, body: &str) -> Result<Vec<String>, StackError> {
    const OPERATION: &str = "GetTemplateSummary";
    let parameters = [("TemplateBody".to_owned(), body.to_owned())];
    let xml = moto.query("cloudformation", OPERATION, &parameters).await?;
    texts(OPERATION, &xml, "ParameterKey")
}

async fn create_stack(
    moto: &Client,
    body: String,
    parameters: &BTreeMap<String, String>,
) -> Result<(), StackError> {
    let mut form = vec![
        ("StackName".to_owned(), STACK_NAME.to_owned()),
        ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM".to_owned()),
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

/// What Lambda calls this machine's architecture.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{check_parameters, texts};

    #[test]
    fn an_unknown_parameter_is_refused_with_those_that_may_be_given() {
        let declared = ["CodeBucket", "RelayCodeKey", "LogLevel", "Extra"].map(str::to_owned);
        let check = |name: &str| {
            check_parameters(&BTreeMap::from([(name.to_owned(), "x".to_owned())]), &declared)
        };
        assert!(check("LogLevel").is_ok());
        let error = check("Loglevel").unwrap_err().to_string();
        assert_eq!(error, "--parameter: expected one of LogLevel, Extra, got Loglevel");
        // The sandbox sets it.
        assert!(check("CodeBucket").is_err());
    }

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
