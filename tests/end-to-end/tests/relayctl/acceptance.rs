//! The acceptance run: every case in a sandbox, an interruption, and what is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use end_to_end::secret::Secret;
use sandbox_client::{ACCOUNT, NODES, Sandbox, eventually, task_token, unique_number};
use serde_json::{Value, json};

use crate::{check, check_lines, program, regex, relayctl, run, shape};

const SWEEPS: [&str; 2] = ["--schedule-seconds", "5"];

/// A directory that does not exist yet, in a temporary one.
fn report() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("report");
    (directory, path)
}

fn arguments(report: &Path) -> Vec<String> {
    let report = report.display().to_string();
    ["check", "--run", "--node", NODES[0], "--report", &report].map(str::to_owned).to_vec()
}

/// Files of runs on the nodes, which share this machine.
fn files_on_node(run: &str) -> Vec<PathBuf> {
    let prefix = format!("relayctl-{run}");
    let files = fs::read_dir("/tmp").expect("the directory of the nodes");
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_of_run = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    };
    paths.filter(is_of_run).collect()
}

/// Nothing of a run is left, and the relay's rule is enabled.
async fn nothing_is_left(sandbox: &Sandbox, run: &str) {
    let rules = sandbox.aws_cli(&["events", "list-rules"]);
    let rules = rules["Rules"].as_array().expect("rules");
    for rule in rules {
        let name = rule["Name"].as_str().expect("a name");
        assert!(!name.contains("-run-"), "{name} is left");
        assert_eq!(rule["State"], "ENABLED", "{name}");
    }
    let queues = sandbox.call("sqs", "AmazonSQS.ListQueues", &json!({})).await.to_string();
    assert!(!queues.contains("-run-"), "{queues}");
    let machine = &sandbox.ready().stack.outputs["CheckStateMachineArn"];
    let running = sandbox.step_functions.list_executions().state_machine_arn(machine);
    let running = running.status_filter(aws_sdk_sfn::types::ExecutionStatus::Running).send().await;
    let running = running.expect("executions").executions;
    assert!(running.is_empty(), "{running:?}");
    assert_eq!(files_on_node(run), Vec::<PathBuf>::new());
}

/// A run of all cases: as text, what it prints is compared, and what it writes is searched for secrets.
#[tokio::test]
async fn every_case_comes_as_expected_and_nothing_is_left() {
    let sandbox = Sandbox::start(&SWEEPS).await;
    let (_directory, report) = report();
    let mut arguments = arguments(&report);
    arguments.extend(["--disturb", "--tag", "RunCommandRelay=allowed"].map(str::to_owned));
    let mut command = program(&sandbox);
    let began = Instant::now();
    let said = run(command.args(&arguments).args(["--stack", crate::STACK]));
    println!("{}{}", said.stdout, said.stderr);
    println!("{} s", began.elapsed().as_secs());
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    check_lines(&said);
    let (_, of_run) = said.stdout.split_once("Acceptance run ").expect("what came of the run");
    insta::assert_snapshot!("an_acceptance_run", steady(of_run, &report));
    assert!(began.elapsed() < Duration::from_mins(3), "{:?}", began.elapsed());

    let summary = read(&report.join("report.json"));
    insta::assert_json_snapshot!("shape_of_the_acceptance_report", shape(&summary));
    nothing_is_left(&sandbox, summary["Run"].as_str().expect("an id")).await;

    let events = read(&report.join("events.json"));
    let sources = |source: &str| {
        let events = events.as_array().expect("events");
        events.iter().filter(|event| event["source"] == source).count()
    };
    assert!(sources("aws.ssm") > 10 && sources("aws.states") > 10, "{events}");
    no_secret_is_in(&sandbox, &report).await;
}

