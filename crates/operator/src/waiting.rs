//! `relayctl waiting`: the executing commands for which tasks wait.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::command;
use crate::printout::{Mark, Page, Printout, State, cut};
use crate::problem::Problem;
use crate::shown::shown;
use crate::stack::Stack;
use crate::times::{duration, until};

/// Widths of the columns, in characters. A command's ID has 36.
const AGE: usize = 11;
const NODES: usize = 11;
const LIMIT: usize = 14;
const ID: usize = 36;
const DOCUMENT: usize = 22;

/// Lists them, oldest first. A command that is past its limit is wrong.
pub async fn waiting(aws: &Aws, stack: &Stack, now: Timestamp) -> Result<Printout, Problem> {
    let (commands, is_cut) = command::executing(aws, stack).await?;
    let mut state = State::Fine;
    let mut page = Page::default();
    page.heading(match commands.len() {
        0 => format!("No command of stack {} is executing.", stack.name),
        1 => format!("1 executing command of stack {}", stack.name),
        count => format!("{count} executing commands of stack {}, oldest first", stack.name),
    });
    if !commands.is_empty() {
        page.row(row("AGE", "NODES", "LIMIT", "COMMAND", "DOCUMENT"));
    }
    for limited in &commands {
        let command = &limited.command;
        page.row(row(
            &duration(now.duration_since(command.requested_at)),
            &format!("{} of {}", command.completed_count, command.target_count),
            &until(limited.expires_at, now),
            command.id.as_str(),
            // Of an ARN, the name says more.
            &shown(command, after_slash(&command.document_name)),
        ));
        let comment = shown(command, &command.comment);
        if !comment.is_empty() {
            page.row(format!("{:AGE$} {comment}", ""));
        }
    }
    let late = commands.iter().filter(|limited| limited.is_overdue(now)).count();
    if late > 0 {
        state = State::Wrong;
        page.item(
            Mark::Bad,
            format!(
                "{late} commands are past their limit, and Run Command has not ended them. `relayctl \
                 explain COMMAND_ID` names their nodes."
            ),
        );
    }
    if is_cut {
        state = state.max(State::Unknown);
        page.item(Mark::Attention, "There are more than were listed.");
    }
    let listed: Vec<Value> = commands
        .iter()
        .map(|limited| {
            let mut command = limited.to_json();
            command["Overdue"] = limited.is_overdue(now).into();
            command
        })
        .collect();
    let json = json!({ "Stack": stack.name, "Commands": listed, "Cut": is_cut });
    Ok(Printout { page, json, state })
}

fn after_slash(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

fn row(age: &str, nodes: &str, limit: &str, id: &str, document: &str) -> String {
    let document = cut(document, DOCUMENT);
    format!("{age:AGE$} {nodes:NODES$} {limit:LIMIT$} {id:ID$} {document}")
}
