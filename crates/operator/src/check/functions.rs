//! Whether the functions can run, as they were deployed.

use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::operation::get_function_event_invoke_config::GetFunctionEventInvokeConfigOutput;
use aws_sdk_lambda::types::{LastUpdateStatusReasonCode, StateReasonCode};

use crate::aws::Aws;
use crate::call::{answer, found};
use crate::check::deployed::Deployed;
use crate::checks::{Check, Group};
use crate::problem::Problem;
use crate::shown::printable;
use crate::stack::Stack;

/// The runtime of both functions in the template.
const RUNTIME: &str = "provided.al2023";
/// `MaximumRetryAttempts` of the relay and `MaximumEventAgeInSeconds` of the sweep in the template.
const RELAY_RETRIES: i32 = 2;
const SWEEP_EVENT_AGE_S: i32 = 60;
/// The version to which the settings of events belong.
const QUALIFIER: &str = "$LATEST";
/// What Lambda says about a function or settings that are not there.
pub const ABSENT: [&str; 1] = ["ResourceNotFoundException"];
const CHANGED: &str = "See infra/RUNBOOK.md#resources-that-were-changed.";
const CANNOT_RUN: &str = "See infra/RUNBOOK.md#functions-that-cannot-run.";
const CONCURRENCY: &str = "See infra/RUNBOOK.md#reserved-concurrency.";

/// One of both functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The one that answers tasks.
    Relay,
    /// The one that finds lost events.
    Sweep,
}

/// What was read of a function.
struct Reading {
    configuration: GetFunctionConfigurationOutput,
    concurrency: Result<Option<i32>, Problem>,
    events: Result<Option<EventSettings>, Problem>,
}

/// How Lambda retries the events of a function (Lambda API, `GetFunctionEventInvokeConfig`).
#[derive(Debug, Clone, PartialEq, Eq)]
struct EventSettings {
    retries: Option<i32>,
    age_s: Option<i32>,
    on_failure: Option<String>,
}

/// Checks both.
pub async fn group(aws: &Aws, stack: &Stack, deployed: &Deployed) -> Group {
    let (relay, sweep) = tokio::join!(
        checks(aws, stack, deployed, Function::Relay),
        checks(aws, stack, deployed, Function::Sweep)
    );
    Group { name: "Functions".to_owned(), checks: [relay, sweep].concat() }
}

impl Function {
    /// Its name in the template.
    pub fn logical_id(self) -> &'static str {
        match self {
            Self::Relay => "RelayFunction",
            Self::Sweep => "SweepFunction",
        }
    }

    /// How people call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Sweep => "sweep",
        }
    }

    /// The name of a line about it.
    fn id(self, what: &str) -> String {
        format!("{}{what}", self.logical_id())
    }

    /// The concurrency that the stack reserves for it, if it does.
    fn reserved(self, stack: &Stack) -> Option<i32> {
        if stack.parameter("ReserveConcurrency") != "true" {
            return None;
        }
        match self {
            Self::Relay => stack.parameter("RelayMaxConcurrency").parse().ok(),
            Self::Sweep => Some(1),
        }
    }

    /// The settings of its events in the template.
    fn events(self, stack: &Stack) -> EventSettings {
        match self {
            Self::Relay => EventSettings {
                retries: Some(RELAY_RETRIES),
                age_s: stack.parameter("RelayEventAgeSeconds").parse().ok(),
                on_failure: Some(stack.queue_arn()),
            },
            Self::Sweep => {
                EventSettings { retries: Some(0), age_s: Some(SWEEP_EVENT_AGE_S), on_failure: None }
            }
        }
    }
}

async fn checks(aws: &Aws, stack: &Stack, deployed: &Deployed, function: Function) -> Vec<Check> {
    let what = format!("The state of function {}", function.word());
    let name = match deployed.physical_id(function.logical_id()) {
        Ok(Some(name)) => name,
        Ok(None) => return vec![absent(function, function.logical_id())],
        Err(problem) => return vec![Check::unknown(function.id("Active"), &what, &problem)],
    };
    match read(aws, name).await {
        Ok(Some(reading)) => judge(stack, function, name, &reading),
        Ok(None) => vec![absent(function, name)],
        Err(problem) => vec![Check::unknown(function.id("Active"), &what, &problem)],
    }
}

async fn read(aws: &Aws, name: &str) -> Result<Option<Reading>, Problem> {
    let (configuration, concurrency, events) = tokio::join!(
        aws.lambda.get_function_configuration().function_name(name).send(),
        aws.lambda.get_function_concurrency().function_name(name).send(),
        aws.lambda
            .get_function_event_invoke_config()
            .function_name(name)
            .qualifier(QUALIFIER)
            .send(),
    );
    let configuration = found("lambda:GetFunctionConfiguration", &ABSENT, configuration)?;
    let concurrency = answer("lambda:GetFunctionConcurrency", concurrency);
    let events = found("lambda:GetFunctionEventInvokeConfig", &ABSENT, events);
    Ok(configuration.map(|configuration| Reading {
        configuration,
        concurrency: concurrency.map(|answer| answer.reserved_concurrent_executions),
        events: events.map(|answer| answer.map(EventSettings::of)),
    }))
}

