//! libFuzzer's entry; the body is in `src/bus_frames.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hedgerow_fuzz::bus_frames::run(data));
