//! Every command that was sent, with its invocations and their statuses.
//!
//! All changes of a status go through here, so that counts, the command's own status and the
//! events always follow.

mod event;
mod record;
mod timeline;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use event::Publisher;
pub(crate) use record::{
    CommandRecord, CommandState, InvocationRecord, InvocationState, StepReport,
};

use crate::api::ApiError;
use crate::documents::CommandDocument;
use crate::nodes::Node;
use crate::observer::{Change, InvocationResult, Observer};
use crate::request::SendCommand;
use crate::status::{Counts, StatusDetails, aggregate};
use timeline::Timeline;

/// The number of a command: they are numbered from 0 in the order in which they were sent.
pub(crate) type Number = usize;

/// Every command, oldest first.
pub(crate) struct Store {
    commands: Vec<CommandRecord>,
    numbers: HashMap<String, Number>,
    /// Commands that still ran at the last look; see [`Store::executing`].
    executing: BTreeSet<Number>,
    publisher: Publisher,
    observer: Arc<dyn Observer>,
    read_lag: Duration,
    /// Set when the sandbox ends: no new commands any more.
    closed: bool,
}

impl Store {
    /// A store without commands.
    pub(crate) fn new(
        publisher: Publisher,
        observer: Arc<dyn Observer>,
        read_lag: Duration,
    ) -> Self {
        Self {
            commands: Vec::new(),
            numbers: HashMap::new(),
            executing: BTreeSet::new(),
            publisher,
            observer,
            read_lag,
            closed: false,
        }
    }

    /// Tells the observer.
    pub(crate) fn tell(&self, change: Change<'_>) {
        self.observer.observe(change);
    }

    fn tell_command(&self, number: Number) {
        let command = &self.commands[number];
        let CommandState { details, counts } = *command.state.current();
        self.tell(Change::Command { command_id: &command.id, details, targets: counts.targets });
    }

    fn tell_invocation(&self, number: Number, position: usize) {
        let command = &self.commands[number];
        let invocation = &command.invocations[position];
        let InvocationState { details, steps, trace_output } = invocation.state.current();
        self.tell(Change::Invocation {
            command_id: &command.id,
            instance_id: &invocation.instance_id,
            details: *details,
            result: details.is_terminal().then(|| result_of(steps)).flatten(),
            trace_output,
        });
    }

    /// Every command, in the order in which they were sent, which is also that of `requested`.
    pub(crate) fn commands(&self) -> &[CommandRecord] {
        &self.commands
    }

    /// The number of the command of this id.
    pub(crate) fn number(&self, id: &str) -> Option<Number> {
        self.numbers.get(id).copied()
    }

    /// Numbers of the commands that had not ended at `time`, and maybe of some that had.
    pub(crate) fn executing(&mut self, time: Instant) -> &BTreeSet<Number> {
        // Kept when a command ends, because a late read still has to find it; dropped here, when
        // no read can see it executing any more.
        let commands = &self.commands;
        self.executing.retain(|number| {
            commands[*number].state.at(time).is_none_or(|state| !state.details.is_terminal())
        });
        &self.executing
    }

    /// Keeps a command that was just sent.
    pub(crate) fn add(
        &mut self,
        id: String,
        request: SendCommand,
        document: &CommandDocument,
        total_timeout: Duration,
    ) -> Result<Number, ApiError> {
        if self.closed {
            return Err(ApiError::internal("the sandbox is stopping"));
        }
        let number = self.commands.len();
        // A clock that was set back must not disturb the order, which pages rely on.
        let last = self.commands.last().map_or(Timestamp::MIN, |command| command.requested);
        let requested = Timestamp::now().max(last);
        let counts = Counts { targets: request.instance_ids.len(), ..Counts::default() };
        let state = CommandState { details: StatusDetails::Pending, counts };
        self.numbers.insert(id.clone(), number);
        self.executing.insert(number);
        self.commands.push(CommandRecord {
            id,
            request,
            document_name: document.name.clone(),
            step_names: document.steps.iter().map(|step| step.name.clone()).collect(),
            requested,
            expires: requested.saturating_add(total_timeout).unwrap_or(Timestamp::MAX),
            state: Timeline::new(Instant::now(), state, self.read_lag),
            invocations: Vec::new(),
            cancelled: false,
        });
        Ok(number)
    }

    /// The nodes of a command are known: each has a pending invocation from now on.
    pub(crate) fn begin(&mut self, number: Number, nodes: &[Node]) {
        let now = Instant::now();
        let command = &mut self.commands[number];
        command.invocations = nodes
            .iter()
            .map(|node| InvocationRecord {
                instance_id: node.id.clone(),
                instance_name: node.file.name.clone().unwrap_or_default(),
                state: Timeline::new(now, InvocationState::pending(), self.read_lag),
                cancel: watch::Sender::new(false),
            })
            .collect();
        let counts = Counts { targets: nodes.len(), ..Counts::default() };
        let current = command.state.current().details;
        command.state.push(now, CommandState { details: current, counts });
        let cancelled = command.cancelled;
        self.tell_command(number);
        if cancelled {
            self.end_pending(number, StatusDetails::Cancelled);
        } else if !nodes.is_empty() {
            self.change_command(number, StatusDetails::InProgress);
        }
        self.conclude(number);
    }

