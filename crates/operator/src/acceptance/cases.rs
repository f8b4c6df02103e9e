//! The cases: what each sends, and what is expected.

use serde_json::{Value, json};

use crate::acceptance::came::Came;
use crate::problem::Problem;
use crate::shown::printable;
use crate::stack::Stack;

/// Longer than any case waits for its node, so only the limits that a case is about are reached.
const TASK_SECONDS: u64 = 600;
/// `TimeoutSeconds` of the task that times out. Its script starts within this time.
const SHORT_TASK_SECONDS: u64 = 10;
/// How long a script lasts that is not to end by itself, in seconds. Longer than the look at it.
const FOREVER_SECONDS: u64 = 3_000;
/// Bytes in the input of the state whose output is large. With the default `outputBytes`, a state has
/// room for 65,536.
const INPUT_BYTES: usize = 60_000;
/// Maximum output of a state (Step Functions guide, service quotas).
const STATE_BYTES_MAX: usize = 262_144;
/// What a script may take to be gone after its execution was stopped, in seconds.
const GONE_SECONDS_MAX: f64 = 10.0;

/// A case.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// `SendCommand` or `StartAutomation`.
    pub integration: &'static str,
    /// The arguments of the call.
    pub arguments: Value,
    /// `TimeoutSeconds` of the task.
    pub task_seconds: u64,
    /// Bytes that are added to the input.
    pub input_bytes: usize,
    /// What is done besides waiting.
    pub doing: Doing,
    /// What is expected, in words.
    pub expected: String,
    /// Whether it came.
    pub fits: fn(&Came) -> bool,
    /// Why it matters if it did not.
    pub why: &'static str,
}

/// What is done besides waiting for the end of the execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Nothing.
    Wait,
    /// The execution is stopped once the script runs, which must then be gone.
    Stop,
    /// The task times out, and the script must then be gone.
    TimeOut,
    /// The execution is stopped once the script runs, which must go on to its end.
    Abandon,
    /// The event of the end is lost.
    LoseEvent,
}

/// Where the cases run.
#[derive(Debug)]
pub struct Place<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// The node.
    pub node: &'a str,
    /// A tag for a case with targets.
    pub tag: Option<(&'a str, &'a str)>,
    /// Whether there is the case that disturbs others.
    pub disturb: bool,
    /// The id of the run.
    pub run: &'a str,
}

impl Place<'_> {
    /// The file of a case on the node, which holds the script's process id.
    pub fn file(&self, case: &str) -> String {
        file(self.run, case)
    }

    fn document(&self, kind: &str) -> &str {
        self.stack.output(kind).unwrap_or_default()
    }

    /// A command with the shell document.
    fn script(&self, name: &'static str, lines: &[&str]) -> Case {
        Case {
            name,
            integration: "SendCommand",
            arguments: json!({
                "DocumentName": self.document("RunShellScriptDocumentName"),
                "InstanceIds": [self.node],
                "Parameters": { "commands": lines },
            }),
            task_seconds: TASK_SECONDS,
            input_bytes: 0,
            doing: Doing::Wait,
            expected: "success, code 0".to_owned(),
            fits: |came| came.succeeded() && came.code() == Some(0),
            why: "",
        }
    }

    fn begun(&self, case: &str) -> String {
        format!("echo $$ > {}", self.file(case))
    }

    /// Lasts until the file of the case is removed, so that the clean-up also ends a script that
    /// nothing else ended.
    fn last(&self, case: &str) -> String {
        let file = self.file(case);
        format!(
            "i=0; while [ -e {file} ] && [ $i -lt {FOREVER_SECONDS} ]; do i=$((i+1)); sleep 1; done"
        )
    }
}

/// The file of a case on the node.
pub fn file(run: &str, case: &str) -> String {
    format!("/tmp/relayctl-{run}-{case}")
}

/// All cases. Those that take longest come first, and the one that disturbs others comes last.
pub fn cases(place: &Place<'_>) -> Vec<Case> {
    let mut cases = limits(place);
    cases.extend(ends(place));
    cases.extend(nodes(place));
    cases.extend(documents(place));
    cases.extend(outputs(place));
    cases.extend(automations(place));
    if place.disturb {
        cases.push(lost_event(place));
    }
    cases
}

/// The cases of these names, or all if there is no name. Fails for a name that no case has.
pub fn chosen(mut cases: Vec<Case>, names: &[String]) -> Result<Vec<Case>, Problem> {
    let known: Vec<_> = cases.iter().map(|case| case.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Problem::new(format!(
            "expected the name of a case, got `{}`. Correct --case: there are {}; with --tag, also tag; \
             with --disturb, also lost-event",
            printable(unknown),
            known.join(", ")
        )));
    }
    cases.retain(|case| names.is_empty() || names.iter().any(|name| name == case.name));
    Ok(cases)
}

