//! The process of a sandbox: how it is started and how it ends.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A first start compiles moto, on a machine that may be busy with other tests.
const START_MAX: Duration = Duration::from_mins(2);
/// How long a sandbox that was asked to end may take, before it is killed.
const END_MAX: Duration = Duration::from_secs(15);
const END_PAUSE: Duration = Duration::from_millis(20);

/// A running `sandbox up`. It ends with the test program, however that ends: its stdin is a pipe
/// from here.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// `None` once the sandbox was asked to end.
    stdin: Option<ChildStdin>,
    words: Words,
    /// Holds the file that the sandbox writes its key into, and removes in the end.
    _env_file: TempDir,
    pub(super) endpoint_url: String,
    pub(super) directory: PathBuf,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
}

/// What a process has written so far, to stdout and to stderr.
#[derive(Debug, Clone, Default)]
struct Words(Arc<Mutex<String>>);

impl Process {
    /// Starts `sandbox up` on a free port with these options more, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Says in a sentence what is missing, or what the sandbox said before it ended.
    pub(super) fn start(options: &[String]) -> Result<Self, String> {
        let env_file = tempfile::tempdir().map_err(|error| format!("no directory: {error}"))?;
        let path = env_file.path().join("sandbox.env");
        let mut child = command(options)?
            .arg("--env-file")
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the sandbox cannot be started: {error}"))?;
        let stdin = child.stdin.take();
        let words = Words::default();
        let lines = words.listen(child.stdout.take().expect("stdout is piped"));
        drop(words.listen(child.stderr.take().expect("stderr is piped")));
        let mut process = Self {
            child,
            stdin,
            words,
            _env_file: env_file,
            endpoint_url: String::new(),
            directory: PathBuf::new(),
            access_key_id: String::new(),
            secret_access_key: String::new(),
        };
        process.read_instructions(&lines)?;
        process.read_key(&path)?;
        Ok(process)
    }

    /// What it has written so far, to stdout and to stderr.
    pub(super) fn words(&self) -> String {
        self.words.text()
    }

    fn read_instructions(&mut self, lines: &Receiver<String>) -> Result<(), String> {
        let deadline = Instant::now() + START_MAX;
        // Ends: with the second of two lines, with the output, or with the deadline.
        while self.endpoint_url.is_empty() || self.directory.as_os_str().is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).map_err(|error| self.not_ready(error))?;
            if let Some(url) = line.strip_prefix("endpoint ") {
                url.clone_into(&mut self.endpoint_url);
            } else if let Some((_, directory)) =
                line.strip_prefix("Logs, ").and_then(|line| line.split_once(": "))
            {
                self.directory = directory.into();
            }
        }
        Ok(())
    }

    /// The key of this run, which the sandbox lets in.
    fn read_key(&mut self, path: &Path) -> Result<(), String> {
        let text = fs::read_to_string(path).map_err(|error| format!("no key: {error}"))?;
        for line in text.lines() {
            if let Some(id) = line.strip_prefix("export AWS_ACCESS_KEY_ID=") {
                id.clone_into(&mut self.access_key_id);
            } else if let Some(secret) = line.strip_prefix("export AWS_SECRET_ACCESS_KEY=") {
                secret.clone_into(&mut self.secret_access_key);
            }
        }
        Ok(())
    }

    fn not_ready(&self, error: RecvTimeoutError) -> String {
        let what = match error {
            RecvTimeoutError::Timeout => format!("was not ready after {} s", START_MAX.as_secs()),
            RecvTimeoutError::Disconnected => "ended before it was ready".to_owned(),
        };
        format!("the sandbox {what}; it said:\n{}", self.words())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(END_PAUSE),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // What it has started ends with it all the same: its guard sees to that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Words {
    /// Keeps what comes from this pipe, and passes it on line by line.
    fn listen(&self, pipe: impl Read + Send + 'static) -> Receiver<String> {
        let (sender, lines) = channel();
        let words = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                words.add(&line);
                // After the instructions nobody waits for lines any more.
                let _ = sender.send(line);
            }
        });
        lines
    }

    fn add(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn command(options: &[String]) -> Result<Command, String> {
    let infra = workspace().join("infra");
    let mut command = Command::new(program()?);
    command
        .args(["up", "--port", "0", "--until-stdin-closes"])
        .arg("--python")
        .arg(python()?)
        .arg("--state-machines")
        .arg(infra.join("state-machines"))
        .args(options)
        // A group of its own: Ctrl-C ends the tests, and the pipe then ends the sandbox in order.
        .process_group(0);
    if !options.iter().any(|option| option == "--template") {
        command.arg("--template").arg(infra.join("template.yaml"));
    }
    Ok(command)
}

/// The sandbox that `SANDBOX_PROGRAM` names, or else the one that was built together with the test
/// program, or before it.
fn program() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("SANDBOX_PROGRAM") {
        return Ok(workspace().join(path));
    }
    let test = env::current_exe().map_err(|error| format!("where the tests are: {error}"))?;
    // A test program is in `target/<profile>/deps`.
    let profile = test.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    for binary in ["sandbox", "relay"] {
        let path = profile.join(binary);
        if !path.is_file() {
            return Err(format!(
                "{} is missing: `cargo build --workspace --bins` builds it, and `make test` does \
                 all that is needed",
                path.display()
            ));
        }
    }
    Ok(profile.join("sandbox"))
}

/// A Python that has moto.
fn python() -> Result<PathBuf, String> {
    let python = match env::var_os("SANDBOX_PYTHON") {
        Some(path) => workspace().join(path),
        None => workspace().join("target/venv/bin/python"),
    };
    if python.is_file() {
        return Ok(python);
    }
    Err(format!(
        "{} is missing: `make venv` makes it, and SANDBOX_PYTHON names another one",
        python.display()
    ))
}

/// A program of the tests' Python environment, such as the AWS CLI.
///
/// # Errors
///
/// Says in a sentence how to get it.
pub(super) fn python_tool(name: &str) -> Result<PathBuf, String> {
    let path = python()?.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is missing: `make venv` installs it", path.display()))
}

/// The root of the workspace.
pub(super) fn workspace() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).expect("this package is a directory of crates/")
}
