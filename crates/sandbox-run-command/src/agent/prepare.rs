//! What the agent does with a document before it runs anything: it checks it and fills it in, or
//! refuses it as a whole.

use serde_json::{Map, Value};

use super::ssm_references::resolve;
use super::validation::{RunBy, check};
use crate::documents::{CommandDocument, SchemaVersion, Step, Values, interpolate_as_agent};
use crate::parameter_store::ParameterStore;

/// A document whose steps can be run: nothing is left to be replaced in their inputs.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) steps: Vec<Step>,
    /// Whether steps for other platforms are skipped. If not, they fail.
    pub(crate) is_cross_platform: bool,
}

impl Prepared {
    /// Prepares a document. Its parameters have these values; one that is missing is null.
    ///
    /// # Errors
    ///
    /// Why the agent refuses the document: the text of `TraceOutput`, or of the standard error of
    /// the step that runs it.
    pub(crate) async fn new(
        document: &CommandDocument,
        mut values: Values,
        run_by: RunBy,
        store: &dyn ParameterStore,
    ) -> Result<Self, String> {
        if let SchemaVersion::Unknown(version) = &document.schema_version {
            return Err(format!(
                "Document with schema version {version} is not supported by this version of ssm \
                 agent, please update to latest version"
            ));
        }
        for (name, parameter) in &document.parameters {
            let default = || parameter.default().cloned().unwrap_or_default();
            values.entry(name.clone()).or_insert_with(default);
        }
        let given = Value::Object(Map::from_iter(values.clone()));
        check(&document.parameters, &values, &resolve(&given, store).await?, run_by)?;
        let mut steps = Vec::with_capacity(document.steps.len());
        for step in &document.steps {
            // The references once more: what is inserted may hold some, and the document itself.
            let inputs = resolve(&interpolate_as_agent(&step.inputs, &values), store).await?;
            steps.push(Step { inputs, ..step.clone() });
        }
        if steps.is_empty() {
            return Err("Unsupported schema format".to_owned());
        }
        let is_cross_platform = document.schema_version == SchemaVersion::CrossPlatform;
        Ok(Self { steps, is_cross_platform })
    }

    /// Prepares the document of a command.
    ///
    /// # Errors
    ///
    /// As those of [`Prepared::new`].
    pub(crate) async fn of_command(
        document: &CommandDocument,
        values: &Values,
        store: &dyn ParameterStore,
    ) -> Result<Self, String> {
        Self::new(document, values.clone(), RunBy::Command, store).await
    }
}
