//! Each correction of moto is needed, and works.

use std::path::Path;
use std::process::Command;

use crate::running::python;

#[test]
fn each_correction_of_moto_is_needed_and_works() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("moto/tests");
    let mut command = Command::new(python());
    command.args(["-m", "unittest", "discover"]).arg(tests);
    let output = command.output().expect("Python starts");
    let told = String::from_utf8_lossy(&output.stderr);
    // A suite without tests succeeds, too.
    assert!(output.status.success() && !told.contains("Ran 0 tests"), "{told}");
}
