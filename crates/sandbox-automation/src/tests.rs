//! Automation as its callers see it, in an account that is a fake.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::future::{BoxFuture, pending, ready};
use sandbox_run_command::documents::Document;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/Known";

/// Documents that a test made.
struct TestDocuments(BTreeMap<String, Document>);

impl Documents for TestDocuments {
    fn document(
        &self,
        name: &str,
        _version: Option<&str>,
    ) -> BoxFuture<'static, Result<Option<Document>, String>> {
        Box::pin(ready(Ok(self.0.get(name).cloned())))
    }
}

/// An account that records calls, and gives the answers that the test has prepared.
#[derive(Default)]
struct TestAccount {
    calls: Mutex<Vec<(String, Value)>>,
    answers: Mutex<VecDeque<Result<Value, ApiError>>>,
    /// The operation that never answers.
    silent: Mutex<Option<&'static str>>,
}

impl Account for TestAccount {
    fn call(
        &self,
        service: Service,
        operation: &str,
        body: Value,
    ) -> BoxFuture<'static, Result<Value, ApiError>> {
        self.calls.lock().unwrap().push((format!("{}:{operation}", service.name()), body));
        if *self.silent.lock().unwrap() == Some(operation) {
            return Box::pin(pending());
        }
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(ready(answer.unwrap_or_else(|| Ok(json!({})))))
    }

    fn has_role(&self, arn: &str) -> BoxFuture<'static, Result<bool, String>> {
        Box::pin(ready(Ok(arn == ROLE)))
    }

    fn under_role(
        self: Arc<Self>,
        _arn: &str,
        _id: &str,
    ) -> BoxFuture<'static, Result<Arc<dyn Account>, String>> {
        Box::pin(ready(Ok(self as Arc<dyn Account>)))
    }
}

/// Automation with what belongs to a test.
struct Trial {
    automation: Automation,
    account: Arc<TestAccount>,
}

impl Trial {
    /// With a runbook `Book` of this content, and a Command document.
    fn new(mut content: Value) -> Self {
        content["schemaVersion"] = json!("0.3");
        let document = |name: &str, document_type: &str, content: &Value| {
            let (name, document_type) = (name.to_owned(), document_type.to_owned());
            (name.clone(), Document { name, document_type, content: content.clone() })
        };
        let documents = TestDocuments(BTreeMap::from([
            document("Book", "Automation", &content),
            document("Script", "Command", &json!({"schemaVersion": "2.2"})),
        ]));
        let account = Arc::new(TestAccount::default());
        let settings =
            Settings { region: "eu-west-1".to_owned(), account: "123456789012".to_owned() };
        let automation = Automation::new(settings, Arc::new(documents), Arc::clone(&account) as _);
        Self { automation, account }
    }

    /// With a runbook of these steps.
    #[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn of_steps(steps: Value) -> Self {
        Self::new(json!({ "mainSteps": steps }))
    }

    /// Calls are answered with these, one after the other, then with `{}`.
    fn answering(self, answers: impl IntoIterator<Item = Result<Value, ApiError>>) -> Self {
        *self.account.answers.lock().unwrap() = answers.into_iter().collect();
        self
    }

    async fn call(&self, operation: &str, body: Value) -> Result<Value, ApiError> {
        self.automation.call(operation, body.to_string().as_bytes()).await
    }

    async fn start(&self, body: Value) -> Result<Value, ApiError> {
        self.call("StartAutomationExecution", body).await
    }

    /// Runs the runbook with these parameters, to its end.
    async fn run(&self, parameters: Value) -> Value {
        let started = self.start(json!({"DocumentName": "Book", "Parameters": parameters})).await;
        self.ended(&started.unwrap()["AutomationExecutionId"]).await
    }

    /// The execution, once it has ended.
    async fn ended(&self, id: &Value) -> Value {
        for _ in 0..2_000 {
            let body = json!({"AutomationExecutionId": id});
            let mut got = self.call("GetAutomationExecution", body).await.unwrap();
            let execution = got["AutomationExecution"].take();
            let status = execution["AutomationExecutionStatus"].as_str().unwrap();
            if !["InProgress", "Cancelling"].contains(&status) {
                assert_eq!(execution["AutomationExecutionId"], *id);
                return execution;
            }
            sleep(Duration::from_millis(2)).await;
        }
        panic!("the execution does not end");
    }

    /// What was called so far.
    fn calls(&self) -> Vec<(String, Value)> {
        self.account.calls.lock().unwrap().clone()
    }

    /// The operations that were called so far.
    fn operations(&self) -> Vec<String> {
        self.calls().into_iter().map(|(operation, _)| operation).collect()
    }
}

