//! Whether the documents are there, and whether commands run their latest version.

use aws_sdk_ssm::types::{DocumentDescription, DocumentStatus};
use futures_util::StreamExt;
use futures_util::stream;

use crate::aws::Aws;
use crate::call::found;
use crate::check::deployed::Deployed;
use crate::checks::{Check, Group};
use crate::problem::Problem;
use crate::shown::printable;
use crate::stack::Stack;

/// Maximum number of calls at a time.
const CALLS_MAX: usize = 5;
const DOCUMENT: &str = "AWS::SSM::Document";
/// What Systems Manager says about a document that is not there.
pub const ABSENT: [&str; 1] = ["InvalidDocument"];
const TOKEN: &str = "taskToken";

/// The documents of the stack, and those of `ExtraDocumentNames`.
pub async fn group(aws: &Aws, stack: &Stack, deployed: &Deployed) -> Group {
    let own = match deployed.all() {
        Ok(all) => all
            .iter()
            .filter(|(_, resource)| resource.kind == DOCUMENT)
            .map(|(id, resource)| (id.clone(), resource.physical_id.clone()))
            .collect(),
        Err(problem) => {
            let checks = vec![Check::unknown("Documents", "The names of the documents", &problem)];
            return Group { name: "Documents".to_owned(), checks };
        }
    };
    let own: Vec<(String, String)> = own;
    let extra = stack.extra_documents().iter().map(|name| (None, name.clone()));
    let all = own.into_iter().map(|(id, name)| (Some(id), name)).chain(extra);
    let checks = stream::iter(all)
        .map(async |(id, name)| {
            let document = describe(aws, &name).await;
            match id {
                Some(id) => latest(id, &name, document.as_ref()),
                None => takes_token(&name, document.as_ref()),
            }
        })
        .buffered(CALLS_MAX)
        .collect()
        .await;
    Group { name: "Documents".to_owned(), checks }
}

/// A document. `None` if there is none of this name.
pub async fn describe(aws: &Aws, name: &str) -> Result<Option<DocumentDescription>, Problem> {
    let answer = aws.ssm.describe_document().name(name).send().await;
    Ok(found("ssm:DescribeDocument", &ABSENT, answer)?.and_then(|answer| answer.document))
}

/// Whether a document of the stack is active in its latest version.
fn latest(id: String, name: &str, got: Result<&Option<DocumentDescription>, &Problem>) -> Check {
    let name = printable(name);
    let document = match got {
        Err(problem) => return Check::unknown(id, &format!("The state of {name}"), problem),
        Ok(None) => {
            return Check::wrong(
                id,
                format!(
                    "Expected document {name}, got none: it was deleted. Tasks that name it fail."
                ),
                "See infra/RUNBOOK.md#resources-that-are-missing.",
            );
        }
        Ok(Some(document)) => document,
    };
    let status = document.status.as_ref().map_or("none", DocumentStatus::as_str);
    if status != "Active" {
        return Check::wrong(
            id,
            format!("Expected {name} to be Active, got {status}."),
            "See infra/RUNBOOK.md#versions-of-documents.",
        );
    }
    let version = |version: &Option<String>| printable(version.as_deref().unwrap_or("none"));
    let (default, latest) = (version(&document.default_version), version(&document.latest_version));
    if default == latest {
        return Check::good(id, format!("{name} is active, its version {default} is the latest."));
    }
    Check::wrong(
        id,
        format!(
            "Expected the latest version of {name} to be its default one, got {latest} and {default}. \
             Commands run version {default}."
        ),
        "See infra/RUNBOOK.md#versions-of-documents.",
    )
}

/// Whether a document of the user can be waited for.
fn takes_token(name: &str, got: Result<&Option<DocumentDescription>, &Problem>) -> Check {
    const ID: &str = "ExtraDocument";
    const ADVICE: &str =
        "Correct ExtraDocumentNames, or the document: see infra/README.md#parameters.";
    let name = printable(name);
    match got {
        Err(problem) => Check::unknown(ID, &format!("The state of {name}"), problem),
        Ok(None) => Check::attention(
            ID,
            format!("Expected document {name} of ExtraDocumentNames, got none."),
            ADVICE,
        ),
        Ok(Some(document)) => {
            let parameters = document.parameters.as_deref().unwrap_or_default();
            if parameters.iter().any(|parameter| parameter.name.as_deref() == Some(TOKEN)) {
                return Check::good(ID, format!("{name} of ExtraDocumentNames takes a {TOKEN}."));
            }
            Check::wrong(
                ID,
                format!(
                    "Expected {name} of ExtraDocumentNames to declare the parameter {TOKEN}, got a \
                     document without. No task can wait for it."
                ),
                ADVICE,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ssm::types::DocumentParameter;

    use super::*;
    use crate::checks::Found;

    fn document(status: DocumentStatus, default: &str, latest: &str) -> DocumentDescription {
        DocumentDescription::builder()
            .status(status)
            .default_version(default)
            .latest_version(latest)
            .build()
    }

    #[test]
    fn a_document_is_active_in_its_latest_version() {
        let found = |document| latest("Own".to_owned(), "Own", Ok(&document)).found;
        assert_eq!(found(Some(document(DocumentStatus::Active, "2", "2"))), Found::Good);
        assert_eq!(found(Some(document(DocumentStatus::Active, "1", "2"))), Found::Wrong);
        assert_eq!(found(Some(document(DocumentStatus::Failed, "2", "2"))), Found::Wrong);
        assert_eq!(found(None), Found::Wrong);
    }

    #[test]
    fn an_extra_document_takes_a_token() {
        let found = |document| takes_token("Extra", Ok(&document)).found;
        let with = DocumentParameter::builder().name(TOKEN).build();
        assert_eq!(
            found(Some(DocumentDescription::builder().parameters(with).build())),
            Found::Good
        );
        assert_eq!(found(Some(DocumentDescription::builder().build())), Found::Wrong);
        assert_eq!(found(None), Found::Attention);
    }
}
