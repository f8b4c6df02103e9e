//! A Lambda function that does nothing. `make bench` starts it next to the others: its time is
//! that of the runtime and of a Rust program alone.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let handle = async |_: LambdaEvent<Box<RawValue>>| Ok::<_, Error>(());
    lambda_runtime::run(service_fn(handle)).await
}
