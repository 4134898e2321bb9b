//! The seals of a link's frames (protocol 4.1).

use core::fmt;

use bytes::{Buf, BytesMut};

use crate::crypto::aead::{AeadProvider, SealBroken, TAG_BYTES, Tag};
use crate::crypto::cipher::{Cipher, Keyed};
use crate::crypto::noise::Keys;
use crate::wire::frame::{DATA_OVERHEAD_BYTES, DataFrame, DataHead, PREFIX_BYTES, Prefix};
use crate::wire::lane::Lane;
use crate::wire::routing::{ROUTING_HEADER_BYTES, RoutingHeader};

/// Both directions' seals. On a stream-shaped link a counter in sending order is the nonce; on a
/// packet-shaped one it comes with the frame.
pub(super) struct Seals {
    send: Keyed,
    receive: Keyed,
    sent: u64,
    received: u64,
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seals")
            .field("sent", &self.sent)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Seals {
    pub(super) fn new(aead: &dyn AeadProvider, keys: &Keys) -> Self {
        // Headers are too short for another cipher to matter.
        let keyed = |key: &[u8; 32]| Keyed::new(aead, Cipher::ChaCha20Poly1305, key);
        Self { send: keyed(&keys.send), receive: keyed(&keys.receive), sent: 0, received: 0 }
    }

    /// The nonce of the next frame that is sent in order.
    pub(super) fn next_sent(&mut self) -> u64 {
        let nonce = self.sent;
        self.sent += 1;
        nonce
    }

    /// The nonce of the next frame that came in order.
    pub(super) fn next_received(&mut self) -> u64 {
        let nonce = self.received;
        self.received += 1;
        nonce
    }

    /// Seals `messages` in place; gives what goes ahead of them and behind.
    pub(super) fn seal_control(
        &self,
        nonce: u64,
        lane: Lane,
        messages: &mut [u8],
    ) -> ([u8; PREFIX_BYTES], Tag) {
        let prefix = Prefix { lane, data: false, length: messages.len() + TAG_BYTES }.encode();
        (prefix, self.send.seal(nonce, &prefix, messages))
    }

    /// The bytes of a data frame ahead of its payload.
    pub(super) fn seal_data(
        &self,
        nonce: u64,
        head: &DataHead,
        payload_bytes: usize,
    ) -> [u8; DATA_OVERHEAD_BYTES] {
        let prefix = head.prefix(payload_bytes).encode();
        let mut header = head.header.encode();
        let tag = self.send.seal(nonce, &associated(prefix, &head.tag), &mut header);
        let fields = prefix.iter().chain(&header).chain(&tag).chain(&head.tag);
        let mut bytes = [0; DATA_OVERHEAD_BYTES];
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Gives this end's own frame another nonce, in place: `body` is what followed its prefix.
    pub(super) fn seal_again(
        &self,
        (before, nonce): (u64, u64),
        prefix: Prefix,
        body: &mut [u8],
    ) -> Result<(), SealBroken> {
        let prefix_bytes = prefix.encode();
        if !prefix.data {
            let (text, tag) = body.split_last_chunk_mut::<TAG_BYTES>().ok_or(SealBroken)?;
            self.send.open(before, &prefix_bytes, text, tag)?;
            *tag = self.send.seal(nonce, &prefix_bytes, text);
            return Ok(());
        }
        let (header, rest) =
            body.split_first_chunk_mut::<ROUTING_HEADER_BYTES>().ok_or(SealBroken)?;
        let (header_tag, rest) = rest.split_first_chunk_mut::<TAG_BYTES>().ok_or(SealBroken)?;
        let tag = *rest.first_chunk::<TAG_BYTES>().ok_or(SealBroken)?;
        let associated = associated(prefix_bytes, &tag);
        self.send.open(before, &associated, header, header_tag)?;
        *header_tag = self.send.seal(nonce, &associated, header);
        Ok(())
    }

    /// Opens what followed the prefix of a control frame.
    pub(super) fn open_control(
        &self,
        nonce: u64,
        prefix: Prefix,
        mut sealed: BytesMut,
    ) -> Result<BytesMut, SealBroken> {
        let (_, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(SealBroken)?;
        let tag = *tag;
        sealed.truncate(sealed.len() - TAG_BYTES);
        self.receive.open(nonce, &prefix.encode(), &mut sealed, &tag)?;
        Ok(sealed)
    }

    /// Opens the header of what followed the prefix of a data frame; the payload stays sealed.
    pub(super) fn open_data(
        &self,
        nonce: u64,
        prefix: Prefix,
        mut sealed: BytesMut,
    ) -> Result<DataFrame, SealBroken> {
        let mut header: [u8; ROUTING_HEADER_BYTES] = chunk(&mut sealed)?;
        let header_tag: Tag = chunk(&mut sealed)?;
        let tag: Tag = chunk(&mut sealed)?;
        let associated = associated(prefix.encode(), &tag);
        self.receive.open(nonce, &associated, &mut header, &header_tag)?;
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
