//! Nothing that the sandbox starts outlives it.

use std::{collections::HashSet, fs, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use sandbox::{aws::SSM, guard::MARK_VARIABLE};
use serde_json::json;

use crate::running::{Running, eventually};

/// The processes that carry the same mark as a child of this sandbox, and the mark.
fn marked(sandbox: u32) -> (HashSet<i32>, String) {
    let environments: Vec<(i32, Vec<u8>)> = fs::read_dir("/proc")
        .expect("the processes")
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            Some((id, fs::read(entry.path().join("environ")).ok()?))
        })
        .collect();
    let mark_of = |environment: &[u8]| {
        environment
            .split(|byte| *byte == 0)
            .find(|pair| pair.starts_with(MARK_VARIABLE.as_bytes()))
            .map(|pair| String::from_utf8_lossy(pair).into_owned())
    };
    let mark = environments
        .iter()
        .filter(|(id, _)| parent(*id) == Some(sandbox))
        .find_map(|(_, environment)| mark_of(environment))
        .expect("a marked child");
    let ids = environments
        .iter()
        .filter(|(_, environment)| mark_of(environment).as_ref() == Some(&mark))
        .map(|(id, _)| *id)
        .collect();
    (ids, mark)
}

fn parent(id: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

/// Zombies, which nobody has waited for yet, do not count.
fn lives(id: i32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Starts scripts and a function, so that there is something to end.
async fn busy(running: &Running) {
    let client = running.client();
    let url = format!("{}/2015-03-31/functions/obedient/invocations", running.endpoint);
    client.http().post(url).body("{}").send().await.expect("an invocation");
    let body = json!({
        "DocumentName": "AWS-RunShellScript",
        "InstanceIds": ["i-00000000000000001"],
        "Parameters": { "commands": ["(sleep 301 &) ; setsid sleep 302 & sleep 303"] },
    });
    client.json(SSM, "SendCommand", &body).await.expect("a command");
    // moto, the function, the shell and its three children.
    let all = eventually(|| (marked(running.process.id()).0.len() >= 6).then_some(()));
    assert!(all.is_some(), "{:?}", marked(running.process.id()));
}

fn temporary_directory(mark: &str) -> PathBuf {
    let id = mark.split('=').next_back().expect("a value");
    std::env::temp_dir().join(format!("run-command-relay-sandbox-{id}"))
}

fn assert_gone(ids: &HashSet<i32>, directory: &std::path::Path) {
    let gone = eventually(|| (!ids.iter().any(|id| lives(*id))).then_some(()));
    assert!(gone.is_some(), "still there of {ids:?}");
    let removed = eventually(|| (!directory.exists()).then_some(()));
    assert!(removed.is_some(), "{} is still there", directory.display());
}

#[tokio::test]
async fn a_killed_sandbox_leaves_nothing() {
    let mut running = Running::start(&[]);
    busy(&running).await;
    let (ids, mark) = marked(running.process.id());
    let directory = temporary_directory(&mark);
    assert!(directory.exists());
    running.process.kill().expect("SIGKILL");
    running.process.wait().expect("its end");
    assert_gone(&ids, &directory);
}

#[tokio::test]
async fn a_terminated_sandbox_leaves_nothing() {
    let mut running = Running::start(&[]);
    busy(&running).await;
    let (ids, mark) = marked(running.process.id());
    let id = i32::try_from(running.process.id()).ok().and_then(Pid::from_raw);
    kill_process(id.expect("its id"), Signal::TERM).expect("SIGTERM");
    let status = eventually(|| running.process.try_wait().expect("its state"));
    assert!(status.expect("its end").success());
    assert_gone(&ids, &temporary_directory(&mark));
}

#[tokio::test]
async fn a_sandbox_ends_when_its_stdin_closes() {
    let mut running = Running::start(&[]);
    let (ids, mark) = marked(running.process.id());
    drop(running.process.stdin.take());
    let status = eventually(|| running.process.try_wait().expect("its state"));
    assert!(status.expect("its end").success());
    assert_gone(&ids, &temporary_directory(&mark));
}
