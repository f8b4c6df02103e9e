//! What a command prints: lines for people, or one JSON object, and the exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::Output;

/// Maximum width of a line, in characters.
pub const WIDTH_MAX: usize = 100;

/// What was found.
#[derive(Debug)]
pub struct Printout {
    /// For people.
    pub page: Page,
    /// For programs.
    pub json: Value,
    /// The exit code.
    pub state: State,
}

/// Whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All is well: 0.
    Fine,
    /// Some of it could not be found out: 2.
    Unknown,
    /// Something is wrong: 1.
    Wrong,
}

/// Lines for people.
#[derive(Debug, Default)]
pub struct Page {
    lines: Vec<Line>,
}

#[derive(Debug)]
enum Line {
    Heading(String),
    Row(String),
    Item(Mark, String),
    Blank,
}

/// What stands before an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Nothing is wrong with it.
    Good,
    /// It is wrong.
    Bad,
    /// It deserves attention, or could not be found out.
    Attention,
    /// A fact.
    Plain,
}

impl Printout {
    /// Prints to stdout. Returns the exit code, which is 2 if nothing could be printed.
    pub fn print(&self, output: Output) -> ExitCode {
        let mut stdout = io::stdout();
        let colours = match std::env::var_os("NO_COLOR") {
            None if stdout.is_terminal() => Colours::On,
            _ => Colours::Off,
        };
        let text = match output {
            Output::Text => self.page.render(colours),
            Output::Json => format!("{:#}\n", self.json),
        };
        let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        match (printed, self.state) {
            (Ok(()), State::Fine) => ExitCode::SUCCESS,
            (Ok(()), State::Wrong) => ExitCode::from(1),
            (Ok(()), State::Unknown) | (Err(_), _) => ExitCode::from(2),
        }
    }
}

/// Whether a page has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// On a terminal.
    On,
    /// Elsewhere.
    Off,
}

impl Page {
    /// Adds a heading, after a blank line unless it is the first.
    pub fn heading(&mut self, text: impl Into<String>) {
        if !self.lines.is_empty() {
            self.lines.push(Line::Blank);
        }
        self.lines.push(Line::Heading(text.into()));
    }

    /// Adds a sentence, which is wrapped.
    pub fn item(&mut self, mark: Mark, text: impl Into<String>) {
        self.lines.push(Line::Item(mark, text.into()));
    }

    /// Adds a row of a table, which is cut.
    pub fn row(&mut self, text: impl Into<String>) {
        self.lines.push(Line::Row(text.into()));
    }

    /// Adds another page at the end.
    pub fn append(&mut self, page: Self) {
        if !self.lines.is_empty() {
            self.lines.push(Line::Blank);
        }
        self.lines.extend(page.lines);
    }

    /// The page as text.
    pub fn render(&self, colours: Colours) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Blank => text.push('\n'),
                Line::Heading(heading) => {
                    for part in wrapped(heading, WIDTH_MAX) {
                        text.push_str(&coloured(colours, "1", &part));
                        text.push('\n');
                    }
                }
                Line::Row(row) => {
                    text.push_str(cut(row, WIDTH_MAX).trim_end());
                    text.push('\n');
                }
                Line::Item(mark, sentence) => {
                    for (number, part) in wrapped(sentence, WIDTH_MAX - 4).iter().enumerate() {
                        let sign = if number == 0 { mark.sign(colours) } else { " ".to_owned() };
                        text.push_str(format!("  {sign} {part}").trim_end());
                        text.push('\n');
                    }
                }
            }
        }
        text
    }
}

impl Mark {
    fn sign(self, colours: Colours) -> String {
        match self {
            Self::Good => coloured(colours, "32", "√"),
            Self::Bad => coloured(colours, "31", "×"),
            Self::Attention => coloured(colours, "33", "‼"),
            Self::Plain => "·".to_owned(),
        }
    }
}

fn coloured(colours: Colours, code: &str, text: &str) -> String {
    match colours {
        Colours::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        Colours::Off => text.to_owned(),
    }
}

/// The beginning of a text, with `…` at its end if it was longer than this many characters.
pub fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// A text in lines of at most this many characters. Longer words are broken.
pub fn wrapped(text: &str, chars_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let chars: Vec<_> = word.chars().collect();
        for part in chars.chunks(chars_max) {
            let line = lines.last_mut().expect("there is a line");
            let separator = usize::from(!line.is_empty());
            if line.chars().count() + separator + part.len() > chars_max {
                lines.push(part.iter().collect());
            } else {
                line.extend(std::iter::repeat_n(' ', separator).chain(part.iter().copied()));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::default();
        page.heading("A heading");
        page.item(Mark::Bad, "word ".repeat(30));
        page.item(Mark::Plain, "x".repeat(150));
        page.row("ä".repeat(150));
        page
    }

    #[test]
    fn no_line_is_wider_than_100() {
        let text = page().render(Colours::Off);
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [9, 98, 58, 100, 58, 100]);
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_terminal_gets_colours() {
        let text = page().render(Colours::On);
        assert!(
            text.starts_with("\u{1b}[1mA heading\u{1b}[0m\n  \u{1b}[31m×\u{1b}[0m word"),
            "{text}"
        );
    }

    #[test]
    fn what_is_wrong_counts_more_than_what_is_unknown() {
        assert_eq!(State::Wrong.max(State::Unknown), State::Wrong);
        assert_eq!(State::Fine.max(State::Unknown), State::Unknown);
    }
}
