//! The limits of outputs: bytes for the agent, and one more cut by the service.

use super::*;

/// Prints a text so many times.
fn print(text: &str, times: usize) -> String {
    format!("yes '{text}' | head -n {times} | tr -d '\\n'")
}

async fn run(script: &str) -> (Value, String) {
    let trial = Trial::new();
    let step = trial.run_script(script).await;
    let id = step["CommandId"].as_str().unwrap();
    let listed = trial.invocations(id).await[0]["CommandPlugins"][0]["Output"].clone();
    (step, listed.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn stdout_of_24000_bytes_is_cut_to_23980_and_the_mark() {
    let (step, _) = run(&print("x", 23_999)).await;
    assert_eq!(step["StandardOutputContent"], "x".repeat(23_999));
    let (step, _) = run(&print("x", 24_000)).await;
    assert_eq!(
        step["StandardOutputContent"],
        format!("{}--output truncated--", "x".repeat(23_980))
    );
}

#[tokio::test]
async fn a_cut_splits_a_character_into_replacement_characters() {
    let (step, listed) = run(&print("€", 10_000)).await;
    let stdout = format!("{}\u{fffd}--output truncated--", "€".repeat(7_993));
    assert_eq!(step["StandardOutputContent"], stdout);
    let expected = format!("{}\u{fffd}\u{fffd}\n---Output truncated---", "€".repeat(825));
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn the_service_cuts_stderr_at_8000_without_a_mark() {
    let (step, _) = run(&format!("({}) >&2", print("e", 20_000))).await;
    assert_eq!(step["StandardErrorContent"], "e".repeat(8_000));
}

#[tokio::test]
async fn a_listed_output_fits_below_2500_bytes() {
    let (_, listed) = run(&print("x", 2_499)).await;
    assert_eq!(listed, "x".repeat(2_499));
    let (_, listed) = run(&print("x", 2_500)).await;
    assert_eq!(listed, format!("{}\n---Output truncated---", "x".repeat(2_477)));
}

#[tokio::test]
async fn two_long_outputs_are_listed_with_1215_bytes_each() {
    let (_, listed) = run(&format!("{}; ({}) >&2", print("o", 9_000), print("e", 9_000))).await;
    let (out, err) = ("o".repeat(1_215), "e".repeat(1_215));
    let marks = ["\n---Output truncated---\n----------ERROR-------\n", "\n---Error truncated----"];
    assert_eq!(listed, format!("{out}{}{err}{}", marks[0], marks[1]));
}

#[tokio::test]
async fn the_separator_is_listed_exactly_when_stderr_has_a_byte() {
    let separator = "\n----------ERROR-------\n";
    let (_, listed) = run("echo out").await;
    assert_eq!(listed, "out\n");
    let (_, listed) = run("printf '\\n' >&2").await;
    assert_eq!(listed, format!("{separator}\n"));
}

#[tokio::test]
async fn a_separator_that_the_script_prints_is_listed_as_the_agents_own() {
    let (step, listed) = run("printf 'out\\n----------ERROR-------\\nerr'").await;
    assert_eq!(listed, "out\n----------ERROR-------\nerr");
    assert_eq!(step["StandardErrorContent"], "");
}

#[tokio::test]
async fn every_byte_that_is_no_text_becomes_a_replacement_character() {
    let (step, _) = run("printf 'a\\377b\\001\\342\\202'").await;
    assert_eq!(step["StandardOutputContent"], "a\u{fffd}b\u{1}\u{fffd}\u{fffd}");
}
