//! The handshake of a link (protocol 3).
//!
//! Noise XX: the initiator's preamble and message 1, the responder's preamble and message 2,
//! message 3. Each message has a 16-bit length ahead.

use alloc::vec::Vec;

use bytes::{Buf, BytesMut};

use super::seal::Seals;
use crate::crypto::noise::{HANDSHAKE_BYTES_MAX, Handshake, Keys, Role, Start};
use crate::entropy::Entropy;
use crate::limits::CONTROL_BYTES_MAX;
use crate::local::Local;
use crate::time::{Duration, Instant};
use crate::wire::handshake::{LinkHello, LinkLimits, PREAMBLE_BYTES, Preamble, Versions};

/// Why a link's handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The first bytes are not a preamble.
    #[error("something else than Hedgerow answers there")]
    NotHedgerow,
    /// No common version.
    #[error(
        "the peer speaks protocol versions {lowest} to {highest}, this node {} to {}; update the older one",
        Versions::OURS.lowest, Versions::OURS.highest
    )]
    Incompatible {
        /// The lowest version the peer speaks.
        lowest: u8,
        /// The highest version the peer speaks.
        highest: u8,
    },
    /// One network is open, the other closed.
    #[error("one side's network is open, the other's closed; check the network secret on both")]
    OpenAndClosed,
    /// A message does not verify.
    #[error("the peer is in another network or has another secret; check both on both sides")]
    OtherNetwork,
    /// The authenticated version range differs from the one in clear.
    #[error("the version range was altered on the way; somebody tampers with this link")]
    Downgraded,
    /// A message has an impossible length, or its payload cannot be read.
    #[error("the peer sent a malformed handshake message")]
    Malformed,
    /// The peer key does not go with the key of the handshake.
    #[error("the peer's key does not go with its handshake; refuse it")]
    KeyNotBound,
    /// The other end, which was dialled, closed instead of an answer.
    #[error(
        "the other end hung up during the handshake; if it does so again, it is in another network \
         or has another secret: check both on both sides"
    )]
    HungUp,
    /// It took too long.
    #[error("the handshake was not finished in time")]
    TimedOut,
}

/// A handshake under way.
#[derive(Debug)]
pub(super) struct Greeting {
    step: Step,
    ours: LinkHello,
    /// Bytes to send.
    pub(super) outbox: Vec<u8>,
    /// When the last message was made: the round trip's start.
    asked_at: Instant,
    pub(super) deadline: Instant,
}

#[derive(Debug)]
enum Step {
    /// Initiator: waits for the responder's preamble and message 2.
    AwaitSecond(Handshake),
    /// Responder: waits for the initiator's preamble and message 1.
    AwaitFirst,
    /// Responder: waits for message 3.
    AwaitThird { handshake: Handshake, theirs: Versions },
    /// Nothing more to do.
    Over,
}

/// What a finished handshake leaves.
pub(super) struct Agreed {
    pub(super) hello: LinkHello,
    pub(super) version: u8,
    pub(super) seals: Seals,
    pub(super) rtt: Duration,
    /// Equal at both ends, unique to this link.
    pub(super) hash: [u8; 32],
}

/// What the bytes so far came to.
pub(super) enum Progress {
    Waiting,
    Agreed(alloc::boxed::Box<Agreed>),
}

/// The hello this node sends on a link that takes payloads of `payload_bytes_max` bytes and so many
/// fragments of a lane at once.
pub(super) fn hello(
    local: &Local,
    payload_bytes_max: usize,
    fragments_max: u16,
    profile_sequence: u64,
) -> LinkHello {
    LinkHello {
        peer_key: local.peer_key(),
        binding: crate::identity::StaticBinding::Converted,
        instance: local.instance,
        epoch: local.epoch,
        versions: Versions::OURS,
        limits: LinkLimits {
            payload_bytes_max: u32::try_from(payload_bytes_max).unwrap_or(u32::MAX),
            control_bytes_max: u32::try_from(CONTROL_BYTES_MAX).unwrap_or(u32::MAX),
            fragments_max,
            lanes: 4,
        },
        profile_sequence,
    }
}

