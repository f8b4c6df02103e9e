//! Events with command ids that are none, nearly one, or one.

use checks::event::{check, check_id};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

const ID: &str = "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00";
/// What would do harm in a request, a shell, a path or a log.
const ODD: &[&str] = &[
    "",
    "-",
    "../../etc/passwd",
    "$(touch x)",
    "'; DROP TABLE commands; --",
    "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00\n",
    " 0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00",
    "0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f0\u{ff10}",
    "0b8ef9e21b2c4d3e8f4a5b6c7d8e9f00",
    "{0b8ef9e2-1b2c-4d3e-8f4a-5b6c7d8e9f00}",
    "\u{0}",
];

/// An id in which one character is another one, or that has another length.
fn nearly_an_id() -> impl Strategy<Value = String> {
    (any::<Index>(), any::<char>(), 0..3_u8).prop_map(|(at, char, kind)| {
        let mut chars: Vec<char> = ID.chars().collect();
        let at = at.index(chars.len());
        match kind {
            0 => chars[at] = char,
            1 => chars.insert(at, char),
            _ => drop(chars.remove(at)),
        }
        chars.into_iter().collect()
    })
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(ID.to_owned()),
        Just(ID.to_ascii_uppercase()),
        select(ODD).prop_map(str::to_owned),
        nearly_an_id(),
        ".{0,80}",
    ]
}

proptest! {
    #[test]
    fn only_an_id_reaches_a_request(id in id(), is_invocation in any::<bool>()) {
        let kind = if is_invocation { "Command Invocation" } else { "Command" };
        check_id(&id);
        check(json!({
            "source": "aws.ssm",
            "detail-type": format!("EC2 {kind} Status-change Notification"),
            "time": "2026-11-22T10:00:00Z",
            "detail": { "command-id": id, "status": "Success" },
        }).to_string().as_bytes());
    }

    #[test]
    fn a_sweep_may_be_told_any_time(time in "[-+]?[0-9]{4,6}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:00:00Z") {
        check(json!({
            "source": "aws.events", "detail-type": "Scheduled Event", "time": time, "detail": {},
        }).to_string().as_bytes());
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }
}
