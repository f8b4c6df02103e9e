//! EC2: instances that moto keeps are managed nodes of Run Command.

mod answers;
pub mod instances;
