//! The seal of a stream-shaped link: a counter in sending order is the nonce (protocol 4.1).

use core::fmt;

use bytes::{Buf, BytesMut};

use crate::crypto::aead::{AeadProvider, SealBroken, TAG_BYTES, Tag};
use crate::crypto::cipher::{Cipher, Keyed};
use crate::crypto::noise::Keys;
use crate::wire::frame::{DATA_OVERHEAD_BYTES, DataFrame, DataHead, PREFIX_BYTES, Prefix};
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
    pub(super) fn seal_control(&mut self, lane: Lane, messages: &mut [u8], out: &mut BytesMut) {
        let prefix = Prefix { lane, data: false, length: messages.len() + TAG_BYTES }.encode();
        let tag = self.send.key.seal(self.send.counter, &prefix, messages);
        self.send.counter += 1;
        out.extend_from_slice(&prefix);
        out.extend_from_slice(messages);
        out.extend_from_slice(&tag);
    }

    /// The bytes of a data frame ahead of its payload.
    pub(super) fn seal_data(
        &mut self,
        head: &DataHead,
        payload_bytes: usize,
    ) -> [u8; DATA_OVERHEAD_BYTES] {
        let prefix = head.prefix(payload_bytes).encode();
        let mut header = head.header.encode();
        let nonce = self.send.next();
        let tag = self.send.key.seal(nonce, &associated(prefix, &head.tag), &mut header);
        let fields = prefix.iter().chain(&header).chain(&tag).chain(&head.tag);
        let mut bytes = [0; DATA_OVERHEAD_BYTES];
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = *from);
        bytes
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
