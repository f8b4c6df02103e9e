//! Whoever has assumed a role is held to its policies, and a refusal has the shape that SDKs read.

use std::path::Path;
use std::process::Command;

use crate::running::{Running, python};

#[test]
fn a_role_reads_what_its_policy_names_and_nothing_else() {
    let running = Running::start(&["--enforce-policies"]);
    let ready = running.process.ready();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox/reader.py");
    let output = Command::new(python())
        .arg(program)
        .args([&ready.endpoint, &ready.access_key_id, &ready.secret_access_key])
        .output()
        .expect("Python starts");
    let told = String::from_utf8_lossy(&output.stdout);
    // None of its own things is there: that is what it is told.
    let expected = "\
DescribeStacks: ValidationError, AccessDenied
DescribeAlarms: done, AccessDenied
in CBOR: done, AccessDenied
GetRole: NoSuchEntity, AccessDenied
GetFunction: ResourceNotFoundException, AccessDeniedException
HeadBucket: 404, 403
GetQueueAttributes: AWS.SimpleQueueService.NonExistentQueue, AccessDenied
DescribeDocument: InvalidDocument, AccessDeniedException
arn:aws:sts::123456789012:assumed-role/reader/me
InvalidSignatureException
";
    assert_eq!(told, expected, "{}", String::from_utf8_lossy(&output.stderr));
}
