//! What one direction of a link is like.

use core::time::Duration;

/// A certainty, in parts per million.
pub const PPM: u32 = 1_000_000;

/// What one direction of a link is like: how fast, how far, how lossy.
///
/// Start from a preset and change what matters:
///
/// ```
/// use hedgerow_netem::Shape;
/// let shape = Shape { loss_ppm: 20_000, ..Shape::slow_radio() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// From the last bit sent to the last bit received, at least.
    pub delay: Duration,
    /// The most that chance adds to the delay; every value up to it is equally likely. What is
    /// sent later never arrives earlier.
    pub jitter: Duration,
    /// Bytes the line carries a second, at least 1; `None` for a line that takes no time.
    pub rate_bytes_per_s: Option<u64>,
    /// Items of a million that are lost, each by itself; at most [`PPM`]. A lost item takes its
    /// time on the line all the same.
    pub loss_ppm: u32,
    /// The largest item, in bytes; `None` for no limit.
    pub mtu_bytes: Option<usize>,
    /// Bytes that may wait for the line, with the rest of the one it carries. An item larger
    /// than that is taken by an idle line, so that nothing jams. Without a rate nothing waits.
    pub queue_bytes_max: usize,
}

impl Shape {
    /// A link that is not there: no delay, no limit, no loss.
    #[must_use]
    pub const fn perfect() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate_bytes_per_s: None,
            loss_ppm: 0,
            mtu_bytes: None,
            queue_bytes_max: 256 * 1_024,
        }
    }

    /// A good local network: 100 MB/s, 300 us and up to 100 us more.
    #[must_use]
    pub const fn lan() -> Self {
        Self {
            delay: Duration::from_micros(300),
            jitter: Duration::from_micros(100),
            rate_bytes_per_s: Some(100_000_000),
            loss_ppm: 0,
            mtu_bytes: None,
            // 2.6 ms: a socket's buffer, and more than a timer's granularity.
            queue_bytes_max: 256 * 1_024,
        }
    }

    /// A radio like Bluetooth LE with write commands: 20 KB/s, 30 ms.
    #[must_use]
    pub const fn slow_radio() -> Self {
        Self {
            delay: Duration::from_millis(30),
            jitter: Duration::ZERO,
            rate_bytes_per_s: Some(20_000),
            loss_ppm: 0,
            mtu_bytes: None,
            // A frame of 1,280 bytes with its header, and 6 ms more so that the line never
            // idles while the sender wakes up. Anything above is latency.
            queue_bytes_max: 1_280 + 256,
        }
    }
}
