//! Nothing that the sandbox starts outlives it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use sandbox::aws::SSM;
use sandbox::guard::MARK_VARIABLE;
use serde_json::json;

use crate::running::{Running, eventually};

/// A sandbox with something to end.
struct Busy {
    running: Running,
    /// The sandbox itself, below the guard that was started.
    sandbox: i32,
    /// Everything below the guard.
    family: HashSet<i32>,
    temporary_directory: PathBuf,
}

impl Busy {
    /// Starts scripts and a function.
    async fn start() -> Self {
        let mut running = Running::start(&[]);
        let client = running.client();
        let path = "/2015-03-31/functions/obedient/invocations";
        let invoked = client.request(Method::POST, path, "lambda").body("{}").send().await;
        invoked.expect("an invocation").error_for_status().expect("an invocation");
        let script = "(sleep 301 &) ; setsid sleep 302 & env -i setsid sleep 303 & sleep 304";
        let body = json!({
            "DocumentName": "AWS-RunShellScript",
            "InstanceIds": ["i-00000000000000001"],
            "Parameters": { "commands": [script] },
        });
        client.json(SSM, "SendCommand", &body).await.expect("a command");
        let guard = i32::try_from(running.process.child().id()).expect("an id");
        // The sandbox, moto, the function, the shell and its four children, one of which has left
        // its session and has no mark.
        let all = eventually(|| {
            let family = descendants(guard);
            let is_there = |words: &str| family.iter().any(|id| command_line(*id) == words);
            let sleeps = (301..=304).all(|seconds| is_there(&format!("sleep {seconds} ")));
            (family.len() >= 8 && sleeps).then_some(family)
        });
        let family = all.unwrap_or_else(|| panic!("{:?}", descendants(guard)));
        let parents = parents();
        let sandbox = *family.iter().find(|id| parents[id] == guard).expect("the sandbox");
        let mark = mark_of(sandbox).expect("the sandbox is marked");
        let name = format!("run-command-relay-sandbox-{mark}");
        let temporary_directory = std::env::temp_dir().join(name);
        assert!(temporary_directory.exists());
        Self { running, sandbox, family, temporary_directory }
    }

    fn assert_gone(&self) {
        gone(&self.family, &self.temporary_directory);
        for file in [self.running.process.env_file(), self.running.process.ready_file()] {
            assert!(!file.exists(), "{} is still there", file.display());
        }
    }
}

fn gone(ids: &HashSet<i32>, directory: &Path) {
    let all_gone = eventually(|| (!ids.iter().any(|id| lives(*id))).then_some(()));
    let still = || ids.iter().filter(|id| lives(**id)).map(|id| command_line(*id)).collect();
    assert!(all_gone.is_some(), "still there: {:?}", Vec::<String>::from_iter::<Vec<_>>(still()));
    let removed = eventually(|| (!directory.exists()).then_some(()));
    assert!(removed.is_some(), "{} is still there", directory.display());
}

fn kill(id: i32, signal: Signal) {
    kill_process(Pid::from_raw(id).expect("an id"), signal).expect("a process to end");
}

fn parents() -> HashMap<i32, i32> {
    let entries = fs::read_dir("/proc").expect("the processes").flatten();
    entries
        .filter_map(|entry| {
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
            Some((entry.file_name().to_str()?.parse().ok()?, line.trim().parse().ok()?))
        })
        .collect()
}

fn descendants(ancestor: i32) -> HashSet<i32> {
    let parents = parents();
    let above = |id: &i32| std::iter::successors(parents.get(id), |id| parents.get(id)).copied();
    parents.keys().filter(|id| above(id).any(|id| id == ancestor)).copied().collect()
}

fn command_line(id: i32) -> String {
    let words = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    words.replace('\0', " ")
}

fn mark_of(id: i32) -> Option<String> {
    let environment = fs::read_to_string(format!("/proc/{id}/environ")).ok()?;
    let pairs = environment.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| *name == MARK_VARIABLE).map(|(_, mark)| mark.to_owned()).next()
}

/// Zombies, which nobody has waited for yet, do not count.
fn lives(id: i32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_killed_sandbox_leaves_nothing() {
    let busy = Busy::start().await;
    kill(busy.sandbox, Signal::KILL);
    busy.assert_gone();
}

#[tokio::test]
async fn a_sandbox_whose_guard_is_killed_leaves_nothing() {
    let mut busy = Busy::start().await;
    // Waiting for the guard would close it, and the sandbox would end for that.
    let _stdin = busy.running.process.child().stdin.take();
    busy.running.process.child().kill().expect("SIGKILL");
    busy.running.process.child().wait().expect("its end");
    busy.assert_gone();
}

#[tokio::test]
async fn with_sandbox_and_guard_killed_moto_and_the_function_end() {
    let mut busy = Busy::start().await;
    let own = |id: &i32| {
        let words = command_line(*id);
        words.contains("moto_launcher.py") || words.contains("bootstrap")
    };
    let ends: HashSet<i32> = busy.family.iter().filter(|id| own(id)).copied().collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    kill(busy.sandbox, Signal::STOP);
    busy.running.process.child().kill().expect("SIGKILL");
    kill(busy.sandbox, Signal::KILL);
    busy.running.process.child().wait().expect("its end");

    let ended = eventually(|| (!ends.iter().any(|id| lives(*id))).then_some(()));
    // Before anything fails: nobody else ends what is left now.
    for id in &busy.family {
        let _ = kill_process(Pid::from_raw(*id).expect("an id"), Signal::KILL);
    }
    let _ = fs::remove_dir_all(&busy.temporary_directory);
    assert!(ended.is_some(), "still there of {ends:?}");
}

#[tokio::test]
async fn a_terminated_sandbox_leaves_nothing() {
    let mut busy = Busy::start().await;
    kill(i32::try_from(busy.running.process.child().id()).expect("an id"), Signal::TERM);
    let status = eventually(|| busy.running.process.child().try_wait().expect("its state"));
    assert!(status.expect("its end").success());
    busy.assert_gone();
}

#[tokio::test]
async fn a_sandbox_ends_when_its_stdin_closes() {
    let mut busy = Busy::start().await;
    drop(busy.running.process.child().stdin.take());
    let status = eventually(|| busy.running.process.child().try_wait().expect("its state"));
    assert!(status.expect("its end").success());
    busy.assert_gone();
}

#[tokio::test]
async fn a_child_of_whoever_became_the_guard_is_let_live() {
    let program = env!("CARGO_BIN_EXE_sandbox");
    // The shell becomes the guard, which then has a child that it has not started. Without a Python
    // there is no sandbox, and the guard ends at once.
    let script = format!("sleep 305 & echo $!; exec {program} up --port 0 --python /nowhere");
    let directory = tempfile::tempdir().expect("a directory");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(directory.path())
        .stderr(std::fs::File::create(directory.path().join("stderr")).expect("a file"))
        .stdout(std::fs::File::create(directory.path().join("stdout")).expect("a file"))
        .status();
    assert!(!output.expect("it ran").success());
    let said = |name| fs::read_to_string(directory.path().join(name)).expect("what it said");
    assert!(said("stderr").contains("/nowhere"), "{}", said("stderr"));
    let child: i32 = said("stdout").trim().parse().expect("an id");
    assert!(lives(child));
    kill(child, Signal::KILL);
}
