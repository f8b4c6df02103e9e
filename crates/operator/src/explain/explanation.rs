//! The sentences about one command.

use std::collections::HashMap;

use callback::command::{OnAbandon, OnFailure};
use callback::ports::{LISTED_OUTPUTS_NODES_MAX, NODES_MAX, Outputs};
use callback::report::error_name;
use callback::settle::name_of_failure;
use callback::status::has_ended;
use callback::{Command, Invocation, RunCommand, StatusDetails, error_chain};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::command::LimitedCommand;
use crate::execution::{Execution, Task};
use crate::nodes::{Agent, agents};
use crate::printout::{Mark, Page, State};
use crate::problem::Problem;
use crate::relay_answer::{Answered, RelayAnswer, relay_answer};
use crate::shown::{redact, shown};
use crate::stack::Stack;
use crate::times::{ago, duration, iso, until, utc};

/// Maximum number of nodes that the page names; JSON has those that have not ended, and the others.
const NODES_SHOWN_MAX: usize = 20;
/// Maximum number of nodes whose agents are asked for.
const AGENTS_MAX: usize = 500;
/// Within so many intervals of the sweep, a task is answered although its event was lost.
const ANSWERED_WITHIN_INTERVALS: u32 = 3;

/// What was found about one command, in the order of its sentences.
pub(super) struct Explanation<'a> {
    stack: &'a Stack,
    limited: &'a LimitedCommand,
    now: Timestamp,
    pub(super) execution: Option<Execution>,
    task: Option<Task>,
    pub(super) page: Page,
    pub(super) state: State,
    nodes: Vec<Value>,
    limits: Vec<Limit>,
    relay: Value,
    wrong: Vec<Value>,
    unknown: Vec<String>,
}

/// What is read about a command, besides itself and its execution.
pub(super) enum Reads {
    /// Nothing: no task can wait for the command.
    Nothing,
    /// What the relay would answer. It does not read the nodes.
    TooManyNodes(Answered),
    /// The nodes.
    Nodes {
        invocations: Vec<Invocation>,
        /// The agents of those that have not ended, up to a number.
        agents: Result<HashMap<String, Agent>, Problem>,
        /// What the relay would answer.
        answer: Answered,
    },
    /// The nodes could not be read.
    Failed(Problem),
}

impl Reads {
    pub(super) async fn of(aws: &Aws, limited: &LimitedCommand, now: Timestamp) -> Self {
        let command = &limited.command;
        if !limited.has_token() {
            return Self::Nothing;
        }
        let answer = async |invocations: &[Invocation]| {
            relay_answer(&aws.ports.ssm, command, invocations, now).await
        };
        if command.target_count > NODES_MAX {
            return Self::TooManyNodes(answer(&[]).await);
        }
        let outputs = match command.target_count {
            0..=LISTED_OUTPUTS_NODES_MAX => Outputs::Listed,
            _ => Outputs::Beginnings,
        };
        let invocations = match aws.ports.ssm.invocations(&command.id, outputs).await {
            Ok(invocations) => invocations,
            Err(error) => {
                return Self::Failed(Problem::call("ssm:ListCommandInvocations", &error));
            }
        };
        let (unfinished, _) = unfinished_and_ended(&invocations);
        let asked = unfinished.iter().take(AGENTS_MAX).map(|one| &one.instance_id);
        let (agents, answer) = tokio::join!(agents(aws, asked), answer(&invocations));
        Self::Nodes { invocations, agents, answer }
    }
}

/// Those that have not ended, by ID, and those that have.
fn unfinished_and_ended(invocations: &[Invocation]) -> (Vec<&Invocation>, Vec<&Invocation>) {
    let (mut unfinished, ended): (Vec<_>, Vec<_>) =
        invocations.iter().partition(|one| !has_ended(&one.status, &one.status_details));
    unfinished.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
    (unfinished, ended)
}

/// Until when something can last.
struct Limit {
    at: Timestamp,
    /// How the task then ends.
    ending: String,
    reason: String,
}

impl<'a> Explanation<'a> {
    pub(super) fn new(stack: &'a Stack, limited: &'a LimitedCommand, now: Timestamp) -> Self {
        let mut explanation = Self {
            stack,
            limited,
            now,
            execution: None,
            task: None,
            page: Page::default(),
            state: State::Fine,
            nodes: Vec::new(),
            limits: Vec::new(),
            relay: Value::Null,
            wrong: Vec::new(),
            unknown: Vec::new(),
        };
        explanation.describe();
        explanation
    }

