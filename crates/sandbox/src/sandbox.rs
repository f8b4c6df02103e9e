//! The sandbox as a whole: puts the parts together, starts and stops them.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::{
    ACCOUNT,
    asynchronous::AsynchronousInvocations,
    automation::{self, Automation, EndpointAccount},
    aws::Client,
    cli::Options,
    credentials::Credentials,
    delivery::Delivery,
    documents::StoredDocuments,
    faults::{FaultPlan, Faults},
    gate::Gate,
    gateway::{self, Gateway},
    guard::{MARK_VARIABLE, temporary_directory},
    journal::Journal,
    lambda::{self, Lambda},
    moto::{self, Moto, MotoError},
    roles::Roles,
    rules::Rules,
    run_command::{self, NodeFile, RunCommand},
    schedule,
    stack::{self, Stack, StackError},
};

/// For its owner alone.
const DIRECTORY_MODE: u32 = 0o700;

/// Each node has this tag, and this is its value.
pub const NODE_TAG: (&str, &str) = ("Role", "web");

/// Why the sandbox does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory could not be made.
    #[error("preparing the directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its directory is open to others, who could put scripts and programs into it.
    #[error("the directory {path}: expected one that only you may write to, got mode {mode:o}")]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Its directory is somebody else's.
    #[error("the directory {path}: expected one of yours, got one of user {owner}")]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// The id of its owner.
        owner: u32,
    },
    /// Its port is taken, for example by another sandbox.
    #[error("listening on 127.0.0.1:{port} (--port takes another one)")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// It does not know where its own program is, beside which the functions are built.
    #[error("finding this program (--functions names the functions' directory)")]
    Program(#[source] io::Error),
    /// The HTTP client could not be made.
    #[error("making an HTTP client")]
    Client(#[from] reqwest::Error),
    /// Moto does not run.
    #[error(transparent)]
    Moto(#[from] MotoError),
    /// The stack was not deployed.
    #[error(transparent)]
    Stack(#[from] StackError),
}

/// A running sandbox.
pub struct Sandbox {
    endpoint: String,
    region: String,
    credentials: Credentials,
    directory: PathBuf,
    nodes: Vec<String>,
    stack: Stack,
    run_command: RunCommand,
    faults: Arc<Mutex<FaultPlan>>,
    tasks: Vec<JoinHandle<()>>,
    moto: Moto,
}

impl Sandbox {
    /// Starts a sandbox at this port, deploys the stack into it, and adds nodes. Its processes are
    /// marked by `mark`.
    pub async fn start(
        mark: &str,
        port: u16,
        nodes: u16,
        options: &Options,
        progress: impl Fn(&str),
    ) -> Result<Sandbox, StartError> {
        let directory = prepare(options.directory.as_deref(), mark)?;
        let mark = (MARK_VARIABLE.to_owned(), mark.to_owned());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| StartError::Listen { port, source })?;
        let port =
            listener.local_addr().map_err(|source| StartError::Listen { port, source })?.port();
        let endpoint = format!("http://127.0.0.1:{port}");

        progress("starting the emulator of Step Functions, CloudFormation and the rest");
        let credentials = Credentials::random();
        let moto = Moto::start(&moto::Settings {
            python: options.python.clone(),
            directory: directory.clone(),
            sandbox_port: port,
            region: options.region.clone(),
            credentials: credentials.clone(),
            mark: mark.clone(),
        })
        .await?;
        let client = moto.client(&options.region, &credentials)?;
        let nodes = create_nodes(&directory, nodes)?;
        let parts = Parts::new(&directory, &endpoint, &client, options, &credentials, &mark)?;
        let run_command = parts.run_command.clone();
        let faults = Arc::clone(&parts.faults);

        progress("deploying the stack");
        let functions = match &options.functions {
            Some(directory) => directory.clone(),
            None => directory_of_this_program().map_err(StartError::Program)?,
        };
        let stack = Stack {
            outputs: stack::deploy(&client, &options.template, &functions).await?,
            state_machines: stack::create_state_machines(&client, &options.state_machines).await?,
        };
        if let Some(seconds) = options.schedule_seconds {
            stack::set_sweep_interval(&client, seconds).await?;
        }
        // Not before, so that no rule of the stack is missed by an early look at the rules.
        let gate = Gate::new(port, &credentials.access_key_id, parts.roles.clone());
        let tasks = parts.serve(listener, gate, client, options);
        let region = options.region.clone();
        Ok(Sandbox {
            endpoint,
            region,
            credentials,
            directory,
            nodes,
            stack,
            run_command,
            faults,
            tasks,
            moto,
        })
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The region that everything is in.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The key of this run, without which nobody is let in.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Where nodes, functions and logs are kept.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The ids of the nodes that were there at first.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// What was deployed.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// From now on, this goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = FaultPlan::new(faults);
    }

    /// Stops everything. What is left then, the guard ends.
    pub async fn stop(self) {
        for task in &self.tasks {
            task.abort();
        }
        self.run_command.stop().await;
        drop(self.moto);
    }
}

/// The parts that answer requests.
struct Parts {
    run_command: RunCommand,
    automation: Automation,
    lambda: Lambda,
    invocations: AsynchronousInvocations,
    events: mpsc::UnboundedSender<serde_json::Value>,
    arriving: mpsc::UnboundedReceiver<serde_json::Value>,
    delivery: Delivery,
    rules: Rules,
    faults: Arc<Mutex<FaultPlan>>,
    roles: Option<Roles>,
    calls: Journal,
    deliveries: Arc<Journal>,
}

impl Parts {
    fn new(
        directory: &Path,
        endpoint: &str,
        moto: &Client,
        options: &Options,
        credentials: &Credentials,
        mark: &(String, String),
    ) -> Result<Parts, StartError> {
        let (events, arriving) = mpsc::unbounded_channel();
        let documents = Arc::new(StoredDocuments::new(moto.clone()));
        let enforced = options.enforce_policies.then(|| Roles::new(moto.clone()));
        let own_endpoint = Client::new(endpoint, &options.region, &credentials.for_automation())?;
        let automation = Automation::new(
            automation::Settings { region: options.region.clone(), account: ACCOUNT.to_owned() },
            Arc::clone(&documents) as _,
            Arc::new(EndpointAccount::new(own_endpoint, enforced.clone())),
        );
        let run_command = RunCommand::new(
            run_command::Settings {
                directory: directory.to_owned(),
                region: options.region.clone(),
                account: ACCOUNT.to_owned(),
                read_lag: Duration::from_millis(options.read_lag_ms),
                environment: vec![mark.clone()],
            },
            documents,
            events.clone(),
        );
        let settings = lambda::Settings {
            directory: directory.to_owned(),
            endpoint: endpoint.to_owned(),
            region: options.region.clone(),
            credentials: credentials.clone(),
            mark: mark.clone(),
        };
        let lambda = Lambda::new(settings, moto.clone(), enforced.clone());
        let deliveries = Arc::new(open_journal(directory, "delivery.log")?);
        let invocations = AsynchronousInvocations::new(
            lambda.clone(),
            moto.clone(),
            Arc::clone(&deliveries),
            &options.region,
            Duration::from_secs_f64(options.retry_seconds),
        );
        let rules = Rules::new(moto.clone());
        let faults = Arc::new(Mutex::new(FaultPlan::new(options.faults)));
        let delivery = Delivery::new(
            rules.clone(),
            moto.clone(),
            invocations.clone(),
            Arc::clone(&deliveries),
            Arc::clone(&faults),
        );
        Ok(Parts {
            run_command,
            automation,
            lambda,
            invocations,
            events,
            arriving,
            delivery,
            rules,
            faults,
            roles: enforced,
            calls: open_journal(directory, "calls.log")?,
            deliveries,
        })
    }

    /// Begins to answer, to deliver and to fire schedules.
    fn serve(
        self,
        listener: TcpListener,
        gate: Gate,
        moto: Client,
        options: &Options,
    ) -> Vec<JoinHandle<()>> {
        let router = gateway::router(Gateway {
            gate,
            run_command: self.run_command,
            automation: self.automation,
            lambda: self.lambda,
            invocations: self.invocations,
            events: self.events,
            moto,
            journal: self.calls,
            faults: self.faults,
            roles: self.roles,
            region: options.region.clone(),
        });
        let every = options.schedule_seconds.map(Duration::from_secs);
        let scheduled = schedule::run(
            self.rules,
            self.delivery.clone(),
            options.region.clone(),
            every,
            self.deliveries,
        );
        vec![
            tokio::spawn(async move {
                // It only ends with the sandbox.
                let _ = axum::serve(listener, router).await;
            }),
            tokio::spawn(self.delivery.run(self.arriving)),
            tokio::spawn(scheduled),
        ]
    }
}

/// Makes the directory, which is nobody's but its owner's: scripts and programs are run from it.
fn prepare(given: Option<&Path>, mark: &str) -> Result<PathBuf, StartError> {
    let temporary = temporary_directory(mark);
    let path = given.unwrap_or(&temporary);
    let failed = |source| StartError::Directory { path: path.to_owned(), source };
    let mut private = fs::DirBuilder::new();
    private.mode(DIRECTORY_MODE);
    match private.create(path) {
        Err(error) if given.is_some() && error.kind() == io::ErrorKind::AlreadyExists => {
            close(path)?;
        }
        result => result.map_err(failed)?,
    }
    for part in ["logs", "nodes", "functions", "moto"] {
        fs::create_dir_all(path.join(part)).map_err(failed)?;
    }
    // Functions and scripts start elsewhere, so relative paths would lead them astray.
    path.canonicalize().map_err(failed)
}

/// Closes a directory that was there already to everybody else, if nobody else can have put
/// something into it.
fn close(path: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::Directory { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if owner != rustix::process::geteuid().as_raw() {
        return Err(StartError::ForeignDirectory { path: path.to_owned(), owner });
    }
    if mode & 0o022 != 0 {
        return Err(StartError::OpenDirectory { path: path.to_owned(), mode });
    }
    fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE)).map_err(failed)
}

fn open_journal(directory: &Path, name: &str) -> Result<Journal, StartError> {
    let path = directory.join("logs").join(name);
    Journal::open(&path).map_err(|source| StartError::Directory { path, source })
}

fn create_nodes(directory: &Path, count: u16) -> Result<Vec<String>, StartError> {
    let mut ids = Vec::new();
    for number in 1..=count {
        let id = format!("i-{number:017x}");
        let node = NodeFile {
            name: Some(format!("node-{number}")),
            tags: BTreeMap::from([(NODE_TAG.0.to_owned(), NODE_TAG.1.to_owned())]),
            ..NodeFile::default()
        };
        run_command::create_node(directory, &id, &node).map_err(|source| {
            StartError::Directory { path: directory.join("nodes").join(&id), source }
        })?;
        ids.push(id);
    }
    Ok(ids)
}

fn directory_of_this_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.parent().unwrap_or(&program).to_owned())
}
