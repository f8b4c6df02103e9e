//! Any bytes as the answers of AWS: see `hostile::answers`.
#![no_main]

use hostile::answers::{Answers, check};

libfuzzer_sys::fuzz_target!(|input: &[u8]| check(&Answers::from_bytes(input)));
