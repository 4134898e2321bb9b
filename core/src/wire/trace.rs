//! What a hop tells of itself in a trace (protocol 7.4).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::connection_type::ConnectionType;
use crate::id::PeerKey;

/// The payload of a frame of kind 5: a struct in postcard to which later versions append fields
/// that earlier ones ignore. An Ask, kind 4, has no payload.
///
/// ```text
/// peer key (32) | medium: code (u8), name (length, bytes) | held_us (varint)
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tell {
    /// Who tells; must hash to the frame's source address.
    pub peer_key: PeerKey,
    /// The medium of the link that the Ask came in on.
    pub kind: ConnectionType,
    /// Microseconds between the Ask's arrival and this frame.
    pub held_us: u32,
}

impl Tell {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a tell of fixed fields always encodes")
    }

    /// The tell that `bytes` start with.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(bytes).ok().map(|(tell, _)| tell)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::tests::Seeded;
    use crate::identity::Identity;

    fn key() -> PeerKey {
        Identity::generate(&mut Seeded(1)).peer_key()
    }

    fn golden(kind: ConnectionType, rest: &[u8]) -> (Tell, Vec<u8>) {
        let tell = Tell { peer_key: key(), kind, held_us: 300 };
        (tell, [key().as_bytes().as_slice(), rest].concat())
    }

    #[test]
    fn golden_bytes_both_ways() {
        for (tell, bytes) in [
            golden(ConnectionType::Bluetooth, b"\x01\x00\xac\x02"),
            golden(ConnectionType::other("Wire"), b"\x05\x04Wire\xac\x02"),
        ] {
            assert_eq!(tell.encode(), bytes);
            assert_eq!(Tell::decode(&bytes), Some(tell));
        }
    }

    #[test]
    fn every_truncation_is_refused_and_later_fields_are_ignored() {
        let (tell, mut bytes) = golden(ConnectionType::other("Wire"), b"\x05\x04Wire\xac\x02");
        for end in 0..bytes.len() {
            assert_eq!(Tell::decode(&bytes[..end]), None, "cut at {end}");
        }
        bytes.extend_from_slice(b"a later field");
        assert_eq!(Tell::decode(&bytes), Some(tell));
    }

    #[test]
    fn what_is_no_peer_key_is_refused() {
        let (_, mut bytes) = golden(ConnectionType::Bluetooth, b"\x01\x00\xac\x02");
        bytes[31] |= 0x80;
        assert_eq!(Tell::decode(&bytes), None, "sign bit 1");
        bytes[..32].fill(0);
        assert_eq!(Tell::decode(&bytes), None, "small order");
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
            let _ = Tell::decode(&[key().as_bytes().as_slice(), &bytes].concat());
            let _ = Tell::decode(&bytes);
        }
    }
}
