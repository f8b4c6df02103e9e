//! Replaces what a report must not tell: task tokens, the account, and what identifies nodes, commands
//! and executions. The same value always gets the same replacement.

use std::collections::BTreeMap;

use callback::token::{REDACTED, Redaction, TaskToken};
use serde_json::Value;

/// Fields that hold a task token, as texts or lists of texts.
const TOKEN_FIELDS: [&str; 1] = ["tasktoken"];
/// Fields of Systems Manager that name a computer or its user.
const NAME_FIELDS: [&str; 4] = ["instancename", "computername", "ipaddress", "executedby"];
/// Runs of this many characters of base64, with this many different ones, are taken for tokens. Real
/// ones have 668 to 684 characters; padding in outputs has few different ones.
const TOKEN_CHARS_MIN: usize = 200;
const TOKEN_DIFFERENT_MIN: usize = 20;
/// Nested JSON texts are read to this depth.
const DEPTH_MAX: usize = 64;

/// What was replaced by what.
#[derive(Default)]
pub struct Redactor {
    tokens: Vec<Redaction>,
    account: String,
    replaced: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Redactor {
    /// For this account.
    pub fn new(account: &str) -> Self {
        Self { account: account.to_owned(), ..Self::default() }
    }

    /// Learns the tokens in the fields of a value, also in JSON within its texts.
    pub fn learn(&mut self, value: &Value) {
        self.learn_from(value, 0);
    }

    fn learn_from(&mut self, value: &Value, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if is_one_of(name, &TOKEN_FIELDS) {
                        let texts =
                            value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                        for text in texts.iter().filter_map(Value::as_str) {
                            if let Ok(token) = TaskToken::from_parameter(&[text.to_owned()]) {
                                self.tokens.push(token.redaction());
                            }
                        }
                    } else {
                        self.learn_from(value, depth + 1);
                    }
                }
            }
            Value::Array(values) => {
                for value in values {
                    self.learn_from(value, depth + 1);
                }
            }
            Value::String(text) => {
                if let Some(nested) = nested(text) {
                    self.learn_from(&nested, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Learns that this text is one of a kind, such as a command's id.
    pub fn name(&mut self, text: &str, kind: &'static str) {
        if !text.is_empty() {
            self.replacement(text, kind);
        }
    }

    /// Redacts all texts of a value.
    pub fn redact(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.redact(value)),
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    if is_one_of(name, &TOKEN_FIELDS) {
                        *value = Value::from(REDACTED);
                    } else if is_one_of(name, &NAME_FIELDS) {
                        *value = Value::from("[name]");
                    } else {
                        self.redact(value);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Redacts a text. JSON within it is redacted by its fields, too.
    pub fn text(&mut self, text: &str) -> String {
        if let Some(mut nested) = nested(text) {
            self.redact(&mut nested);
            return nested.to_string();
        }
        let mut text = text.to_owned();
        for token in &self.tokens {
            text = token.redact(&text).into_owned();
        }
        text = without_long_runs(&text);
        text = self.without_ids(&text);
        if self.account.is_empty() { text } else { text.replace(&self.account, "[account]") }
    }

    fn replacement(&mut self, text: &str, kind: &'static str) -> String {
        if let Some(known) = self.replaced.get(text) {
            return known.clone();
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let replacement = format!("{kind}-{count}");
        self.replaced.insert(text.to_owned(), replacement.clone());
        replacement
    }

    /// Replaces UUIDs, instance ids and IP addresses, which are words of their own.
    fn without_ids(&mut self, text: &str) -> String {
        let mut redacted = String::new();
        let mut word = String::new();
        for char in text.chars().chain(['\n']) {
            if char.is_ascii_alphanumeric() || matches!(char, '-' | '.') {
                word.push(char);
                continue;
            }
            redacted.push_str(&self.word(&word));
            word.clear();
            redacted.push(char);
        }
        redacted.pop();
        redacted
    }

    fn word(&mut self, word: &str) -> String {
        let (core, end) = word.split_at(word.trim_end_matches('.').len());
        for kind in ["id", "i", "ip"] {
            let width = match kind {
                "id" => core.char_indices().map(|(at, _)| at).find(|at| is_uuid_at(core, *at)),
                "i" => core.char_indices().map(|(at, _)| at).find(|at| instance_at(core, *at) > 0),
                _ => is_ip(core).then_some(0),
            };
            if let Some(at) = width {
                let length = match kind {
                    "id" => UUID_CHARS,
                    "i" => instance_at(core, at),
                    _ => core.len(),
                };
                let found = core[at..at + length].to_owned();
                let (before, after) = (self.word(&core[..at]), self.word(&core[at + length..]));
                let replacement = self.replacement(&found, kind);
                return format!("{before}{replacement}{after}{end}");
            }
        }
        word.to_owned()
    }
}

const UUID_CHARS: usize = 36;

fn is_uuid_at(text: &str, at: usize) -> bool {
    text.as_bytes().get(at..at + UUID_CHARS).is_some_and(|bytes| {
        bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    })
}

/// Length of the instance id that begins here, or 0.
fn instance_at(text: &str, at: usize) -> usize {
    if at > 0 && text.as_bytes()[at - 1].is_ascii_alphanumeric() {
        return 0;
    }
    let rest = &text[at..];
    let Some(prefix) = ["mi-", "i-"].into_iter().find(|prefix| rest.starts_with(prefix)) else {
        return 0;
    };
    let digits = rest[prefix.len()..].bytes().take_while(u8::is_ascii_hexdigit).count();
    if matches!(digits, 8 | 17) { prefix.len() + digits } else { 0 }
}

fn is_ip(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| part.parse::<u8>().is_ok())
}

fn is_one_of(name: &str, fields: &[&str]) -> bool {
    fields.contains(&name.to_ascii_lowercase().as_str())
}

/// The JSON object or list that a text is.
fn nested(text: &str) -> Option<Value> {
    let is_json = text.starts_with(['{', '[']);
    is_json.then(|| serde_json::from_str(text).ok()).flatten()
}

/// The text with [`REDACTED`] in place of what looks like a token, also escaped for a URL.
fn without_long_runs(text: &str) -> String {
    let is_of_run = |char: char| {
        char.is_ascii_alphanumeric() || matches!(char, '+' | '/' | '=' | '-' | '_' | '%' | '\\')
    };
    let mut redacted = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.find(|char| !is_of_run(char)).unwrap_or(rest.len());
        let (found, after) = rest.split_at(run);
        let different: std::collections::BTreeSet<_> = found.chars().collect();
        let is_token = run >= TOKEN_CHARS_MIN && different.len() >= TOKEN_DIFFERENT_MIN;
        redacted.push_str(if is_token { REDACTED } else { found });
        let other = after.find(is_of_run).unwrap_or(after.len());
        redacted.push_str(&after[..other]);
        rest = &after[other..];
    }
    redacted
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACCOUNT: &str = "111122223333";
    const NODE: &str = "i-0123456789abcdef0";
    const COMMAND: &str = "8c9a6e2b-1f3d-4c5a-9b7e-0123456789ab";

    /// As long as a real one, and with characters that URLs and JSON escape.
    fn token() -> String {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let chars = alphabet.chars().cycle().step_by(7).take(676);
        chars.collect()
    }

    #[test]
    fn no_secret_is_left_in_any_form() {
        let token = token();
        let escaped = token.replace('+', "%2B").replace('/', "%2F");
        let slashes = token.replace('/', "\\/");
        let base64 = token.replace('+', "-").replace('/', "_");
        let arn = format!("arn:aws:ec2:eu-central-1:{ACCOUNT}:instance/{NODE}");
        let mut value = json!({
            "taskToken": [token],
            "nested": json!({ "Parameters": { "taskToken": [token] }, "arn": arn }).to_string(),
            "texts": [escaped, slashes, base64, format!("token={token}, node={NODE}.")],
            "log": format!("sent {COMMAND} to {NODE} at 10.1.2.3 by {arn}"),
            "InstanceName": "ip-10-1-2-3.internal",
        });
        let mut redactor = Redactor::new(ACCOUNT);
        redactor.learn(&value);
        redactor.name(COMMAND, "command");
        redactor.redact(&mut value);
        let text = value.to_string();
        for part in [&token[..40], &token[600..], ACCOUNT, NODE, COMMAND, "10.1.2.3", "ip-10"] {
            assert!(!text.contains(part), "{part} is in {text}");
        }
        assert_eq!(
            value["log"],
            "sent command-1 to i-1 at ip-1 by arn:aws:ec2:eu-central-1:[account]:instance/i-1"
        );
        assert_eq!(value["texts"][3], "token=[task token], node=i-1.");
    }

    #[test]
    fn a_short_token_that_is_known_is_replaced_everywhere() {
        let mut redactor = Redactor::new("");
        redactor.learn(&json!({ "input": "{\"taskToken\":[\"a-short-token-1234\"]}" }));
        assert_eq!(redactor.text("x a-short-token-1234 y"), "x [task token] y");
    }

    #[test]
    fn outputs_stay_as_they_are() {
        let mut redactor = Redactor::new(ACCOUNT);
        for text in ["x".repeat(30_000), "done\n".to_owned(), "a.b-c i-x 1.2.3".to_owned()] {
            assert_eq!(redactor.text(&text), text);
        }
    }
}
