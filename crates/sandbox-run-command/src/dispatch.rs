//! Carries a command to its nodes: a few at a time, to no more of them after too many errors, and to
//! none after its time to begin has passed.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::agent::{Agent, Answer, Prepared, Stop, WORKER_TIMEOUT, worker_lost};
use crate::documents::{Action, CommandDocument, Step, Values};
use crate::limit::Limit;
use crate::nodes::{Behaviour, Node, Platform, Target};
use crate::shared::Shared;
use crate::status::StatusDetails;
use crate::store::{Number, StepReport};

/// What a command is to do, where, and until when it may begin.
pub(crate) struct Plan {
    pub(crate) number: Number,
    pub(crate) command_id: String,
    pub(crate) document: CommandDocument,
    pub(crate) values: Values,
    pub(crate) nodes: Selection,
    pub(crate) concurrency: Limit,
    pub(crate) deadline: Instant,
}

/// The nodes of a command.
pub(crate) enum Selection {
    /// Named one by one; the store knows them already.
    Named(Vec<Node>),
    /// Those that match, to be looked for now.
    Matching(Vec<Target>),
}

/// Carries a command to its end.
pub(crate) async fn dispatch(shared: Arc<Shared>, plan: Plan) {
    let Some(nodes) = select(&shared, &plan).await else { return };
    let at_once = plan.concurrency.of(nodes.len()).max(1);
    let deadline = plan.deadline;
    let plan = Arc::new(plan);
    let mut queue = nodes.into_iter().enumerate();
    let mut running = JoinSet::new();
    let mut expiry = pin!(sleep_until(deadline));
    let mut expired = false;
    // Ends: every turn ends an invocation that runs, or is the one turn in which the rest expires.
    loop {
        while running.len() < at_once
            && let Some((position, node)) = queue.next()
        {
            let taken = shared.store().take(plan.number, position);
            if let Some(cancel) = taken {
                let (shared, plan) = (Arc::clone(&shared), Arc::clone(&plan));
                running.spawn(invoke(shared, plan, position, node, cancel));
            }
        }
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok(())) => {}
                // A fault of this program: better loud than an invocation that never ends.
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => break,
            },
            () = &mut expiry, if !expired => {
                expired = true;
                shared.store().end_pending(plan.number, StatusDetails::DeliveryTimedOut);
            }
        }
    }
}

async fn select(shared: &Shared, plan: &Plan) -> Option<Vec<Node>> {
    let targets = match &plan.nodes {
        Selection::Named(nodes) => return Some(nodes.clone()),
        Selection::Matching(targets) => targets,
    };
    match shared.nodes.all().await {
        Ok(nodes) => {
            let nodes: Vec<_> =
                nodes.into_iter().filter(|node| node.is_targeted(targets)).collect();
            shared.store().begin(plan.number, &nodes);
            Some(nodes)
        }
        Err(error) => {
            eprintln!("command {} failed: {error}", plan.command_id);
            shared.store().fail(plan.number);
            None
        }
    }
}

/// Runs a command on one node, as far as the node's agent takes part.
async fn invoke(
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    position: usize,
    node: Node,
    cancel: watch::Receiver<bool>,
) {
    let report = |details: StatusDetails, steps: &[StepReport]| {
        shared.store().report(plan.number, position, details, steps)
    };
    let end = shared.ends.next(&node.id);
    let stop = Stop::new(cancel, shared.closing.subscribe());
    let behaviour = node.file.agent;
    match behaviour {
        Behaviour::Undeliverable => {
            report(StatusDetails::Undeliverable, &[]);
        }
        Behaviour::AccessDenied => {
            report(StatusDetails::AccessDenied, &[]);
        }
        Behaviour::Silent => {
            report(StatusDetails::InProgress, &[]);
            report(without_answer(stop, plan.deadline).await, &[]);
        }
        Behaviour::Online | Behaviour::WorkerLost if !plan.document.is_for(&node) => {
            report(StatusDetails::InvalidPlatform, &[]);
        }
        Behaviour::Online | Behaviour::WorkerLost => {
            let parameters = shared.parameters.as_ref();
            let prepared = Prepared::of_command(&plan.document, &plan.values, parameters).await;
            let document = match prepared {
                Ok(document) => document,
                Err(reason) => return shared.store().refuse(plan.number, position, &reason),
            };
            // It may have been cancelled since it was taken from the queue.
            if !report(StatusDetails::InProgress, &[]) {
                return;
            }
            let agent = Agent {
                node,
                command_id: plan.command_id.clone(),
                region: shared.settings.region.clone(),
                documents: Arc::clone(&shared.documents),
                parameters: Arc::clone(&shared.parameters),
                environment: shared.settings.environment.clone(),
                random: shared.random.clone(),
                stop: stop.with_end(end.clone()),
                written: Mutex::default(),
            };
            if behaviour == Behaviour::WorkerLost {
                return lose_worker(agent, document, |steps| {
                    report(StatusDetails::Failed, steps);
                })
                .await;
            }
            let progress = |steps: &[StepReport]| {
                if !end.has_come() {
                    report(StatusDetails::InProgress, steps);
                }
            };
            match agent.run(&document, progress).await {
                Answer::Ended(details, steps) if !end.has_come() => {
                    report(details, &steps);
                }
                Answer::Ended(..) | Answer::None => {
                    let details = without_answer(stop, plan.deadline).await;
                    report(details, &[]);
                }
            }
        }
    }
}

/// How an invocation ends of which the agent says nothing.
async fn without_answer(mut stop: Stop, deadline: Instant) -> StatusDetails {
    tokio::select! {
        () = stop.requested() => StatusDetails::Cancelled,
        () = sleep_until(deadline) => StatusDetails::DeliveryTimedOut,
    }
}

/// Runs a document and loses sight of it: no cancel reaches it, and what it reports is not seen. A
/// minute later, the agent reports a failure.
async fn lose_worker(agent: Agent, document: Prepared, report: impl FnOnce(&[StepReport])) {
    let mut stop = agent.stop.without_cancel();
    let agent = Agent { stop: stop.clone(), ..agent };
    let lost = document.steps.first().map(|step| step.name.clone());
    let run = tokio::spawn(async move {
        agent.run(&document, |_| {}).await;
    });
    tokio::select! {
        () = sleep(WORKER_TIMEOUT) => {}
        () = stop.requested() => {}
    }
    report(lost.map(|step| worker_lost(&step)).as_slice());
    if let Err(error) = run.await {
        // A fault of this program: better loud than hidden.
        std::panic::resume_unwind(error.into_panic());
    }
}

impl CommandDocument {
    /// Whether the service lets the node have the document: not if it has shell scripts only, and
    /// the node runs Windows. Preconditions do not count.
    fn is_for(&self, node: &Node) -> bool {
        let is_shell = |step: &Step| step.action == Action::RunShellScript;
        self.steps.is_empty()
            || node.file.platform_type == Platform::Linux
            || !self.steps.iter().all(is_shell)
    }
}
