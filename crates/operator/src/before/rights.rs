//! Whether the caller may create the stack, as IAM simulates it: the actions that create, of the policy in
//! infra/README.md, "Who may deploy".

use futures_util::StreamExt;
use futures_util::stream;

use crate::aws::Aws;
use crate::before::documents::wanted;
use crate::before::functions::name;
use crate::before::plan::Plan;
use crate::call::found;
use crate::check::functions::Function;
use crate::checks::{Check, Group};
use crate::problem::Problem;
use crate::rights::{self, Denied, Request};
use crate::shown::printable;

/// Maximum number of simulations at a time.
const CALLS_MAX: usize = 6;
/// Maximum number of actions that are named in a line.
const NAMED_MAX: usize = 6;
/// The key of the condition with which an account demands a boundary.
const BOUNDARY: &str = "iam:PermissionsBoundary";
const ADVICE: &str = "See infra/README.md#who-may-deploy.";
const ADVICE_BOUNDARY: &str = "A policy of the caller has a condition on the permissions boundary: set \
     PermissionsBoundaryArn. See infra/README.md#a-permissions-boundary-and-a-path.";

/// A line: actions that belong together.
#[derive(Debug, Clone)]
struct Right {
    id: &'static str,
    /// What the caller may do with them.
    what: &'static str,
    request: Request,
}

pub(super) async fn group(aws: &Aws, plan: &Plan) -> Group {
    let mut checks: Vec<Check> = match principal(aws, &plan.caller).await {
        Err(problem) => vec![Check::unknown("Rights", "What the caller may do", &problem)],
        Ok(principal) => {
            stream::iter(rights(plan))
                .map(async |right| {
                    judge(plan, &right, rights::denied(aws, &principal, &right.request).await)
                })
                .buffered(CALLS_MAX)
                .collect()
                .await
        }
    };
    checks.push(Check::fact(
        "RightsNotSimulated",
        "Policies of sessions, resources and endpoints, and some of an organization, are not simulated.",
    ));
    Group { name: "Rights, as IAM simulates them".to_owned(), checks }
}

/// The role or user whose policies can be simulated.
async fn principal(aws: &Aws, caller: &str) -> Result<String, Problem> {
    match kind(caller) {
        Some(Kind::User) => Ok(caller.to_owned()),
        // The ARN of a session lacks the path of its role.
        Some(Kind::Role(name)) => {
            let answer = aws.iam.get_role().role_name(name).send().await;
            let answer = found("iam:GetRole", &["NoSuchEntity"], answer)?;
            let role = answer.and_then(|answer| answer.role);
            role.map(|role| role.arn).ok_or_else(|| {
                Problem::new("the role of the credentials was deleted. Sign in again")
            })
        }
        None => Err(Problem::new(format!(
            "expected the credentials of a role or user of IAM, whose policies IAM simulates, got those \
             of {caller}"
        ))),
    }
}

/// What a caller is.
#[derive(Debug, PartialEq, Eq)]
enum Kind<'a> {
    User,
    /// A session of the role with this name.
    Role(&'a str),
}

/// The kind of a caller whose policies can be simulated: not of the root user, or of a federated one.
fn kind(caller_arn: &str) -> Option<Kind<'_>> {
    let parts: Vec<_> = caller_arn.splitn(6, ':').collect();
    let [_, _, service, _, _, resource] = parts[..] else { return None };
    match (service, resource.split_once('/')?) {
        ("iam", ("user", _)) => Some(Kind::User),
        ("sts", ("assumed-role", session)) => session.split('/').next().map(Kind::Role),
        _ => None,
    }
}

/// What is to be created. Names that CloudFormation makes end with something.
fn rights(plan: &Plan) -> Vec<Right> {
    let mut all = compute(plan);
    all.extend(data(plan));
    all.extend(roles(plan));
    all
}

fn right(id: &'static str, what: &'static str, actions: &[&str], resources: Vec<String>) -> Right {
    let actions = actions.iter().map(|&action| action.to_owned()).collect();
    Right { id, what, request: Request { actions, resources, context: Vec::new() } }
}

