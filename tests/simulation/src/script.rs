//! A script's run on one node: when it begins and ends, and what Run Command tells of it.

use callback::command::Plugin;
use callback::output::{Output, Trace};
use callback::testing::listing::listed_output;
use callback::{InstanceId, Invocation, Status, StatusDetails};
use jiff::Timestamp;

use crate::chance::Chance;
use crate::ending::Ending;
use crate::history::{Ms, SECOND};

/// The agent's reason when it runs no step.
const SKIPPED: &str = "Step execution skipped due to unsupported plugin: aws:x. Step name: script";
/// An output of so many bytes is cut by the agent, and marked.
pub(crate) const STREAM_BYTES_MAX: usize = 24_000;
/// What the agent keeps of it, in bytes, and its mark.
const KEPT: (usize, &str) = (23_980, "--output truncated--");
/// The most characters of standard error that `GetCommandInvocation` tells, without a mark.
pub(crate) const STDERR_CHARS_MAX: usize = 8_000;

/// A node's part in a command.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: InstanceId,
    /// When the node's agent begins with the script.
    pub(crate) begins: Ms,
    /// When it has ended, in whatever way. `Ms::MAX`: never.
    pub(crate) ends: Ms,
    /// How it ends: `Status` and `StatusDetails`, each as one word.
    pub(crate) end: (&'static str, &'static str),
    /// Whether Run Command ever lists it.
    pub(crate) is_listed: bool,
    /// Whether a cancel ends it.
    pub(crate) can_stop: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
struct Step {
    name: &'static str,
    details: &'static str,
    exit_code: Option<i32>,
    is_skipped: bool,
    stdout: String,
    stderr: String,
}

/// What an answer has to say of a node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) details: &'static str,
    pub(crate) exit_code: i32,
    pub(crate) stdout: Printed,
    pub(crate) stderr: Printed,
    pub(crate) has_succeeded: bool,
}

/// What the steps of a node printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) whole: String,
    /// What the agent keeps of it, step by step.
    pub(crate) kept: Vec<String>,
}

impl Node {
    /// The node of this number among `count`, of a command that begins and ends so.
    pub(crate) fn new(
        chance: Chance,
        (number, count): (u64, u64),
        ending: Ending,
        (begins, ends): (Ms, Ms),
    ) -> Self {
        let end = end_of_node(chance.of("end"), number, ending);
        let has_run = !matches!(
            end.1,
            "Undeliverable"
                | "InvalidPlatform"
                | "AccessDenied"
                | "DeliveryTimedOut"
                | "Terminated"
        );
        let is_odd = number == 0;
        let begins = begins + chance.of("begins").between(0, (ends - begins) / 2);
        Self {
            id: InstanceId::parse(&format!("i-{:017x}", chance.of("id").number()))
                .expect("an instance id of 17 digits"),
            begins: if has_run { begins } else { Ms::MAX },
            ends: match ending {
                Ending::FailsUnseen if is_odd && chance.of("never ends").hits(500) => Ms::MAX,
                // One node at least runs to the end.
                _ if number == count - 1 => ends,
                _ => begins + chance.of("ends").between(0, ends - begins),
            },
            end,
            is_listed: !(is_odd
                && match ending {
                    Ending::SucceedsUnseen => true,
                    Ending::FailsUnseen => !chance.of("never ends").hits(500),
                    _ => false,
                }),
            can_stop: chance.of("can stop").hits(900),
            steps: steps(chance.of("steps"), (number, count), ending, end, has_run),
        }
    }

    /// Ends it as cancelled, soon after `now`, if it has not ended and can be stopped.
    pub(crate) fn cancel(&mut self, now: Ms, chance: Chance) {
        if self.ends > now && (self.can_stop || self.begins > now) {
            let takes = if self.begins > now { 0 } else { chance.between(1, 40 * SECOND) };
            self.ends = self.ends.min(now + takes);
            self.end = ("Cancelled", "Cancelled");
            if let Some(step) = self.steps.last_mut() {
                step.details = "Cancelled";
                step.is_skipped = false;
                step.exit_code = if self.begins > now { None } else { Some(137) };
            }
        }
    }

