//! Goes through the steps of a runbook, from the first one to where they lead.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

use super::{
    Shared,
    account::Account,
    execution::{Failure, Outputs, Status, output_texts},
    runbook::{Action, Branch, OnFailure, Output, Runbook, Step},
};
use crate::{
    aws::JsonApi,
    run_command::{Values, as_text, interpolate},
};

/// Steps may lead back; an execution that goes round for ever is ended here.
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

/// Runs the execution `id` to its end, in this account. The `values` are those of its parameters.
pub(super) async fn run(
    shared: Arc<Shared>,
    account: Arc<dyn Account>,
    id: String,
    runbook: Arc<Runbook>,
    mut values: Values,
) {
    let mut failure = None;
    let mut position = Some(0);
    for _ in 0..STEPS_RUN_MAX {
        let Some(step) = position.and_then(|position| runbook.steps.get(position)) else { break };
        position =
            run_step(&shared, account.as_ref(), &id, &runbook, step, &mut values, &mut failure)
                .await;
    }
    if position.is_some_and(|position| position < runbook.steps.len()) {
        failure = Some(Failure::failed(format!("{STEPS_RUN_MAX} steps were run without an end")));
    }
    let outputs = runbook.outputs.iter().filter_map(|name| Some((name, values.get(name)?)));
    let outputs = outputs.map(|(name, value)| (name.clone(), output_texts(value))).collect();
    shared.update(&id, |execution| {
        execution.outputs = outputs;
        execution.end(failure.as_ref());
    });
}

/// Runs one step, and returns the position of the next one. A failure that counts for the whole
/// execution is kept, if it is the first one.
async fn run_step(
    shared: &Shared,
    account: &dyn Account,
    id: &str,
    runbook: &Runbook,
    step: &Step,
    values: &mut Values,
    failure: &mut Option<Failure>,
) -> Option<usize> {
    let properties = &step.properties;
    let position = runbook.position(&properties.name)?;
    let result = match inputs_of(step, values) {
        Ok(inputs) => {
            shared.update(id, |execution| execution.begin_step(position, &inputs));
            attempt(account, step, &inputs, values).await
        }
        Err(failure) => {
            shared.update(id, |execution| execution.begin_step(position, &BTreeMap::new()));
            Err(failure)
        }
    };
    let in_order = || match &properties.next_step {
        Some(name) => runbook.position(name),
        None => Some(position + 1),
    };
    let next = match result {
        Ok(Done { outputs, next }) => {
            let texts = outputs.iter().map(|(name, value)| (name.clone(), output_texts(value)));
            let texts: Outputs = texts.collect();
            shared.update(id, |execution| execution.end_step(position, Ok(texts)));
            for (name, value) in outputs {
                values.insert(format!("{}.{name}", properties.name), value);
            }
            match next {
                Some(name) => runbook.position(&name),
                None => in_order(),
            }
        }
        Err(failed) => {
            shared.update(id, |execution| execution.end_step(position, Err(&failed)));
            if properties.is_critical || properties.on_failure == OnFailure::Abort {
                let message = format!("Step {} failed: {}", properties.name, failed.message);
                failure.get_or_insert(Failure { message, ..failed });
            }
            match &properties.on_failure {
                OnFailure::Abort => None,
                OnFailure::Continue => in_order(),
                OnFailure::Step(name) => runbook.position(name),
            }
        }
    };
    // After a success and after a failure, as AWS documents it.
    next.filter(|_| !properties.is_end)
}

/// The inputs with their variables replaced. What a branch compares is replaced choice by choice.
fn inputs_of(step: &Step, values: &Values) -> Result<BTreeMap<String, Value>, Failure> {
    let inputs = &step.properties.inputs;
    if let Some(unknown) = inputs.values().find_map(|input| unknown_variable(input, values)) {
        let message =
            format!("{{{{ {unknown} }}}} is neither a parameter nor an output of a step before");
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
        Action::ExecuteAwsApi { api, operation } => {
            let answer = execute(account, *api, operation, inputs).await?;
            let outputs = step.properties.outputs.iter();
            let outputs =
                outputs.map(|output| Ok((output.name.clone(), selected(output, &answer)?)));
            Ok(Done { outputs: outputs.collect::<Result<_, Failure>>()?, next: None })
        }
        Action::Branch(branch) => {
            let next = choose(branch, values).ok_or_else(|| {
                Failure::failed("none of the choices applies, and there is no Default")
            })?;
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
    api: JsonApi,
    operation: &str,
    inputs: &BTreeMap<String, Value>,
) -> Result<Value, Failure> {
    let is_argument = |name: &str| !["Service", "Api"].contains(&name);
    let arguments = inputs.iter().filter(|(name, _)| is_argument(name));
    let arguments: Map<_, _> =
        arguments.map(|(name, value)| (name.clone(), value.clone())).collect();
    account.call(api, operation, arguments.into()).await.map_err(|error| {
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
        Failure::failed(format!("output {name}: {selector} leads to nothing in the answer"))
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
    Err(Failure::failed(format!(
        "output {name}: what {selector} leads to is no {type}",
        r#type = r#type
    )))
}

/// The step of the first choice that applies.
fn choose<'a>(branch: &'a Branch, values: &Values) -> Option<&'a str> {
    let choice = branch
        .choices
        .iter()
        .find(|choice| as_text(&interpolate(&choice.variable, values)) == choice.string_equals);
    choice.map(|choice| choice.next_step.as_str()).or(branch.default.as_deref())
}
