//! What a role or user may do, as IAM simulates it (IAM API, `SimulatePrincipalPolicy`). Policies of
//! resources, endpoints and sessions are not part of the simulation.

use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType,
};

use crate::aws::Aws;
use crate::call::found;
use crate::problem::Problem;

/// Maximum number of pages of one simulation.
const PAGES_MAX: usize = 20;
const ABSENT: [&str; 2] = ["NoSuchEntity", "NoSuchEntityException"];

/// Actions on resources, in a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Such as `ssm:SendCommand`.
    pub actions: Vec<String>,
    /// ARNs, or `*`.
    pub resources: Vec<String>,
    /// Keys of conditions, each with one text.
    pub context: Vec<(String, String)>,
}

/// An action that is not allowed on a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The action.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// Keys of conditions in the policies for which the request has no text.
    pub missing_keys: Vec<String>,
}

/// What is not allowed of a request to this role or user. `None` if there is no such role or user.
pub async fn denied(
    aws: &Aws,
    principal_arn: &str,
    request: &Request,
) -> Result<Option<Vec<Denied>>, Problem> {
    let context = request.context.iter().map(|(key, value)| {
        let entry = ContextEntry::builder().context_key_name(key).context_key_values(value);
        entry.context_key_type(ContextKeyTypeEnum::String).build()
    });
    let context: Vec<_> = context.collect();
    let mut denied = Vec::new();
    let mut marker = None;
    for _ in 0..PAGES_MAX {
        let call = aws.iam.simulate_principal_policy().policy_source_arn(principal_arn);
        let call = call.set_action_names(Some(request.actions.clone()));
        let call = call.set_resource_arns(Some(request.resources.clone()));
        let call = call.set_context_entries(Some(context.clone())).set_marker(marker);
        let page = found("iam:SimulatePrincipalPolicy", &ABSENT, call.send().await)?;
        let Some(page) = page else { return Ok(None) };
        for result in page.evaluation_results.unwrap_or_default() {
            denied.extend(denials(result));
        }
        marker = page.marker.filter(|marker| page.is_truncated && !marker.is_empty());
        if marker.is_none() {
            return Ok(Some(denied));
        }
    }
    Err(Problem::new("expected a shorter simulation of policies, got too many pages"))
}

/// What one result denies. With several resources, each can have a decision of its own.
fn denials(result: EvaluationResult) -> Vec<Denied> {
    let action = result.eval_action_name;
    let specific = result.resource_specific_results.unwrap_or_default().into_iter();
    let specific = specific.map(|one| {
        (one.eval_resource_decision, one.eval_resource_name, one.missing_context_values)
    });
    let mut decisions: Vec<_> = specific.collect();
    if decisions.is_empty() {
        let resource = result.eval_resource_name.unwrap_or_else(|| "*".to_owned());
        decisions.push((result.eval_decision, resource, result.missing_context_values));
    }
    decisions
        .into_iter()
        .filter(|(decision, ..)| *decision != PolicyEvaluationDecisionType::Allowed)
        .map(|(_, resource, missing_keys)| Denied {
            action: action.clone(),
            resource,
            missing_keys: missing_keys.unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_iam::types::ResourceSpecificResult;

    use super::*;

    fn result(decision: &PolicyEvaluationDecisionType) -> EvaluationResult {
        let result = EvaluationResult::builder().eval_action_name("ssm:SendCommand");
        let result = result.eval_resource_name("arn:all").eval_decision(decision.clone());
        result.build().expect("a result")
    }

    #[test]
    fn what_is_denied_is_named() {
        use PolicyEvaluationDecisionType::{Allowed, ExplicitDeny, ImplicitDeny};
        assert!(denials(result(&Allowed)).is_empty());
        for decision in [ImplicitDeny, ExplicitDeny] {
            assert_eq!(denials(result(&decision))[0].resource, "arn:all");
        }
        // Decisions about single resources count more.
        let mut several = result(&ImplicitDeny);
        let specific = [("arn:one", Allowed), ("arn:two", ImplicitDeny)].map(|(arn, decision)| {
            let one = ResourceSpecificResult::builder().eval_resource_name(arn);
            one.eval_resource_decision(decision).build().expect("a result")
        });
        several.resource_specific_results = Some(specific.to_vec());
        let denied = denials(several);
        assert_eq!((denied.len(), denied[0].resource.as_str()), (1, "arn:two"));
    }
}