    /// How it stands at `at`: `Status` and `StatusDetails`.
    fn status(&self, at: Ms, is_cancelling: bool) -> (&'static str, &'static str) {
        match at {
            _ if at >= self.ends => self.end,
            _ if is_cancelling => ("Cancelling", "Cancelling"),
            _ if at >= self.begins => ("InProgress", "InProgress"),
            _ => ("Pending", "Pending"),
        }
    }

    /// What an answer that was read at `at` has to say of it, when outputs are told in full.
    pub(crate) fn told(&self, at: Ms, is_cancelling: bool) -> Told {
        let (_, details) = self.status(at, is_cancelling);
        let has_ended = at >= self.ends;
        let all = |text: fn(&Step) -> &str| {
            let texts = || self.steps.iter().filter(|_| has_ended).map(text);
            Printed { whole: texts().collect(), kept: texts().map(kept).collect() }
        };
        Told {
            details,
            exit_code: self.exit_code(has_ended),
            stdout: all(|step| &step.stdout),
            stderr: all(|step| &step.stderr),
            has_succeeded: details == "Success" && !self.steps.iter().all(|step| step.is_skipped),
        }
    }

    /// The exit code of the step that decided; −1 when none has begun.
    fn exit_code(&self, has_ended: bool) -> i32 {
        let decisive =
            self.steps.iter().find(|step| step.exit_code != Some(0)).or(self.steps.last());
        decisive.and_then(|step| step.exit_code).filter(|_| has_ended).unwrap_or(-1)
    }

    /// It as `ListCommandInvocations` tells it.
    pub(crate) fn listed(
        &self,
        at: Ms,
        is_cancelling: bool,
        spell: impl Fn(&str) -> String,
        time: impl Fn(Ms) -> Timestamp,
    ) -> Invocation {
        let (status, details) = self.status(at, is_cancelling);
        let has_ended = at >= self.ends;
        let plugin = |step: &Step| Plugin {
            name: step.name.to_owned(),
            status_details: StatusDetails::parse(&spell(if has_ended {
                step.details
            } else {
                details
            })),
            response_code: step.exit_code.filter(|_| has_ended),
            started_at: (self.begins <= at).then(|| time(self.begins)),
            ended_at: (has_ended && step.exit_code.is_some()).then(|| time(self.ends)),
            output: if has_ended {
                step.listed()
            } else {
                listed_output("", "", &StatusDetails::InProgress)
            },
            is_skipped: has_ended && step.is_skipped,
        };
        let plugins: Vec<_> = self.steps.iter().map(plugin).collect();
        let has_run = plugins.iter().any(|plugin| !plugin.is_skipped);
        let trace = if has_run { Trace::default() } else { Trace::new(SKIPPED.to_owned()) };
        Invocation {
            instance_id: self.id.clone(),
            status: Status::parse(status),
            status_details: StatusDetails::parse(&spell(details)),
            plugins,
            trace,
            standard_output_url: String::new(),
            standard_error_url: String::new(),
        }
    }

    /// What `GetCommandInvocation` tells of a step; `None` when there is no such step.
    pub(crate) fn output(&self, at: Ms, step_name: &str) -> Option<Output> {
        let step = self.steps.iter().find(|step| step.name == step_name)?;
        Some(if at >= self.ends {
            let stderr = kept(&step.stderr).chars().take(STDERR_CHARS_MAX).collect();
            Output::from_invocation(kept(&step.stdout), stderr)
        } else {
            Output::from_invocation(String::new(), String::new())
        })
    }
}

impl Step {
    fn listed(&self) -> Output {
        listed_output(&self.stdout, &self.stderr, &StatusDetails::parse(self.details))
    }
}

/// What the agent keeps of an output, with its mark where that is not all.
fn kept(text: &str) -> String {
    let (bytes, mark) = KEPT;
    if text.len() < STREAM_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}{mark}", &text[..text.floor_char_boundary(bytes)])
}

