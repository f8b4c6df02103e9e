//! `relayctl queue`: the events that the relay could not handle.
//!
//! Whether a task is closed is read from the history of its execution. A heartbeat would tell it for
//! every task, but it also keeps a task that waits: its `HeartbeatSeconds` begin anew. So none is sent,
//! and a task whose execution is not known counts as not known. The relay itself can be asked with
//! `--redrive`: it answers a task that waits, and finds the others closed.

mod letter;

use std::collections::{BTreeSet, HashMap};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, MessageSystemAttributeName};
use callback::CommandId;
use callback_aws::call_error::call_error;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::call::answer;
use crate::command::{self, LimitedCommand};
use crate::execution::{MACHINES_MAX, Machines};
use crate::printout::{Mark, Page, Printout, State};
use crate::problem::Problem;
use crate::queue::letter::{Letter, Sender};
use crate::shown::{printable, shown};
use crate::stack::Stack;
use crate::times::{ago, iso};

/// Maximum number of messages read.
const MESSAGES_MAX: usize = 1_000;
/// Maximum number of messages in one call (SQS API, `MaxNumberOfMessages`).
const MESSAGES_PER_CALL_MAX: i32 = 10;
/// How long a message that was read is hidden from other readers, and from a second read here. At the
/// end, those that were not deleted are shown again.
const HIDDEN_S: i32 = 300;
/// Makes SQS ask all of its servers, and wait so long for a message, in seconds.
const WAIT_S: i32 = 1;
/// Maximum number of executions that are asked for, each under the name that a command's comment gives it
/// in each state machine. Step Functions throttles a few hundred such calls.
const ASKED_MAX: usize = 200;
/// Maximum number of commands that are read at the same time.
const READ_AT_ONCE: usize = 5;
/// Maximum number of messages that are handed to the relay, deleted or shown again at the same time.
const HANDLED_AT_ONCE: usize = 5;
/// Outcomes after which a task does not wait, or never did.
const CLOSING_OUTCOMES: [&str; 4] = ["Succeeded", "Failed", "AlreadyClosed", "NoToken"];

/// What to do with the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actions {
    /// Hand the events to the relay, and delete what it accepts.
    pub redrive: bool,
    /// Delete the messages of closed tasks.
    pub delete_closed: bool,
}

/// Whether the task of a command waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Waits,
    Closed,
    NeverWas,
    NotKnown,
}

/// A message, and what is known about its command.
struct Entry {
    letter: Letter,
    command: Option<LimitedCommand>,
    task: Task,
    redriven: Option<Redriven>,
    is_deleted: bool,
}

/// What the relay said about an event.
enum Redriven {
    Accepted(String),
    Failed(String),
}

/// Lists the messages, and does with them what `actions` say.
pub async fn queue(
    aws: &Aws,
    stack: &Stack,
    actions: Actions,
    now: Timestamp,
) -> Result<Printout, Problem> {
    let mut received = Vec::new();
    let outcome = handle(aws, stack, actions, &mut received).await;
    let left = received.iter().filter(|entry| !entry.is_deleted);
    let shown_again = show_again(aws, stack, left).await;
    let was_interrupted = outcome.is_err();
    let (is_cut, mut unknown) = match outcome {
        Err(problem) if received.is_empty() => return Err(problem),
        Err(problem) => (false, vec![format!("What comes after was not done: {problem}.")]),
        Ok(found) => found,
    };
    if let Err(problem) = shown_again {
        unknown.push(format!(
            "The messages stay hidden for up to {} minutes: {problem}.",
            HIDDEN_S / 60
        ));
    }
    let mut printout = printout(stack, &received, is_cut, &unknown, now);
    if was_interrupted {
        printout.state = State::Unknown;
    }
    Ok(printout)
}