impl EventSettings {
    fn of(answer: GetFunctionEventInvokeConfigOutput) -> Self {
        let on_failure = answer.destination_config.and_then(|config| config.on_failure);
        Self {
            retries: answer.maximum_retry_attempts,
            age_s: answer.maximum_event_age_in_seconds,
            on_failure: on_failure.and_then(|on_failure| on_failure.destination),
        }
    }
}

fn absent(function: Function, name: &str) -> Check {
    let consequence = match function {
        Function::Relay => "Tasks are answered by the sweep only, and late.",
        Function::Sweep => "Tasks get no heartbeats, and lost events are not found.",
    };
    Check::wrong(
        function.id("Active"),
        format!(
            "Expected function {name}, the {}, got none: it was deleted. {consequence}",
            function.word()
        ),
        "See infra/RUNBOOK.md#resources-that-are-missing.",
    )
}

fn judge(stack: &Stack, function: Function, name: &str, reading: &Reading) -> Vec<Check> {
    let mut checks = vec![
        active(function, name, &reading.configuration),
        code(stack, function, &reading.configuration),
        concurrency(function, function.reserved(stack), &reading.concurrency),
        events(function, &function.events(stack), &reading.events),
    ];
    if function == Function::Sweep {
        checks.push(environment(stack, &reading.configuration));
    }
    checks
}

fn active(function: Function, name: &str, configuration: &GetFunctionConfigurationOutput) -> Check {
    let id = function.id("Active");
    let state = configuration.state.as_ref().map_or("none", |state| state.as_str());
    let update = configuration.last_update_status.as_ref().map_or("none", |one| one.as_str());
    let reason = configuration.state_reason_code.as_ref().map(StateReasonCode::as_str);
    let reason = reason.or_else(|| {
        configuration
            .last_update_status_reason_code
            .as_ref()
            .map(LastUpdateStatusReasonCode::as_str)
    });
    let reason = reason.map(|reason| format!(" ({})", printable(reason))).unwrap_or_default();
    match (state, update) {
        ("Active", "Successful") => {
            Check::good(id, format!("Function {name} is active, its last update successful."))
        }
        // The first event after a long pause waits until a function in a VPC is active again.
        ("Active", "InProgress") | ("Pending" | "Inactive", "Successful" | "InProgress") => {
            Check::attention(
                id,
                format!("Function {name} is {state}, its last update {update}{reason}."),
                "Check again in some minutes.",
            )
        }
        _ => Check::wrong(
            id,
            format!(
                "Expected function {name} to be Active and its last update Successful, got {state} and \
                 {update}{reason}."
            ),
            CANNOT_RUN,
        ),
    }
}

fn code(stack: &Stack, function: Function, is: &GetFunctionConfigurationOutput) -> Check {
    let id = function.id("Code");
    let expected = stack.parameter("Architecture");
    let architectures = is.architectures.as_deref().unwrap_or_default();
    let architecture = architectures.first().map_or("none", |one| one.as_str());
    let runtime = is.runtime.as_ref().map_or("none", |one| one.as_str());
    if architecture == expected && runtime == RUNTIME {
        return Check::good(id, format!("The {} has code for {architecture}.", function.word()));
    }
    Check::wrong(
        id,
        format!(
            "Expected the {} to have {RUNTIME} and code for {expected}, got {runtime} and code for \
             {architecture}.",
            function.word()
        ),
        CANNOT_RUN,
    )
}

fn concurrency(
    function: Function,
    expected: Option<i32>,
    got: &Result<Option<i32>, Problem>,
) -> Check {
    let (id, word) = (function.id("Concurrency"), function.word());
    let got = match got {
        Ok(got) => *got,
        Err(problem) => {
            return Check::unknown(
                id,
                &format!("The concurrency reserved for the {word}"),
                problem,
            );
        }
    };
    match (expected, got) {
        (_, Some(0)) => Check::wrong(
            id,
            format!("The concurrency of the {word} is 0: somebody has stopped it."),
            CONCURRENCY,
        ),
        (Some(expected), Some(got)) if expected == got => {
            Check::good(id, format!("Concurrency reserved for the {word}: {got}."))
        }
        (None, None) => Check::fact(
            id,
            format!("No concurrency is reserved for the {word}: ReserveConcurrency is false."),
        ),
        (expected, got) => {
            let number = |one: Option<i32>| one.map_or("none".to_owned(), |one| one.to_string());
            Check::attention(
                id,
                format!(
                    "Expected the concurrency reserved for the {word} to be {}, got {}.",
                    number(expected),
                    number(got)
                ),
                CONCURRENCY,
            )
        }
    }
}

