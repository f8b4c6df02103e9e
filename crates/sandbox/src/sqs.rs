//! Messages to queues, which moto keeps.

use serde_json::{Value, json};

use crate::arn::name_of_arn;
use crate::aws::{CallError, Client, SQS};

/// Sends a message to the queue of this ARN, with these attributes of the type String.
pub async fn send_to_queue(
    moto: &Client,
    arn: &str,
    message: &str,
    attributes: &[(&str, &str)],
) -> Result<(), CallError> {
    let name = json!({ "QueueName": name_of_arn(arn) });
    let queue = moto.json(SQS, "GetQueueUrl", &name).await?;
    let mut body = json!({ "QueueUrl": queue["QueueUrl"], "MessageBody": message });
    if !attributes.is_empty() {
        let text = |value| json!({ "DataType": "String", "StringValue": value });
        body["MessageAttributes"] = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), text(value)))
            .collect::<Value>();
    }
    moto.json(SQS, "SendMessage", &body).await.map(|_| ())
}
