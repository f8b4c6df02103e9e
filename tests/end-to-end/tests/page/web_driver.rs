//! A small client of `WebDriver` (W3C), for Chromium's driver.
//!
//! It is our own: `thirtyfour` changes the order of all JSON objects of this workspace (feature
//! `preserve_order`), and `fantoccini` needs a crate under the MPL. Both would leave the console and the
//! size of the screen to be asked for as here.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sandbox_client::{eventually, workspace};
use serde_json::{Value, json};

/// What each program is called, in Debian and elsewhere.
const DRIVERS: [&str; 1] = ["chromedriver"];
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// How long the end of a browser may take.
const END_MAX: Duration = Duration::from_secs(10);

/// A browser with one window. It ends when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    http: reqwest::Client,
    session: String,
}

/// Light or dark.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Browser {
    /// A new browser; none if it is not installed, which is said.
    pub(crate) async fn start() -> Option<Self> {
        let (Some(driver), Some(browser)) = (find(&DRIVERS), find(&BROWSERS)) else {
            let missing =
                "the page is not tested in a browser: chromium or chromedriver is missing";
            let required = env::var("BROWSER_TESTS").is_ok_and(|value| value == "required");
            assert!(!required, "{missing}");
            // Past the capture of the test harness.
            let _ = writeln!(std::io::stderr(), "{missing}");
            return None;
        };
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the driver starts");
        let lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let address = format!("http://127.0.0.1:{}", port.expect("the driver's port"));
        let mut arguments = vec!["--headless=new", "--no-first-run", "--hide-scrollbars"];
        if rustix::process::geteuid().is_root() {
            arguments.push("--no-sandbox");
        }
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": browser, "args": arguments },
        });
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut browser = Self { driver, http, session: format!("{address}/session") };
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let session = browser.post("", &body).await;
        let id = session["sessionId"].as_str().expect("a session");
        browser.session = format!("{address}/session/{id}");
        browser.resize(1280, 900).await;
        Some(browser)
    }

    /// Opens an address.
    pub(crate) async fn open(&self, address: &str) {
        self.post("/url", &json!({ "url": address })).await;
    }

    /// Opens a file.
    pub(crate) async fn open_file(&self, path: &Path) {
        self.open(&format!("file://{}", path.display())).await;
    }

    /// What a script returns.
    pub(crate) async fn script(&self, script: &str, arguments: Value) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.post("/execute/sync", &body).await
    }

    /// The text of the first element that matches; none if there is none.
    pub(crate) async fn text(&self, selector: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.textContent ?? null";
        self.script(script, json!([selector])).await.as_str().map(str::to_owned)
    }

    /// Waits until an element that matches holds this text.
    pub(crate) async fn shows(&self, selector: &str, text: &str) {
        eventually(&format!("{text:?} in {selector}"), async || {
            self.text(selector).await.filter(|shown| shown.contains(text))
        })
        .await;
    }

    /// Clicks on an element as a mouse does: it must be there and not be covered.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// Types into an element, after what it holds.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/value"), &json!({ "text": text })).await;
    }

    /// Empties a field and types into it.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/clear"), &json!({})).await;
        self.type_into(selector, text).await;
    }

    async fn element(&self, selector: &str) -> String {
        let body = json!({ "using": "css selector", "value": selector });
        let found = self.post("/element", &body).await;
        let id = found.as_object().and_then(|found| found.values().next());
        id.and_then(Value::as_str).expect("an element").to_owned()
    }

    /// The size of what is seen, in CSS pixels.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let parameters =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": parameters });
        self.post("/goog/cdp/execute", &command).await;
    }

    /// Shows the page in light or dark colours.
    pub(crate) async fn show_in(&self, theme: Theme) {
        let wanted = match theme {
            Theme::Light => "light",
            Theme::Dark => "dark",
        };
        let is = "return document.documentElement.dataset.theme";
        if self.script(is, json!([])).await != wanted {
            self.click("#theme").await;
        }
        assert_eq!(self.script(is, json!([])).await, wanted);
    }

    /// Writes pictures of the page below `target/page`: at both widths, light and dark. Nothing may be
    /// wider than the screen.
    pub(crate) async fn take_pictures(&self, name: &str) {
        let directory = workspace().join("target/page");
        fs::create_dir_all(&directory).expect("a directory for pictures");
        for (width, height) in [(1280, 900), (390, 844)] {
            self.resize(width, height).await;
            for (theme, word) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
                self.show_in(theme).await;
                self.frames().await;
                let wide = self.script("return document.documentElement.scrollWidth", json!([]));
                assert_eq!(wide.await, width, "{name} at {width} pixels");
                let picture = self.get("/screenshot").await;
                let picture = decoded(picture.as_str().expect("a picture"));
                let path = directory.join(format!("{name}-{width}-{word}.png"));
                fs::write(path, picture).expect("the picture");
            }
        }
        self.resize(1280, 900).await;
    }

    /// Waits until two frames are drawn.
    pub(crate) async fn frames(&self) {
        let script = "const done = arguments[0]; \
            requestAnimationFrame(() => requestAnimationFrame(() => done(null)))";
        self.script_async(script).await;
    }

    /// What a script hands to its last argument, a function.
    pub(crate) async fn script_async(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({ "script": script, "args": [] })).await
    }

    /// Nothing was written to the console that is worse than a note.
    pub(crate) async fn no_errors(&self) {
        let entries = self.post("/se/log", &json!({ "type": "browser" })).await;
        let bad: Vec<_> = entries
            .as_array()
            .expect("entries")
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }

    async fn get(&self, path: &str) -> Value {
        self.answer(self.http.get(format!("{}{path}", self.session)), path).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.answer(self.http.post(format!("{}{path}", self.session)).json(body), path).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder, path: &str) -> Value {
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = answer.status();
        let text = answer.text().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(status.is_success(), "{path}: {status}: {text}");
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        answer["value"].take()
    }
}

impl Drop for Browser {
    /// Ends the session, and with it the browser, before its driver.
    fn drop(&mut self) {
        let _ = self.end_session();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// By hand: nothing asynchronous can be waited for here.
    fn end_session(&self) -> io::Result<()> {
        let address = self.session.trim_start_matches("http://");
        let (host, path) = address.split_once('/').unwrap_or((address, ""));
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(END_MAX))?;
        write!(stream, "DELETE /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
        stream.read_exact(&mut [0])
    }
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let directories: Vec<PathBuf> = env::split_paths(&path).collect();
    names.iter().find_map(|name| {
        directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file())
    })
}

/// The bytes of a text in base64, which the driver gives.
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len()), 0_usize, 0);
    for digit in digits {
        bits = bits << 6 | digit;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff).try_into().unwrap_or_default());
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
