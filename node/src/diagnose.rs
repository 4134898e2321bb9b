//! How well a peer is reached, and by which way: pings and traces.

use std::time::Duration;

use hedgerow_core::bus::{self, PingFailure, SessionEnd};
use hedgerow_core::id::PeerKey;
use hedgerow_core::io::ConnectionType;
pub use hedgerow_core::node::TraceEnd;
use hedgerow_core::node::{self as core, TraceHop};
use tokio::sync::mpsc;

use crate::mesh::{Mesh, MeshClosed};
use crate::runtime::{Call, TraceNews};

/// How long [`Mesh::ping`] waits for a path, a session and the answer.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// What the node gets beyond that to say itself why there is no answer.
const GRACE: Duration = Duration::from_secs(1);

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// From when the packet left this node to when the answer was here.
    pub rtt: Duration,
    /// Hops to the peer when the answer came; a neighbour is 1.
    pub hops: u8,
}

impl Pong {
    pub(crate) fn new(rtt: Duration, hops: u8) -> Self {
        Self { rtt, hops }
    }
}

/// Why a ping has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// No route to the peer, or no session with it, in time.
    #[error("no route to the peer in time; is it running, in the same network and in reach?")]
    NoRoute,
    /// No answer in time.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The packet or the answer was lost on the way; pings are not repeated.
    #[error("the ping or its answer was lost on the way; try again")]
    Lost,
    /// The peer restarted meanwhile.
    #[error("the peer restarted; try again")]
    PeerRestarted,
    /// The connection to the peer was gone for too long.
    #[error("the peer was lost")]
    PeerLost,
    /// One side closed the session.
    #[error("the session was closed")]
    Closed,
    /// No session with the peer is possible.
    #[error("no session with this peer is possible now")]
    Refused,
    /// Too many pings are under way.
    #[error("no more than {limit} pings at once; wait for some")]
    TooMany {
        /// How many are admitted.
        limit: usize,
    },
    /// The node has shut down.
    #[error(transparent)]
    MeshClosed(#[from] MeshClosed),
}

impl From<bus::PingError> for PingError {
    fn from(error: bus::PingError) -> Self {
        match error {
            bus::PingError::TooMany { limit } => Self::TooMany { limit },
            bus::PingError::Closed => Self::MeshClosed(MeshClosed),
            _ => Self::Refused,
        }
    }
}

impl From<PingFailure> for PingError {
    fn from(failure: PingFailure) -> Self {
        match failure {
            PingFailure::NoRoute => Self::NoRoute,
            PingFailure::Lost => Self::Lost,
            PingFailure::SessionEnded(SessionEnd::PeerRestarted) => Self::PeerRestarted,
            PingFailure::SessionEnded(SessionEnd::PeerLost) => Self::PeerLost,
            PingFailure::SessionEnded(_) => Self::Closed,
            _ => Self::TimedOut,
        }
    }
}

/// Why there is no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// There is no route to the peer now.
    #[error("no route to the peer; is it running, in the same network and in reach?")]
    NoRoute,
    /// Too many traces are under way.
    #[error("no more than {limit} traces at once; wait for some")]
    TooMany {
        /// How many are admitted.
        limit: usize,
    },
    /// The node has shut down.
    #[error(transparent)]
    MeshClosed(#[from] MeshClosed),
}

impl From<core::TraceError> for TraceError {
    fn from(error: core::TraceError) -> Self {
        match error {
            core::TraceError::TooMany { limit } => Self::TooMany { limit },
            _ => Self::NoRoute,
        }
    }
}

/// One hop on the way to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hop {
    /// Hops from this node, from 1.
    pub number: u8,
    /// What the hop said; `None`: it kept silent for 2 s, as nodes of older versions do, busy
    /// ones, and those behind a link that loses frames.
    pub answer: Option<HopAnswer>,
}

impl Hop {
    pub(crate) fn new(number: u8, answer: Option<HopAnswer>) -> Self {
        Self { number, answer }
    }
}

/// What a hop said about itself. The links on the way vouch for it, nobody else: a node on the
/// way can lie about itself and all behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HopAnswer {
    /// Who it is.
    pub peer: PeerKey,
    /// The medium of the link by which the question reached it.
    pub transport: ConnectionType,
    /// From when the question left this node to when the answer was here. The answer may have
    /// come by another way.
    pub rtt: Duration,
    /// How much of that the hop says it needed itself.
    pub held: Duration,
}

impl From<TraceHop> for HopAnswer {
    fn from(hop: TraceHop) -> Self {
        Self { peer: hop.peer, transport: hop.kind, rtt: hop.rtt, held: hop.held }
    }
}

/// The hops to a peer, as they answer. Dropping it ends the trace.
#[derive(Debug)]
pub struct Trace {
    route: Vec<PeerKey>,
    news: mpsc::Receiver<TraceNews>,
    end: Option<TraceEnd>,
}

impl Trace {
    pub(crate) fn new(route: Vec<PeerKey>, news: mpsc::Receiver<TraceNews>) -> Self {
        Self { route, news, end: None }
    }

    /// The peers on the way as this node's graph had it when the trace began; the traced peer
    /// is the last. Each hop decides by its own graph, so the trace may show another way.
    #[must_use]
    pub fn route(&self) -> &[PeerKey] {
        &self.route
    }

    /// The next hop, in order; `None` when the trace is over.
    ///
    /// # Cancel safety
    /// Safe: no hop is lost.
    pub async fn next(&mut self) -> Option<Hop> {
        match self.news.recv().await? {
            TraceNews::Hop(hop) => Some(hop),
            TraceNews::End(end) => {
                self.end = Some(end);
                self.news.close();
                None
            }
        }
    }

    /// How the trace ended; `None` before [`Trace::next`] has said `None`, and if the node shut
    /// down or lost sight of the trace in a flood of events.
    #[must_use]
    pub fn end(&self) -> Option<TraceEnd> {
        self.end
    }
}

impl Mesh {
    /// Measures the round trip to a peer: end to end, through the encrypted session, which is
    /// made if there is none. Waits 5 s at most.
    ///
    /// # Errors
    /// [`PingError`].
    ///
    /// # Cancel safety
    /// Safe: the answer to a ping whose future was dropped is ignored, and it does not count
    /// among the 64 that may be under way.
    pub async fn ping(&self, peer: &PeerKey) -> Result<Pong, PingError> {
        self.ping_within(peer, PING_TIMEOUT).await
    }

    /// [`Mesh::ping`], waiting at most `give_up` for a path, a session and the answer.
    ///
    /// # Errors
    /// [`PingError`].
    ///
    /// # Cancel safety
    /// As [`Mesh::ping`].
    pub async fn ping_within(&self, peer: &PeerKey, give_up: Duration) -> Result<Pong, PingError> {
        let peer = *peer;
        let asking = self.shared.ask(|reply| Call::Ping { peer, give_up, reply });
        match tokio::time::timeout(give_up.saturating_add(GRACE), asking).await {
            Ok(pong) => pong?,
            Err(_) => Err(PingError::TimedOut),
        }
    }

    /// Asks the hops to a peer, one after the other, who they are.
    ///
    /// Unlike a ping this is not end to end: see [`HopAnswer`].
    ///
    /// # Errors
    /// [`TraceError`].
    ///
    /// # Cancel safety
    /// Safe: a trace that nobody reads ends.
    pub async fn trace(&self, peer: &PeerKey) -> Result<Trace, TraceError> {
        let peer = *peer;
        self.shared.ask(|reply| Call::Trace { peer, reply }).await?
    }
}