/// What ends a script from outside.
fn limits(place: &Place<'_>) -> Vec<Case> {
    let begun = |case| place.begun(case);
    let file = place.file("onAbandon-Continue");
    let mut abandoned = place.script(
        "onAbandon-Continue",
        &[
            &begun("onAbandon-Continue"),
            "sleep 15",
            // The clean-up may have removed it meanwhile.
            &format!("if [ -e {file} ]; then echo ended > {file}; fi"),
        ],
    );
    abandoned.arguments["Parameters"]["onAbandon"] = json!(["Continue"]);
    let mut timed_out = place.script("executionTimeout", &[&format!("sleep {FOREVER_SECONDS}")]);
    timed_out.arguments["Parameters"]["executionTimeout"] = json!(["5"]);
    vec![
        Case {
            task_seconds: SHORT_TASK_SECONDS,
            doing: Doing::TimeOut,
            expected: "States.Timeout, script gone".to_owned(),
            fits: |came| came.error_is("States.Timeout") && came.watched_is("gone"),
            why: "A script whose task has timed out runs on: the sweep does not cancel it in time.",
            ..place.script("task-timeout", &[&begun("task-timeout"), &place.last("task-timeout")])
        },
        Case {
            doing: Doing::Stop,
            expected: format!("script gone within {GONE_SECONDS_MAX} s"),
            fits: |came| {
                came.watched_is("gone")
                    && came.watched_s.is_some_and(|seconds| seconds <= GONE_SECONDS_MAX)
            },
            why: "A script runs on after its execution was stopped.",
            ..place.script("stopped", &[&begun("stopped"), &place.last("stopped")])
        },
        Case {
            doing: Doing::Abandon,
            expected: "script goes on to its end".to_owned(),
            fits: |came| came.watched_is("ended"),
            why: "onAbandon=Continue does not keep a script from being cancelled.",
            ..abandoned
        },
        Case {
            expected: "RunCommand.ExecutionTimedOut".to_owned(),
            fits: |came| came.error_is("RunCommand.ExecutionTimedOut"),
            why: "A state machine cannot tell a script that took too long from one that failed.",
            ..timed_out
        },
    ]
}

/// How a script ends by itself.
fn ends(place: &Place<'_>) -> Vec<Case> {
    let mut reported = place.script("onFailure-Report", &["exit 4"]);
    reported.arguments["Parameters"]["onFailure"] = json!(["Report"]);
    vec![
        Case {
            why: "A script that ends well does not end its task well.",
            ..place.script("exit-0", &["echo done"])
        },
        Case {
            expected: "RunCommand.Failed, code 3".to_owned(),
            fits: |came| came.error_is("RunCommand.Failed") && came.code() == Some(3),
            why: "A state machine does not see that a script failed, or not its exit code.",
            ..place.script("exit-3", &["exit 3"])
        },
        Case {
            expected: "RunCommand.Failed, code not 0".to_owned(),
            fits: |came| {
                came.error_is("RunCommand.Failed") && came.code().is_some_and(|code| code != 0)
            },
            why: "set -eu does not end a script at its first mistake on this node.",
            ..place.script("set-eu", &["set -eu", "echo $relayctl_unset_variable", "exit 0"])
        },
        Case {
            expected: "success, code 4".to_owned(),
            fits: |came| came.succeeded() && came.code() == Some(4),
            why: "onFailure=Report does not turn a failure into an output.",
            ..reported
        },
    ]
}

/// Nodes that are not there, and nodes by a tag.
fn nodes(place: &Place<'_>) -> Vec<Case> {
    let mut unknown = place.script("unknown-node", &["true"]);
    unknown.arguments["InstanceIds"] = json!(["i-0fedcba9876543210"]);
    let by_tag = |name, key: &str, value: &str| {
        let mut case = place.script(name, &["echo done"]);
        let arguments = case.arguments.as_object_mut().expect("arguments");
        arguments.remove("InstanceIds");
        let target = json!({ "Key": format!("tag:{key}"), "Values": [value] });
        arguments.insert("Targets".to_owned(), json!([target]));
        case
    };
    let mut cases = vec![
        Case {
            expected: "Ssm.InvalidInstanceIdException".to_owned(),
            // IAM may refuse a node without the tag before Run Command looks for it.
            fits: |came| came.error_is("Ssm.InvalidInstanceIdException") || came.was_denied(),
            why: "A node that does not exist is not refused at once.",
            ..unknown
        },
        Case {
            expected: "RunCommand.NoInstancesInTag".to_owned(),
            // What the condition on the tag makes of no node is not documented.
            fits: |came| {
                came.error_is("RunCommand.NoInstancesInTag")
                    || came.error_is("RunCommand.AccessDenied")
                    || came.was_denied()
            },
            why: "A tag that no node has ends as a success, or not at all.",
            ..by_tag("tag-without-node", "relayctl", place.run)
        },
    ];
    if let Some((key, value)) = place.tag {
        cases.push(Case {
            why: "A command with targets does not end its task.",
            ..by_tag("tag", key, value)
        });
    }
    cases
}

