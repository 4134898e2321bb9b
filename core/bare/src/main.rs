//! Proof that the core needs neither std nor an operating system.
//!
//! `runtime` is everything a bare program must bring: an entry point, an allocator, the memory
//! functions that compiled code calls, and a panic handler. `drive` is the program: two whole
//! nodes meet on a virtual `wire`, one message is delivered, and every step is checked. A
//! dependency of the core that pulls in std makes the build fail, because std brings a panic
//! handler of its own.
//!
//! ```text
//! cargo run --release --manifest-path core/bare/Cargo.toml
//! ```

#![no_std]
#![no_main]

extern crate alloc;

mod drive;
mod runtime;
mod wire;

/// What the entry point calls; the result is the exit code.
fn main() -> i32 {
    match drive::drive() {
        Ok(took) => {
            let (took_ms, heap) = (took.as_millis(), runtime::heap_bytes_used());
            runtime::print(format_args!(
                "bare: ok, two nodes met, 1 message delivered, {took_ms} ms of virtual time, \
                 {heap} bytes of heap at peak\n"
            ));
            0
        }
        Err(what) => {
            runtime::print(format_args!("bare: failed: {what}\n"));
            1
        }
    }
}