/// Reads the messages into `entries`, looks at their commands, and acts. Returns whether there are
/// more messages, and what could not be found out.
async fn handle(
    aws: &Aws,
    stack: &Stack,
    actions: Actions,
    entries: &mut Vec<Entry>,
) -> Result<(bool, Vec<String>), Problem> {
    let is_cut = receive(aws, stack, entries).await?;
    // SQS keeps no order.
    entries.sort_by_key(|entry| entry.letter.sent_at);
    let unknown = look(aws, stack, entries).await?;
    let handled = entries.iter_mut().map(|entry| act(aws, stack, actions, entry));
    stream::iter(handled).buffer_unordered(HANDLED_AT_ONCE).try_collect::<()>().await?;
    Ok((is_cut, unknown))
}

/// Does with a message what `actions` say.
async fn act(aws: &Aws, stack: &Stack, actions: Actions, entry: &mut Entry) -> Result<(), Problem> {
    let is_closed = matches!(entry.task, Task::Closed | Task::NeverWas);
    if actions.delete_closed && is_closed {
        delete(aws, stack, entry).await?;
    } else if actions.redrive
        && let Some(event) = entry.letter.event()
    {
        let redriven = entry.redriven.insert(redrive(aws, stack, &event).await?);
        if let Redriven::Accepted(outcome) = redriven {
            if CLOSING_OUTCOMES.contains(&outcome.as_str()) {
                entry.task = if outcome == "NoToken" { Task::NeverWas } else { Task::Closed };
            }
            delete(aws, stack, entry).await?;
        }
    }
    Ok(())
}

/// Receives all messages, up to a bound. Returns whether there may be more.
async fn receive(aws: &Aws, stack: &Stack, entries: &mut Vec<Entry>) -> Result<bool, Problem> {
    while entries.len() < MESSAGES_MAX {
        let request = aws.sqs.receive_message().queue_url(&stack.queue_url);
        let request = request.max_number_of_messages(MESSAGES_PER_CALL_MAX);
        let request = request.visibility_timeout(HIDDEN_S).wait_time_seconds(WAIT_S);
        let request = request.message_attribute_names("All");
        let request =
            request.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let read = answer("sqs:ReceiveMessage", request.send().await)?;
        let messages = read.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(false);
        }
        entries.extend(messages.into_iter().map(|message| Entry {
            letter: Letter::parse(message),
            command: None,
            task: Task::NotKnown,
            redriven: None,
            is_deleted: false,
        }));
    }
    Ok(true)
}

/// Finds the commands of the messages, and whether their tasks wait. Returns what could not be found out.
async fn look(aws: &Aws, stack: &Stack, entries: &mut [Entry]) -> Result<Vec<String>, Problem> {
    let ids: BTreeSet<_> =
        entries.iter().filter_map(|entry| entry.letter.command_id.clone()).collect();
    let reads = ids.into_iter().map(async |id| {
        let found = command::read(aws, stack, &id).await?;
        Ok::<_, Problem>((id, found))
    });
    let commands: HashMap<_, _> = stream::iter(reads).buffered(READ_AT_ONCE).try_collect().await?;
    let (waits, unknown) = tasks(aws, stack, &commands).await;
    for entry in entries {
        let Some(id) = &entry.letter.command_id else { continue };
        entry.command = commands.get(id).cloned().flatten();
        entry.task = match &entry.command {
            Some(limited) if limited.command.callback.task_token.is_none() => Task::NeverWas,
            _ => waits.get(id).copied().unwrap_or(Task::NotKnown),
        };
    }
    Ok(unknown)
}

