//! Any text in the parameters of our documents: see `checks::documents`.
#![no_main]

use checks::documents::{Request, check};

libfuzzer_sys::fuzz_target!(|input: &[u8]| check(&Request::from_bytes(input)));
