//! The seal of session packets (protocol 8.3).

use alloc::boxed::Box;
use core::fmt;

use super::config::Local;
use crate::crypto::aead::{Aead, SealBroken, Tag};
use crate::crypto::hash::{Domain, digest};
use crate::crypto::noise;
use crate::id::Address;
use crate::io::Lane;
use crate::limits::VERSION_HIGHEST;
use crate::time::Instant;

/// The cipher that every build has: ChaCha20-Poly1305.
pub(super) const CHACHA20_POLY1305: u8 = 1;

/// The keys of one handshake, and the numbers that name them.
pub(super) struct Keys {
    send: Box<dyn Aead>,
    receive: Box<dyn Aead>,
    pub(super) local_index: u32,
    pub(super) remote_index: u32,
    pub(super) phase: bool,
    pub(super) made: Instant,
    pub(super) sealed: u64,
    local: Address,
    remote: Address,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("local_index", &self.local_index).finish_non_exhaustive()
    }
}

/// Both ends' numbers of a handshake's keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indices {
    pub(super) local: u32,
    pub(super) remote: u32,
}

fn associated(
    source: Address,
    destination: Address,
    session: u32,
    number: u64,
    lane: Lane,
) -> [u8; 30] {
    let fields = [VERSION_HIGHEST]
        .into_iter()
        .chain(*source.as_bytes())
        .chain(*destination.as_bytes())
        .chain(session.to_be_bytes())
        .chain(number.to_be_bytes())
        .chain([lane.bits()]);
    let mut bytes = [0; 30];
    bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    bytes
}

/// Lanes count packets each for itself, so the lane makes the nonce unique.
fn nonce(number: u64, lane: Lane) -> u64 {
    (u64::from(lane.bits()) << 62) | number
}

impl Keys {
    pub(super) fn new(
        local: &Local,
        remote: Address,
        keys: &noise::Keys,
        indices: Indices,
        now: Instant,
    ) -> Self {
        let labelled = |key: &[u8; 32]| digest(Domain::SessionKey, &[&[CHACHA20_POLY1305], key]);
        Self {
            send: local.aead.chacha20_poly1305(&labelled(&keys.send)),
            receive: local.aead.chacha20_poly1305(&labelled(&keys.receive)),
            local_index: indices.local,
            remote_index: indices.remote,
            phase: false,
            made: now,
            sealed: 0,
            local: local.identity.peer_key().address(),
            remote,
        }
    }

    pub(super) fn seal(&mut self, number: u64, lane: Lane, data: &mut [u8]) -> Tag {
        self.sealed += 1;
        let associated = associated(self.local, self.remote, self.remote_index, number, lane);
        self.send.seal(nonce(number, lane), &associated, data)
    }

    pub(super) fn open(
        &self,
        number: u64,
        lane: Lane,
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken> {
        let associated = associated(self.remote, self.local, self.local_index, number, lane);
        self.receive.open(nonce(number, lane), &associated, data, tag)
    }
}