/// How the node of this number ends. Number 0 is the odd one where only some nodes are odd.
fn end_of_node(chance: Chance, number: u64, ending: Ending) -> (&'static str, &'static str) {
    const SUCCESS: (&str, &str) = ("Success", "Success");
    const FAILED: (&str, &str) = ("Failed", "Failed");
    const UNREACHED: [(&str, &str); 3] =
        [("Failed", "Undeliverable"), ("Failed", "InvalidPlatform"), ("Failed", "AccessDenied")];
    let is_odd = number == 0;
    match ending {
        Ending::IsUnheardOf | Ending::IsUnheardOfAtLength => ("Failed", "BatteryEmpty"),
        Ending::Fails if is_odd => FAILED,
        // Few enough that their outputs are told, however many nodes there are.
        Ending::Fails if number < 10 => {
            chance.pick(&[SUCCESS, FAILED, ("Cancelled", "Terminated")])
        }
        Ending::FailsUnseen => chance.pick(&[SUCCESS, FAILED]),
        Ending::IsIncomplete if is_odd => {
            chance.pick(&[FAILED, ("TimedOut", "DeliveryTimedOut"), UNREACHED[0]])
        }
        Ending::ExecutionTimesOut if is_odd => ("TimedOut", "ExecutionTimedOut"),
        Ending::ExecutionTimesOut => chance.pick(&[SUCCESS, ("TimedOut", "ExecutionTimedOut")]),
        Ending::DeliveryTimesOut => ("TimedOut", "DeliveryTimedOut"),
        Ending::IsCancelled if is_odd => ("Cancelled", "Cancelled"),
        Ending::IsCancelled => chance.pick(&[SUCCESS, FAILED, ("Cancelled", "Cancelled")]),
        Ending::IsUndeliverable => UNREACHED[0],
        Ending::FailsUndeliverable => chance.pick(&UNREACHED),
        Ending::HasInvalidPlatform => UNREACHED[1],
        Ending::IsDenied => UNREACHED[2],
        Ending::SucceedsSomewhere if is_odd => chance.pick(&UNREACHED),
        Ending::Succeeds
        | Ending::Fails
        | Ending::IsIncomplete
        | Ending::SucceedsSomewhere
        | Ending::IsSkipped
        | Ending::IsSkippedSomewhere
        | Ending::SucceedsUnseen
        | Ending::HasTooManyNodes => SUCCESS,
        Ending::ExceedsRate | Ending::MatchesNoNode | Ending::MatchesNoNodeSilently => {
            ("Cancelled", "RateExceeded")
        }
    }
}

fn steps(
    chance: Chance,
    (number, count): (u64, u64),
    ending: Ending,
    (_, details): (&'static str, &'static str),
    has_run: bool,
) -> Vec<Step> {
    let is_skipped =
        ending == Ending::IsSkipped || ending == Ending::IsSkippedSomewhere && number == 0;
    let exit_code = match details {
        _ if !has_run => None,
        "Success" => Some(0),
        "ExecutionTimedOut" | "Cancelled" => Some(137),
        _ => Some(i32::try_from(chance.of("exit code").between(1, 255)).unwrap_or(1)),
    };
    let texts = if has_run && !is_skipped {
        texts(chance.of("texts"), count)
    } else {
        (String::new(), String::new())
    };
    let last =
        Step { name: "script", details, exit_code, is_skipped, stdout: texts.0, stderr: texts.1 };
    if !has_run || !chance.of("two steps").hits(200) {
        return vec![last];
    }
    // The platform of the first step is another one: that does not make it a node that ran nothing.
    let first_is_skipped = is_skipped || chance.of("first is skipped").hits(500);
    let first = Step {
        name: "prepare",
        details: "Success",
        exit_code: Some(0),
        is_skipped: first_is_skipped,
        stdout: if first_is_skipped { String::new() } else { "prepared\n".to_owned() },
        stderr: String::new(),
    };
    vec![first, last]
}

/// What a script prints, mostly little. Few nodes may print so much that no answer has room for
/// it: control characters take six bytes in JSON.
fn texts(chance: Chance, count: u64) -> (String, String) {
    let letter = chance.of("letter").pick(&["x", "ü", "\u{1}", "\"", "語"]);
    let most = if count <= 10 { 30_000 } else { 3_000 };
    let long = |chance: Chance, per_mille| {
        if chance.of("is long").hits(per_mille) {
            letter.repeat(usize::try_from(chance.between(1_000, most)).unwrap_or_default())
        } else if chance.of("has lines").hits(300) {
            // Longer than the beginning that is kept of outputs of large commands.
            format!("line {}\n", chance.between(0, 9_999)).repeat(12)
        } else {
            format!("line {}", chance.between(0, 9_999))
        }
    };
    let stderr = chance.of("stderr");
    let stderr = if stderr.of("is any").hits(400) { long(stderr, 100) } else { String::new() };
    (long(chance.of("stdout"), 80), stderr)
}
