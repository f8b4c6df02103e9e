//! A document as it is stored, and where documents are stored.

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A document as it was created.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its name, without an ARN around it.
    pub name: String,
    /// `Command`, `Automation`, …
    pub document_type: String,
    /// Its content, parsed.
    pub content: Value,
}

impl Document {
    /// Reads the content as a `T`. The error names the place and what was expected there.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_path_to_error::deserialize(&self.content).map_err(|error| {
            let path = error.path().to_string();
            let reason = error.into_inner();
            if path == "." { reason.to_string() } else { format!("{path}: {reason}") }
        })
    }
}

/// Where documents are kept.
pub trait Documents: Send + Sync + 'static {
    /// The document of this name, in this version or else in its default one; `None` if there is
    /// none. The error says why the store could not be read.
    fn document(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> BoxFuture<'static, Result<Option<Document>, String>>;
}

/// The name of a document that is given by name or by ARN.
pub fn plain_name(reference: &str) -> &str {
    reference.rsplit_once("document/").map_or(reference, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::plain_name;

    #[test]
    fn an_arn_names_its_document() {
        assert_eq!(plain_name("arn:aws:ssm:eu-west-1:123456789012:document/Mine"), "Mine");
        assert_eq!(plain_name("Mine"), "Mine");
    }
}
