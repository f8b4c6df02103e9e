//! Any bytes as an event: see `hostile::event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hostile::event::check(input));
