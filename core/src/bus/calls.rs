//! What the application asks of the Bus.

use alloc::boxed::Box;

use bytes::Bytes;

use super::Bus;
use super::error::{NoSuchMessage, NoSuchStream, OpenError, SendError, StreamSendError};
use super::event::{IncomingMessage, MessageId, Reliability, StreamId, StreamOpen};
use super::reason::RejectReason;
use super::session::Session;
use super::stream::Name;
use crate::entropy::Entropy;
use crate::id::PeerKey;
use crate::io::Lane;
use crate::limits::{OPEN_ARGS_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::time::{Duration, Instant};

impl Bus {
    /// Sends a message that arrives exactly once and in order among the messages of its lane to
    /// this peer, or fails with a reason. What became of it comes as
    /// [`super::BusEvent::MessageDone`].
    ///
    /// `give_up` is how long it may wait for a route or the word that it was delivered; without
    /// it, the Bus's own time counts from the last progress of the session. A message of which
    /// bytes are on their way already cannot be taken back: its outcome is `Unknown` then, and it
    /// may still arrive.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send_reliable(
        &mut self,
        now: Instant,
        peer: PeerKey,
        lane: Lane,
        data: Bytes,
        give_up: Option<Duration>,
    ) -> Result<MessageId, SendError> {
        self.check(peer, lane, data.len(), Reliability::Reliable)?;
        let session = self.session(peer).ok_or(SendError::Refused)?;
        let (session, cx) = session;
        let result = session.send_reliable(cx, now, lane, data, give_up);
        self.refresh(now, peer);
        result
    }

    /// Sends a message that arrives at most once. Returns its sequence, from 1.
    ///
    /// After `deadline` (at most [`crate::limits::UNRELIABLE_AGE_MAX`]) it is not sent any more.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub fn send_unreliable(
        &mut self,
        now: Instant,
        peer: PeerKey,
        lane: Lane,
        data: Bytes,
        deadline: Option<Duration>,
    ) -> Result<u64, SendError> {
        self.check(peer, lane, data.len(), Reliability::Unreliable)?;
        if self.peers.get(&peer).is_none_or(|known| known.path.is_none()) {
            return Err(SendError::NoRoute);
        }
        let (session, cx) = self.session(peer).ok_or(SendError::Refused)?;
        let result = session.send_unreliable(cx, now, lane, data, deadline);
        self.refresh(now, peer);
        result
    }

    fn check(
        &self,
        peer: PeerKey,
        lane: Lane,
        length: usize,
        reliability: Reliability,
    ) -> Result<(), SendError> {
        if self.closed {
            return Err(SendError::Closed);
        }
        if lane == Lane::Control {
            return Err(SendError::ControlLane);
        }
        let limit = self.message_bytes_max(peer, reliability);
        if length > limit {
            return Err(SendError::TooLarge { limit });
        }
        Ok(())
    }

    /// The largest message that this node and, as far as is known, `peer` accept, in bytes.
    #[must_use]
    pub fn message_bytes_max(&self, peer: PeerKey, reliability: Reliability) -> usize {
        match self.peers.get(&peer).and_then(|peer| peer.session.as_ref()) {
            Some(session) => session.bytes_max(&self.cx, reliability),
            None if reliability == Reliability::Reliable => self.cx.config.message_bytes_max,
            None => self.cx.config.unreliable_bytes_max,
        }
    }

    /// How many sessions there are, up or coming up.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.peers.values().filter(|peer| peer.session.is_some()).count()
    }

    /// The session with a peer, made if there is none.
    pub(super) fn session(&mut self, key: PeerKey) -> Option<(&mut Session, &mut super::Shared)> {
        if self.denied.contains(&key)
            || key == self.cx.local.identity.peer_key()
            || self.is_full_of_sessions(key)
        {
            return None;
        }
        if self
            .peers
            .get(&key)
            .is_some_and(|p| p.session.as_deref().is_some_and(Session::is_closing))
        {
            self.drop_session(key);
        }
        let peer = Self::peer(&mut self.peers, &mut self.addresses, key)?;
        if peer.session.is_none() {
            let number = peer.session_number(&mut self.cx);
            peer.next_session = None;
            let session = Session::new(key, number, &self.cx, peer.path.as_ref());
            peer.session = Some(Box::new(session));
        }
        peer.session.as_deref_mut().map(|session| (session, &mut self.cx))
    }

    /// Takes the next single message. A reliable one must then be accepted or rejected: until
    /// then its sender does not hear that it was delivered.
    pub fn next_message(&mut self, now: Instant) -> Option<IncomingMessage> {
        let reliable_first = core::mem::replace(&mut self.cx.inbox.reliable_next, false);
        let message = if reliable_first {
            self.next_reliable(now).or_else(|| self.next_loose())
        } else {
            self.next_loose().or_else(|| self.next_reliable(now))
        };
        match &message {
            Some(message) => {
                self.cx.inbox.reliable_next = message.reliability == Reliability::Unreliable;
            }
            None => self.cx.inbox.told = false,
        }
        message
    }

    /// As [`Self::next_message`], accepting it at once.
    pub fn take_message(&mut self, now: Instant) -> Option<IncomingMessage> {
        let message = self.next_message(now)?;
        if message.reliability == Reliability::Reliable {
            let accepted = self.accept_message(now, message.id);
            debug_assert_eq!(accepted, Ok(()), "a message just taken waits for a verdict");
        }
        Some(message)
    }

    fn next_loose(&mut self) -> Option<IncomingMessage> {
        let message = self.cx.inbox.loose.pop_front()?;
        self.cx.inbox.loose_bytes -= message.data.len();
        Some(message)
    }

    fn next_reliable(&mut self, now: Instant) -> Option<IncomingMessage> {
        if self.cx.inbox.unsettled.len() >= self.cx.config.inbox_messages_max {
            return None;
        }
        while let Some((peer, lane)) = self.cx.inbox.readable.pop_front() {
            let Some(session) = self.peers.get_mut(&peer).and_then(|p| p.session.as_mut()) else {
                continue;
            };
            let taken = session.next_message(&mut self.cx, now, lane);
            let Some((sequence, data)) = taken else { continue };
            let id = MessageId(self.cx.next_number());
            self.cx.inbox.unsettled.insert(id, (peer, lane, sequence));
            self.cx.counters.messages_received += 1;
            self.refresh(now, peer);
            let reliability = Reliability::Reliable;
            return Some(IncomingMessage { id, peer, reliability, lane, sequence, data });
        }
        None
    }

    /// The message is in the application's queue: its sender hears *delivered*.
    ///
    /// # Errors
    /// [`NoSuchMessage`]; the sender hears of another outcome, or did already.
    pub fn accept_message(&mut self, now: Instant, id: MessageId) -> Result<(), NoSuchMessage> {
        self.settle_message(now, id, None)
    }

    /// The application does not take the message: its sender hears why.
    ///
    /// # Errors
    /// [`NoSuchMessage`], as for accepting.
    pub fn reject_message(
        &mut self,
        now: Instant,
        id: MessageId,
        reason: RejectReason,
    ) -> Result<(), NoSuchMessage> {
        self.settle_message(now, id, Some(reason))?;
        self.cx.counters.messages_rejected += 1;
        Ok(())
    }

    fn settle_message(
        &mut self,
        now: Instant,
        id: MessageId,
        rejected: Option<RejectReason>,
    ) -> Result<(), NoSuchMessage> {
        let full = self.cx.inbox.unsettled.len() >= self.cx.config.inbox_messages_max;
        let (key, lane, sequence) = self.cx.inbox.unsettled.remove(&id).ok_or(NoSuchMessage)?;
        if full && !self.cx.inbox.readable.is_empty() {
            self.cx.announce_messages();
        }
        let session = self.peers.get_mut(&key).and_then(|peer| peer.session.as_mut());
        let session = session.ok_or(NoSuchMessage)?;
        session.settle(lane, sequence, rejected);
        self.refresh(now, key);
        Ok(())
    }

    /// Offers a stream to a peer. [`super::BusEvent::StreamOpened`] tells that it was accepted;
    /// messages given before that wait, within the same limits.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was offered then.
    pub fn open_stream(
        &mut self,
        now: Instant,
        _entropy: &mut dyn Entropy,
        peer: PeerKey,
        open: StreamOpen,
    ) -> Result<StreamId, OpenError> {
        if self.closed {
            return Err(OpenError::Closed);
        }
        if open.lane == Lane::Control {
            return Err(OpenError::ControlLane);
        }
        for (length, limit) in
            [(open.topic.len(), TOPIC_BYTES_MAX), (open.args.len(), OPEN_ARGS_BYTES_MAX)]
        {
            if length > limit {
                return Err(OpenError::TooLarge { limit });
            }
        }
        let limit = self.cx.config.streams_max;
        if self.cx.streams.len() >= limit {
            return Err(OpenError::TooManyStreams { limit });
        }
        let (session, cx) = self.session(peer).ok_or(OpenError::Refused)?;
        if !session.has_room_for_stream(cx) {
            return Err(OpenError::TooManyStreams { limit: cx.config.streams_per_peer_max });
        }
        let id = session.open_stream(cx, now, open);
        self.refresh(now, peer);
        Ok(id)
    }

    fn with_stream<T>(
        &mut self,
        now: Instant,
        id: StreamId,
        act: impl FnOnce(&mut Session, &mut super::Shared, Name) -> T,
    ) -> Option<T> {
        let (key, name) = *self.cx.streams.get(&id)?;
        let session = self.peers.get_mut(&key)?.session.as_mut()?;
        let result = act(session, &mut self.cx, name);
        self.refresh(now, key);
        Some(result)
    }

    /// Accepts an offered stream with arguments for the other side.
    ///
    /// # Errors
    /// [`NoSuchStream`], also for arguments over [`OPEN_ARGS_BYTES_MAX`].
    pub fn accept_stream(
        &mut self,
        now: Instant,
        id: StreamId,
        args: Bytes,
    ) -> Result<(), NoSuchStream> {
        if args.len() > OPEN_ARGS_BYTES_MAX {
            return Err(NoSuchStream);
        }
        self.with_stream(now, id, |session, cx, name| session.accept_stream(cx, name, args))
            .unwrap_or(Err(NoSuchStream))
    }

    /// Refuses an offered stream. It closes here as `ClosedByLocal`, there as `Rejected`.
    ///
    /// # Errors
    /// [`NoSuchStream`].
    pub fn reject_stream(
        &mut self,
        now: Instant,
        id: StreamId,
        reason: RejectReason,
    ) -> Result<(), NoSuchStream> {
        self.with_stream(now, id, |session, cx, name| session.reject_stream(cx, name, reason))
            .unwrap_or(Err(NoSuchStream))
    }

    /// Sends a message on a stream. Returns its sequence, from 1.
    ///
    /// # Errors
    /// [`StreamSendError`]; nothing was sent then.
    pub fn stream_send(
        &mut self,
        now: Instant,
        id: StreamId,
        data: Bytes,
    ) -> Result<u64, StreamSendError> {
        self.with_stream(now, id, |session, cx, name| session.stream_send(cx, now, name, data))
            .unwrap_or(Err(StreamSendError::Unknown))
    }

    /// Takes the next message of a stream; its sender hears that it is in the queue here.
    pub fn stream_next(&mut self, now: Instant, id: StreamId) -> Option<Bytes> {
        self.with_stream(now, id, |session, cx, name| session.stream_next(cx, now, name)).flatten()
    }

    /// Ends this side's half: no more messages. What was sent still arrives.
    ///
    /// # Errors
    /// [`NoSuchStream`], also when this half is ended already.
    pub fn stream_finish(&mut self, now: Instant, id: StreamId) -> Result<(), NoSuchStream> {
        self.with_stream(now, id, Session::stream_finish).unwrap_or(Err(NoSuchStream))
    }

    /// Ends both halves at once; what is on its way may be lost. The other side sees
    /// `Reset{code}`.
    ///
    /// # Errors
    /// [`NoSuchStream`].
    pub fn stream_reset(
        &mut self,
        now: Instant,
        id: StreamId,
        code: u64,
    ) -> Result<(), NoSuchStream> {
        self.with_stream(now, id, |session, cx, name| session.stream_reset(cx, name, code))
            .unwrap_or(Err(NoSuchStream))
    }

    /// All messages up to this sequence are in the remote application's queue.
    #[must_use]
    pub fn stream_acked(&self, id: StreamId) -> Option<u64> {
        let (key, name) = self.cx.streams.get(&id)?;
        self.peers.get(key)?.session.as_ref()?.stream_acked(*name)
    }

    /// The largest message a stream takes, in bytes.
    #[must_use]
    pub fn stream_bytes_max(&self, id: StreamId) -> Option<usize> {
        let (key, name) = self.cx.streams.get(&id)?;
        let session = self.peers.get(key)?.session.as_ref()?;
        Some(session.bytes_max(&self.cx, session.reliability(*name)?))
    }
}
