//! A pure link emulator: what one direction of a link does to what is sent on it.
//!
//! A [`Pipe`] has no clock, no thread and no randomness of its own. Time is an input: `now` is
//! the [`Duration`] since an epoch of the caller's choice. Chance comes
//! from a seed. So the same calls give the same results, in a simulator's virtual time as in a
//! runtime's.
//!
//! ```
//! use core::time::Duration;
//! use hedgerow_netem::{Pipe, Shape, Verdict};
//!
//! let mut pipe = Pipe::new(Shape::slow_radio(), 7);
//! let now = Duration::ZERO;
//! assert_eq!(pipe.send(now, 200, "hello"), Verdict::Queued);
//!
//! // 200 bytes at 20 KB/s, and 30 ms through the air.
//! let arrival = pipe.next_timeout().unwrap();
//! assert_eq!(arrival, Duration::from_millis(40));
//! assert_eq!(pipe.poll(now), None);
//! assert_eq!(pipe.poll(arrival), Some("hello"));
//! ```
//!
//! A pipe is one direction, so cutting one of two makes a link that only one end can hear. What
//! a carrier makes of loss, disorder and damage is its own affair: a datagram is gone or broken, a
//! stream is late or over.
//!
//! Times are kept in whole microseconds: a fraction in `now` is cut off, what the pipe computes
//! is rounded up.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod chance;
mod fate;
mod line;
mod pipe;
mod shape;

use core::time::Duration;

pub use fate::Damage;
pub use pipe::{Arrival, Counters, Pipe, Verdict};
pub use shape::{Burst, PPM, Shape};

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn micros_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}
