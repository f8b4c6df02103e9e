//! EventBridge: takes events, matches them against rules, and delivers them.

pub mod delivery;
pub mod event;
pub mod input_transformer;
pub mod permission;
pub mod put_events;
pub mod rules;
pub mod schedule;
