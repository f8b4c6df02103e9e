//! Whether the bucket for the code is the account's and in the region, or can be made.

use aws_sdk_s3::error::ProvideErrorMetadata;

use crate::aws::Aws;
use crate::before::plan::Plan;
use crate::call::answer;
use crate::checks::{Check, Group};
use crate::problem::Problem;

const ID: &str = "Bucket";

/// What is known of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bucket {
    /// It is the account's, in this region.
    In(String),
    /// Nobody has it.
    Absent,
    /// It is another account's, or the caller may not read it.
    Denied,
}

pub(super) async fn group(aws: &Aws, plan: &Plan) -> Group {
    let check = match read(aws, plan).await {
        Ok(bucket) => judge(plan, &bucket),
        Err(problem) => Check::unknown(ID, &format!("Whose bucket {} is", plan.bucket), &problem),
    };
    Group { name: "Bucket for the code".to_owned(), checks: vec![check] }
}

async fn read(aws: &Aws, plan: &Plan) -> Result<Bucket, Problem> {
    let request = aws.s3.get_bucket_location().bucket(&plan.bucket);
    // Another account can have a bucket of any name, also of one that this account had before.
    match request.expected_bucket_owner(&plan.account).send().await {
        Err(error) if error.code() == Some("NoSuchBucket") => Ok(Bucket::Absent),
        Err(error) if error.code() == Some("AccessDenied") => Ok(Bucket::Denied),
        location => {
            let location = answer("s3:GetBucketLocation", location)?.location_constraint;
            // S3 has other names for its oldest regions.
            Ok(Bucket::In(match location.as_ref().map_or("", |location| location.as_str()) {
                "" => "us-east-1".to_owned(),
                "EU" => "eu-west-1".to_owned(),
                region => region.to_owned(),
            }))
        }
    }
}

fn judge(plan: &Plan, bucket: &Bucket) -> Check {
    let (name, region) = (&plan.bucket, plan.region());
    let is_default = *name == plan.default_bucket;
    let advice = if is_default {
        "To use another: BUCKET=NAME.".to_owned()
    } else {
        format!("To have one made: BUCKET={}.", plan.default_bucket)
    };
    match bucket {
        Bucket::In(own) if own == region => {
            Check::good(ID, format!("Bucket {name} is the account's, in {region}."))
        }
        Bucket::In(other) => Check::wrong(
            ID,
            format!(
                "Expected bucket {name} in {region}, because Lambda reads code only from its own region, \
                 got one in {other}."
            ),
            advice,
        ),
        Bucket::Absent if is_default => {
            Check::good(ID, format!("There is no bucket {name}: `make deploy` makes it."))
        }
        Bucket::Absent => {
            Check::wrong(ID, format!("Expected bucket {name}, got none of this name."), advice)
        }
        Bucket::Denied => Check::wrong(
            ID,
            format!(
                "Expected bucket {name} of account {} that the credentials can read, got AccessDenied: it \
                 is another account's, or the right s3:GetBucketLocation is missing.",
                plan.account
            ),
            format!("{advice} See infra/README.md#who-may-deploy."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Found;

    #[test]
    fn a_bucket_is_the_accounts_in_the_region_or_can_be_made() {
        let mut plan = Plan::sample(&[]);
        let here = || Bucket::In("eu-central-1".to_owned());
        for (bucket, expected) in [
            (here(), Found::Good),
            (Bucket::In("us-east-1".to_owned()), Found::Wrong),
            (Bucket::Absent, Found::Good),
            (Bucket::Denied, Found::Wrong),
        ] {
            assert_eq!(judge(&plan, &bucket).found, expected, "{bucket:?}");
        }
        plan.bucket = "mine".to_owned();
        assert_eq!(judge(&plan, &Bucket::Absent).found, Found::Wrong);
        assert_eq!(judge(&plan, &here()).found, Found::Good);
    }
}
