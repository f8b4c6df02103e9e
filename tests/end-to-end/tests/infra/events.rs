//! Which events the rules of the stack match: every file of `events/`, and every status.

use std::collections::BTreeMap;
use std::fs;

use sandbox_client::{ACCOUNT, REGION, Sandbox, workspace};
use serde_json::{Value, json};

use crate::{TEMPLATE, resources};

const COMMAND_ENDED: Option<&str> = Some("CommandEndedRule");
const EXECUTION_STOPPED: Option<&str> = Some("ExecutionStoppedRule");
/// The schedule makes this event itself: no pattern matches it.
const NONE: Option<&str> = None;

/// Each file of `events/`, and the rule that must match it.
const EVENT_FILES: [(&str, Option<&str>); 16] = [
    ("command-canceled", COMMAND_ENDED),
    ("command-cancelled", COMMAND_ENDED),
    ("command-failed", COMMAND_ENDED),
    ("command-in-progress", NONE),
    ("command-success", COMMAND_ENDED),
    ("command-success-parameters-absent", COMMAND_ENDED),
    ("command-success-parameters-object", COMMAND_ENDED),
    ("command-timed-out", COMMAND_ENDED),
    ("command-without-resources", COMMAND_ENDED),
    ("execution-aborted", EXECUTION_STOPPED),
    ("execution-failed", EXECUTION_STOPPED),
    ("execution-succeeded", NONE),
    ("execution-timed-out", EXECUTION_STOPPED),
    ("foreign-document", NONE),
    ("invocation-success", NONE),
    ("scheduled", NONE),
];

/// What Run Command says of a command, and whether it is an end.
const COMMAND_STATUSES: [(&str, bool); 13] = [
    ("Pending", false),
    ("InProgress", false),
    ("Delayed", false),
    ("Cancelling", false),
    ("Canceling", false),
    ("Success", true),
    ("Failed", true),
    ("TimedOut", true),
    ("Cancelled", true),
    ("Canceled", true),
    ("DeliveryTimedOut", true),
    ("Undeliverable", true),
    ("AnEndThatNobodyHasHeardOf", true),
];

/// What Step Functions says of an execution, and whether its commands are left alone by it.
const EXECUTION_STATUSES: [(&str, bool); 5] = [
    ("RUNNING", false),
    ("SUCCEEDED", false),
    ("FAILED", true),
    ("TIMED_OUT", true),
    ("ABORTED", true),
];

