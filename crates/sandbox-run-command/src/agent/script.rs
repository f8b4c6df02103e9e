//! One script as a real process, with a process group of its own.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpgid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::go;
use super::output::{OUTPUT_BYTES_MAX, Output};
use super::stop::Stop;
use crate::locked::Locked;

/// Held while a script's file is written and while a process starts. Otherwise a process that is
/// just starting could hold the file open for writing, and then the file could not be run.
static FILES_AND_STARTS: Mutex<()> = Mutex::new(());

/// How often, and how long after each other, a killed group is looked at until it is gone.
const REAPS_MAX: u32 = 200;
const REAP_PAUSE: Duration = Duration::from_millis(5);

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
    /// With an exit code.
    Exited(i32),
    /// By a signal. The text names it as Go does.
    Signalled(String),
    /// It was killed, because its execution timeout had passed.
    TimedOut,
    /// It was killed, because it was told to stop.
    Stopped,
    /// Its process group was to be killed and is not there any more. The text says why.
    NotKilled(String),
    /// There was no process. The text says why.
    NotStarted(String),
}

/// A script that has ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ending: Ending,
    pub(crate) output: Output,
}

/// Writes a script's file, which can then be run. It is for its owner alone.
pub(crate) fn write(file: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let _guard = FILES_AND_STARTS.locked();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o700).open(file)?;
    file.write_all(text.as_bytes())
}

/// Runs a script to its end, or until its time is up, or until it is told to stop. The latter two
/// kill its process group at once. What has left the group lives on.
///
/// The script lasts until its outputs are closed, also if a child in the background keeps them open
/// (seen with amazon-ssm-agent 3.3).
pub(crate) async fn run(script: &Script<'_>, stop: Stop) -> Finished {
    match start(script) {
        Ok(child) => supervise(child, script.execution_timeout, stop).await,
        Err(error) => {
            Finished { ending: Ending::NotStarted(go::error(&error)), output: Output::default() }
        }
    }
}

