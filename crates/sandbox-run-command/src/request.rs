//! The requests of the API, as they come over the wire, and the constraints that the service
//! model puts on them.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::api::{ApiError, required};
use crate::documents::Given;
use crate::limit::Limit;
use crate::nodes::{Target, is_instance_id};

/// The most nodes that one request may name.
const INSTANCE_IDS_MAX: usize = 50;
/// The most `Targets` of one request.
const TARGETS_MAX: usize = 5;
/// The most values of one target.
const TARGET_VALUES_MAX: usize = 50;
/// The most filters of one request.
const FILTERS_MAX: usize = 5;
/// The longest `Comment`, in characters.
const COMMENT_CHARS_MAX: usize = 100;
/// The bounds of `TimeoutSeconds`.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 30..=2_592_000;
/// The `TimeoutSeconds` of a request that gives none.
const TIMEOUT_SECONDS_DEFAULT: u64 = 3_600;
/// The most results on one page, and how many there are if the request does not say.
const PAGE_MAX: usize = 50;

/// `SendCommand`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendCommand {
    pub(crate) document_name: Option<String>,
    #[serde(default)]
    pub(crate) document_version: String,
    #[serde(default)]
    pub(crate) instance_ids: Vec<String>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
    pub(crate) timeout_seconds: Option<u64>,
    #[serde(default)]
    pub(crate) comment: String,
    #[serde(default)]
    pub(crate) parameters: Given,
    #[serde(default, rename = "OutputS3Region")]
    pub(crate) output_s3_region: String,
    #[serde(default, rename = "OutputS3BucketName")]
    pub(crate) output_s3_bucket_name: String,
    #[serde(default, rename = "OutputS3KeyPrefix")]
    pub(crate) output_s3_key_prefix: String,
    pub(crate) max_concurrency: Option<String>,
    pub(crate) max_errors: Option<String>,
    #[serde(default)]
    pub(crate) service_role_arn: String,
    pub(crate) notification_config: Option<Value>,
    pub(crate) cloud_watch_output_config: Option<Value>,
}

/// `ListCommands` and `ListCommandInvocations`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    pub(crate) command_id: Option<String>,
    pub(crate) instance_id: Option<String>,
    pub(crate) max_results: Option<usize>,
    pub(crate) next_token: Option<String>,
    #[serde(default)]
    filters: Vec<CommandFilter>,
    #[serde(default)]
    pub(crate) details: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct CommandFilter {
    key: String,
    value: String,
}

/// `GetCommandInvocation`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetInvocation {
    pub(crate) command_id: Option<String>,
    pub(crate) instance_id: Option<String>,
    pub(crate) plugin_name: Option<String>,
}

/// `CancelCommand`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CancelCommand {
    pub(crate) command_id: Option<String>,
    #[serde(default)]
    pub(crate) instance_ids: Vec<String>,
}

/// `DescribeInstanceInformation`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeInstances {
    #[serde(default)]
    pub(crate) filters: Vec<Target>,
    #[serde(default)]
    instance_information_filter_list: Vec<InstanceFilter>,
    pub(crate) max_results: Option<usize>,
    pub(crate) next_token: Option<String>,
}

/// The older of the two forms of a filter, with names in lower case.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstanceFilter {
    key: String,
    value_set: Vec<String>,
}

