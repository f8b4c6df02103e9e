//! What the template says, and what its outputs are in a deployed stack.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use sandbox_client::{ACCOUNT, REGION, Sandbox, python_tool, workspace};
use serde_json::{Value, json};

use crate::{TEMPLATE, resources, succeed};

const STACK: &str = "run-command-relay";

#[test]
fn cfn_lint_finds_nothing() {
    let mut lint = Command::new(python_tool("cfn-lint"));
    succeed(lint.arg("--template").arg(workspace().join("infra/template.yaml")));
}

#[test]
fn it_fits_any_account_region_and_partition() {
    let text = fs::read_to_string(workspace().join("infra/template.yaml")).expect("the template");
    for (number, line) in (1..).zip(text.lines()) {
        for foreign in ["arn:aws", ".amazonaws.com.cn", "us-east", "us-west", "eu-", ACCOUNT] {
            assert!(!line.contains(foreign), "line {number} has {foreign}: {line}");
        }
        let digits = line.split(|character: char| !character.is_ascii_digit());
        let longest = digits.map(str::len).max().unwrap_or_default();
        assert!(longest < 12, "line {number} may hold an account: {line}");
    }
}

#[test]
fn every_parameter_has_a_default_but_the_bucket_and_the_state_machines() {
    let parameters = TEMPLATE["Parameters"].as_object().expect("parameters");
    let without = parameters.iter().filter(|(_, parameter)| parameter.get("Default").is_none());
    let without: Vec<_> = without.map(|(name, _)| name).collect();
    assert_eq!(without, ["CodeBucket", "StateMachineArns"]);
}

/// Free numbers have bounds, the rest has a pattern or allowed values.
#[test]
fn every_parameter_says_what_it_expects_and_refuses_the_rest() {
    let parameters = TEMPLATE["Parameters"].as_object().expect("parameters");
    for (name, parameter) in parameters {
        let has = |constraint: &str| parameter.get(constraint).is_some();
        let description = parameter["Description"].as_str().expect("a description");
        match parameter["Type"].as_str().expect("a type") {
            "Number" if has("AllowedValues") => {}
            "Number" => {
                assert!(has("MinValue"), "{name} has a least value");
                let unit = ["MB", "seconds", "hours", "events", "rate", "Number of"];
                assert!(
                    unit.iter().any(|unit| description.contains(unit)),
                    "{name}: {description}"
                );
            }
            "String" if has("AllowedValues") => {
                let values = parameter["AllowedValues"].as_array().expect("allowed values");
                for value in values.iter().filter_map(Value::as_str) {
                    assert!(description.contains(value), "{name} may be {value}: {description}");
                }
            }
            _ => {
                let pattern = parameter["AllowedPattern"].as_str();
                let pattern = pattern.unwrap_or_else(|| panic!("{name} has a pattern"));
                assert!(has("ConstraintDescription"), "{name} says what its pattern means");
                if let Some(default) = parameter["Default"].as_str() {
                    assert!(fits(pattern, default), "{name}: the default is refused");
                }
            }
        }
    }
}

#[test]
fn patterns_take_what_is_meant_and_refuse_the_rest() {
    for (name, good, bad) in PATTERNS {
        let pattern = TEMPLATE["Parameters"][*name]["AllowedPattern"].as_str().expect("a pattern");
        for value in *good {
            assert!(fits(pattern, value), "{name} takes {value}");
        }
        for value in *bad {
            assert!(!fits(pattern, value), "{name} refuses {value}");
        }
    }
}