    fn describe(&mut self) {
        let command = &self.limited.command;
        self.page.heading(format!("Command {}", command.id));
        let said = |text: &str| shown(command, text);
        let comment = match said(&command.comment) {
            comment if comment.is_empty() => "no Comment".to_owned(),
            comment => format!("Comment: {comment}"),
        };
        let sentence = format!(
            "Document {}, requested {}, {}, {comment}.",
            said(&command.document_name),
            utc(command.requested_at),
            ago(command.requested_at, self.now),
        );
        self.say(Mark::Plain, sentence);
        let sentence = format!(
            "Run Command says {}. Nodes that have ended: {} of {}.",
            said(command.status_details.as_str()),
            command.completed_count,
            command.target_count
        );
        self.say(Mark::Plain, sentence);
        if !self.stack.documents.include(&command.document_name) {
            self.wrong(
                "The stack does not look after this document, so nothing answers the task. Add it to \
                 ExtraDocumentNames, or explain the command with the stack that it belongs to.",
                None,
            );
        }
    }

    pub(super) fn say(&mut self, mark: Mark, sentence: impl Into<String>) {
        self.page.item(mark, sentence);
    }

    fn wrong(&mut self, sentence: &str, heading: Option<&str>) {
        let link = heading.map(|heading| format!("infra/RUNBOOK.md#{}", heading.to_lowercase()));
        self.wrong.push(json!({ "Sentence": sentence, "Runbook": link }));
        let link = link.map(|link| format!(" See {link}.")).unwrap_or_default();
        self.say(Mark::Bad, format!("{sentence}{link}"));
        self.state = State::Wrong;
    }

    pub(super) fn unknown(&mut self, sentence: String) {
        self.say(Mark::Attention, sentence.clone());
        self.unknown.push(sentence);
        self.state = self.state.max(State::Unknown);
    }

    fn has_ended(&self) -> bool {
        let Command { status, status_details, .. } = &self.limited.command;
        has_ended(status, status_details)
    }

    /// Whether the sweep cancels the command once its task is closed.
    fn is_cancelled_if_closed(&self) -> bool {
        !self.has_ended() && self.limited.command.callback.on_abandon == OnAbandon::Cancel
    }

    /// Says which task of which execution waits for the command.
    pub(super) fn place(&mut self, task: Option<&Task>, execution: &Execution) {
        let Some(task) = task else { return };
        let of = format!(
            "execution {} of state machine {}",
            execution.arn.name(),
            execution.state_machine()
        );
        if task.waits {
            let since = task.scheduled_at.map(|time| format!(" since {}", utc(time)));
            let since = since.unwrap_or_default();
            self.say(Mark::Plain, format!("State {} of {of} waits for it{since}.", task.state));
            if !self.stack.answers(&execution.state_machine_arn) {
                self.wrong(
                    &format!(
                        "StateMachineArns does not cover {}, so Step Functions refuses every answer of \
                         this stack.",
                        execution.state_machine()
                    ),
                    Some("Refused"),
                );
            }
            self.say_heartbeat(task);
        } else {
            let sentence = format!(
                "No task waits for it: state {} of {of} ({}) is closed.",
                task.state, execution.status
            );
            self.say(Mark::Plain, sentence);
            if self.is_cancelled_if_closed() {
                self.say(Mark::Plain, "The next sweep cancels the command.");
            } else if !self.has_ended() {
                self.say(Mark::Plain, "The command runs on, because of its onAbandon.");
            }
        }
        self.task = Some(task.clone());
        self.execution = Some(execution.clone());
    }

    /// A heartbeat leaves no trace, but a task that is older than its `HeartbeatSeconds` had one.
    fn say_heartbeat(&mut self, task: &Task) {
        let (Some(heartbeat_s), Some(scheduled_at)) = (task.heartbeat_s, task.scheduled_at) else {
            return;
        };
        let within = SignedDuration::from_secs(heartbeat_s);
        if self.now.duration_since(scheduled_at) > within {
            let sentence = format!(
                "It still waits, so the sweep has sent a heartbeat within its HeartbeatSeconds, {}.",
                duration(within)
            );
            self.say(Mark::Good, sentence);
        }
    }

