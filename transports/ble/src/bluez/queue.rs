//! What the system holds of a channel's packets that are not on the air yet.
//!
//! What is urgent waits for all of it, so it is as much as the link carries in a short time, and
//! follows the rate: 50 ms of 60 KB/s are a packet and a half, of 1 MB/s they are 24. A queue of one
//! length for all would be too long for the former or starve the latter.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::time::Instant;

/// How long what waits may take.
const DRAIN: Duration = Duration::from_millis(50);
/// Over so long a rate is measured.
const WINDOW: Duration = Duration::from_millis(100);
/// After so many bytes the clock is looked at.
const LOOK_EVERY: u64 = 8 * 1_024;
/// The system counts up to so many bytes for one of ours, as it cuts packets and keeps books, and
/// doubles the number that it is told.
const UPKEEP: u64 = 4;
const DOUBLED: u64 = 2;
/// Four packets of 2,048 bytes. Channels stall where not even two fit.
const BYTES_MIN: u64 = 16 * 1_024;
/// About what the system gives by itself.
const BYTES_MAX: u64 = 104 * 1_024;

/// The queue of one channel.
#[derive(Debug)]
pub(super) struct Queue {
    /// The channel's socket, once more: its own type has no way to this option.
    socket: OwnedFd,
    length: Mutex<Length>,
}

impl Queue {
    /// Takes a channel's queue in hand.
    ///
    /// # Errors
    /// Where the system does not allow it, before Linux 5.6 or in a sandbox, the channel works with
    /// what it has.
    pub(super) fn of(channel: &impl AsRawFd) -> io::Result<Self> {
        let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
        let socket = pidfd_getfd(ourselves, channel.as_raw_fd(), PidfdGetfdFlags::empty())?;
        let queue = Self { socket, length: Mutex::new(Length::new(Instant::now())) };
        queue.set(BYTES_MIN)?;
        Ok(queue)
    }

    /// A packet was put into it.
    pub(super) fn on_sent(&self, bytes: usize) -> io::Result<()> {
        let mut length = self.length.lock().unwrap_or_else(PoisonError::into_inner);
        length.on_sent(Instant::now, bytes).map_or(Ok(()), |bytes| self.set(bytes))
    }

    fn set(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(set_socket_send_buffer_size(&self.socket, bytes)?)
    }
}

/// How long a queue should be.
#[derive(Debug)]
struct Length {
    since: Instant,
    sent: u64,
    /// What of it was sent since the clock was read, which costs more than counting.
    unlooked: u64,
    bytes: u64,
}

impl Length {
    fn new(now: Instant) -> Self {
        Self { since: now, sent: 0, unlooked: 0, bytes: BYTES_MIN }
    }

    /// Counts a packet; the length if it is another one now.
    fn on_sent(&mut self, clock: impl FnOnce() -> Instant, bytes: usize) -> Option<u64> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.sent = self.sent.saturating_add(bytes);
        self.unlooked = self.unlooked.saturating_add(bytes);
        if self.unlooked < LOOK_EVERY {
            return None;
        }
        self.unlooked = 0;
        let now = clock();
        let time = now.duration_since(self.since);
        if time < WINDOW {
            return None;
        }
        let sent = std::mem::take(&mut self.sent) as f64;
        self.since = now;
        let drained = sent / time.as_secs_f64() * DRAIN.as_secs_f64();
        let wanted = (drained as u64 * UPKEEP / DOUBLED).clamp(BYTES_MIN, BYTES_MAX);
        // Small changes are not worth a call.
        let is_other = wanted > self.bytes + self.bytes / 4 || wanted < self.bytes - self.bytes / 4;
        is_other.then(|| std::mem::replace(&mut self.bytes, wanted)).map(|_| wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use rustix::net::sockopt::socket_send_buffer_size;

    use super::*;

    /// The length after two seconds of packets of 2,048 bytes at a rate.
    fn length_at(length: &mut Length, bytes_per_s: u64) -> u64 {
        let (begin, mut told) = (length.since, length.bytes);
        let packets = bytes_per_s * 2 / 2_048;
        for number in 1..=packets {
            let at = begin + Duration::from_secs(2).mul_f64(number as f64 / packets as f64);
            told = length.on_sent(|| at, 2_048).unwrap_or(told);
        }
        told
    }

    #[test]
    fn the_queue_follows_the_rate_within_its_limits() {
        let mut length = Length::new(Instant::now());
        assert_eq!(length_at(&mut length, 60_000), BYTES_MIN);
        let fast = length_at(&mut length, 600_000);
        assert!((55_000..65_000).contains(&fast), "{fast}");
        assert_eq!(length_at(&mut length, 10_000_000), BYTES_MAX);
        assert_eq!(length_at(&mut length, 60_000), BYTES_MIN);
    }

    #[test]
    fn a_sockets_own_queue_is_set() {
        let (socket, _far) = UnixDatagram::pair().unwrap();
        let queue = Queue::of(&socket).unwrap();
        assert_eq!(socket_send_buffer_size(&socket).unwrap() as u64, BYTES_MIN * DOUBLED);
        queue.set(2 * BYTES_MIN).unwrap();
        assert_eq!(socket_send_buffer_size(&socket).unwrap() as u64, 2 * BYTES_MIN * DOUBLED);
    }
}