/// Parameters, with values that their patterns take and refuse; of a list, single values.
const PATTERNS: &[(&str, &[&str], &[&str])] = &[
    (
        "StateMachineArns",
        &[
            "*",
            "arn:aws:states:eu-central-1:123456789012:stateMachine:ops-*",
            "arn:aws-cn:states:cn-north-1:123456789012:stateMachine:Nightly",
        ],
        &[
            "",
            "ops-*",
            "arn:aws:states:*:123456789012:stateMachine:x",
            "arn:aws:states:eu-central-1:*:stateMachine:x",
            "arn:aws:states:eu-central-1:123456789012:*",
            "arn:aws:states:eu-central-1:123456789012:stateMachine:x/y",
            "arn:aws:states:eu-central-1:123456789012:execution:x:y",
        ],
    ),
    ("ExtraDocumentNames", &["", "My-Doc", "arn:aws:ssm:x:1:document/My"], &["a", "a b", "\"x\""]),
    (
        "AutomationErrorName",
        &["", "x", "Automation document failure", "Own.Error_1:x-y"],
        &[" x", "x ", "a/b", "{{ taskToken }}", "ü"],
    ),
    ("DocumentNamePrefix", &["", "Relay-", "a.b_c"], &["aws-x", "AMAZON", "amzn", "a b", "a/b"]),
    ("CodeBucket", &["my-bucket", "a.b"], &["Bucket", "-x", "a_b"]),
    ("RelayCodeKey", &["relay.zip", "a/b-0.zip"], &["", "a b"]),
    (
        "AlarmTopicArn",
        &["", "arn:aws:sns:eu-central-1:123456789012:t"],
        &["t", "arn:aws:sns:x:1:t"],
    ),
    (
        "SubnetIds",
        &["", "subnet-0a1b2c3d", "subnet-0123456789abcdef0,subnet-0123456789abcdef1"],
        &["sg-0a1b2c3d", "subnet-0a1b2c3d,", "subnet-0a1b2c3d, subnet-0a1b2c3e", "subnet-x"],
    ),
    (
        "SecurityGroupIds",
        &["", "sg-0a1b2c3d", "sg-0123456789abcdef0,sg-0123456789abcdef1"],
        &["subnet-0a1b2c3d", ",sg-0a1b2c3d", "sg-0a1b2c3d sg-0a1b2c3e", "default"],
    ),
    (
        "PermissionsBoundaryArn",
        &["", "arn:aws:iam::123456789012:policy/a/b", "arn:aws-cn:iam::aws:policy/PowerUserAccess"],
        &["boundary", "arn:aws:iam::123456789012:role/r", "arn:aws:iam:x:123456789012:policy/p"],
    ),
    ("RolePath", &["/", "/relay/", "/a/b-c_d/"], &["", "relay", "/relay", "relay/", "//", "/a b/"]),
    (
        "KmsKeyArn",
        &[
            "",
            "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab",
        ],
        &["1234abcd", "alias/relay", "arn:aws:kms:eu-central-1:123456789012:alias/relay"],
    ),
    ("NodeTagKey", &["RunCommandRelay", "a b"], &["", "a\"b"]),
    ("NodeTagValue", &["", "allowed"], &["a\"b", "${x}"]),
];

/// Whether a pattern of CloudFormation matches the whole text. Python reads what Rust does not.
fn fits(pattern: &str, text: &str) -> bool {
    let program = "import re, sys; print(re.fullmatch(sys.argv[1], sys.argv[2]) is not None)";
    let mut python = Command::new(python_tool("python"));
    succeed(python.args(["-c", program, pattern, text])).trim() == "True"
}

#[test]
fn every_parameter_is_in_a_group() {
    let groups = &TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let mut grouped: Vec<_> = groups
        .as_array()
        .expect("groups of parameters")
        .iter()
        .flat_map(|group| group["Parameters"].as_array().expect("parameters of a group"))
        .filter_map(Value::as_str)
        .collect();
    grouped.sort_unstable();
    let parameters = TEMPLATE["Parameters"].as_object().expect("parameters");
    let mut declared: Vec<_> = parameters.keys().map(String::as_str).collect();
    declared.sort_unstable();
    assert_eq!(grouped, declared);
}

#[test]
fn every_parameter_and_output_is_in_the_documentation() {
    let readme = fs::read_to_string(workspace().join("infra/README.md")).expect("the README");
    let names = |section: &str| TEMPLATE[section].as_object().expect("names").keys();
    for name in names("Parameters").chain(names("Outputs")) {
        assert!(readme.contains(&format!("`{name}`")), "infra/README.md tells of {name}");
    }
}

