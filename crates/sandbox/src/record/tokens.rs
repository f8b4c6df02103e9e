//! The task tokens that were seen, so that none is recorded.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

/// What stands in place of a token.
const REPLACEMENT: &str = "[task token]";
/// A shorter text is no token of Step Functions, and stands in too many other texts.
const LENGTH_MIN: usize = 16;
/// So many bytes of a token find it in a text.
const PREFIX: usize = 8;
/// How many tokens are known; the oldest is forgotten first. More than the record has entries.
const TOKENS_MAX: usize = 20_000;

/// The tokens, each with a number by which it can be told.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    numbers: HashMap<String, u64>,
    oldest_first: VecDeque<String>,
    by_prefix: HashMap<[u8; PREFIX], Vec<String>>,
    next: u64,
}

impl Tokens {
    /// The number of a token, from 1. Knows the token from now on.
    pub(super) fn number(&mut self, token: &str) -> u64 {
        if let Some(number) = self.numbers.get(token) {
            return *number;
        }
        self.next += 1;
        if let Some(prefix) = prefix(token)
            && token.len() >= LENGTH_MIN
        {
            if self.oldest_first.len() >= TOKENS_MAX {
                self.forget_oldest();
            }
            self.by_prefix.entry(prefix).or_default().push(token.to_owned());
            self.oldest_first.push_back(token.to_owned());
            self.numbers.insert(token.to_owned(), self.next);
        }
        self.next
    }

    fn forget_oldest(&mut self) {
        let Some(token) = self.oldest_first.pop_front() else { return };
        self.numbers.remove(&token);
        if let Some(prefix) = prefix(&token)
            && let Some(tokens) = self.by_prefix.get_mut(&prefix)
        {
            tokens.retain(|other| *other != token);
            if tokens.is_empty() {
                self.by_prefix.remove(&prefix);
            }
        }
    }

    /// Replaces every known token in every text of a value.
    pub(super) fn replace_in(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(replaced) = self.replaced(text) {
                    *text = replaced;
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.replace_in(value)),
            Value::Object(fields) => {
                fields.values_mut().for_each(|value| self.replace_in(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The text without tokens, or `None` if it has none.
    fn replaced(&self, text: &str) -> Option<String> {
        let mut result: Option<String> = None;
        let (mut kept, mut position) = (0, 0);
        while let Some(prefix) = text.as_bytes().get(position..).and_then(prefix_of_bytes) {
            let found = self.by_prefix.get(&prefix).and_then(|tokens| {
                tokens
                    .iter()
                    .filter(|token| text.as_bytes()[position..].starts_with(token.as_bytes()))
                    .map(String::len)
                    .max()
            });
            let Some(length) = found else {
                position += 1;
                continue;
            };
            let result = result.get_or_insert_default();
            // A token begins and ends between two characters: it is a text itself.
            result.push_str(&text[kept..position]);
            result.push_str(REPLACEMENT);
            position += length;
            kept = position;
        }
        result.map(|result| result + &text[kept..])
    }
}

fn prefix(token: &str) -> Option<[u8; PREFIX]> {
    prefix_of_bytes(token.as_bytes())
}

fn prefix_of_bytes(bytes: &[u8]) -> Option<[u8; PREFIX]> {
    bytes.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "4f6dbb1e-5b5b-4f5e-9a53-d4f7c0a8a0f1";

    #[test]
    fn a_token_keeps_its_number() {
        let mut tokens = Tokens::default();
        assert_eq!(tokens.number(TOKEN), 1);
        assert_eq!(tokens.number("another-token-of-some-length"), 2);
        assert_eq!(tokens.number(TOKEN), 1);
    }

    #[test]
    fn a_known_token_is_replaced_wherever_it_stands() {
        let mut tokens = Tokens::default();
        tokens.number(TOKEN);
        let mut value = json!({
            "a": format!("{TOKEN}ä{TOKEN}"),
            "b": [format!("--token={TOKEN}\n"), 1, null],
            "c": json!({ "Token": TOKEN }).to_string(),
            "d": &TOKEN[1..],
            "e": "äöüßäöüß",
        });
        tokens.replace_in(&mut value);
        assert_eq!(
            value,
            json!({
                "a": "[task token]ä[task token]",
                "b": ["--token=[task token]\n", 1, null],
                "c": "{\"Token\":\"[task token]\"}",
                "d": &TOKEN[1..],
                "e": "äöüßäöüß",
            })
        );
    }

    #[test]
    fn of_two_tokens_the_longer_one_is_replaced() {
        let mut tokens = Tokens::default();
        tokens.number(TOKEN);
        tokens.number(&format!("{TOKEN}-and-more"));
        let mut value = json!(format!("{TOKEN}-and-more"));
        tokens.replace_in(&mut value);
        assert_eq!(value, REPLACEMENT);
    }

    #[test]
    fn a_word_is_no_token() {
        let mut tokens = Tokens::default();
        tokens.number("Commands");
        let mut value = json!("Commands");
        tokens.replace_in(&mut value);
        assert_eq!(value, "Commands");
    }

    #[test]
    fn the_oldest_token_is_forgotten() {
        let mut tokens = Tokens::default();
        for number in 0..=TOKENS_MAX {
            tokens.number(&format!("{number:020}"));
        }
        assert_eq!(tokens.numbers.len(), TOKENS_MAX);
        let kept: usize = tokens.by_prefix.values().map(Vec::len).sum();
        assert_eq!(kept, TOKENS_MAX);
    }
}
