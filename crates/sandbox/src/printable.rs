//! Makes text of scripts and services safe for a terminal.

/// The text with its control characters escaped, so that it cannot move the cursor, set a title or
/// hide a line.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}
