//! One script as a real process, with a process group of its own.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::locked::Locked;

/// The most characters of standard output that the agent keeps.
pub(crate) const STDOUT_CHARS_MAX: usize = 24_000;
/// The most characters of standard error that the agent keeps.
pub(crate) const STDERR_CHARS_MAX: usize = 8_000;
/// What the agent writes at the end of an output that it cut.
const CUT_MARK: &str = "--output truncated--";
/// The longest UTF-8 sequence of one character, in bytes.
const UTF8_BYTES_MAX: usize = 4;
/// How long a cancelled script has between SIGTERM and SIGKILL.
const TERM_GRACE: Duration = Duration::from_millis(300);
/// How long the output may stay open after the script itself has ended.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    /// The program and its arguments, the script's file among them.
    pub(crate) command_line: &'a [String],
    pub(crate) working_directory: &'a Path,
    /// The whole environment: nothing is inherited.
    pub(crate) environment: &'a [(String, String)],
    pub(crate) execution_timeout: Duration,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With an exit code; 128 and the signal's number when a signal ended it.
    Exited(i32),
    /// `executionTimeout` passed.
    TimedOut,
    /// The invocation was cancelled.
    Cancelled,
    /// There was no process. The text says why.
    NotStarted(String),
}

/// A script that has ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ending: Ending,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a script to its end, or until its time is up, or until `cancel` turns true. None of its
/// process group is left after the latter two.
pub(crate) async fn run(script: &Script<'_>, cancel: watch::Receiver<bool>) -> Finished {
    match start(script) {
        Ok(child) => supervise(child, script.execution_timeout, cancel).await,
        Err(error) => Finished {
            ending: Ending::NotStarted(format!("{}: {error}", script.command_line[0])),
            stdout: String::new(),
            stderr: String::new(),
        },
    }
}

fn start(script: &Script<'_>) -> io::Result<Child> {
    Command::new(&script.command_line[0])
        .args(&script.command_line[1..])
        .current_dir(script.working_directory)
        .env_clear()
        .envs(script.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn supervise(
    mut child: Child,
    execution_timeout: Duration,
    mut cancel: watch::Receiver<bool>,
) -> Finished {
    let group = ProcessGroup::of(&child);
    let (stdout, stdout_reader) = Capture::start(child.stdout.take(), STDOUT_CHARS_MAX);
    let (stderr, stderr_reader) = Capture::start(child.stderr.take(), STDERR_CHARS_MAX);
    let ending = tokio::select! {
        status = child.wait() => Ending::of(status),
        () = cancelled(&mut cancel) => {
            group.signal(Signal::TERM);
            // Whether it went by itself does not matter: the group is killed below.
            let _ = timeout(TERM_GRACE, child.wait()).await;
            Ending::Cancelled
        }
        () = sleep(execution_timeout) => Ending::TimedOut,
    };
    if matches!(ending, Ending::TimedOut | Ending::Cancelled) {
        group.signal(Signal::KILL);
        // After SIGKILL there is nothing to learn from its status.
        let _ = child.wait().await;
    }
    // A child in the background may hold the pipes open. One that closed them lives on, as it does
    // under the real agent.
    let mut drained = pin!(async { tokio::join!(stdout_reader.end(), stderr_reader.end()) });
    if timeout(DRAIN_GRACE, &mut drained).await.is_err() {
        group.signal(Signal::KILL);
        // Whoever holds the pipes now has left the group; what came so far is the output.
        let _ = timeout(DRAIN_GRACE, &mut drained).await;
    }
    group.release();
    Finished { ending, stdout: stdout.text(), stderr: stderr.text() }
}

/// Waits until `cancel` turns true: for ever, if nobody can turn it any more.
pub(crate) async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Ending {
    fn of(status: io::Result<ExitStatus>) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Self::Exited(code),
                (None, signal) => Self::Exited(128 + signal.unwrap_or_default()),
            },
            Err(error) => Self::NotStarted(format!("its exit status is unknown: {error}")),
        }
    }
}

