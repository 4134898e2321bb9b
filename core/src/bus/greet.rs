//! How two peers come to share keys: initiations, answers, proofs and hints (protocol 8.2).

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::BytesMut;

use super::Bus;
use super::config::{DataFrame, Path};
use super::handshake::{Call, Caller, Hello, Initiation, Message};
use super::peer::Answer;
use super::reason::SessionEnd;
use super::session::{Arrival, Session, Verdict};
use crate::crypto::aead::{TAG_BYTES, Tag};
use crate::entropy::{self, Entropy};
use crate::id::{LinkId, PeerKey};
use crate::io::Lane;
use crate::limits::{
    EVENTS_MAX, FRAME_LIFETIME, HOP_LIMIT_SLACK, SESSION_ANSWER_KEPT, SESSION_ANSWERS_MAX,
    SESSION_HANDSHAKE_RETRY_MAX, SESSION_HANDSHAKE_RETRY_MIN, SESSION_REPLIES_MAX,
};
use crate::time::{Duration, Instant};
use crate::wire::routing::{DataKind, RoutingHeader};

/// How long a standing session waits between two handshakes that it did not need.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// The lower key's initiation is given so many tries before the other one is answered too.
const GLARE_TRIES: u32 = 3;

/// A handshake message as it came in.
pub(super) struct Received<'a> {
    /// The neighbour that brought it: its maker, or a relay.
    pub(super) from: PeerKey,
    pub(super) header: &'a RoutingHeader,
    pub(super) tag: &'a Tag,
    pub(super) payload: &'a [u8],
}

impl Bus {
    pub(super) fn header(
        &self,
        kind: DataKind,
        to: &PeerKey,
        path: Option<&Path>,
        session: u32,
    ) -> RoutingHeader {
        RoutingHeader {
            kind,
            congested: false,
            key_phase: false,
            hop_limit: path.map_or(HOP_LIMIT_SLACK, |path| path.hop_limit),
            lifetime_ms: RoutingHeader::lifetime(FRAME_LIFETIME),
            source: self.cx.local.address(),
            destination: to.address(),
            session,
            packet_low: 0,
        }
    }

    /// A number for new keys: random, so that a stranger cannot guess it, and not in use.
    fn new_index(&self, entropy: &mut dyn Entropy) -> u32 {
        loop {
            let index = u32::from_le_bytes(entropy::array(entropy));
            if index != 0 && !self.indices.contains_key(&index) {
                return index;
            }
        }
    }

    /// The first message of a handshake, begun or repeated.
    pub(super) fn poll_initiation(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        key: PeerKey,
        path: &Path,
    ) -> Option<DataFrame> {
        if self.peers.get(&key)?.wants_initiation(now) {
            let index = self.new_index(entropy);
            let peer = self.peers.get_mut(&key)?;
            let number = match peer.session.as_ref()?.number {
                _ if core::mem::take(&mut peer.is_spent) => peer.session_number(&mut self.cx),
                number => number,
            };
            let hello = Hello::new(&self.cx.local, &self.cx.config, index, number);
            let static_key = peer.static_key.unwrap_or_else(|| key.noise_static());
            let parties = (&key, &static_key);
            let initiation = Initiation::new(now, &self.cx.local, parties, hello, entropy);
            peer.initiation = Some(Box::new(initiation));
            peer.hinted = false;
            peer.renew_after = now + RENEW_INTERVAL;
            self.indices.insert(index, key);
            self.cx.counters.handshakes_started += 1;
        }
        let initiation = self.peers.get_mut(&key)?.initiation.as_mut()?;
        if initiation.next_try > now {
            return None;
        }
        let wait = SESSION_HANDSHAKE_RETRY_MIN * 2_u32.pow(initiation.tries.min(8));
        initiation.next_try = now + wait.min(SESSION_HANDSHAKE_RETRY_MAX);
        initiation.tries += 1;
        initiation.sent_at = now;
        let Message { payload, tag } = initiation.message.clone();
        let header = self.header(DataKind::Handshake, &key, Some(path), 0);
        Some(DataFrame { lane: Lane::Realtime, header, tag, payload })
    }

