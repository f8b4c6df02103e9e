//! The events that a command causes.

use super::*;

const COMMAND: &str = "EC2 Command Status-change Notification";
const INVOCATION: &str = "EC2 Command Invocation Status-change Notification";

/// The events so far: their detail types and statuses.
fn so_far(trial: &mut Trial) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    std::iter::from_fn(|| trial.events.try_recv().ok())
        .map(|event| (text(&event["detail-type"]), text(&event["detail"]["status"])))
        .collect()
}

fn expected(events: &[(&str, &str)]) -> Vec<(String, String)> {
    events.iter().map(|(kind, status)| ((*kind).to_owned(), (*status).to_owned())).collect()
}

#[tokio::test]
async fn an_event_has_its_production_shape() {
    let mut trial = Trial::new();
    let id = trial.send_script("true").await;
    let command = trial.ended(&id).await;

    let mut event = trial.events.recv().await.unwrap();
    assert!(event["id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert!(event["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let requested: jiff::Timestamp =
        event["detail"]["requested-date-time"].as_str().unwrap().parse().unwrap();
    let listed = jiff::Timestamp::UNIX_EPOCH
        + jiff::SignedDuration::from_secs_f64(command["RequestedDateTime"].as_f64().unwrap());
    assert_eq!(listed.round(jiff::Unit::Millisecond).unwrap(), requested);
    for generated in ["id", "time"] {
        event[generated] = Value::Null;
    }
    for generated in ["requested-date-time", "expire-after"] {
        event["detail"][generated] = Value::Null;
    }
    assert_eq!(
        event,
        json!({
            "version": "0", "id": null, "detail-type": COMMAND, "source": "aws.ssm",
            "account": "123456789012", "time": null, "region": "eu-west-1",
            "resources": [format!("arn:aws:ec2:eu-west-1:123456789012:instance/{NODE}")],
            "detail": {
                "command-id": id, "document-name": "AWS-RunShellScript",
                "parameters": "{\"commands\":[\"true\"]}", "status": "InProgress",
                "requested-date-time": null, "expire-after": null,
            },
        })
    );

    let event = trial.events.recv().await.unwrap();
    assert_eq!(event["detail-type"], INVOCATION);
    assert_eq!(event["detail"]["instance-id"], NODE);
    assert_eq!(event["detail"]["command-id"], json!(id));
    assert!(event["detail"]["parameters"].is_null());
}

#[tokio::test]
async fn every_change_of_a_status_is_an_event_and_nothing_else_is() {
    let mut trial = Trial::new();
    let id = trial.send_script("exit 1").await;
    trial.ended(&id).await;
    let events = [
        (COMMAND, "InProgress"),
        (INVOCATION, "InProgress"),
        (INVOCATION, "Failed"),
        (COMMAND, "Failed"),
    ];
    assert_eq!(so_far(&mut trial), expected(&events));

    let id = trial.send_script("sleep 60").await;
    trial.reached(&id, "InProgress").await;
    trial.call("CancelCommand", json!({"CommandId": id})).await.unwrap();
    trial.ended(&id).await;
    let events = [
        (COMMAND, "InProgress"),
        (INVOCATION, "InProgress"),
        (COMMAND, "Cancelling"),
        (INVOCATION, "Cancelling"),
        (INVOCATION, "Cancelled"),
        (COMMAND, "Cancelled"),
    ];
    assert_eq!(so_far(&mut trial), expected(&events));

    let id = trial.send(shell_on_web("true")).await;
    trial.ended(&id).await;
    assert_eq!(so_far(&mut trial), expected(&[(COMMAND, "Success")]));
}
