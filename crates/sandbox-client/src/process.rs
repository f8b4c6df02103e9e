//! The process of a sandbox: how it is started, how it says that it is ready, and how it ends.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;

/// A first start compiles moto, on a machine that may be busy with other tests.
const START_MAX: Duration = Duration::from_mins(2);
/// How long a sandbox that was asked to end may take, before it is killed.
const END_MAX: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(20);

/// A running `sandbox up`. It ends when this is dropped, and with the test program, however that
/// ends: its stdin is a pipe from here.
#[derive(Debug)]
pub struct Process {
    started: Started,
    ready: Ready,
}

/// How to use a sandbox: what it writes into its ready file.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// Where it answers.
    pub endpoint: String,
    /// The region of everything in it.
    pub region: String,
    /// The access key id of this run.
    pub access_key_id: String,
    /// The secret access key of this run.
    pub secret_access_key: String,
    /// The address that opens the page.
    pub page: String,
    /// Holds `logs/`, and `nodes/` with a directory for each node.
    pub directory: PathBuf,
    /// The nodes at the start.
    pub nodes: Vec<String>,
    /// The stack that was deployed.
    pub stack: Stack,
    /// The ARNs of the state machines, by name.
    pub state_machines: BTreeMap<String, String>,
}

/// A stack as it was deployed.
#[derive(Debug, Clone, Deserialize)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
}

/// A sandbox that was started, and may not be ready yet.
#[derive(Debug)]
struct Started {
    child: Child,
    /// Holds the files that the sandbox writes and removes, and what it prints.
    files: TempDir,
}

impl Process {
    /// Starts a sandbox on a free port, and waits until it is ready. The command is `sandbox up`
    /// with all options but those that belong to the process.
    ///
    /// # Errors
    ///
    /// Says in a sentence what is missing, or what the sandbox printed before it ended.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let started = Started::start(command)
            .map_err(|error| format!("the sandbox cannot be started: {error}"))?;
        started.until_ready()
    }

    /// What it has written into its ready file.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// What was started: the guard of the sandbox. Taking its stdin ends the sandbox.
    pub fn child(&mut self) -> &mut Child {
        &mut self.started.child
    }

    /// The file that tells a shell how to reach it.
    pub fn env_file(&self) -> PathBuf {
        self.started.env_file()
    }

    /// The file that tells a program how to use it.
    pub fn ready_file(&self) -> PathBuf {
        self.started.ready_file()
    }

    /// What it has printed so far, to stdout and to stderr.
    pub fn words(&self) -> String {
        self.started.words()
    }
}

impl Started {
    fn start(command: &mut Command) -> io::Result<Self> {
        let files = tempfile::tempdir()?;
        let words = File::options().create(true).append(true).open(words_in(&files))?;
        let child = command
            .args(["--port", "0", "--until-stdin-closes"])
            .arg("--env-file")
            .arg(env_file_in(&files))
            .arg("--ready-file")
            .arg(ready_file_in(&files))
            .stdin(Stdio::piped())
            .stdout(words.try_clone()?)
            .stderr(words)
            // A group of its own: Ctrl-C ends the tests, and the pipe then ends the sandbox in order.
            .process_group(0)
            .spawn()?;
        Ok(Self { child, files })
    }

    fn until_ready(mut self) -> Result<Process, String> {
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            if let Ok(text) = fs::read_to_string(self.ready_file()) {
                let ready = serde_json::from_str(&text);
                let ready = ready.map_err(|error| format!("reading the ready file: {error}"))?;
                return Ok(Process { started: self, ready });
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let words = self.words();
                return Err(format!("the sandbox was not ready, {status}; it printed:\n{words}"));
            }
            thread::sleep(PAUSE);
        }
        let (seconds, words) = (START_MAX.as_secs(), self.words());
        Err(format!("the sandbox was not ready after {seconds} s; it printed:\n{words}"))
    }

    fn env_file(&self) -> PathBuf {
        env_file_in(&self.files)
    }

    fn ready_file(&self) -> PathBuf {
        ready_file_in(&self.files)
    }

    fn words(&self) -> String {
        let words = fs::read(words_in(&self.files)).unwrap_or_default();
        String::from_utf8_lossy(&words).into_owned()
    }
}

fn env_file_in(files: &TempDir) -> PathBuf {
    files.path().join("sandbox.env")
}

fn ready_file_in(files: &TempDir) -> PathBuf {
    files.path().join("ready.json")
}

fn words_in(files: &TempDir) -> PathBuf {
    files.path().join("words")
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + END_MAX;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(PAUSE),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // Its guard ends what it has started all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `sandbox up` with these options, and with the stack of this workspace unless they name another.
pub(super) fn command(options: &[&str]) -> Result<Command, String> {
    let infra = workspace().join("infra");
    let mut command = Command::new(program()?);
    command
        .arg("up")
        .arg("--python")
        .arg(find_python()?)
        .arg("--template")
        .arg(infra.join("template.yaml"))
        .arg("--state-machines")
        .arg(infra.join("state-machines"))
        .args(options);
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
fn find_python() -> Result<PathBuf, String> {
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

/// A Python that has moto.
///
/// # Panics
///
/// Says in a sentence how to get one, if there is none.
pub fn python() -> PathBuf {
    find_python().unwrap_or_else(|problem| panic!("{problem}"))
}

/// A program of the tests' Python environment, such as the AWS CLI.
///
/// # Panics
///
/// Says in a sentence how to get it, if it is missing.
pub fn python_tool(name: &str) -> PathBuf {
    let path = python().with_file_name(name);
    assert!(path.is_file(), "{} is missing: `make venv` installs it", path.display());
    path
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).expect("this package is a directory of crates/")
}
