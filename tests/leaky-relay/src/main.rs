//! The function `relay`, made to show task tokens. The tests of what hides them start it in the
//! relay's place: with what hides them, where nothing may be seen, and without, where the token
//! must be seen, or else the tests would see nothing anywhere.
//!
//! `LEAK` says how: one of [`Fault`], and `unguarded` for a panic that only the Lambda runtime
//! catches, or `unfiltered` for a relay without fault whose logs are those of all crates.

use std::env;
use std::io::stdout;

use callback::ports::{AnswerReceipt, CallError, Pulse};
use callback::{TaskToken, Tasks};
use callback_aws::Clients;
use functions::{Relay, RelayConfig, serve, telemetry};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tracing_subscriber::filter::LevelFilter;

/// How a panic comes to hold a token.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// `message`: it was put into the message.
    Message,
    /// `slice`: Rust quotes a text that is cut within a character.
    Slice,
    /// `result`: Rust quotes an error that was not expected.
    Result,
    /// `literal`: it does not; the message is a text of the program.
    Literal,
}

/// A Step Functions that panics.
#[derive(Debug)]
struct PanickingTasks(Fault);

impl Fault {
    fn named(name: &str) -> Self {
        match name {
            "slice" => Self::Slice,
            "result" => Self::Result,
            "literal" => Self::Literal,
            _ => Self::Message,
        }
    }

    fn panic(self, token: &TaskToken) -> ! {
        let token = token.expose();
        match self {
            Self::Message => panic!("no task waits for {token}"),
            Self::Slice => panic!("{}", &format!("ä{token}")[1..]),
            Self::Result => {
                let number: u32 = serde_json::from_value(token.into()).expect("a number");
                panic!("{number}")
            }
            Self::Literal => panic!("no task waits"),
        }
    }
}

impl Tasks for PanickingTasks {
    async fn succeed(&self, token: &TaskToken, _: &str) -> Result<AnswerReceipt, CallError> {
        self.0.panic(token)
    }

    async fn fail(&self, token: &TaskToken, _: &str, _: &str) -> Result<AnswerReceipt, CallError> {
        self.0.panic(token)
    }

    async fn heartbeat(&self, token: &TaskToken) -> Result<Pulse, CallError> {
        self.0.panic(token)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = RelayConfig::from_environment()?;
    let fault = env::var("LEAK").unwrap_or_default();
    if fault == "unfiltered" {
        tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false).init();
    } else if fault != "unguarded" {
        telemetry::init(config.log_level);
    }
    let Clients { ssm, step_functions } = Clients::from_environment(config.roots).await;
    if fault == "unfiltered" {
        let relay = Relay::new(ssm, step_functions, config.function_name);
        return serve(async |event| {
            relay.handle(event.payload.get(), "unfiltered", &mut stdout()).await
        })
        .await;
    }
    let relay = Relay::new(ssm, PanickingTasks(Fault::named(&fault)), config.function_name);
    if fault == "unguarded" {
        let handle = async |event: LambdaEvent<Box<RawValue>>| {
            relay.handle(event.payload.get(), "unguarded", &mut stdout()).await
        };
        return Box::pin(lambda_runtime::run(service_fn(handle))).await;
    }
    serve(async |event| relay.handle(event.payload.get(), "guarded", &mut stdout()).await).await
}
