//! Reads documents from moto, where users create them.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sandbox_run_command::documents::{Document, Documents};
use serde_json::{Value, json};

use crate::arn::name_of_arn;
use crate::aws::{Client, SSM};
use crate::error_chain::error_chain;

/// The errors that say that there is no such document, or no such version of it.
const ABSENT: [&str; 2] = ["InvalidDocument", "InvalidDocumentVersion"];

/// The documents that moto's Systems Manager knows.
#[derive(Debug, Clone)]
pub struct StoredDocuments {
    moto: Client,
}

impl StoredDocuments {
    /// The documents of this moto.
    pub fn new(moto: Client) -> Self {
        Self { moto }
    }
}

impl Documents for StoredDocuments {
    fn document(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> BoxFuture<'static, Result<Option<Document>, String>> {
        let moto = self.moto.clone();
        let name = name_of_arn(name).to_owned();
        let mut request = json!({ "Name": name, "DocumentFormat": "JSON" });
        if let Some(version) = version {
            request["DocumentVersion"] = version.into();
        }
        async move {
            match moto.json(SSM, "GetDocument", &request).await {
                Ok(answer) => document(&name, &answer).map(Some),
                Err(error) if error.code().is_some_and(|code| ABSENT.contains(&code)) => Ok(None),
                Err(error) => Err(error_chain(&error)),
            }
        }
        .boxed()
    }
}

fn document(name: &str, answer: &Value) -> Result<Document, String> {
    let content = answer["Content"]
        .as_str()
        .ok_or_else(|| format!("document {name}: GetDocument: the answer has no Content"))?;
    Ok(Document {
        name: name.to_owned(),
        document_type: answer["DocumentType"].as_str().unwrap_or("Command").to_owned(),
        content: serde_json::from_str(content)
            .map_err(|error| format!("document {name}: expected JSON: {error}"))?,
    })
}
