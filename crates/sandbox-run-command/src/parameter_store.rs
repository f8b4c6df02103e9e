//! Parameter Store, as far as the agent of a node reads it.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

/// A parameter of Parameter Store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredParameter {
    /// What its value is.
    pub kind: StoredKind,
    /// The value; that of a list has commas between its items.
    pub value: String,
}

/// The types of parameters (SSM API, `Parameter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredKind {
    /// A text.
    String,
    /// A list of texts.
    StringList,
    /// An encrypted text, which the agent does not put into documents.
    SecureString,
}

/// Where parameters are kept.
pub trait ParameterStore: Send + Sync + 'static {
    /// The parameters of these names, each with or without a version after a colon
    /// (`GetParameters`). Those that do not exist are left out. The error says why the store could
    /// not be read.
    fn parameters(
        &self,
        names: Vec<String>,
    ) -> BoxFuture<'static, Result<BTreeMap<String, StoredParameter>, String>>;
}
