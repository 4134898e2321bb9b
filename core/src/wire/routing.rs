//! The routing header of a data frame (protocol 4.2).

use crate::id::Address;
use crate::time::Duration;

/// Bytes of a routing header.
pub const ROUTING_HEADER_BYTES: usize = 28;

/// What a data frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// A sealed packet of a session.
    Packet,
    /// A message of a session's handshake.
    Handshake,
    /// A hint that the destination does not know the session of a packet it got. Unauthenticated.
    UnknownSession,
    /// The frame was larger than a relay's next link carries. Unauthenticated.
    TooBig,
    /// Asks the hop at which its hop limit ends who it is. Authenticated by each link alone.
    TraceAsk,
    /// The answer to that. Authenticated by each link alone.
    TraceTell,
    /// A kind this build does not know: relayed, dropped at its destination.
    Unknown(u8),
}

impl DataKind {
    const fn code(self) -> u8 {
        match self {
            Self::Packet => 0,
            Self::Handshake => 1,
            Self::UnknownSession => 2,
            Self::TooBig => 3,
            Self::TraceAsk => 4,
            Self::TraceTell => 5,
            Self::Unknown(code) => code & 15,
        }
    }

    const fn from_code(code: u8) -> Self {
        match code & 15 {
            0 => Self::Packet,
            1 => Self::Handshake,
            2 => Self::UnknownSession,
            3 => Self::TooBig,
            4 => Self::TraceAsk,
            5 => Self::TraceTell,
            other => Self::Unknown(other),
        }
    }
}

/// What relays read of a data frame. Sealed by each link, so a relay may change it.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------+-+-+---+---------------+-------------------------------+
/// | kind  |C|K| 0 |   hop limit   |  lifetime left, units of 1 ms |
/// +-------+-+-+---+---------------+-------------------------------+
/// |                                                               |
/// +                        source address                         +
/// |                                                               |
/// +---------------------------------------------------------------+
/// |                                                               |
/// +                      destination address                      +
/// |                                                               |
/// +---------------------------------------------------------------+
/// |                          session id                           |
/// +---------------------------------------------------------------+
/// |                 packet number, lowest 32 bits                 |
/// +---------------------------------------------------------------+
/// ```
///
/// C: a relay's queue stood; K: key phase of the session. All numbers are big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutingHeader {
    /// What the frame carries.
    pub kind: DataKind,
    /// Congestion mark: set by a relay whose queue stood, echoed by the destination.
    pub congested: bool,
    /// The session's key phase.
    pub key_phase: bool,
    /// Hops the frame may still take; a relay that gets 0 drops it.
    pub hop_limit: u8,
    /// Milliseconds the frame may still live; each relay subtracts how long it held it.
    pub lifetime_ms: u16,
    /// Who sent it.
    pub source: Address,
    /// Whom it is for.
    pub destination: Address,
    /// The destination's number of the session.
    pub session: u32,
    /// The low 32 bits of the packet number.
    pub packet_low: u32,
}

impl RoutingHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; ROUTING_HEADER_BYTES] {
        let first = (self.kind.code() << 4)
            | (u8::from(self.congested) << 3)
            | (u8::from(self.key_phase) << 2);
        let mut bytes = [0; ROUTING_HEADER_BYTES];
        (bytes[0], bytes[1]) = (first, self.hop_limit);
        bytes[2..4].copy_from_slice(&self.lifetime_ms.to_be_bytes());
        bytes[4..12].copy_from_slice(self.source.as_bytes());
        bytes[12..20].copy_from_slice(self.destination.as_bytes());
        bytes[20..24].copy_from_slice(&self.session.to_be_bytes());
        bytes[24..].copy_from_slice(&self.packet_low.to_be_bytes());
        bytes
    }

    /// The header that `bytes` are. Every sequence of 28 bytes is one; the two reserved bits
    /// are ignored.
    #[must_use]
    pub fn decode(bytes: &[u8; ROUTING_HEADER_BYTES]) -> Self {
        fn field<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
            super::take(rest).unwrap_or([0; N])
        }
        let rest = &mut bytes.as_slice();
        let [first, hop_limit] = field(rest);
        Self {
            kind: DataKind::from_code(first >> 4),
            congested: first & 8 != 0,
            key_phase: first & 4 != 0,
            hop_limit,
            lifetime_ms: u16::from_be_bytes(field(rest)),
            source: Address::from_bytes(field(rest)),
            destination: Address::from_bytes(field(rest)),
            session: u32::from_be_bytes(field(rest)),
            packet_low: u32::from_be_bytes(field(rest)),
        }
    }

    /// The lifetime field of `left`, saturating at 65 s.
    #[must_use]
    pub fn lifetime(left: Duration) -> u16 {
        u16::try_from(left.as_millis()).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        let header = RoutingHeader {
            kind: DataKind::Handshake,
            congested: true,
            key_phase: false,
            hop_limit: 7,
            lifetime_ms: 0x1234,
            source: Address::from_bytes(*b"SOURCE__"),
            destination: Address::from_bytes(*b"DEST____"),
            session: 0x0a0b_0c0d,
            packet_low: 0xfffe_fdfc,
        };
        let bytes = header.encode();
        assert_eq!(
            bytes.as_slice(),
            b"\x18\x07\x12\x34SOURCE__DEST____\x0a\x0b\x0c\x0d\xff\xfe\xfd\xfc"
        );
        assert_eq!(RoutingHeader::decode(&bytes), header);
    }

    #[test]
    fn every_kind_has_its_code() {
        let kinds = [
            DataKind::Packet,
            DataKind::Handshake,
            DataKind::UnknownSession,
            DataKind::TooBig,
            DataKind::TraceAsk,
            DataKind::TraceTell,
            DataKind::Unknown(6),
        ];
        for (code, kind) in (0..).zip(kinds) {
            assert_eq!((kind.code(), DataKind::from_code(code)), (code, kind));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_and_come_back(mut bytes: [u8; ROUTING_HEADER_BYTES]) {
            bytes[0] &= !3;
            prop_assert_eq!(RoutingHeader::decode(&bytes).encode(), bytes);
        }
    }
}
