//! The page with a record inside, to be opened without a sandbox.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{HTML, Page, SCRIPT, STYLE};
use crate::record::Numbered;

/// Where the HTML names its style and its script.
const STYLE_LINK: &str = r#"<link rel="stylesheet" href="/-/page.css">"#;
const SCRIPT_LINK: &str = r#"<script src="/-/page.js" defer></script>"#;

impl Page {
    /// The page as one HTML file that shows what is recorded until now.
    pub async fn recording(&self) -> String {
        let about = json!(self.0.about);
        written(&about, &self.state().await, &self.0.shown.record.all())
    }
}

fn written(about: &Value, state: &Value, entries: &[Numbered]) -> String {
    let entries: Vec<&str> = entries.iter().map(|entry| &*entry.json).collect();
    let entries = entries.join(",\n");
    let data = format!("{{\"about\":{about},\"state\":{state},\"entries\":[\n{entries}\n]}}");
    // Inside a text of JSON, the only place of this character, this is the same. So nothing in the data
    // can end the element.
    let data = data.replace('<', "\\u003c");
    // Only what has this nonce is run or applied.
    let nonce = Uuid::new_v4().simple();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         base-uri 'none'; form-action 'none'"
    );
    let head = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <style nonce=\"{nonce}\">\n{STYLE}</style>"
    );
    let body = format!(
        "<script type=\"application/json\" id=\"recording\">\n{data}\n</script>\n\
         <script nonce=\"{nonce}\">\n{SCRIPT}</script>\n</body>"
    );
    HTML.replace(STYLE_LINK, &head).replace(SCRIPT_LINK, "").replace("</body>", &body)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::written;
    use crate::page::{HTML, SCRIPT, STYLE};
    use crate::record::Numbered;

    #[test]
    fn nothing_in_the_data_ends_its_element() {
        let text = "</script><script>alert(1)</script><!-- ]]> \u{2028} </body>";
        let entry = Numbered { number: 1, json: json!({ "stdout": text }).to_string().into() };
        let html = written(&json!({}), &json!({}), &[entry]);
        let begin = html.find("id=\"recording\">").expect("the data") + "id=\"recording\">".len();
        let end = begin + html[begin..].find("</script>").expect("its end");
        let data: Value = serde_json::from_str(&html[begin..end]).expect("JSON");
        assert_eq!(data["entries"][0]["stdout"], text);
        assert_eq!(html.matches("alert(1)").count(), 1, "only in the data");
    }

    #[test]
    fn the_page_is_whole_and_asks_for_nothing() {
        // The name of SVG is no address.
        let html = written(&json!({}), &json!({}), &[]).replace("http://www.w3.org/2000/svg", "");
        for reference in ["src=\"/", "href=\"/", "http://", "https://"] {
            let found =
                html.find(reference).map(|place| &html[place.saturating_sub(40)..place + 40]);
            assert_eq!(found, None);
        }
        assert!(HTML.contains("</body>"));
        // They would end the elements that they are put into.
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
        assert_eq!(html.matches("nonce=").count(), 2);
    }
}
