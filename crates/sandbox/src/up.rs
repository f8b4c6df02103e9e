//! `sandbox up`: a sandbox until Ctrl-C.

use std::{
    error::Error,
    io::{self, Read},
    path::Path,
    process::ExitCode,
    thread,
};

use tokio::{runtime::Runtime, sync::oneshot};

use crate::{
    cli, env_file,
    printable::printable,
    sandbox::{NODE_TAG, Sandbox},
    stop::StopSignal,
};

/// Runs a sandbox until a signal, or until stdin closes if that is asked for.
pub fn run(arguments: &cli::Up, mark: &str) -> ExitCode {
    match runtime().block_on(up(arguments, mark)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

/// The runtime of the whole program.
pub(crate) fn runtime() -> Runtime {
    Runtime::new().expect("the operating system gives threads")
}

/// Tells an error with all that led to it.
pub(crate) fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    let text = format!("sandbox: {}", causes.join(": "));
    text.lines().for_each(|line| eprintln!("{}", printable(line)));
    ExitCode::FAILURE
}

async fn up(arguments: &cli::Up, mark: &str) -> Result<(), Box<dyn Error>> {
    let mut stop = StopSignal::listen()?;
    let closed = arguments.until_stdin_closes.then(stdin_closes);
    let started = async {
        let cli::Up { port, nodes, options, .. } = arguments;
        Sandbox::start(mark, *port, *nodes, options, |step| eprintln!("{step} …")).await
    };
    let ended = async {
        tokio::select! {
            () = stop.received() => {}
            () = until(closed) => {}
        }
    };
    tokio::pin!(ended);
    let sandbox = tokio::select! {
        sandbox = started => sandbox?,
        () = &mut ended => return Ok(()),
    };
    env_file::write(&arguments.env_file, &sandbox, mark)?;
    println!("{}", instructions(&sandbox, &arguments.env_file));
    ended.await;
    eprintln!("stopping …");
    sandbox.stop().await;
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
    let machines = &sandbox.stack().state_machines;
    let machine = machines
        .iter()
        .find(|(name, _)| name.as_str() == "run-command-by-instance-ids")
        .or_else(|| machines.iter().next())
        .map_or("STATE_MACHINE_ARN", |(_, arn)| arn.as_str());
    let mut text = format!(
        r#"endpoint {endpoint}

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

State machines:"#,
        env_file = sourced(env_file),
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

/// The file as a shell takes it after its dot: a name without a slash would be looked for elsewhere.
fn sourced(path: &Path) -> String {
    if path.components().count() == 1 {
        format!("./{}", path.display())
    } else {
        path.display().to_string()
    }
}
