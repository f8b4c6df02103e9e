//! The Lambda function `sweep`.

use std::io::stdout;

use callback_aws::Clients;
use functions::sweep::InvocationContext;
use functions::{Sweep, SweepConfig, serve, telemetry};
use jiff::Timestamp;
use lambda_runtime::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = SweepConfig::from_environment()?;
    telemetry::init(config.log_level);
    let clients = Clients::from_environment(config.roots).await;
    clients.warm_up().await;
    let sweep = Sweep::new(clients.ssm, clients.step_functions, config.scope, config.function_name);
    serve(async |event| {
        let context = InvocationContext {
            request_id: &event.context.request_id,
            function_arn: &event.context.invoked_function_arn,
            now: Timestamp::now(),
            deadline: Timestamp::try_from(event.context.deadline()).unwrap_or(Timestamp::MAX),
        };
        sweep.handle(event.payload.get(), context, &mut stdout()).await
    })
    .await
}
