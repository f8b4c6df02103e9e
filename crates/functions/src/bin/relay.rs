//! The Lambda function `relay`.

use std::io::stdout;

use callback_aws::Clients;
use functions::{Relay, RelayConfig, serve, telemetry};
use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = RelayConfig::from_environment()?;
    telemetry::init(config.log_level);
    let clients = Clients::from_environment(config.roots).await;
    clients.warm_up().await;
    let relay = Relay::new(clients.ssm, clients.step_functions, config.function_name);
    serve(async |event| {
        relay.handle(event.payload.get(), &event.context.request_id, &mut stdout()).await
    })
    .await
}
