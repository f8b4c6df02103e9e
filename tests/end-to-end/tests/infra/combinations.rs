//! The template deploys in each combination of its parameters that matters: at first, after an update
//! that switches them off or on, beside other stacks, and in a second region.

use std::collections::BTreeMap;
use std::fs;

use end_to_end::{READ_AGAIN, architecture};
use sandbox_client::{ACCOUNT, NODES, REGION, Sandbox, unique_number, workspace};
use serde_json::{Value, json};

use crate::deploy_script::{aws_cli, fail};

/// Another region of the account.
const OTHER_REGION: &str = "eu-west-1";
/// A boundary that an account demands. The sandbox creates the policy.
const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/guardrails/boundary";

/// A stack with this name, in the region of the sandbox unless another one is given. It runs the code
/// that the sandbox has uploaded for its own stack.
#[derive(Clone)]
struct Stack<'a> {
    sandbox: &'a Sandbox,
    name: String,
    region: &'a str,
    bucket: String,
}

impl<'a> Stack<'a> {
    fn new(sandbox: &'a Sandbox, kind: &str) -> Self {
        let name = format!("{kind}-{}", unique_number());
        Self { sandbox, name, region: REGION, bucket: "sandbox-code".to_owned() }
    }

    /// The arguments of a call that creates or updates it with these parameters.
    fn arguments(&self, operation: &str, parameters: &str) -> Vec<String> {
        let template = format!("file://{}", workspace().join("infra/template.yaml").display());
        let own = format!(
            "CodeBucket={} Architecture={} StateMachineArns=* DocumentNamePrefix={}-",
            self.bucket,
            architecture(),
            self.name
        );
        let parameters: Vec<_> = [own.as_str(), parameters]
            .iter()
            .flat_map(|parameters| parameters.split_whitespace())
            .filter_map(|parameter| parameter.split_once('='))
            .map(|(key, value)| json!({ "ParameterKey": key, "ParameterValue": value }))
            .collect();
        let call = [
            "cloudformation",
            operation,
            "--region",
            self.region,
            "--stack-name",
            &self.name,
            "--template-body",
            &template,
            "--capabilities",
            "CAPABILITY_IAM",
            "--parameters",
        ];
        let parameters = json!(parameters).to_string();
        call.map(str::to_owned).into_iter().chain([parameters]).collect()
    }

