//! libFuzzer's entry; the body is in `src/packets.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hedgerow_fuzz::packets::run(data));
