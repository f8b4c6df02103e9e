//! What is to be deployed, by whom, and what is there of it.

use std::collections::HashMap;

use crate::aws::Aws;
use crate::call::answer;
use crate::problem::Problem;
use crate::shown::printable;
use crate::stack::Described;

/// The defaults in the template of the parameters that are looked at here.
const DEFAULTS: [(&str, &str); 7] = [
    ("AutomationDocuments", "tagged"),
    ("CreateDashboard", "true"),
    ("DocumentNamePrefix", ""),
    ("PermissionsBoundaryArn", ""),
    ("RelayMaxConcurrency", "20"),
    ("ReserveConcurrency", "true"),
    ("RolePath", "/"),
];

/// A deployment.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The name of the stack.
    pub(super) stack: String,
    /// The stack of this name. `None` if there is none.
    pub(super) existing: Result<Option<Described>, Problem>,
    /// The bucket for the code.
    pub(super) bucket: String,
    /// The bucket that `make deploy` makes if it is not there.
    pub(super) default_bucket: String,
    /// The ARN of the caller.
    pub(super) caller: String,
    /// The account of the caller.
    pub(super) account: String,
    partition: String,
    region: String,
    given: HashMap<String, String>,
}

impl Plan {
    /// Reads who the caller is, and the stack.
    pub(super) async fn read(
        aws: &Aws,
        stack: &str,
        bucket: Option<&str>,
        parameters: &[String],
    ) -> Result<Self, Problem> {
        let given = given(parameters)?;
        let (identity, existing) =
            tokio::join!(aws.sts.get_caller_identity().send(), Described::read(aws, stack));
        let identity = answer("sts:GetCallerIdentity", identity)?;
        let caller = printable(&identity.arn.unwrap_or_default());
        let account = printable(&identity.account.unwrap_or_default());
        let region = aws.region().to_owned();
        let default_bucket = format!("run-command-relay-{account}-{region}");
        let previous = existing.as_ref().ok().and_then(Option::as_ref);
        let previous = previous.and_then(|stack| stack.parameters.get("CodeBucket").cloned());
        Ok(Self {
            stack: printable(stack),
            bucket: bucket.map(printable).or(previous).unwrap_or_else(|| default_bucket.clone()),
            default_bucket,
            partition: caller.split(':').nth(1).unwrap_or("aws").to_owned(),
            existing,
            caller,
            account,
            region,
            given,
        })
    }

    /// The stack that is there, if it was read.
    pub(super) fn existing(&self) -> Option<&Described> {
        self.existing.as_ref().ok()?.as_ref()
    }

    /// The value of a parameter, as CloudFormation finds it: given, kept from the stack, or the default.
    pub(super) fn parameter(&self, name: &str) -> &str {
        let kept = self.existing().and_then(|stack| stack.parameters.get(name));
        let default = DEFAULTS.iter().find(|(default, _)| *default == name);
        match self.given.get(name).or(kept) {
            Some(value) => value,
            None => default.map_or("", |(_, value)| value),
        }
    }

    /// Whether a parameter is given this value for this deployment.
    pub(super) fn gives(&self, name: &str, value: &str) -> bool {
        self.given.get(name).is_some_and(|given| given == value)
    }

    /// The region.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// The ARN of something in the account and region.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition, self.region, self.account)
    }

    /// The ARN of something of the account that belongs to no region.
    pub(super) fn global_arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}::{}:{resource}", self.partition, self.account)
    }

    /// The ARN of a bucket, or of an object in it.
    pub(super) fn s3_arn(&self, path: &str) -> String {
        format!("arn:{}:s3:::{path}", self.partition)
    }

    /// A plan for a new stack.
    #[cfg(test)]
    pub(super) fn sample(parameters: &[&str]) -> Self {
        let parameters: Vec<_> = parameters.iter().map(|&pair| pair.to_owned()).collect();
        let bucket = "run-command-relay-111122223333-eu-central-1";
        Self {
            stack: "run-command-relay".to_owned(),
            existing: Ok(None),
            bucket: bucket.to_owned(),
            default_bucket: bucket.to_owned(),
            caller: "arn:aws:iam::111122223333:user/deployer".to_owned(),
            account: "111122223333".to_owned(),
            partition: "aws".to_owned(),
            region: "eu-central-1".to_owned(),
            given: given(&parameters).expect("parameters"),
        }
    }
}

fn given(parameters: &[String]) -> Result<HashMap<String, String>, Problem> {
    let pair = |text: &String| {
        let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = pair.ok_or_else(|| {
            let got = printable(text);
            Problem::new(format!("expected --parameter Key=Value, got `{got}`"))
        })?;
        Ok((key.to_owned(), value.to_owned()))
    };
    parameters.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_template() {
        let template = include_str!("../../../../infra/template.yaml");
        for (name, value) in DEFAULTS {
            let (_, rest) = template.split_once(&format!("\n  {name}:\n")).expect(name);
            let default = rest.lines().find_map(|line| line.trim().strip_prefix("Default: "));
            assert_eq!(default.map(|text| text.trim_matches('"')), Some(value), "{name}");
        }
    }

    #[test]
    fn a_parameter_is_given_kept_or_the_default() {
        let mut plan = Plan::sample(&["RolePath=/relay/"]);
        let kept = [("RolePath", "/old/"), ("DocumentNamePrefix", "Ops-")];
        let kept = kept.map(|(name, value)| (name.to_owned(), value.to_owned()));
        plan.existing = Ok(Some(Described { parameters: kept.into(), ..Described::default() }));
        assert_eq!(plan.parameter("RolePath"), "/relay/");
        assert_eq!(plan.parameter("DocumentNamePrefix"), "Ops-");
        assert_eq!(plan.parameter("RelayMaxConcurrency"), "20");
        assert!(plan.gives("RolePath", "/relay/") && !plan.gives("ReserveConcurrency", "true"));
        assert!(given(&["RolePath".to_owned()]).is_err());
    }
}