    /// Says what the nodes do, until when, and what the relay would answer. `reads` are of this command.
    pub(super) fn describe_reads(&mut self, reads: Reads) {
        let command = &self.limited.command;
        match command.callback.task_token {
            Some(Ok(_)) => {}
            None => {
                self.say(Mark::Plain, "It has no task token, so no task has ever waited for it.");
                return;
            }
            Some(Err(error)) => {
                self.wrong(&format!("No task can be answered: {error}."), Some("TokenRejected"));
                return;
            }
        }
        match reads {
            Reads::TooManyNodes(answer) => {
                self.say(Mark::Plain, "It has more nodes than the relay reads.");
                self.describe_limits(&[]);
                self.describe_answer(answer, &[]);
            }
            Reads::Nodes { invocations, agents, answer } => {
                self.describe_nodes(agents, &invocations);
                self.describe_limits(&invocations);
                self.describe_answer(answer, &invocations);
            }
            Reads::Failed(problem) => {
                self.unknown(format!("Its nodes could not be read: {problem}."));
            }
            Reads::Nothing => {}
        }
    }

    fn describe_nodes(
        &mut self,
        agents: Result<HashMap<String, Agent>, Problem>,
        invocations: &[Invocation],
    ) {
        let (unfinished, ended) = unfinished_and_ended(invocations);
        let agents = match agents {
            Ok(agents) => Some(agents),
            Err(problem) => {
                self.unknown(format!("The agents of its nodes could not be read: {problem}."));
                None
            }
        };
        for (number, invocation) in unfinished.iter().enumerate() {
            self.describe_unfinished(invocation, agents.as_ref(), number);
        }
        if unfinished.len() > NODES_SHOWN_MAX {
            let rest = unfinished.len() - NODES_SHOWN_MAX;
            self.say(Mark::Plain, format!("{rest} more nodes have not ended."));
        }
        let command = &self.limited.command;
        let invoked = u32::try_from(invocations.len()).unwrap_or(u32::MAX);
        let not_begun = command.target_count.saturating_sub(invoked);
        if not_begun > 0 && !self.has_ended() {
            let sentence = format!(
                "{not_begun} nodes wait for their turn: see MaxConcurrency and MaxErrors of the command."
            );
            self.say(Mark::Plain, sentence);
        }
        let (succeeded, failed): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|invocation| invocation.has_succeeded());
        for invocation in failed.iter().take(NODES_SHOWN_MAX) {
            let details = shown(command, invocation.status_details.as_str());
            let sentence = format!("Node {}: {details}.", invocation.instance_id);
            self.say(Mark::Plain, sentence);
        }
        if failed.len() > NODES_SHOWN_MAX {
            let rest = failed.len() - NODES_SHOWN_MAX;
            self.say(Mark::Plain, format!("{rest} more nodes have not succeeded."));
        }
        if !succeeded.is_empty() {
            self.say(Mark::Plain, format!("Nodes that have succeeded: {}.", succeeded.len()));
        }
        let ended = failed.into_iter().chain(succeeded);
        self.nodes.extend(ended.map(|invocation| node_json(command, invocation, None)));
    }

    /// Says what a node does, and whether its agent responds.
    fn describe_unfinished(
        &mut self,
        invocation: &Invocation,
        agents: Option<&HashMap<String, Agent>>,
        number: usize,
    ) {
        let command = &self.limited.command;
        let id = invocation.instance_id.as_str();
        let agent = agents.and_then(|agents| agents.get(id));
        self.nodes.push(node_json(command, invocation, agent));
        let details = shown(command, invocation.status_details.as_str());
        let does = match started_at(invocation) {
            Some(started) => format!("{details}, its script began {}", ago(started, self.now)),
            None => format!("{details}, and has not begun"),
        };
        let is_known = agents.is_some() && number < AGENTS_MAX;
        let last = agent.and_then(|agent| agent.last_ping);
        let last = last.map(|time| format!(", last ping {}", ago(time, self.now)));
        let last = last.unwrap_or_default();
        match agent {
            Some(agent) if agent.is_online() => {
                if number < NODES_SHOWN_MAX {
                    let sentence = format!("Node {id}: {does}. Its agent is online{last}.");
                    self.say(Mark::Good, sentence);
                }
            }
            _ if !is_known => {
                if number < NODES_SHOWN_MAX {
                    self.say(Mark::Attention, format!("Node {id}: {does}."));
                }
            }
            // Each of them is wrong, but a page of thousands helps nobody.
            _ if number >= NODES_SHOWN_MAX => self.state = State::Wrong,
            Some(agent) => self.wrong(
                &format!(
                    "Node {id}: {does}. Its agent does not respond: {}{last}. Start the node or its \
                     agent.",
                    agent.ping_status
                ),
                None,
            ),
            None => self.wrong(
                &format!(
                    "Node {id}: {does}. It is not a managed node, or not any more. Check that it \
                     exists and that its agent is registered."
                ),
                None,
            ),
        }
    }

    /// Says until when the task can wait at the most, and how it would end.
    fn describe_limits(&mut self, invocations: &[Invocation]) {
        if !self.has_ended() {
            self.limits_of_command(invocations);
        }
        let task = self.task.as_ref().filter(|task| task.waits);
        if let Some((task, scheduled_at)) = task.and_then(|task| Some((task, task.scheduled_at?)))
            && let Some(timeout_s) = task.timeout_s
            && let Ok(at) = scheduled_at.checked_add(SignedDuration::from_secs(timeout_s))
        {
            let sweep = if self.is_cancelled_if_closed() {
                ", and the sweep cancels the command"
            } else {
                ""
            };
            self.limits.push(Limit {
                at,
                ending: format!("the task fails with States.Timeout{sweep}"),
                reason: format!("TimeoutSeconds of the state, {timeout_s}"),
            });
        }
        self.limits.sort_by_key(|limit| limit.at);
        let sentences: Vec<_> = self
            .limits
            .iter()
            .enumerate()
            .map(|(number, limit)| {
                let at = format!("{} ({})", utc(limit.at), until(limit.at, self.now));
                let most = if number == 0 { "At the most until" } else { "Or until" };
                format!("{most} {at}: {}. Then {}.", limit.reason, limit.ending)
            })
            .collect();
        for sentence in sentences {
            self.say(Mark::Plain, sentence);
        }
        if let Some(heartbeat_s) = task_heartbeat(self.task.as_ref()) {
            let sentence = format!(
                "Without a heartbeat for {}, the task fails with States.HeartbeatTimeout. The sweep \
                 sends one every {}; it leaves no trace.",
                duration(SignedDuration::from_secs(heartbeat_s)),
                duration(signed(self.stack.sweep_interval))
            );
            self.say(Mark::Plain, sentence);
        }
        if !self.has_ended() && self.limited.is_overdue(self.now) {
            self.wrong(
                "The command has lasted longer than it can: Run Command should have ended it.",
                None,
            );
        }
    }

    fn limits_of_command(&mut self, invocations: &[Invocation]) {
        let LimitedCommand { command, execution_timeout_s, expires_at } = self.limited;
        let unfinished =
            invocations.iter().filter(|one| !has_ended(&one.status, &one.status_details));
        let began: Option<Vec<_>> = unfinished.map(started_at).collect();
        let last = began.and_then(|times| times.into_iter().max());
        // Nodes that were not invoked yet begin later.
        let all_invoked = invocations.len() == usize::try_from(command.target_count).unwrap_or(0);
        if let (Some(began), Some(timeout_s), true) = (last, execution_timeout_s, all_invoked)
            && let Ok(at) = began.checked_add(SignedDuration::from_secs(*timeout_s))
            && at < *expires_at
        {
            self.limits.push(Limit {
                at,
                ending: ending(command, &StatusDetails::ExecutionTimedOut),
                reason: format!("executionTimeout of the script, {timeout_s} s"),
            });
        }
        self.limits.push(Limit {
            at: *expires_at,
            ending: ending(command, &StatusDetails::DeliveryTimedOut),
            reason: "the command expires, if its nodes have not answered by then".to_owned(),
        });
    }

    fn describe_answer(&mut self, answer: Answered, invocations: &[Invocation]) {
        let command = &self.limited.command;
        let would = match &self.task {
            Some(task) if !task.waits => {
                "The relay would find the task closed. Its answer would be"
            }
            _ => "The relay would answer now with",
        };
        let Answered { answer, failed } = answer;
        let is_known = failed.is_none();
        if let Some(problem) = failed {
            self.unknown(format!("Not all that the relay reads could be read: {problem}."));
        }
        let (kind, error, mut report) = match answer {
            Ok(RelayAnswer::Running) => {
                self.say(
                    Mark::Plain,
                    "The relay would answer nothing now: the command is running.",
                );
                ("None", None, Value::Null)
            }
            Ok(RelayAnswer::Nobody) => {
                self.say(Mark::Plain, "The relay would answer nobody.");
                ("None", None, Value::Null)
            }
            Ok(RelayAnswer::Success(output)) => {
                self.say(Mark::Plain, format!("{would} a success."));
                ("Success", None, output)
            }
            Ok(RelayAnswer::Failure { error, cause }) => {
                self.say(Mark::Plain, format!("{would} the failure {error}."));
                ("Failure", Some(error), cause)
            }
            Err(_) if !is_known => ("None", None, Value::Null),
            Err(error) => {
                let sentence = format!("The relay could not answer now: {}.", error_chain(&error));
                self.wrong(&shown(command, &sentence), Some(error.name()));
                ("None", Some(error.name().to_owned()), Value::Null)
            }
        };
        redact(command, &mut report);
        self.relay = json!({ "Answer": kind, "Error": error, "Report": report });
        if kind != "None" && self.task.as_ref().is_some_and(|task| task.waits) {
            self.say_late(invocations);
        }
    }

    /// Says when the task of an ended command is answered, or that this is late.
    fn say_late(&mut self, invocations: &[Invocation]) {
        let ends = invocations.iter().flat_map(|one| &one.plugins).filter_map(|one| one.ended_at);
        let within = signed(self.stack.sweep_interval * ANSWERED_WITHIN_INTERVALS);
        match ends.max() {
            Some(ended) if self.now.duration_since(ended) > within => self.wrong(
                &format!(
                    "The last script ended {}, and the task still waits: neither the relay nor the \
                     sweep has answered it within {}. `relayctl queue` shows events that failed.",
                    ago(ended, self.now),
                    duration(within)
                ),
                Some("First"),
            ),
            _ => self.say(
                Mark::Plain,
                format!(
                    "The command has ended, and the task is about to be answered: within {} even if \
                     the event was lost.",
                    duration(within)
                ),
            ),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let limits = self.limits.iter().map(
            |limit| json!({ "At": iso(limit.at), "Reason": limit.reason, "Ending": limit.ending }),
        );
        json!({
            "Command": self.limited.to_json(),
            "Task": self.task.as_ref().map(Task::to_json),
            "Nodes": self.nodes,
            "Limits": limits.collect::<Vec<_>>(),
            "Relay": self.relay,
            "Wrong": self.wrong,
            "Unknown": self.unknown,
        })
    }
}

