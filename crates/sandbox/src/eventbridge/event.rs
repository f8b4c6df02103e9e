//! Events in their envelope.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::arn::ACCOUNT;

/// A whole event, with the envelope around its detail.
pub fn event(
    source: &str,
    detail_type: &str,
    region: &str,
    resources: &[String],
    detail: &Value,
) -> Value {
    let seconds = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    json!({
        "version": "0",
        "id": Uuid::new_v4().to_string(),
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": seconds.to_string(),
        "region": region,
        "resources": resources,
        "detail": detail,
    })
}
