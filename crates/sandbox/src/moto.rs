//! The process of moto, an emulator of AWS, behind the gateway.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::aws::Client;
use crate::credentials::Credentials;

macro_rules! programs {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../moto/", $path)))),*]
    };
}

/// The Python program that starts moto, and its modules. They correct moto where it differs from
/// AWS in what the project depends on.
const PROGRAMS: [(&str, &str); 23] = programs![
    "authorization.py",
    "corrections/__init__.py",
    "corrections/cloudformation.py",
    "corrections/cloudformation_checks.py",
    "corrections/cloudformation_updates.py",
    "corrections/cloudwatch.py",
    "corrections/eventbridge.py",
    "corrections/iam.py",
    "corrections/iam_simulation.py",
    "corrections/kms.py",
    "corrections/lambda_.py",
    "corrections/logs.py",
    "corrections/s3.py",
    "corrections/sqs.py",
    "corrections/ssm.py",
    "corrections/stack_resource.py",
    "corrections/step_functions.py",
    "door.py",
    "history.py",
    "moto_api.py",
    "moto_launcher.py",
    "policies.py",
    "resources.py",
];
const LAUNCHER: &str = "moto_launcher.py";
/// Where the launcher says that moto answers.
const READY_PATH: &str = "/moto-api/ready";
/// The first start compiles some thousand Python files.
const START_MAX: Duration = Duration::from_secs(90);
/// The chosen port is free, but another process may take it before moto does.
const ATTEMPTS_MAX: u32 = 3;

/// Why moto does not run.
#[derive(Debug, thiserror::Error)]
pub enum MotoError {
    /// The process could not be started.
    #[error("starting moto with {python} (`make venv` installs it, --python names another Python)")]
    Start {
        /// The Python.
        python: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("writing {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no client for it.
    #[error("making a client of moto")]
    Client(#[source] reqwest::Error),
    /// The process ended, or did not answer in time.
    #[error("moto {what}; the end of its log:\n{words}")]
    Silent {
        /// What happened instead.
        what: String,
        /// The end of its log.
        words: String,
    },
}

/// How moto is started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A Python that has moto installed.
    pub python: PathBuf,
    /// The sandbox's directory.
    pub directory: PathBuf,
    /// The port of the sandbox, through which moto's state machines call services.
    pub sandbox_port: u16,
    /// The region.
    pub region: String,
    /// How many executions of functions Lambda allows at a time, in the whole account.
    pub concurrency_limit: u32,
    /// The key of this run, with which moto's state machines call.
    pub credentials: Credentials,
    /// The permissions boundary without which no role can be created.
    pub demanded_boundary: Option<String>,
    /// The mark of the sandbox's processes.
    pub mark: (String, String),
}

/// A running moto. It ends when this is dropped or this process ends.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    port: u16,
    secret: String,
}

impl Moto {
    /// Starts moto and waits until it answers.
    pub async fn start(settings: &Settings) -> Result<Self, MotoError> {
        let directory = settings.directory.join("moto");
        for (name, text) in PROGRAMS {
            write(&directory.join(name), text)?;
        }
        let launcher = directory.join(LAUNCHER);
        let mut attempt = 1;
        loop {
            match start_once(settings, &launcher).await {
                Err(MotoError::Silent { words, .. })
                    if attempt < ATTEMPTS_MAX && words.contains("in use") =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// What Step Functions does, in lines of JSON ([`crate::step_functions::history`]); once.
    pub fn take_history(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// A client of moto that knows its secret. Moto refuses all other callers.
    pub fn client(
        &self,
        region: &str,
        credentials: &Credentials,
    ) -> Result<Client, reqwest::Error> {
        Client::of_moto(
            &format!("http://127.0.0.1:{}", self.port),
            region,
            credentials,
            &self.secret,
        )
    }
}

/// Writes a file, and creates its directory.
fn write(path: &Path, text: &str) -> Result<(), MotoError> {
    let failed = |source| MotoError::Write { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}

async fn start_once(settings: &Settings, launcher: &Path) -> Result<Moto, MotoError> {
    let started = |source| MotoError::Start { python: settings.python.clone(), source };
    let log = settings.directory.join("logs").join("moto.log");
    let output =
        File::create(&log).map_err(|source| MotoError::Write { path: log.clone(), source })?;
    let port = free_port().map_err(started)?;
    let secret = Uuid::new_v4().simple().to_string();
    let Credentials { access_key_id, secret_access_key, .. } = &settings.credentials;
    // The process starts in another directory, so the path must be absolute. It must not be
    // resolved: the link is what makes a virtual environment.
    let python = std::path::absolute(&settings.python).map_err(started)?;
    let boundary = settings.demanded_boundary.iter().map(|arn| ("DEMANDED_BOUNDARY", arn));
    let process = Command::new(python)
        .arg(launcher)
        .args(["--port", &port.to_string()])
        // Moto writes files into its working directory.
        .current_dir(settings.directory.join("moto"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("MOTO_PORT", settings.sandbox_port.to_string())
        .env("MOTO_LAMBDA_CONCURRENCY_QUOTA", settings.concurrency_limit.to_string())
        .env("AWS_DEFAULT_REGION", &settings.region)
        .env("AWS_ACCESS_KEY_ID", access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", secret_access_key)
        .env("SANDBOX_SECRET", &secret)
        .env("MOTO_DISABLE_GLOBAL_CORS", "true")
        .envs(boundary)
        .env(&settings.mark.0, &settings.mark.1)
        // Closes when this process ends, however that happens. Then moto ends too.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(output)
        // Its own process group, so that Ctrl-C reaches the sandbox only, which then ends moto.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(started)?;
    let mut moto = Moto { process, port, secret };
    let client = moto.client(&settings.region, &settings.credentials).map_err(MotoError::Client)?;
    let deadline = Instant::now() + START_MAX;
    while Instant::now() < deadline {
        if let Some(status) = moto.process.try_wait().map_err(started)? {
            return Err(silent(&log, format!("ended with {status}")));
        }
        // Only this moto knows the secret: whatever else has taken the port refuses it.
        if matches!(client.get("moto", "Ready", READY_PATH).await, Ok(Some(_))) {
            return Ok(moto);
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(silent(&log, format!("did not answer within {} s", START_MAX.as_secs())))
}

fn silent(log: &Path, what: String) -> MotoError {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    MotoError::Silent { what, words: lines[lines.len().saturating_sub(12)..].join("\n") }
}

fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
