//! Any command and any nodes, reported on: see `hostile::report`.
#![no_main]

use hostile::report::{Reads, check};

libfuzzer_sys::fuzz_target!(|input: &[u8]| check(&Reads::from_bytes(input)));
