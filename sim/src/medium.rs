//! What a medium is like: how its links carry, how long sightings and dials take.

use hedgerow_core::io::{ConnectionType, Dialling, LinkEstimate, LinkShape, TransportProfile};
use hedgerow_core::time::Duration;
use hedgerow_netem::Shape;

/// A medium, and what a driver on it promises.
#[derive(Clone, Debug)]
pub struct Medium {
    /// What drivers tell the core: the name in the graph, slots, dials at once.
    pub profile: TransportProfile,
    /// What one direction of a link does. A stream-shaped link is kept reliable and in order, so
    /// what is lost on it comes later ([`Medium::repeat_after`]).
    pub shape: Shape,
    /// How a link takes bytes from the core.
    pub link_shape: LinkShape,
    /// What is promised of a link before anything is measured.
    pub estimate: LinkEstimate,
    /// Who comes into reach is seen within this, by chance.
    pub sighted_within: Duration,
    /// Who is out of reach is reported lost after this.
    pub sighting_kept: Duration,
    /// What a dial takes, and up to as much more by chance.
    pub dial: Duration,
    /// A link out of reach is reported lost after this, as a radio's supervision does; `None`: it
    /// only goes silent, as TCP does.
    pub supervision: Option<Duration>,
    /// A lost piece of a stream is sent again after this.
    pub repeat_after: Duration,
    /// The most bytes of one direction that are under way: a receiver that does not read holds
    /// its sender back.
    pub window_bytes: usize,
}

impl Medium {
    /// Like a good local network with TCP: 100 MB/s, 0.3 to 0.4 ms one way, many links.
    #[must_use]
    pub fn lan() -> Self {
        let shape = Shape::lan();
        Self {
            profile: TransportProfile {
                kind: ConnectionType::AccessPoint,
                links_max: 64,
                dials_max: 8,
                dial_timeout: Duration::from_secs(5),
                dialled: Dialling::InSight,
            },
            link_shape: LinkShape::Stream { chunk_bytes: 66_000, frame_bytes_max: 65_536 },
            estimate: LinkEstimate { rate_bytes_per_s: 100_000_000, delay: shape.delay },
            shape,
            sighted_within: Duration::from_millis(200),
            sighting_kept: Duration::from_secs(10),
            dial: Duration::from_micros(600),
            supervision: None,
            repeat_after: Duration::from_millis(200),
            window_bytes: 1024 * 1024,
        }
    }

    /// Like Bluetooth LE: 20 KB/s, 30 ms one way, and no more than `slots` links.
    #[must_use]
    pub fn radio(slots: usize) -> Self {
        let shape = Shape::slow_radio();
        Self {
            profile: TransportProfile {
                kind: ConnectionType::Bluetooth,
                links_max: slots,
                dials_max: 1,
                dial_timeout: Duration::from_secs(5),
                dialled: Dialling::InSight,
            },
            link_shape: LinkShape::Stream { chunk_bytes: 1_344, frame_bytes_max: 1_280 },
            estimate: LinkEstimate { rate_bytes_per_s: 20_000, delay: shape.delay },
            shape,
            sighted_within: Duration::from_secs(1),
            sighting_kept: Duration::from_secs(10),
            dial: Duration::from_millis(150),
            supervision: Some(Duration::from_secs(5)),
            repeat_after: Duration::from_millis(100),
            window_bytes: 8 * 1024,
        }
    }

    /// Like Wi-Fi Direct: 10 MB/s, 3 ms one way, and no more than `slots` links, dialled on demand,
    /// which takes 2 to 4 s.
    #[must_use]
    pub fn group(slots: usize) -> Self {
        let delay = Duration::from_millis(3);
        let shape = Shape { delay, rate_bytes_per_s: Some(10_000_000), ..Shape::lan() };
        let estimate = LinkEstimate { rate_bytes_per_s: 10_000_000, delay };
        Self {
            profile: TransportProfile {
                kind: ConnectionType::P2PWiFi,
                links_max: slots,
                dials_max: 1,
                dial_timeout: Duration::from_secs(30),
                dialled: Dialling::OnDemand { promise: estimate },
            },
            shape,
            estimate,
            sighted_within: Duration::from_secs(2),
            dial: Duration::from_secs(2),
            supervision: Some(Duration::from_secs(5)),
            ..Self::lan()
        }
    }

    /// The same with this many links at once.
    #[must_use]
    pub fn with_slots(mut self, slots: usize) -> Self {
        self.profile.links_max = slots;
        self
    }

    /// The most bytes one transmit of a link takes.
    pub(crate) fn chunk_bytes(&self) -> usize {
        let LinkShape::Stream { chunk_bytes, frame_bytes_max } = self.link_shape else {
            unreachable!("links are stream-shaped in this version")
        };
        chunk_bytes.max(frame_bytes_max + hedgerow_core::wire::frame::DATA_OVERHEAD_BYTES)
    }
}