/// The stack, its functions and what invokes and watches them.
fn compute(plan: &Plan) -> Vec<Right> {
    let stack = &plan.stack;
    let of_functions = |service: &str, before: &str| -> Vec<String> {
        let names = [Function::Relay, Function::Sweep].map(|function| name(plan, function));
        names.iter().map(|name| plan.arn(service, &format!("{before}{name}"))).collect()
    };
    let mut all = vec![
        right(
            "RightsStack",
            "deploy the stack",
            &[
                "cloudformation:CreateChangeSet",
                "cloudformation:DescribeChangeSet",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStacks",
                "cloudformation:ExecuteChangeSet",
                "cloudformation:GetTemplateSummary",
            ],
            vec![plan.arn("cloudformation", &format!("stack/{stack}/1"))],
        ),
        right(
            "RightsFunctions",
            "create the functions",
            &[
                "lambda:AddPermission",
                "lambda:CreateFunction",
                "lambda:GetFunction",
                "lambda:PutFunctionConcurrency",
                "lambda:PutFunctionEventInvokeConfig",
            ],
            of_functions("lambda", "function:"),
        ),
        right(
            "RightsRules",
            "create the rules",
            &["events:DescribeRule", "events:PutRule", "events:PutTargets"],
            vec![plan.arn("events", &format!("rule/{stack}-CommandEndedRule-1"))],
        ),
        right(
            "RightsLogs",
            "create the log groups",
            &["logs:CreateLogGroup", "logs:PutRetentionPolicy"],
            of_functions("logs", "log-group:/aws/lambda/"),
        ),
        right(
            "RightsAlarms",
            "create the alarms",
            &["cloudwatch:PutMetricAlarm"],
            vec![plan.arn("cloudwatch", &format!("alarm:{stack}-SweepMissingAlarm-1"))],
        ),
    ];
    if plan.parameter("CreateDashboard") == "true" {
        let dashboard = format!("dashboard/{stack}-{}", plan.region());
        all.push(right(
            "RightsDashboard",
            "create the dashboard",
            &["cloudwatch:PutDashboard"],
            vec![plan.global_arn("cloudwatch", &dashboard)],
        ));
    }
    all.push(right(
        "RightsWithoutResource",
        "read what belongs to no resource",
        &["cloudwatch:DescribeAlarms", "lambda:GetAccountSettings", "logs:DescribeLogGroups"],
        vec!["*".to_owned()],
    ));
    all
}

