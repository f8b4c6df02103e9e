//! One line of the log that a test has caught.

use std::fmt::Display;

/// A log line: who says it, how loudly, and about what.
#[derive(Debug)]
pub(crate) struct LogLine {
    pub(crate) level: String,
    pub(crate) target: String,
    rest: String,
}

impl LogLine {
    /// Reads a line as `tracing_subscriber` formats it: time, level, target, message and fields.
    pub(crate) fn parse(line: &str) -> Self {
        let parts = || {
            let (_time, rest) = line.split_once(' ')?;
            let (level, rest) = rest.trim_start().split_once(' ')?;
            let (target, rest) = rest.split_once(": ")?;
            Some(Self { level: level.into(), target: target.into(), rest: rest.into() })
        };
        parts().unwrap_or_else(|| panic!("no log line: {line}"))
    }

    /// Whether this module says it, or one inside it.
    pub(crate) fn is_of(&self, module: &str) -> bool {
        let rest = self.target.strip_prefix(module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    /// A field's value, without the quotes around a text.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let (_, value) = self.rest.split_once(&format!(" {name}="))?;
        if value.starts_with('"') {
            let mut texts = serde_json::Deserializer::from_str(value).into_iter();
            return Some(texts.next()?.expect("a text that is quoted as JSON quotes it"));
        }
        // To the next field, or to the end of the line.
        let words = value.split(' ');
        Some(words.take_while(|word| !word.contains('=')).collect::<Vec<_>>().join(" "))
    }

    /// Whether the field has this value.
    pub(crate) fn says(&self, name: &str, value: impl Display + Copy) -> bool {
        self.field(name) == Some(value.to_string())
    }
}

#[test]
fn a_log_line_is_read_field_by_field() {
    let line = LogLine::parse(
        "2026-11-22T10:00:00.000001Z  WARN callback::sweep: some words id=7 error=it went wrong: \
         here text=\"a \\\"quoted\\\" b=1\" last=Some",
    );
    assert_eq!((line.level.as_str(), line.target.as_str()), ("WARN", "callback::sweep"));
    let fields = ["id", "error", "text", "last", "words"].map(|name| line.field(name));
    let values = ["7", "it went wrong: here", "a \"quoted\" b=1", "Some"].map(str::to_owned);
    assert_eq!(fields[..4], values.map(Some));
    assert_eq!(fields[4], None);
}
