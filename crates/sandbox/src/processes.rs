//! The processes of this machine, as `/proc` shows them: on Linux only, none elsewhere.

use std::fs;

/// A process that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: i32,
    /// The id of its parent.
    pub parent: i32,
    /// The id of its process group.
    pub group: i32,
}

/// All processes, but for those that have ended and were not waited for yet.
pub fn processes() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        // It may have ended meanwhile.
        of_stat(id, &fs::read_to_string(entry.path().join("stat")).ok()?)
    })
}

/// Reads `/proc/PID/stat`: after the name, in parentheses, come the state, the parent and the group.
fn of_stat(id: i32, stat: &str) -> Option<Process> {
    // The name may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    (state != "Z").then_some(Process { id, parent, group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything_and_what_has_ended_is_none() {
        let process = Process { id: 7, parent: 5, group: 6 };
        assert_eq!(of_stat(7, "7 (a) b (c)) S 5 6 4 0"), Some(process));
        assert_eq!(of_stat(7, "7 (sh) Z 5 6 4 0"), None);
        assert_eq!(of_stat(7, ""), None);
    }
}
