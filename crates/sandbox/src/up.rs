//! `sandbox up`: a sandbox until Ctrl-C.

use std::{
    error::Error,
    io::{self, Read},
    process::ExitCode,
    thread,
};

use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{
    cli,
    sandbox::{NODE_TAG, Sandbox},
};

/// Runs a sandbox until a signal, or until stdin closes if that is asked for.
#[allow(clippy::needless_pass_by_value)] // It is all there is to do.
pub fn run(arguments: cli::Up) -> ExitCode {
    match runtime().block_on(up(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

/// The runtime of the whole program.
pub(crate) fn runtime() -> Runtime {
    Runtime::new().expect("the operating system gives threads")
}

/// Tells an error with all that led to it.
pub(crate) fn failed(error: &dyn Error) -> ExitCode {
    eprint!("sandbox: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprint!(": {error}");
        cause = error.source();
    }
    eprintln!();
    ExitCode::FAILURE
}

async fn up(arguments: &cli::Up) -> Result<(), Box<dyn Error>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let closed = arguments.until_stdin_closes.then(stdin_closes);
    let started = async {
        let options = &arguments.options;
        Sandbox::start(arguments.port, arguments.nodes, options, |step| eprintln!("{step} …")).await
    };
    let ended = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = until(closed) => {}
        }
    };
    tokio::pin!(ended);
    let sandbox = tokio::select! {
        sandbox = started => sandbox?,
        () = &mut ended => return Ok(()),
    };
    println!("{}", instructions(&sandbox));
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

fn instructions(sandbox: &Sandbox) -> String {
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

  export AWS_ENDPOINT_URL={endpoint} AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox

  aws ssm send-command --document-name AWS-RunShellScript --instance-ids {node} \
    --parameters 'commands=["echo hello from $AWS_SSM_INSTANCE_ID"]'
  aws ssm list-command-invocations --details

  aws stepfunctions start-execution --state-machine-arn {machine} \
    --input '{{"InstanceIds":["{node}"],"Commands":["echo hello"]}}'
  aws stepfunctions describe-execution --execution-arn …

State machines:"#,
        nodes = sandbox.nodes().join(", "),
        directory = sandbox.directory().display(),
    );
    for arn in machines.values() {
        text.push_str("\n  ");
        text.push_str(arn);
    }
    text.push_str("\n\nCtrl-C stops everything.");
    text
}
