//! Documents, their parameters, and the steps of a Command document.

mod amazon;
mod command;
mod document;
mod interpolation;
mod parameter;

pub use amazon::amazon_documents;
pub(crate) use command::{Action, CommandDocument, Precondition, Step};
pub use document::{Document, Documents, plain_name};
pub use interpolation::{Values, as_text, interpolate};
pub use parameter::{Given, Parameter, bind};
