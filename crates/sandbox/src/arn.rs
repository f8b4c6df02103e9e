//! The account of the sandbox, and names of resources in it.

/// The account that everything in the sandbox belongs to.
pub const ACCOUNT: &str = "123456789012";

/// The last part of an ARN, after `:` or `/`: a function's, a queue's, a rule's name.
pub fn name_of_arn(arn: &str) -> &str {
    arn.rsplit([':', '/']).next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::name_of_arn;

    #[test]
    fn the_name_ends_an_arn() {
        assert_eq!(name_of_arn("arn:aws:sqs:us-east-1:123456789012:failed"), "failed");
        assert_eq!(name_of_arn("arn:aws:events:us-east-1:1:rule/on-end"), "on-end");
        assert_eq!(name_of_arn("plain"), "plain");
    }
}
