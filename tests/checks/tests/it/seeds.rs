//! The seeds of `make fuzz`, and the inputs of failures that it found before.

use std::fs;
use std::path::Path;

use checks::{answers, documents, event, report};

/// Every file of these directories of the project.
fn each(directories: &[&str], check: impl Fn(&[u8])) {
    for directory in directories {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(directory);
        let entries: Vec<_> = fs::read_dir(&directory).expect("a directory of seeds").collect();
        assert!(!entries.is_empty(), "{}", directory.display());
        for entry in entries {
            let path = entry.expect("a seed").path();
            // A failure names the seed.
            println!("{}", path.display());
            check(&fs::read(&path).expect("a seed that can be read"));
        }
    }
}

#[test]
fn every_event_is_one_or_is_refused() {
    each(&["events", "tests/fuzz/seeds/event"], event::check);
}

#[test]
fn every_answer_of_aws_ends_well() {
    each(&["tests/fuzz/seeds/answers"], |seed| answers::check(&answers::Answers::from_bytes(seed)));
}

#[test]
fn every_report_keeps_its_promises() {
    each(&["tests/fuzz/seeds/report"], |seed| report::check(&report::Reads::from_bytes(seed)));
}

#[test]
fn every_parameter_arrives_as_what_it_is() {
    each(&["tests/fuzz/seeds/documents"], |seed| {
        documents::check(&documents::Request::from_bytes(seed));
    });
}