    pub(super) fn handle_handshake(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        message: &Received<'_>,
    ) {
        let taken = if message.header.session == 0 {
            self.handle_call(now, entropy, message)
        } else {
            self.handle_answer(now, message.header, message.tag, message.payload)
        };
        if taken.is_none() {
            self.cx.counters.handshakes_refused += 1;
        }
    }

    /// A first message. `None`: refused.
    fn handle_call(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        message: &Received<'_>,
    ) -> Option<()> {
        let Received { from, header, tag, payload } = *message;
        let known = self.addresses.get(&header.source).copied();
        if let Some(peer) = known.and_then(|key| self.peers.get_mut(&key)) {
            if peer.last_call == Some(*tag) {
                return None;
            }
            // A repeated message gets the same answer, without the arithmetic.
            if let Some(answer) = peer.answers.iter_mut().find(|answer| answer.call == *tag) {
                answer.made = None;
                let (key, message, index) = (peer.key, answer.message.clone(), answer.hello.index);
                self.reply(key, DataKind::Handshake, index, message);
                return Some(());
            }
        }
        if !self.answers_allowed.take(now, from) {
            self.cx.counters.handshakes_over_rate += 1;
            return None;
        }
        let caller = Caller::read(header.source, known, payload).ok()?;
        if self.denied.contains(&caller.peer) {
            return None;
        }
        let call = Call::read(&self.cx.local, caller, tag, entropy).ok()?;
        let index = self.new_index(entropy);
        self.answer(now, call, *tag, index)
    }

    fn answer(&mut self, now: Instant, call: Call, tag: Tag, index: u32) -> Option<()> {
        let key = call.peer;
        let own = self.cx.local.identity.peer_key();
        let peer = Self::peer(&mut self.peers, &mut self.addresses, key)?;
        let begun = peer.initiation.as_ref().map_or(0, |initiation| initiation.tries);
        if own < key && (1..=GLARE_TRIES).contains(&begun) {
            return None;
        }
        let standing = peer.session.as_ref().filter(|s| !s.is_closing() && s.fits(&call.hello));
        let session = match standing {
            Some(session) => session.number,
            None => peer.session_number(&mut self.cx),
        };
        if peer.answers.len() >= SESSION_ANSWERS_MAX {
            let old = peer.answers.remove(0);
            self.indices.remove(&old.keys.local_index);
        }
        let hello = Hello::new(&self.cx.local, &self.cx.config, index, session);
        let theirs = call.hello;
        let (message, keys) = call.answer(now, &self.cx.local, &hello);
        let expires = now + SESSION_ANSWER_KEPT;
        let reply = message.clone();
        let (call, made) = (tag, Some(now));
        let hello = theirs;
        peer.answers.push(Answer { call, message, keys, hello, session, made, expires });
        self.indices.insert(index, key);
        self.cx.counters.handshakes_answered += 1;
        self.reply(key, DataKind::Handshake, theirs.index, reply);
        self.refresh(now, key);
        Some(())
    }

    /// The answer to this node's first message. `None`: refused.
    fn handle_answer(
        &mut self,
        now: Instant,
        header: &RoutingHeader,
        tag: &Tag,
        payload: &[u8],
    ) -> Option<()> {
        let key = *self.indices.get(&header.session)?;
        let peer = self.peers.get_mut(&key)?;
        let initiation = peer.initiation.as_mut()?;
        if initiation.hello.index != header.session || key.address() != header.source {
            return None;
        }
        let hello = initiation.read(payload, tag).ok()?;
        // A session that another one takes the place of leaves two events behind, unasked.
        let replaces = peer.session.as_ref().is_some_and(|s| s.keys.is_some() && !s.fits(&hello));
        if replaces && self.cx.events.len() >= EVENTS_MAX {
            peer.forget_initiation(&mut self.indices);
            self.cx.counters.sessions_refused += 1;
            return None;
        }
        // Two sessions under one number would be taken for one where the answers cross.
        let standing = peer.session.as_ref()?.number;
        if replaces && initiation.hello.session == standing {
            peer.forget_initiation(&mut self.indices);
            (peer.is_spent, peer.hinted, peer.renew_after) = (true, true, now);
            self.refresh(now, key);
            return Some(());
        }
        let initiation = peer.initiation.take()?;
        let sample = (initiation.tries == 1).then(|| now.since(initiation.sent_at));
        let number = initiation.hello.session;
        let keys = initiation.finish(now, &self.cx.local, &key, &hello);
        self.install(now, key, number, hello, keys);
        // The peer waits for a proof that these keys are shared.
        let session = self.peers.get_mut(&key)?.session.as_mut()?;
        session.prove();
        sample.into_iter().for_each(|sample| session.guess_rtt(sample));
        self.refresh(now, key);
        Some(())
    }

