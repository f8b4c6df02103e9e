//! Any text in the parameters of our documents: see `hostile::documents`.
#![no_main]

use hostile::documents::{Request, check};

libfuzzer_sys::fuzz_target!(|input: &[u8]| check(&Request::from_bytes(input)));
