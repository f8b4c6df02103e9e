//! What Lambda gives the functions, in the template and by `cargo lambda deploy`.

use callback::ports::NODES_MAX;

const TEMPLATE: &str = include_str!("../../../../infra/template.yaml");
const MANIFEST: &str = include_str!("../../Cargo.toml");
/// Nodes on a page of a list.
const PAGE_NODES: u32 = 50;
/// How many pages a second are read.
const PAGES_PER_SECOND: u32 = 2;

/// The number after this key, in the lines after `start` and before an empty one.
#[track_caller]
fn number(text: &str, start: &str, key: &str) -> u32 {
    let mut lines = text.lines().skip_while(|line| line.trim() != start);
    let found = lines.find_map(|line| line.trim().strip_prefix(key));
    found.unwrap_or_else(|| panic!("{key} after {start}")).trim().parse().unwrap()
}

fn in_template(parameter: &str) -> u32 {
    number(TEMPLATE, &format!("{parameter}:"), "Default:")
}

fn in_manifest(key: &str) -> u32 {
    number(MANIFEST, "[package.metadata.lambda.deploy]", &format!("{key} ="))
}

#[test]
fn both_ways_to_deploy_give_the_same() {
    for function in ["Relay", "Sweep"] {
        let timeout = in_template(&format!("{function}TimeoutSeconds"));
        let memory = in_template(&format!("{function}MemoryMegabytes"));
        assert_eq!(
            (in_manifest("timeout"), in_manifest("memory")),
            (timeout, memory),
            "{function}"
        );
    }
}

#[test]
fn the_largest_command_can_be_read_in_time() {
    let reading_s = NODES_MAX / PAGE_NODES / PAGES_PER_SECOND;
    assert!(reading_s * 4 / 3 < in_template("RelayTimeoutSeconds"), "{reading_s} s");
}
