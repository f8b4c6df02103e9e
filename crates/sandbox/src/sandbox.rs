//! The sandbox as a whole: puts the parts together, starts them and stops them.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox_automation::Automation;
use sandbox_run_command::{NodeFile, RunCommand, create_node};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::arn::ACCOUNT;
use crate::aws::Client;
use crate::cloudformation::stack::{self, Stack, StackError};
use crate::cloudwatch::metrics::Metrics;
use crate::credentials::Credentials;
use crate::directory::{self, DirectoryError};
use crate::ec2::instances::Instances;
use crate::eventbridge::delivery::Delivery;
use crate::eventbridge::put_events::EventBus;
use crate::eventbridge::rules::Rules;
use crate::eventbridge::schedule;
use crate::faults::{FaultPlan, Faults, Switch};
use crate::gate::Gate;
use crate::gateway::{self, Gateway};
use crate::guard::{MARK_VARIABLE, Remains};
use crate::iam::roles::Roles;
use crate::lambda::functions::{self, Lambda};
use crate::lambda::queue::InvocationQueue;
use crate::lambda::requests::LambdaRequests;
use crate::moto::{self, Moto, MotoError};
use crate::page::{About, Page, Shown};
use crate::record::{LogError, Record};
use crate::ssm::account::EndpointAccount;
use crate::ssm::documents::StoredDocuments;
use crate::ssm::parameters::StoredParameters;
use crate::step_functions::{self, StateMachinesError, history};

/// Each node has this tag, and this is its value.
pub const NODE_TAG: (&str, &str) = ("Role", "web");
/// The tag that the stack's policies ask of nodes, by default.
const ALLOWED_TAG: (&str, &str) = ("RunCommandRelay", "allowed");

/// The outputs of the stack that name the documents which run a script and answer its task.
const SCRIPT_DOCUMENTS: [&str; 2] =
    ["RunShellScriptDocumentName", "RunPowerShellScriptDocumentName"];
/// The outputs of the stack that name its functions.
const FUNCTIONS: [&str; 2] = ["RelayFunctionName", "SweepFunctionName"];

/// How to start a sandbox.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port of the endpoint, on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The number of managed nodes at the start.
    pub nodes: u16,
    /// The directory for nodes, functions and logs; `None` takes a temporary one.
    pub directory: Option<PathBuf>,
    /// The CloudFormation template to deploy.
    pub template: PathBuf,
    /// Values of the template's parameters.
    pub parameters: BTreeMap<String, String>,
    /// The directory of the state machines to create.
    pub state_machines: PathBuf,
    /// The directory of the built functions; `None` takes that of this program.
    pub functions: Option<PathBuf>,
    /// A Python that has moto.
    pub python: PathBuf,
    /// The region of everything.
    pub region: String,
    /// Reads of Run Command show the state as it was this long ago.
    pub read_lag: Duration,
    /// The time until the first retry of an asynchronous invocation.
    pub retry_after: Duration,
    /// The time until an instance that was launched is a managed node.
    pub managed_after: Duration,
    /// The period of all scheduled rules, and the sweep's interval; `None` leaves them as they are.
    pub schedule_every: Option<Duration>,
    /// How many executions of functions Lambda allows at a time, in the whole account. It only limits
    /// what functions may reserve.
    pub concurrency_limit: u32,
    /// Whether functions and runbooks call under their own roles.
    pub enforce_policies: bool,
    /// The permissions boundary without which no role can be created.
    pub demanded_boundary: Option<String>,
    /// What goes wrong.
    pub faults: Faults,
}

impl Settings {
    /// What is to be removed at the end.
    pub fn remains(&self) -> Remains {
        Remains { is_temporary: self.directory.is_none(), files: Vec::new() }
    }
}

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its port is taken, for example by another sandbox.
    #[error("listening on 127.0.0.1:{port} (--port takes another one)")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// It does not know where its own program is, and the functions with it.
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
    /// The state machines were not created.
    #[error(transparent)]
    StateMachines(#[from] StateMachinesError),
    /// A log could not be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A node could not be made.
    #[error("making node {id}")]
    Node {
        /// The node.
        id: String,
        /// Why.
        source: io::Error,
    },
}

/// A running sandbox.
pub struct Sandbox {
    endpoint: String,
    region: String,
    credentials: Credentials,
    directory: PathBuf,
    nodes: Vec<String>,
    stack: Stack,
    state_machines: BTreeMap<String, String>,
    run_command: RunCommand,
    page: Page,
    tasks: Vec<JoinHandle<()>>,
    moto: Moto,
}

