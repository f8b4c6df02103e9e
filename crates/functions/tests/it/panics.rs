//! What is told of a panic: never its message, which can hold a token.

use std::future::poll_fn;

use functions::invocation_error::InvocationError;
use functions::panics::caught;

use crate::invoked::{TOKEN, invoked};

#[tokio::test]
async fn a_panic_is_an_error_of_its_own_that_tells_no_message() {
    // Its message is put together at run time.
    let panicking = poll_fn(|_| panic!("no task waits for {TOKEN}"));
    let invoked = invoked(async |_| caught::<()>(panicking).await).await;
    let (error_type, message) = invoked.error();
    assert_eq!(error_type, "Panicked");
    assert!(!message.contains("no task waits"), "{message}");
}

#[tokio::test]
async fn what_does_not_panic_is_as_it_was() {
    let invoked = invoked(async |_| caught(async { Ok("done") }).await).await;
    assert_eq!(invoked.returned, "done");
    let failed = caught::<()>(async { Err(InvocationError::Panicked) }).await;
    assert!(matches!(failed, Err(InvocationError::Panicked)));
}
