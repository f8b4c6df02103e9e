//! The names and the code of functions.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, io};

use crate::arn::name_of_arn;

/// Where moto has the code of a function, `REGION/NAME`.
pub fn code_path(function: &str) -> String {
    format!("/moto-api/lambda-code/{function}")
}

/// The name in `name`, `name:qualifier`, an ARN, or an ARN with a qualifier.
pub fn function_name(function: &str) -> &str {
    match function.split_once(":function:") {
        Some((_, rest)) => rest.split(':').next().unwrap_or(rest),
        None if function.starts_with("arn:") => name_of_arn(function),
        None => function.split(':').next().unwrap_or(function),
    }
}

/// Unpacks a deployment package. It appears under its name when it is whole, and not before.
pub fn unpack(code: &[u8], directory: &Path) -> io::Result<()> {
    let parent = directory.parent().unwrap_or(directory);
    fs::create_dir_all(parent)?;
    let half = tempfile::tempdir_in(parent)?;
    let mut archive = zip::ZipArchive::new(io::Cursor::new(code)).map_err(io::Error::other)?;
    archive.extract(half.path()).map_err(io::Error::other)?;
    let bootstrap = half.path().join("bootstrap");
    fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).map_err(|error| {
        io::Error::new(error.kind(), format!("expected a file `bootstrap` in the package: {error}"))
    })?;
    fs::rename(half.keep(), directory)
}

#[cfg(test)]
mod tests {
    use super::function_name;

    #[test]
    fn functions_are_named_in_several_ways() {
        assert_eq!(function_name("relay"), "relay");
        assert_eq!(function_name("relay:$LATEST"), "relay");
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:stack-relay";
        assert_eq!(function_name(arn), "stack-relay");
        assert_eq!(function_name(&format!("{arn}:7")), "stack-relay");
    }
}