    /// Ends a command that never got as far as its nodes.
    pub(crate) fn fail(&mut self, number: Number) {
        self.change_command(number, StatusDetails::Failed);
    }

    /// Takes an invocation from the queue: it can be cancelled through what is returned. `None`
    /// if it is not to run any more, because it was cancelled or there were too many errors.
    pub(crate) fn take(
        &mut self,
        number: Number,
        position: usize,
    ) -> Option<watch::Receiver<bool>> {
        let command = &self.commands[number];
        let invocation = &command.invocations[position];
        if invocation.state.current().details != StatusDetails::Pending {
            return None;
        }
        if command.state.current().counts.errors > command.errors_max() {
            self.report(number, position, StatusDetails::Terminated, &[]);
            return None;
        }
        Some(invocation.cancel.subscribe())
    }

    /// Ends every invocation of a command that has not begun.
    pub(crate) fn end_pending(&mut self, number: Number, details: StatusDetails) {
        for position in 0..self.commands[number].invocations.len() {
            let state = self.commands[number].invocations[position].state.current();
            if state.details == StatusDetails::Pending {
                self.report(number, position, details, &[]);
            }
        }
    }

    /// Sets what is known of an invocation. Returns false, and does nothing, if it has ended.
    pub(crate) fn report(
        &mut self,
        number: Number,
        position: usize,
        details: StatusDetails,
        steps: &[StepReport],
    ) -> bool {
        self.set(number, position, InvocationState::of(details, steps))
    }

    /// The agent has refused the document for this reason. Does nothing if the invocation has ended.
    pub(crate) fn refuse(&mut self, number: Number, position: usize, reason: &str) {
        self.set(number, position, InvocationState::refused(reason));
    }

    fn set(&mut self, number: Number, position: usize, state: InvocationState) -> bool {
        let now = Instant::now();
        let command = &mut self.commands[number];
        let invocation = &mut command.invocations[position];
        let before = invocation.state.current().details;
        if before.is_terminal() {
            return false;
        }
        // A script that is being stopped stays so until it has ended.
        let cancelling = before == StatusDetails::Cancelling && !state.details.is_terminal();
        let details = if cancelling { before } else { state.details };
        invocation.state.push(now, InvocationState { details, ..state });
        if details.is_terminal() {
            let mut state = *command.state.current();
            state.counts.add(details);
            command.state.push(now, state);
        }
        if details != before {
            self.tell_invocation(number, position);
        }
        if details.status() != before.status() {
            let command = &self.commands[number];
            let invocation = &command.invocations[position];
            self.publisher.invocation_changed(command, invocation, details.status());
        }
        self.conclude(number);
        true
    }

    /// Cancels a command on these nodes, or on all of them if there are none given.
    pub(crate) fn cancel(&mut self, number: Number, instance_ids: &[String]) {
        if self.commands[number].state.current().details.is_terminal() {
            return;
        }
        if instance_ids.is_empty() {
            self.commands[number].cancelled = true;
            self.change_command(number, StatusDetails::Cancelling);
        }
        for position in 0..self.commands[number].invocations.len() {
            let invocation = &self.commands[number].invocations[position];
            if instance_ids.is_empty() || instance_ids.contains(&invocation.instance_id) {
                self.cancel_invocation(number, position);
            }
        }
    }

    fn cancel_invocation(&mut self, number: Number, position: usize) {
        let invocation = &self.commands[number].invocations[position];
        let InvocationState { details, steps, .. } = invocation.state.current().clone();
        // Also if it is pending: it may have been taken from the queue just now.
        invocation.cancel.send_replace(true);
        if details == StatusDetails::Pending {
            self.report(number, position, StatusDetails::Cancelled, &[]);
        } else {
            self.report(number, position, StatusDetails::Cancelling, &steps);
        }
    }

    /// Takes no command any more, and cancels those that run.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for number in self.executing.clone() {
            self.cancel(number, &[]);
        }
    }

    /// Ends a command if all of its invocations have ended.
    fn conclude(&mut self, number: Number) {
        let command = &self.commands[number];
        let CommandState { counts, .. } = command.state.current();
        if counts.completed == counts.targets {
            let ends: Vec<_> = command
                .invocations
                .iter()
                .map(|invocation| invocation.state.current().details)
                .collect();
            let details = aggregate(&ends, command.errors_max(), command.cancelled);
            self.change_command(number, details);
        }
    }

    fn change_command(&mut self, number: Number, details: StatusDetails) {
        let command = &mut self.commands[number];
        let before = *command.state.current();
        if before.details.is_terminal() || before.details == details {
            return;
        }
        command.state.push(Instant::now(), CommandState { details, ..before });
        self.tell_command(number);
        if details.status() != before.details.status() {
            let command = &self.commands[number];
            self.publisher.command_changed(command, details.status());
        }
    }
}

/// What a command did on one node by these steps. `None` if none has begun.
fn result_of(steps: &[StepReport]) -> Option<InvocationResult> {
    let failed = steps.iter().find(|step| step.details != StatusDetails::Success);
    let deciding = failed.or(steps.last())?;
    let all = |text: fn(&StepReport) -> &str| steps.iter().map(text).collect();
    let stdout = all(|step| &step.stdout);
    let stderr = all(|step| &step.stderr);
    Some(InvocationResult { response_code: deciding.response_code, stdout, stderr })
}