fn read(path: &Path) -> Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// No file tells a task token, the account, or the id of a node, a command or an execution.
async fn no_secret_is_in(sandbox: &Sandbox, report: &Path) {
    let files: Vec<_> = fs::read_dir(report)
        .expect("the report")
        .map(|file| file.expect("a file").path())
        .map(|path| (fs::read_to_string(&path).expect("a text"), path))
        .collect();
    assert!(files.len() > 20, "{files:?}");
    let commands = sandbox.commands().await;
    assert!(commands.len() > 20);
    let all: String = files.iter().map(|(text, _)| text.as_str()).collect();
    for kept in ["[task token]", "command-1", "i-1", "[account]", "GetCommandInvocation"] {
        assert!(all.contains(kept), "{kept} is in no file");
    }
    for (text, path) in &files {
        for secret in [ACCOUNT, NODES[0], NODES[1], NODES[2]] {
            assert!(!text.contains(secret), "{secret} is in {}", path.display());
        }
        for command in &commands {
            let id = command.command_id().expect("an id");
            assert!(!text.contains(id), "{id} is in {}", path.display());
            if let Some(token) = task_token(command) {
                assert!(!Secret::new(token).is_in(text), "a token is in {}", path.display());
            }
        }
    }
}

/// What differs from run to run is replaced.
fn steady(text: &str, report: &Path) -> String {
    let mut text = text.replace("\n    ", " ").replace(&report.display().to_string(), "REPORT");
    for (pattern, with) in [
        (r"^[0-9a-z]{6} on", "RUN on"),
        (r"\d+ s\n", "TIME\n"),
        (r"\d+\.\d s", "DURATION"),
        (r"\d+ state transitions", "N state transitions"),
        // What the shell of this machine makes of it, and whether it has PowerShell.
        (r"(set-eu .*)code \d+", "${1}code N"),
        (r"(PowerShell +success, or code 1 without pwsh +).*TIME", "${1}CAME  TIME"),
        (r"(\S) {2,}", "$1  "),
    ] {
        text = regex(pattern).replace_all(&text, with).into_owned();
    }
    text
}

