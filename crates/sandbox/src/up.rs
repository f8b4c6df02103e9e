//! `sandbox up`: a sandbox until Ctrl-C.

mod env_file;
mod private_file;
mod ready_file;

use std::error::Error;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use tokio::sync::oneshot;

use crate::guard::Remains;
use crate::sandbox::{self, NODE_TAG, Sandbox};
use crate::stop::StopSignal;

/// How to run `up`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sandbox to start.
    pub sandbox: sandbox::Settings,
    /// Tells a shell how to reach it.
    pub env_file: PathBuf,
    /// Tells a program that it is ready, and how to use it.
    pub ready_file: Option<PathBuf>,
    /// Whether it ends when stdin closes.
    pub until_stdin_closes: bool,
}

/// Why a file of the sandbox could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing {path} ({option} takes another one)")]
struct FileError {
    path: PathBuf,
    option: &'static str,
    source: io::Error,
}

impl Settings {
    /// What is to be removed at the end.
    pub fn remains(&self) -> Remains {
        let mut remains = self.sandbox.remains();
        remains.files.push(self.env_file.clone());
        remains.files.extend(self.ready_file.clone());
        remains
    }
}

/// Runs a sandbox until a signal, or until stdin closes if that is asked for.
pub async fn run(settings: &Settings, mark: &str) -> Result<ExitCode, Box<dyn Error>> {
    let mut stop = StopSignal::listen()?;
    let closed = settings.until_stdin_closes.then(stdin_closes);
    let started = Sandbox::start(mark, &settings.sandbox, |step| eprintln!("{step} …"));
    let ended = async {
        tokio::select! {
            () = stop.received() => {}
            () = until(closed) => {}
        }
    };
    tokio::pin!(ended);
    let sandbox = tokio::select! {
        sandbox = started => sandbox?,
        () = &mut ended => return Ok(ExitCode::SUCCESS),
    };
    write_files(settings, &sandbox, mark)?;
    println!("{}", instructions(&sandbox, &settings.env_file));
    ended.await;
    eprintln!("stopping …");
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The ready file last: whoever finds it finds everything.
fn write_files(settings: &Settings, sandbox: &Sandbox, mark: &str) -> Result<(), Box<dyn Error>> {
    let write = |path: &Path, text: &str, option| {
        private_file::replace(path, text).map_err(|source| FileError {
            path: path.to_owned(),
            option,
            source,
        })
    };
    write(&settings.env_file, &env_file::text(sandbox, mark), "--env-file")?;
    if let Some(path) = &settings.ready_file {
        write(path, &ready_file::text(sandbox, mark)?, "--ready-file")?;
    }
    Ok(())
}

/// Ends when stdin does. Read by a thread of its own, which the program does not wait for.
fn stdin_closes() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
        let _ = sender.send(());
    });
    receiver
}

async fn until(closed: Option<oneshot::Receiver<()>>) {
    match closed {
        // The sender is only dropped after it has sent.
        Some(closed) => drop(closed.await),
        None => std::future::pending().await,
    }
}

fn instructions(sandbox: &Sandbox, env_file: &Path) -> String {
    let endpoint = sandbox.endpoint();
    let node = sandbox.nodes().first().map_or("INSTANCE_ID", String::as_str);
    let (tag, value) = NODE_TAG;
    let machines = sandbox.state_machines();
    let machine = machines
        .iter()
        .find(|(name, _)| name.as_str() == "run-command-by-instance-ids")
        .or_else(|| machines.iter().next())
        .map_or("STATE_MACHINE_ARN", |(_, arn)| arn.as_str());
    let mut text = format!(
        r#"endpoint {endpoint}
page     {page}

Managed nodes: {nodes} (tag {tag}={value})
Logs, and a directory for each node: {directory}

In another terminal:

  . {env_file}

  aws ssm send-command --document-name AWS-RunShellScript --instance-ids {node} \
    --parameters 'commands=["echo hello from $AWS_SSM_INSTANCE_ID"]'
  aws ssm list-command-invocations --details

  aws stepfunctions start-execution --state-machine-arn {machine} \
    --input '{{"InstanceIds":["{node}"],"Commands":["echo hello"]}}'
  aws stepfunctions describe-execution --execution-arn …

  cargo run -p operator -- check --stack {stack}
  cargo run -p operator -- explain COMMAND_ID --stack {stack}

State machines:"#,
        page = sandbox.page().address(),
        env_file = sourced(env_file),
        stack = sandbox.stack().name,
        nodes = sandbox.nodes().join(", "),
        directory = sandbox.directory().display(),
    );
    for arn in machines.values() {
        text.push_str("\n  ");
        text.push_str(arn);
    }
    text.push_str("\n\nScripts run as you, with your files. Ctrl-C stops everything.");
    text
}

/// The file as a shell expects it after its dot: it looks for a name without a slash elsewhere.
fn sourced(path: &Path) -> String {
    if path.components().count() == 1 {
        format!("./{}", path.display())
    } else {
        path.display().to_string()
    }
}
