//! Documents, their parameters, and the steps of a Command document.

mod amazon;
mod command;
mod document;
mod interpolation;
mod parameter;
mod reference;

pub use amazon::amazon_documents;
pub(crate) use command::{Action, CommandDocument, Precondition, SchemaVersion, Step};
pub use document::{Document, Documents, plain_name};
pub(crate) use interpolation::interpolate_as_agent;
pub use interpolation::{Values, as_text, interpolate};
pub(crate) use parameter::Kind;
pub use parameter::{Given, Parameter, Parameters, bind};
pub(crate) use reference::{has_ssm_reference, named_version, ssm_references};