impl SendCommand {
    /// Checks everything that needs neither a document nor a node.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        required("documentName", self.document_name.as_ref())?;
        self.check_nodes()?;
        if !TIMEOUT_SECONDS.contains(&self.timeout_seconds()) {
            let (min, max) = (TIMEOUT_SECONDS.start(), TIMEOUT_SECONDS.end());
            let constraint = format!("Member must have value between {min} and {max}");
            return Err(ApiError::validation("timeoutSeconds", &constraint));
        }
        if self.comment.chars().count() > COMMENT_CHARS_MAX {
            let constraint = "Member must have length less than or equal to 100";
            return Err(ApiError::validation("comment", constraint));
        }
        if self.concurrency().is_none_or(Limit::is_zero) {
            let constraint = "Member must be a number or a percentage from 1, such as 10 or 10%";
            return Err(ApiError::validation("maxConcurrency", constraint));
        }
        if self.errors().is_none() {
            let constraint = "Member must be a number or a percentage from 0, such as 10 or 10%";
            return Err(ApiError::validation("maxErrors", constraint));
        }
        Ok(())
    }

    fn check_nodes(&self) -> Result<(), ApiError> {
        match (self.instance_ids.is_empty(), self.targets.is_empty()) {
            (true, true) => {
                let constraint = "Member must not be empty when there are no targets";
                return Err(ApiError::validation("instanceIds", constraint));
            }
            (false, false) => {
                let constraint = "Member must be empty when there are instance ids";
                return Err(ApiError::validation("targets", constraint));
            }
            (true, false) | (false, true) => {}
        }
        check_instance_ids(&self.instance_ids)?;
        check_targets(&self.targets)
    }

    /// How many seconds a node has to take the command.
    pub(crate) fn timeout_seconds(&self) -> u64 {
        self.timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT)
    }

    /// `MaxConcurrency` as written, or its default.
    pub(crate) fn max_concurrency(&self) -> &str {
        self.max_concurrency.as_deref().unwrap_or("50")
    }

    /// `MaxErrors` as written, or its default.
    pub(crate) fn max_errors(&self) -> &str {
        self.max_errors.as_deref().unwrap_or("0")
    }

    /// `MaxConcurrency` as a limit; `None` if it is not well formed.
    pub(crate) fn concurrency(&self) -> Option<Limit> {
        Limit::parse(self.max_concurrency())
    }

    /// `MaxErrors` as a limit; `None` if it is not well formed.
    pub(crate) fn errors(&self) -> Option<Limit> {
        Limit::parse(self.max_errors())
    }
}

/// Checks number, form and uniqueness of the instance ids of a request.
pub(crate) fn check_instance_ids(ids: &[String]) -> Result<(), ApiError> {
    if ids.len() > INSTANCE_IDS_MAX {
        let constraint = "Member must have length less than or equal to 50";
        return Err(ApiError::validation("instanceIds", constraint));
    }
    for (index, id) in ids.iter().enumerate() {
        if !is_instance_id(id) {
            let constraint = r"Member must satisfy regular expression pattern: (^i-(\w{8}|\w{17})$)|(^mi-\w{17}$)";
            return Err(ApiError::validation("instanceIds", constraint));
        }
        if ids[..index].contains(id) {
            let message = format!("Instance {id} is given more than once");
            return Err(ApiError::refused("DuplicateInstanceId", message));
        }
    }
    Ok(())
}

fn check_targets(targets: &[Target]) -> Result<(), ApiError> {
    if targets.len() > TARGETS_MAX {
        let constraint = "Member must have length less than or equal to 5";
        return Err(ApiError::validation("targets", constraint));
    }
    for Target { key, values } in targets {
        if values.is_empty() || values.len() > TARGET_VALUES_MAX {
            let constraint = "Member must have length from 1 to 50";
            return Err(ApiError::validation("targets.values", constraint));
        }
        let known = ["instanceids", "tag-key"].contains(&key.to_ascii_lowercase().as_str());
        if !known && key.strip_prefix("tag:").is_none_or(str::is_empty) {
            let constraint = format!("Key {key:?} is not tag:<name>, tag-key or InstanceIds");
            return Err(ApiError::validation("targets.key", &constraint));
        }
    }
    Ok(())
}

/// What a list is narrowed down to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// `InvokedAfter`: requested at this time or later.
    pub(crate) after: Option<Timestamp>,
    /// `InvokedBefore`: requested before this time.
    pub(crate) before: Option<Timestamp>,
    /// `Status`: this value as `Status` or `StatusDetails`.
    pub(crate) status: Option<String>,
    /// `ExecutionStage`: whether it still runs.
    pub(crate) executing: Option<bool>,
    /// `DocumentName`.
    pub(crate) document_name: Option<String>,
}