/// How the task ends if its command ends for this reason. With several nodes, `MaxErrors` and the others
/// nodes decide which reason that is.
fn ending(command: &Command, reason: &StatusDetails) -> String {
    match command.callback.on_failure {
        OnFailure::Fail => {
            let error = name_of_failure(command, error_name(reason));
            let others = if command.target_count > 1 { ", or as other nodes decide" } else { "" };
            format!("the task fails with {error}{others}")
        }
        OnFailure::Report => "the task gets a report of it, because of its onFailure".to_owned(),
    }
}

fn started_at(invocation: &Invocation) -> Option<Timestamp> {
    invocation.plugins.iter().filter_map(|plugin| plugin.started_at).min()
}

fn task_heartbeat(task: Option<&Task>) -> Option<i64> {
    task.filter(|task| task.waits)?.heartbeat_s
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn node_json(command: &Command, invocation: &Invocation, agent: Option<&Agent>) -> Value {
    json!({
        "InstanceId": invocation.instance_id.as_str(),
        "Status": shown(command, invocation.status.as_str()),
        "StatusDetails": shown(command, invocation.status_details.as_str()),
        "StartedDateTime": started_at(invocation).map(iso),
        "PingStatus": agent.map(|agent| agent.ping_status.as_str()),
        "LastPingDateTime": agent.and_then(|agent| agent.last_ping).map(iso),
        "AgentVersion": agent.map(|agent| agent.version.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use callback::testing::sample;

    use super::*;
    use crate::execution::Started;
    use crate::printout::Colours;
    use crate::stack::tests::stack;
    use crate::subject::ExecutionArn;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().expect("a time")
    }

    fn limited(details: &str) -> LimitedCommand {
        let mut command = sample::command(
            &sample::command_id(1),
            &[("taskToken", "a token of the unit tests")],
            details,
            &[sample::invocation(1, details, "", "")],
        );
        command.requested_at = now() - SignedDuration::from_mins(30);
        LimitedCommand {
            command,
            execution_timeout_s: Some(3_600),
            expires_at: now() + SignedDuration::from_mins(90),
        }
    }

    /// A task that has waited for 20 minutes, with a `HeartbeatSeconds` of 600.
    fn execution(state_machine: &str) -> Execution {
        let machine =
            format!("arn:aws:states:eu-central-1:111122223333:stateMachine:{state_machine}");
        Execution {
            arn: ExecutionArn::of_machine(&machine, "nightly").expect("an ARN"),
            status: "RUNNING".to_owned(),
            state_machine_arn: machine,
            tasks: vec![Task {
                state: "Run".to_owned(),
                started: Started::Command(sample::command_id(1)),
                scheduled_at: Some(now() - SignedDuration::from_mins(20)),
                timeout_s: None,
                heartbeat_s: Some(600),
                waits: true,
            }],
            is_cut: false,
        }
    }

    /// What is said, after `about` has found something out.
    fn said(limited: &LimitedCommand, about: impl FnOnce(&mut Explanation<'_>)) -> (String, State) {
        let stack = stack("*");
        let mut explanation = Explanation::new(&stack, limited, now());
        let execution = execution("one");
        explanation.place(execution.tasks.first(), &execution);
        about(&mut explanation);
        (explanation.page.render(Colours::Off).replace("\n    ", " "), explanation.state)
    }

    #[test]
    fn a_task_older_than_its_heartbeat_has_had_one() {
        let (text, state) = said(&limited("InProgress"), |_| ());
        assert!(
            text.contains("has sent a heartbeat within its HeartbeatSeconds, 10 min."),
            "{text}"
        );
        assert_eq!(state, State::Fine);
    }

    #[test]
    fn an_answer_is_late_after_three_intervals() {
        for (minutes, expected) in [(14, State::Fine), (16, State::Wrong)] {
            let mut invocation = sample::invocation(1, "Success", "", "");
            invocation.plugins[0].ended_at = Some(now() - SignedDuration::from_mins(minutes));
            let (text, state) = said(&limited("Success"), |one| one.say_late(&[invocation]));
            assert_eq!(state, expected, "{text}");
            assert!(text.contains("within 15 min"), "{text}");
        }
    }

    #[test]
    fn a_command_that_lasts_longer_than_it_can_is_wrong() {
        let mut limited = limited("InProgress");
        for (minutes, expected) in [(4, State::Fine), (6, State::Wrong)] {
            limited.expires_at = now() - SignedDuration::from_mins(minutes);
            let (text, state) = said(&limited, |one| one.describe_limits(&[]));
            assert_eq!(state, expected, "{text}");
        }
    }

    #[test]
    fn a_script_ends_by_its_timeout_once_it_has_begun_everywhere() {
        let mut invocation = sample::invocation(1, "InProgress", "", "");
        invocation.plugins[0].started_at = Some(now());
        let limited = limited("InProgress");
        let (text, _) = said(&limited, |one| one.describe_limits(&[invocation]));
        let first = "At the most until 2026-11-22 13:00:00 UTC (in 1 h): executionTimeout";
        assert!(text.contains(first), "{text}");
        assert!(text.contains("Then the task fails with RunCommand.ExecutionTimedOut."), "{text}");
        let (text, _) = said(&limited, |one| one.describe_limits(&[]));
        let first =
            "At the most until 2026-11-22 13:30:00 UTC (in 1 h 30 min): the command expires";
        assert!(text.contains(first), "{text}");
    }

    #[test]
    fn what_the_command_asks_for_decides_how_it_ends() {
        let mut limited = limited("InProgress");
        limited.command.callback.on_failure = OnFailure::Report;
        let (text, _) = said(&limited, |one| one.describe_limits(&[]));
        assert!(text.contains("Then the task gets a report of it"), "{text}");
        let mut closed = execution("one");
        closed.tasks[0].waits = false;
        for (on_abandon, sentence) in [
            (OnAbandon::Cancel, "The next sweep cancels the command."),
            (OnAbandon::Continue, "The command runs on, because of its onAbandon."),
        ] {
            limited.command.callback.on_abandon = on_abandon;
            let (text, _) = said(&limited, |one| one.place(closed.tasks.first(), &closed));
            assert!(text.contains(sentence), "{text}");
        }
    }
}
