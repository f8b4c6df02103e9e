//! Ends every process of a sandbox with it, also when the sandbox is killed.
//!
//! The program starts itself twice more. First it replaces itself by a process, the guard, whose
//! environment holds only what a sandbox needs. So a script finds no secret of the owner's shell in
//! any process above itself. The guard starts the sandbox and waits for its end. Then it kills what
//! is left, and removes the temporary directory and the files that say how to reach the sandbox.
//!
//! It finds what is left in two ways. The guard and the sandbox adopt the orphans among their
//! descendants (Linux, `PR_SET_CHILD_SUBREAPER`), so a process that has left its session and dropped
//! its environment still descends from them. And every process that the sandbox starts has a
//! variable in its environment that marks it, which its children inherit. When the guard is killed,
//! the sandbox stops and does the guard's work. Only when both are killed at once may a script live
//! on.
//!
//! Processes are looked up in `/proc`, which only Linux has; elsewhere an orderly end still stops
//! them.

use std::collections::HashMap;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode, ExitStatus};
use std::time::Duration;
use std::{env, fs, io, thread};

use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::error_chain::error_chain;
use crate::processes::processes;
use crate::stop::StopSignal;

/// The variable that marks the processes of a sandbox.
pub const MARK_VARIABLE: &str = "RUN_COMMAND_RELAY_SANDBOX";
/// The variable by which the guard knows itself, and by which the sandbox knows its guard.
const GUARD_VARIABLE: &str = "RUN_COMMAND_RELAY_SANDBOX_GUARD";
/// What a sandbox needs of the environment of its owner.
const KEPT_VARIABLES: [&str; 4] = ["PATH", "SANDBOX_PYTHON", "TMPDIR", "RUST_BACKTRACE"];

/// Processes that fork while they are killed are found in a later pass.
const PASSES_MAX: u32 = 100;
const PASS_PAUSE: Duration = Duration::from_millis(20);
/// How long a sandbox that was asked to end may take, before it is killed.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What a sandbox leaves behind besides processes.
#[derive(Debug)]
pub struct Remains {
    /// Whether its directory is the temporary one.
    pub is_temporary: bool,
    /// The files that say how to reach it.
    pub files: Vec<PathBuf>,
}

/// Runs `sandbox` in a process of its own, and ends what it leaves. Returns in three processes one
/// after the other, but gives the exit code to one only: that which was started by the owner.
pub fn run(remains: &Remains, sandbox: impl FnOnce(&str) -> ExitCode) -> ExitCode {
    match (env::var(GUARD_VARIABLE), env::var(MARK_VARIABLE)) {
        (Ok(guard), Ok(mark)) => {
            adopt_orphans();
            end_with_parent();
            let code = if is_parent(&guard) { sandbox(&mark) } else { ExitCode::FAILURE };
            if !is_parent(&guard) {
                remains.clear(&mark, &[]);
            }
            code
        }
        (Ok(_), Err(_)) => guard(remains),
        (Err(_), _) => failed(&become_guard()),
    }
}

/// Where a sandbox with this mark keeps everything, if its owner names no directory.
pub fn temporary_directory(mark: &str) -> PathBuf {
    env::temp_dir().join(format!("run-command-relay-sandbox-{mark}"))
}

/// Replaces this process by one with less in its environment. Returns only if that fails.
fn become_guard() -> io::Error {
    match env::current_exe() {
        Ok(program) => process::Command::new(program)
            .args(env::args_os().skip(1))
            .env_clear()
            .envs(kept_environment())
            .env(GUARD_VARIABLE, "")
            .exec(),
        Err(error) => error,
    }
}

fn kept_environment() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    KEPT_VARIABLES.into_iter().filter_map(|name| Some((name, env::var_os(name)?)))
}

/// The guard's side: starts the sandbox, waits for its end, and clears up.
fn guard(remains: &Remains) -> ExitCode {
    let mark = Uuid::new_v4().to_string();
    // This process may have been another program, whose children are not its own.
    let inherited = children_of(own_id());
    adopt_orphans();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(watch(&mark)));
    let is_clean = remains.clear(&mark, &inherited);
    match ended {
        Ok(status) if !is_clean && status.success() => ExitCode::FAILURE,
        Ok(status) => status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => failed(&error),
    }
}

async fn watch(mark: &str) -> io::Result<ExitStatus> {
    let mut stop = StopSignal::listen()?;
    let mut sandbox = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(GUARD_VARIABLE, process::id().to_string())
        .env(MARK_VARIABLE, mark)
        .spawn()?;
    tokio::select! {
        status = sandbox.wait() => return status,
        () = stop.received() => {}
    }
    // Ctrl-C on a terminal reaches the sandbox, too; then this is a second one, which does nothing.
    signal(&sandbox, Signal::TERM);
    if let Ok(status) = tokio::time::timeout(STOP_MAX, sandbox.wait()).await {
        return status;
    }
    sandbox.kill().await?;
    sandbox.wait().await
}