fn events(
    function: Function,
    expected: &EventSettings,
    got: &Result<Option<EventSettings>, Problem>,
) -> Check {
    let (id, word) = (function.id("Events"), function.word());
    match got {
        Err(problem) => {
            Check::unknown(id, &format!("How events of the {word} are retried"), problem)
        }
        Ok(Some(got)) if got == expected => Check::good(
            id,
            format!("Lambda retries events of the {word} as the stack says: {}.", got.words()),
        ),
        Ok(got) => Check::wrong(
            id,
            format!(
                "Expected settings for events of the {word}: {}, got {}.",
                expected.words(),
                got.as_ref().map_or("none".to_owned(), EventSettings::words)
            ),
            CHANGED,
        ),
    }
}

impl EventSettings {
    fn words(&self) -> String {
        let number = |one: Option<i32>| one.map_or("no".to_owned(), |one| one.to_string());
        let queue = self.on_failure.as_deref().map_or("no queue".to_owned(), |arn| {
            format!("queue {}", printable(arn.rsplit(':').next().unwrap_or_default()))
        });
        format!("{} retries within {} seconds, {queue}", number(self.retries), number(self.age_s))
    }
}

/// The sweep looks after the documents in its environment only.
fn environment(stack: &Stack, configuration: &GetFunctionConfigurationOutput) -> Check {
    const ID: &str = "SweepFunctionEnvironment";
    let variables = configuration.environment.as_ref();
    let variables = variables.and_then(|environment| environment.variables.as_ref());
    let variable = |name: &str| variables.and_then(|all| all.get(name)).map_or("", String::as_str);
    let listed: Vec<_> = variable("DOCUMENT_NAMES").split(',').collect();
    let missing: Vec<_> =
        stack.document_names.iter().filter(|name| !listed.contains(&name.as_str())).collect();
    if missing.is_empty() {
        return Check::good(ID, "The sweep looks after all documents of the stack.");
    }
    Check::wrong(
        ID,
        format!(
            "Expected all documents of the stack in DOCUMENT_NAMES in the environment of the sweep, got \
             `{}`.",
            printable(variable("DOCUMENT_NAMES"))
        ),
        CHANGED,
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{Architecture, LastUpdateStatus, Runtime, State};

    use super::*;
    use crate::checks::Found;
    use crate::stack::tests::stack;

    fn configuration(state: &str, update: &str) -> GetFunctionConfigurationOutput {
        GetFunctionConfigurationOutput::builder()
            .state(State::from(state))
            .last_update_status(LastUpdateStatus::from(update))
            .build()
    }

    #[test]
    fn a_function_is_active_or_says_why_not() {
        for (state, update, expected) in [
            ("Active", "Successful", Found::Good),
            ("Active", "InProgress", Found::Attention),
            ("Inactive", "Successful", Found::Attention),
            ("Active", "Failed", Found::Wrong),
            ("Failed", "Successful", Found::Wrong),
            ("Deactivated", "Successful", Found::Wrong),
        ] {
            let check = active(Function::Relay, "relay", &configuration(state, update));
            assert_eq!(check.found, expected, "{check:?}");
        }
    }

    #[test]
    fn code_of_another_architecture_is_wrong() {
        let is = |architecture: &str| {
            GetFunctionConfigurationOutput::builder()
                .runtime(Runtime::from(RUNTIME))
                .architectures(Architecture::from(architecture))
                .build()
        };
        let check = |architecture| code(&stack("*"), Function::Sweep, &is(architecture)).found;
        assert_eq!(check("arm64"), Found::Good);
        assert_eq!(check("x86_64"), Found::Wrong);
    }

    #[test]
    fn concurrency_is_what_was_reserved() {
        for (expected, got, found) in [
            (Some(20), Some(20), Found::Good),
            (None, None, Found::Fact),
            (Some(20), Some(0), Found::Wrong),
            (None, Some(0), Found::Wrong),
            (Some(20), None, Found::Attention),
            (Some(1), Some(2), Found::Attention),
            (None, Some(5), Found::Attention),
        ] {
            let check = concurrency(Function::Relay, expected, &Ok(got));
            assert_eq!(check.found, found, "{expected:?} {got:?}");
        }
        let denied = Err(Problem::new("the right is missing"));
        assert_eq!(concurrency(Function::Relay, None, &denied).found, Found::Unknown);
    }

    #[test]
    fn settings_of_events_are_those_of_the_stack() {
        let expected = EventSettings { retries: Some(2), age_s: Some(60), on_failure: None };
        let check = |got| events(Function::Relay, &expected, &got).found;
        assert_eq!(check(Ok(Some(expected.clone()))), Found::Good);
        assert_eq!(check(Ok(None)), Found::Wrong);
        let other = EventSettings { retries: Some(0), ..expected.clone() };
        assert_eq!(check(Ok(Some(other))), Found::Wrong);
        assert_eq!(check(Err(Problem::new("denied"))), Found::Unknown);
    }
}