    fn deploy(&self, operation: &str, parameters: &str) {
        let arguments = self.arguments(operation, parameters);
        self.sandbox.aws_cli(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn create(&self, parameters: &str) {
        self.deploy("create-stack", parameters);
    }

    /// Sets all parameters: those that are not named get their defaults.
    fn update(&self, parameters: &str) {
        self.deploy("update-stack", parameters);
    }

    /// What is said when it cannot be created.
    fn refused(&self, parameters: &str) -> String {
        let arguments = self.arguments("create-stack", parameters);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        fail(&mut aws_cli(self.sandbox, &arguments))
    }

    /// Why it was rolled back, when a service refuses one of its resources.
    fn rolled_back(&self, parameters: &str) -> String {
        self.create(parameters);
        let stack = ["--stack-name", &self.name];
        let described = self.call(&[&["cloudformation", "describe-stacks"][..], &stack].concat());
        assert_eq!(described["Stacks"][0]["StackStatus"], "ROLLBACK_COMPLETE", "{parameters}");
        let events = ["cloudformation", "describe-stack-events"];
        self.call(&[&events[..], &stack].concat()).to_string()
    }

    /// Calls something in its region.
    fn call(&self, arguments: &[&str]) -> Value {
        self.sandbox.aws_cli(&[arguments, &["--region", self.region]].concat())
    }

    /// The physical ids of its resources, by their logical ids.
    fn resources(&self) -> BTreeMap<String, String> {
        let described =
            self.call(&["cloudformation", "describe-stack-resources", "--stack-name", &self.name]);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let resources = described["StackResources"].as_array().expect("resources").iter();
        // The emulator knows no physical id of a permission.
        let ids = resources.filter_map(|resource| {
            Some((text(&resource["LogicalResourceId"])?, text(&resource["PhysicalResourceId"])?))
        });
        ids.collect()
    }

    fn roles(&self) -> [Value; 4] {
        let resources = self.resources();
        ["RelayRole", "SweepRole", "SSMSyncRole", "CheckRole"]
            .map(|id| self.call(&["iam", "get-role", "--role-name", &resources[id]])["Role"].take())
    }

    /// The ids of the statements of the policy within a role.
    fn statements(&self, role: &str, policy: &str) -> Vec<String> {
        let get = ["iam", "get-role-policy", "--role-name", role, "--policy-name", policy];
        let document = self.call(&get)["PolicyDocument"].take();
        let statements = document["Statement"].as_array().expect("statements").iter();
        statements.map(|statement| statement["Sid"].as_str().expect("an id").to_owned()).collect()
    }

    fn function(&self, name: &str) -> Value {
        self.call(&["lambda", "get-function", "--function-name", &format!("{}-{name}", self.name)])
    }

    /// Runs a script through it: a task that waits, and the answer.
    async fn answers(&self) {
        tokio::time::sleep(READ_AGAIN).await;
        let task = json!({
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:ssm:sendCommand.waitForTaskToken",
            "Parameters": {
                "DocumentName": format!("{}-SfnRunShellScript", self.name),
                "InstanceIds": [NODES[0]],
                "Parameters": {
                    "commands": ["echo done"],
                    "taskToken.$": "States.Array($$.Task.Token)",
                },
            },
            "End": true,
        });
        let ended = self.sandbox.run_task(&task).await;
        assert_eq!(ended.success()["Invocations"][0]["StandardOutputContent"], "done\n");
    }
}

#[tokio::test]
async fn roles_take_the_boundary_that_an_account_demands_and_a_path() {
    let boundary = format!("PermissionsBoundaryArn={BOUNDARY}");
    let options = ["--demand-boundary", BOUNDARY, "--parameter", &boundary];
    let sandbox = &Sandbox::start(&options).await;
    let stack = Stack::new(sandbox, "bounded");
    let said = stack.rolled_back("");
    for expected in ["AccessDenied", "iam:CreateRole", "explicit deny in a service control policy"]
    {
        assert!(said.contains(expected), "{said}");
    }

    let stack = Stack::new(sandbox, "bounded");
    stack.create(&format!("{boundary} RolePath=/relay/one/"));
    let policies = || {
        let resources = stack.resources();
        ["StartCommandsPolicy", "StartAutomationsPolicy"].map(|id| resources[id].clone())
    };
    let are = |path: &str, boundary: Option<&str>| {
        for role in &stack.roles() {
            let has = role["PermissionsBoundary"]["PermissionsBoundaryArn"].as_str();
            assert_eq!((role["Path"].as_str(), has), (Some(path), boundary), "{role}");
        }
    };
    are("/relay/one/", Some(BOUNDARY));
    let before = policies();
    assert!(before.iter().all(|arn| arn.contains(":policy/relay/one/")), "{before:?}");

    // Another path replaces roles and policies, and the functions follow.
    stack.update(&boundary);
    are("/", Some(BOUNDARY));
    let after = policies();
    assert!(after.iter().all(|arn| !arn.contains("/relay/")), "{after:?}");
    assert_eq!(stack.function("relay")["Configuration"]["Role"], stack.roles()[0]["Arn"]);
    stack.answers().await;

    // The account demands the boundary only of roles that are created.
    stack.update("");
    are("/", None);
}

/// The key policy of infra/README.md, for a stack of the sandbox.
fn documented_key_policy(stack: &str) -> String {
    let readme = fs::read_to_string(workspace().join("infra/README.md")).expect("the README");
    let (_, rest) = readme.split_once("### A key of yours").expect("the section");
    let (_, rest) = rest.split_once("```json\n").expect("the policy");
    let (policy, _) = rest.split_once("```").expect("its end");
    policy
        .replace("111122223333", ACCOUNT)
        .replace("eu-central-1", REGION)
        .replace("run-command-relay", stack)
}

#[tokio::test]
async fn functions_take_a_network_and_a_key_and_give_them_back() {
    let sandbox = &Sandbox::shared().await;
    let stack = Stack::new(sandbox, "closed");
    let created = |arguments: &[&str], path: &str| {
        let created = stack.call(arguments);
        created.pointer(path).and_then(Value::as_str).expect("an id").to_owned()
    };
    let range = "10.1.0.0/24";
    let vpc = created(&["ec2", "create-vpc", "--cidr-block", range], "/Vpc/VpcId");
    let subnet = ["ec2", "create-subnet", "--vpc-id", &vpc, "--cidr-block", range];
    let subnet = created(&subnet, "/Subnet/SubnetId");
    let group = ["ec2", "create-security-group", "--vpc-id", &vpc, "--group-name", "relay"];
    let group = created(&[&group[..], &["--description", "relay"]].concat(), "/GroupId");
    let policy = documented_key_policy(&stack.name);
    let key = created(&["kms", "create-key", "--policy", &policy], "/KeyMetadata/Arn");
    let network = format!("SubnetIds={subnet} SecurityGroupIds={group}");
    let all = format!("{network} KmsKeyArn={key}");

    let has = async |all: bool| {
        for name in ["relay", "sweep"] {
            let configuration = stack.function(name)["Configuration"].take();
            let subnets = configuration["VpcConfig"]["SubnetIds"].as_array();
            assert_eq!(subnets.is_some_and(|subnets| *subnets == [json!(subnet)]), all, "{name}");
            assert_eq!(configuration["KMSKeyArn"] == json!(key), all, "{name}: {configuration}");
            let logs = format!("/aws/lambda/{}-{name}", stack.name);
            let logs = ["logs", "describe-log-groups", "--log-group-name-prefix", &logs];
            assert_eq!(stack.call(&logs)["logGroups"][0]["kmsKeyId"] == json!(key), all, "{name}");
        }
        let resources = stack.resources();
        let body = json!({ "QueueUrl": resources["OnFailureQueue"], "AttributeNames": ["All"] });
        let attributes = sandbox.call("sqs", "AmazonSQS.GetQueueAttributes", &body).await;
        let attributes = &attributes["Attributes"];
        assert_eq!(attributes["KmsMasterKeyId"] == json!(key), all, "{attributes}");

        let common = ["ReadCommands", "AnswerTasks", "WriteLogs", "KeepFailedEvents"];
        let more = [
            "EncryptFailedEvents",
            "DecryptEnvironment",
            "ManageNetworkInterfaces",
            "NoNetworkInterfacesForCode",
        ];
        let expected = [&common[..], if all { &more } else { &[] }].concat();
        assert_eq!(stack.statements(&resources["RelayRole"], "relay"), expected);
        let common = ["ReadAndCancelCommands", "AnswerTasks", "WriteLogs"];
        let expected = [&common[..], if all { &more[1..] } else { &[] }].concat();
        assert_eq!(stack.statements(&resources["SweepRole"], "sweep"), expected);
    };
    stack.create(&all);
    has(true).await;
    stack.answers().await;
    stack.update("");
    has(false).await;
    stack.update(&all);
    has(true).await;
    stack.answers().await;
}

#[tokio::test]
async fn what_cannot_work_is_refused() {
    let sandbox = &Sandbox::shared().await;
    let key = |policy: &[&str]| {
        let created = sandbox.aws_cli(&[&["kms", "create-key"][..], policy].concat());
        created["KeyMetadata"]["Arn"].as_str().expect("an ARN").to_owned()
    };
    let stack = Stack::new(sandbox, "refused");
    let good_key = key(&["--policy", &documented_key_policy(&stack.name)]);
    let no_stack = || {
        let describe = ["cloudformation", "describe-stacks", "--stack-name", &stack.name];
        let said = fail(&mut aws_cli(sandbox, &describe));
        assert!(said.contains("does not exist"), "{said}");
    };
    // Before there is a stack.
    for (parameters, expected) in [
        ("SubnetIds=subnet-0a1b2c3d", "SubnetIds needs SecurityGroupIds."),
        ("SecurityGroupIds=sg-0a1b2c3d", "SecurityGroupIds needs SubnetIds."),
        ("SubnetIds=subnet-0a1b2c3d,", "must be up to 16 ids of subnets"),
        ("KmsKeyArn=alias/relay", "must be the ARN of a KMS key, not of an alias"),
        ("RolePath=relay", "a path that begins and ends with a slash"),
        ("RelayMaxConcurrency=0", "RelayMaxConcurrency"),
    ] {
        let said = stack.refused(parameters);
        assert!(
            said.contains("ValidationError") && said.contains(expected),
            "{parameters}: {said}"
        );
        no_stack();
    }
    // By the services, with their own words.
    for (parameters, expected) in [
        ("SubnetIds=subnet-0a1b2c3d SecurityGroupIds=sg-0a1b2c3d", "InvalidSubnetID.NotFound"),
        (&format!("KmsKeyArn={}", key(&[])), "is not allowed to be used"),
        (&format!("KmsKeyArn={}", good_key.replace(REGION, OTHER_REGION)), "KMS key"),
        (&format!("PermissionsBoundaryArn={BOUNDARY}"), "does not exist or is not attachable"),
    ] {
        let said = Stack::new(sandbox, "refused").rolled_back(parameters);
        assert!(said.contains(expected), "{parameters}: {said}");
    }
}

/// What `AutomationDocuments`, `CreateDashboard` and `CreateCheckStateMachine` leave out.
const OPTIONAL: [&str; 7] = [
    "CheckRole",
    "CheckStateMachine",
    "SSMSyncRole",
    "StartAutomationsPolicy",
    "Dashboard",
    "RunCommandByInstanceIdsDocument",
    "RunCommandByTargetsDocument",
];

#[tokio::test]
async fn what_is_optional_can_be_left_out_and_put_back() {
    let sandbox = &Sandbox::shared().await;
    let stack = Stack::new(sandbox, "small");
    let small = "ReserveConcurrency=false AutomationDocuments=none CreateDashboard=false \
                 CreateCheckStateMachine=false TrustSystemRoots=true";
    let reserved =
        |name: &str| stack.function(name)["Concurrency"]["ReservedConcurrentExecutions"].as_u64();
    let is = |small: bool, concurrency: [Option<u64>; 2]| {
        assert_eq!(["relay", "sweep"].map(reserved), concurrency);
        let resources = stack.resources();
        for id in OPTIONAL {
            assert_eq!(resources.contains_key(id), !small, "{id}");
        }
        for name in ["relay", "sweep"] {
            let function = stack.function(name);
            let variables = &function["Configuration"]["Environment"]["Variables"];
            assert_eq!(variables["TRUST_SYSTEM_ROOTS"], small.to_string(), "{name}");
        }
    };
    stack.create(small);
    is(true, [None, None]);
    stack.answers().await;
    stack.update("RelayMaxConcurrency=7");
    is(false, [Some(7), Some(1)]);
    stack.answers().await;
    stack.update(small);
    is(true, [None, None]);
    stack.update("");
    is(false, [Some(20), Some(1)]);
}

/// A stack with what is named in AWS's sample.
fn create_sample(sandbox: &Sandbox, region: &str) -> Vec<Value> {
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "ssm.amazonaws.com" },
            "Action": "sts:AssumeRole",
        }],
    });
    let document = |name: &str| {
        json!({
            "Type": "AWS::SSM::Document",
            "Properties": {
                "Name": name,
                "DocumentType": "Automation",
                "DocumentFormat": "JSON",
                "Content": {
                    "schemaVersion": "0.3",
                    "assumeRole": { "Fn::GetAtt": ["SSMSyncRole", "Arn"] },
                    "mainSteps": [{
                        "name": "Sleep", "action": "aws:sleep", "inputs": { "Duration": "PT1S" },
                    }],
                },
            },
        })
    };
    let template = json!({
        "Resources": {
            "SSMSyncRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": "sync-run-shell-script-role",
                    "AssumeRolePolicyDocument": trust,
                },
            },
            "ByInstanceIds": document("SfnRunCommandByInstanceIds"),
            "ByTargets": document("SfnRunCommandByTargets"),
        },
    });
    let create = ["cloudformation", "create-stack", "--region", region, "--stack-name", "sample"];
    let capabilities = ["--capabilities", "CAPABILITY_NAMED_IAM", "--template-body"];
    sandbox.aws_cli(&[&create[..], &capabilities, &[&template.to_string()]].concat());
    seen_of_sample(sandbox, region)
}

