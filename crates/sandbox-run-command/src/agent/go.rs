//! How a program in Go, such as the agent, writes values and errors.

use std::io;

use serde_json::Value;

/// A value that was read from JSON, as the verb `%v` writes it.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => list(items.iter().map(self::value)),
        Value::Object(members) => {
            let members = members.iter();
            let mut members: Vec<_> =
                members.map(|(name, member)| format!("{name}:{}", self::value(member))).collect();
            members.sort();
            format!("map{}", list(members))
        }
        scalar => scalar.to_string(),
    }
}

/// A list of texts, as the verb `%v` writes it.
pub(crate) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().collect();
    format!("[{}]", items.join(" "))
}

/// What kind of JSON a value is, in the words of Go's decoder.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// An error of the operating system: its text, with a small letter at the beginning.
pub(crate) fn error(error: &io::Error) -> String {
    // A path with a zero byte never reaches the operating system.
    if error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none() {
        return "invalid argument".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().into_iter().flat_map(char::to_lowercase).chain(chars).collect()
}

/// The name of a signal on Linux.
pub(crate) fn signal(number: i32) -> String {
    const NAMES: [&str; 15] = [
        "hangup",
        "interrupt",
        "quit",
        "illegal instruction",
        "trace/breakpoint trap",
        "aborted",
        "bus error",
        "floating point exception",
        "killed",
        "user defined signal 1",
        "segmentation fault",
        "user defined signal 2",
        "broken pipe",
        "alarm clock",
        "terminated",
    ];
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let name = index.and_then(|index| NAMES.get(index));
    name.map_or_else(|| format!("signal {number}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_errors_and_signals_are_written_as_in_go() {
        let nested = json!({"b": ["x", 1, null], "a": {"c": true}});
        assert_eq!(value(&nested), "map[a:map[c:true] b:[x 1 <nil>]]");
        let absent = io::Error::from_raw_os_error(2);
        assert_eq!(error(&absent), "no such file or directory");
        assert_eq!(error(&io::Error::from(io::ErrorKind::InvalidInput)), "invalid argument");
        assert_eq!(signal(9), "killed");
        assert_eq!(signal(64), "signal 64");
        assert_eq!(kind(&json!([])), "array");
    }
}
