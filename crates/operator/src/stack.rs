//! The stack: what its outputs and parameters say about documents, state machines and functions.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_cloudformation::types;
use callback::Documents;
use jiff::Timestamp;

use crate::aws::Aws;
use crate::call::found;
use crate::problem::Problem;
use crate::shown::printable;

/// The outputs that only a Run Command Relay has, as `make deploy` checks them.
pub const OWN_OUTPUTS: [&str; 2] = ["RelayFunctionName", "SweepFunctionName"];
/// The outputs that name the documents of scripts.
const SCRIPT_DOCUMENTS: [&str; 2] =
    ["RunShellScriptDocumentName", "RunPowerShellScriptDocumentName"];
/// Number of Command documents of the stack itself, which come first in its list.
const OWN_DOCUMENTS: usize = SCRIPT_DOCUMENTS.len() + 1;
/// The outputs that name the Automation documents, if there are any.
const AUTOMATION_DOCUMENTS: [&str; 2] =
    ["RunCommandByInstanceIdsDocumentName", "RunCommandByTargetsDocumentName"];
const RUN_DOCUMENT: &str = "RunDocumentDocumentName";
/// The output with the state machine of the acceptance run, if the stack has it.
const CHECK_STATE_MACHINE: &str = "CheckStateMachineArn";

/// What CloudFormation says of any stack (CloudFormation API, `DescribeStacks`).
#[derive(Debug, Clone, Default)]
pub struct Described {
    /// Its ARN.
    pub id: String,
    /// Its state, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its outputs.
    pub outputs: HashMap<String, String>,
    /// Its parameters.
    pub parameters: HashMap<String, String>,
}

impl Described {
    /// Reads the stack of this name. `None` if there is none.
    pub async fn read(aws: &Aws, name: &str) -> Result<Option<Self>, Problem> {
        let answer = aws.cloudformation.describe_stacks().stack_name(name).send().await;
        // There is no other code for a stack that does not exist, or a name that is not valid.
        let answer = found("cloudformation:DescribeStacks", &["ValidationError"], answer)?;
        let stacks = answer.and_then(|answer| answer.stacks).unwrap_or_default();
        Ok(stacks.into_iter().next().map(Self::of))
    }

    fn of(stack: types::Stack) -> Self {
        let status = stack.stack_status.as_ref().map_or("", |status| status.as_str());
        let created_at = stack.creation_time;
        let outputs = stack.outputs.unwrap_or_default().into_iter();
        let parameters = stack.parameters.unwrap_or_default().into_iter();
        Self {
            status: printable(status),
            created_at: created_at.and_then(|time| Timestamp::from_second(time.secs()).ok()),
            outputs: outputs.filter_map(|one| Some((one.output_key?, one.output_value?))).collect(),
            parameters: parameters
                .filter_map(|one| Some((one.parameter_key?, one.parameter_value?)))
                .collect(),
            id: stack.stack_id.unwrap_or_default(),
        }
    }
}

/// A deployed stack.
#[derive(Debug)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// The documents whose commands it looks after.
    pub documents: Documents,
    /// The same as names or ARNs, as the stack lists them.
    pub document_names: Vec<String>,
    /// The names of its Automation documents. Empty if it has none.
    pub automation_documents: Vec<String>,
    /// Those of its own that run a script, and end it after `executionTimeout`.
    pub script_documents: Documents,
    /// The state machines whose tasks it may answer: ARNs, with `*` for any text.
    pub state_machines: Vec<String>,
    /// From one sweep to the next.
    pub sweep_interval: Duration,
    /// The function that answers tasks.
    pub relay: String,
    /// The queue of events that could not be handled.
    pub queue_url: String,
    /// Its state, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    parameters: HashMap<String, String>,
    outputs: HashMap<String, String>,
    partition: String,
    region: String,
    account: String,
}

