//! What a call of AWS answered, with the right that it needs.

use aws_sdk_ssm::config::http::HttpResponse;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use callback_aws::call_error::call_error;

use crate::problem::Problem;

/// The answer to a call of this action, such as `lambda:GetPolicy`. Only of actions that are named as
/// their operation.
pub fn answer<T, E>(
    action: &'static str,
    result: Result<T, SdkError<E, HttpResponse>>,
) -> Result<T, Problem>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    result.map_err(|error| Problem::call(action, &call_error(operation(action), &error)))
}

/// The same. `None` if the error code is one of these, which say that there is no such thing.
pub fn found<T, E>(
    action: &'static str,
    absent_codes: &[&str],
    result: Result<T, SdkError<E, HttpResponse>>,
) -> Result<Option<T>, Problem>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match &result {
        Err(error) if error.code().is_some_and(|code| absent_codes.contains(&code)) => Ok(None),
        _ => answer(action, result).map(Some),
    }
}

/// The operation of an action.
fn operation(action: &'static str) -> &'static str {
    action.split_once(':').map_or(action, |(_, operation)| operation)
}
