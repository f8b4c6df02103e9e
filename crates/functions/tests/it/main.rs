//! Both functions over ports in memory: what an invocation gives back, logs and counts.

mod config;
mod deploy_settings;
mod events;
mod hostile_events;
mod invoked;
mod lent_world;
mod log_line;
mod panics;
mod relay;
mod sweep;
