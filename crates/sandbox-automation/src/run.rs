//! Runs the steps of a runbook, from the first one to where they lead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandbox_run_command::documents::{Values, as_text, interpolate};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::account::{Account, Service};
use crate::execution::{Execution, Failure, Outputs, Status, output_texts};
use crate::runbook::{Action, Branch, OnCancel, OnFailure, Output, Properties, Runbook, Step};
use crate::store::Shared;

/// Steps may lead back; an execution that never ends by itself is ended here.
const STEPS_RUN_MAX: usize = 1_000;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(200);

/// What a step that succeeded leaves behind.
#[derive(Debug, Default)]
struct Done {
    /// By name, as later steps see them.
    outputs: BTreeMap<String, Value>,
    /// Where a branch leads.
    next: Option<String>,
}

/// A run of a runbook, with its values and its failure so far.
pub(crate) struct Run {
    shared: Arc<Shared>,
    account: Arc<dyn Account>,
    /// The execution's.
    id: String,
    runbook: Arc<Runbook>,
    /// Those of the parameters, and the outputs of the steps before.
    values: Values,
    /// The first failure that counts for the whole execution.
    failure: Option<Failure>,
    /// Notified when the execution is to be cancelled.
    cancel: Arc<Notify>,
}

impl Run {
    /// The run of this execution in this account. The `values` are those of its parameters.
    pub(crate) fn new(
        shared: Arc<Shared>,
        account: Arc<dyn Account>,
        execution: &Execution,
        values: Values,
    ) -> Self {
        Self {
            shared,
            account,
            id: execution.id.clone(),
            runbook: Arc::clone(&execution.runbook),
            values,
            failure: None,
            cancel: Arc::clone(&execution.cancel),
        }
    }

    /// Runs the execution to its end.
    pub(crate) async fn finish(mut self) {
        let runbook = Arc::clone(&self.runbook);
        let mut position = Some(0);
        for _ in 0..STEPS_RUN_MAX {
            let Some(at) = position else { break };
            let Some(step) = runbook.steps.get(at) else { break };
            position = self.run_step(at, step).await;
        }
        if position.is_some_and(|position| position < runbook.steps.len()) {
            let message = format!("no end after {STEPS_RUN_MAX} steps");
            self.failure = Some(Failure::failed(message));
        }
        let outputs = runbook.outputs.iter();
        let outputs = outputs.filter_map(|name| Some((name, self.values.get(name)?)));
        let outputs = outputs.map(|(name, value)| (name.clone(), output_texts(value))).collect();
        self.shared.update(&self.id, |execution| {
            execution.outputs = outputs;
            execution.end(self.failure.as_ref());
        });
    }

    /// Runs the step at this position, and returns the position of the next one.
    async fn run_step(&mut self, position: usize, step: &Step) -> Option<usize> {
        let properties = &step.properties;
        let result = match inputs_of(step, &self.values) {
            Ok(inputs) => {
                self.update(|execution| execution.begin_step(position, &inputs));
                self.attempt(step, &inputs).await
            }
            Err(failure) => {
                self.update(|execution| execution.begin_step(position, &BTreeMap::new()));
                Err(failure)
            }
        };
        let next = match result {
            Ok(done) => self.succeed(position, properties, done),
            Err(failure) => self.fail(position, properties, &failure),
        };
        // After a success and after a failure, as AWS documents it.
        next.filter(|_| !properties.is_end)
    }

    /// Tries a step, until the execution is cancelled. The steps after that clean up.
    async fn attempt(
        &self,
        step: &Step,
        inputs: &BTreeMap<String, Value>,
    ) -> Result<Done, Failure> {
        let attempt = attempt(self.account.as_ref(), step, inputs, &self.values);
        if self.failure.as_ref().is_some_and(|failure| failure.status == Status::Cancelled) {
            return attempt.await;
        }
        tokio::select! {
            biased;
            () = self.cancel.notified() => Err(Failure::cancelled()),
            result = attempt => result,
        }
    }

    fn succeed(&mut self, position: usize, properties: &Properties, done: Done) -> Option<usize> {
        let Done { outputs, next } = done;
        let texts = outputs.iter().map(|(name, value)| (name.clone(), output_texts(value)));
        let texts: Outputs = texts.collect();
        self.update(|execution| execution.end_step(position, Ok(texts)));
        for (name, value) in outputs {
            self.values.insert(format!("{}.{name}", properties.name), value);
        }
        match next {
            Some(name) => self.runbook.position(&name),
            None => self.in_order(position, properties),
        }
    }

    fn fail(
        &mut self,
        position: usize,
        properties: &Properties,
        failure: &Failure,
    ) -> Option<usize> {
        self.update(|execution| execution.end_step(position, Err(failure)));
        if failure.status == Status::Cancelled {
            self.failure = Some(failure.clone());
            return match &properties.on_cancel {
                OnCancel::Abort => None,
                OnCancel::Step(name) => self.runbook.position(name),
            };
        }
        if properties.is_critical || properties.on_failure == OnFailure::Abort {
            let message = format!("Step {} failed: {}", properties.name, failure.message);
            self.failure.get_or_insert(Failure { message, status: failure.status });
        }
        match &properties.on_failure {
            OnFailure::Abort => None,
            OnFailure::Continue => self.in_order(position, properties),
            OnFailure::Step(name) => self.runbook.position(name),
        }
    }

