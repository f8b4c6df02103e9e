//! Messages to queues, which moto keeps.

use serde_json::json;

use crate::arn::name_of_arn;
use crate::aws::{CallError, Client, SQS};

/// Sends a message to the queue of this ARN.
pub async fn send_to_queue(moto: &Client, arn: &str, message: &str) -> Result<(), CallError> {
    let name = json!({ "QueueName": name_of_arn(arn) });
    let queue = moto.json(SQS, "GetQueueUrl", &name).await?;
    let body = json!({ "QueueUrl": queue["QueueUrl"], "MessageBody": message });
    moto.json(SQS, "SendMessage", &body).await.map(|_| ())
}
