//! What the API refuses, and how it says so.

use super::*;

async fn check(trial: &Trial, operation: &str, body: Value, code: &str, message_part: &str) {
    let error = trial.call(operation, body.clone()).await.expect_err(&body.to_string());
    assert_eq!((error.status, error.code.as_str()), (400, code), "{body}");
    assert!(error.message.contains(message_part), "{error}");
}

#[tokio::test]
async fn documents_and_parameters_are_checked_before_anything_runs() {
    let trial = Trial::new();
    let send = async |change: Value, code: &str, message_part: &str| {
        let request = with(shell(&[NODE], "echo ran > ran"), &change);
        check(&trial, "SendCommand", request, code, message_part).await;
    };
    send(json!({"DocumentName": "Missing"}), "InvalidDocument", "Missing does not exist").await;
    send(json!({"DocumentName": "Automation"}), "InvalidDocument", "expected a Command document")
        .await;
    let invalid = "InvalidParameters";
    send(json!({"Parameters": {}}), invalid, "commands").await;
    send(json!({"Parameters": {"commands": ["x"], "what": ["y"]}}), invalid, "what").await;
    let timeout = json!({"commands": ["x"], "executionTimeout": ["172801"]});
    send(json!({"Parameters": timeout}), invalid, "executionTimeout").await;
    send(json!({"TimeoutSeconds": 1}), "ValidationException", "timeoutSeconds").await;
    send(json!({"TimeoutSeconds": "soon"}), "SerializationException", "type").await;
    assert_eq!(trial.call("ListCommands", json!({})).await, Ok(json!({"Commands": []})));
    assert!(!trial.file(NODE, "ran").exists());
}

#[tokio::test]
async fn unknown_nodes_are_named_and_the_known_ones_are_spared() {
    let trial = Trial::new();
    let request = shell(&[NODE, "i-99999999"], "echo ran > ran");
    let message = "Instances [[i-99999999]] not in a valid state for account 123456789012";
    check(&trial, "SendCommand", request, "InvalidInstanceId", message).await;
    assert!(!trial.file(NODE, "ran").exists());
}

#[tokio::test]
async fn a_document_store_that_does_not_answer_is_not_the_callers_fault() {
    let request = with(shell(&[NODE], "true"), &json!({"DocumentName": "Unreadable"}));
    let error = Trial::new().call("SendCommand", request).await.unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (500, "InternalServerError"));
}

#[tokio::test]
async fn reads_and_cancels_of_nothing_are_refused() {
    let trial = Trial::new();
    let id = trial.send_script("true").await;
    let nobody = "00000000-0000-0000-0000-000000000000";
    let get = |id: &str, node: &str| json!({"CommandId": id, "InstanceId": node});
    let missing = "InvocationDoesNotExist";
    check(&trial, "GetCommandInvocation", get(nobody, NODE), missing, nobody).await;
    check(&trial, "GetCommandInvocation", get(&id, "i-99999999"), missing, "i-99999999").await;
    let invalid = "ValidationException";
    check(&trial, "GetCommandInvocation", json!({"CommandId": id}), invalid, "instanceId").await;
    check(&trial, "CancelCommand", json!({}), invalid, "commandId").await;
    check(&trial, "CancelCommand", json!({"CommandId": nobody}), "InvalidCommandId", nobody).await;
    let foreign = json!({"CommandId": id, "InstanceIds": ["i-99999999"]});
    check(&trial, "CancelCommand", foreign, "InvalidInstanceId", "i-99999999").await;
}

#[tokio::test]
async fn bad_lists_are_refused() {
    let trial = Trial::new();
    for operation in ["ListCommands", "ListCommandInvocations"] {
        let token = json!({"NextToken": "x"});
        check(&trial, operation, token, "InvalidNextToken", "token").await;
        let filter = json!({"Filters": [{"key": "Owner", "value": "me"}]});
        check(&trial, operation, filter, "InvalidFilterKey", "Owner").await;
        check(&trial, operation, json!({"MaxResults": 51}), "ValidationException", "maxResults")
            .await;
    }
    let filter = json!({"Filters": [{"Key": "Owner", "Values": ["me"]}]});
    check(&trial, "DescribeInstanceInformation", filter, "InvalidFilterKey", "Owner").await;
}

#[tokio::test]
async fn an_operation_of_others_is_not_answered() {
    let message = "no operation \"ListDocuments\"";
    let trial = Trial::new();
    check(&trial, "ListDocuments", json!({}), "UnknownOperationException", message).await;
    for operation in RunCommand::OPERATIONS {
        let error = trial.run_command.call(operation, b"{").await.unwrap_err();
        assert_eq!(error.code, "SerializationException", "{operation}");
    }
}
