//! Pings: how long a packet takes to a peer and its word on it back (protocol 8.4).
//!
//! A ping is one packet with nothing but a Ping frame on the realtime lane, which the peer
//! acknowledges at once. It is measured from when the packet leaves this node to when the
//! acknowledgement is here, and it is not sent again: a lost one is lost.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Bus;
use super::error::PingError;
use super::event::PingId;
use crate::id::PeerKey;
use crate::limits::PINGS_MAX;
use crate::time::{Duration, Instant};

/// The pings of one session that nothing is known of yet.
#[derive(Debug, Default)]
pub(super) struct Pings {
    open: BTreeMap<PingId, Ping>,
}

#[derive(Debug)]
struct Ping {
    due: Instant,
    sent: bool,
}

impl Pings {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether a packet should go for one.
    pub(super) fn wait(&self) -> bool {
        self.open.values().any(|ping| !ping.sent)
    }

    /// Those that wait for a packet, which takes them all, and when the last of them gives up.
    pub(super) fn take_waiting(&mut self) -> (Vec<PingId>, Option<Instant>) {
        let mut waiting = (Vec::new(), None);
        for (id, ping) in self.open.iter_mut().filter(|(_, ping)| !ping.sent) {
            ping.sent = true;
            waiting.0.push(*id);
            waiting.1 = waiting.1.max(Some(ping.due));
        }
        waiting
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|ping| ping.due).min()
    }

    /// Whether the ping was still open.
    pub(super) fn close(&mut self, id: PingId) -> bool {
        self.open.remove(&id).is_some()
    }

    /// Those that were to be answered by now.
    pub(super) fn overdue(&self, now: Instant) -> Vec<PingId> {
        self.open.iter().filter(|(_, ping)| ping.due <= now).map(|(id, _)| *id).collect()
    }

    pub(super) fn all(&self) -> Vec<PingId> {
        self.open.keys().copied().collect()
    }
}

impl Bus {
    /// Measures the round trip to a peer, end to end through the session, which is made if there
    /// is none. What came of it is told as [`super::BusEvent::Pong`] or [`super::BusEvent::PingFailed`].
    ///
    /// `give_up` is how long it may wait for a path, a session and the answer.
    ///
    /// # Errors
    /// [`PingError`]; nothing was sent then.
    pub fn ping(
        &mut self,
        now: Instant,
        peer: PeerKey,
        give_up: Duration,
    ) -> Result<PingId, PingError> {
        if self.closed {
            return Err(PingError::Closed);
        }
        if self.cx.events.pings_owed >= PINGS_MAX {
            self.cx.counters.pings_refused += 1;
            return Err(PingError::TooMany { limit: PINGS_MAX });
        }
        let (session, cx) = self.session(peer).ok_or(PingError::Refused)?;
        let id = PingId(cx.next_number());
        cx.events.pings_owed += 1;
        session.pings.open.insert(id, Ping { due: now + give_up, sent: false });
        self.refresh(now, peer);
        Ok(id)
    }

    /// Nobody waits for a ping's outcome any more: unless it is there already, it is not told.
    pub fn cancel_ping(&mut self, now: Instant, peer: PeerKey, id: PingId) {
        let session = self.peers.get_mut(&peer).and_then(|peer| peer.session.as_mut());
        if session.is_some_and(|session| session.pings.close(id)) {
            self.cx.events.pings_owed -= 1;
            self.refresh(now, peer);
        }
    }
}
