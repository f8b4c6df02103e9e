//! The share of a core that Lambda gives to a function of some memory size, by the CPU quota of a
//! control group (version 1 or 2). It needs the right to make one: root, as a rule.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

use super::Result;

/// A function of this memory size, in MB, has one core (AWS Lambda documentation).
const MEMORY_OF_ONE_CORE_MB: u32 = 1_769;
/// How often a share is handed out anew, in microseconds. A function that has used up its share
/// waits for the rest of it.
const PERIOD_US: u32 = 20_000;

/// Where control groups for CPU time can be made.
#[derive(Debug, Clone)]
pub struct Controller {
    root: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A control group. It is removed when it is dropped; its processes must have ended by then.
#[derive(Debug)]
pub struct Group {
    directory: PathBuf,
    version: Version,
}

impl Controller {
    /// Finds the controller, and tries whether a quota can be set. An error says why not.
    pub fn find() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let mut candidates: Vec<_> = mounts.lines().filter_map(candidate).collect();
        candidates.sort_by_key(|candidate| candidate.version == Version::V2);
        let mut problem = "no control group for CPU time is mounted".to_owned();
        for candidate in candidates {
            match candidate.group().and_then(|group| group.limit(128)) {
                Ok(()) => return Ok(candidate),
                Err(error) => problem = format!("{}: {error}", candidate.root.display()),
            }
        }
        Err(problem.into())
    }

    /// Makes a group without a limit.
    pub fn group(&self) -> io::Result<Group> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("run-command-relay-{}-{number}", std::process::id());
        let directory = self.root.join(name);
        fs::create_dir(&directory)?;
        Ok(Group { directory, version: self.version })
    }
}

impl Group {
    /// Takes a process in.
    pub fn add(&self, process: u32) -> io::Result<()> {
        fs::write(self.directory.join("cgroup.procs"), process.to_string())
    }

    /// From now on, its processes have the share of a function with this memory size.
    pub fn limit(&self, memory_mb: u32) -> io::Result<()> {
        let quota = PERIOD_US * memory_mb / MEMORY_OF_ONE_CORE_MB;
        match self.version {
            Version::V1 => {
                self.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())
            }
            Version::V2 => self.write("cpu.max", &format!("{quota} {PERIOD_US}")),
        }
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.directory.join(file), text)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // An empty directory more is no harm.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// The controller in a line of `/proc/mounts`.
fn candidate(mount: &str) -> Option<Controller> {
    let mut fields = mount.split(' ');
    let (_, root, kind, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let root = Path::new(root);
    let version = match kind {
        "cgroup" if options.split(',').any(|option| option == "cpu") => Version::V1,
        "cgroup2" => {
            let controllers = fs::read_to_string(root.join("cgroup.subtree_control")).ok()?;
            controllers.split_whitespace().any(|name| name == "cpu").then_some(Version::V2)?
        }
        _ => return None,
    };
    Some(Controller { root: root.to_owned(), version })
}
