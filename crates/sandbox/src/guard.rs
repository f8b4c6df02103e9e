//! Ends every process of a sandbox with it, also when the sandbox is killed.
//!
//! The sandbox marks its children by a variable in their environment, which their own children
//! inherit, and starts one process more: the guard, which waits on a pipe from the sandbox. When
//! the sandbox ends, however it ends, the pipe closes; the guard kills whatever carries the mark and
//! removes the sandbox's temporary directory. An orderly end takes the same path.
//!
//! Processes are found in `/proc`, so on Linux only; elsewhere an orderly end still stops them.

use std::{
    fs, io,
    io::Read,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli;

/// The variable that marks the processes of a sandbox.
pub const MARK_VARIABLE: &str = "RUN_COMMAND_RELAY_SANDBOX";

/// Processes that fork while they are killed are found in a later pass.
const PASSES_MAX: u32 = 100;
const PASS_PAUSE: Duration = Duration::from_millis(20);
/// How long an orderly end waits for the guard.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// The sandbox's side: a running guard.
#[derive(Debug)]
pub struct Guard {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts a guard over all processes with this mark; it removes `remove` in the end.
    pub fn start(mark: &str, remove: Option<&Path>) -> io::Result<Guard> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["guard", "--mark", mark]);
        if let Some(directory) = remove {
            command.arg("--remove").arg(directory);
        }
        let mut process = command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: Ctrl-C in the terminal ends the sandbox, not its guard.
            .process_group(0)
            .spawn()?;
        let pipe = process.stdin.take();
        Ok(Guard { process, pipe })
    }

    /// Lets the guard do its work, and waits until it is done.
    pub fn finish(mut self) {
        self.pipe.take();
        let deadline = Instant::now() + FINISH_MAX;
        while Instant::now() < deadline {
            match self.process.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
    }
}

/// The guard's side: the hidden command `sandbox guard`.
pub fn run(arguments: &cli::Guard) -> ExitCode {
    // Nothing is ever written to the pipe: reading ends when the sandbox does. An error means the
    // same, since then there is nobody left to wait for.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let clean = kill_marked(&arguments.mark);
    if let Some(directory) = &arguments.remove {
        let _ = fs::remove_dir_all(directory);
    }
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Kills until none is left; false if some still are after the last pass.
fn kill_marked(mark: &str) -> bool {
    for _ in 0..PASSES_MAX {
        let processes = marked(mark);
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

/// The processes that carry the mark.
fn marked(mark: &str) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let variable = format!("{MARK_VARIABLE}={mark}");
    entries
        .flatten()
        .filter_map(|entry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            // A process of somebody else, or one that has just ended, cannot be read.
            let environment = fs::read(entry.path().join("environ")).ok()?;
            environment
                .split(|byte| *byte == 0)
                .any(|pair| pair == variable.as_bytes())
                .then(|| Pid::from_raw(id))?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{MARK_VARIABLE, kill_marked, marked};

    #[test]
    fn marked_processes_and_their_children_are_killed_and_others_are_not() {
        let mark = uuid::Uuid::new_v4().to_string();
        let mut ours = Command::new("sh")
            .args(["-c", "sleep 60 & sleep 60"])
            .env(MARK_VARIABLE, &mark)
            .stdin(Stdio::null())
            .spawn()
            .expect("a marked process");
        let mut other = Command::new("sleep")
            .arg("60")
            .env(MARK_VARIABLE, "another")
            .spawn()
            .expect("a process that is not ours");
        assert!(!marked(&mark).is_empty());

        assert!(kill_marked(&mark));
        assert!(marked(&mark).is_empty());
        assert!(!ours.wait().expect("its end").success());
        assert!(other.try_wait().expect("its state").is_none());
        other.kill().expect("the end of the other");
        other.wait().expect("the end of the other");
    }
}