fn signal(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        // It may have ended meanwhile.
        let _ = kill_process(id, signal);
    }
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("sandbox: starting this program again: {}", error_chain(error));
    ExitCode::FAILURE
}

fn is_parent(guard: &str) -> bool {
    guard.parse() == Ok(parent_id())
}

/// Orphans among the descendants of this process become its children.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    {
        // Where the kernel cannot, the mark still finds most of them.
        let _ = rustix::process::set_child_subreaper(Some(getpid()));
    }
}

/// This process is asked to end when its parent has ended.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    }
}

impl Remains {
    /// Ends every process that is left, and removes the files; false if a process is still there.
    fn clear(&self, mark: &str, inherited: &[i32]) -> bool {
        let is_clean = kill_left(mark, inherited);
        if self.is_temporary {
            // It may never have been made.
            let _ = fs::remove_dir_all(temporary_directory(mark));
        }
        for path in &self.files {
            remove_file(path, mark);
        }
        is_clean
    }
}

/// Removes a file that bears the mark. One without it is another sandbox's.
fn remove_file(path: &Path, mark: &str) {
    if fs::read_to_string(path).is_ok_and(|text| text.contains(mark)) {
        // Somebody else may have removed it meanwhile.
        let _ = fs::remove_file(path);
    }
}

/// Kills until none is left; false if some still are after the last pass.
fn kill_left(mark: &str, inherited: &[i32]) -> bool {
    for _ in 0..PASSES_MAX {
        let processes = left(mark, inherited);
        if processes.is_empty() {
            return true;
        }
        for process in processes {
            // It may have ended by itself meanwhile.
            let _ = kill_process(process, Signal::KILL);
        }
        thread::sleep(PASS_PAUSE);
    }
    false
}

/// The processes that carry the mark or descend from this one, without this one itself.
fn left(mark: &str, inherited: &[i32]) -> Vec<Pid> {
    let variable = format!("{MARK_VARIABLE}={mark}");
    let mut parents = parents();
    // Without them, their descendants are nobody's here.
    parents.retain(|id, _| !inherited.contains(id));
    let own = own_id();
    let guard = i32::try_from(parent_id()).unwrap_or_default();
    let left = parents.keys().filter(|id| **id != own && **id != guard);
    left.filter(|id| descends(**id, own, &parents) || is_marked(**id, &variable))
        .filter_map(|id| Pid::from_raw(*id))
        .collect()
}

/// The parent of each process.
fn parents() -> HashMap<i32, i32> {
    processes().map(|process| (process.id, process.parent)).collect()
}

fn children_of(id: i32) -> Vec<i32> {
    processes().filter(|process| process.parent == id).map(|process| process.id).collect()
}

fn own_id() -> i32 {
    getpid().as_raw_nonzero().get()
}

fn descends(id: i32, from: i32, parents: &HashMap<i32, i32>) -> bool {
    // As many steps as there are processes end any chain.
    std::iter::successors(parents.get(&id), |id| parents.get(id))
        .take(parents.len())
        .any(|parent| *parent == from)
}

fn is_marked(id: i32, variable: &str) -> bool {
    // A process of somebody else, or one that has just ended, cannot be read.
    fs::read(format!("/proc/{id}/environ")).is_ok_and(|environment| {
        environment.split(|byte| *byte == 0).any(|pair| pair == variable.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn processes_are_ours_by_descent_or_by_mark() {
        let mark = Uuid::new_v4().to_string();
        let mut ours = Command::new("sh")
            .args(["-c", "echo; env -i sleep 60 & sleep 60"])
            .env(MARK_VARIABLE, &mark)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a marked process");
        // Its environment can be read once it runs.
        let stdout = ours.stdout.as_mut().expect("its standard output");
        stdout.read_exact(&mut [0]).expect("its first line");
        let own = own_id();
        let parents = parents();
        let child = i32::try_from(ours.id()).expect("an id");
        assert!(descends(child, own, &parents));
        assert!(!descends(own, child, &parents));
        assert!(!descends(1, own, &parents));
        let variable = format!("{MARK_VARIABLE}={mark}");
        assert!(is_marked(child, &variable));
        assert!(!is_marked(child, &format!("{variable}x")));
        assert!(children_of(own).contains(&child));
        let all = left(&mark, &[]);
        assert!(all.contains(&Pid::from_child(&ours)), "{all:?}");
        // Neither is the shell that was there before, nor what it has started.
        // Other tests start processes meanwhile.
        let parents = super::parents();
        let is_of_shell = |pid: &Pid| {
            let id = pid.as_raw_nonzero().get();
            id == child || descends(id, child, &parents)
        };
        let rest = left("another", &children_of(own));
        assert!(!rest.iter().any(is_of_shell), "{rest:?}");
        ours.kill().expect("its end");
        ours.wait().expect("its end");
    }
}