impl Stack {
    /// Reads the stack of this name.
    pub async fn read(aws: &Aws, name: &str) -> Result<Self, Problem> {
        let described = Described::read(aws, name).await?.ok_or_else(|| {
            Problem::new(format!(
                "expected the name of a stack in {}, got `{}`, which does not exist there. Check \
                 --stack and --region, and the account of the credentials",
                aws.region(),
                printable(name)
            ))
        })?;
        Self::new(name, described)
    }

    /// The stack that is described so.
    fn new(name: &str, described: Described) -> Result<Self, Problem> {
        let Described { id, status, created_at, outputs, parameters } = described;
        let shown = printable(name);
        if !OWN_OUTPUTS.iter().all(|name| outputs.contains_key(*name)) {
            return Err(Problem::new(format!(
                "expected a stack of Run Command Relay, got `{shown}`, which has no output {}. Check \
                 --stack; if its deployment failed, run `make deploy`",
                OWN_OUTPUTS.join(" and no output ")
            )));
        }
        let output = |name: &str| {
            outputs.get(name).cloned().ok_or_else(|| {
                Problem::new(format!(
                    "expected an output {name} of stack {shown}, got none. Deploy this version"
                ))
            })
        };
        let ["arn", partition, "cloudformation", region, account, ..] =
            id.split(':').collect::<Vec<_>>()[..]
        else {
            return Err(Problem::new(format!("expected the ARN of stack {shown}, got none")));
        };
        let listed = |name: &str| -> Vec<String> {
            let values = parameters.get(name).map(String::as_str).unwrap_or_default();
            let values = values.split(',').map(str::trim).filter(|value| !value.is_empty());
            values.map(str::to_owned).collect()
        };
        let scripts = SCRIPT_DOCUMENTS.map(output).into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut names = scripts.clone();
        names.push(output(RUN_DOCUMENT)?);
        names.append(&mut listed("ExtraDocumentNames"));
        let prefix = Some(format!("arn:{partition}:ssm:{region}:{account}:document/"));
        let mut state_machines = listed("StateMachineArns");
        state_machines.extend(outputs.get(CHECK_STATE_MACHINE).cloned());
        let minutes = parameters.get("SweepIntervalMinutes").and_then(|text| text.parse().ok());
        let automations = AUTOMATION_DOCUMENTS.iter().filter_map(|name| outputs.get(*name));
        let automation_documents = automations.cloned().collect();
        let (relay, queue_url) = (output("RelayFunctionName")?, output("OnFailureQueueUrl")?);
        Ok(Self {
            name: name.to_owned(),
            documents: Documents::new(names.clone(), prefix.clone()),
            document_names: names,
            automation_documents,
            script_documents: Documents::new(scripts, prefix),
            state_machines,
            sweep_interval: Duration::from_mins(minutes.unwrap_or(1)),
            relay,
            queue_url,
            status,
            created_at,
            parameters,
            outputs,
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
        })
    }

    /// The value of a parameter. Empty if this version has no such parameter.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// The names of its documents that run a script.
    pub fn script_document_names(&self) -> &[String] {
        &self.document_names[..SCRIPT_DOCUMENTS.len()]
    }

    /// The documents of `ExtraDocumentNames`, as they are named there.
    pub fn extra_documents(&self) -> &[String] {
        self.document_names.get(OWN_DOCUMENTS..).unwrap_or_default()
    }

    /// The ARN of the on-failure queue.
    pub fn queue_arn(&self) -> String {
        self.arn("sqs", self.queue_url.rsplit('/').next().unwrap_or_default())
    }