/// A step that calls an operation of Systems Manager, with these properties more.
fn step(name: &str, more: &Value) -> Value {
    let inputs = json!({"Service": "ssm", "Api": name});
    let mut step = json!({"name": name, "action": "aws:executeAwsApi", "inputs": inputs});
    for (property, value) in more.as_object().unwrap() {
        step[property] = value.clone();
    }
    step
}

fn refusal() -> Result<Value, ApiError> {
    Err(ApiError::refused("InvalidInstanceId", "there is no such node"))
}

/// Name and status of each step.
fn step_statuses(execution: &Value) -> Vec<(&str, &str)> {
    let steps = execution["StepExecutions"].as_array().unwrap();
    steps
        .iter()
        .map(|step| (step["StepName"].as_str().unwrap(), step["StepStatus"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn parameters_reach_the_api_whole_and_inside_texts() {
    let trial = Trial::new(json!({
        "parameters": {
            "Lines": {"type": "StringList"},
            "Targets": {"type": "MapList"},
            "Name": {"type": "String"},
            "Seconds": {"type": "String", "default": "5"},
            "Wait": {"type": "Integer", "default": 60},
        },
        "mainSteps": [{
            "name": "send", "action": "aws:executeAwsApi",
            "inputs": {
                "Service": "ssm", "Api": "SendCommand", "Targets": "{{ Targets }}",
                "DocumentName": "Run{{ Name }}Script", "TimeoutSeconds": "{{ Wait }}",
                "Parameters": {"commands": "{{Lines}}", "timeout": ["{{ Seconds }}"]},
                "Comment": "{{ Name }} in {{ global:REGION }} of {{ global:ACCOUNT_ID }}: {{ automation:EXECUTION_ID }}",
            },
        }],
    }));
    let target = json!({"Key": "tag:Role", "Values": ["web"]});
    let execution = trial
        .run(json!({
            "Lines": ["a \"b\"", "{{ Name }}"], "Targets": [target.to_string()], "Name": ["me"],
        }))
        .await;
    let id = execution["AutomationExecutionId"].as_str().unwrap();
    let body = json!({
        "DocumentName": "RunmeScript",
        "TimeoutSeconds": 60,
        "Targets": [target],
        "Parameters": {"commands": ["a \"b\"", "{{ Name }}"], "timeout": ["5"]},
        "Comment": format!("me in eu-west-1 of 123456789012: {id}"),
    });
    assert_eq!(trial.calls(), [("ssm:SendCommand".to_owned(), body)]);
    assert_eq!(execution["AutomationExecutionStatus"], "Success");
    assert_eq!(execution["Parameters"]["Name"], json!(["me"]));
    assert!(execution["ExecutionEndTime"].as_f64() >= execution["ExecutionStartTime"].as_f64());
    assert!(execution.get("FailureMessage").is_none());
    assert_eq!(execution["StepExecutions"][0]["Inputs"]["Api"], "\"SendCommand\"");
}

#[tokio::test]
async fn an_output_of_a_step_reaches_the_next_one_and_the_execution() {
    let outputs = json!([
        {"Name": "Id", "Selector": "$.Command.CommandId", "Type": "String"},
        {"Name": "Nodes", "Selector": "$.Command.InstanceIds", "Type": "StringList"},
        {"Name": "First", "Selector": "$.Command.InstanceIds[0]", "Type": "String"},
    ]);
    let mut second = step("Second", &json!({}));
    second["inputs"]["Ids"] = json!("{{ First.Nodes }}");
    second["inputs"]["Text"] = json!("{{ First.Id }} on {{ First.First }}");
    let trial = Trial::new(json!({
        "mainSteps": [step("First", &json!({"outputs": outputs})), second],
        "outputs": ["First.Id", "First.Nodes"],
    }))
    .answering([Ok(json!({"Command": {"CommandId": "c", "InstanceIds": ["i-1", "i-2"]}}))]);
    let execution = trial.run(json!({})).await;
    assert_eq!(trial.calls()[1].1, json!({"Ids": ["i-1", "i-2"], "Text": "c on i-1"}));
    assert_eq!(execution["Outputs"], json!({"First.Id": ["c"], "First.Nodes": ["i-1", "i-2"]}));
    assert_eq!(execution["StepExecutions"][0]["Outputs"]["First"], json!(["i-1"]));
}

#[tokio::test]
async fn an_output_that_is_not_there_or_of_another_type_fails_its_step() {
    for (selector, r#type, words) in [
        ("$.Other", "String", "output Id: the answer has nothing at $.Other"),
        ("$.Id", "String", "output Id: expected a String at $.Id"),
    ] {
        let outputs = json!([{"Name": "Id", "Selector": selector, "Type": r#type}]);
        let trial = Trial::of_steps(json!([step("First", &json!({"outputs": outputs}))]))
            .answering([Ok(json!({"Id": 1}))]);
        let execution = trial.run(json!({})).await;
        assert_eq!(execution["AutomationExecutionStatus"], "Failed");
        assert_eq!(execution["FailureMessage"], format!("Step First failed: {words}"));
    }
}

#[tokio::test]
async fn a_failed_step_aborts_the_execution_with_what_the_api_said() {
    let trial = Trial::of_steps(json!([step("First", &json!({})), step("Second", &json!({}))]))
        .answering([refusal()]);
    let execution = trial.run(json!({})).await;
    assert_eq!(step_statuses(&execution), [("First", "Failed"), ("Second", "Pending")]);
    assert_eq!(execution["AutomationExecutionStatus"], "Failed");
    let message = "An error occurred (InvalidInstanceId) when calling the First operation: there \
                   is no such node";
    assert_eq!(execution["StepExecutions"][0]["FailureMessage"], message);
    assert_eq!(execution["FailureMessage"], format!("Step First failed: {message}"));
    assert_eq!(trial.operations(), ["ssm:First"]);
}

#[tokio::test]
async fn on_failure_leads_to_another_step_and_the_execution_has_failed_all_the_same() {
    let first = step("First", &json!({"onFailure": "step:Third"}));
    let steps = json!([first, step("Second", &json!({})), step("Third", &json!({}))]);
    let trial = Trial::of_steps(steps).answering([refusal()]);
    let execution = trial.run(json!({})).await;
    assert_eq!(trial.operations(), ["ssm:First", "ssm:Third"]);
    assert_eq!(execution["AutomationExecutionStatus"], "Failed");
    assert_eq!(execution["StepExecutions"][0]["OnFailure"], "step:Third");
}

/// Cancels an execution while its first step, which never ends, runs.
async fn cancelled(first: Value) -> (Value, Vec<String>) {
    let steps = json!([first, step("Second", &json!({})), step("Third", &json!({}))]);
    let trial = Trial::of_steps(steps);
    *trial.account.silent.lock().unwrap() = Some("First");
    let id =
        trial.start(json!({"DocumentName": "Book"})).await.unwrap()["AutomationExecutionId"].take();
    while trial.operations().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    let stop = json!({"AutomationExecutionId": id, "Type": "Cancel"});
    assert_eq!(trial.call("StopAutomationExecution", stop.clone()).await.unwrap(), json!({}));
    let execution = trial.ended(&id).await;
    let error = trial.call("StopAutomationExecution", stop).await.unwrap_err();
    assert_eq!(error.code, "InvalidAutomationStatusUpdateException");
    (execution, trial.operations())
}

#[tokio::test]
async fn on_cancel_leads_to_another_step_and_the_execution_is_cancelled_all_the_same() {
    let first = step("First", &json!({"onFailure": "step:Second", "onCancel": "step:Third"}));
    let (execution, operations) = cancelled(first).await;
    assert_eq!(operations, ["ssm:First", "ssm:Third"]);
    assert_eq!(execution["AutomationExecutionStatus"], "Cancelled");
    assert_eq!(
        step_statuses(&execution),
        [("First", "Cancelled"), ("Second", "Pending"), ("Third", "Success")]
    );
}

#[tokio::test]
async fn without_on_cancel_nothing_follows_a_cancelled_step() {
    let (execution, operations) = cancelled(step("First", &json!({"onFailure": "Continue"}))).await;
    assert_eq!(operations, ["ssm:First"]);
    assert_eq!(execution["AutomationExecutionStatus"], "Cancelled");
}

#[tokio::test]
async fn a_failure_that_is_not_critical_does_not_count_unless_it_aborts() {
    for (on_failure, status, operations) in
        [("Continue", "Success", 2), ("step:Second", "Success", 2), ("Abort", "Failed", 1)]
    {
        let first = step("First", &json!({"onFailure": on_failure, "isCritical": false}));
        let trial =
            Trial::of_steps(json!([first, step("Second", &json!({}))])).answering([refusal()]);
        let execution = trial.run(json!({})).await;
        assert_eq!(execution["AutomationExecutionStatus"], status, "{on_failure}");
        assert_eq!(trial.operations().len(), operations, "{on_failure}");
    }
}

#[tokio::test]
async fn the_end_comes_after_a_step_with_is_end_whether_it_succeeds_or_fails() {
    for (answer, status) in [(Ok(json!({})), "Success"), (refusal(), "Failed")] {
        let first = step("First", &json!({"isEnd": true, "onFailure": "step:Second"}));
        let trial = Trial::of_steps(json!([first, step("Second", &json!({}))])).answering([answer]);
        let execution = trial.run(json!({})).await;
        assert_eq!(step_statuses(&execution)[1], ("Second", "Pending"));
        assert_eq!(execution["AutomationExecutionStatus"], status);
    }
}

#[tokio::test]
async fn a_step_is_tried_as_often_as_it_may_be() {
    let steps = json!([step("First", &json!({"maxAttempts": 3}))]);
    let trial = Trial::of_steps(steps.clone()).answering([refusal(), refusal(), Ok(json!({}))]);
    assert_eq!(trial.run(json!({})).await["AutomationExecutionStatus"], "Success");
    assert_eq!(trial.operations().len(), 3);
    let trial = Trial::of_steps(steps).answering([refusal(), refusal(), refusal(), Ok(json!({}))]);
    assert_eq!(trial.run(json!({})).await["AutomationExecutionStatus"], "Failed");
    assert_eq!(trial.operations().len(), 3);
}

#[tokio::test]
async fn a_branch_leads_to_the_first_choice_that_applies() {
    let choice = |text: &str, next: &str| json!({"NextStep": next, "Variable": "{{ Word }}", "StringEquals": text});
    let steps = |default: Value| {
        let mut inputs = json!({"Choices": [choice("\"\"", "Quotes"), choice("a", "A")]});
        if default.is_string() {
            inputs["Default"] = default;
        }
        json!({
            "parameters": {"Word": {"type": "String", "default": "\"\""}},
            "mainSteps": [
                {"name": "Choose", "action": "aws:branch", "inputs": inputs},
                step("Quotes", &json!({"isEnd": true})),
                step("A", &json!({"isEnd": true})),
                step("Other", &json!({})),
            ],
        })
    };
    for (parameters, operation) in [
        (json!({}), "ssm:Quotes"),
        (json!({"Word": ["a"]}), "ssm:A"),
        (json!({"Word": ["A"]}), "ssm:Other"),
    ] {
        let trial = Trial::new(steps(json!("Other")));
        let execution = trial.run(parameters).await;
        assert_eq!(trial.operations(), [operation]);
        assert_eq!(execution["AutomationExecutionStatus"], "Success");
    }
    let execution = Trial::new(steps(Value::Null)).run(json!({"Word": ["z"]})).await;
    let message = "Step Choose failed: no choice applies, and there is no Default";
    assert_eq!(execution["FailureMessage"], message);
}

#[tokio::test]
async fn a_step_over_its_timeout_has_timed_out() {
    let sleep = json!({
        "name": "Wait", "action": "aws:sleep", "inputs": {"Duration": "PT1H"}, "timeoutSeconds": 0,
    });
    let execution = Trial::of_steps(json!([sleep])).run(json!({})).await;
    assert_eq!(execution["AutomationExecutionStatus"], "TimedOut");
    assert_eq!(step_statuses(&execution), [("Wait", "TimedOut")]);
}

#[tokio::test]
async fn what_is_not_supported_or_not_known_fails_the_execution_and_says_so() {
    let approve = json!({"name": "Ask", "action": "aws:approve"});
    let mut unknown = step("First", &json!({}));
    unknown["inputs"]["Comment"] = json!("{{ Later.Output }}");
    for (step, message) in [
        (approve, "Step Ask failed: the sandbox's Automation has no action aws:approve"),
        (
            unknown,
            "Step First failed: {{ Later.Output }} is neither a parameter nor an output of an \
             earlier step",
        ),
    ] {
        let trial = Trial::of_steps(json!([step]));
        let execution = trial.run(json!({})).await;
        assert_eq!(execution["FailureMessage"], message);
        assert!(trial.operations().is_empty());
    }
}

#[tokio::test]
async fn steps_that_lead_in_a_circle_come_to_an_end() {
    let execution =
        Trial::of_steps(json!([step("First", &json!({"nextStep": "First"}))])).run(json!({})).await;
    assert_eq!(execution["FailureMessage"], "no end after 1000 steps");
}

#[tokio::test]
async fn one_client_token_starts_one_execution() {
    let trial = Trial::new(json!({
        "parameters": {"Word": {"type": "String", "default": "a"}},
        "mainSteps": [step("First", &json!({}))],
    }));
    let body = json!({"DocumentName": "Book", "ClientToken": "token"});
    let first = trial.start(body.clone()).await.unwrap();
    assert_eq!(trial.start(body.clone()).await.unwrap(), first);
    let mut other = body;
    other["Parameters"] = json!({"Word": ["b"]});
    assert_eq!(trial.start(other).await.unwrap_err().code, "IdempotentParameterMismatch");
}

#[tokio::test]
async fn requests_are_refused_as_the_api_refuses_them() {
    let trial = Trial::new(json!({
        "assumeRole": "{{ Role }}",
        "parameters": {
            "Role": {"type": "String", "default": ""},
            "Seconds": {"type": "String", "allowedPattern": "^[0-9]+$"},
        },
        "mainSteps": [step("First", &json!({}))],
    }));
    let with = |parameters: Value| json!({"DocumentName": "Book", "Parameters": parameters});
    let invalid = "InvalidAutomationExecutionParametersException";
    let good = json!({"Seconds": ["1"]});
    for (body, code, words) in [
        (json!({}), "ValidationException", "documentName"),
        (json!({"DocumentName": "None"}), "AutomationDefinitionNotFoundException", "None"),
        (
            json!({"DocumentName": "Script"}),
            "AutomationDefinitionNotFoundException",
            "expected an Automation document, got one of type Command",
        ),
        (with(json!({})), invalid, "Parameter Seconds of document Book: required, but missing"),
        (with(json!({"Seconds": ["x"]})), invalid, "expected a match of the pattern ^[0-9]+$"),
        (with(json!({"Seconds": ["1", "2"]})), invalid, "expected one value, got 2"),
        (with(json!({"Seconds": ["1"], "No": []})), invalid, "Parameter No of document Book: not"),
        (
            with(json!({"Seconds": ["1"], "Role": ["arn:aws:iam::123456789012:role/Other"]})),
            invalid,
            "The defined assume role is unable to be assumed",
        ),
        (
            json!({"DocumentName": "Book", "Mode": "Interactive"}),
            "ValidationException",
            "expected Auto",
        ),
        (json!({"DocumentName": "Book", "TargetMaps": []}), "ValidationException", "TargetMaps"),
        (
            json!({"DocumentName": "Book", "DocumentVersion": "7"}),
            "AutomationDefinitionVersionNotFoundException",
            "got 7",
        ),
        (json!({"DocumentName": 1}), "SerializationException", "not of the type"),
    ] {
        let error = trial.start(body).await.unwrap_err();
        assert_eq!((error.status, error.code.as_str()), (400, code), "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    let arn = "arn:aws:ssm:eu-west-1:123456789012:document/Book";
    let with_role = json!({"Seconds": ["1"], "Role": [ROLE]});
    for body in
        [with(good.clone()), with(with_role), json!({"DocumentName": arn, "Parameters": good})]
    {
        assert!(trial.start(body).await.is_ok());
    }
    let mut missing = json!({"AutomationExecutionId": "00000000-0000-0000-0000-000000000000"});
    for operation in ["GetAutomationExecution", "StopAutomationExecution"] {
        let error = trial.call(operation, missing.clone()).await.unwrap_err();
        assert_eq!(error.code, "AutomationExecutionNotFoundException");
    }
    missing["Type"] = json!("Complete");
    let error = trial.call("StopAutomationExecution", missing).await.unwrap_err();
    assert!(error.message.contains("expected Cancel, got Complete"), "{error}");
}
