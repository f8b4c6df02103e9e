//! Events of a megabyte, four times what EventBridge lets through. Alone in its program, because
//! what it measures is the program's memory.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::{Duration, Instant};

use functions::event::{CommandChange, SweepTrigger};

const EVENT_BYTES: usize = 1 << 20;
/// What comes through EventBridge takes a quarter of that. A function has 256 MB by default.
const GROWTH_KILOBYTES_MAX: u64 = 120 * 1024;
/// Generous, for a debug build on a busy machine: what it must not be is quadratic.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The most memory that this program had so far.
fn peak_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells of its processes");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.and_then(|number| number.parse().ok()).expect("a number of kilobytes")
}

/// An event whose detail is this unit, again and again.
fn event(source: &str, detail_type: &str, before: &str, unit: &str, after: &str) -> String {
    let detail = unit.repeat(EVENT_BYTES / unit.len());
    format!(
        r#"{{"source":"{source}","detail-type":"{detail_type}","detail":{before}{detail}{after}}}"#
    )
}

#[test]
fn an_event_of_a_megabyte_takes_little_time_and_memory() {
    let shapes = [
        (r#"{"command-id":""#, "x", r#""}"#),
        ("[", "[],", "[]]"),
        ("[", r#"{"":0},"#, "0]"),
        ("{", r#""command-id":0,"#, r#""command-id":0}"#),
        (r#"{"command-id":["#, "0,", "0]}"),
        ("", "[", ""),
        ("", r#"{"detail":"#, ""),
        ("", r#""\u0000"#, ""),
    ];
    let kinds =
        [("aws.ssm", "EC2 Command Status-change Notification"), ("aws.events", "Scheduled Event")];
    let started = Instant::now();
    let before = peak_kilobytes();
    for (before, unit, after) in shapes {
        for (source, detail_type) in kinds {
            let event = event(source, detail_type, before, unit, after);
            assert!(CommandChange::parse(&event).is_err(), "{unit}");
            // A sweep needs nothing of the detail; it has to be JSON, and not too deep.
            let is_trigger = source == "aws.events" && !after.is_empty();
            assert_eq!(SweepTrigger::parse(&event).is_ok(), is_trigger, "{unit}");
        }
    }
    let growth = peak_kilobytes() - before;
    println!("{growth} kB more at the most, {:?}", started.elapsed());
    assert!(growth < GROWTH_KILOBYTES_MAX, "{growth} kB");
    assert!(started.elapsed() < TIME_MAX, "{:?}", started.elapsed());
}
