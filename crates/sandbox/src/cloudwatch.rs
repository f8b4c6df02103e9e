//! CloudWatch: the metrics of functions. Moto keeps them, with all others and the alarms.

pub mod datum;
pub mod embedded;
pub mod metrics;
