//! `mutations`: shows that the simulation finds defects. Puts each deliberate one into a copy of
//! `callback`, and expects a history that breaks a rule.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use simulation::mutations::{ALL, Mutation};

const USAGE: &str = "\
usage: mutations [NAME…]

Applies these mutations, or all, one at a time. SEEDS (default 2000) is how many histories may run
until one breaks a rule.";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut mutations = Vec::new();
    for name in env::args().skip(1) {
        let unknown = || format!("there is no mutation `{name}`\n\n{USAGE}");
        mutations.push(Mutation::named(&name).ok_or_else(unknown)?);
    }
    if mutations.is_empty() {
        mutations = ALL.iter().collect();
    }
    let copy = Copy::make()?;
    let mut survived = 0;
    for mutation in &mutations {
        match copy.history_that_breaks_a_rule(mutation)? {
            Some(line) if line.contains(mutation.rule) => {
                println!("caught   {}: {line}", mutation.name);
            }
            Some(line) => {
                println!("caught   {}: {line} (listed: {})", mutation.name, mutation.rule);
            }
            None => {
                println!("SURVIVED {}", mutation.name);
                survived += 1;
            }
        }
    }
    println!("{} mutations, {survived} survived", mutations.len());
    Ok(if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A workspace of `callback` and the simulation alone, with its own directory for what is built.
struct Copy {
    root: PathBuf,
    target: PathBuf,
    seeds: String,
}

impl Copy {
    fn make() -> Result<Self, Box<dyn Error>> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let target = env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
        let folder = workspace.join(target).join("mutations");
        let root = folder.join("tree");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        for package in ["crates/callback", "tests/simulation"] {
            copy_folder(&workspace.join(package), &root.join(package))?;
        }
        fs::copy(workspace.join("Cargo.lock"), root.join("Cargo.lock"))?;
        let manifest = fs::read_to_string(workspace.join("Cargo.toml"))?;
        let lines = manifest.lines().map(|line| match line {
            line if line.starts_with("members = ") => {
                "members = [\"crates/callback\", \"tests/simulation\"]"
            }
            line if line.starts_with("default-members = ") => "",
            line => line,
        });
        fs::write(root.join("Cargo.toml"), lines.collect::<Vec<_>>().join("\n"))?;
        let seeds = env::var("SEEDS").unwrap_or_else(|_| "2000".to_owned());
        Ok(Self { root, target: folder.join("build"), seeds })
    }

    /// What the simulation prints when it finds the mutation.
    fn history_that_breaks_a_rule(
        &self,
        mutation: &Mutation,
    ) -> Result<Option<String>, Box<dyn Error>> {
        let mutated = mutation.apply(&self.root)?;
        let path = mutation.path(&self.root);
        let original = fs::read(&path)?;
        fs::write(&path, mutated)?;
        let built = Command::new("cargo")
            .args(["build", "--quiet", "--offline", "--package", "simulation", "--bin", "simulate"])
            .env("CARGO_TARGET_DIR", &self.target)
            .current_dir(&self.root)
            .output()?;
        fs::write(&path, original)?;
        if !built.status.success() {
            let errors = String::from_utf8_lossy(&built.stderr);
            return Err(format!("{errors}\nmutation {} does not compile", mutation.name).into());
        }
        let found = Command::new(self.target.join("debug/simulate"))
            .args(["--seeds", &self.seeds, "--shrink", "no"])
            .output()?;
        if found.status.success() {
            return Ok(None);
        }
        let printed = String::from_utf8_lossy(&found.stdout);
        let broken = printed.lines().find(|line| line.contains("BROKEN"));
        let failed = || format!("mutation {}: the simulation failed: {found:?}", mutation.name);
        Ok(Some(broken.ok_or_else(failed)?.to_owned()))
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
