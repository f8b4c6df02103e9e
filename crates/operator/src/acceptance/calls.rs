//! Calls whose responses are kept as they came.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ssm::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_ssm::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ssm::error::BoxError;
use serde_json::{Value, json};

use crate::problem::Problem;

/// Maximum number of pages that are read of a history.
const PAGES_MAX: usize = 20;

/// Keeps the body of a response, also of an error.
#[derive(Debug, Clone, Default)]
struct Body(Arc<Mutex<Value>>);

impl Intercept for Body {
    fn name(&self) -> &'static str {
        "Body"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bytes = context.response().body().bytes().unwrap_or_default();
        let body = serde_json::from_slice(bytes);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body.unwrap_or_default();
        Ok(())
    }
}

impl Body {
    fn take(&self) -> Value {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Makes a call, and gives the body of its response; `None` if the service refused the call.
macro_rules! called {
    ($operation:literal, $right:literal, $call:expr) => {{
        let body = Body::default();
        match $call.customize().interceptor(body.clone()).send().await {
            Ok(_) => Ok(body.take()),
            Err(error) => {
                let error = callback_aws::call_error::call_error($operation, &error);
                Err((Problem::call($right, &error), body.take()))
            }
        }
    }};
}

/// The responses about one execution, in the order of the calls.
#[derive(Debug, Default)]
pub struct Calls {
    calls: Vec<(&'static str, Value)>,
}

impl Calls {
    fn keep(&mut self, operation: &'static str, body: Value) -> &Value {
        self.calls.push((operation, body));
        &self.calls[self.calls.len() - 1].1
    }

    /// All of them, for the report.
    pub fn to_json(&self) -> Value {
        let calls = self.calls.iter();
        calls.map(|(operation, body)| json!({ "Operation": operation, "Response": body })).collect()
    }

    /// The responses of this operation.
    pub fn of(&self, operation: &str) -> impl Iterator<Item = &Value> {
        self.calls.iter().filter(move |(name, _)| *name == operation).map(|(_, body)| body)
    }

    /// The events of the execution, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &Value> {
        self.of("GetExecutionHistory").filter_map(|body| body["events"].as_array()).flatten()
    }

    /// The command that the execution has started, itself or by an automation.
    pub fn command_id(&self) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        self.submitted("/Command/CommandId").or_else(|| {
            let automation = self.of("GetAutomationExecution").last()?;
            let steps = automation["AutomationExecution"]["StepExecutions"].as_array()?;
            steps.iter().find_map(|step| text(&step["Outputs"]["CommandId"][0]))
        })
    }

    fn submitted(&self, pointer: &str) -> Option<String> {
        self.history().find_map(|event| {
            let output = event["taskSubmittedEventDetails"]["output"].as_str()?;
            let output: Value = serde_json::from_str(output).ok()?;
            Some(output.pointer(pointer)?.as_str()?.to_owned())
        })
    }

    /// Reads all about an execution and its command. What cannot be read is kept as it was refused,
    /// except for the execution itself.
    pub async fn read(
        step_functions: &aws_sdk_sfn::Client,
        ssm: &aws_sdk_ssm::Client,
        execution: &str,
    ) -> Result<Self, Problem> {
        let mut calls = Self::default();
        let described = described(step_functions, execution).await?;
        calls.keep("DescribeExecution", described);
        let mut next = None;
        for _ in 0..PAGES_MAX {
            let request = step_functions.get_execution_history().execution_arn(execution);
            let request = request.max_results(1_000).set_next_token(next);
            let page = called!("GetExecutionHistory", "states:GetExecutionHistory", request);
            let page = calls.keep("GetExecutionHistory", page.map_err(|(problem, _)| problem)?);
            next = page["nextToken"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        if let Some(automation) = calls.submitted("/AutomationExecutionId") {
            let request = ssm.get_automation_execution().automation_execution_id(automation);
            let body = called!("GetAutomationExecution", "ssm:GetAutomationExecution", request);
            calls.keep("GetAutomationExecution", body.map_err(|(problem, _)| problem)?);
        }
        if let Some(command) = calls.command_id() {
            calls.read_command(ssm, &command).await?;
        }
        Ok(calls)
    }

    async fn read_command(
        &mut self,
        ssm: &aws_sdk_ssm::Client,
        command: &str,
    ) -> Result<(), Problem> {
        let request = ssm.list_commands().command_id(command);
        let listed = called!("ListCommands", "ssm:ListCommands", request);
        self.keep("ListCommands", listed.map_err(|(problem, _)| problem)?);
        let request = ssm.list_command_invocations().command_id(command).details(true);
        let listed = called!("ListCommandInvocations", "ssm:ListCommandInvocations", request);
        let listed = listed.map_err(|(problem, _)| problem)?;
        let nodes = listed["CommandInvocations"].as_array().cloned().unwrap_or_default();
        self.keep("ListCommandInvocations", listed);
        // Tags can select many nodes. One is enough to see what such an answer looks like.
        if let Some(node) = nodes.first().and_then(|node| node["InstanceId"].as_str()) {
            let request = ssm.get_command_invocation().command_id(command).instance_id(node);
            let read = called!("GetCommandInvocation", "ssm:GetCommandInvocation", request);
            self.keep("GetCommandInvocation", read.unwrap_or_else(|(_, body)| body));
        }
        Ok(())
    }
}

/// The response of `DescribeExecution`.
pub async fn described(
    step_functions: &aws_sdk_sfn::Client,
    execution: &str,
) -> Result<Value, Problem> {
    let request = step_functions.describe_execution().execution_arn(execution);
    called!("DescribeExecution", "states:DescribeExecution", request)
        .map_err(|(problem, _)| problem)
}
