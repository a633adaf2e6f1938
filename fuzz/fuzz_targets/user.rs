#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pairwatch_fuzzing::names::user(bytes));