    /// A packet under answered, unproven keys: if it opens, they are proven.
    pub(super) fn handle_proof(
        &mut self,
        key: PeerKey,
        arrival: &Arrival<'_>,
        mut payload: BytesMut,
    ) -> Verdict {
        let index = arrival.header.session;
        let Some(peer) = self.peers.get_mut(&key) else { return Verdict::GoesOn };
        let Some(at) = peer.answers.iter().position(|a| a.keys.local_index == index) else {
            return Verdict::GoesOn;
        };
        let answer = &peer.answers[at];
        let renews = peer
            .session
            .as_ref()
            .filter(|s| s.number == answer.session && s.fits(&answer.hello) && !s.is_closing());
        // Its number is that of a session with somebody else by now.
        let is_spent = |s: &Session| s.number == answer.session && s.keys.is_some();
        if renews.is_none() && peer.session.as_deref().is_some_and(is_spent) {
            self.cx.counters.packets_unknown_session += 1;
            return Verdict::GoesOn;
        }
        let low = arrival.header.packet_low;
        let number = renews.map_or(u64::from(low), |s| s.expand(arrival.lane, low));
        if renews.is_some_and(|s| !s.is_new(arrival.lane, number)) {
            self.cx.counters.packets_replayed += 1;
            return Verdict::GoesOn;
        }
        if answer.keys.open(number, arrival.lane, &mut payload, arrival.tag).is_err() {
            self.cx.counters.packets_broken += 1;
            return Verdict::GoesOn;
        }
        let full = self.cx.events.len() >= EVENTS_MAX && renews.is_none();
        if full || self.is_full_of_sessions(key) {
            self.cx.counters.sessions_refused += 1;
            return Verdict::GoesOn;
        }
        let Some(peer) = self.peers.get_mut(&key) else { return Verdict::GoesOn };
        let answer = peer.answers.remove(at);
        peer.last_call = Some(answer.call);
        peer.forget_handshakes(&mut self.indices);
        self.install(arrival.now, key, answer.session, answer.hello, answer.keys);
        let session = self.peers.get_mut(&key).and_then(|peer| peer.session.as_mut());
        let Some(session) = session else { return Verdict::GoesOn };
        let sample = answer.made.map(|made| arrival.now.since(made));
        sample.into_iter().for_each(|sample| session.guess_rtt(sample));
        session.handle_opened(&mut self.cx, arrival, number, payload.freeze())
    }

    pub(super) fn is_full_of_sessions(&self, key: PeerKey) -> bool {
        let has = self.peers.get(&key).is_some_and(|peer| peer.session.is_some());
        !has && self.sessions() >= self.cx.config.sessions_max
    }

