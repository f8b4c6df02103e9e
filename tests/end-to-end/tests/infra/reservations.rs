//! What the stack reserves of the account's concurrency, where that is little.

use end_to_end::architecture;
use sandbox_client::Sandbox;
use serde_json::Value;

use crate::deploy_script::{fail, keys, new_bucket, script, small_functions};
use crate::succeed;

#[tokio::test]
async fn a_low_limit_leaves_out_the_reservations_and_is_told() {
    let sandbox =
        Sandbox::start(&["--concurrency-limit", "110", "--parameter", "ReserveConcurrency=false"])
            .await;
    let stack = new_bucket(&sandbox, "low-limit");
    let functions = small_functions();
    let deploy = |parameters: &str| {
        let mut script = script(&sandbox, "deploy", &stack);
        script.args(["--bucket", &stack, "--architecture", architecture(), "--functions"]);
        script.arg(functions.path()).arg("--parameters");
        script.arg(format!("DocumentNamePrefix=Low- StateMachineArns=* {parameters}"));
        script
    };
    let reserved = || {
        let function = format!("{stack}-relay");
        let call = ["lambda", "get-function-concurrency", "--function-name", &function];
        sandbox.aws_cli(&call)["ReservedConcurrentExecutions"].take()
    };

    let said = fail(&mut deploy("ReserveConcurrency=true"));
    assert!(said.contains("cannot reserve concurrency: Lambda allows account"), "{said}");
    assert!(said.contains("a concurrency of 110 in us-east-1"), "{said}");
    assert!(said.contains("the stack would reserve 21\n"), "{said}");
    assert!(said.contains("or set it to false, or RelayMaxConcurrency=9."), "{said}");
    assert_eq!(keys(&sandbox, &stack), Vec::<String>::new());

    let said = succeed(&mut deploy(""));
    assert!(said.contains("setting ReserveConcurrency=false: Lambda allows account"), "{said}");
    assert!(said.contains("PARAMETERS=\"RelayMaxConcurrency=9\""), "{said}");
    assert_eq!(reserved(), Value::Null);

    // What fits is reserved, and the stack's own reservations are not those of others.
    for _ in 0..2 {
        let said = succeed(&mut deploy("ReserveConcurrency=true RelayMaxConcurrency=9"));
        assert!(!said.contains("ReserveConcurrency=false"), "{said}");
        assert_eq!(reserved(), 9);
    }
    let said = fail(&mut deploy("RelayMaxConcurrency=10 ReserveConcurrency=true"));
    assert!(said.contains("others have reserved 0 of it"), "{said}");
    assert_eq!(reserved(), 9);
    // Whoever wants none is not asked about the limit.
    let said = succeed(&mut deploy("RelayMaxConcurrency=20 ReserveConcurrency=false"));
    assert!(!said.contains("Lambda allows"), "{said}");
    assert_eq!(reserved(), Value::Null);
}
