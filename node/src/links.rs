//! What a node shows of its links and transports.

use std::time::Duration;

use hedgerow_core::dial;
use hedgerow_core::id::{Address, TransportId};
use hedgerow_core::io::{ApproximateDistance, Condition, ConnectionType};
use hedgerow_core::node::LinkView;
use hedgerow_core::time::Instant;

pub use hedgerow_core::link::LinkState;

/// One link to a neighbour, up or coming up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Link {
    /// Who is there, once the handshake is done.
    pub peer_key_string: Option<String>,
    /// The medium.
    pub transport: ConnectionType,
    /// What the link does now.
    pub state: LinkState,
    /// The other end, in the transport's own notation.
    pub endpoint: String,
    /// The smoothed round trip, once the link is up.
    pub rtt: Option<Duration>,
    /// The least round trip lately: what the cost follows.
    pub rtt_min: Option<Duration>,
    /// What the link costs now, as routes count it: microseconds for 1,280 bytes. A link in doubt
    /// costs a minute more.
    pub cost: u64,
    /// The share of fragments lost, where the link counts them; a link over a reliable medium
    /// loses none and shows none.
    pub loss: Option<f64>,
    /// Bytes a second sent over the last second.
    pub rate_bytes_per_s: u64,
    /// Bytes sent since it came up, with everything that Hedgerow adds; without what the medium
    /// adds.
    pub bytes_sent: u64,
    /// Bytes received since it came up, counted in the same way.
    pub bytes_received: u64,
    /// About how far away the other end is, in metres, where the transport knows it: as
    /// [`crate::Connection::approximate_distance_in_meters`].
    pub approximate_distance_in_meters: Option<f64>,
    /// Bytes of relayed frames that wait.
    pub queued_bytes: usize,
    /// Adverts that this neighbour does not have yet, if this link carries them.
    pub adverts_waiting: usize,
    /// Bytes that adverts and comparing them took on the way to this neighbour, if this link
    /// carries them now.
    pub advert_bytes_sent: u64,
    /// Time since it came up.
    pub age: Duration,
    /// Whether it carries data; a link that does not is ready to.
    pub is_active: bool,
    /// Why the link before it to the same peer over the same transport ended.
    pub last_close: Option<String>,
}

impl Link {
    pub(crate) fn from_view(view: LinkView) -> Self {
        Self {
            peer_key_string: view.peer.map(|peer| peer.to_string()),
            transport: view.kind,
            state: view.state,
            endpoint: view.endpoint.to_string(),
            rtt: view.rtt,
            rtt_min: view.rtt_min,
            cost: view.cost.value(),
            loss: None,
            rate_bytes_per_s: view.rate_bytes_per_s,
            bytes_sent: view.bytes_sent,
            bytes_received: view.bytes_received,
            approximate_distance_in_meters: view.distance.map(metres),
            queued_bytes: view.queued_bytes,
            adverts_waiting: view.adverts_waiting,
            advert_bytes_sent: view.sync.bytes_sent,
            age: view.age,
            is_active: view.is_active,
            last_close: view.last_close.map(|end| end.to_string()),
        }
    }
}

/// A distance as the public types show it.
pub(crate) fn metres(distance: ApproximateDistance) -> f64 {
    f64::from(distance.centimetres()) / 100.0
}

/// Somebody who is near and cannot join: another network, another secret, another version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stranger {
    /// The medium.
    pub transport: ConnectionType,
    /// Where it was met last, in the transport's own notation.
    pub endpoint: String,
    /// Why it cannot join, and what to do if it should.
    pub reason: String,
    /// How often it was met: a node with a wrong secret tries again and again.
    pub count: u64,
    /// How long ago that was last.
    pub last_seen: Duration,
    /// Whether one of both tried to make a link; otherwise it only showed itself.
    pub tried: bool,
}

/// A place that does not lead to its peer for now: the last dial there failed, or the last link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The medium.
    pub transport: ConnectionType,
    /// What was dialled, in the transport's own notation.
    pub endpoint: String,
    /// Whose it is, by its beacon or an earlier link.
    pub address: Option<Address>,
    /// Why it failed last.
    pub reason: String,
    /// How often it has failed since a link to it lasted.
    pub failures: u32,
    /// When it is dialled again at the earliest, from now; `None` while it is being dialled.
    pub next_try: Option<Duration>,
}

impl Refusal {
    pub(crate) fn from_view(now: Instant, transport: ConnectionType, view: dial::Refusal) -> Self {
        Self {
            transport,
            endpoint: view.endpoint.to_string(),
            address: view.address,
            reason: view.reason.to_string(),
            failures: view.failures,
            next_try: view.next_try.map(|at| at.since(now)),
        }
    }
}

/// A transport and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportStatus {
    /// Its number in this node.
    pub id: TransportId,
    /// The medium.
    pub kind: ConnectionType,
    /// How it is, and what to do if it is not well.
    pub condition: Condition,
}
