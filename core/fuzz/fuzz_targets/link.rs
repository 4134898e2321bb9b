//! libFuzzer's entry; the body is in `src/link.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hedgerow_fuzz::link::run(data));
