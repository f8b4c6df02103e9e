//! The live page of a running sandbox.

use sandbox_client::{NODES, Sandbox, eventually};
use serde_json::{Value, json};

use crate::web_driver::Browser;

/// The newest lane: what a screen reader says, and what is drawn.
const NEWEST: &str = ".lane[aria-posinset='1']";

struct Trial {
    sandbox: Sandbox,
    browser: Browser,
}

impl Trial {
    /// A sandbox of its own that sweeps every two seconds, and its page.
    async fn start() -> Option<Self> {
        let browser = Browser::start().await?;
        let sandbox = Sandbox::start(&["--schedule-seconds", "2"]).await;
        browser.open(&sandbox.ready().page).await;
        browser.shows("#connection", "connected").await;
        browser.shows("#nodes", NODES[2]).await;
        Some(Self { sandbox, browser })
    }

    /// Runs a script by the form.
    async fn run(&self, script: &str) {
        let before = self.lanes().await;
        self.browser.fill("#script", script).await;
        self.browser.click("#run button.main").await;
        eventually("a lane for the script", async || (self.lanes().await > before).then_some(()))
            .await;
    }

    async fn lanes(&self) -> i64 {
        let count = "return document.querySelectorAll('.lane').length";
        self.browser.script(count, json!([])).await.as_i64().expect("a number")
    }

    /// Waits until the newest lane has this value.
    async fn newest(&self, name: &str, is_it: impl Fn(&str) -> bool) -> String {
        let script = "return document.querySelector(arguments[0])?.dataset[arguments[1]] ?? ''";
        eventually(&format!("{name} of the newest lane"), async || {
            let value = self.browser.script(script, json!([NEWEST, name])).await;
            value.as_str().filter(|value| is_it(value)).map(str::to_owned)
        })
        .await
    }

    async fn attribute(&self, selector: &str, name: &str) -> Value {
        let script = "return document.querySelector(arguments[0])?.getAttribute(arguments[1])";
        self.browser.script(script, json!([selector, name])).await
    }
}

#[tokio::test]
async fn scripts_are_run_and_broken_and_stopped_on_the_page() {
    let Some(trial) = Trial::start().await else { return };
    let browser = &trial.browser;
    // The secrets are in no address.
    let address = browser.script("return location.href", json!([])).await;
    assert_eq!(address, format!("{}/", trial.sandbox.endpoint_url()));
    browser.shows("#empty", "Nothing has run yet").await;
    browser.take_pictures("empty").await;

    // A script and its output.
    trial.run("echo \"hello from $AWS_SSM_INSTANCE_ID\"").await;
    trial.newest("answeredBy", |by| by == "relay").await;
    browser.shows("#detail", &format!("hello from {}", NODES[0])).await;
    browser.shows("#detail", "SendTaskSuccess").await;
    browser.shows("#detail", "ScriptDone").await;

    // Its event is lost, and the sweep answers.
    browser.click("#faults [data-fault='\"lose-next\"']").await;
    browser.shows("#faults [data-fault='\"lose-next\"']", "armed").await;
    trial.run("echo lost").await;
    trial.newest("answeredBy", |by| by == "sweep").await;
    trial.newest("marks", |marks| marks.contains("lost")).await;
    browser.shows("#faults [data-fault='\"lose-next\"']", "arm").await;
    browser.shows("#counts", "1 event lost").await;

    // Doubled, and answered once.
    browser.click("#faults [data-fault='\"double\"']").await;
    browser.shows("#faults [data-fault='\"double\"']", "on").await;
    trial.run("echo twice; exit 3").await;
    let marks = trial.newest("marks", |marks| marks.contains("failed")).await;
    assert!(marks.contains("doubled"), "{marks}");
    browser.shows("#detail", "RunCommand.Failed").await;
    browser.shows("#detail", "ScriptFailed").await;
    browser.click("#faults [data-fault='\"double\"']").await;

    // The relay is killed at work; Lambda tries again.
    let kill = "#faults [data-fault*='relay']";
    browser.click(kill).await;
    browser.shows(kill, "armed").await;
    trial.run("echo killed").await;
    trial.newest("answeredBy", |by| by == "relay").await;
    browser.shows("#detail", "killed").await;
    browser.shows("#detail", "attempt 2").await;

    // An execution is stopped, and its command cancelled.
    trial.run("echo started; sleep 300").await;
    browser.shows("#detail", "Stop the execution").await;
    browser.shows("#nodes", "1 script").await;
    browser.take_pictures("running").await;
    browser.click("#stop").await;
    trial.newest("status", |status| status == "Cancelled").await;
    browser.shows("#detail", "ABORTED").await;
    browser.shows("#detail", "stopped on the page").await;

    // An agent is stopped and started.
    let agent = format!("#nodes [data-node='{}']", NODES[1]);
    browser.click(&agent).await;
    browser.shows(&agent, "Start agent").await;
    browser.click(&agent).await;
    browser.shows(&agent, "Stop agent").await;
    browser.take_pictures("broken").await;
    browser.no_errors().await;
}