/// Whether the tasks of commands wait, of those whose execution is found, and what could not be found
/// out.
async fn tasks(
    aws: &Aws,
    stack: &Stack,
    commands: &HashMap<CommandId, Option<LimitedCommand>>,
) -> (HashMap<CommandId, Task>, Vec<String>) {
    let mut named: Vec<_> = commands
        .values()
        .flatten()
        .filter(|limited| limited.has_token() && !limited.command.comment.is_empty())
        .collect();
    if named.is_empty() {
        return (HashMap::new(), Vec::new());
    }
    // Old messages are those that soon vanish.
    named.sort_by_key(|limited| limited.command.requested_at);
    let not_read =
        |problem: &Problem| format!("Whether tasks are closed could not be read: {problem}.");
    let machines = match Machines::read(aws, stack).await {
        Ok(machines) => machines,
        Err(problem) => return (HashMap::new(), vec![not_read(&problem)]),
    };
    let mut unknown = Vec::new();
    let named_max = (ASKED_MAX / machines.count().max(1)).max(1);
    if named.len() > named_max {
        unknown.push(format!(
            "Of {} commands, the executions of {named_max} were looked for.",
            named.len()
        ));
        named.truncate(named_max);
    }
    let searches = named.into_iter().map(async |limited| {
        let execution = machines.execution_of(aws, &limited.command).await;
        (&limited.command.id, execution)
    });
    let mut found = stream::iter(searches).buffered(READ_AT_ONCE);
    let mut tasks = HashMap::new();
    let mut is_missing = false;
    while let Some((id, execution)) = found.next().await {
        match execution.map(|execution| Some(execution?.task_of(id)?.waits)) {
            Ok(Some(waits)) => {
                tasks.insert(id.clone(), if waits { Task::Waits } else { Task::Closed });
            }
            Ok(None) => is_missing = true,
            Err(problem) => {
                let sentence = not_read(&problem);
                if !unknown.contains(&sentence) {
                    unknown.push(sentence);
                }
            }
        }
    }
    if is_missing && machines.is_cut {
        unknown
            .push(format!("Executions were looked for among {MACHINES_MAX} state machines only."));
    }
    (tasks, unknown)
}

/// Hands an event to the relay, and waits for what it says.
async fn redrive(aws: &Aws, stack: &Stack, event: &Value) -> Result<Redriven, Problem> {
    let request = aws.invocations.invoke().function_name(&stack.relay);
    let answer = request.payload(Blob::new(event.to_string())).send().await;
    let answer = answer
        .map_err(|error| Problem::call("lambda:InvokeFunction", &call_error("Invoke", &error)))?;
    let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
    let payload: Value = serde_json::from_slice(&payload).unwrap_or_default();
    let word = |name: &str| payload[name].as_str().map(printable);
    Ok(match (answer.function_error, word("Outcome")) {
        (None, Some(outcome)) => Redriven::Accepted(outcome),
        _ => Redriven::Failed(word("errorType").unwrap_or_else(|| "no error type".to_owned())),
    })
}

async fn delete(aws: &Aws, stack: &Stack, entry: &mut Entry) -> Result<(), Problem> {
    let request = aws.sqs.delete_message().queue_url(&stack.queue_url);
    let request = request.receipt_handle(&entry.letter.receipt_handle);
    answer("sqs:DeleteMessage", request.send().await)?;
    entry.is_deleted = true;
    Ok(())
}

/// Shows messages to other readers again.
async fn show_again<'a>(
    aws: &Aws,
    stack: &Stack,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<(), Problem> {
    let handles: Vec<_> = entries.map(|entry| entry.letter.receipt_handle.as_str()).collect();
    let calls = handles.chunks(usize::try_from(MESSAGES_PER_CALL_MAX).unwrap_or(1));
    let calls = calls.map(|some| show_some_again(aws, stack, some));
    stream::iter(calls).buffer_unordered(HANDLED_AT_ONCE).try_collect().await
}

/// The same for so many messages as one call takes.
async fn show_some_again(aws: &Aws, stack: &Stack, handles: &[&str]) -> Result<(), Problem> {
    let mut request = aws.sqs.change_message_visibility_batch().queue_url(&stack.queue_url);
    for (number, handle) in handles.iter().enumerate() {
        let one = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
        let one = one.receipt_handle(*handle).visibility_timeout(0);
        let one = one.build().map_err(|_| Problem::new("a message has no receipt handle"))?;
        request = request.entries(one);
    }
    // The right for a batch is that for a single one.
    answer("sqs:ChangeMessageVisibility", request.send().await)?;
    Ok(())
}

