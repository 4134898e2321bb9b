//! What a node gives to its host: commands for the drivers, and news.

use alloc::vec::Vec;

use crate::advert::Refusal;
use crate::bus::BusEvent;
use crate::id::{BootEpoch, Instance, LinkId, PeerKey, TransportId};
use crate::io::{Condition, ConnectionType, DialFailure, Endpoint, TransportCommand};
use crate::link::LinkEnd;
use crate::presence::Change;
use crate::time::Duration;

/// What a node gives to its host.
#[derive(Debug)]
pub enum Output {
    /// For a driver to carry out.
    Command(TransportId, TransportCommand),
    /// For the host and its applications to know.
    Event(Event),
}

/// Something the host may want to know. Events wait in a bounded ring and never carry message
/// data.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The graph changed.
    Presence(Change),
    /// A session, message or stream has news.
    Bus(BusEvent),
    /// A trace has news.
    Trace(TraceEvent),
    /// A transport's condition changed.
    Transport(TransportId, Condition),
    /// A link's handshake showed who is there.
    LinkUp {
        /// The link.
        link: LinkId,
        /// Who is there.
        peer: PeerKey,
        /// Where.
        endpoint: Endpoint,
    },
    /// A link is over.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Who was there, if the handshake got so far.
        peer: Option<PeerKey>,
        /// Where.
        endpoint: Endpoint,
        /// Why.
        end: LinkEnd,
    },
    /// A dial came to nothing; it will be tried again after a back-off.
    DialFailed {
        /// On which transport.
        transport: TransportId,
        /// Where.
        endpoint: Endpoint,
        /// Why.
        reason: DialFailure,
    },
    /// So many accepted links wait for the end of their handshakes that the oldest ones of the
    /// host that has most of them are closed. Told once in a while, not for each.
    Crowded {
        /// On which transport.
        transport: TransportId,
        /// One of those that were closed.
        endpoint: Endpoint,
    },
    /// A newcomer was turned away: all links of the transport are taken.
    TurnedAway {
        /// On which transport.
        transport: TransportId,
        /// Where it is.
        endpoint: Endpoint,
    },
    /// A peer's metadata is not fetched: it is too large, or the cache is full.
    MetadataRefused {
        /// Whose.
        owner: PeerKey,
        /// How large it is said to be.
        bytes: usize,
    },
    /// A neighbour offers adverts that are not taken. Told once in a while, not for each.
    AdvertRefused {
        /// Who offers.
        from: PeerKey,
        /// Why the last one was not taken.
        refusal: Refusal,
    },
    /// This node stepped above an older run of itself. The host persists the epoch. Never lost: of
    /// several, the newest is told.
    EpochStepped(BootEpoch),
    /// Another live node uses this node's key. Nothing good comes of it: give one a new key.
    DuplicateKey {
        /// Its run, if its words were heard.
        instance: Option<Instance>,
    },
    /// Two peers share an address: both are unroutable.
    AddressCollision(Vec<PeerKey>),
    /// So many events were lost because the host did not take them in time, but none of the Bus, no
    /// end of a trace and no epoch. Among them is every change of the graph until now: look at it
    /// again, at once. The changes that are told from here on come after what it says.
    Overflow(u64),
}

/// The number of a trace while it is under way; random, as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub u32);

/// News of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// One more hop, in order from 1.
    Hop {
        /// Which trace.
        trace: TraceId,
        /// Hops from here.
        number: u8,
        /// What the hop tells of itself; `None`: it kept silent, as nodes of older builds do.
        hop: Option<TraceHop>,
    },
    /// A trace is over. Every trace gets exactly one, unless it is cancelled; none is ever lost.
    Done {
        /// Which trace.
        trace: TraceId,
        /// How it ended.
        end: TraceEnd,
    },
}

/// What a hop tells of itself. Nobody but the links on the way vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHop {
    /// Who it is.
    pub peer: PeerKey,
    /// The medium of the link by which it was reached.
    pub kind: ConnectionType,
    /// From when the question left this node to when the answer was here.
    pub rtt: Duration,
    /// How much of that the hop says it needed itself.
    pub held: Duration,
}

/// How a trace ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceEnd {
    /// The peer answered.
    Arrived,
    /// The peer did not answer over as many hops as a frame to it may take.
    NoAnswer,
    /// There is no route to the peer any more.
    NoRoute,
}
