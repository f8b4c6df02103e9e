//! IAM and STS: roles, their credentials, and what their policies allow.

pub mod roles;
pub mod sts;