    fn in_order(&self, position: usize, properties: &Properties) -> Option<usize> {
        match &properties.next_step {
            Some(name) => self.runbook.position(name),
            None => Some(position + 1),
        }
    }

    fn update(&self, change: impl FnOnce(&mut Execution)) {
        self.shared.update(&self.id, change);
    }
}

/// The inputs with their variables replaced. What a branch compares is replaced choice by choice.
fn inputs_of(step: &Step, values: &Values) -> Result<BTreeMap<String, Value>, Failure> {
    let inputs = &step.properties.inputs;
    if let Some(unknown) = inputs.values().find_map(|input| unknown_variable(input, values)) {
        let message =
            format!("{{{{ {unknown} }}}} is neither a parameter nor an output of an earlier step");
        return Err(Failure::failed(message));
    }
    Ok(inputs.iter().map(|(name, input)| (name.clone(), interpolate(input, values))).collect())
}

/// The first `{{ name }}` that has no value.
fn unknown_variable<'a>(input: &'a Value, values: &Values) -> Option<&'a str> {
    match input {
        Value::String(text) => {
            let names = text.match_indices("{{").filter_map(|(start, _)| {
                let (name, _) = text[start + 2..].split_once("}}")?;
                Some(name.trim())
            });
            names.into_iter().find(|name| !values.contains_key(*name))
        }
        Value::Array(items) => items.iter().find_map(|item| unknown_variable(item, values)),
        Value::Object(members) => {
            members.values().find_map(|member| unknown_variable(member, values))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Tries a step as often as it may be tried.
async fn attempt(
    account: &dyn Account,
    step: &Step,
    inputs: &BTreeMap<String, Value>,
    values: &Values,
) -> Result<Done, Failure> {
    let mut result = attempt_once(account, step, inputs, values).await;
    for _ in 1..step.properties.max_attempts {
        if result.is_ok() {
            break;
        }
        sleep(ATTEMPT_PAUSE).await;
        result = attempt_once(account, step, inputs, values).await;
    }
    result
}

async fn attempt_once(
    account: &dyn Account,
    step: &Step,
    inputs: &BTreeMap<String, Value>,
    values: &Values,
) -> Result<Done, Failure> {
    let performed = perform(account, step, inputs, values);
    let Some(limit) = step.properties.timeout_seconds else { return performed.await };
    timeout(limit, performed).await.unwrap_or_else(|_| {
        let message = format!("no end within timeoutSeconds, {}", limit.as_secs());
        Err(Failure { status: Status::TimedOut, message })
    })
}

async fn perform(
    account: &dyn Account,
    step: &Step,
    inputs: &BTreeMap<String, Value>,
    values: &Values,
) -> Result<Done, Failure> {
    match &step.action {
        Action::ExecuteAwsApi { service, operation } => {
            let answer = execute(account, *service, operation, inputs).await?;
            let outputs = step.properties.outputs.iter();
            let outputs =
                outputs.map(|output| Ok((output.name.clone(), selected(output, &answer)?)));
            Ok(Done { outputs: outputs.collect::<Result<_, Failure>>()?, next: None })
        }
        Action::Branch(branch) => {
            let next = choose(branch, values)
                .ok_or_else(|| Failure::failed("no choice applies, and there is no Default"))?;
            Ok(Done { next: Some(next.to_owned()), ..Done::default() })
        }
        Action::Sleep(duration) => {
            sleep(*duration).await;
            Ok(Done::default())
        }
        Action::Unsupported(reason) => Err(Failure::failed(reason.clone())),
    }
}

async fn execute(
    account: &dyn Account,
    service: Service,
    operation: &str,
    inputs: &BTreeMap<String, Value>,
) -> Result<Value, Failure> {
    let is_argument = |name: &str| !["Service", "Api"].contains(&name);
    let arguments = inputs.iter().filter(|(name, _)| is_argument(name));
    let arguments: Map<_, _> =
        arguments.map(|(name, value)| (name.clone(), value.clone())).collect();
    account.call(service, operation, arguments.into()).await.map_err(|error| {
        let (code, message) = (error.code, error.message);
        Failure::failed(format!(
            "An error occurred ({code}) when calling the {operation} operation: {message}"
        ))
    })
}

/// What an output takes out of an answer: `$.Command.CommandId`, `$.Commands[0]`.
fn selected(output: &Output, answer: &Value) -> Result<Value, Failure> {
    let Output { name, selector, r#type } = output;
    let path =
        selector.strip_prefix('$').map(|path| path.replace(['.', '['], "/").replace(']', ""));
    let value = path.and_then(|path| answer.pointer(&path)).ok_or_else(|| {
        Failure::failed(format!("output {name}: the answer has nothing at {selector}"))
    })?;
    let fits = match r#type.as_str() {
        "String" => value.is_string(),
        "Integer" => value.is_i64(),
        "Boolean" => value.is_boolean(),
        "StringMap" => value.is_object(),
        "StringList" | "MapList" => value.is_array(),
        _ => false,
    };
    if fits {
        return Ok(value.clone());
    }
    let message = format!("output {name}: expected a {type} at {selector}", r#type = r#type);
    Err(Failure::failed(message))
}

/// The step of the first choice that applies.
fn choose<'a>(branch: &'a Branch, values: &Values) -> Option<&'a str> {
    let choice = branch
        .choices
        .iter()
        .find(|choice| as_text(&interpolate(&choice.variable, values)) == choice.string_equals);
    choice.map(|choice| choice.next_step.as_str()).or(branch.default.as_deref())
}