impl Greeting {
    pub(super) fn begin(
        now: Instant,
        deadline: Instant,
        role: Role,
        local: &Local,
        ours: LinkHello,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let mut greeting =
            Self { step: Step::AwaitFirst, ours, outbox: Vec::new(), asked_at: now, deadline };
        if role == Role::Initiator {
            let preamble = Preamble::ours(&local.network).encode();
            let mut handshake = start(Role::Initiator, local, &preamble, entropy);
            greeting.outbox.extend_from_slice(&preamble);
            greeting.push(&handshake.write(&[]));
            greeting.step = Step::AwaitSecond(handshake);
        }
        greeting
    }

    /// Whether the other end was dialled and owes an answer.
    pub(super) fn awaits_answer(&self) -> bool {
        matches!(self.step, Step::AwaitSecond(_))
    }

    fn push(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).expect("handshake messages are below 1 KiB");
        self.outbox.extend_from_slice(&length.to_be_bytes());
        self.outbox.extend_from_slice(message);
    }

    /// Takes whole messages off `inbox`.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        local: &Local,
        entropy: &mut dyn Entropy,
        inbox: &mut BytesMut,
    ) -> Result<Progress, HandshakeFailure> {
        loop {
            // A failure leaves `Over`: the caller closes the link.
            let progress = match core::mem::replace(&mut self.step, Step::Over) {
                Step::AwaitFirst => self.first(now, local, entropy, inbox)?,
                Step::AwaitSecond(handshake) => self.second(now, local, handshake, inbox)?,
                Step::AwaitThird { handshake, theirs } => {
                    self.third(now, local, handshake, theirs, inbox)?
                }
                Step::Over => None,
            };
            match progress {
                Some(Progress::Waiting) => {}
                Some(agreed) => return Ok(agreed),
                None => return Ok(Progress::Waiting),
            }
        }
    }

    /// The responder reads preamble and message 1 and answers. `None`: more bytes are needed.
    fn first(
        &mut self,
        now: Instant,
        local: &Local,
        entropy: &mut dyn Entropy,
        inbox: &mut BytesMut,
    ) -> Result<Option<Progress>, HandshakeFailure> {
        let Some(bytes) = inbox.first_chunk::<PREAMBLE_BYTES>().copied() else {
            self.step = Step::AwaitFirst;
            return Ok(None);
        };
        let preamble = Preamble::decode(&bytes).ok_or(HandshakeFailure::NotHedgerow)?;
        let ours = Preamble::ours(&local.network);
        if let Err(failure) = meet(ours, preamble) {
            // The preamble is the one thing an incompatible peer can read: let it know too.
            self.outbox.extend_from_slice(&ours.encode());
            return Err(failure);
        }
        let Some(message) = message(inbox, PREAMBLE_BYTES)? else {
            self.step = Step::AwaitFirst;
            return Ok(None);
        };
        let mut handshake = start(Role::Responder, local, &bytes, entropy);
        handshake.read(&message).map_err(|_| HandshakeFailure::OtherNetwork)?;
        self.outbox.extend_from_slice(&ours.encode());
        self.push(&handshake.write(&self.ours.encode()));
        self.asked_at = now;
        self.step = Step::AwaitThird { handshake, theirs: preamble.versions };
        Ok(Some(Progress::Waiting))
    }

    /// The initiator reads preamble and message 2 and sends message 3.
    fn second(
        &mut self,
        now: Instant,
        local: &Local,
        mut handshake: Handshake,
        inbox: &mut BytesMut,
    ) -> Result<Option<Progress>, HandshakeFailure> {
        let Some(bytes) = inbox.first_chunk::<PREAMBLE_BYTES>() else {
            self.step = Step::AwaitSecond(handshake);
            return Ok(None);
        };
        let preamble = Preamble::decode(bytes).ok_or(HandshakeFailure::NotHedgerow)?;
        meet(Preamble::ours(&local.network), preamble)?;
        let Some(message) = message(inbox, PREAMBLE_BYTES)? else {
            self.step = Step::AwaitSecond(handshake);
            return Ok(None);
        };
        let payload = handshake.read(&message).map_err(|_| HandshakeFailure::OtherNetwork)?;
        let theirs = check_hello(&payload, &handshake, preamble.versions)?;
        self.push(&handshake.write(&self.ours.encode()));
        Ok(Some(agree(local, handshake.finish(), theirs, now.since(self.asked_at))))
    }

    /// The responder reads message 3.
    fn third(
        &mut self,
        now: Instant,
        local: &Local,
        mut handshake: Handshake,
        theirs: Versions,
        inbox: &mut BytesMut,
    ) -> Result<Option<Progress>, HandshakeFailure> {
        let Some(message) = message(inbox, 0)? else {
            self.step = Step::AwaitThird { handshake, theirs };
            return Ok(None);
        };
        let payload = handshake.read(&message).map_err(|_| HandshakeFailure::OtherNetwork)?;
        let hello = check_hello(&payload, &handshake, theirs)?;
        Ok(Some(agree(local, handshake.finish(), hello, now.since(self.asked_at))))
    }
}

