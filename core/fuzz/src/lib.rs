//! What arbitrary bytes, events and calls must not do to the core.
//!
//! Each target is a module with a function `run` from bytes to nothing: it panics where a promise
//! is broken. `fuzz_targets/` hands libFuzzer's bytes to it; `tests/replay.rs` hands it `seeds/`
//! and `regressions/`, on the stable compiler. Structured input is read front to back, one byte
//! or a few at a time, so that seeds can be written by hand and a mutation stays local.

pub mod adverts;
pub mod bus_frames;
pub mod control;
pub mod headers;
pub mod link;
pub mod node;
pub mod packets;
pub mod pair;
pub mod reassembly;
pub mod session;

pub mod glass;
pub mod input;
pub mod mesh;
pub mod people;
pub mod siege;
mod streams;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As in `cargo fuzz run NAME`.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 10] = [
    Target { name: "headers", run: headers::run },
    Target { name: "control", run: control::run },
    Target { name: "adverts", run: adverts::run },
    Target { name: "bus_frames", run: bus_frames::run },
    Target { name: "reassembly", run: reassembly::run },
    Target { name: "link", run: link::run },
    Target { name: "packets", run: packets::run },
    Target { name: "node", run: node::run },
    Target { name: "session", run: session::run },
    Target { name: "pair", run: pair::run },
];
