//! Any command and any nodes, reported on: see `checks::report`.
#![no_main]

use checks::report::{Reads, check};

libfuzzer_sys::fuzz_target!(|input: &[u8]| check(&Reads::from_bytes(input)));