impl Sandbox {
    /// Starts a sandbox at this port, deploys the stack into it, and adds nodes. Its processes are
    /// marked by `mark`.
    pub async fn start(
        mark: &str,
        settings: &Settings,
        progress: impl Fn(&str),
    ) -> Result<Self, StartError> {
        let directory = directory::prepare(settings.directory.as_deref(), mark)?;
        let port = settings.port;
        let run = mark.to_owned();
        let mark = (MARK_VARIABLE.to_owned(), mark.to_owned());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| StartError::Listen { port, source })?;
        let port =
            listener.local_addr().map_err(|source| StartError::Listen { port, source })?.port();
        let endpoint = format!("http://127.0.0.1:{port}");

        progress("starting the emulator of Step Functions, CloudFormation and the rest");
        let credentials = Credentials::random();
        let mut moto = Moto::start(&moto::Settings {
            python: settings.python.clone(),
            directory: directory.clone(),
            sandbox_port: port,
            region: settings.region.clone(),
            concurrency_limit: settings.concurrency_limit,
            credentials: credentials.clone(),
            demanded_boundary: settings.demanded_boundary.clone(),
            mark: mark.clone(),
        })
        .await?;
        let client = moto.client(&settings.region, &credentials)?;
        let nodes = create_nodes(&directory, settings.nodes)?;
        let parts = Parts::new(&directory, &endpoint, &client, settings, &credentials, &mark)?;
        let run_command = parts.run_command.clone();
        let history = moto.take_history().map(|lines| {
            let record = parts.record.clone();
            tokio::spawn(history::follow(lines, record))
        });

