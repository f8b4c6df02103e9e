//! The corrections of moto are each needed, and each work.

use std::{path::Path, process::Command};

use crate::running::python;

#[test]
fn each_correction_of_moto_is_needed_and_works() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("moto_quirks_test.py");
    let output = Command::new(python()).arg(tests).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