/// What can be seen of the sample.
fn seen_of_sample(sandbox: &Sandbox, region: &str) -> Vec<Value> {
    let documents = ["SfnRunCommandByInstanceIds", "SfnRunCommandByTargets"];
    let get = |name| sandbox.aws_cli(&["ssm", "get-document", "--region", region, "--name", name]);
    let role = ["iam", "get-role", "--role-name", "sync-run-shell-script-role"];
    documents.map(get).into_iter().chain([sandbox.aws_cli(&role)]).collect()
}

#[tokio::test]
async fn a_second_region_has_a_stack_of_the_same_names_beside_the_sample() {
    let sandbox = &Sandbox::shared().await;
    let sample = create_sample(sandbox, OTHER_REGION);
    // Lambda reads code from a bucket of its own region.
    let bucket = format!("code-{OTHER_REGION}-{}", unique_number());
    let location = format!("LocationConstraint={OTHER_REGION}");
    let create = ["s3api", "create-bucket", "--bucket", &bucket, "--region", OTHER_REGION];
    sandbox.aws_cli(&[&create[..], &["--create-bucket-configuration", &location]].concat());
    for name in ["relay", "sweep"] {
        let (source, key) = (format!("sandbox-code/{name}.zip"), format!("{name}.zip"));
        let copy = ["s3api", "copy-object", "--copy-source", &source, "--bucket", &bucket];
        sandbox.aws_cli(&[&copy[..], &["--key", &key]].concat());
    }
    let first = Stack::new(sandbox, "regional");
    let second = Stack { region: OTHER_REGION, bucket, ..first.clone() };
    first.create("");
    second.create("");
    for (one, other) in first.roles().iter().zip(&second.roles()) {
        assert_ne!(one["Arn"], other["Arn"]);
    }
    assert_eq!(seen_of_sample(sandbox, OTHER_REGION), sample);
    second.update("LogLevel=debug");
    let function = second.function("relay");
    let arn = function["Configuration"]["FunctionArn"].as_str().expect("an ARN");
    assert!(arn.contains(OTHER_REGION), "{arn}");
    assert_eq!(function["Configuration"]["Environment"]["Variables"]["LOG_LEVEL"], "debug");
    assert_eq!(seen_of_sample(sandbox, OTHER_REGION), sample);
}
