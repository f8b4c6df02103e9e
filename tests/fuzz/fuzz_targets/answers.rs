//! Any bytes as the answers of AWS: see `checks::answers`.
#![no_main]

use checks::answers::{Answers, check};

libfuzzer_sys::fuzz_target!(|input: &[u8]| check(&Answers::from_bytes(input)));
