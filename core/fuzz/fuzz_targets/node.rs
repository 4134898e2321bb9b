//! libFuzzer's entry; the body is in `src/node.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hedgerow_fuzz::node::run(data));
