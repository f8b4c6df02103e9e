//! A sandbox that runs for the tests, with a function that does what it is told.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use sandbox::aws::Client;
use sandbox::credentials::Credentials;
use sandbox_client::Process;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use sandbox_client::python;

/// What the owner of the sandbox has in the environment, and nobody else may see.
pub(crate) const OWNERS_SECRET: &str = "secret-of-the-owners-shell";

const PATIENCE: Duration = Duration::from_secs(20);
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// A sandbox; it ends when this is dropped, or with the tests.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    /// Holds the built function, and what a test adds.
    pub(crate) directory: TempDir,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        match Self::try_start(arguments) {
            Ok(running) => running,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// The error holds what the sandbox printed.
    pub(crate) fn try_start(arguments: &[&str]) -> Result<Self, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox");
        let functions = directory.path().join("built");
        let state_machines = directory.path().join("state-machines");
        fs::create_dir_all(&functions).expect("a directory for the function");
        fs::create_dir_all(&state_machines).expect("a directory for state machines");
        write_function(&functions.join("relay"), "");
        let process = Process::start(
            Command::new(env!("CARGO_BIN_EXE_sandbox"))
                .env("AWS_SECRET_ACCESS_KEY", OWNERS_SECRET)
                .args(["up", "--retry-seconds", "0.1"])
                .arg("--template")
                .arg(tests.join("template.yaml"))
                .arg("--functions")
                .arg(&functions)
                .arg("--state-machines")
                .arg(&state_machines)
                .arg("--python")
                .arg(python())
                .args(arguments),
        )?;
        Ok(Self { process, directory })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.process.ready().endpoint
    }

    pub(crate) fn client(&self) -> Client {
        let ready = self.process.ready();
        let credentials = Credentials {
            access_key_id: ready.access_key_id.clone(),
            secret_access_key: ready.secret_access_key.clone(),
            session_token: None,
        };
        Client::new(&ready.endpoint, &ready.region, &credentials).expect("a client")
    }
}

/// The sandbox that tests share which do not disturb each other; schedules fire every second.
pub(crate) fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().to_str().expect("a path in UTF-8");
        let running = Running::start(&["--schedule-seconds", "1", "--directory", path]);
        Shared { running, directory }
    })
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) running: Running,
    directory: TempDir,
}

impl Shared {
    /// Where its nodes, functions and logs are.
    pub(crate) fn running_directory(&self) -> &Path {
        self.directory.path()
    }

    /// The text of a log as it is now.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join("logs").join(name)).unwrap_or_default()
    }

    /// The lines of a log of JSON lines.
    pub(crate) fn journal(&self, name: &str) -> Vec<Value> {
        let text = self.log(name);
        let lines = text.lines();
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Writes a function; `note` makes its code another one.
pub(crate) fn write_function(path: &Path, note: &str) {
    let text = include_str!("obedient.py");
    let text = format!("#!{}\n# {note}\n{text}", python().display());
    fs::write(path, text).expect("the function");
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("the function's mode");
}

/// Asks until there is an answer, or patience ends.
pub(crate) fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Some(answer) => return Some(answer),
            None if Instant::now() > deadline => return None,
            None => thread::sleep(POLL_PAUSE),
        }
    }
}