fn printout(
    stack: &Stack,
    entries: &[Entry],
    is_cut: bool,
    unknown: &[String],
    now: Timestamp,
) -> Printout {
    let left = entries.iter().filter(|entry| !entry.is_deleted).count();
    let mut state = if left > 0 { State::Wrong } else { State::Fine };
    let mut page = Page::default();
    page.heading(match entries.len() {
        0 => format!("The on-failure queue of stack {} has no messages.", stack.name),
        1 => format!("1 message in the on-failure queue of stack {}", stack.name),
        count => format!("{count} messages in the on-failure queue of stack {}", stack.name),
    });
    for entry in entries {
        entry.describe(&mut page, now);
    }
    let deleted = entries.len() - left;
    if deleted > 0 {
        page.item(Mark::Plain, format!("Messages that were deleted: {deleted}. Left: {left}."));
    } else if left > 0 {
        page.item(
            Mark::Plain,
            "Nothing was deleted. After the cause is mended, --redrive hands the events to the relay, \
             and deletes what it accepts. --delete-closed deletes those whose task is closed.",
        );
    }
    for sentence in unknown {
        page.item(Mark::Attention, sentence.clone());
    }
    if is_cut {
        page.item(
            Mark::Attention,
            format!("There may be more: at most {MESSAGES_MAX} messages are read at a time."),
        );
    }
    if is_cut || !unknown.is_empty() {
        state = state.max(State::Unknown);
    }
    let json = json!({
        "Stack": stack.name,
        "Messages": entries.iter().map(Entry::to_json).collect::<Vec<_>>(),
        "Deleted": deleted,
        "Cut": is_cut,
        "Unknown": unknown,
    });
    Printout { page, json, state }
}

impl Entry {
    fn describe(&self, page: &mut Page, now: Timestamp) {
        let Letter { command_id, sender, failure, sent_at, heading, .. } = &self.letter;
        let what = match command_id {
            Some(id) => format!("command {id}"),
            None => "no event of a command".to_owned(),
        };
        let when = sent_at.map(|time| format!(", {}", ago(time, now))).unwrap_or_default();
        let mark = if self.is_deleted { Mark::Good } else { Mark::Bad };
        page.item(mark, format!("From {}{when}: {what}.", sender.name()));
        let why = match sender {
            Sender::Lambda => format!("The relay failed with {failure}."),
            Sender::EventBridge => format!("EventBridge could not deliver it: {failure}."),
            Sender::Other => "It is not known why it is here.".to_owned(),
        };
        page.item(Mark::Plain, format!("{why} See infra/RUNBOOK.md#{heading}."));
        let state = match (&self.command, command_id) {
            (Some(limited), _) => {
                let command = &limited.command;
                let details = shown(command, command.status_details.as_str());
                format!("The command is {details} now; {}.", self.task.sentence())
            }
            (None, Some(_)) => "Run Command does not know the command.".to_owned(),
            (None, None) => {
                "It cannot be handed to the relay. Delete it as the runbook says.".to_owned()
            }
        };
        page.item(Mark::Plain, state);
        match &self.redriven {
            Some(Redriven::Accepted(outcome)) => {
                page.item(Mark::Plain, format!("The relay has accepted it: {outcome}."));
            }
            Some(Redriven::Failed(error)) => {
                page.item(Mark::Plain, format!("The relay has failed again: {error}."));
            }
            None => {}
        }
    }

    fn to_json(&self) -> Value {
        let (redriven, error) = match &self.redriven {
            Some(Redriven::Accepted(outcome)) => (Some(outcome), None),
            Some(Redriven::Failed(error)) => (None, Some(error)),
            None => (None, None),
        };
        json!({
            "CommandId": self.letter.command_id.as_ref().map(CommandId::as_str),
            "From": self.letter.sender.name(),
            "Error": self.letter.failure,
            "Runbook": format!("infra/RUNBOOK.md#{}", self.letter.heading),
            "SentDateTime": self.letter.sent_at.map(iso),
            "Command": self.command.as_ref().map(LimitedCommand::to_json),
            "Task": self.task.name(),
            "RedriveOutcome": redriven,
            "RedriveError": error,
            "Deleted": self.is_deleted,
        })
    }
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::Waits => "Waits",
            Self::Closed => "Closed",
            Self::NeverWas => "NeverWas",
            Self::NotKnown => "NotKnown",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Waits => "its task waits",
            Self::Closed => "its task is closed",
            Self::NeverWas => "no task has ever waited for it",
            Self::NotKnown => "whether its task waits is not known",
        }
    }
}
