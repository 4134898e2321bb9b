//! What one direction of a link is like.

use core::time::Duration;

/// A certainty, in parts per million.
pub const PPM: u32 = 1_000_000;

/// What one direction of a link is like: how fast, how far, how lossy.
///
/// Start from a preset and change what matters:
///
/// ```
/// use hedgerow_netem::{Burst, Shape};
/// // Every hundredth item meets an oven, which swallows nine of ten for four items on average.
/// let burst = Burst { begin_ppm: 10_000, end_ppm: 250_000, loss_ppm: 900_000 };
/// let shape = Shape { loss_ppm: 1_000, burst: Some(burst), ..Shape::slow_radio() };
/// assert!(!shape.is_faithful());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// From the last bit sent to the last bit received, at least.
    pub delay: Duration,
    /// The most that chance adds to the delay; every value up to it is equally likely. What is
    /// sent later never arrives earlier for that.
    pub jitter: Duration,
    /// Bytes the line carries a second, at least 1; `None` for a line that takes no time.
    pub rate_bytes_per_s: Option<u64>,
    /// Items of a million that are lost, each by itself; at most [`PPM`]. A lost item takes its
    /// time on the line all the same.
    pub loss_ppm: u32,
    /// Times at which far more is lost; `None` where every item has the same luck.
    pub burst: Option<Burst>,
    /// Items of a million that others overtake; at most [`PPM`].
    pub reorder_ppm: u32,
    /// The most by which such an item is later than it would have been.
    pub reorder_delay: Duration,
    /// Items of a million that arrive twice; at most [`PPM`]. The second has its own jitter,
    /// lateness and damage, and takes no time on the line.
    pub duplicate_ppm: u32,
    /// Items of a million that arrive damaged; at most [`PPM`].
    pub corrupt_ppm: u32,
    /// The largest item, in bytes; `None` for no limit.
    pub mtu_bytes: Option<usize>,
    /// Bytes that may wait for the line, with the rest of the one it carries. An item larger
    /// than that is taken by an idle line, so that nothing jams. Without a rate nothing waits.
    pub queue_bytes_max: usize,
}

/// Losses that come together: the model of Gilbert and Elliott.
///
/// Each item finds the air fair or foul, and fair air before the first one. In fair air
/// [`Shape::loss_ppm`] are lost. A foul time lasts `PPM / end_ppm` items on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Items of a million with which fair air turns foul; at most [`PPM`].
    pub begin_ppm: u32,
    /// Items of a million with which foul air turns fair; at most [`PPM`].
    pub end_ppm: u32,
    /// Items of a million that are lost in foul air; at most [`PPM`].
    pub loss_ppm: u32,
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
            burst: None,
            reorder_ppm: 0,
            reorder_delay: Duration::ZERO,
            duplicate_ppm: 0,
            corrupt_ppm: 0,
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
            // 2.6 ms: a socket's buffer, and more than a timer's granularity.
            queue_bytes_max: 256 * 1_024,
            ..Self::perfect()
        }
    }

    /// A radio like Bluetooth LE with write commands: 20 KB/s, 30 ms.
    #[must_use]
    pub const fn slow_radio() -> Self {
        Self {
            delay: Duration::from_millis(30),
            rate_bytes_per_s: Some(20_000),
            // A frame of 1,280 bytes with its header, and 6 ms more so that the line never
            // idles while the sender wakes up. Anything above is latency.
            queue_bytes_max: 1_280 + 256,
            ..Self::perfect()
        }
    }

    /// A radio like Bluetooth LE with values of the size that most phones take: packets of 182
    /// bytes, 20 KB/s, 30 ms.
    #[must_use]
    pub const fn bluetooth() -> Self {
        /// An ATT MTU of 185, less the three bytes of its header.
        const VALUE_BYTES: usize = 182;
        Self {
            mtu_bytes: Some(VALUE_BYTES),
            // One that the line carries and one that waits, so that it never idles for 9 ms.
            queue_bytes_max: 2 * VALUE_BYTES,
            ..Self::slow_radio()
        }
    }

    /// Whether no chance is more than a certainty, and the line carries something.
    #[must_use]
    pub const fn is_possible(&self) -> bool {
        let burst_is_possible = match self.burst {
            Some(Burst { begin_ppm, end_ppm, loss_ppm }) => {
                begin_ppm <= PPM && end_ppm <= PPM && loss_ppm <= PPM
            }
            None => true,
        };
        let carries = !matches!(self.rate_bytes_per_s, Some(0));
        burst_is_possible
            && carries
            && self.loss_ppm <= PPM
            && self.reorder_ppm <= PPM
            && self.duplicate_ppm <= PPM
            && self.corrupt_ppm <= PPM
    }

    /// Whether every item that is sent arrives once, unharmed and in order, unless the pipe is
    /// cut.
    #[must_use]
    pub const fn is_faithful(&self) -> bool {
        let is_lossless = match self.burst {
            Some(burst) => burst.begin_ppm == 0 || burst.loss_ppm == 0,
            None => true,
        };
        let is_in_order = self.reorder_ppm == 0 || self.reorder_delay.is_zero();
        is_lossless
            && self.loss_ppm == 0
            && is_in_order
            && self.duplicate_ppm == 0
            && self.corrupt_ppm == 0
    }

    /// # Panics
    /// When a number is out of its range.
    pub(crate) fn check(&self) {
        let Self { rate_bytes_per_s, .. } = self;
        assert!(*rate_bytes_per_s != Some(0), "a line carries at least one byte a second");
        assert!(self.is_possible(), "some parts of a million are more than there are: {self:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_breaks_any_promise_is_not_faithful() {
        for shape in [Shape::perfect(), Shape::lan(), Shape::slow_radio(), Shape::bluetooth()] {
            assert!(shape.is_faithful() && shape.is_possible());
        }
        let burst = Burst { begin_ppm: 1, end_ppm: PPM, loss_ppm: 1 };
        let second = Duration::from_secs(1);
        for shape in [
            Shape { loss_ppm: 1, ..Shape::lan() },
            Shape { burst: Some(burst), ..Shape::lan() },
            Shape { reorder_ppm: 1, reorder_delay: second, ..Shape::lan() },
            Shape { duplicate_ppm: 1, ..Shape::lan() },
            Shape { corrupt_ppm: 1, ..Shape::lan() },
        ] {
            assert!(!shape.is_faithful(), "{shape:?}");
        }
    }
    #[test]
    fn a_shape_that_pipes_refuse_is_not_possible() {
        let over = PPM + 1;
        let burst = Burst { begin_ppm: PPM, end_ppm: PPM, loss_ppm: PPM };
        for shape in [
            Shape { loss_ppm: over, ..Shape::lan() },
            Shape { reorder_ppm: over, ..Shape::lan() },
            Shape { duplicate_ppm: over, ..Shape::lan() },
            Shape { corrupt_ppm: over, ..Shape::lan() },
            Shape { burst: Some(Burst { begin_ppm: over, ..burst }), ..Shape::lan() },
            Shape { burst: Some(Burst { end_ppm: over, ..burst }), ..Shape::lan() },
            Shape { burst: Some(Burst { loss_ppm: over, ..burst }), ..Shape::lan() },
            Shape { rate_bytes_per_s: Some(0), ..Shape::lan() },
        ] {
            assert!(!shape.is_possible(), "{shape:?}");
        }
        assert!(Shape { burst: Some(burst), loss_ppm: PPM, ..Shape::lan() }.is_possible());
    }
}
