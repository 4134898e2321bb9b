//! What the Bus knows of one peer: its path, its session, handshakes under way.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::config::Path;
use super::handshake::{Hello, Initiation, Message};
use super::seal::Keys;
use super::session::Session;
use super::shared::Shared;
use crate::crypto::aead::Tag;
use crate::id::PeerKey;
use crate::io::Lane;
use crate::time::{Instant, earliest};

/// A handshake that this node answered and whose initiator has proven nothing yet.
#[derive(Debug)]
pub(super) struct Answer {
    /// The tag of the message that was answered.
    pub(super) call: Tag,
    pub(super) message: Message,
    pub(super) keys: Keys,
    pub(super) hello: Hello,
    /// This node's number of the session that the keys are for.
    pub(super) session: u64,
    /// When it was made; `None` once it was repeated, as then it measures no round trip.
    pub(super) made: Option<Instant>,
    pub(super) expires: Instant,
}

/// Every peer of the mesh that can be reached has one: what few have stands elsewhere.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: PeerKey,
    pub(super) static_key: Option<[u8; 32]>,
    pub(super) path: Option<Path>,
    pub(super) session: Option<Box<Session>>,
    pub(super) initiation: Option<Box<Initiation>>,
    pub(super) answers: Vec<Answer>,
    /// The number of this node's next session with the peer, once one was told.
    pub(super) next_session: Option<u64>,
    /// The message that made the session's keys: a replay of it is not answered.
    pub(super) last_call: Option<Tag>,
    /// The peer hinted that it does not know the session.
    pub(super) hinted: bool,
    /// The peer answered for another session than the one it was asked for: the number of that one
    /// is spent, and the next handshake is for a new one.
    pub(super) is_spent: bool,
    /// When a handshake may be tried for a standing session.
    pub(super) renew_after: Instant,
    pub(super) queued: [bool; 3],
    /// Whether data waits for it, and it is in the backlog of its path's link.
    pub(super) is_behind: bool,
    pub(super) deadline: Option<Instant>,
}

const _: () = assert!(core::mem::size_of::<Peer>() <= 384);

impl Peer {
    pub(super) fn new(key: PeerKey) -> Self {
        Self {
            key,
            static_key: None,
            path: None,
            session: None,
            initiation: None,
            answers: Vec::new(),
            next_session: None,
            last_call: None,
            hinted: false,
            is_spent: false,
            renew_after: Instant::EPOCH,
            queued: [false; 3],
            is_behind: false,
            deadline: None,
        }
    }

    /// The number for a session that is about to be made.
    pub(super) fn session_number(&mut self, cx: &mut Shared) -> u64 {
        *self.next_session.get_or_insert_with(|| cx.next_number())
    }

    /// Whether a handshake should be begun now.
    pub(super) fn wants_initiation(&self, now: Instant) -> bool {
        let Some(session) = &self.session else { return false };
        if self.initiation.is_some() || session.is_closing() {
            return false;
        }
        if session.keys.is_none() {
            return session.is_needed();
        }
        (self.hinted || session.wants_rekey(now)) && self.renew_after <= now
    }

    pub(super) fn wants(&self, now: Instant, lane: Lane) -> bool {
        if lane == Lane::Realtime
            && (self.wants_initiation(now)
                || self.initiation.as_ref().is_some_and(|begun| begun.next_try <= now))
        {
            return true;
        }
        self.session.as_ref().is_some_and(|session| session.wants(now, lane))
    }

    pub(super) fn next_timeout(&self, cx: &Shared) -> Option<Instant> {
        let has_path = self.path.is_some();
        let renew = self.hinted && self.initiation.is_none() && has_path && self.session.is_some();
        earliest([
            self.session.as_ref().and_then(|session| session.next_timeout(cx, has_path)),
            self.initiation.as_ref().filter(|_| has_path).map(|begun| begun.next_try),
            self.answers.iter().map(|answer| answer.expires).min(),
            renew.then_some(self.renew_after),
        ])
    }

    pub(super) fn expire_answers(&mut self, now: Instant, indices: &mut BTreeMap<u32, PeerKey>) {
        self.answers.retain(|answer| {
            let kept = answer.expires > now;
            if !kept {
                indices.remove(&answer.keys.local_index);
            }
            kept
        });
    }

    pub(super) fn forget_initiation(&mut self, indices: &mut BTreeMap<u32, PeerKey>) {
        if let Some(initiation) = self.initiation.take() {
            indices.remove(&initiation.hello.index);
        }
    }

    pub(super) fn forget_handshakes(&mut self, indices: &mut BTreeMap<u32, PeerKey>) {
        self.forget_initiation(indices);
        for answer in self.answers.drain(..) {
            indices.remove(&answer.keys.local_index);
        }
    }

    /// Drops a session that never came up and is not needed any more, and its handshake.
    pub(super) fn forget_unneeded(&mut self, indices: &mut BTreeMap<u32, PeerKey>) {
        let unneeded = self
            .session
            .as_ref()
            .is_some_and(|session| session.keys.is_none() && !session.is_needed());
        if unneeded {
            // Its number was told to the peer perhaps: the next session may have it.
            self.next_session = self.session.take().map(|session| session.number);
            self.forget_initiation(indices);
        }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.path.is_none()
            && self.session.is_none()
            && self.initiation.is_none()
            && self.answers.is_empty()
    }
}
