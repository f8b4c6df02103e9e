//! The architecture invariants that neither types nor lints express, checked in the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// The source files of the product, by their paths below `crates`. Unit tests and fakes are left
/// out.
fn sources() -> Vec<(String, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["callback", "callback-aws", "functions"].map(|name| crates.join(name).join("src")).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap().to_owned();
                sources.push((path.strip_prefix(&crates).unwrap().display().to_string(), code));
            }
        }
    }
    sources.retain(|(path, _)| !path.contains("/src/testing"));
    assert!(sources.len() > 25, "{} files", sources.len());
    sources
}

/// The files that contain one of these texts, sorted.
fn files_with(texts: &[&str]) -> Vec<String> {
    let mut found = sources();
    found.retain(|(_, code)| texts.iter().any(|text| code.contains(text)));
    let mut paths: Vec<_> = found.into_iter().map(|(path, _)| path).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn only_settle_answers_a_task() {
    let calls = [".succeed(", ".fail(", "::succeed(", "::fail("];
    assert_eq!(files_with(&calls), ["callback/src/settle.rs"]);
    let operations = [".send_task_success(", ".send_task_failure("];
    assert_eq!(files_with(&operations), ["callback-aws/src/tasks.rs"]);
}

#[test]
fn a_token_is_exposed_to_step_functions_only() {
    let exposed = files_with(&[".expose()", "::expose", "expose_secret()"]);
    assert_eq!(exposed, ["callback-aws/src/tasks.rs", "callback/src/token.rs"]);
}