#[tokio::test]
async fn each_event_file_is_matched_by_its_rule_and_no_other() {
    let rules = Rules::of(Sandbox::shared().await).await;
    let directory = fs::read_dir(workspace().join("events")).expect("the directory of events");
    let mut names: Vec<_> = directory
        .map(|entry| entry.expect("a file").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    assert_eq!(names, EVENT_FILES.map(|(name, _)| name), "every file is in the table");
    for (name, rule) in EVENT_FILES {
        assert_eq!(rules.matching(&event_file(name)).await, Vec::from_iter(rule), "{name}");
    }
}

#[tokio::test]
async fn each_end_of_a_command_is_told_to_the_relay_and_nothing_else() {
    let rules = Rules::of(Sandbox::shared().await).await;
    let mut event = event_file("command-success");
    for (status, is_end) in COMMAND_STATUSES {
        event["detail"]["status"] = json!(status);
        let matched = rules.matching(&event).await;
        assert_eq!(matched, Vec::from_iter(COMMAND_ENDED.filter(|_| is_end)), "{status}");
    }
}

#[tokio::test]
async fn each_document_of_the_stack_is_known_to_the_rule() {
    let rules = Rules::of(Sandbox::shared().await).await;
    let mut event = event_file("command-success");
    for document in ["SfnRunShellScript", "SfnRunPowerShellScript", "SfnRunDocument"] {
        for (name, rule) in [
            (document.to_owned(), COMMAND_ENDED),
            (format!("arn:aws:ssm:{REGION}:{ACCOUNT}:document/{document}"), COMMAND_ENDED),
            (format!("arn:aws:ssm:{REGION}:{ACCOUNT}:document/Other{document}"), NONE),
            (format!("Other{document}"), NONE),
        ] {
            event["detail"]["document-name"] = json!(name);
            assert_eq!(rules.matching(&event).await, Vec::from_iter(rule), "{name}");
        }
    }
}

/// A bus may be given the events of other accounts, and of other regions.
#[tokio::test]
async fn events_of_other_accounts_and_regions_are_not_taken() {
    let rules = Rules::of(Sandbox::shared().await).await;
    for (name, rule) in
        [("command-success", COMMAND_ENDED), ("execution-aborted", EXECUTION_STOPPED)]
    {
        for (field, value, is_ours) in [
            ("account", ACCOUNT, true),
            ("account", "210987654321", false),
            ("region", REGION, true),
            ("region", "eu-west-3", false),
        ] {
            let mut event = event_file(name);
            event[field] = json!(value);
            let expected = Vec::from_iter(rule.filter(|_| is_ours));
            assert_eq!(rules.matching(&event).await, expected, "{name} of {field} {value}");
        }
    }
}

/// The limits of `ExtraDocumentNames`, as `infra/deploy.py` checks them.
pub(crate) const EXTRA_DOCUMENTS_MAX: usize = 20;
/// See [`EXTRA_DOCUMENTS_MAX`].
pub(crate) const EXTRA_DOCUMENTS_CHARACTERS_MAX: usize = 1_000;
/// The most characters of a pattern (EventBridge quotas).
const PATTERN_CHARACTERS_MAX: usize = 2_048;
/// The longest names of regions have 14 characters.
const LONGEST_REGION: &str = "ap-southeast-1";

#[test]
fn no_pattern_is_too_long_whatever_the_parameters_are() {
    let prefix =
        TEMPLATE["Parameters"]["DocumentNamePrefix"]["MaxLength"].as_u64().expect("a length");
    let prefix = "p".repeat(usize::try_from(prefix).expect("a length"));
    let extra = EXTRA_DOCUMENTS_CHARACTERS_MAX / EXTRA_DOCUMENTS_MAX;
    let extra = vec!["e".repeat(extra); EXTRA_DOCUMENTS_MAX];
    let documents: BTreeMap<_, _> = resources("AWS::SSM::Document")
        .map(|(id, document)| {
            let name = document["Name"]["Fn::Sub"].as_str().expect("a name");
            (id, name.replace("${DocumentNamePrefix}", &prefix))
        })
        .collect();
    let mut lengths = BTreeMap::new();
    for (id, rule) in
        resources("AWS::Events::Rule").filter(|(_, rule)| rule["EventPattern"].is_object())
    {
        let pattern = resolved(&rule["EventPattern"], &documents, &extra).to_string();
        assert!(!pattern.contains("Fn::") && !pattern.contains("${"), "{pattern}");
        lengths.insert(id, pattern.len());
    }
    println!("{lengths:?}");
    let ids: Vec<_> = lengths.keys().copied().map(Some).collect();
    assert_eq!(ids, [COMMAND_ENDED, EXECUTION_STOPPED]);
    let longest = lengths.values().max().expect("a rule");
    assert!((1_500..=PATTERN_CHARACTERS_MAX).contains(longest), "{lengths:?}");
    let readme = fs::read_to_string(workspace().join("infra/README.md")).expect("the README");
    assert!(readme.contains("20 documents with 1,000 characters together"), "the limit is told");
}

/// What `CloudFormation` makes of a pattern, with these names of documents.
fn resolved(value: &Value, documents: &BTreeMap<&str, String>, extra: &[String]) -> Value {
    let list = |value: &Value| match resolved(value, documents, extra) {
        Value::Array(items) => items,
        other => panic!("{other} is no list"),
    };
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    match value {
        Value::Object(members) if members.len() == 1 => {
            let (name, argument) = members.iter().next().expect("one");
            match name.as_str() {
                "Ref" => match argument.as_str().expect("a name") {
                    "AWS::AccountId" => json!(ACCOUNT),
                    "AWS::Region" => json!(LONGEST_REGION),
                    "ExtraDocumentNames" => json!(extra),
                    id => json!(documents[id]),
                },
                "Fn::Sub" => {
                    let name = argument.as_str().expect("a text");
                    json!(documents.iter().fold(name.to_owned(), |name, (id, value)| {
                        name.replace(&format!("${{{id}}}"), value)
                    }))
                }
                "Fn::If" => resolved(&argument[1], documents, extra),
                "Fn::Join" => {
                    let items: Vec<_> = list(&argument[1]).iter().map(text).collect();
                    json!(items.join(&text(&argument[0])))
                }
                "Fn::Split" => {
                    let joined = text(&resolved(&argument[1], documents, extra));
                    joined.split(&text(&argument[0])).collect()
                }
                _ => json!({ name.as_str(): resolved(argument, documents, extra) }),
            }
        }
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), resolved(member, documents, extra)))
            .collect(),
        Value::Array(items) => items.iter().map(|item| resolved(item, documents, extra)).collect(),
        scalar => scalar.clone(),
    }
}

#[tokio::test]
async fn each_bad_end_of_an_execution_is_told_to_the_sweep_and_nothing_else() {
    let rules = Rules::of(Sandbox::shared().await).await;
    let mut event = event_file("execution-aborted");
    for (status, is_bad) in EXECUTION_STATUSES {
        event["detail"]["status"] = json!(status);
        let matched = rules.matching(&event).await;
        assert_eq!(matched, Vec::from_iter(EXECUTION_STOPPED.filter(|_| is_bad)), "{status}");
    }
}

/// The patterns of the stack's rules, as `EventBridge` has them.
struct Rules {
    sandbox: Sandbox,
    patterns: BTreeMap<&'static str, String>,
}

impl Rules {
    async fn of(sandbox: Sandbox) -> Self {
        let listed = sandbox.call("events", "AWSEvents.ListRules", &json!({})).await;
        let listed = listed["Rules"].as_array().expect("a list of rules");
        let pattern_of = |id: &'static str| {
            let begin = format!("run-command-relay-{id}");
            let is_it =
                |rule: &&Value| rule["Name"].as_str().is_some_and(|name| name.starts_with(&begin));
            let rule = listed.iter().find(is_it).unwrap_or_else(|| panic!("{id} is not there"));
            (id, rule["EventPattern"].as_str().expect("a pattern").to_owned())
        };
        let ids = COMMAND_ENDED.into_iter().chain(EXECUTION_STOPPED);
        let patterns = ids.map(pattern_of).collect();
        Self { sandbox, patterns }
    }

    async fn matching(&self, event: &Value) -> Vec<&'static str> {
        let mut matching = Vec::new();
        for (id, pattern) in &self.patterns {
            let body = json!({ "EventPattern": pattern, "Event": event.to_string() });
            let answer = self.sandbox.call("events", "AWSEvents.TestEventPattern", &body).await;
            if answer["Result"].as_bool().expect("a yes or a no") {
                matching.push(*id);
            }
        }
        matching
    }
}

fn event_file(name: &str) -> Value {
    let path = workspace().join("events").join(format!("{name}.json"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
