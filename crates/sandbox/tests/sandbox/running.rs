//! A sandbox that runs for the tests, with a function that does what it is told.

use std::{
    env,
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use sandbox::{aws::Client, credentials::Credentials};
use serde_json::Value;
use tempfile::TempDir;

/// What the owner of the sandbox has in the environment, and nobody else may see.
pub(crate) const OWNERS_SECRET: &str = "secret-of-the-owners-shell";

const PATIENCE: Duration = Duration::from_secs(20);
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// A sandbox; it ends when this is dropped, or with the tests, since its stdin closes then.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Child,
    pub(crate) endpoint: String,
    pub(crate) credentials: Credentials,
    pub(crate) directory: TempDir,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Running {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox");
        let functions = directory.path().join("built");
        let state_machines = directory.path().join("state-machines");
        fs::create_dir_all(&functions).expect("a directory for the function");
        fs::create_dir_all(&state_machines).expect("a directory for state machines");
        write_function(&functions.join("relay"), "");
        let mut process = Command::new(env!("CARGO_BIN_EXE_sandbox"))
            .env("AWS_SECRET_ACCESS_KEY", OWNERS_SECRET)
            .args(["up", "--port", "0", "--until-stdin-closes"])
            .args(["--retry-seconds", "0.1"])
            .arg("--env-file")
            .arg(directory.path().join("sandbox.env"))
            .arg("--template")
            .arg(tests.join("template.yaml"))
            .arg("--functions")
            .arg(&functions)
            .arg("--state-machines")
            .arg(&state_machines)
            .arg("--python")
            .arg(python())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its stdout")).lines();
        let first = lines.next().expect("a first line").expect("text");
        let endpoint = first
            .strip_prefix("endpoint ")
            .unwrap_or_else(|| panic!("the first line is {first:?}"))
            .to_owned();
        // What follows is for people.
        thread::spawn(move || lines.for_each(drop));
        let credentials = credentials(&directory.path().join("sandbox.env"));
        Running { process, endpoint, credentials, directory }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.endpoint, "us-east-1", &self.credentials).expect("a client")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.stdin.take();
        let ended = eventually(|| self.process.try_wait().expect("its state"));
        if ended.is_none() {
            self.process.kill().expect("its end");
        }
    }
}

/// The key in an environment file.
fn credentials(path: &Path) -> Credentials {
    let text = fs::read_to_string(path).expect("the environment file");
    let value = |name: &str| {
        let begin = format!("export {name}=");
        let line = text.lines().find_map(|line| line.strip_prefix(&begin));
        line.unwrap_or_else(|| panic!("{name} is not in {text}")).to_owned()
    };
    Credentials {
        access_key_id: value("AWS_ACCESS_KEY_ID"),
        secret_access_key: value("AWS_SECRET_ACCESS_KEY"),
        session_token: None,
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

/// A Python that has moto.
pub(crate) fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    let python = env::var_os("SANDBOX_PYTHON").map_or(venv, PathBuf::from);
    assert!(
        python.exists(),
        "{} does not exist: `make test` creates it, or set SANDBOX_PYTHON",
        python.display()
    );
    // Not resolved further: a link in a virtual environment is what makes it one.
    std::path::absolute(python).expect("an absolute path")
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
