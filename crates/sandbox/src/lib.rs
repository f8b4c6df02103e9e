//! AWS on one machine, for trying, testing and measuring: one endpoint on loopback.
//!
//! What the project depends on most is the sandbox's own and really happens: Run Command runs
//! scripts as processes ([`run_command`]), Automation starts them by its runbooks ([`automation`]),
//! `EventBridge` delivers the events ([`delivery`]), and Lambda runs the built functions unmodified
//! ([`lambda`]). Everything else (Step Functions,
//! CloudFormation, IAM, SQS, …) is moto, an emulator on `PyPI`, behind the same endpoint
//! ([`gateway`]). The calls of functions and runbooks can be held to the policies of their roles
//! ([`roles`]).
//!
//! Start reading at [`sandbox`], which puts the parts together.
//!
//! **Invariant.** Nobody reaches the sandbox but programs that know the key of its run: [`gate`].
//! **Invariant.** Nothing that the sandbox starts outlives it, however it ends: [`guard`]. Where two
//! processes are killed at once, and only there, a script may live on that has left its session and
//! dropped its environment.
//! **Invariant.** Task tokens pass through, and appear in no log of the sandbox: the logs hold
//! names and ids, never a request's or an event's body.

pub mod api_call;
pub mod asynchronous;
pub mod automation;
pub mod aws;
pub mod cli;
pub mod credentials;
pub mod delivery;
pub mod demo;
pub mod documents;
pub mod env_file;
pub mod faults;
pub mod function_process;
pub mod gate;
pub mod gateway;
pub mod guard;
pub mod journal;
pub mod lambda;
pub mod moto;
pub mod peer;
pub mod printable;
pub mod roles;
pub mod rules;
pub mod run_command;
pub mod sandbox;
pub mod schedule;
pub mod stack;
pub mod stop;
pub mod up;

/// The account that everything in the sandbox belongs to.
pub const ACCOUNT: &str = "123456789012";