    /// Puts proven keys into the session they are for, or into a new one in its place.
    fn install(
        &mut self,
        now: Instant,
        key: PeerKey,
        number: u64,
        hello: Hello,
        keys: super::seal::Keys,
    ) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let renews = peer
            .session
            .as_ref()
            .is_some_and(|s| s.number == number && s.fits(&hello) && !s.is_closing());
        if !renews {
            let restarted = peer
                .session
                .as_ref()
                .and_then(|session| session.remote)
                .is_some_and(|old| old.instance != hello.instance);
            let end = if restarted { SessionEnd::PeerRestarted } else { SessionEnd::PeerLost };
            if let Some(mut old) = peer.session.take() {
                old.fail(&mut self.cx, end);
                for index in old.indices() {
                    self.indices.remove(&index);
                }
            }
            let session = Session::new(key, number, &self.cx, peer.path.as_ref());
            peer.session = Some(Box::new(session));
        }
        if peer.next_session == Some(number) {
            peer.next_session = None;
        }
        self.indices.insert(keys.local_index, key);
        self.cx.counters.handshakes_completed += 1;
        let Some(session) = &mut peer.session else { return };
        if peer.path.is_none() {
            // What completes a handshake may still arrive when the way back is lost.
            session.on_path_lost(now);
        }
        let (old, cipher) = (session.old_index(), keys.cipher());
        if session.take_keys(&mut self.cx, now, hello, keys) {
            self.cx.events.push(super::BusEvent::SessionUp { peer: key, cipher });
        } else {
            self.cx.counters.rekeys += 1;
            if let Some(index) = old {
                self.indices.remove(&index);
            }
        }
    }

    /// The peer says, unproven, that it does not know the session of a packet.
    pub(super) fn handle_hint(&mut self, now: Instant, header: &RoutingHeader) {
        let Some(&key) = self.addresses.get(&header.source) else { return };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let keys = peer.session.as_ref().and_then(|session| session.keys.as_ref());
        if keys.is_some_and(|keys| keys.remote_index == header.session) {
            peer.hinted = true;
            self.refresh(now, key);
        }
    }

    /// Tells the sender of a packet that its session is not known here.
    pub(super) fn hint(&mut self, now: Instant, header: &RoutingHeader) {
        let Some(&key) = self.addresses.get(&header.source) else { return };
        if !self.hints_allowed.take(now) {
            self.cx.counters.hints_over_rate += 1;
            return;
        }
        self.cx.counters.hints_sent += 1;
        let message = Message { payload: BytesMut::new(), tag: [0; TAG_BYTES] };
        self.reply(key, DataKind::UnknownSession, header.session, message);
    }

    fn reply(&mut self, to: PeerKey, kind: DataKind, session: u32, message: Message) {
        let path = self.peers.get(&to).and_then(|peer| peer.path);
        if path.is_none() {
            self.cx.counters.replies_dropped += 1;
            return;
        }
        if self.replies.len() >= SESSION_REPLIES_MAX {
            self.drop_reply();
        }
        let header = self.header(kind, &to, path.as_ref(), session);
        let Message { payload, tag } = message;
        self.replies.push_back((to, DataFrame { lane: Lane::Realtime, header, tag, payload }));
    }

    /// Drops the oldest reply of the link that most wait for: whoever takes none makes room.
    fn drop_reply(&mut self) {
        let link = |peer: &PeerKey| self.peers.get(peer).and_then(|peer| peer.path).map(|p| p.link);
        let links: Vec<Option<LinkId>> = self.replies.iter().map(|(peer, _)| link(peer)).collect();
        let waiting = |link| links.iter().filter(|other| **other == link).count();
        let oldest = (0..links.len()).rev().max_by_key(|at| links.get(*at).map(|l| waiting(*l)));
        if let Some(at) = oldest {
            self.replies.remove(at);
            self.cx.counters.replies_dropped += 1;
        }
    }

    pub(super) fn poll_reply(&mut self, link: LinkId) -> Option<DataFrame> {
        let peers = &self.peers;
        let before = self.replies.len();
        self.replies.retain(|(key, _)| peers.get(key).is_some_and(|peer| peer.path.is_some()));
        self.cx.counters.replies_dropped += (before - self.replies.len()) as u64;
        let at = self.replies.iter().position(|(key, _)| {
            peers.get(key).and_then(|peer| peer.path).is_some_and(|path| path.link == link)
        })?;
        self.replies.remove(at).map(|(_, frame)| frame)
    }
}