/// The process group of a script, killed if it is dropped before it is released.
struct ProcessGroup {
    /// `None` once it is released.
    id: Option<Pid>,
}

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        // The child leads its group, so its id is that of the group.
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { id }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // The id stays taken as long as anybody is in the group, with its leader or without.
            // It fails when the group is empty, which is fine.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Lets the rest of the group live.
    fn release(mut self) {
        self.id = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The beginning of one output of a script.
struct Capture {
    kept: Arc<Mutex<Vec<u8>>>,
    chars_max: usize,
}

/// The task that reads an output to its end, so that the script is never blocked; ends when
/// nobody waits for it.
struct Reader(Option<JoinHandle<()>>);

impl Capture {
    fn start<R>(pipe: Option<R>, chars_max: usize) -> (Self, Reader)
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let kept = Arc::new(Mutex::new(Vec::new()));
        // One character more than is kept in the end shows that something was cut.
        let bytes_max = (chars_max + 1) * UTF8_BYTES_MAX;
        let reader = pipe.map(|pipe| tokio::spawn(read(pipe, Arc::clone(&kept), bytes_max)));
        (Self { kept, chars_max }, Reader(reader))
    }

    /// What was kept, as text.
    fn text(&self) -> String {
        let kept = self.kept.locked();
        cut(String::from_utf8_lossy(&kept).into_owned(), self.chars_max)
    }
}

