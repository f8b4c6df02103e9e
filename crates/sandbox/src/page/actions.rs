//! What the buttons of the page do. An action calls the endpoint as any other program would, so that
//! it is seen on the page.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sandbox_run_command::Behaviour;
use sandbox_run_command::locked::Locked;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Page;
use crate::arn::ACCOUNT;
use crate::aws::{CallError, STATES};
use crate::error_chain::error_chain;
use crate::faults::Switch;
use crate::record::Entry;

const STATE_MACHINE: &str = "sandbox-page";
const DEFINITION: &str = include_str!("run-script.asl.json");

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Action {
    /// Runs a script by a state machine.
    Run(Run),
    /// Stops an execution.
    Stop { execution: String },
    /// Stops or starts the agent of a node.
    Agent { node: String, runs: bool },
    /// Switches a fault on or off.
    Fault { fault: Switch, on: bool },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    document: String,
    targets: Vec<Target>,
    script: String,
    on_failure: String,
    on_abandon: String,
    /// The `TimeoutSeconds` of the task.
    timeout_seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    key: String,
    values: Vec<String>,
}

impl Page {
    /// Does what a request asks for.
    pub(super) async fn act(&self, body: &[u8]) -> Response {
        let action = match serde_json::from_slice(body) {
            Ok(action) => action,
            Err(error) => {
                return answer(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() }));
            }
        };
        match self.perform(action).await {
            Ok(done) => answer(StatusCode::OK, &done),
            Err(reason) => answer(StatusCode::BAD_REQUEST, &json!({ "error": reason })),
        }
    }

    async fn perform(&self, action: Action) -> Result<Value, String> {
        match action {
            Action::Run(run) => {
                let execution = self.run(&run).await.map_err(|error| error_chain(&error))?;
                Ok(json!({ "execution": execution }))
            }
            Action::Stop { execution } => {
                let body = json!({ "executionArn": execution, "cause": "stopped on the page" });
                let stopped = self.0.shown.client.json(STATES, "StopExecution", &body).await;
                stopped.map(|_| json!({})).map_err(|error| error_chain(&error))
            }
            Action::Agent { node, runs } => {
                let agent = if runs { Behaviour::Online } else { Behaviour::Silent };
                let set = self.0.shown.run_command.set_agent(&node, agent).await;
                if !set.map_err(|error| error_chain(&error))? {
                    return Err(format!("there is no node {node}"));
                }
                let what = if runs { "started" } else { "stopped" };
                self.tell(format!("agent of {node} {what}"), !runs);
                Ok(json!({}))
            }
            Action::Fault { fault, on } => {
                self.switch(fault, on);
                Ok(json!({}))
            }
        }
    }

    /// Switches a fault on or off, and records that.
    pub fn switch(&self, fault: Switch, on: bool) {
        let name = name(&fault);
        self.0.shown.faults.locked().switch(fault, on);
        self.tell(name, on);
    }

    fn tell(&self, fault: String, on: bool) {
        self.0.shown.record.add(&Entry::Fault { fault, on });
        self.0.changed.send_replace(());
    }

    /// Starts an execution; its ARN.
    async fn run(&self, run: &Run) -> Result<Value, CallError> {
        let client = &self.0.shown.client;
        let state_machine = self.0.state_machine.get_or_try_init(async || {
            let body = json!({
                "name": STATE_MACHINE,
                "definition": DEFINITION,
                "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/sandbox-state-machines"),
            });
            let created = client.json(STATES, "CreateStateMachine", &body).await?;
            let arn = created["stateMachineArn"].as_str();
            arn.map(str::to_owned).ok_or(CallError::Malformed {
                operation: "CreateStateMachine".to_owned(),
                expected: "stateMachineArn",
            })
        });
        let targets = run
            .targets
            .iter()
            .map(|Target { key, values }| json!({ "Key": key, "Values": values }));
        let input = json!({
            "DocumentName": run.document,
            "Targets": targets.collect::<Vec<_>>(),
            "Commands": run.script.lines().collect::<Vec<_>>(),
            "OnFailure": run.on_failure,
            "OnAbandon": run.on_abandon,
            "TimeoutSeconds": run.timeout_seconds,
        });
        let body = json!({ "stateMachineArn": state_machine.await?, "input": input.to_string() });
        let mut started = client.json(STATES, "StartExecution", &body).await?;
        Ok(started["executionArn"].take())
    }
}

/// The fault as the time line tells it.
fn name(fault: &Switch) -> String {
    match fault {
        Switch::LoseNext => "lose the next event".to_owned(),
        Switch::LoseAll => "lose all events".to_owned(),
        Switch::Double => "double events".to_owned(),
        Switch::Delay => "delay events".to_owned(),
        Switch::Throttle => "throttle calls".to_owned(),
        Switch::Kill(function) => format!("kill {function}"),
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Action, Switch};

    #[test]
    fn an_action_is_read_as_the_page_sends_it() {
        let fault = |fault: serde_json::Value| {
            let action = json!({ "do": "fault", "fault": fault, "on": true });
            match serde_json::from_value(action).expect("an action") {
                Action::Fault { fault, on: true } => fault,
                other => panic!("another action: {other:?}"),
            }
        };
        assert_eq!(fault(json!("lose-next")), Switch::LoseNext);
        assert_eq!(fault(json!({ "kill": "relay" })), Switch::Kill("relay".to_owned()));
        let unknown = json!({ "do": "stop", "execution": "arn", "force": true });
        assert!(serde_json::from_value::<Action>(unknown).is_err());
    }
}
