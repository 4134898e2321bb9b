//! The air that nodes share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use hedgerow_core::limits::{PACKET_BYTES_MAX, PACKET_BYTES_MIN};
use hedgerow_driver::ConnectionType;
use hedgerow_netem::Shape;

use crate::air::{Air, NoReach};
use crate::driver::Memory;

/// An air that nodes share; clones are the same air.
///
/// Nodes are named by their creator. What is said of a name holds whether or not a node is
/// attached under it, and stays when the node restarts. Order does not matter in a pair.
#[derive(Clone)]
pub struct Medium {
    kind: ConnectionType,
    air: Arc<Mutex<Air>>,
}

impl Medium {
    /// A medium that the graph shows as `Memory`.
    #[must_use]
    pub fn new() -> Self {
        Self::named("Memory")
    }

    /// A medium that the graph shows as `name`, cut at 16 bytes.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { kind: ConnectionType::other(name), air: Arc::default() }
    }

    /// The driver that attaches a node as `name`; it is on the medium while the driver runs.
    #[must_use]
    pub fn driver(&self, name: &str) -> Memory {
        Memory::new(self.clone(), name)
    }

    /// What the graph shows.
    #[must_use]
    pub fn kind(&self) -> &ConnectionType {
        &self.kind
    }

    /// Puts `a` and `b` in reach of each other: each sights the other while it advertises.
    ///
    /// `shape` holds in both directions, for links that are made from now on. With an MTU, of 20
    /// to 2,048 bytes, they are packet-shaped with packets of at most that, and loss, doubling,
    /// disorder and damage befall those; without one they are streams, and it must be
    /// [faithful](Shape::is_faithful). Its queue should hold a chunk of 60 ms and some
    /// milliseconds more, or two packets, as those of the presets do, or the line idles while the
    /// driver wakes up. Without a rate the queue and one chunk are what each direction holds, so
    /// they and the delay bound the speed. Ends [`Medium::disconnect`] and [`Medium::silence`].
    ///
    /// # Errors
    /// [`ConnectError`]; nothing has changed then.
    pub fn connect(&self, a: &str, b: &str, shape: Shape) -> Result<(), ConnectError> {
        if a == b {
            return Err(ConnectError::Itself);
        }
        if shape.rate_bytes_per_s == Some(0) {
            return Err(ConnectError::Standstill);
        }
        if !shape.is_possible() {
            return Err(ConnectError::Impossible);
        }
        match shape.mtu_bytes {
            Some(mtu_bytes) if !(PACKET_BYTES_MIN..=PACKET_BYTES_MAX).contains(&mtu_bytes) => {
                return Err(ConnectError::Mtu { mtu_bytes });
            }
            None if shape.loss_ppm > 0 => {
                return Err(ConnectError::Lossy { loss_ppm: shape.loss_ppm });
            }
            None if !shape.is_faithful() => return Err(ConnectError::Unfaithful),
            Some(_) | None => {}
        }
        self.air().connect(a, b, shape);
        Ok(())
    }

    /// Takes `a` and `b` out of reach of each other, as if one walked away: their links break
    /// with `TimedOut` at both ends, what is on its way is lost, and each loses sight of the
    /// other. [`Medium::mend`] puts them back.
    ///
    /// # Errors
    /// [`NotConnected`] if they never were in reach.
    pub fn disconnect(&self, a: &str, b: &str) -> Result<(), NotConnected> {
        self.air().disconnect(a, b).map_err(|NoReach| NotConnected::new(a, b))
    }

    /// Silences `a` and `b` for each other: nothing arrives any more, dials get no answer, and
    /// nobody is told. Links stand, and go on where they were when [`Medium::mend`] comes, as a
    /// radio does that repeats until it is heard. Does nothing to a disconnected pair.
    ///
    /// # Errors
    /// [`NotConnected`] if they never were in reach.
    pub fn silence(&self, a: &str, b: &str) -> Result<(), NotConnected> {
        self.air().silence(a, b).map_err(|NoReach| NotConnected::new(a, b))
    }

    /// Ends what [`Medium::disconnect`] or [`Medium::silence`] did; the shape is as before.
    ///
    /// # Errors
    /// [`NotConnected`] if they never were in reach.
    pub fn mend(&self, a: &str, b: &str) -> Result<(), NotConnected> {
        self.air().mend(a, b).map_err(|NoReach| NotConnected::new(a, b))
    }

    pub(crate) fn air(&self) -> MutexGuard<'_, Air> {
        self.air.lock().expect("nobody panics while changing a medium")
    }
}

impl Default for Medium {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Medium").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why two nodes cannot be put in reach of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Links without an MTU are reliable streams, so the shape must not lose anything.
    #[error(
        "streams are reliable, but the shape loses {loss_ppm} of a million: set 0, or an MTU for \
         packets"
    )]
    Lossy {
        /// The shape's loss, in parts per million.
        loss_ppm: u32,
    },
    /// Links without an MTU are reliable streams, so the shape must not lose, double, reorder or
    /// damage anything.
    #[error(
        "streams are reliable: set burst to none, reorder, duplicate and corrupt to 0, or an MTU \
         for packets"
    )]
    Unfaithful,
    /// Packets of this size are too small or too large.
    #[error(
        "packets of {mtu_bytes} bytes: set an MTU from {PACKET_BYTES_MIN} to {PACKET_BYTES_MAX}, \
         or none for streams"
    )]
    Mtu {
        /// The shape's MTU, in bytes.
        mtu_bytes: usize,
    },
    /// A chance of the shape is more than a million of a million.
    #[error("a chance is more than a certainty: set at most 1,000,000 parts of a million")]
    Impossible,
    /// The shape's rate is zero.
    #[error("at 0 bytes a second nothing arrives: give a rate, or silence the pair")]
    Standstill,
    /// Both names are the same.
    #[error("a node cannot be in reach of itself")]
    Itself,
}

/// The two nodes never were in reach of each other, so there is nothing to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{a} and {b} were never connected: check the names, or connect them first")]
pub struct NotConnected {
    a: Box<str>,
    b: Box<str>,
}

impl NotConnected {
    fn new(a: &str, b: &str) -> Self {
        Self { a: a.into(), b: b.into() }
    }
}