impl Reader {
    /// Waits until the last writer has closed the output.
    async fn end(mut self) {
        if let Some(task) = &mut self.0 {
            // It neither panics nor is aborted by anyone else.
            let _ = task.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn read(mut pipe: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>, bytes_max: usize) {
    let mut buffer = vec![0; 8 * 1024];
    // Bounded by the script: at its end, or that of its time, the pipe closes or the task is
    // aborted. A pipe that cannot be read has ended, too.
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let mut kept = kept.locked();
        let room = bytes_max.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

/// The text itself, or its beginning and the agent's mark, in `chars_max` characters.
pub(crate) fn cut(text: String, chars_max: usize) -> String {
    if text.chars().nth(chars_max).is_none() {
        return text;
    }
    let chars = chars_max - CUT_MARK.chars().count();
    text.chars().take(chars).chain(CUT_MARK.chars()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;

    struct Trial {
        directory: tempfile::TempDir,
        cancel: watch::Sender<bool>,
    }

    impl Trial {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap(), cancel: watch::Sender::new(false) }
        }

        fn file(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        async fn run(&self, text: &str, execution_timeout: Duration) -> Finished {
            let command_line = ["sh", "-c", text].map(str::to_owned);
            let script = Script {
                command_line: &command_line,
                working_directory: self.directory.path(),
                environment: &[("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
                execution_timeout,
            };
            run(&script, self.cancel.subscribe()).await
        }

        /// The process whose id the script wrote into a file.
        async fn pid(&self, name: &str) -> Pid {
            for _ in 0..200 {
                if let Ok(text) = std::fs::read_to_string(self.file(name))
                    && let Ok(id) = text.trim().parse()
                {
                    return Pid::from_raw(id).unwrap();
                }
                sleep(Duration::from_millis(10)).await;
            }
            panic!("no process id in {name}");
        }
    }

    /// Waits until a process is gone, or a zombie that nobody has reaped yet.
    async fn gone(pid: Pid) -> bool {
        for _ in 0..200 {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
            if stat.map_or(true, |stat| stat.contains(") Z ")) {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn output_and_exit_code_come_back() {
        let finished = Trial::new().run("echo out; echo err >&2; exit 3", LONG).await;
        assert_eq!(finished.ending, Ending::Exited(3));
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("out\n", "err\n"));
    }

    #[tokio::test]
    async fn a_signal_ends_as_in_a_shell() {
        let finished = Trial::new().run("kill -SEGV $$", LONG).await;
        assert_eq!(finished.ending, Ending::Exited(139));
    }

    #[tokio::test]
    async fn nothing_is_inherited() {
        let finished = Trial::new().run("env", LONG).await;
        assert!(finished.stdout.contains("PATH=/usr/bin:/bin\n"), "{}", finished.stdout);
        assert!(!finished.stdout.contains("CARGO"), "{}", finished.stdout);
    }

    #[tokio::test]
    async fn output_is_kept_from_its_beginning_and_the_rest_is_drained() {
        let text =
            "head -c 3000000 /dev/zero | tr '\\0' x; head -c 9000 /dev/zero | tr '\\0' y >&2";
        let finished = Trial::new().run(text, LONG).await;
        assert_eq!(finished.ending, Ending::Exited(0));
        assert_eq!(finished.stdout.chars().count(), STDOUT_CHARS_MAX);
        assert_eq!(finished.stderr.chars().count(), STDERR_CHARS_MAX);
        assert!(finished.stdout.starts_with("xxx") && finished.stdout.ends_with(CUT_MARK));
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_replaced() {
        let finished = Trial::new().run("printf 'a\\377b\\001'", LONG).await;
        assert_eq!(finished.stdout, "a\u{fffd}b\u{1}");
    }

    #[tokio::test]
    async fn a_script_over_its_time_is_killed_with_its_children() {
        let trial = Trial::new();
        let text = "sleep 60 & echo $! > child; echo begun; wait";
        let finished = trial.run(text, Duration::from_millis(300)).await;
        assert_eq!((finished.ending, finished.stdout.as_str()), (Ending::TimedOut, "begun\n"));
        assert!(gone(trial.pid("child").await).await);
    }

    #[tokio::test]
    async fn a_cancelled_script_is_killed_with_children_that_ignore_sigterm() {
        let trial = Trial::new();
        let text = "trap '' TERM; sh -c 'echo $$ > child; sleep 60; sleep 60' & wait; sleep 60";
        let cancel = async {
            let child = trial.pid("child").await;
            trial.cancel.send_replace(true);
            child
        };
        let (finished, child) = tokio::join!(trial.run(text, LONG), cancel);
        assert_eq!(finished.ending, Ending::Cancelled);
        assert!(gone(child).await);
    }

    #[tokio::test]
    async fn a_child_that_keeps_the_output_open_does_not_hold_the_script() {
        let trial = Trial::new();
        let started = Instant::now();
        let finished = trial.run("sleep 60 & echo $! > child; echo done", LONG).await;
        assert_eq!((finished.ending, finished.stdout.as_str()), (Ending::Exited(0), "done\n"));
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(gone(trial.pid("child").await).await);
    }

    #[tokio::test]
    async fn a_child_that_closed_the_output_lives_on() {
        let trial = Trial::new();
        let text = "sleep 60 > /dev/null 2>&1 & echo $! > child";
        assert_eq!(trial.run(text, LONG).await.ending, Ending::Exited(0));
        let child = trial.pid("child").await;
        assert!(rustix::process::test_kill_process(child).is_ok());
        rustix::process::kill_process(child, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_dropped_run_leaves_nobody() {
        let trial = Trial::new();
        let run = trial.run("sleep 60 & echo $! > child; wait", LONG);
        let child = tokio::select! {
            finished = run => panic!("ended: {finished:?}"),
            child = trial.pid("child") => child,
        };
        assert!(gone(child).await);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let script = Script {
            command_line: &["no-such-shell".to_owned()],
            working_directory: Path::new("/"),
            environment: &[],
            execution_timeout: LONG,
        };
        let finished = run(&script, watch::Sender::new(false).subscribe()).await;
        let Ending::NotStarted(reason) = finished.ending else { panic!("{finished:?}") };
        assert!(reason.starts_with("no-such-shell: "), "{reason}");
    }

    #[test]
    fn a_text_is_cut_by_characters() {
        assert_eq!(cut("ä".repeat(30), 30), "ä".repeat(30));
        assert_eq!(cut("ä".repeat(31), 30), format!("{}{CUT_MARK}", "ä".repeat(10)));
    }
}
