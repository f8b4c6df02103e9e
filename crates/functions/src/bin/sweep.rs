//! The Lambda function `sweep`.

use std::io::stdout;

use callback_aws::Clients;
use functions::{Sweep, SweepConfig, serve, telemetry};
use jiff::Timestamp;
use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = SweepConfig::from_environment()?;
    telemetry::init(config.log_level);
    let clients = Clients::from_environment().await;
    clients.warm_up().await;
    let sweep = Sweep::new(clients.ssm, clients.step_functions, config.scope, config.function_name);
    serve(async |event| {
        let deadline = Timestamp::try_from(event.context.deadline()).unwrap_or(Timestamp::MAX);
        let request_id = &event.context.request_id;
        sweep.handle(event.payload.get(), request_id, deadline, &mut stdout()).await
    })
    .await
}
