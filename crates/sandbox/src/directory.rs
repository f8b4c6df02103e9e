//! The directory of a sandbox: nodes, functions and logs.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::guard::temporary_directory;

/// For its owner alone.
const DIRECTORY_MODE: u32 = 0o700;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It, or something in it, could not be made.
    #[error("preparing {path}")]
    Prepare {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is open to others, who could put scripts and programs into it.
    #[error("the directory {path}: expected one that only you may write to, got mode {mode:o}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is somebody else's.
    #[error("the directory {path}: expected one of yours, got one of user {owner}")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The id of its owner.
        owner: u32,
    },
}

/// Makes the directory for its owner alone: scripts and programs are run from it.
pub fn prepare(given: Option<&Path>, mark: &str) -> Result<PathBuf, DirectoryError> {
    let temporary = temporary_directory(mark);
    let path = given.unwrap_or(&temporary);
    let failed = |source| DirectoryError::Prepare { path: path.to_owned(), source };
    let mut private = fs::DirBuilder::new();
    private.mode(DIRECTORY_MODE);
    match private.create(path) {
        Err(error) if given.is_some() && error.kind() == io::ErrorKind::AlreadyExists => {
            close(path)?;
        }
        result => result.map_err(failed)?,
    }
    for part in ["logs", "nodes", "functions", "moto"] {
        fs::create_dir_all(path.join(part)).map_err(failed)?;
    }
    // Functions and scripts start in other directories, where a relative path means another place.
    path.canonicalize().map_err(failed)
}

/// Closes an existing directory to everybody else, if nobody else can have put anything into it.
fn close(path: &Path) -> Result<(), DirectoryError> {
    let failed = |source| DirectoryError::Prepare { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if owner != rustix::process::geteuid().as_raw() {
        return Err(DirectoryError::Foreign { path: path.to_owned(), owner });
    }
    if mode & 0o022 != 0 {
        return Err(DirectoryError::Open { path: path.to_owned(), mode });
    }
    fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE)).map_err(failed)
}
