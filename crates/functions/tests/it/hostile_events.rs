//! Events of any shape: no panic, an error that names what is wrong and stays short, and nothing of
//! the event's values in it.

use functions::event::{CommandChange, SweepTrigger};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Longer than any field name, id or type that an error may quote.
const SECRET: &str =
    "AQCEAAAAKgAAAAMAAAAAtokenThatNoErrorMayQuoteTokenThatNoErrorMayQuoteTokenThat";
/// The longest error: fixed words and two quotes of 64 characters.
const ERROR_CHARS_MAX: usize = 400;

fn check(json: &str) -> Result<(), TestCaseError> {
    for error in [
        CommandChange::parse(json).err().map(|error| error.to_string()),
        SweepTrigger::parse(json).err().map(|error| error.to_string()),
    ]
    .into_iter()
    .flatten()
    {
        prop_assert!(!error.is_empty());
        prop_assert!(error.chars().count() <= ERROR_CHARS_MAX, "{error}");
        prop_assert!(!error.contains(SECRET), "{error}");
    }
    Ok(())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,200}".prop_map(Value::from),
        Just(Value::from(SECRET)),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::from),
            btree_map(field_name(), inner, 0..8).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn field_name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("source".to_owned()),
        Just("detail-type".to_owned()),
        Just("detail".to_owned()),
        Just("time".to_owned()),
        Just("command-id".to_owned()),
        Just("status".to_owned()),
        Just("resources".to_owned()),
        ".{0,20}",
    ]
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_or_read(text in ".{0,500}") {
        check(&text)?;
    }

    #[test]
    fn arbitrary_json_is_refused_or_read(json in any_json()) {
        check(&json.to_string())?;
    }

    #[test]
    fn a_command_event_with_one_odd_field_is_refused_or_read(
        field in 0_usize..8,
        value in any_json(),
    ) {
        let mut event = json!({
            "version": "0", "id": "x", "source": "aws.ssm", "account": "123456789012",
            "detail-type": "EC2 Command Status-change Notification",
            "time": "2026-11-22T10:00:00Z", "region": "us-east-1", "resources": [],
            "detail": {
                "command-id": "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00",
                "status": "Success",
                "parameters": json!({ "taskToken": [SECRET] }).to_string(),
            },
        });
        let pointers = [
            "/source", "/detail-type", "/time", "/resources", "/detail", "/detail/command-id",
            "/detail/status", "/detail/parameters",
        ];
        *event.pointer_mut(pointers[field]).unwrap() = value;
        let json = event.to_string();
        check(&json)?;
        // What is not needed may have any shape.
        if ["/detail/status", "/detail/parameters"].contains(&pointers[field]) {
            prop_assert!(CommandChange::parse(&json).is_ok());
        }
    }
}

#[test]
fn an_event_of_a_megabyte_is_read_or_refused_in_a_moment() {
    let long = "x".repeat(1 << 20);
    let started = std::time::Instant::now();
    for json in [
        json!({ "source": long, "detail-type": long, "detail": {} }).to_string(),
        json!({ "source": "aws.ssm", "detail-type": "x", "detail": { "command-id": long } })
            .to_string(),
        format!("{}{}", "{\"detail\":".repeat(100_000), "1"),
        "[".repeat(1 << 20),
    ] {
        assert!(CommandChange::parse(&json).is_err());
        assert!(SweepTrigger::parse(&json).is_err());
    }
    // Generous, for a debug build on a busy machine: what it must not be is quadratic.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
