//! The Lambda function `relay`.

use callback_aws::Clients;
use functions::{Relay, RelayConfig, telemetry};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = RelayConfig::from_environment()?;
    telemetry::init(config.log_level);
    let clients = Clients::from_environment().await;
    clients.warm_up().await;
    let relay = Relay::new(clients.ssm, clients.step_functions, config.function_name);
    let handle = async |event: LambdaEvent<Box<RawValue>>| {
        relay.handle(event.payload.get(), &event.context.request_id).await
    };
    lambda_runtime::run(service_fn(handle)).await
}
