//! What an observer is told.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::locked::Locked;
use super::super::observer::{Change, Observer};
use super::{NODE, Trial};

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn observe(&self, change: Change<'_>) {
        let told = match change {
            Change::Sent { document, comment, .. } => format!("sent {document}: {comment}"),
            Change::Command { details, targets, .. } => {
                format!("command {} on {targets}", details.as_str())
            }
            Change::Invocation { instance_id, details, result, .. } => match result {
                Some(result) => format!(
                    "{instance_id} {}, exit {}: {:?} {:?}",
                    details.as_str(),
                    result.response_code,
                    result.stdout,
                    result.stderr
                ),
                None => format!("{instance_id} {}", details.as_str()),
            },
        };
        self.0.locked().push(told);
    }
}

#[tokio::test]
async fn every_change_is_told_once_and_in_order() {
    let told = Arc::new(Told::default());
    let trial = Trial::observed_by(Arc::clone(&told) as _);
    let command = trial
        .send(json!({
            "DocumentName": "AWS-RunShellScript",
            "InstanceIds": [NODE],
            "Comment": "seen",
            "Parameters": { "commands": ["echo out", "echo err >&2", "exit 3"] },
        }))
        .await;
    trial.ended(&command).await;
    assert_eq!(
        *told.0.locked(),
        [
            "sent AWS-RunShellScript: seen".to_owned(),
            "command Pending on 1".to_owned(),
            "command InProgress on 1".to_owned(),
            format!("{NODE} InProgress"),
            format!(
                "{NODE} Failed, exit 3: \"out\\n\" \"err\\nfailed to run commands: exit status 3\""
            ),
            "command Failed on 1".to_owned(),
        ]
    );
}