/// The documents, the queue, and the bucket with the code.
fn data(plan: &Plan) -> Vec<Right> {
    let stack = &plan.stack;
    let documents = wanted(plan).into_iter();
    let documents = documents.map(|(name, _)| plan.arn("ssm", &format!("document/{name}")));
    let mut all = vec![
        right(
            "RightsDocuments",
            "create the documents",
            &["ssm:CreateDocument", "ssm:DescribeDocument", "ssm:GetDocument"],
            documents.collect(),
        ),
        right(
            "RightsQueue",
            "create the queue",
            &["sqs:CreateQueue", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes"],
            vec![plan.arn("sqs", &format!("{stack}-OnFailureQueue-1"))],
        ),
        right(
            "RightsCode",
            "upload the code",
            &["s3:GetObject", "s3:PutObject"],
            vec![plan.s3_arn(&format!("{}/{stack}/relay.zip", plan.bucket))],
        ),
    ];
    if plan.bucket == plan.default_bucket {
        all.push(right(
            "RightsBucket",
            "make the bucket",
            &[
                "s3:CreateBucket",
                "s3:GetBucketLocation",
                "s3:GetBucketPolicy",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutEncryptionConfiguration",
            ],
            vec![plan.s3_arn(&plan.bucket)],
        ));
    }
    all
}

/// The roles, with their boundary, and the managed policies.
fn roles(plan: &Plan) -> Vec<Right> {
    let path = plan.parameter("RolePath");
    let named = |kind: &str, ids: &[&str]| -> Vec<String> {
        let name =
            |id: &&str| plan.global_arn("iam", &format!("{kind}{path}{}-{id}-1", plan.stack));
        ids.iter().map(name).collect()
    };
    let of_functions = named("role", &["RelayRole", "SweepRole"]);
    let of_automations = match plan.parameter("AutomationDocuments") {
        "none" => Vec::new(),
        _ => named("role", &["SSMSyncRole"]),
    };
    let all_roles = [of_functions.clone(), of_automations.clone()].concat();
    let mut policies = named("policy", &["StartCommandsPolicy"]);
    if !of_automations.is_empty() {
        policies.extend(named("policy", &["StartAutomationsPolicy"]));
    }
    let with = |mut right: Right, key: &str, value: &str| {
        if !value.is_empty() {
            right.request.context.push((key.to_owned(), value.to_owned()));
        }
        right
    };
    let boundary = plan.parameter("PermissionsBoundaryArn");
    let service = "iam:PassedToService";
    let create = right("RightsRoles", "create the roles", &["iam:CreateRole"], all_roles.clone());
    let grant = ["iam:GetRole", "iam:PutRolePolicy"];
    let grant = right("RightsRolePolicies", "give the roles their policies", &grant, all_roles);
    let pass = &["iam:PassRole"];
    let to_lambda = right("RightsPassRoles", "pass roles to Lambda", pass, of_functions);
    let mut all = vec![
        with(create, BOUNDARY, boundary),
        with(grant, BOUNDARY, boundary),
        with(to_lambda, service, "lambda.amazonaws.com"),
    ];
    if !of_automations.is_empty() {
        let what = "pass a role to Systems Manager";
        let to_automation = right("RightsPassRoleToAutomation", what, pass, of_automations);
        all.push(with(to_automation, service, "ssm.amazonaws.com"));
    }
    all.push(right(
        "RightsPolicies",
        "create the managed policies",
        &["iam:CreatePolicy", "iam:GetPolicy"],
        policies,
    ));
    all
}

fn judge(plan: &Plan, right: &Right, got: Result<Option<Vec<Denied>>, Problem>) -> Check {
    let got = got.and_then(|denied| {
        denied.ok_or_else(|| Problem::new("IAM knows no role or user with the ARN of the caller"))
    });
    let denied = match got {
        Ok(denied) => denied,
        Err(problem) => {
            let what = format!("Whether the caller may {}", right.what);
            return Check::unknown(right.id, &what, &problem);
        }
    };
    let Some(first) = denied.first() else {
        return Check::good(right.id, format!("The caller may {}.", right.what));
    };
    let mut actions: Vec<_> = denied.iter().map(|one| printable(&one.action)).collect();
    actions.sort();
    actions.dedup();
    let more = if actions.len() > NAMED_MAX { " and more" } else { "" };
    actions.truncate(NAMED_MAX);
    let sentence = format!(
        "The caller may not {}: {}{more}, such as on {}.",
        right.what,
        actions.join(", "),
        printable(&first.resource)
    );
    let mut missing_keys = denied.iter().flat_map(|one| &one.missing_keys);
    let demands_boundary = missing_keys.any(|key| key.eq_ignore_ascii_case(BOUNDARY));
    Check::wrong(
        right.id,
        sentence,
        if demands_boundary && plan.parameter("PermissionsBoundaryArn").is_empty() {
            ADVICE_BOUNDARY
        } else {
            ADVICE
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::checks::Found;

    /// The actions in the policy of whoever deploys.
    fn documented() -> Vec<String> {
        let readme = include_str!("../../../../infra/README.md");
        let (_, rest) = readme.split_once("### Who may deploy").expect("the section");
        let (_, rest) = rest.split_once("```json").expect("a policy");
        let policy = rest.split("```").next().unwrap_or_default();
        let policy: Value = serde_json::from_str(policy).expect("JSON");
        let statements = policy["Statement"].as_array().expect("statements").iter();
        let actions = statements.flat_map(|statement| match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            action => vec![action.clone()],
        });
        actions.map(|action| action.as_str().expect("an action").to_owned()).collect()
    }

    #[test]
    fn each_action_is_in_the_policy_of_who_deploys() {
        let documented = documented();
        for right in rights(&Plan::sample(&[])) {
            for action in &right.request.actions {
                let service = format!("{}:*", action.split(':').next().unwrap_or_default());
                assert!(documented.contains(action) || documented.contains(&service), "{action}");
            }
        }
    }

    #[test]
    fn resources_are_those_of_the_stack() {
        let plan = Plan::sample(&["RolePath=/relay/", "AutomationDocuments=none"]);
        let rights = rights(&plan);
        let of = |id| {
            let right = rights.iter().find(|right| right.id == id).expect("a right");
            right.request.resources.clone()
        };
        let role =
            |name| format!("arn:aws:iam::111122223333:role/relay/run-command-relay-{name}-1");
        assert_eq!(of("RightsRoles"), ["RelayRole", "SweepRole"].map(role));
        assert!(!rights.iter().any(|right| right.id == "RightsPassRoleToAutomation"));
        assert_eq!(
            of("RightsLogs")[0],
            "arn:aws:logs:eu-central-1:111122223333:log-group:/aws/lambda/run-command-relay-relay"
        );
    }

    #[test]
    fn only_roles_and_users_of_iam_are_simulated() {
        let kind_of = |service, resource| format!("arn:aws:{service}::111122223333:{resource}");
        assert_eq!(kind(&kind_of("iam", "user/team/one")), Some(Kind::User));
        assert_eq!(
            kind(&kind_of("sts", "assumed-role/deployer/session")),
            Some(Kind::Role("deployer"))
        );
        for (service, resource) in
            [("iam", "root"), ("sts", "federated-user/one"), ("sts", "user/x")]
        {
            assert_eq!(kind(&kind_of(service, resource)), None, "{resource}");
        }
    }

    #[test]
    fn a_boundary_that_is_demanded_is_named() {
        let plan = Plan::sample(&[]);
        let rights = rights(&plan);
        let right = rights.iter().find(|right| right.id == "RightsRoles").expect("a right");
        let denied = |keys: &[&str]| {
            Ok(Some(vec![Denied {
                action: "iam:CreateRole".to_owned(),
                resource: "arn:role".to_owned(),
                missing_keys: keys.iter().map(|&key| key.to_owned()).collect(),
            }]))
        };
        assert_eq!(judge(&plan, right, denied(&["iam:permissionsboundary"])).todo, ADVICE_BOUNDARY);
        assert_eq!(judge(&plan, right, denied(&[])).todo, ADVICE);
        assert_eq!(judge(&plan, right, Ok(Some(Vec::new()))).found, Found::Good);
        assert_eq!(judge(&plan, right, Ok(None)).found, Found::Unknown);
        let given = Plan::sample(&["PermissionsBoundaryArn=arn:aws:iam::111122223333:policy/b"]);
        assert_eq!(judge(&given, right, denied(&[BOUNDARY])).todo, ADVICE);
    }
}
