//! `ListCommands` and `ListCommandInvocations`: newest first, filtered, in pages, as late as reads
//! are.

use serde::Serialize;
use tokio::time::Instant;

use crate::answer::{ListedCommand, ListedInvocation};
use crate::api::ApiError;
use crate::request::{Filter, List};
use crate::status::StatusDetails;
use crate::store::{CommandRecord, Number, Store};

/// The answer of `ListCommands`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Commands<'a> {
    commands: Vec<ListedCommand<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// The answer of `ListCommandInvocations`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Invocations<'a> {
    command_invocations: Vec<ListedInvocation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Where a page begins: at the invocation `position` of the command before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    /// One more than the number of the newest command that is still to be looked at.
    end: Number,
    position: usize,
}

impl Cursor {
    fn parse(token: Option<&String>) -> Result<Option<Self>, ApiError> {
        let Some(token) = token else { return Ok(None) };
        let cursor = token.split_once('-').and_then(|(end, position)| {
            Some(Self { end: end.parse().ok()?, position: position.parse().ok()? })
        });
        match cursor {
            Some(cursor) => Ok(Some(cursor)),
            None => Err(ApiError::refused("InvalidNextToken", "The specified token isn't valid.")),
        }
    }

    fn token(self) -> String {
        format!("{}-{}", self.end, self.position)
    }
}

/// Answers `ListCommands` as of `time`.
pub(crate) fn commands<'a>(
    store: &'a mut Store,
    list: &List,
    time: Instant,
) -> Result<Commands<'a>, ApiError> {
    let page = list.page()?;
    let filter = list.filter()?;
    let cursor = Cursor::parse(list.next_token.as_ref())?;
    let numbers = candidates(store, list, &filter, cursor, time);
    let (mut found, mut next) = (Vec::new(), None);
    for number in numbers {
        let record = &store.commands()[number];
        let Some(state) = record.state.at(time) else { continue };
        if !record.is_on(list.instance_id.as_ref()) || !filter.allows(record, state.details) {
            continue;
        }
        if found.len() == page {
            next = Some(Cursor { end: number + 1, position: 0 });
            break;
        }
        found.push(ListedCommand::of(record, state));
    }
    Ok(Commands { commands: found, next_token: next.map(Cursor::token) })
}

/// Answers `ListCommandInvocations` as of `time`.
pub(crate) fn invocations<'a>(
    store: &'a mut Store,
    list: &List,
    time: Instant,
) -> Result<Invocations<'a>, ApiError> {
    let page = list.page()?;
    let filter = list.filter()?;
    let cursor = Cursor::parse(list.next_token.as_ref())?;
    let numbers = candidates(store, list, &filter, cursor, time);
    let (mut found, mut next) = (Vec::new(), None);
    'commands: for number in numbers {
        let record = &store.commands()[number];
        let first = cursor.filter(|cursor| cursor.end == number + 1);
        let skipped = first.map_or(0, |cursor| cursor.position);
        for (position, invocation) in record.invocations.iter().enumerate().skip(skipped) {
            let Some(state) = invocation.state.at(time) else { continue };
            let wanted = list.instance_id.as_ref();
            if wanted.is_some_and(|id| *id != invocation.instance_id)
                || !filter.allows(record, state.details)
            {
                continue;
            }
            if found.len() == page {
                next = Some(Cursor { end: number + 1, position });
                break 'commands;
            }
            found.push(ListedInvocation::of(record, invocation, state, list.details));
        }
    }
    Ok(Invocations { command_invocations: found, next_token: next.map(Cursor::token) })
}

/// The numbers of the commands that can be on the page, newest first, narrowed down by what needs
/// no look at each of them.
fn candidates(
    store: &mut Store,
    list: &List,
    filter: &Filter,
    cursor: Option<Cursor>,
    time: Instant,
) -> Vec<Number> {
    let commands = store.commands();
    let older = |time| commands.partition_point(|command| command.requested < time);
    let mut first = filter.after.map_or(0, older);
    let mut end = filter.before.map_or(commands.len(), older);
    if let Some(cursor) = cursor {
        end = end.min(cursor.end);
    }
    if let Some(id) = &list.command_id {
        let Some(number) = store.number(id) else { return Vec::new() };
        first = first.max(number);
        end = end.min(number + 1);
    }
    let range = first..end.max(first);
    if filter.executing == Some(true) {
        store.executing(time).range(range).rev().copied().collect()
    } else {
        range.rev().collect()
    }
}

impl CommandRecord {
    fn is_on(&self, instance_id: Option<&String>) -> bool {
        instance_id.is_none_or(|id| {
            self.invocations.iter().any(|invocation| invocation.instance_id == *id)
        })
    }
}

impl Filter {
    /// Whether a command, or an invocation of it in this status, is asked for. The time of the
    /// request is not looked at again.
    fn allows(&self, record: &CommandRecord, details: StatusDetails) -> bool {
        let status = |wanted: &String| wanted == details.status() || wanted == details.as_str();
        self.status.as_ref().is_none_or(status)
            && self.executing.is_none_or(|executing| executing != details.is_terminal())
            && self.document_name.as_ref().is_none_or(|name| *name == record.document_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_place() {
        let cursor = Cursor { end: 12, position: 3 };
        assert_eq!(Cursor::parse(Some(&cursor.token())), Ok(Some(cursor)));
        assert_eq!(Cursor::parse(None), Ok(None));
        for token in ["", "12", "-1-2", "a-b"] {
            let error = Cursor::parse(Some(&token.to_owned())).unwrap_err();
            assert_eq!(error.code, "InvalidNextToken", "{token:?}");
        }
    }
}