fn start(script: &Script<'_>) -> io::Result<Child> {
    let _guard = FILES_AND_STARTS.locked();
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

async fn supervise(mut child: Child, execution_timeout: Duration, mut stop: Stop) -> Finished {
    let group = ProcessGroup::of(&child);
    let mut stdout = Capture::start(child.stdout.take());
    let mut stderr = Capture::start(child.stderr.take());
    let ended = async {
        let status = child.wait().await;
        tokio::join!(stdout.closed(), stderr.closed());
        Ending::of(status)
    };
    let ending = tokio::select! {
        biased;
        ending = ended => ending,
        () = stop.requested() => group.kill(Ending::Stopped),
        () = sleep(execution_timeout) => group.kill(Ending::TimedOut),
    };
    let output = Output { stdout: stdout.stop(), stderr: stderr.stop() };
    if matches!(ending, Ending::TimedOut | Ending::Stopped) {
        // After SIGKILL there is nothing to learn from its status.
        let _ = child.wait().await;
        group.reap().await;
    }
    group.release();
    Finished { ending, output }
}

impl Ending {
    fn of(status: io::Result<ExitStatus>) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Self::Exited(code),
                (None, signal) => {
                    let dumped = if status.core_dumped() { " (core dumped)" } else { "" };
                    Self::Signalled(format!("{}{dumped}", go::signal(signal.unwrap_or_default())))
                }
            },
            Err(error) => Self::NotStarted(go::error(&error)),
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

    /// Kills whoever is in the group. `ending` is how the script ended by that, unless the group is
    /// empty: the script has ended, and a child that has left the group keeps an output open.
    fn kill(&self, ending: Ending) -> Ending {
        match self.id.map(|id| kill_process_group(id, Signal::KILL)) {
            Some(Err(errno)) => Ending::NotKilled(go::error(&errno.into())),
            Some(Ok(())) | None => ending,
        }
    }

    /// Waits for those of the killed group whom this process has adopted as orphans, so that nothing
    /// is left of them. Its leader was waited for.
    async fn reap(&self) {
        let Some(id) = self.id else { return };
        for _ in 0..REAPS_MAX {
            match waitpgid(id, WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => sleep(REAP_PAUSE).await,
                // Nobody is left, or somebody else has adopted them.
                Err(_) => break,
            }
        }
    }

    /// Lets the rest of the group live.
    fn release(mut self) {
        self.id = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // It fails when the group is empty, which is fine.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// The beginning of one output of a script.
struct Capture {
    kept: Arc<Mutex<Vec<u8>>>,
    is_stopped: Arc<AtomicBool>,
    /// Reads to the output's end, so that the script is never blocked.
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn start(pipe: Option<impl AsyncRead + Send + Unpin + 'static>) -> Self {
        let (kept, is_stopped) = (Arc::default(), Arc::default());
        let reader =
            pipe.map(|pipe| tokio::spawn(read(pipe, Arc::clone(&kept), Arc::clone(&is_stopped))));
        Self { kept, is_stopped, reader }
    }

    /// Waits until the last writer has closed the output.
    async fn closed(&mut self) {
        if let Some(task) = &mut self.reader {
            // It neither panics nor is aborted by anyone else.
            let _ = task.await;
        }
        self.reader = None;
    }

    /// What was kept. Keeps no more.
    fn stop(&self) -> Vec<u8> {
        self.is_stopped.store(true, Ordering::Relaxed);
        std::mem::take(&mut *self.kept.locked())
    }
}

/// Reads until the output is closed. Once it is stopped, whoever still writes is let do so one more
/// time, as by the agent.
async fn read(
    mut pipe: impl AsyncRead + Unpin,
    kept: Arc<Mutex<Vec<u8>>>,
    is_stopped: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 8 * 1024];
    // Bounded by the writers: the pipe closes with the last one. A pipe that cannot be read has
    // ended, too.
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        if is_stopped.load(Ordering::Relaxed) {
            break;
        }
        let mut kept = kept.locked();
        let room = OUTPUT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tokio::sync::watch;

    use super::*;
    use crate::tests::{gone, kill, lives};

    struct Trial {
        directory: tempfile::TempDir,
        cancel: watch::Sender<bool>,
        closing: watch::Sender<bool>,
    }

    impl Trial {
        fn new() -> Self {
            let (cancel, closing) = (watch::Sender::new(false), watch::Sender::new(false));
            Self { directory: tempfile::tempdir().unwrap(), cancel, closing }
        }

        fn stop(&self) -> Stop {
            Stop::new(self.cancel.subscribe(), self.closing.subscribe())
        }

        fn file(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        async fn run(&self, text: &str, execution_timeout: Duration, stop: Stop) -> Finished {
            let command_line = ["sh", "-c", text].map(str::to_owned);
            let script = Script {
                command_line: &command_line,
                working_directory: self.directory.path(),
                environment: &[("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
                execution_timeout,
            };
            run(&script, stop).await
        }

        /// The process whose id the script wrote into a file.
        async fn pid(&self, name: &str) -> String {
            for _ in 0..2_000 {
                if let Ok(text) = std::fs::read_to_string(self.file(name))
                    && text.ends_with('\n')
                    && text.trim().parse::<i32>().is_ok()
                {
                    return text;
                }
                sleep(Duration::from_millis(5)).await;
            }
            panic!("no process id in {name}");
        }
    }

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn nothing_is_inherited() {
        let trial = Trial::new();
        let finished = trial.run("env", LONG, trial.stop()).await;
        let stdout = String::from_utf8(finished.output.stdout).unwrap();
        assert!(stdout.contains("PATH=/usr/bin:/bin\n"), "{stdout}");
        assert!(!stdout.contains("CARGO"), "{stdout}");
    }

    #[tokio::test]
    async fn output_is_kept_from_its_beginning_and_the_rest_is_drained() {
        let text = "head -c 3000000 /dev/zero | tr '\\0' x; echo y >&2";
        let trial = Trial::new();
        let finished = trial.run(text, LONG, trial.stop()).await;
        assert_eq!(finished.ending, Ending::Exited(0));
        assert_eq!(finished.output.stdout, vec![b'x'; OUTPUT_BYTES_MAX]);
        assert_eq!(finished.output.stderr, b"y\n");
    }

    #[tokio::test]
    async fn a_script_over_its_time_is_killed_with_its_group() {
        let trial = Trial::new();
        let text = "sleep 60 & echo $! > child; echo begun; wait";
        let finished = trial.run(text, SHORT, trial.stop()).await;
        assert_eq!(finished.ending, Ending::TimedOut);
        assert_eq!(finished.output.stdout, b"begun\n");
        assert!(gone(&trial.pid("child").await).await);
    }

    #[tokio::test]
    async fn an_output_that_a_child_holds_open_is_waited_for_until_the_time_is_up() {
        let trial = Trial::new();
        let text = "sleep 60 & echo $! > child; echo done";
        let finished = trial.run(text, SHORT, trial.stop()).await;
        assert_eq!(finished.ending, Ending::TimedOut);
        assert_eq!(finished.output.stdout, b"done\n");
        assert!(gone(&trial.pid("child").await).await);
    }

    #[tokio::test]
    async fn a_child_that_left_the_group_with_the_output_open_cannot_be_killed() {
        let trial = Trial::new();
        let text = "setsid sh -c 'echo $$ > child; exec sleep 60' & \
                    until [ -s child ]; do sleep 0.01; done";
        let finished = trial.run(text, SHORT, trial.stop()).await;
        let child = trial.pid("child").await;
        let lived = lives(&child);
        kill(&child);
        assert_eq!(finished.ending, Ending::NotKilled("no such process".to_owned()));
        assert!(lived);
    }

    #[tokio::test]
    async fn the_end_of_the_sandbox_reaches_what_no_cancel_reaches() {
        let trial = Trial::new();
        trial.cancel.send_replace(true);
        let run = trial.run("echo $$ > pid; sleep 60", LONG, trial.stop().without_cancel());
        let close = async {
            let pid = trial.pid("pid").await;
            trial.closing.send_replace(true);
            pid
        };
        let (finished, pid) = tokio::join!(run, close);
        assert_eq!(finished.ending, Ending::Stopped);
        assert!(gone(&pid).await);
    }

    #[tokio::test]
    async fn a_dropped_run_leaves_nobody() {
        let trial = Trial::new();
        let run = trial.run("sleep 60 & echo $! > child; wait", LONG, trial.stop());
        let child = tokio::select! {
            finished = run => panic!("ended: {finished:?}"),
            child = trial.pid("child") => child,
        };
        assert!(gone(&child).await);
    }
}