/// The stack is fine when it is checked. Then nobody cancels the script of a stopped execution.
#[tokio::test]
async fn a_case_that_differs_is_told_and_ended() {
    let sandbox = Sandbox::start(&crate::NO_SWEEPS).await;
    check::sweep(&sandbox).await;
    let checked = relayctl(&sandbox, &["check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let describe = ["cloudformation", "describe-stack-resource", "--stack-name", crate::STACK];
    let rule = ["--logical-resource-id", "ExecutionStoppedRule"];
    let rule = sandbox.aws_cli(&[&describe[..], &rule].concat());
    let rule = rule["StackResourceDetail"]["PhysicalResourceId"].as_str().expect("a rule");

    let (_directory, report) = report();
    let mut command = program(&sandbox);
    command.args(arguments(&report)).args(["--case", "stopped", "--stack", crate::STACK]);
    let began = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    // It is made after the checks, and some seconds before the case.
    eventually("the queue of the run", async || {
        let queues = sandbox.call("sqs", "AmazonSQS.ListQueues", &json!({})).await.to_string();
        queues.contains("-run-").then_some(())
    })
    .await;
    sandbox.aws_cli(&["events", "disable-rule", "--name", rule]);
    let output = child.wait_with_output().expect("what it said");
    let said = crate::said(output);
    check_lines(&said);
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
    let (_, of_run) = said.stdout.split_once("Acceptance run ").expect("what came of the run");
    insta::assert_snapshot!("a_case_that_differs", steady(of_run, &report));
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());

    // Removing its file has ended the script.
    let commands = sandbox.commands().await;
    let of_case = |comment: &str| comment.ends_with("-stopped");
    let stopped = commands.iter().find(|command| command.comment().is_some_and(of_case));
    let id = stopped.and_then(|command| command.command_id()).expect("the command");
    eventually("the end of the script", async || {
        let commands = sandbox.commands().await;
        let command = commands.iter().find(|command| command.command_id() == Some(id))?;
        (command.status()?.as_str() == "Success").then_some(())
    })
    .await;
    sandbox.aws_cli(&["events", "enable-rule", "--name", rule]);
    let run = read(&report.join("report.json"))["Run"].as_str().expect("an id").to_owned();
    nothing_is_left(&sandbox, &run).await;
}

#[tokio::test]
async fn an_interrupted_run_leaves_nothing() {
    let sandbox = Sandbox::start(&SWEEPS).await;
    let (_directory, report) = report();
    let mut command = program(&sandbox);
    command.args(arguments(&report)).args(["--stack", crate::STACK]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    // This script goes on after its execution was stopped, and writes again at its end.
    let goes_on = eventually("the script that goes on", async || {
        let commands = sandbox.commands().await;
        let is_it = |comment: &str| comment.ends_with("-onAbandon-Continue");
        let command = commands.iter().find(|command| command.comment().is_some_and(is_it))?;
        let file = format!("/tmp/{}", command.comment()?);
        Path::new(&file).exists().then(|| command.command_id().expect("an id").to_owned())
    })
    .await;
    let killed =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill").success());
    let status = child.wait().expect("its end");
    let output = child.wait_with_output().expect("what it said");
    let said = String::from_utf8(output.stderr).expect("UTF-8").replace('\n', " ");
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("interrupted. The executions of this run are stopped"), "{said}");
    assert!(!report.exists());
    let commands = sandbox.commands().await;
    let comment = commands.iter().find_map(|command| command.comment()).expect("a comment");
    let run = comment.strip_prefix("relayctl-").expect("a run").split('-').next();
    let ended = || async {
        let commands = sandbox.commands().await;
        let command = commands.iter().find(|command| command.command_id() == Some(&goes_on))?;
        (command.status()?.as_str() == "Success").then_some(())
    };
    eventually("the end of the script that goes on", ended).await;
    nothing_is_left(&sandbox, run.expect("an id")).await;
}

/// A name that is none, or one of a case whose option is not given.
#[tokio::test]
async fn a_case_that_is_unknown_is_refused() {
    let sandbox = Sandbox::shared().await;
    let (_directory, report) = report();
    for name in ["nobodys", "lost-event", "tag"] {
        let mut command = program(&sandbox);
        command.args(arguments(&report)).args(["--stack", crate::STACK]);
        let said = run(command.args(["--case", "exit-0", "--case", name])).problem();
        let expected =
            format!("expected the name of a case, got `{name}`. Correct --case: there are ");
        assert!(said.contains(&expected), "{said}");
        for known in
            ["task-timeout, stopped, ", "with --tag, also tag; with --disturb, also lost-event"]
        {
            assert!(said.contains(known), "{said}");
        }
    }
    assert!(!report.exists());
}

/// What cannot work is said before anything is made.
#[tokio::test]
async fn a_node_that_cannot_be_used_is_refused() {
    let sandbox = Sandbox::shared().await;
    let untagged = format!("relayctl-{}", unique_number());
    let (directory, report) = report();
    let said = |node: &str, report: &Path| {
        let mut command = program(&sandbox);
        command.args(["check", "--run", "--stack", crate::STACK, "--node", node, "--report"]);
        run(command.arg(report)).problem()
    };
    for (node, expected) in [
        (untagged.as_str(), "expected the id of a node"),
        ("i-0fedcba9876543210", "which is none. Check --node and --region"),
        (&sandbox.add_nodes(["silent"])[0], "whose agent is ConnectionLost"),
    ] {
        let said = said(node, &report);
        assert!(said.contains(expected), "{said}");
    }
    let said = said(NODES[0], directory.path());
    assert!(said.contains("expected a directory that does not exist yet"), "{said}");
    let queues = sandbox.call("sqs", "AmazonSQS.ListQueues", &json!({})).await.to_string();
    assert!(!queues.contains("-run-"), "{queues}");
    assert_eq!(json!(report.exists()), json!(false));
}