    /// The region of the stack.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The ARN of something in the account and region of the stack.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition, self.region, self.account)
    }

    /// The account of the stack, and so of the credentials.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// One of its outputs. Some are there only with certain parameters.
    pub fn output(&self, name: &str) -> Option<&str> {
        self.outputs.get(name).map(String::as_str)
    }

    /// The ARN of the state machine of the acceptance run, if the stack has it.
    pub fn check_state_machine(&self) -> Option<&str> {
        self.output(CHECK_STATE_MACHINE)
    }

    /// Whether the stack may answer the tasks of this state machine, as its roles are granted it.
    pub fn answers(&self, state_machine_arn: &str) -> bool {
        let own = self.arn("states", "stateMachine:");
        state_machine_arn.starts_with(&own)
            && self.state_machines.iter().any(|pattern| {
                matches(pattern, state_machine_arn)
                    || matches(&format!("{pattern}/*"), state_machine_arn)
            })
    }
}

/// Whether a text matches a pattern in which `*` matches any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(begin) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A stack with these state machines.
    pub(crate) fn stack(state_machines: &str) -> Stack {
        stack_with(state_machines, &[])
    }

    /// The same, with these parameters instead.
    pub(crate) fn stack_with(state_machines: &str, changed: &[(&str, &str)]) -> Stack {
        let texts = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            pairs.collect::<HashMap<_, _>>()
        };
        let outputs = texts(&[
            (
                "CheckStateMachineArn",
                "arn:aws:states:eu-central-1:111122223333:stateMachine:relay-check",
            ),
            ("OnFailureQueueUrl", "https://queue"),
            ("RelayFunctionName", "relay"),
            ("RunDocumentDocumentName", "SfnRunDocument"),
            ("RunPowerShellScriptDocumentName", "SfnRunPowerShellScript"),
            ("RunShellScriptDocumentName", "SfnRunShellScript"),
            ("SweepFunctionName", "sweep"),
        ]);
        let mut parameters = texts(&[
            ("ExtraDocumentNames", "Own,Other"),
            ("StateMachineArns", state_machines),
            ("SweepIntervalMinutes", "5"),
            ("Architecture", "arm64"),
            ("NodeTagKey", "RunCommandRelay"),
            ("NodeTagValue", "allowed"),
            ("RelayEventAgeSeconds", "21600"),
            ("RelayMaxConcurrency", "20"),
            ("ReserveConcurrency", "true"),
        ]);
        parameters.extend(texts(changed));
        let id = "arn:aws:cloudformation:eu-central-1:111122223333:stack/relay/1".to_owned();
        let described = Described { id, outputs, parameters, ..Described::default() };
        Stack::new("relay", described).expect("a stack")
    }

    #[test]
    fn a_stack_is_read_from_its_outputs_and_parameters() {
        let stack = stack("*");
        assert_eq!(
            (stack.account(), stack.sweep_interval),
            ("111122223333", Duration::from_mins(5))
        );
        for name in ["SfnRunShellScript", "SfnRunDocument", "Own", "Other"] {
            assert!(stack.documents.include(name), "{name}");
        }
        assert!(stack.script_documents.include("SfnRunPowerShellScript"));
        assert!(!stack.script_documents.include("SfnRunDocument"));
    }

    #[test]
    fn it_answers_the_state_machines_that_its_roles_are_granted() {
        let arn = |rest: &str| format!("arn:aws:states:eu-central-1:111122223333:{rest}");
        let own = stack(&format!("{},{}", arn("stateMachine:one"), arn("stateMachine:ops-*")));
        for good in ["stateMachine:one", "stateMachine:one/label", "stateMachine:ops-two"] {
            assert!(own.answers(&arn(good)), "{good}");
        }
        assert!(!own.answers(&arn("stateMachine:two")));
        assert!(own.answers(&arn("stateMachine:relay-check")), "its own");
        assert!(stack("*").answers(&arn("stateMachine:two")));
        assert!(!stack("*").answers("arn:aws:states:us-east-1:111122223333:stateMachine:two"));
    }

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, text) in
            [("*", "x"), ("ops", "ops"), ("ops-*", "ops-"), ("a*c*e", "abcde"), ("*-x", "a-x-x")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("ops", "ops-"),
            ("ops-*", "dev-ops-"),
            ("ops-*-x", "ops-a-xb"),
            ("a*c*e", "abcd"),
            ("a*a", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
