//! Answers of AWS in which anything stands in the place of anything.

use callback::InstanceId;
use checks::TOKEN;
use checks::answers::{Answers, COMMAND_ID, check};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

fn commands() -> Value {
    json!({ "Commands": [{
        "CommandId": COMMAND_ID, "DocumentName": "SfnRunShellScript",
        "Parameters": { "commands": ["id"], "taskToken": [TOKEN], "onFailure": ["Fail"] },
        "RequestedDateTime": 1_795_341_600.5, "Status": "Failed", "StatusDetails": "Failed",
        "TargetCount": 2, "CompletedCount": 2, "ErrorCount": 1, "DeliveryTimedOutCount": 0,
    }], "NextToken": "" })
}

fn invocations() -> Value {
    let node = |id: &str, details: &str, output: &str| {
        json!({
            "CommandId": COMMAND_ID, "InstanceId": id, "Status": details, "StatusDetails": details,
            "StandardOutputUrl": "", "StandardErrorUrl": "",
            "CommandPlugins": [{
                "Name": "runShellScript", "Status": details, "StatusDetails": details,
                "ResponseCode": 3, "ResponseStartDateTime": 1_795_341_601.5,
                "ResponseFinishDateTime": 1_795_341_602.25, "Output": output,
            }],
        })
    };
    json!({ "CommandInvocations": [
        node("i-1234567890abcdef0", "Success", "out"),
        node("mi-1234567890abcdef1", "Failed", "o\n---Output truncated---\n----------ERROR-------\ne"),
    ], "NextToken": "" })
}

fn output() -> Value {
    json!({ "StandardOutputContent": "out", "StandardErrorContent": "err", "ResponseCode": 3 })
}

/// A value of any type, some of them what breaks parsers and limits.
fn any_value() -> impl Strategy<Value = Value> {
    let words =
        &["Success", "Failed", "InProgress", "Report", "NoInstancesInTag", "", "again", TOKEN];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(&words[..]).prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        (".", 1_000..300_000_usize).prop_map(|(unit, times)| unit.repeat(times).into()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(".{0,10}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Every place in a value, the value itself included.
fn pointers(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                pointers(item, &format!("{here}/{at}"), all);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                pointers(member, &format!("{here}/{name}"), all);
            }
        }
        _ => {}
    }
}

fn changed(mut body: Value, changes: &[(Index, Value)]) -> Vec<u8> {
    for (at, value) in changes {
        let mut all = Vec::new();
        pointers(&body, "", &mut all);
        if let Some(place) = body.pointer_mut(&all[at.index(all.len())]) {
            *place = value.clone();
        }
    }
    body.to_string().into_bytes()
}

fn changes() -> impl Strategy<Value = Vec<(Index, Value)>> {
    vec((any::<Index>(), any_value()), 0..3)
}

fn task_error() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![
        select(&["InvalidOutput", "TaskTimedOut", "InvalidToken", "ThrottlingException"][..])
            .prop_map(str::to_owned),
        ".{0,100}",
    ];
    prop_oneof![
        Just(Vec::new()),
        code.prop_map(|code| json!({ "__type": code, "message": TOKEN }).to_string().into_bytes()),
        vec(any::<u8>(), 1..50),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_value_in_any_place_ends_well(
        of_commands in changes(),
        of_invocations in changes(),
        of_output in changes(),
        task_error in task_error(),
    ) {
        check(&Answers {
            commands: changed(commands(), &of_commands),
            invocations: changed(invocations(), &of_invocations),
            output: changed(output(), &of_output),
            task_error,
        });
    }

    #[test]
    fn a_long_text_in_any_place_keeps_the_limits(
        places in vec(any::<Index>(), 1..4),
        unit in ".",
        times in 10_000..300_000_usize,
        reports in any::<bool>(),
    ) {
        let mut commands = commands();
        if reports {
            commands["Commands"][0]["Parameters"]["onFailure"] = json!(["Report"]);
        }
        let mut invocations = invocations();
        let mut all = Vec::new();
        pointers(&invocations, "", &mut all);
        all.retain(|place| invocations.pointer(place).is_some_and(Value::is_string));
        // The ids must stay what they are for the task to be answered.
        all.retain(|place| !place.ends_with("Id") && !place.ends_with("NextToken"));
        for place in places {
            if let Some(text) = invocations.pointer_mut(&all[place.index(all.len())]) {
                *text = unit.repeat(times).into();
            }
        }
        check(&Answers {
            commands: commands.to_string().into_bytes(),
            invocations: invocations.to_string().into_bytes(),
            ..Answers::default()
        });
    }

    #[test]
    fn a_broken_answer_ends_well(cut in any::<Index>(), garbage in vec(any::<u8>(), 0..20)) {
        let broken = |body: Value| {
            let mut bytes = body.to_string().into_bytes();
            bytes.truncate(cut.index(bytes.len()));
            bytes.extend(&garbage);
            bytes
        };
        check(&Answers { commands: broken(commands()), ..Answers::default() });
        check(&Answers {
            commands: commands().to_string().into_bytes(),
            invocations: broken(invocations()),
            ..Answers::default()
        });
    }
}

#[test]
fn nesting_without_end_ends_well() {
    let deep = |open: &str| {
        format!(r#"{{"Commands":[{{"CommandId":{}"#, open.repeat(1 << 20)).into_bytes()
    };
    for open in ["[", r#"{"x":"#] {
        check(&Answers { commands: deep(open), ..Answers::default() });
    }
}

#[test]
fn a_token_is_no_node() {
    assert!(InstanceId::parse(TOKEN).is_err());
    for kept in [0, 128, 129, TOKEN.len()] {
        let mut invocations = invocations();
        invocations["CommandInvocations"][0]["InstanceId"] = TOKEN[..kept].into();
        check(&Answers {
            commands: commands().to_string().into_bytes(),
            invocations: invocations.to_string().into_bytes(),
            ..Answers::default()
        });
    }
}

#[test]
fn any_number_of_nodes_ends_well() {
    for target_count in [-1, 0, 1_000, 1_001, 20_000, 20_001, i32::MAX] {
        let mut commands = commands();
        commands["Commands"][0]["TargetCount"] = target_count.into();
        check(&Answers {
            commands: commands.to_string().into_bytes(),
            invocations: invocations().to_string().into_bytes(),
            ..Answers::default()
        });
    }
}
