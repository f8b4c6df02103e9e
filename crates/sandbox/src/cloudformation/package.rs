//! Deployment packages of functions.

use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::{fs, io};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A deployment package: the program as `bootstrap`.
pub async fn package(program: PathBuf) -> io::Result<Vec<u8>> {
    let packed = tokio::task::spawn_blocking(move || {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        // Not compressed: it travels within one machine.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .unix_permissions(0o755);
        archive.start_file("bootstrap", options).map_err(io::Error::other)?;
        archive.write_all(&fs::read(&program)?)?;
        archive.finish().map(Cursor::into_inner).map_err(io::Error::other)
    })
    .await;
    packed.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}