fn start(
    role: Role,
    local: &Local,
    initiator_preamble: &[u8; PREAMBLE_BYTES],
    entropy: &mut dyn Entropy,
) -> Handshake {
    let prologue = Preamble::prologue(initiator_preamble, &local.network);
    let psk = local.network.psk();
    Handshake::link(&Start { role, identity: &local.identity, psk, prologue: &prologue }, entropy)
}

/// Takes one length-prefixed message that starts `skip` bytes into `inbox`.
fn message(inbox: &mut BytesMut, skip: usize) -> Result<Option<BytesMut>, HandshakeFailure> {
    let rest = inbox.get(skip..).unwrap_or_default();
    let Some(length) = rest.first_chunk::<2>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if length > HANDSHAKE_BYTES_MAX {
        return Err(HandshakeFailure::Malformed);
    }
    if rest.len() < 2 + length {
        return Ok(None);
    }
    inbox.advance(skip + 2);
    Ok(Some(inbox.split_to(length)))
}

fn meet(ours: Preamble, theirs: Preamble) -> Result<u8, HandshakeFailure> {
    let Versions { lowest, highest } = theirs.versions;
    let version = ours
        .versions
        .highest_common(theirs.versions)
        .ok_or(HandshakeFailure::Incompatible { lowest, highest })?;
    if ours.closed == theirs.closed { Ok(version) } else { Err(HandshakeFailure::OpenAndClosed) }
}

fn check_hello(
    payload: &[u8],
    handshake: &Handshake,
    in_clear: Versions,
) -> Result<LinkHello, HandshakeFailure> {
    let hello = LinkHello::decode(payload).ok_or(HandshakeFailure::Malformed)?;
    if hello.versions != in_clear {
        return Err(HandshakeFailure::Downgraded);
    }
    let bound = hello.binding.static_key(&hello.peer_key);
    if bound.is_none() || bound != handshake.remote_static() {
        return Err(HandshakeFailure::KeyNotBound);
    }
    Ok(hello)
}

fn agree(local: &Local, keys: Keys, hello: LinkHello, rtt: Duration) -> Progress {
    let version = Versions::OURS.highest_common(hello.versions).unwrap_or(Versions::OURS.lowest);
    let hash = keys.hash;
    let seals = Seals::new(local.aead.as_ref(), &keys);
    Progress::Agreed(alloc::boxed::Box::new(Agreed { hello, version, seals, rtt, hash }))
}
