//! CloudFormation: deploys the stack into moto.

pub mod package;
pub mod stack;
