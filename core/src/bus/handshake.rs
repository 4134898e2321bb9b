//! The session handshake: Noise KK between peer keys (protocol 8.1 and 8.2).

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation)]

use alloc::vec::Vec;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};

use super::config::{BusConfig, Local};
use super::seal::{Indices, Keys};
use crate::crypto::aead::{TAG_BYTES, Tag};
use crate::crypto::cipher::Ciphers;
use crate::crypto::noise::{Handshake, Role, Start};
use crate::entropy::Entropy;
use crate::id::{Address, Instance, PeerKey};
use crate::identity::StaticBinding;
use crate::limits::VERSION_HIGHEST;
use crate::time::Instant;

/// What each end says of itself inside the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The sender's number of the keys: what packets to it must show.
    pub(super) index: u32,
    pub(super) instance: Instance,
    /// The sender's number of the session, kept through rekeying.
    pub(super) session: u64,
    pub(super) message_bytes_max: u32,
    pub(super) unreliable_bytes_max: u32,
    /// What the sender offers. Both ends offer all they have, whatever an advert says: adverts
    /// may be stale, and these two sets are authenticated and settle it.
    pub(super) ciphers: Ciphers,
}

/// What message 1 shows before its Noise message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// A peer key, not checked.
    peer: [u8; 32],
    binding: StaticBinding,
}

/// A handshake message as the payload and tag of a data frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) payload: BytesMut,
    pub(super) tag: Tag,
}

/// The message is malformed, altered, for somebody else, or from a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl Hello {
    pub(super) fn new(local: &Local, config: &BusConfig, index: u32, session: u64) -> Self {
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            index,
            instance: local.instance,
            session,
            message_bytes_max: size(config.message_bytes_max),
            unreliable_bytes_max: size(config.unreliable_bytes_max),
            ciphers: Ciphers::of(local.aead.as_ref()),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a Hello is plain numbers")
    }

    /// Later builds may append fields.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let (hello, _) = postcard::take_from_bytes::<Self>(bytes).map_err(|_| Refused)?;
        if !hello.ciphers.is_valid() || hello.index == 0 {
            return Err(Refused);
        }
        Ok(hello)
    }
}

fn prologue(local: &Local, initiator: &PeerKey, responder: &PeerKey) -> Vec<u8> {
    let mut bytes = b"hedgerow session".to_vec();
    bytes.push(VERSION_HIGHEST);
    bytes.extend_from_slice(local.network.id());
    bytes.extend_from_slice(initiator.as_bytes());
    bytes.extend_from_slice(responder.as_bytes());
    bytes
}

fn message(head: &[u8], noise: &[u8]) -> Message {
    let (body, tag) = noise.split_last_chunk::<TAG_BYTES>().expect("Noise messages end in a tag");
    let mut payload = BytesMut::with_capacity(head.len() + body.len());
    payload.extend_from_slice(head);
    payload.extend_from_slice(body);
    Message { payload, tag: *tag }
}

/// A handshake that this node began.
#[derive(Debug)]
pub(super) struct Initiation {
    handshake: Handshake,
    pub(super) message: Message,
    pub(super) hello: Hello,
    pub(super) tries: u32,
    pub(super) sent_at: Instant,
    pub(super) next_try: Instant,
}

impl Initiation {
    pub(super) fn new(
        now: Instant,
        local: &Local,
        (peer, static_key): (&PeerKey, &[u8; 32]),
        hello: Hello,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let own = local.identity.peer_key();
        let start = Start {
            role: Role::Initiator,
            identity: &local.identity,
            psk: local.network.psk(),
            prologue: &prologue(local, &own, peer),
        };
        let mut handshake = Handshake::session(&start, static_key, entropy);
        let head = Head { peer: *own.as_bytes(), binding: StaticBinding::Converted };
        let head = postcard::to_allocvec(&head).expect("a Head is plain bytes");
        let noise = handshake.write(&hello.encode());
        let message = message(&head, &noise);
        Self { handshake, message, hello, tries: 0, sent_at: now, next_try: now }
    }

    /// Reads the answer; a failure leaves the handshake as it was.
    pub(super) fn read(&mut self, payload: &[u8], tag: &Tag) -> Result<Hello, Refused> {
        let mut noise = payload.to_vec();
        noise.extend_from_slice(tag);
        Hello::decode(&self.handshake.read(&noise).map_err(|_| Refused)?)
    }

    pub(super) fn finish(
        self,
        now: Instant,
        local: &Local,
        peer: &PeerKey,
        answer: &Hello,
    ) -> Keys {
        let indices = Indices { local: self.hello.index, remote: answer.index };
        let cipher = self.hello.ciphers.agree(answer.ciphers);
        Keys::new(local, peer.address(), cipher, &self.handshake.finish(), indices, now)
    }
}

/// A first message that is who it says it is.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) peer: PeerKey,
    handshake: Handshake,
    pub(super) hello: Hello,
}

/// Who a first message says it is from.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    /// A valid key that fits the address.
    pub(super) peer: PeerKey,
    binding: StaticBinding,
    /// The Noise message without its tag.
    body: &'a [u8],
}

impl<'a> Caller<'a> {
    /// `known` is the peer at `source`, if there is one: its key was checked before.
    pub(super) fn read(
        source: Address,
        known: Option<PeerKey>,
        payload: &'a [u8],
    ) -> Result<Self, Refused> {
        let (head, body) = postcard::take_from_bytes::<Head>(payload).map_err(|_| Refused)?;
        if PeerKey::from_checked(head.peer).address() != source {
            return Err(Refused);
        }
        let peer = match known.filter(|known| *known.as_bytes() == head.peer) {
            Some(known) => known,
            None => PeerKey::from_bytes(head.peer).map_err(|_| Refused)?,
        };
        Ok(Self { peer, binding: head.binding, body })
    }
}

impl Call {
    pub(super) fn read(
        local: &Local,
        caller: Caller<'_>,
        tag: &Tag,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, Refused> {
        let own = local.identity.peer_key();
        if caller.peer == own {
            return Err(Refused);
        }
        let static_key = caller.binding.static_key(&caller.peer).ok_or(Refused)?;
        let start = Start {
            role: Role::Responder,
            identity: &local.identity,
            psk: local.network.psk(),
            prologue: &prologue(local, &caller.peer, &own),
        };
        let mut handshake = Handshake::session(&start, &static_key, entropy);
        let mut noise = caller.body.to_vec();
        noise.extend_from_slice(tag);
        let hello = Hello::decode(&handshake.read(&noise).map_err(|_| Refused)?)?;
        Ok(Self { peer: caller.peer, handshake, hello })
    }

    /// Answers it; the keys are not to be used before the caller has proven that it has them.
    pub(super) fn answer(mut self, now: Instant, local: &Local, hello: &Hello) -> (Message, Keys) {
        let noise = self.handshake.write(&hello.encode());
        let indices = Indices { local: hello.index, remote: self.hello.index };
        let cipher = hello.ciphers.agree(self.hello.ciphers);
        let noise_keys = self.handshake.finish();
        let keys = Keys::new(local, self.peer.address(), cipher, &noise_keys, indices, now);
        (message(&[], &noise), keys)
    }
}
