//! The Bus: sessions between peers, and the messages and streams that run on them
//! (protocol 8 and 9).
//!
//! [`Bus`] is one machine for all peers of a node. The mesh below gives it paths and data
//! frames and pulls data frames from it; the application above sends, takes and accepts.
//! Inside, `session` is what runs between two peers, `greet` how two peers come to share keys,
//! `outgoing`, `incoming` and `datagrams` hold message data, `recovery`, `arrivals`, `rtt` and
//! `congestion` are the transport, and `frame` is the wire.

mod arrivals;
mod calls;
mod config;
mod congestion;
mod control;
mod datagrams;
mod error;
mod event;
mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod greet;
mod handshake;
mod incoming;
mod outgoing;
mod peer;
mod ping;
mod ranges;
mod reason;
mod recovery;
mod rtt;
mod seal;
mod session;
mod shared;
mod stream;
#[cfg(test)]
mod tests;
mod varint;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::BytesMut;

pub use config::{BusConfig, DataFrame, DataHead, Local, Path};
pub use error::{NoSuchMessage, NoSuchStream, OpenError, PingError, SendError, StreamSendError};
pub use event::{
    BusEvent, Counters, IncomingMessage, MessageId, PingId, Reliability, StreamId, StreamOpen,
};
pub use reason::{FailReason, Outcome, PingFailure, RejectReason, SessionEnd, StreamEnd};

use greet::Received;
use peer::Peer;
use reason::CloseReason;
use session::{Arrival, Verdict};
use shared::Shared;

use crate::allowance::{Allowance, Shares};
use crate::crypto::aead::Tag;
use crate::crypto::hash::{self, Domain};
use crate::entropy::Entropy;
use crate::id::{Address, Instance, LinkId, PeerKey};
use crate::io::Lane;
use crate::limits::{
    PEERS_MAX, SESSION_ANSWERS_OWN_PER_S, SESSION_ANSWERS_PER_S, SESSION_HINTS_PER_S,
};
use crate::time::Instant;
use crate::wire::routing::{DataKind, RoutingHeader};

/// Peers that have something to send over a link, in turn, by lane.
type Turns = [VecDeque<PeerKey>; 3];

/// The Bus of one node.
#[derive(Debug)]
pub struct Bus {
    cx: Shared,
    peers: BTreeMap<PeerKey, Peer>,
    addresses: BTreeMap<Address, PeerKey>,
    /// Whose session keys, proven or not, an index names.
    indices: BTreeMap<u32, PeerKey>,
    turns: BTreeMap<LinkId, Turns>,
    /// Peers for whom data waits, by the link of their path.
    backlog: BTreeSet<(LinkId, PeerKey)>,
    timers: BTreeSet<(Instant, PeerKey)>,
    /// Answers and hints that wait for their link.
    replies: VecDeque<(PeerKey, DataFrame)>,
    answers_allowed: Shares,
    hints_allowed: Allowance,
    denied: BTreeSet<PeerKey>,
    closed: bool,
}

impl Bus {
    /// A Bus without peers.
    #[must_use]
    pub fn new(local: Local, config: BusConfig) -> Self {
        Self {
            cx: Shared::new(local, config),
            peers: BTreeMap::new(),
            addresses: BTreeMap::new(),
            indices: BTreeMap::new(),
            turns: BTreeMap::new(),
            backlog: BTreeSet::new(),
            timers: BTreeSet::new(),
            replies: VecDeque::new(),
            answers_allowed: Shares::new(SESSION_ANSWERS_OWN_PER_S, SESSION_ANSWERS_PER_S),
            hints_allowed: Allowance::new(SESSION_HINTS_PER_S),
            denied: BTreeSet::new(),
            closed: false,
        }
    }

