//! Reports on commands and nodes whose words and texts are arbitrary.

use checks::DIVIDER;
use checks::report::{Reads, check};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&["Success", "Failed", "TimedOut", "InProgress", ""][..]).prop_map(str::to_owned),
        ".{0,30}",
        (".", 100..3_000_usize).prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

prop_compose! {
    fn nodes()(
        (times, status, details, code) in (0..40_u16, word(), word(), any::<i32>()),
        (repeats, stdout, stderr, url) in (0..40_u8, ".{0,40}", ".{0,40}", word()),
        started_at in any::<i64>(),
    ) -> String {
        format!("{times}|{status}|{details}|{code}|{repeats}|{stdout}|{stderr}|{started_at}|{url}")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_report_is_json_within_its_limit(
        bytes_max in 1_500..40_000_usize,
        (status, details, document) in (word(), word(), word()),
        requested_at in any::<i64>(),
        nodes in vec(nodes(), 0..5),
    ) {
        let mut parts = vec![format!("{bytes_max}|{status}|{details}|{document}|{requested_at}")];
        parts.extend(nodes);
        check(&Reads::from_bytes(parts.join(&format!("\n{DIVIDER}\n")).as_bytes()));
    }
}

/// Found here: document name, status and details of the command were told in full.
#[test]
fn the_words_of_the_command_itself_are_bounded() {
    for unit in ["x", "\u{1}", "漢"] {
        let word = unit.repeat(300_000);
        check(&Reads::from_bytes(format!("1500|{word}|{word}|{word}|1").as_bytes()));
    }
}