#[test]
fn the_sweep_knows_the_documents_that_the_rule_knows() {
    let rule = &TEMPLATE["Resources"]["CommandEndedRule"]["Properties"]["EventPattern"];
    let [by_name, by_arn] = &rule["detail"]["$or"].as_array().expect("two ways")[..] else {
        panic!("{rule}");
    };
    let of_rule = &by_name["document-name"]["Fn::Split"][1];
    let sweep = &TEMPLATE["Resources"]["SweepFunction"]["Properties"]["Environment"];
    assert_eq!(*of_rule, sweep["Variables"]["DOCUMENT_NAMES"]);
    let ids = || {
        resources("AWS::SSM::Document")
            .filter(|(_, document)| document["DocumentType"] == "Command")
            .map(|(id, _)| id)
    };
    let command_documents = ids().map(|id| json!({ "Ref": id }));
    let by_arn = by_arn["document-name"].as_array().expect("a list of suffixes");
    assert_eq!(by_arn.len(), ids().count());
    for id in ids() {
        let suffix = json!({ "suffix": { "Fn::Sub": format!(":document/${{{id}}}") } });
        assert!(by_arn.contains(&suffix), "{suffix} is not among {by_arn:?}");
    }
    let names = of_rule["Fn::Join"][1][0]["Fn::Join"][1].as_array().expect("a list of names");
    for document in command_documents {
        assert!(names.contains(&document), "{document} is not among {names:?}");
    }
}

#[test]
fn the_two_shell_documents_differ_in_their_words_and_their_step_only() {
    let [shell, power_shell] =
        ["RunShellScriptDocument", "RunPowerShellScriptDocument"].map(document);
    let translated = shell
        .replace(
            "/parameters/commands/description=(Required) The shell script",
            "/parameters/commands/description=(Required) The PowerShell script",
        )
        .replace("Runs a shell script", "Runs a PowerShell script")
        .replace("SfnRunShellScript", "SfnRunPowerShellScript")
        .replace("aws:runShellScript", "aws:runPowerShellScript")
        .replace("=runShellScript", "=runPowerShellScript");
    assert_eq!(translated, power_shell);
}

#[test]
fn the_two_automation_documents_differ_in_how_they_choose_nodes_only() {
    let [by_ids, by_targets] =
        ["RunCommandByInstanceIdsDocument", "RunCommandByTargetsDocument"].map(document);
    let without_nodes = |lines: &str| -> Vec<String> {
        let is_of_nodes = |line: &&str| {
            [
                "/parameters/InstanceIds/",
                "/parameters/Targets/",
                "/inputs/InstanceIds=",
                "/inputs/Targets=",
                "/Content/description=",
            ]
            .iter()
            .any(|part| line.contains(part))
        };
        let lines = lines.lines().filter(|line| !is_of_nodes(line));
        lines.map(|line| line.replace("ByInstanceIds", "ByTargets")).collect()
    };
    assert_eq!(without_nodes(&by_ids), without_nodes(&by_targets));
    let chosen = |lines: &str| lines.lines().count() - without_nodes(lines).len();
    assert_eq!((chosen(&by_ids), chosen(&by_targets)), (4, 4), "{by_ids}\n{by_targets}");
}

/// Parameters of the same name are declared alike, wherever they stand: but the token, which an
/// Automation document leaves to the Command document.
#[test]
fn parameters_of_the_same_name_are_declared_alike() {
    let mut declared: BTreeMap<(&str, &str), (&str, Value)> = BTreeMap::new();
    let mut compared = 0;
    for (id, properties) in resources("AWS::SSM::Document") {
        let kind = properties["DocumentType"].as_str().expect("a type");
        let parameters = properties["Content"]["parameters"].as_object().expect("parameters");
        for (name, parameter) in parameters {
            let mut parameter = parameter.clone();
            if name.eq_ignore_ascii_case("commands") {
                parameter.as_object_mut().expect("a declaration").remove("description");
            }
            let first = declared.entry((kind, name)).or_insert_with(|| (id, parameter.clone()));
            assert_eq!(first.1, parameter, "{name} of {id} and {}", first.0);
            compared += usize::from(first.0 != id);
        }
    }
    assert!(compared >= 15, "{compared}");
    let pattern = |kind| &declared[&(kind, "executionTimeout")].1["allowedPattern"];
    assert_eq!(pattern("Command"), pattern("Automation"));
    // What the stack gives the failures of its automations is a name that the documents take.
    let error_name = &TEMPLATE["Parameters"]["AutomationErrorName"];
    let of_document = &declared[&("Command", "errorName")].1;
    assert_eq!(error_name["MaxLength"], of_document["maxChars"]);
    let (_, good, bad) =
        PATTERNS.iter().find(|(name, ..)| *name == "AutomationErrorName").expect("it");
    let of_document = of_document["allowedPattern"].as_str().expect("a pattern");
    assert!(good.iter().all(|name| fits(of_document, name)));
    assert!(bad.iter().filter(|name| name.trim() == **name).all(|name| !fits(of_document, name)));
}

