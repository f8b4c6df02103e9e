//! What users give to make: it arrives as it is, and none of it is executed.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use sandbox_client::{REGION, Sandbox, python_tool, workspace};

use crate::deploy_script::{fail, user};

#[tokio::test]
async fn nothing_in_a_value_is_executed() {
    let sandbox = Sandbox::shared().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("made");
    let path = path.display();
    let nothing_made = |what: &str| {
        let made: Vec<_> = fs::read_dir(directory.path()).expect("a directory").collect();
        assert!(made.is_empty(), "{what}: {made:?}");
    };
    let values = [
        format!("x'; touch {path}; '"),
        format!("x\"; touch {path}; \""),
        format!("$(touch {path})"),
        format!("$$(touch {path})"),
        format!("`touch {path}`"),
        format!("$(shell touch {path})"),
        format!("$(eval $(shell touch {path}))"),
        format!("; touch {path}"),
        format!("x\ntouch {path}"),
    ];
    // Every target stops for its value before it has built anything.
    let cases = [
        ("destroy", "STACK"),
        ("destroy", "REGION"),
        ("destroy", "CONFIRM"),
        ("destroy", "ALL"),
        ("deploy", "STACK"),
        ("deploy", "BUCKET"),
        ("deploy", "PARAMETERS"),
        ("deploy", "TAGS"),
        ("deploy", "FUNCTIONS"),
        ("deploy", "ARCH"),
        ("build", "ARCH"),
        ("invoke", "EVENT"),
    ];
    for (target, variable) in cases {
        for value in &values {
            let given = format!("{variable}={value}");
            fail(make(&sandbox).args([target, "REGION=somewhere", &given]));
            nothing_made(&format!("make {target} {given}"));
            fail(make(&sandbox).args([target, "REGION=somewhere"]).env(variable, value));
            nothing_made(&format!("{given} make {target}"));
        }
    }
}

#[tokio::test]
async fn a_value_arrives_as_it_is() {
    let sandbox = Sandbox::shared().await;
    let whole = "a$bc$$d$(e)`f`#g\\h*";
    // The quotes are for the script, which splits it into words.
    let value = format!("'{whole}'");
    let told = format!("expected Key=Value pairs in PARAMETERS, got '{whole}'");
    let deploy = |goal: &str| {
        let mut make = make(&sandbox);
        make.args([goal, "STACK=my-stack", &format!("REGION={REGION}"), "BUCKET=sandbox-code"]);
        make
    };
    let said = fail(deploy("deploy").arg(format!("PARAMETERS={value}")));
    assert!(said.contains(&told), "on the command line: {said}");
    let said = fail(deploy("deploy").env("PARAMETERS", &value));
    assert!(said.contains(&told), "in the environment: {said}");

    let outer = tempfile::NamedTempFile::new().expect("a file");
    let recipe = "outer:\n\t@$(MAKE) -f Makefile -o tests-venv deploy\n";
    fs::write(&outer, recipe).expect("a makefile");
    let said = fail(deploy("outer").arg("-f").arg(outer.path()).env("PARAMETERS", &value));
    assert!(said.contains(&told), "through another make: {said}");
}

#[tokio::test]
async fn watch_wants_an_endpoint_and_keys() {
    let sandbox = Sandbox::shared().await;
    // A cargo that watches nothing, should it come to that.
    let programs = tempfile::tempdir().expect("a directory");
    symlink("/bin/false", programs.path().join("cargo")).expect("a link");
    let others = env::var("PATH").expect("programs");
    let path = format!("{}:{others}", programs.path().display());
    for missing in ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"] {
        let said = fail(make(&sandbox).arg("watch").env_remove(missing).env("PATH", &path));
        assert!(said.contains("start `make up`, then `. target/sandbox.env`"), "{said}");
    }
}

/// make as a user of the sandbox runs it, with the tests' Python.
fn make(sandbox: &Sandbox) -> Command {
    let mut make = Command::new("make");
    user(sandbox, &mut make);
    // Those of the make that runs the tests.
    for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "EVENT"] {
        make.env_remove(name);
    }
    make.current_dir(workspace());
    // Nothing is installed here.
    make.args(["-o", "tests-venv"]);
    make.arg(format!("PYTHON={}", python_tool("python").display()));
    make
}
