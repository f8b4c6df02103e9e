//! Deleting a stack: whose it is, who confirms it, and what is said before.

use sandbox_client::{NODES, REGION, Sandbox, unique_number};
use serde_json::json;

use crate::deploy_script::{
    at_a_terminal, create_stack, deploy, fail, foreign_stack, keys, new_bucket, script, seen,
    small_functions,
};
use crate::succeed;

#[tokio::test]
async fn a_stack_of_another_application_is_not_deleted() {
    let sandbox = Sandbox::shared().await;
    let stack = foreign_stack(&sandbox);
    let before = seen(&sandbox, &stack);
    let said = fail(script(&sandbox, "destroy", &stack).args(["--confirm", &stack]));
    assert!(
        said.contains(&format!("stack {stack} in {REGION} is not a Run Command Relay")),
        "{said}"
    );
    assert_eq!(seen(&sandbox, &stack), before);
    assert_eq!(keys(&sandbox, &stack), Vec::<String>::new());
}

#[tokio::test]
async fn a_stack_whose_creation_failed_is_known_by_its_parameters() {
    let sandbox = Sandbox::shared().await;
    let stack = format!("failed-{}", unique_number());
    let key = json!({ "Type": "String", "Default": "key" });
    let template = json!({
        "Parameters": { "RelayCodeKey": key, "SweepCodeKey": key },
        "Resources": { "Queue": { "Type": "AWS::SQS::Queue" } },
    });
    create_stack(&sandbox, &stack, &template);
    let said = succeed(script(&sandbox, "destroy", &stack).args(["--confirm", &stack]));
    assert!(said.contains("the stack has no output SweepFunctionName"), "{said}");
}

#[tokio::test]
async fn a_stack_is_deleted_only_when_its_name_is_said_once_more() {
    let sandbox = Sandbox::shared().await;
    let stack = pretended_stack(&sandbox, "no-such-function");
    let before = seen(&sandbox, &stack);
    let refused = |confirm: &[&str], got: &str| {
        let said = fail(script(&sandbox, "destroy", &stack).args(confirm));
        let expected = format!("expected CONFIRM={stack}, {got}\n");
        assert!(said.contains(&expected), "{confirm:?}: {said}");
        assert_eq!(seen(&sandbox, &stack), before);
    };
    refused(&[], "got none");
    refused(&["--confirm", ""], "got none");
    refused(&["--confirm", "yes"], "got 'yes'");
    refused(&["--confirm", &stack.to_uppercase()], &format!("got '{}'", stack.to_uppercase()));

    succeed(script(&sandbox, "destroy", &stack).env("CONFIRM", &stack));
    let said = fail(&mut script(&sandbox, "destroy", &stack));
    assert!(said.contains(&format!("there is no stack {stack}")), "{said}");
}

#[tokio::test]
async fn at_a_terminal_the_name_can_be_typed() {
    let sandbox = Sandbox::shared().await;
    let stack = pretended_stack(&sandbox, "no-such-function");
    let typed = |line: &str| at_a_terminal(&sandbox, &script(&sandbox, "destroy", &stack), line);
    let (deleted, said) = typed("another\n");
    assert!(
        said.contains(&format!("To delete stack {stack} in {REGION}, type its name: ")),
        "{said}"
    );
    assert!(!deleted && said.contains("got 'another'"), "{said}");
    let (deleted, said) = typed(&format!("{stack}\n"));
    assert!(deleted, "{said}");
}

#[tokio::test]
async fn how_many_tasks_will_not_be_answered_is_said_before() {
    let sandbox = Sandbox::shared().await;
    let stack = new_bucket(&sandbox, "waiting");
    succeed(&mut deploy(&sandbox, &stack, &small_functions()));
    let said = fail(&mut script(&sandbox, "destroy", &stack));
    assert!(said.contains("no command of the stack's documents is executing"), "{said}");

    let nodes = sandbox.add_nodes(["silent"]);
    let (shell, power_shell) =
        (format!("{stack}-SfnRunShellScript"), format!("{stack}-SfnRunPowerShellScript"));
    let parameters = [("commands", "true"), ("taskToken", "secret-token")];
    // More than a page of ListCommands.
    for _ in 0..51 {
        sandbox.send_command(&shell, &nodes[0], &parameters).await;
    }
    sandbox.send_command(&power_shell, &nodes[0], &parameters).await;
    // Neither one that has ended counts, nor one of another document.
    let ended = sandbox.send_command(&shell, NODES[0], &parameters).await;
    sandbox.command_ended(&ended).await;
    sandbox.send_command("AWS-RunShellScript", &nodes[0], &[("commands", "true")]).await;
    let said = fail(&mut script(&sandbox, "destroy", &stack));
    let expected = "commands of the stack's documents that are still executing: 52; \
                    their tasks will no longer be answered";
    assert!(said.contains(expected), "{said}");
    assert!(!said.contains("secret-token"), "{said}");
}

#[tokio::test]
async fn that_nothing_can_be_counted_does_not_keep_a_stack() {
    let sandbox = Sandbox::shared().await;
    let stack = pretended_stack(&sandbox, "none\u{9b}31m");
    let said = succeed(script(&sandbox, "destroy", &stack).args(["--confirm", &stack]));
    assert!(said.contains("cannot count the commands that are still executing"), "{said}");
    assert!(said.contains("GetFunctionConfiguration operation"), "{said}");
    assert!(!said.contains('\u{9b}'), "{said:?}");
}

/// A stack that has the outputs of ours, and holds a queue.
fn pretended_stack(sandbox: &Sandbox, function: &str) -> String {
    let stack = format!("pretended-{}", unique_number());
    let output = json!({ "Value": function });
    let template = json!({
        "Resources": { "Queue": { "Type": "AWS::SQS::Queue" } },
        "Outputs": { "RelayFunctionName": output, "SweepFunctionName": output },
    });
    create_stack(sandbox, &stack, &template);
    stack
}
