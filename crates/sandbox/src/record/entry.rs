//! What can be recorded. The names of the fields are those of the logs and of the page.

use serde::{Deserialize, Serialize};

/// Something that happened. Ids are those of the AWS APIs.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Entry {
    /// A call at the endpoint was answered.
    Call {
        /// The signing name of the service.
        service: String,
        /// The operation, or method and path.
        operation: String,
        /// `function:NAME` or `automation`.
        caller: Option<String>,
        /// The role that it called under, if policies are enforced.
        role: Option<String>,
        /// The error's name, if the policies of its role did not allow it.
        refused: Option<String>,
        /// The HTTP status of the answer.
        status: u16,
        /// The error's name in an answer that is an error.
        error: Option<String>,
        /// Whether the sandbox made it fail on purpose.
        fault: bool,
        /// The command, node and execution that its request names.
        #[serde(flatten)]
        subject: Subject,
        /// How long the answer took, in milliseconds.
        ms: u64,
    },
    /// An event came to the event bus.
    Event {
        /// Its id.
        event: String,
        /// Its detail type.
        detail_type: String,
        /// `detail.status`, if it has one.
        status: Option<String>,
        /// What it is about.
        #[serde(flatten)]
        subject: Subject,
        /// After how many milliseconds each of its copies is delivered. Without a copy, it is lost.
        copies_ms: Vec<u64>,
        /// Why it is lost, if it is.
        outcome: Option<String>,
    },
    /// An event was given to a target, or could not be.
    Delivery {
        /// The event's id.
        event: String,
        /// Its detail type.
        detail_type: String,
        /// `detail.status`, if it has one.
        status: Option<String>,
        /// What it is about.
        #[serde(flatten)]
        subject: Subject,
        /// The rule.
        rule: Option<String>,
        /// The target's ARN.
        target: Option<String>,
        /// What became of it.
        outcome: String,
    },
    /// A rule with a schedule that the sandbox cannot follow.
    Schedule {
        /// The rule.
        rule: String,
        /// Why it never fires.
        outcome: String,
    },
    /// A function got an invocation.
    InvocationBegun {
        /// The function's name.
        function: String,
        /// The request's id, by which its end is known.
        request_id: String,
        /// The number of the attempt, from 1, if the invocation is asynchronous.
        attempt: Option<u32>,
        /// The event that it was invoked with, if it came from a rule.
        event: Option<String>,
        /// Whether a new process was started for it.
        cold: bool,
    },
    /// An invocation ended, or did not reach its function.
    Invocation {
        /// The function's name.
        function: String,
        /// The request's id; none if it did not reach its function.
        request_id: Option<String>,
        /// The number of the attempt, from 1, if the invocation is asynchronous.
        attempt: Option<u32>,
        /// `done`, `failed: ERROR TYPE` or `not invoked: REASON`.
        outcome: String,
        /// Whether the sandbox killed the function on purpose.
        killed: bool,
    },
    /// Lambda stopped trying an event.
    GivenUp {
        /// The function's name.
        function: String,
        /// The condition that Lambda tells the on-failure destination.
        condition: String,
        /// Where the event is now.
        outcome: String,
    },
    /// Run Command took a command.
    CommandSent {
        /// The command's id.
        command_id: String,
        /// Its document.
        document: String,
        /// Its comment.
        comment: Option<String>,
        /// The lines of its script, if its document has a parameter `commands`.
        script: Option<String>,
        /// The number of the task whose token it carries.
        task: Option<u64>,
    },
    /// The status of a command, or the number of its nodes, is another one.
    Command {
        /// The command's id.
        command_id: String,
        /// `StatusDetails`.
        status: String,
        /// On how many nodes it is.
        targets: usize,
    },
    /// The status of a command on one node is another one.
    Node {
        /// The command's id.
        command_id: String,
        /// The node.
        node: String,
        /// `StatusDetails`.
        status: String,
        /// The response code, once it has ended.
        exit_code: Option<i32>,
        /// The standard output, once it has ended.
        stdout: Option<String>,
        /// The standard error, once it has ended.
        stderr: Option<String>,
        /// Why the agent refused the document.
        trace_output: Option<String>,
    },
    /// Step Functions issued a task token. It is known by its number, and never recorded.
    Task {
        /// The number of the task.
        task: u64,
        /// The ARN of the execution.
        execution: String,
    },
    /// An event in the history of an execution.
    History(HistoryEvent),
    /// Something was made to go wrong, or not to any more.
    Fault {
        /// What.
        fault: String,
        /// Whether it goes wrong from now on.
        on: bool,
    },
}

/// What a call or an event is about.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// A command's id.
    pub command_id: Option<String>,
    /// A node.
    pub node: Option<String>,
    /// The ARN of an execution.
    pub execution: Option<String>,
    /// The number of a task.
    pub task: Option<u64>,
}

/// An event in the history of an execution, as `GetExecutionHistory` has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// The ARN of the execution.
    pub execution: String,
    /// The event's number in its history.
    pub id: u64,
    /// Its type, such as `TaskStateEntered`.
    pub r#type: String,
    /// When it happened, as Step Functions says.
    pub at: String,
    /// The state's name.
    pub state: Option<String>,
    /// The input of the execution.
    pub input: Option<String>,
    /// The output of the execution or of the task.
    pub output: Option<String>,
    /// The error's name.
    pub error: Option<String>,
    /// The error's cause.
    pub cause: Option<String>,
}
