//! libFuzzer's entry; the body is in `src/headers.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hedgerow_fuzz::headers::run(data));
