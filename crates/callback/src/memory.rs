//! What one sweep remembers for the next one: which commands were executing, and for which
//! completed commands a call failed.
//!
//! A command that was executing at one sweep but not at the next is probed by the one after. If its
//! task still waits then, its event was lost.
//!
//! The memory is a hint, not a store. What is lost when the process is replaced, or when there are
//! too many commands, is found later by the probes of [`sweep`](mod@crate::sweep).

use std::collections::BTreeMap;

use crate::id::CommandId;
use crate::token::TaskToken;

/// Maximum number of commands remembered, executing and ended each. A token is about 1 kB, so this
/// is about 20 MB.
pub const REMEMBERED_MAX: usize = 20_000;

/// Commands that the next sweep may have to probe.
#[derive(Debug, Default)]
pub struct Memory {
    executing: BTreeMap<CommandId, TaskToken>,
    ended: BTreeMap<CommandId, TaskToken>,
    /// Whether the last sweep saw every command.
    is_whole: bool,
}

/// What a sweep saw that later sweeps should know.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Executing commands whose task waits, or may wait.
    pub(crate) executing: BTreeMap<CommandId, TaskToken>,
    /// Completed commands for which a call failed.
    pub(crate) undecided: BTreeMap<CommandId, TaskToken>,
    /// Commands that need no further probe.
    pub(crate) no_more: Vec<CommandId>,
}

impl Memory {
    /// The commands that had ended by the last sweep and whose task may still wait.
    pub(crate) fn ended(&self) -> &BTreeMap<CommandId, TaskToken> {
        &self.ended
    }

    /// Whether the last sweep saw every command, and this one was not executing.
    pub(crate) fn had_ended(&self, id: &CommandId) -> bool {
        self.is_whole && !self.executing.contains_key(id)
    }

    /// Records what a complete sweep saw.
    pub(crate) fn update(&mut self, seen: Seen) {
        let executing = self.take_ended(seen);
        self.is_whole = true;
        let seen_before = std::mem::replace(&mut self.executing, executing);
        for (id, token) in seen_before {
            if !self.executing.contains_key(&id) {
                remember(&mut self.ended, id, token);
            }
        }
    }

    /// Like [`update`](Self::update), for a sweep that left something out: a command that it did
    /// not see may still be executing.
    pub(crate) fn add(&mut self, seen: Seen) {
        let executing = self.take_ended(seen);
        self.is_whole = false;
        for (id, token) in executing {
            remember(&mut self.executing, id, token);
        }
    }

    /// Records ended commands and returns those still running.
    fn take_ended(&mut self, seen: Seen) -> BTreeMap<CommandId, TaskToken> {
        let Seen { executing, undecided, no_more } = seen;
        for (id, token) in undecided {
            remember(&mut self.ended, id, token);
        }
        for id in no_more {
            self.ended.remove(&id);
        }
        self.ended.retain(|id, _| !executing.contains_key(id));
        executing
    }
}

/// Remembers a command if there is room.
pub(crate) fn remember(
    commands: &mut BTreeMap<CommandId, TaskToken>,
    id: CommandId,
    token: TaskToken,
) {
    if commands.len() < REMEMBERED_MAX {
        commands.insert(id, token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample::command_id as id;

    fn commands(numbers: impl IntoIterator<Item = u32>) -> BTreeMap<CommandId, TaskToken> {
        let token = || TaskToken::from_parameter(&["token".to_owned()]).unwrap();
        numbers.into_iter().map(|number| (id(number), token())).collect()
    }

    fn seen(numbers: impl IntoIterator<Item = u32>) -> Seen {
        Seen { executing: commands(numbers), ..Seen::default() }
    }

    fn ended(memory: &Memory) -> Vec<CommandId> {
        let mut ids: Vec<_> = memory.ended().keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_command_that_executes_no_more_has_ended_until_it_needs_no_more_looks() {
        let mut memory = Memory::default();
        memory.update(seen([1, 2]));
        assert_eq!(ended(&memory), []);
        memory.update(seen([2, 3]));
        assert_eq!(ended(&memory), [id(1)]);
        memory.update(seen([3]));
        assert_eq!(ended(&memory), [id(1), id(2)]);
        memory.update(Seen { no_more: vec![id(1)], ..seen([3]) });
        assert_eq!(ended(&memory), [id(2)]);
    }

    #[test]
    fn a_command_that_a_list_left_out_is_executing_again() {
        let mut memory = Memory::default();
        memory.update(seen([1]));
        memory.update(seen([]));
        assert_eq!(ended(&memory), [id(1)]);
        memory.update(seen([1]));
        assert_eq!(ended(&memory), []);
    }

    #[test]
    fn what_a_sweep_left_out_has_not_ended() {
        let mut memory = Memory::default();
        memory.update(seen([1, 2, 3]));
        memory.update(seen([2, 3]));
        memory.add(Seen { no_more: vec![id(1)], ..seen([3, 4]) });
        assert_eq!(ended(&memory), []);
        memory.update(seen([4]));
        assert_eq!(ended(&memory), [id(2), id(3)]);
        memory.add(seen([2]));
        assert_eq!(ended(&memory), [id(3)]);
    }

    #[test]
    fn only_a_sweep_of_everything_tells_that_a_command_had_ended() {
        let mut memory = Memory::default();
        assert!(!memory.had_ended(&id(1)), "there was no sweep");
        memory.update(seen([2]));
        assert!(memory.had_ended(&id(1)));
        assert!(!memory.had_ended(&id(2)));
        memory.add(seen([]));
        assert!(!memory.had_ended(&id(1)));
    }

    #[test]
    fn what_is_undecided_has_ended() {
        let mut memory = Memory::default();
        memory.update(Seen { undecided: commands([1]), ..seen([]) });
        memory.add(Seen { undecided: commands([2]), ..seen([]) });
        assert_eq!(ended(&memory), [id(1), id(2)]);
        memory.update(Seen { no_more: vec![id(2)], ..seen([1]) });
        assert_eq!(ended(&memory), []);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut memory = Memory::default();
        let many = u32::try_from(REMEMBERED_MAX).unwrap();
        memory.add(seen(0..many + 5));
        memory.add(seen(many + 5..many + 9));
        memory.update(Seen { undecided: commands([many + 10]), ..seen([]) });
        assert_eq!(memory.ended().len(), REMEMBERED_MAX);
    }
}