/// The other documents, and another spelling.
fn documents(place: &Place<'_>) -> Vec<Case> {
    let shell = place.document("RunShellScriptDocumentName");
    let mut by_arn = place.script("document-by-ARN", &["echo done"]);
    by_arn.arguments["DocumentName"] = json!(place.stack.arn("ssm", &format!("document/{shell}")));
    let mut power_shell = place.script("PowerShell", &["Write-Output done"]);
    power_shell.arguments["DocumentName"] =
        json!(place.document("RunPowerShellScriptDocumentName"));
    let mut run_document = place.script("SfnRunDocument", &[]);
    run_document.arguments["DocumentName"] = json!(place.document("RunDocumentDocumentName"));
    run_document.arguments["Parameters"] = json!({
        "documentName": ["AWS-RunShellScript"],
        "documentParameters": [json!({ "commands": ["echo inner"] }).to_string()],
    });
    vec![
        Case { why: "Commands of a document that is named by its ARN are not answered.", ..by_arn },
        Case {
            expected: "success, or code 1 without pwsh".to_owned(),
            fits: |came| {
                (came.succeeded() && came.code() == Some(0))
                    || (came.error_is("RunCommand.Failed") && came.code() == Some(1))
            },
            why: "A PowerShell script ends in another way than documented.",
            ..power_shell
        },
        Case {
            expected: "success, or denied by its policy".to_owned(),
            fits: |came| (came.succeeded() && came.stdout().contains("inner")) || came.was_denied(),
            why: "A document within SfnRunDocument does not run, or its output is lost.",
            ..run_document
        },
    ]
}

/// Outputs that are long.
fn outputs(place: &Place<'_>) -> Vec<Case> {
    vec![
        Case {
            expected: "success, truncated, at most 24000".to_owned(),
            fits: |came| {
                came.succeeded()
                    && came.is_truncated()
                    && (1..=24_000).contains(&came.stdout().len())
            },
            why: "A cut output is not said to be cut.",
            ..place.script("long-output", &["head -c 30000 /dev/zero | tr '\\0' x"])
        },
        Case {
            input_bytes: INPUT_BYTES,
            expected: "success, at most 262144 bytes".to_owned(),
            fits: |came| came.succeeded() && came.output_bytes <= STATE_BYTES_MAX,
            why: "A large result beside a large input ends the execution (States.DataLimitExceeded).",
            // Each of these characters takes six bytes of JSON.
            ..place.script(
                "large-state",
                &[
                    "head -c 30000 /dev/zero | tr '\\0' '\\001'",
                    "head -c 30000 /dev/zero | tr '\\0' '\\001' >&2",
                ],
            )
        },
    ]
}

/// The automation documents, with the parameters of both versions of AWS's sample.
fn automations(place: &Place<'_>) -> Vec<Case> {
    let documents = [
        (["automation-ids", "automation-ids-today"], "RunCommandByInstanceIdsDocumentName"),
        (["automation-targets", "automation-targets-today"], "RunCommandByTargetsDocumentName"),
    ];
    let mut cases = Vec::new();
    for (names, output) in documents {
        let Some(document) = place.stack.output(output) else { continue };
        for (name, is_of_today) in names.into_iter().zip([false, true]) {
            let mut parameters = json!({
                "Commands": ["set -eu", "echo done"],
                "workingDirectory": ["/tmp"],
                "executionTimeout": ["60"],
            });
            if output.contains("Targets") {
                parameters["Targets"] = json!([{ "Key": "InstanceIds", "Values": [place.node] }]);
            } else {
                parameters["InstanceIds"] = json!([place.node]);
            }
            if is_of_today {
                parameters["deliveryTimeout"] = json!(["600"]);
                parameters["shell"] = json!(["Shell"]);
            }
            cases.push(Case {
                integration: "StartAutomation",
                arguments: json!({ "DocumentName": document, "Parameters": parameters }),
                why: "State machines that were written for AWS's sample do not run.",
                ..place.script(name, &[])
            });
        }
    }
    cases
}

/// The case that disturbs others.
fn lost_event(place: &Place<'_>) -> Case {
    Case {
        task_seconds: TASK_SECONDS + 2 * place.stack.sweep_interval.as_secs(),
        doing: Doing::LoseEvent,
        expected: "success within two intervals".to_owned(),
        fits: |came| came.succeeded() && came.in_time,
        why: "A task whose event was lost waits: the sweep does not answer it in time.",
        ..place.script("lost-event", &["sleep 3"])
    }
}