    /// What happened so far, and every limit that was hit.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.cx.counters
    }

    /// The route to `peer` changed; `None`: there is none. Remembered for peers without a
    /// session too.
    ///
    /// Another link, or a path after none, means that what was on its way went over a dead link:
    /// it is sent again at once. When the old link still carries, use [`Self::handle_handover`].
    pub fn handle_path(&mut self, now: Instant, peer: PeerKey, path: Option<Path>) {
        self.set_path(now, peer, path, true);
    }

    /// The route to `peer` changed to a better one while the old link still carries: what is on
    /// its way is left to arrive.
    pub fn handle_handover(&mut self, now: Instant, peer: PeerKey, path: Path) {
        self.set_path(now, peer, Some(path), false);
    }

    fn set_path(&mut self, now: Instant, key: PeerKey, path: Option<Path>, resend: bool) {
        if path.is_none() && !self.peers.contains_key(&key) {
            return;
        }
        let Some(peer) = Self::peer(&mut self.peers, &mut self.addresses, key) else {
            self.cx.counters.sessions_refused += 1;
            return;
        };
        let old = core::mem::replace(&mut peer.path, path);
        if old.map(|path| path.link) != path.map(|path| path.link) {
            peer.queued = [false; 3];
            if let (Some(old), true) = (old, core::mem::take(&mut peer.is_behind)) {
                self.backlog.remove(&(old.link, key));
            }
            if let Some(turns) = old.and_then(|path| self.turns.get_mut(&path.link)) {
                turns.iter_mut().for_each(|turn| turn.retain(|queued| *queued != key));
            }
        }
        if let (Some(initiation), Some(_), None) = (&mut peer.initiation, path, old) {
            (initiation.tries, initiation.next_try) = (0, now);
        }
        match (&mut peer.session, old, path) {
            (Some(session), Some(old), Some(new)) if old.link == new.link => {
                if old.hops == new.hops {
                    session.on_path_size(&new);
                } else {
                    session.on_path(&mut self.cx, now, &new, false);
                }
            }
            (Some(session), old, Some(new)) => {
                session.on_path(&mut self.cx, now, &new, resend);
                if old.is_none() {
                    // The other end may have missed the path for longer, and given up.
                    session.check(now);
                }
            }
            (Some(session), _, None) => session.on_path_lost(now),
            (None, ..) => {}
        }
        self.refresh(now, key);
    }

    /// The separate Noise static key that a peer's profile tells; `None`: it tells none. Kept while
    /// there is a path to the peer or a session with it.
    pub fn handle_static_key(&mut self, peer: PeerKey, key: Option<[u8; 32]>) {
        if key.is_none() && !self.peers.contains_key(&peer) {
            return;
        }
        if let Some(peer) = Self::peer(&mut self.peers, &mut self.addresses, peer) {
            peer.static_key = key;
        }
    }

    /// A peer's advert names its instance. If the session is with another one, a handshake is
    /// begun beside it; an idle session would not notice a restart by itself.
    pub fn handle_instance(&mut self, now: Instant, peer: PeerKey, instance: Instance) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let remote = known.session.as_ref().and_then(|session| session.remote);
        if remote.is_some_and(|remote| remote.instance != instance) {
            known.hinted = true;
            self.refresh(now, peer);
        }
    }

    /// Admits a peer, or not. One that is not gets no session, and loses the one it has.
    pub fn handle_verdict(&mut self, now: Instant, peer: PeerKey, admitted: bool) {
        if admitted {
            self.denied.remove(&peer);
            return;
        }
        if self.denied.len() < PEERS_MAX {
            self.denied.insert(peer);
        } else {
            self.cx.counters.verdicts_dropped += 1;
        }
        self.end_session(now, peer, Some(CloseReason::Denied), SessionEnd::ClosedByLocal);
    }

    /// A data frame for this node, that came in `from` a neighbour.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        from: PeerKey,
        frame: DataFrame,
    ) {
        let DataFrame { lane, header, tag, payload } = frame;
        let (header, tag) = (&header, &tag);
        if self.closed || lane == Lane::Control {
            self.cx.counters.frames_other_kind += 1;
            return;
        }
        match header.kind {
            DataKind::Packet => self.handle_packet(now, lane, header, tag, payload),
            DataKind::Handshake => {
                let call = Received { from, header, tag, payload: &payload };
                self.handle_handshake(now, entropy, &call);
            }
            DataKind::UnknownSession => self.handle_hint(now, header),
            DataKind::TooBig => self.handle_too_big(now, lane, header, tag, &payload),
            DataKind::TraceAsk | DataKind::TraceTell | DataKind::Unknown(_) => {
                self.cx.counters.frames_other_kind += 1;
            }
        }
    }

    fn handle_packet(
        &mut self,
        now: Instant,
        lane: Lane,
        header: &RoutingHeader,
        tag: &Tag,
        payload: BytesMut,
    ) {
        let Some(&key) = self.indices.get(&header.session) else {
            self.cx.counters.packets_unknown_session += 1;
            self.hint(now, header);
            return;
        };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let hops = peer.path.map_or(0, |path| path.hops);
        let arrival = Arrival { now, lane, header, tag, hops };
        let of_session =
            peer.session.as_ref().is_some_and(|s| s.indices().any(|i| i == header.session));
        let verdict = match &mut peer.session {
            Some(session) if of_session => session.handle_packet(&mut self.cx, &arrival, payload),
            _ => self.handle_proof(key, &arrival, payload),
        };
        match verdict {
            Verdict::GoesOn => {
                self.refresh(now, key);
                self.bound_unread(now);
            }
            Verdict::Broken => {
                self.cx.counters.protocol_errors += 1;
                let reason = Some(CloseReason::ProtocolError);
                self.end_session(now, key, reason, SessionEnd::ClosedByLocal);
            }
            Verdict::Ended(end) => self.end_session(now, key, None, end),
        }
    }

    /// Ends the session that holds most in first windows, if all of them hold too much.
    fn bound_unread(&mut self, now: Instant) {
        if self.cx.unbudgeted <= self.cx.config.first_windows_bytes_max {
            return;
        }
        let unread = |peer: &Peer| peer.session.as_ref().map_or(0, |session| session.unbudgeted);
        let most = self.peers.iter().max_by_key(|(_, peer)| unread(peer)).map(|(key, _)| *key);
        if let Some(key) = most {
            self.cx.counters.sessions_over_memory += 1;
            self.end_session(now, key, Some(CloseReason::Other), SessionEnd::ClosedByLocal);
        }
    }

    /// A relay could not pass a packet on: the payload is the limit, 4 bytes.
    fn handle_too_big(
        &mut self,
        now: Instant,
        lane: Lane,
        header: &RoutingHeader,
        tag: &Tag,
        payload: &[u8],
    ) {
        // The links vouch for the tag only.
        if *tag != hash::prefix(Domain::Payload, &[payload]) {
            self.cx.counters.packets_broken += 1;
            return;
        }
        let limit = payload.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let (Some(&key), Some(limit)) = (self.addresses.get(&header.source), limit) else { return };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if let Some(session) = &mut peer.session
            && session.keys.as_ref().is_some_and(|keys| keys.remote_index == header.session)
        {
            session.on_too_big(&mut self.cx, lane, header.packet_low, limit);
        }
        self.refresh(now, key);
    }

    /// The next data frame for `link` on `lane`; peers whose path starts there take turns. Its
    /// payload, at most `payload_bytes_max` bytes, is appended to `out`.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        link: LinkId,
        lane: Lane,
        payload_bytes_max: usize,
        out: &mut BytesMut,
    ) -> Option<DataHead> {
        let slot = Lane::DATA.iter().position(|data| *data == lane)?;
        if lane == Lane::Realtime
            && let Some(reply) = self.poll_reply(link)
        {
            return Some(reply.write(out));
        }
        while let Some(key) = self.turns.get_mut(&link)?[slot].pop_front() {
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            peer.queued[slot] = false;
            let Some(path) = peer.path.filter(|path| path.link == link) else { continue };
            if lane == Lane::Realtime
                && let Some(frame) = self.poll_initiation(now, entropy, key, &path)
            {
                self.refresh(now, key);
                return Some(frame.write(out));
            }
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            let Some(session) = &mut peer.session else { continue };
            let bytes_max = payload_bytes_max.min(path.payload_bytes_max);
            let head = session.poll_packet(&mut self.cx, now, &path, lane, bytes_max, out);
            if session.is_closing() && head.is_some() {
                self.drop_session(key);
            }
            self.refresh(now, key);
            if head.is_some() {
                return head;
            }
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<BusEvent> {
        let owed = self.cx.events.outcomes_owed;
        let event = self.cx.events.pop();
        let half = self.cx.config.outcomes_max / 2;
        if owed > half && self.cx.events.outcomes_owed == half {
            for peer in self.peers.values_mut() {
                peer.session.iter_mut().for_each(|session| session.tell_writable(&mut self.cx));
            }
        }
        event
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Does what is due. Being early or late is harmless.
    pub fn handle_timeout(&mut self, now: Instant, _entropy: &mut dyn Entropy) {
        while let Some(&(at, key)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            peer.deadline = None;
            peer.expire_answers(now, &mut self.indices);
            let has_path = peer.path.is_some();
            if let Some(index) = peer.session.as_mut().and_then(|s| s.drop_old_keys(now)) {
                self.indices.remove(&index);
            }
            let end = match &mut peer.session {
                Some(session) => session.handle_timeout(&mut self.cx, now, has_path).err(),
                None => None,
            };
            match end {
                Some(end) => self.end_session(now, key, None, end),
                None => self.refresh_after(now, key, at),
            }
        }
    }

    /// The node shuts down: everything pending fails with its reason, and each session has one
    /// last packet to say so.
    pub fn close(&mut self, now: Instant) {
        self.closed = true;
        let keys: alloc::vec::Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            self.end_session(now, key, Some(CloseReason::Shutdown), SessionEnd::ClosedByLocal);
        }
        self.replies.clear();
    }

    /// Ends a session; with a reason the peer is told.
    fn end_session(
        &mut self,
        now: Instant,
        key: PeerKey,
        tell: Option<CloseReason>,
        end: SessionEnd,
    ) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.forget_handshakes(&mut self.indices);
        let Some(session) = &mut peer.session else { return };
        match tell {
            // Without a path it would wait to say so for ever, and take the room of others.
            Some(reason) if peer.path.is_some() && session.can_seal() => {
                session.close(&mut self.cx, reason, end);
            }
            _ => {
                session.fail(&mut self.cx, end);
                self.drop_session(key);
            }
        }
        self.refresh(now, key);
    }

    /// Forgets a session that has failed already.
    fn drop_session(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if let Some(session) = peer.session.take() {
            for index in session.indices() {
                self.indices.remove(&index);
            }
        }
    }

    /// After anything that touched a peer: queues it where it has something to send, sets its
    /// timer, forgets what is not needed.
    fn refresh(&mut self, now: Instant, key: PeerKey) {
        self.refresh_after(now, key, Instant::EPOCH);
    }

    /// As [`Self::refresh`]; a timer that just fired is not set to the same time again.
    fn refresh_after(&mut self, now: Instant, key: PeerKey, fired: Instant) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.forget_unneeded(&mut self.indices);
        if peer.is_unused() {
            if let Some(at) = peer.deadline {
                self.timers.remove(&(at, key));
            }
            self.peers.remove(&key);
            if self.addresses.get(&key.address()) == Some(&key) {
                self.addresses.remove(&key.address());
            }
            return;
        }
        if let Some(path) = peer.path {
            let is_behind = peer.session.as_ref().is_some_and(|session| session.has_data());
            if peer.is_behind != is_behind {
                peer.is_behind = is_behind;
                if is_behind {
                    self.backlog.insert((path.link, key));
                } else {
                    self.backlog.remove(&(path.link, key));
                }
            }
            for (slot, lane) in Lane::DATA.into_iter().enumerate() {
                if !peer.queued[slot] && peer.wants(now, lane) {
                    peer.queued[slot] = true;
                    self.turns.entry(path.link).or_default()[slot].push_back(key);
                }
            }
        }
        let next = peer.next_timeout(&self.cx).map(|at| if at <= fired { now + TICK } else { at });
        if next != peer.deadline {
            if let Some(at) = peer.deadline {
                self.timers.remove(&(at, key));
            }
            self.timers.extend(next.map(|at| (at, key)));
            peer.deadline = next;
        }
    }

    /// The peers for whom data waits that goes by a link.
    fn behind(&self, link: LinkId) -> impl Iterator<Item = &Peer> {
        let from = (link, PeerKey::from_checked([0; 32]));
        let keys = self.backlog.range(from..).take_while(move |(of, _)| *of == link);
        keys.filter_map(|(_, key)| self.peers.get(key))
    }

    /// Whether data waits that would go by `link`, and for that link: to a neighbour, or held back by
    /// nothing else. A session's window holds back what a longer way does not carry; `may_be_narrow`
    /// says that this link may be why.
    #[must_use]
    pub fn waits(&self, link: LinkId, may_be_narrow: bool) -> bool {
        self.behind(link).any(|peer| {
            let is_neighbour = peer.path.is_some_and(|path| path.hops <= 1);
            let session = peer.session.as_ref();
            is_neighbour || may_be_narrow || session.is_some_and(|session| session.may_send_data())
        })
    }

    /// Bytes of data that could go by `link` and were not sent yet, or are to be sent again: what
    /// the other ends give credit for.
    #[must_use]
    pub fn waiting_bytes(&self, link: LinkId) -> u64 {
        let sessions = self.behind(link).filter_map(|peer| peer.session.as_ref());
        sessions.map(|session| session.waiting_bytes()).sum()
    }

    /// The entry of a peer, made if there is room.
    fn peer<'a>(
        peers: &'a mut BTreeMap<PeerKey, Peer>,
        addresses: &mut BTreeMap<Address, PeerKey>,
        key: PeerKey,
    ) -> Option<&'a mut Peer> {
        if !peers.contains_key(&key) {
            if peers.len() >= 2 * PEERS_MAX {
                return None;
            }
            addresses.entry(key.address()).or_insert(key);
            peers.insert(key, Peer::new(key));
        }
        peers.get_mut(&key)
    }

    /// A link is gone for good: forgets its queues.
    pub fn handle_link_gone(&mut self, link: LinkId) {
        if let Some(turns) = self.turns.remove(&link) {
            for key in turns.into_iter().flatten() {
                self.peers.get_mut(&key).into_iter().for_each(|peer| peer.queued = [false; 3]);
            }
        }
    }
}

/// What is due and waits for its link alone is looked at again after this; pulling it does not
/// wait for that.
const TICK: crate::time::Duration = crate::time::Duration::from_millis(20);
