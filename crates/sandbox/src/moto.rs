//! The process of moto: an emulator of AWS, behind the gateway.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};
use uuid::Uuid;

use crate::{aws::Client, credentials::Credentials};

/// Corrects moto where it differs from AWS in what the project depends on, and starts it.
const LAUNCHER: &str = include_str!("../moto_launcher.py");
/// A first start compiles some thousand Python files.
const START_MAX: Duration = Duration::from_secs(90);
/// The port is free when it is chosen, and may be taken before moto listens on it.
const ATTEMPTS_MAX: u32 = 3;

/// Why moto does not run.
#[derive(Debug, thiserror::Error)]
pub enum MotoError {
    /// It could not be started.
    #[error("starting moto with {python} (`make venv`, or --python, gives one that has it)")]
    Start {
        /// The Python.
        python: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its files could not be written.
    #[error("writing {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended, or did not listen in time.
    #[error("moto {what}; its last words:\n{words}")]
    Silent {
        /// What it did instead.
        what: String,
        /// The end of its log.
        words: String,
    },
}

/// What moto is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A Python that has moto.
    pub python: PathBuf,
    /// The sandbox's directory.
    pub directory: PathBuf,
    /// The port of the sandbox, which moto's state machines call.
    pub sandbox_port: u16,
    /// The region.
    pub region: String,
    /// The key of this run, with which moto's state machines call.
    pub credentials: Credentials,
    /// The mark of the sandbox's processes.
    pub mark: (String, String),
}

/// A running moto; it ends when this is dropped, and with this process.
#[derive(Debug)]
pub struct Moto {
    _process: Child,
    port: u16,
    secret: String,
}

impl Moto {
    /// Starts moto, and waits until it listens.
    pub async fn start(settings: &Settings) -> Result<Moto, MotoError> {
        let launcher = settings.directory.join("moto").join("moto_launcher.py");
        fs::write(&launcher, LAUNCHER)
            .map_err(|source| MotoError::Write { path: launcher.clone(), source })?;
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

    /// A client of moto, which nobody else can call.
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

async fn start_once(settings: &Settings, launcher: &Path) -> Result<Moto, MotoError> {
    let started = |source| MotoError::Start { python: settings.python.clone(), source };
    let log = settings.directory.join("logs").join("moto.log");
    let output =
        File::create(&log).map_err(|source| MotoError::Write { path: log.clone(), source })?;
    let port = free_port().map_err(started)?;
    let secret = Uuid::new_v4().simple().to_string();
    let Credentials { access_key_id, secret_access_key, .. } = &settings.credentials;
    // It is started in another directory. A link in a virtual environment is not resolved: it is
    // what makes it one.
    let python = std::path::absolute(&settings.python).map_err(started)?;
    let mut process = Command::new(python)
        .arg(launcher)
        .args(["--port", &port.to_string()])
        // Moto writes files where it works.
        .current_dir(settings.directory.join("moto"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("MOTO_PORT", settings.sandbox_port.to_string())
        .env("AWS_DEFAULT_REGION", &settings.region)
        .env("AWS_ACCESS_KEY_ID", access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", secret_access_key)
        .env("SANDBOX_SECRET", &secret)
        .env("MOTO_DISABLE_GLOBAL_CORS", "true")
        .env(&settings.mark.0, &settings.mark.1)
        // Closes when this process ends, however it does; then moto ends, too.
        .stdin(Stdio::piped())
        .stdout(output.try_clone().map_err(started)?)
        .stderr(output)
        // A group of its own, so that Ctrl-C leaves its end to the sandbox.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(started)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + START_MAX;
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().map_err(started)? {
            return Err(silent(&log, format!("ended with {status}")));
        }
        if TcpStream::connect(address).await.is_ok() {
            return Ok(Moto { _process: process, port, secret });
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(silent(&log, format!("did not listen within {} s", START_MAX.as_secs())))
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
