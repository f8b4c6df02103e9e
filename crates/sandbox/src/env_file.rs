//! The file that tells a shell, and whatever it starts, how to reach the sandbox.

use std::{
    io,
    io::Write,
    path::{Path, PathBuf},
};

use crate::sandbox::Sandbox;

/// Why there is no such file.
#[derive(Debug, thiserror::Error)]
#[error("writing {path} (--env-file takes another one)")]
pub struct EnvFileError {
    path: PathBuf,
    source: io::Error,
}

/// Writes the file for its owner alone, under this mark.
pub fn write(path: &Path, sandbox: &Sandbox, mark: &str) -> Result<(), EnvFileError> {
    replace(path, &text(sandbox, mark))
        .map_err(|source| EnvFileError { path: path.to_owned(), source })
}

fn text(sandbox: &Sandbox, mark: &str) -> String {
    let credentials = sandbox.credentials();
    format!(
        "# The sandbox {mark}, until it ends.\n\
         export AWS_ENDPOINT_URL={}\n\
         export AWS_REGION={region}\n\
         export AWS_DEFAULT_REGION={region}\n\
         export AWS_ACCESS_KEY_ID={}\n\
         export AWS_SECRET_ACCESS_KEY={}\n\
         unset AWS_SESSION_TOKEN AWS_PROFILE\n",
        sandbox.endpoint(),
        credentials.access_key_id,
        credentials.secret_access_key,
        region = sandbox.region(),
    )
}

/// Puts a file of mode 0600 into the place of whatever is there, a link too.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
