//! The seal of a stream-shaped link: a counter in sending order is the nonce (protocol 4.1).

use alloc::vec::Vec;
use core::fmt;

use bytes::{Buf, BytesMut};

use crate::crypto::aead::{AeadProvider, SealBroken, TAG_BYTES, Tag};
use crate::crypto::cipher::{Cipher, Keyed};
use crate::crypto::noise::Keys;
use crate::wire::frame::{DataFrame, PREFIX_BYTES, Prefix};
use crate::wire::lane::Lane;
use crate::wire::routing::{ROUTING_HEADER_BYTES, RoutingHeader};

/// Both directions' seals.
pub(super) struct Seals {
    send: Direction,
    receive: Direction,
}

struct Direction {
    key: Keyed,
    counter: u64,
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seals")
            .field("sent", &self.send.counter)
            .field("received", &self.receive.counter)
            .finish_non_exhaustive()
    }
}

impl Direction {
    fn next(&mut self) -> u64 {
        let nonce = self.counter;
        self.counter += 1;
        nonce
    }
}

impl Seals {
    pub(super) fn new(aead: &dyn AeadProvider, keys: &Keys) -> Self {
        // Headers are too short for another cipher to matter.
        let direction = |key: &[u8; 32]| Direction {
            key: Keyed::new(aead, Cipher::ChaCha20Poly1305, key),
            counter: 0,
        };
        Self { send: direction(&keys.send), receive: direction(&keys.receive) }
    }

    /// Appends a sealed control frame with `messages` to `out`.
    pub(super) fn seal_control(&mut self, lane: Lane, messages: &mut [u8], out: &mut Vec<u8>) {
        let prefix = Prefix { lane, data: false, length: messages.len() + TAG_BYTES }.encode();
        let tag = self.send.key.seal(self.send.counter, &prefix, messages);
        self.send.counter += 1;
        out.extend_from_slice(&prefix);
        out.extend_from_slice(messages);
        out.extend_from_slice(&tag);
    }

    /// Appends a data frame with its header sealed; the payload is copied as it is.
    pub(super) fn seal_data(&mut self, frame: &DataFrame, out: &mut Vec<u8>) {
        let prefix = frame.prefix().encode();
        let mut header = frame.header.encode();
        let nonce = self.send.next();
        let tag = self.send.key.seal(nonce, &associated(prefix, &frame.tag), &mut header);
        out.extend_from_slice(&prefix);
        out.extend_from_slice(&header);
        out.extend_from_slice(&tag);
        out.extend_from_slice(&frame.tag);
        out.extend_from_slice(&frame.payload);
    }

    /// Opens what followed the prefix of a control frame.
    pub(super) fn open_control(
        &mut self,
        prefix: Prefix,
        mut sealed: BytesMut,
    ) -> Result<BytesMut, SealBroken> {
        let (_, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(SealBroken)?;
        let tag = *tag;
        sealed.truncate(sealed.len() - TAG_BYTES);
        let nonce = self.receive.next();
        self.receive.key.open(nonce, &prefix.encode(), &mut sealed, &tag)?;
        Ok(sealed)
    }

    /// Opens the header of what followed the prefix of a data frame; the payload stays sealed.
    pub(super) fn open_data(
        &mut self,
        prefix: Prefix,
        mut sealed: BytesMut,
    ) -> Result<DataFrame, SealBroken> {
        let mut header: [u8; ROUTING_HEADER_BYTES] = chunk(&mut sealed)?;
        let header_tag: Tag = chunk(&mut sealed)?;
        let tag: Tag = chunk(&mut sealed)?;
        let nonce = self.receive.next();
        let associated = associated(prefix.encode(), &tag);
        self.receive.key.open(nonce, &associated, &mut header, &header_tag)?;
        let header = RoutingHeader::decode(&header);
        Ok(DataFrame { lane: prefix.lane, header, tag, payload: sealed })
    }
}

fn chunk<const N: usize>(bytes: &mut BytesMut) -> Result<[u8; N], SealBroken> {
    let chunk = *bytes.first_chunk::<N>().ok_or(SealBroken)?;
    bytes.advance(N);
    Ok(chunk)
}

fn associated(prefix: [u8; PREFIX_BYTES], tag: &Tag) -> [u8; PREFIX_BYTES + TAG_BYTES] {
    let mut associated = [0; PREFIX_BYTES + TAG_BYTES];
    associated[..PREFIX_BYTES].copy_from_slice(&prefix);
    associated[PREFIX_BYTES..].copy_from_slice(tag);
    associated
}
