//! The directories of a node: those that real nodes have, inside the node's own folder.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// What a Linux node has, without the first slash. They come into being when a script needs one.
const DIRECTORIES: [&str; 28] = [
    "boot",
    "dev",
    "etc",
    "home",
    "home/ssm-user",
    "media",
    "mnt",
    "opt",
    "opt/aws",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/lib",
    "usr/local",
    "usr/local/bin",
    "usr/sbin",
    "usr/share",
    "var",
    "var/lib",
    "var/lib/amazon/ssm",
    "var/log",
    "var/log/amazon/ssm",
    "var/tmp",
];

/// The directory that a script starts in. That of the agent is `home`: for no directory, and for
/// one that is relative, since nothing was downloaded beside the script. An absolute one is looked
/// for inside `home`, so `/home/ssm-user` never is that of this machine; it may not be there.
///
/// # Errors
///
/// A directory that every node has could not be made.
pub(super) fn working_directory(home: &Path, wanted: &str) -> io::Result<PathBuf> {
    if !wanted.starts_with('/') {
        return Ok(home.to_owned());
    }
    let mut inside = PathBuf::new();
    for component in Path::new(wanted).components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir => {
                inside.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    let directory = home.join(&inside);
    if DIRECTORIES.iter().any(|name| Path::new(name) == inside) {
        fs::create_dir_all(&directory)?;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_directory_is_the_agents_own() {
        let home = Path::new("/sandbox/nodes/i-12345678");
        for own in ["", "/", ".", "..", "/../..", "\"\"", "home/ssm-user", "../x"] {
            assert_eq!(working_directory(home, own).unwrap(), home, "{own:?}");
        }
    }

    #[test]
    fn an_absolute_directory_is_inside_the_node() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        for inside in ["/home/ssm-user/", "/../home/x/../ssm-user"] {
            let directory = working_directory(home, inside).unwrap();
            assert_eq!(directory, home.join("home/ssm-user"), "{inside:?}");
            assert!(directory.is_dir());
        }
        assert!(working_directory(home, "/tmp").unwrap().is_dir());
        let absent = working_directory(home, "/srv/app").unwrap();
        assert_eq!((absent.exists(), absent), (false, home.join("srv/app")));
    }
}