impl List {
    /// The size of a page.
    pub(crate) fn page(&self) -> Result<usize, ApiError> {
        page(self.max_results, 1)
    }

    /// What the filters of the request say together.
    ///
    /// # Errors
    ///
    /// `InvalidFilterKey`, or `ValidationException` for a value that its key does not take.
    pub(crate) fn filter(&self) -> Result<Filter, ApiError> {
        if self.filters.len() > FILTERS_MAX {
            let constraint = "Member must have length less than or equal to 5";
            return Err(ApiError::validation("filters", constraint));
        }
        let mut filter = Filter::default();
        for CommandFilter { key, value } in &self.filters {
            match key.as_str() {
                "InvokedAfter" => filter.after = Some(parse_time(value)?),
                "InvokedBefore" => filter.before = Some(parse_time(value)?),
                "Status" => filter.status = Some(value.clone()),
                "ExecutionStage" => filter.executing = Some(parse_stage(value)?),
                "DocumentName" => filter.document_name = Some(value.clone()),
                _ => {
                    let message = format!(
                        "Filter key {key:?} is not InvokedAfter, InvokedBefore, Status, \
                         ExecutionStage or DocumentName"
                    );
                    return Err(ApiError::refused("InvalidFilterKey", message));
                }
            }
        }
        Ok(filter)
    }
}

fn parse_time(value: &str) -> Result<Timestamp, ApiError> {
    value.parse().map_err(|_| {
        let constraint = format!("{value:?} is not a time such as 2026-11-22T10:00:00Z");
        ApiError::validation("filters.value", &constraint)
    })
}

fn parse_stage(value: &str) -> Result<bool, ApiError> {
    match value {
        "Executing" => Ok(true),
        "Complete" => Ok(false),
        _ => {
            let constraint = format!("ExecutionStage {value:?} is not Executing or Complete");
            Err(ApiError::validation("filters.value", &constraint))
        }
    }
}

impl DescribeInstances {
    /// The size of a page.
    pub(crate) fn page(&self) -> Result<usize, ApiError> {
        page(self.max_results, 5)
    }

    /// The filters of both forms.
    pub(crate) fn all_filters(&self) -> Result<Vec<Target>, ApiError> {
        let older = self
            .instance_information_filter_list
            .iter()
            .map(|filter| Target { key: filter.key.clone(), values: filter.value_set.clone() });
        let filters: Vec<_> = self.filters.iter().cloned().chain(older).collect();
        let known = ["instanceids", "tag-key", "platformtypes", "pingstatus", "resourcetype"];
        for Target { key, .. } in &filters {
            let tag = key.starts_with("tag:");
            if !tag && !known.contains(&key.to_ascii_lowercase().as_str()) {
                let message = format!(
                    "Filter key {key:?} is not tag:<name>, tag-key, InstanceIds, PlatformTypes, \
                     PingStatus or ResourceType"
                );
                return Err(ApiError::refused("InvalidFilterKey", message));
            }
        }
        Ok(filters)
    }
}

