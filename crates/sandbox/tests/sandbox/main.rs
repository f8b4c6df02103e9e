//! The sandbox as its users meet it: the program itself, started and spoken to over HTTP.

mod delivery;
mod gateway;
mod instances;
mod invocation;
mod lifetime;
mod metrics;
mod moto_quirks;
mod page;
mod ready;
mod roles;
mod running;
mod strangers;
