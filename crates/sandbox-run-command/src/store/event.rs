//! The events that Run Command sends to EventBridge when a status changes, in their production
//! shape.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::record::{CommandRecord, InvocationRecord};
use crate::time::iso;

/// Sends events on behalf of one account in one region.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    pub(crate) events: mpsc::UnboundedSender<Value>,
    pub(crate) region: String,
    pub(crate) account: String,
}

impl Publisher {
    /// Tells that the status of a whole command changed.
    pub(crate) fn command_changed(&self, command: &CommandRecord, status: &str) {
        // The documentation shows an object; what production sends is a text of JSON.
        let parameters = json!(command.request.parameters).to_string();
        let mut detail = detail(command, status);
        detail["parameters"] = json!(parameters);
        detail["expire-after"] = json!(iso(command.expires));
        let instance_ids = &command.request.instance_ids;
        let resources: Vec<_> = instance_ids.iter().map(|id| self.instance_arn(id)).collect();
        self.publish("EC2 Command Status-change Notification", &resources, &detail);
    }

    /// Tells that the status of a command on one node changed.
    pub(crate) fn invocation_changed(
        &self,
        command: &CommandRecord,
        invocation: &InvocationRecord,
        status: &str,
    ) {
        let mut detail = detail(command, status);
        detail["instance-id"] = json!(invocation.instance_id);
        let resources = [self.instance_arn(&invocation.instance_id)];
        self.publish("EC2 Command Invocation Status-change Notification", &resources, &detail);
    }

    fn publish(&self, detail_type: &str, resources: &[String], detail: &Value) {
        let event = json!({
            "version": "0",
            "id": Uuid::new_v4().to_string(),
            "detail-type": detail_type,
            "source": "aws.ssm",
            "account": self.account,
            "time": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": self.region,
            "resources": resources,
            "detail": detail,
        });
        // Nobody listens once the sandbox is stopping.
        let _ = self.events.send(event);
    }

    fn instance_arn(&self, id: &str) -> String {
        let Self { region, account, .. } = self;
        if id.starts_with("mi-") {
            format!("arn:aws:ssm:{region}:{account}:managed-instance/{id}")
        } else {
            format!("arn:aws:ec2:{region}:{account}:instance/{id}")
        }
    }
}

fn detail(command: &CommandRecord, status: &str) -> Value {
    json!({
        "command-id": command.id,
        "document-name": command.document_name,
        "requested-date-time": iso(command.requested),
        "status": status,
    })
}