fn page(max_results: Option<usize>, min: usize) -> Result<usize, ApiError> {
    match max_results {
        None => Ok(PAGE_MAX),
        Some(results) if (min..=PAGE_MAX).contains(&results) => Ok(results),
        Some(_) => {
            let constraint = format!("Member must have value between {min} and {PAGE_MAX}");
            Err(ApiError::validation("maxResults", &constraint))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::parse;

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn check_refused(change: Value, code: &str, message_part: &str) {
        let mut body = json!({"DocumentName": "Doc", "InstanceIds": ["i-12345678"]});
        for (member, value) in change.as_object().unwrap() {
            body[member] = value.clone();
        }
        let checked = parse::<SendCommand>(&serde_json::to_vec(&body).unwrap())
            .and_then(|request| request.check());
        let error = checked.expect_err(&body.to_string());
        assert_eq!((error.code.as_str(), error.status), (code, 400), "{body}");
        assert!(error.message.contains(message_part), "{error}");
    }

    fn check_invalid(change: Value, message_part: &str) {
        check_refused(change, "ValidationException", message_part);
    }

    #[test]
    fn refuses_what_the_service_model_does_not_take() {
        check_invalid(json!({"DocumentName": null}), "'documentName'");
        check_invalid(json!({"InstanceIds": []}), "'instanceIds'");
        check_invalid(json!({"InstanceIds": ["../etc"]}), "'instanceIds'");
        let ids: Vec<_> = (0..51).map(|id| format!("i-{id:08}")).collect();
        check_invalid(json!({"InstanceIds": ids}), "less than or equal to 50");
        check_invalid(json!({"TimeoutSeconds": 29}), "between 30 and 2592000");
        check_invalid(json!({"TimeoutSeconds": 2_592_001}), "between 30 and 2592000");
        check_invalid(json!({"Comment": "x".repeat(101)}), "'comment'");
        check_invalid(json!({"MaxConcurrency": "0"}), "'maxConcurrency'");
        check_invalid(json!({"MaxErrors": "-1"}), "'maxErrors'");
        let id = "i-12345678";
        check_refused(json!({"InstanceIds": [id, id]}), "DuplicateInstanceId", id);
    }

    #[test]
    fn refuses_bad_targets() {
        let target = json!({"Key": "tag:Role", "Values": ["web"]});
        check_invalid(json!({"Targets": [target]}), "'targets'");
        let only = |targets: Value| json!({"InstanceIds": [], "Targets": targets});
        check_invalid(only(vec![target; 6].into()), "less than or equal to 5");
        let values = vec!["web"; 51];
        check_invalid(only(json!([{"Key": "tag:Role", "Values": values}])), "from 1 to 50");
        check_invalid(only(json!([{"Key": "tag:Role"}])), "from 1 to 50");
        check_invalid(only(json!([{"Key": "Role", "Values": ["web"]}])), "tag:<name>");
        check_invalid(only(json!([{"Key": "tag:", "Values": ["web"]}])), "tag:<name>");
    }

    #[test]
    fn a_body_that_cannot_be_read_is_not_repeated() {
        let body = br#"{"DocumentName":"Doc","Parameters":{"taskToken":"AAAAsecret"}}"#;
        let error = parse::<SendCommand>(body).unwrap_err();
        assert_eq!(error.code, "SerializationException");
        assert!(!error.message.contains("AAAAsecret"), "{error}");
        assert_eq!(
            parse::<List>(b"{").unwrap_err().message,
            "the body is not JSON (line 1, column 1)"
        );
        assert!(parse::<List>(b"").is_ok());
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better at the call")]
    fn filter(filters: Value) -> Result<Filter, ApiError> {
        parse::<List>(&serde_json::to_vec(&json!({"Filters": filters})).unwrap())?.filter()
    }

    #[test]
    fn filters_are_read_together() {
        let read = filter(json!([
            {"key": "InvokedAfter", "value": "2026-11-22T10:00:00Z"},
            {"key": "ExecutionStage", "value": "Executing"},
        ]));
        let after = Some("2026-11-22T10:00:00Z".parse().unwrap());
        assert_eq!(read, Ok(Filter { after, executing: Some(true), ..Filter::default() }));
    }

    #[test]
    fn refuses_bad_filters_and_pages() {
        let code = |filters| filter(filters).unwrap_err().code;
        assert_eq!(code(json!([{"key": "Owner", "value": "x"}])), "InvalidFilterKey");
        let invalid = "ValidationException";
        assert_eq!(code(json!([{"key": "InvokedAfter", "value": "today"}])), invalid);
        assert_eq!(code(json!([{"key": "ExecutionStage", "value": "Done"}])), invalid);
        let status = json!({"key": "Status", "value": "Success"});
        assert_eq!(code(vec![status; 6].into()), invalid);
        for max_results in [0, 51] {
            let list = List { max_results: Some(max_results), ..List::default() };
            assert_eq!(list.page().unwrap_err().code, invalid);
        }
        assert_eq!(List::default().page(), Ok(50));
    }
}
