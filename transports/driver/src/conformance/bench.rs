//! What a driver is tried on.

use std::time::Duration;

use crate::{Driver, Endpoint};

/// One of the two ends of a bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The end that dials first.
    Here,
    /// The other one.
    There,
}

impl End {
    /// `here` or `there`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::There => "there",
        }
    }
}

/// Two places on a medium of their own that reach each other, and drivers for them.
///
/// Everything it made ends when it is dropped.
pub trait Bench {
    /// A driver at `end`. It is asked for again after the one before has ended: a restart.
    fn driver(&mut self, end: End) -> Box<dyn Driver>;

    /// Where the driver at `end`, made before, can be dialled from the other end; `None` where
    /// that is told by a sighting.
    fn endpoint(&self, end: End) -> Option<Endpoint>;

    /// A good endpoint at which nobody is. A dial to it fails.
    fn nowhere(&self) -> Endpoint;

    /// An endpoint at which a dial gets no answer, good or bad, until it is cancelled or
    /// `dial_timeout` is over. Without one, some checks try less.
    fn silent(&mut self) -> Option<Endpoint> {
        None
    }

    /// Text that is no endpoint of this driver.
    fn invalid(&self) -> Endpoint {
        Endpoint::new("\u{0}")
    }

    /// Takes the ends out of reach of each other, so that links between them break.
    fn cut(&mut self);

    /// Ends a cut.
    fn mend(&mut self);

    /// A driver that cannot work at all, if there is such a thing.
    fn hopeless(&mut self) -> Option<Box<dyn Driver>> {
        None
    }

    /// What to expect of the medium.
    fn figures(&self) -> Figures {
        Figures::default()
    }
}

/// What to expect of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Bytes that medium and operating system hold in one direction, at most: the buffers of
    /// both ends and what is on its way.
    pub buffered_bytes_max: usize,
    /// Whether a stream-shaped medium keeps the boundaries of chunks: what is sent as one chunk is
    /// reported as one. Packets always keep theirs.
    pub keeps_boundaries: bool,
    /// Packets of a million that the medium loses, at most, where packets have no order. Twice as
    /// many and a few more may be missing, since chance is chance. So try a bench that loses
    /// nothing, too: what may be lost cannot be told from what is held back.
    pub lost_ppm_max: u32,
    /// Packets of a million that arrive cut or altered, at most, where packets have no order.
    pub changed_ppm_max: u32,
    /// How much is sent in each direction to try the order of bytes, about.
    pub load_bytes: usize,
    /// What does not happen in this time does not happen. A check that fails takes so long.
    pub patience: Duration,
    /// How long is listened for what must not come. Many checks take as long.
    pub quiet: Duration,
}

impl Default for Figures {
    /// A medium that loses nothing and holds a megabyte, tried with 4 MiB; 20 s of patience and
    /// 300 ms of quiet.
    fn default() -> Self {
        Self {
            buffered_bytes_max: 1_000_000,
            keeps_boundaries: false,
            lost_ppm_max: 0,
            changed_ppm_max: 0,
            load_bytes: 4 << 20,
            patience: Duration::from_secs(20),
            quiet: Duration::from_millis(300),
        }
    }
}
