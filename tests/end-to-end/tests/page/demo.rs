//! The page that the demo leaves, opened without a sandbox.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sandbox_client::{python, workspace};
use serde_json::{Value, json};

use crate::web_driver::Browser;

/// Newest first: the status of each command of the demo, and who answered. The first six run at once.
const LAST: [[&str; 2]; 2] = [["Cancelled", ""], ["Success", "sweep"]];
const FIRST: [[&str; 2]; 6] = [
    ["ExecutionTimedOut", "relay"],
    ["Failed", "relay"],
    ["Failed", "relay"],
    ["Success", "relay"],
    ["Success", "relay"],
    ["Success", "relay"],
];

fn run_demo(page: &Path) {
    let sandbox = std::env::current_exe().expect("where the tests are");
    let sandbox = sandbox.ancestors().nth(2).expect("target/debug").join("sandbox");
    let output = Command::new(sandbox)
        .current_dir(workspace())
        .args(["demo", "--python"])
        .arg(python())
        .arg("--page")
        .arg(page)
        .output()
        .expect("the demo");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&page.display().to_string()), "{said}");
}

async fn lanes(browser: &Browser) -> Vec<[String; 2]> {
    let script = "return [...document.querySelectorAll('.lane')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)\
        .map(lane => [lane.dataset.status, lane.dataset.answeredBy])";
    let lanes = browser.script(script, json!([])).await;
    serde_json::from_value(lanes).expect("two texts for each lane")
}

#[tokio::test]
async fn the_demo_is_seen_without_a_sandbox() {
    let Some(browser) = Browser::start().await else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let page = directory.path().join("demo.html");
    run_demo(&page);
    browser.open_file(&page).await;
    browser.shows("#counts", "8 commands · 1 event lost").await;
    let lanes = lanes(&browser).await;
    assert_eq!(lanes[..2], LAST);
    let mut first = lanes[2..].to_vec();
    first.sort();
    assert_eq!(first, FIRST);
    // The one whose event was lost is opened.
    browser.shows("#detail", "nobody told you").await;
    // Nothing can be done.
    let seen = "return document.querySelector('#side').offsetParent !== null";
    assert_eq!(browser.script(seen, json!([])).await, false);
    browser.take_pictures("demo").await;
    browser.no_errors().await;

    let html = fs::read_to_string(&page).expect("the page");
    a_thousand_commands(&browser, &html, &directory.path().join("many.html")).await;
}

/// The same page with the record of 1,000 commands, of which one has 500 nodes.
async fn a_thousand_commands(browser: &Browser, html: &str, path: &Path) {
    let begin = html.find("\"entries\":[").expect("the entries") + "\"entries\":[".len();
    let end = begin + html[begin..].find("]}\n</script>").expect("their end");
    let mut entries = Vec::new();
    for number in 0..1_000 {
        let nodes = if number == 999 { 500 } else { 1 };
        entries.extend(command(number, nodes));
    }
    let entries: Vec<String> = entries.iter().map(Value::to_string).collect();
    fs::write(path, format!("{}{}{}", &html[..begin], entries.join(","), &html[end..]))
        .expect("the page");
    browser.open_file(path).await;
    browser.shows("#counts", "1,000 commands").await;
    // Only what is visible is drawn.
    assert!(lanes(browser).await.len() < 40);
    browser.take_pictures("many").await;
    // Scrolls through all of them, a screen at a time.
    let script = "const done = arguments[0], view = document.getElementById('view'), times = []; \
        let last = performance.now(); \
        const next = (time) => { \
          times.push(time - last); last = time; view.scrollTop += view.clientHeight; \
          if (times.length < 60) requestAnimationFrame(next); \
          else done(times.sort((a, b) => a - b)[30]); }; \
        requestAnimationFrame(next);";
    let median = browser.script_async(script).await;
    let median = Duration::from_secs_f64(median.as_f64().expect("a time") / 1_000.0);
    // A smooth page takes 17 ms. A machine may be busy.
    assert!(median < Duration::from_millis(120), "{median:?} for a frame");
}

/// The entries of one command.
fn command(number: i64, nodes: u32) -> Vec<Value> {
    let at = |milliseconds: i64| {
        let time = jiff::Timestamp::UNIX_EPOCH
            + jiff::SignedDuration::from_millis(1_800_000_000_000 + number * 50 + milliseconds);
        time.to_string()
    };
    let id = format!("{number:08x}-0000-4000-8000-000000000000");
    let mut entries = vec![
        json!({ "kind": "command-sent", "time": at(0), "command_id": id, "document": "AWS-RunShellScript" }),
        json!({ "kind": "command", "time": at(0), "command_id": id, "status": "InProgress", "targets": nodes }),
    ];
    for (status, after) in [("InProgress", 1), ("Success", 900)] {
        for node in 0..nodes {
            let node = format!("i-{node:017x}");
            entries
                .push(json!({ "kind": "node", "time": at(after), "command_id": id, "node": node,
                "status": status, "stdout": "x".repeat(200) }));
        }
    }
    entries
        .push(json!({ "kind": "command", "time": at(901), "command_id": id, "status": "Success",
        "targets": nodes }));
    entries
}
