//! Carries a command to its nodes: a few at a time, to no more of them after too many errors, and to
//! none after its time to begin has passed.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::agent::{self, Agent};
use crate::documents::{CommandDocument, Values};
use crate::limit::Limit;
use crate::nodes::{Behaviour, Node, Target};
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
    mut cancel: watch::Receiver<bool>,
) {
    let report = |details: StatusDetails, steps: &[StepReport]| {
        shared.store().report(plan.number, position, details, steps)
    };
    let platform = node.file.platform_type;
    match node.file.agent {
        Behaviour::Undeliverable => {
            report(StatusDetails::Undeliverable, &[]);
        }
        Behaviour::AccessDenied => {
            report(StatusDetails::AccessDenied, &[]);
        }
        Behaviour::Silent => {
            report(StatusDetails::InProgress, &[]);
            let details = tokio::select! {
                () = agent::cancelled(&mut cancel) => StatusDetails::Cancelled,
                () = sleep_until(plan.deadline) => StatusDetails::DeliveryTimedOut,
            };
            report(details, &[]);
        }
        Behaviour::Online if !plan.document.steps.iter().any(|step| step.runs_on(platform)) => {
            report(StatusDetails::InvalidPlatform, &[]);
        }
        // It may have been cancelled since it was taken from the queue.
        Behaviour::Online if !report(StatusDetails::InProgress, &[]) => {}
        Behaviour::Online => {
            let agent = Agent {
                node,
                command_id: plan.command_id.clone(),
                region: shared.settings.region.clone(),
                documents: Arc::clone(&shared.documents),
                environment: shared.settings.environment.clone(),
                cancel,
            };
            let progress = |steps: &[StepReport]| {
                report(StatusDetails::InProgress, steps);
            };
            let (details, steps) = agent.run(&plan.document, &plan.values, progress).await;
            report(details, &steps);
        }
    }
}
