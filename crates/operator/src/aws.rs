//! The caller's credentials and region, and the clients that use them.

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::config::StalledStreamProtectionConfig;
use callback_aws::clients::{Clients, Patience, http_client};
use callback_aws::trust::{Roots, trust_store};

use crate::cli::Place;
use crate::problem::Problem;

/// Timeout for an invocation of the relay: the longest that Lambda lets a function run.
const INVOCATION_MAX: Duration = Duration::from_mins(15);

/// The clients of one account and region.
#[derive(Debug)]
pub struct Aws {
    region: String,
    /// The ports of `callback`.
    pub ports: Clients,
    /// Stacks.
    pub cloudformation: aws_sdk_cloudformation::Client,
    /// Metrics and alarms.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// Rules.
    pub eventbridge: aws_sdk_eventbridge::Client,
    /// Roles and policies.
    pub iam: aws_sdk_iam::Client,
    /// Invocations. A call is sent once, and may take as long as a function.
    pub invocations: aws_sdk_lambda::Client,
    /// Functions.
    pub lambda: aws_sdk_lambda::Client,
    /// Buckets.
    pub s3: aws_sdk_s3::Client,
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
    /// What the ports do not read of Systems Manager.
    pub ssm: aws_sdk_ssm::Client,
    /// What the ports do not read of Step Functions.
    pub step_functions: aws_sdk_sfn::Client,
    /// Who the caller is.
    pub sts: aws_sdk_sts::Client,
}

impl Aws {
    /// Creates the clients from the SDK's standard configuration. Without `--region`, the region is
    /// this default one, or that of the configuration. Checks that there are credentials; the first
    /// call shows whether they are valid.
    pub async fn connect(place: &Place, default_region: Option<&str>) -> Result<Self, Problem> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client(trust_store(Roots::System)));
        if let Some(region) = place.region.as_deref().or(default_region) {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let config = loader.load().await;
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(Problem::new(
                "expected a region, got none. Give --region, or set AWS_REGION or a profile with one",
            ));
        };
        if !is_region(&region) {
            let got = crate::shown::printable(&region);
            return Err(Problem::new(format!(
                "expected a region such as eu-central-1, got `{got}`. Correct --region or AWS_REGION"
            )));
        }
        let Some(credentials) = config.credentials_provider() else {
            return Err(no_credentials("none is configured"));
        };
        credentials.provide_credentials().await.map_err(|error| no_credentials(reason(&error)))?;

        let patience = Patience::default();
        let patient = patience.applied_to(&config);
        let once = config
            .to_builder()
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(patience.connect_timeout)
                    .operation_timeout(INVOCATION_MAX)
                    .build(),
            )
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(RetryConfig::disabled())
            .build();
        Ok(Self {
            region,
            ports: Clients::new(&config, &patience),
            cloudformation: aws_sdk_cloudformation::Client::new(&patient),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&patient),
            eventbridge: aws_sdk_eventbridge::Client::new(&patient),
            iam: aws_sdk_iam::Client::new(&patient),
            invocations: aws_sdk_lambda::Client::new(&once),
            lambda: aws_sdk_lambda::Client::new(&patient),
            s3: aws_sdk_s3::Client::new(&patient),
            sqs: aws_sdk_sqs::Client::new(&patient),
            ssm: aws_sdk_ssm::Client::new(&patient),
            step_functions: aws_sdk_sfn::Client::new(&patient),
            sts: aws_sdk_sts::Client::new(&patient),
        })
    }

    /// The region of all clients.
    pub fn region(&self) -> &str {
        &self.region
    }
}

/// Whether this can be part of a host name.
fn is_region(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn no_credentials(reason: &str) -> Problem {
    Problem::new(format!(
        "expected AWS credentials in the environment or a profile, got none: {reason}. Sign in with \
         `aws sso login` or `aws configure`, or set AWS_PROFILE"
    ))
}

/// The kind of a problem. Its text could quote a configuration file.
fn reason(error: &CredentialsError) -> &'static str {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => "no source has any",
        CredentialsError::ProviderTimedOut(_) => "their source did not respond in time",
        CredentialsError::InvalidConfiguration(_) => "the profile is not valid",
        _ if error.source().is_some() => "their source failed",
        _ => "they could not be read",
    }
}
