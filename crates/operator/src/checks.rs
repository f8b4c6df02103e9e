//! The lines that `relayctl check` prints: each is one thing that must be true, and what was found.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::printout::{Mark, Page, Printout, State};
use crate::problem::Problem;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its stable name, such as `RelayFunctionActive`.
    pub id: Cow<'static, str>,
    /// What was found.
    pub found: Found,
    /// What was found, in words.
    pub sentence: String,
    /// What to do, with a heading of infra/RUNBOOK.md or infra/README.md. Empty if nothing is to be done.
    pub todo: String,
}

/// What a line found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is as it must be.
    Good,
    /// It is a fact that is neither good nor bad.
    Fact,
    /// It works, and deserves attention.
    Attention,
    /// It could not be found out.
    Unknown,
    /// It is wrong.
    Wrong,
}

/// Lines that belong together.
#[derive(Debug)]
pub struct Group {
    /// Its heading.
    pub name: String,
    /// Its lines, in the order in which they are printed.
    pub checks: Vec<Check>,
}

impl Check {
    /// A line about what is as it must be.
    pub fn good(id: impl Into<Cow<'static, str>>, sentence: impl Into<String>) -> Self {
        Self { id: id.into(), found: Found::Good, sentence: sentence.into(), todo: String::new() }
    }

    /// A line about a fact.
    pub fn fact(id: impl Into<Cow<'static, str>>, sentence: impl Into<String>) -> Self {
        Self { found: Found::Fact, ..Self::good(id, sentence) }
    }

    /// A line about what works, and deserves attention.
    pub fn attention(
        id: impl Into<Cow<'static, str>>,
        sentence: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self { found: Found::Attention, todo: todo.into(), ..Self::good(id, sentence) }
    }

    /// A line about what is wrong.
    pub fn wrong(
        id: impl Into<Cow<'static, str>>,
        sentence: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self { found: Found::Wrong, todo: todo.into(), ..Self::good(id, sentence) }
    }

    /// A line about what could not be found out. `what` is the subject of its sentence.
    pub fn unknown(id: impl Into<Cow<'static, str>>, what: &str, problem: &Problem) -> Self {
        let sentence = format!("{what} could not be found out: {problem}.");
        Self { found: Found::Unknown, ..Self::good(id, sentence) }
    }

    fn to_json(&self) -> Value {
        json!({
            "Id": self.id,
            "State": self.found.name(),
            "Sentence": self.sentence,
            "Do": self.todo,
        })
    }
}

impl Found {
    fn name(self) -> &'static str {
        match self {
            Self::Good => "Good",
            Self::Fact => "Fact",
            Self::Attention => "Attention",
            Self::Unknown => "Unknown",
            Self::Wrong => "Wrong",
        }
    }

    fn mark(self) -> Mark {
        match self {
            Self::Good => Mark::Good,
            Self::Fact => Mark::Plain,
            Self::Attention | Self::Unknown => Mark::Attention,
            Self::Wrong => Mark::Bad,
        }
    }

    fn state(self) -> State {
        match self {
            Self::Good | Self::Fact | Self::Attention => State::Fine,
            Self::Unknown => State::Unknown,
            Self::Wrong => State::Wrong,
        }
    }
}

/// Prints the groups of a stack. Ends with a sentence that counts what needs a look.
pub fn printout(stack: &str, groups: &[Group]) -> Printout {
    let mut page = Page::default();
    for group in groups {
        page.heading(&group.name);
        for check in &group.checks {
            let space = if check.todo.is_empty() { "" } else { " " };
            let text = format!("{}{space}{}", check.sentence, check.todo);
            page.item(check.found.mark(), text);
        }
    }
    let all = || groups.iter().flat_map(|group| &group.checks);
    let count = |found: Found| all().filter(|check| check.found == found).count();
    page.heading(match (count(Found::Wrong), count(Found::Unknown), count(Found::Attention)) {
        (0, 0, 0) => "All is well.".to_owned(),
        (0, 0, attention) => format!("Nothing is wrong. Deserve attention: {attention}."),
        (wrong, unknown, attention) => format!(
            "Wrong: {wrong}. Could not be found out: {unknown}. Deserve attention: {attention}."
        ),
    });
    let listed: Vec<Value> = groups
        .iter()
        .map(|group| {
            let checks: Vec<_> = group.checks.iter().map(Check::to_json).collect();
            json!({ "Name": group.name, "Checks": checks })
        })
        .collect();
    let state = all().map(|check| check.found.state()).max().unwrap_or(State::Unknown);
    Printout { page, json: json!({ "Stack": stack, "Groups": listed }), state }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printout::Colours;

    fn printed(checks: Vec<Check>) -> Printout {
        printout("relay", &[Group { name: "Group".to_owned(), checks }])
    }

    #[test]
    fn the_worst_line_decides() {
        let problem = Problem::new("a right is missing");
        let good = Check::good("A", "Good.");
        let attention = Check::attention("B", "Late.", "Look.");
        let unknown = Check::unknown("C", "The rule", &problem);
        let wrong = Check::wrong("D", "Gone.", "See infra/RUNBOOK.md#first");
        for (checks, state) in [
            (vec![good.clone(), Check::fact("E", "A fact."), attention.clone()], State::Fine),
            (vec![unknown.clone(), good], State::Unknown),
            (vec![wrong, unknown, attention], State::Wrong),
        ] {
            assert_eq!(printed(checks).state, state);
        }
        assert_eq!(printed(Vec::new()).state, State::Unknown);
    }

    #[test]
    fn a_line_says_what_to_do() {
        let printout = printed(vec![
            Check::wrong("D", "Gone.", "Do something."),
            Check::unknown("C", "The rule", &Problem::new("a right is missing")),
        ]);
        let text = "Group\n  × Gone. Do something.\n  ‼ The rule could not be found out: a right is \
                    missing.\n\nWrong: 1. Could not be found out: 1. Deserve attention: 0.\n";
        assert_eq!(printout.page.render(Colours::Off), text);
        assert_eq!(printout.json["Groups"][0]["Checks"][0]["Do"], "Do something.");
    }
}
