//! Frames on a stream-shaped link (protocol 4.1).

use bytes::BytesMut;

use super::lane::Lane;
use super::routing::{ROUTING_HEADER_BYTES, RoutingHeader};
use crate::crypto::aead::{TAG_BYTES, Tag};

/// Bytes of a frame's prefix.
pub const PREFIX_BYTES: usize = 4;
/// Bytes that a data frame adds to its payload.
pub const DATA_OVERHEAD_BYTES: usize = PREFIX_BYTES + ROUTING_HEADER_BYTES + 2 * TAG_BYTES;
/// Bytes that a control frame adds to its messages.
pub const CONTROL_OVERHEAD_BYTES: usize = PREFIX_BYTES + TAG_BYTES;

/// The clear bytes before each sealed frame; bound into its seal.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---+-+-+-------+-----------------------------------------------+
/// |lan|D|K|   0   |            length of what follows             |
/// +---+-+-+-------+-----------------------------------------------+
/// ```
///
/// D: a data frame, else a control frame. K: key phase of the link, 0 in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The frame's lane.
    pub lane: Lane,
    /// Whether it is a data frame.
    pub data: bool,
    /// Bytes after the prefix, at most 2^24 - 1.
    pub length: usize,
}

impl Prefix {
    /// The prefix's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; PREFIX_BYTES] {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX).min(0x00ff_ffff);
        let first = u32::from((self.lane.bits() << 6) | (u8::from(self.data) << 5));
        ((first << 24) | length).to_be_bytes()
    }

    /// The prefix that `bytes` are; every four bytes are one.
    #[must_use]
    pub fn decode(bytes: [u8; PREFIX_BYTES]) -> Self {
        let [first, a, b, c] = bytes;
        Self {
            lane: Lane::from_bits(first >> 6),
            data: first & 0x20 != 0,
            length: u32::from_be_bytes([0, a, b, c]).try_into().unwrap_or(usize::MAX),
        }
    }
}

/// What a data frame says, opened by the link: the payload stays sealed for its session.
///
/// On the wire after the prefix: the sealed routing header (28 bytes), the header's tag (16),
/// the payload's tag (16), the payload. The header's seal covers prefix and payload tag, so the
/// two cannot be spliced, and a relay has authenticated header and length before the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFrame {
    /// The lane.
    pub lane: Lane,
    /// Where it goes.
    pub header: RoutingHeader,
    /// The tag of the payload's end-to-end seal.
    pub tag: Tag,
    /// Sealed by the session; relays carry it untouched.
    pub payload: BytesMut,
}

/// A data frame without its payload: that is where the frame goes to already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHead {
    /// The lane.
    pub lane: Lane,
    /// Where it goes.
    pub header: RoutingHeader,
    /// The tag of the payload's end-to-end seal.
    pub tag: Tag,
}

impl DataHead {
    /// The frame's prefix on a stream-shaped link.
    #[must_use]
    pub fn prefix(&self, payload_bytes: usize) -> Prefix {
        Prefix {
            lane: self.lane,
            data: true,
            length: DATA_OVERHEAD_BYTES - PREFIX_BYTES + payload_bytes,
        }
    }
}

impl DataFrame {
    /// Appends the payload to `out`; what remains is the rest.
    #[must_use]
    pub fn write(self, out: &mut BytesMut) -> DataHead {
        out.extend_from_slice(&self.payload);
        DataHead { lane: self.lane, header: self.header, tag: self.tag }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_golden_bytes() {
        let prefix = Prefix { lane: Lane::Bulk, data: true, length: 0x01_02_03 };
        assert_eq!(prefix.encode(), [0xe0, 1, 2, 3]);
        assert_eq!(Prefix::decode([0xe0, 1, 2, 3]), prefix);
        assert_eq!(Prefix::decode([0xff, 1, 2, 3]), prefix, "reserved bits are ignored");
    }
}
