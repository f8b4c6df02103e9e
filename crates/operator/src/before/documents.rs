//! Whether somebody else has documents of the names that the stack would create.

use futures_util::StreamExt;
use futures_util::stream;

use crate::aws::Aws;
use crate::before::plan::Plan;
use crate::check::documents::describe;
use crate::checks::{Check, Group};
use crate::problem::Problem;

/// Maximum number of calls at a time.
const CALLS_MAX: usize = 5;
/// The names of the documents after `DocumentNamePrefix`, with the outputs that name them.
const COMMANDS: [(&str, &str); 3] = [
    ("SfnRunShellScript", "RunShellScriptDocumentName"),
    ("SfnRunPowerShellScript", "RunPowerShellScriptDocumentName"),
    ("SfnRunDocument", "RunDocumentDocumentName"),
];
const AUTOMATIONS: [(&str, &str); 2] = [
    ("SfnRunCommandByInstanceIds", "RunCommandByInstanceIdsDocumentName"),
    ("SfnRunCommandByTargets", "RunCommandByTargetsDocumentName"),
];
const SAMPLE: &str = "See infra/README.md#moving-over-from-awss-sample.";
const BESIDE: &str = "To deploy beside it: PARAMETERS=\"DocumentNamePrefix=Relay-\".";

pub(super) async fn group(aws: &Aws, plan: &Plan) -> Group {
    let checks = stream::iter(wanted(plan))
        .map(async |(name, output)| {
            let is_there = describe(aws, &name).await.map(|document| document.is_some());
            free(plan, &name, output, is_there)
        })
        .buffered(CALLS_MAX)
        .collect()
        .await;
    Group { name: "Documents".to_owned(), checks }
}

/// The names of the documents to create, with the outputs that name them.
pub(super) fn wanted(plan: &Plan) -> Vec<(String, &'static str)> {
    let automations = match plan.parameter("AutomationDocuments") {
        "none" => &[][..],
        _ => &AUTOMATIONS,
    };
    let prefix = plan.parameter("DocumentNamePrefix");
    let all = COMMANDS.iter().chain(automations);
    all.map(|(name, output)| (format!("{prefix}{name}"), *output)).collect()
}

fn free(plan: &Plan, name: &str, output: &str, is_there: Result<bool, Problem>) -> Check {
    let id = format!("{}Free", output.trim_end_matches("Name"));
    let own = plan.existing().and_then(|stack| stack.outputs.get(output));
    match is_there {
        Err(problem) => {
            Check::unknown(id, &format!("Whether there is a document {name}"), &problem)
        }
        Ok(false) => Check::good(id, format!("There is no document {name}.")),
        Ok(true) if own.is_some_and(|own| own == name) => {
            Check::good(id, format!("The document {name} is the stack's."))
        }
        Ok(true) => {
            let is_sample = AUTOMATIONS.iter().any(|(sample, _)| *sample == name);
            let (whose, todo) = if is_sample {
                (" The sample of AWS that this stack replaces has one of this name.", SAMPLE)
            } else {
                ("", BESIDE)
            };
            Check::wrong(
                id,
                format!("Expected no document {name} outside the stack, got one.{whose}"),
                todo,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;
    use crate::stack::Described;

    #[test]
    fn a_document_of_others_is_in_the_way() {
        let mut plan = Plan::sample(&[]);
        let (name, output) = AUTOMATIONS[0];
        let check = free(&plan, name, output, Ok(true));
        assert_eq!((check.found, check.todo.as_str()), (Found::Wrong, SAMPLE));
        assert_eq!(check.id, "RunCommandByInstanceIdsDocumentFree");
        assert_eq!(free(&plan, COMMANDS[0].0, COMMANDS[0].1, Ok(true)).todo, BESIDE);
        assert_eq!(free(&plan, name, output, Ok(false)).found, Found::Good);
        assert_eq!(free(&plan, name, output, Err(Problem::new("denied"))).found, Found::Unknown);
        let outputs = [(output.to_owned(), name.to_owned())].into();
        plan.existing = Ok(Some(Described { outputs, ..Described::default() }));
        assert_eq!(free(&plan, name, output, Ok(true)).found, Found::Good);
    }

    #[test]
    fn names_have_the_prefix() {
        let plan = Plan::sample(&["DocumentNamePrefix=Ops-", "AutomationDocuments=none"]);
        let names: Vec<_> = wanted(&plan).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["Ops-SfnRunShellScript", "Ops-SfnRunPowerShellScript", "Ops-SfnRunDocument"]
        );
    }
}