        progress("deploying the stack");
        let functions = match &settings.functions {
            Some(directory) => directory.clone(),
            None => directory_of_this_program().map_err(StartError::Program)?,
        };
        let stack =
            stack::deploy(&client, &settings.template, &settings.parameters, &functions).await?;
        let state_machines =
            step_functions::create_state_machines(&client, &settings.state_machines).await?;
        if let Some(every) = settings.schedule_every {
            stack::set_sweep_interval(&client, every.as_secs()).await?;
        }
        // Not earlier, so that no early look at the rules misses those of the stack.
        let gate = Gate::new(port, &credentials.access_key_id, parts.roles.clone());
        let about = About {
            port,
            run,
            documents: outputs(&stack, &SCRIPT_DOCUMENTS),
            functions: outputs(&stack, &FUNCTIONS),
            node_tag: NODE_TAG,
            schedule_seconds: settings.schedule_every.map(|every| every.as_secs()),
        };
        let shown = Shown {
            record: parts.record.clone(),
            run_command: run_command.clone(),
            faults: Arc::clone(&parts.faults),
            client: Client::new(&endpoint, &settings.region, &credentials)?,
        };
        let page = Page::new(shown, about);
        let mut tasks = parts.serve(listener, gate, page.clone(), client, settings);
        tasks.extend(history);
        let region = settings.region.clone();
        Ok(Self {
            endpoint,
            region,
            credentials,
            directory,
            nodes,
            stack,
            state_machines,
            run_command,
            page,
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

    /// The stack as it was deployed.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The ARNs of the state machines, by name.
    pub fn state_machines(&self) -> &BTreeMap<String, String> {
        &self.state_machines
    }

    /// What happens, in a browser.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Switches a fault on or off.
    pub fn switch(&self, fault: Switch, on: bool) {
        self.page.switch(fault, on);
    }

    /// Stops everything. The guard ends what is left.
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
    instances: Instances,
    lambda: Lambda,
    metrics: Metrics,
    logs: PathBuf,
    queue: InvocationQueue,
    events: mpsc::UnboundedSender<serde_json::Value>,
    arriving: mpsc::UnboundedReceiver<serde_json::Value>,
    delivery: Delivery,
    rules: Rules,
    faults: Arc<Mutex<FaultPlan>>,
    roles: Option<Roles>,
    record: Record,
}

impl Parts {
    fn new(
        directory: &Path,
        endpoint: &str,
        moto: &Client,
        settings: &Settings,
        credentials: &Credentials,
        mark: &(String, String),
    ) -> Result<Self, StartError> {
        let record = Record::open(&directory.join("logs"))?;
        let (events, arriving) = mpsc::unbounded_channel();
        let documents = Arc::new(StoredDocuments::new(moto.clone()));
        let enforced = settings.enforce_policies.then(|| Roles::new(moto.clone()));
        let own_endpoint = Client::new(endpoint, &settings.region, &credentials.for_automation())?;
        let automation = Automation::new(
            sandbox_automation::Settings {
                region: settings.region.clone(),
                account: ACCOUNT.to_owned(),
            },
            Arc::clone(&documents) as _,
            Arc::new(EndpointAccount::new(own_endpoint, enforced.clone())),
        );
        let run_command = RunCommand::new(
            sandbox_run_command::Settings {
                directory: directory.to_owned(),
                region: settings.region.clone(),
                account: ACCOUNT.to_owned(),
                read_lag: settings.read_lag,
                environment: vec![mark.clone()],
                seed: settings.faults.seed,
            },
            documents,
            Arc::new(StoredParameters::new(moto.clone())),
            events.clone(),
            Arc::new(record.clone()),
        );
        let instances = Instances::new(
            directory.to_owned(),
            moto.clone(),
            run_command.clone(),
            settings.managed_after,
        );
        let for_functions = functions::Settings {
            directory: directory.to_owned(),
            endpoint: endpoint.to_owned(),
            region: settings.region.clone(),
            credentials: credentials.clone(),
            mark: mark.clone(),
        };
        let metrics = Metrics::default();
        let lambda = Lambda::new(
            for_functions,
            moto.clone(),
            enforced.clone(),
            metrics.clone(),
            record.clone(),
        );
        let queue = InvocationQueue::new(
            lambda.clone(),
            moto.clone(),
            record.clone(),
            &settings.region,
            settings.retry_after,
        );
        let rules = Rules::new(moto.clone());
        let faults = Arc::new(Mutex::new(FaultPlan::new(settings.faults)));
        let delivery = Delivery::new(
            rules.clone(),
            moto.clone(),
            queue.clone(),
            record.clone(),
            Arc::clone(&faults),
        );
        Ok(Self {
            run_command,
            automation,
            instances,
            lambda,
            metrics,
            logs: directory.join("logs"),
            queue,
            events,
            arriving,
            delivery,
            rules,
            faults,
            roles: enforced,
            record,
        })
    }

    /// Starts to answer requests, to deliver events and to fire schedules.
    fn serve(
        self,
        listener: TcpListener,
        gate: Gate,
        page: Page,
        moto: Client,
        settings: &Settings,
    ) -> Vec<JoinHandle<()>> {
        let region = settings.region.clone();
        let metrics = self.metrics.run(moto.clone(), region.clone(), self.logs);
        let router = gateway::router(Gateway {
            gate,
            run_command: self.run_command,
            automation: self.automation,
            instances: self.instances,
            lambda: LambdaRequests {
                functions: self.lambda,
                queue: self.queue,
                moto: moto.clone(),
                region: region.clone(),
            },
            event_bus: EventBus { events: self.events, region: region.clone() },
            moto,
            record: self.record.clone(),
            page,
            faults: self.faults,
            roles: self.roles,
        });
        let scheduled = schedule::run(
            self.rules,
            self.delivery.clone(),
            region,
            settings.schedule_every,
            self.record,
        );
        vec![
            tokio::spawn(async move {
                // It only ends with the sandbox.
                let _ = axum::serve(listener, router).await;
            }),
            tokio::spawn(self.delivery.run(self.arriving)),
            tokio::spawn(scheduled),
            tokio::spawn(metrics),
        ]
    }
}

/// The values of these outputs of the stack, as far as it has them.
fn outputs(stack: &Stack, names: &[&str]) -> Vec<String> {
    names.iter().filter_map(|name| stack.outputs.get(*name).cloned()).collect()
}

fn create_nodes(directory: &Path, count: u16) -> Result<Vec<String>, StartError> {
    let mut ids = Vec::new();
    for number in 1..=count {
        let id = format!("i-{number:017x}");
        let node = NodeFile {
            name: Some(format!("node-{number}")),
            tags: [NODE_TAG, ALLOWED_TAG]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..NodeFile::default()
        };
        create_node(directory, &id, &node)
            .map_err(|source| StartError::Node { id: id.clone(), source })?;
        ids.push(id);
    }
    Ok(ids)
}

fn directory_of_this_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.parent().unwrap_or(&program).to_owned())
}