/// The properties of a document of the template, a line each: the path and the value.
fn document(id: &str) -> String {
    fn write(path: &str, value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                members
                    .iter()
                    .for_each(|(name, value)| write(&format!("{path}/{name}"), value, lines));
            }
            Value::Array(items) => {
                (0..)
                    .zip(items)
                    .for_each(|(at, item): (usize, _)| write(&format!("{path}/{at}"), item, lines));
            }
            Value::String(text) => lines.push(format!("{path}={text}")),
            value => lines.push(format!("{path}={value}")),
        }
    }
    let mut lines = Vec::new();
    write("", &TEMPLATE["Resources"][id]["Properties"], &mut lines);
    lines.join("\n")
}

#[test]
fn the_queue_is_encrypted_and_closed_and_logs_end() {
    let (_, queue) = resources("AWS::SQS::Queue").next().expect("a queue");
    // SQS's own key, or that of the user: one of both.
    let off = json!({ "Ref": "AWS::NoValue" });
    let own = json!({ "Fn::If": ["HasKmsKey", off, true] });
    let users = json!({ "Fn::If": ["HasKmsKey", { "Ref": "KmsKeyArn" }, off] });
    assert_eq!((&queue["SqsManagedSseEnabled"], &queue["KmsMasterKeyId"]), (&own, &users));
    let (_, policy) = resources("AWS::SQS::QueuePolicy").next().expect("a policy of the queue");
    for statement in policy["PolicyDocument"]["Statement"].as_array().expect("statements") {
        let for_everybody = statement["Principal"] == "*";
        assert!(!for_everybody || statement["Effect"] == "Deny", "{statement}");
    }
    let groups: Vec<_> = resources("AWS::Logs::LogGroup").collect();
    assert_eq!(groups.len(), 2);
    for (id, group) in groups {
        assert_eq!(group["RetentionInDays"], json!({ "Ref": "LogRetentionDays" }), "{id}");
    }
}

#[tokio::test]
async fn a_deployed_stack_has_its_outputs() {
    let sandbox = Sandbox::shared().await;
    let described = sandbox.aws_cli(&["cloudformation", "describe-stacks", "--stack-name", STACK]);
    let outputs = described["Stacks"][0]["Outputs"].as_array().expect("outputs").iter();
    let outputs: BTreeMap<_, _> = outputs
        .map(|output| (&output["OutputKey"], &output["OutputValue"]))
        .filter_map(|(key, value)| Some((key.as_str()?, value.as_str()?)))
        .collect();
    let declared = TEMPLATE["Outputs"].as_object().expect("outputs").keys();
    let mut declared: Vec<_> = declared.map(String::as_str).collect();
    declared.sort_unstable();
    assert_eq!(outputs.keys().copied().collect::<Vec<_>>(), declared);

    let document = |name: &str| format!("arn:aws:ssm:{REGION}:{ACCOUNT}:document/{name}");
    let documents =
        ["SfnRunShellScript", "SfnRunPowerShellScript", "SfnRunDocument"].map(document).join(",");
    let expected = [
        ("RunShellScriptDocumentName", "SfnRunShellScript"),
        ("RunPowerShellScriptDocumentName", "SfnRunPowerShellScript"),
        ("RunDocumentDocumentName", "SfnRunDocument"),
        ("RunCommandByInstanceIdsDocumentName", "SfnRunCommandByInstanceIds"),
        ("RunCommandByTargetsDocumentName", "SfnRunCommandByTargets"),
        ("SendCommandResource", "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken"),
        ("DocumentArns", documents.as_str()),
        ("RelayFunctionName", "run-command-relay-relay"),
        ("SweepFunctionName", "run-command-relay-sweep"),
        ("DashboardName", "run-command-relay-us-east-1"),
    ];
    for (key, value) in expected {
        assert_eq!(outputs[key], value, "{key}");
    }
    for policy in ["StartCommandsPolicyArn", "StartAutomationsPolicyArn"] {
        sandbox.aws_cli(&["iam", "get-policy", "--policy-arn", outputs[policy]]);
    }
}