#[tokio::test]
async fn what_a_script_says_is_text() {
    let Some(trial) = Trial::start().await else { return };
    let browser = &trial.browser;
    let hostile =
        "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>";
    trial
        .run(&format!("echo \"{hostile}\"; printf '%1000000s' x; echo \"{hostile}\" >&2; exit 1"))
        .await;
    trial.newest("status", |status| status == "Failed").await;
    browser.shows("#detail pre", "onerror").await;
    let made = "return document.querySelectorAll('#detail img, #detail script').length";
    assert_eq!(browser.script(made, json!([])).await, 0);
    let title = browser.script("return document.title", json!([])).await;
    assert_eq!(title, "Sandbox of Run Command Relay");
    browser.take_pictures("hostile").await;
    browser.no_errors().await;
}

#[tokio::test]
async fn the_keyboard_is_enough() {
    let Some(trial) = Trial::start().await else { return };
    let browser = &trial.browser;
    trial.run("echo one").await;
    trial.newest("status", |status| status == "Success").await;
    trial.run("echo two").await;
    trial.newest("answeredBy", |by| by == "relay").await;
    // Two down, from none.
    browser.type_into("#lanes", "\u{e015}\u{e015}").await;
    let older = ".lane[aria-posinset='2']";
    browser.frames().await;
    assert_eq!(trial.attribute(older, "aria-selected").await, "true");
    let label = trial.attribute(older, "aria-label").await;
    let label = label.as_str().expect("a label");
    assert!(label.ends_with("SfnRunShellScript, Success, answered by relay"), "{label}");
    assert_eq!(
        trial.attribute("#lanes", "aria-activedescendant").await,
        trial.attribute(older, "id").await
    );
    browser.type_into("#lanes", "\u{e007}").await;
    browser.shows("#detail pre", "one").await;
    let focused = "return document.activeElement.id";
    assert_eq!(browser.script(focused, json!([])).await, "detail");
    // Paused, and zoomed.
    assert_eq!(trial.attribute("#live", "aria-pressed").await, "true");
    let before = browser.text("#span").await;
    browser.type_into("#lanes", " +").await;
    browser.frames().await;
    assert_eq!(trial.attribute("#live", "aria-pressed").await, "false");
    assert_ne!(browser.text("#span").await, before);
    // Whatever can be used has a name.
    let nameless = "return [...document.querySelectorAll('button, input, select, textarea')].filter(one => \
        one.offsetParent && !(one.getAttribute('aria-label') ?? one.labels?.[0]?.textContent ?? one.textContent).trim()\
        ).map(one => one.outerHTML)";
    assert_eq!(browser.script(nameless, json!([])).await, json!([]));
    browser.no_errors().await;
}

#[tokio::test]
async fn a_sandbox_that_ended_is_said_to_have_ended() {
    let Some(Trial { sandbox, browser }) = Trial::start().await else { return };
    drop(sandbox);
    browser.shows("#connection", "the sandbox does not answer").await;
}
