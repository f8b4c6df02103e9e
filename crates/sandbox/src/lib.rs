//! AWS on one machine, for trying, testing and measuring: one endpoint on loopback.
//!
//! Four services that the project depends on most are the sandbox's own, and what they do really
//! happens. Run Command runs scripts as processes ([`sandbox_run_command`]). Automation starts them
//! by its runbooks ([`sandbox_automation`]). EventBridge delivers the events ([`eventbridge`]).
//! Lambda runs the built functions unmodified ([`lambda`]). Everything else (Step Functions,
//! CloudFormation, IAM, SQS, …) is [`moto`], an emulator on `PyPI`, behind the same endpoint
//! ([`gateway`]). The calls of functions and runbooks can be held to the policies of their roles
//! ([`iam`]).
//!
//! Start reading at [`sandbox`], which puts the parts together.
//!
//! **Invariant.** Nobody reaches the sandbox but programs that know the key of its run ([`gate`]), and
//! the browser in which its owner has opened its page ([`page`]).
//! **Invariant.** Nothing that the sandbox starts outlives it, however it ends: [`guard`]. Only when
//! two processes are killed at once may a script live on that has left its session and dropped its
//! environment.
//! **Invariant.** Task tokens pass through, and are never recorded: [`record`]. The logs of the sandbox
//! hold names and ids, never a request's or an event's body.

pub mod api_call;
pub mod arn;
pub mod aws;
pub mod cli;
pub mod cloudformation;
pub mod cloudwatch;
pub mod credentials;
pub mod demo;
pub mod directory;
pub mod ec2;
pub mod error_chain;
pub mod eventbridge;
pub mod faults;
pub mod gate;
pub mod gateway;
pub mod guard;
pub mod iam;
pub mod lambda;
pub mod moto;
pub mod page;
pub mod printable;
pub mod processes;
pub mod program;
pub mod record;
pub mod responses;
pub mod sandbox;
pub mod sqs;
pub mod ssm;
pub mod step_functions;
pub mod stop;
pub mod up;
