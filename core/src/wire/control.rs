//! Control messages and their envelope (protocol 4.3).

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::advert::{AdvertKind, BodyHash};
use super::connection_type::ConnectionType;
use super::hint::Hint;
use super::ranges::Ranges;
use crate::id::Address;

/// A message between two neighbours.
///
/// On the wire each is `kind (varint) ‖ length (varint) ‖ postcard`; a kind that is not known
/// is skipped, and so are fields that a newer peer appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Kind 1.
    Keepalive(Keepalive),
    /// Kind 2.
    Close(Close),
    /// Kind 3.
    Ranges(Ranges),
    /// Kind 4.
    Advert(AdvertCopy),
    /// Kind 5.
    Want(Want),
    /// Kind 6.
    BodyWant(BodyWant),
    /// Kind 7.
    BodyChunk(BodyChunk),
    /// Kind 8: I have this body now; ask me.
    BodyHave(BodyHash),
    /// Kind 9: I do not have this body; I shall say when I do.
    BodyMiss(BodyHash),
    /// Kind 10: I have no room for this owner; do not offer me others that I do not know.
    Full(Address),
    /// Kind 11: what my transport of this medium tells yours.
    Hint(HintCopy),
}

/// Says that the link is alive, and measures its round trip.
///
/// Each end numbers its keepalives and echoes the newest one it got, with how long it held it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepalive {
    /// Counts up, wrapping.
    pub sequence: u8,
    /// Bit 0: answer at once. Bit 1: `echo` and `held_us` count.
    pub flags: u8,
    /// The newest sequence the sender got.
    pub echo: u8,
    /// Microseconds since it got that.
    pub held_us: u32,
}

impl Keepalive {
    /// Asks for an answer at once.
    pub const REPLY: u8 = 1;
    /// The echo fields count.
    pub const ECHO: u8 = 2;
}

/// The last message on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Why; see [`CloseCode`].
    pub code: u8,
    /// With `AtCapacity`, `MadeRoom` and `NotNeeded`: milliseconds to wait before the next try.
    pub retry_after_ms: u32,
}

/// Why a link is closed, on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseCode {
    /// The node shuts down.
    Shutdown = 1,
    /// Another link to the same peer over the same transport stays.
    Duplicate = 2,
    /// No room for another link.
    AtCapacity = 3,
    /// The peer broke the protocol.
    Violation = 4,
    /// The peer turned out to be this very node.
    Myself = 5,
    /// The peer has restarted; this link belongs to its past.
    Replaced = 6,
    /// The slot is for a peer that cannot be reached otherwise; the one that loses it can.
    MadeRoom = 7,
    /// Fragments of a packet-shaped link did not get through.
    Stalled = 8,
    /// It carried no data for a while and was dear; its peer stays reachable.
    NotNeeded = 9,
    /// Anything else, also codes this build does not know.
    Other = 255,
}

impl CloseCode {
    /// The code of a byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        [
            Self::Shutdown,
            Self::Duplicate,
            Self::AtCapacity,
            Self::Violation,
            Self::Myself,
            Self::Replaced,
            Self::MadeRoom,
            Self::Stalled,
            Self::NotNeeded,
        ]
        .into_iter()
        .find(|code| *code as u8 == byte)
        .unwrap_or(Self::Other)
    }
}

/// Asks for adverts of one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Whose.
    pub owner: Address,
    /// Which of them; empty for all.
    pub which: Vec<AdvertName>,
}

impl Want {
    /// All adverts of an owner.
    #[must_use]
    pub fn all_of(owner: Address) -> Self {
        Self { owner, which: Vec::new() }
    }
}

/// One of an owner's adverts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AdvertName {
    /// Its kind.
    pub kind: AdvertKind,
    /// Which one of several of that kind.
    pub key: u64,
}

/// A copy of a signed advert and its two unsigned ages (protocol 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertCopy {
    /// Seconds since it was signed, as far as the sender knows.
    pub signed_age_s: u16,
    /// Seconds since its owner was last reachable, as far as the sender knows.
    pub reachable_age_s: u16,
    /// The signed bytes.
    pub advert: Bytes,
}

/// Appends an Advert message with these ages and signed bytes, which need not be owned.
pub(crate) fn encode_advert(
    signed_age_s: u16,
    reachable_age_s: u16,
    advert: &[u8],
    out: &mut Vec<u8>,
) {
    let advert_bytes = u16::try_from(advert.len()).expect("an advert is below 64 KiB");
    let mut ahead = [0; 9];
    let mut filled = 0;
    for number in [signed_age_s, reachable_age_s, advert_bytes] {
        let room = ahead.get_mut(filled..).unwrap_or_default();
        filled += postcard::to_slice(&number, room).map_or(0, |put| put.len());
    }
    let ahead = ahead.get(..filled).unwrap_or_default();
    put_number(4, out);
    let length = u16::try_from(ahead.len() + advert.len());
    put_number(length.expect("a control message is below 64 KiB"), out);
    out.extend_from_slice(ahead);
    out.extend_from_slice(advert);
}

fn put_number(number: u16, out: &mut Vec<u8>) {
    let mut bytes = [0; 3];
    let put = postcard::to_slice(&number, &mut bytes).expect("a number of 16 bits has 3 bytes");
    out.extend_from_slice(put);
}

#[derive(Deserialize)]
struct AdvertCopyWire<'a> {
    signed_age_s: u16,
    reachable_age_s: u16,
    advert: &'a [u8],
}

/// Asks a neighbour for pieces of a metadata body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyWant {
    /// Which body.
    pub hash: BodyHash,
    /// From which byte on.
    pub offset: u32,
    /// How many pieces of 1,024 bytes.
    pub pieces: u8,
}

/// A piece of a metadata body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyChunk {
    /// Which body.
    pub hash: BodyHash,
    /// Where it goes.
    pub offset: u32,
    /// At most 1,024 bytes.
    pub data: Bytes,
}

#[derive(Serialize, Deserialize)]
struct BodyChunkWire<'a> {
    hash: BodyHash,
    offset: u32,
    data: &'a [u8],
}

/// A hint on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HintCopy {
    /// For transports of which medium.
    pub medium: ConnectionType,
    /// Counts up in a run of the sender: hints of several links may overtake each other.
    pub sequence: u64,
    /// What they are told.
    pub hint: Hint,
}

#[derive(Serialize, Deserialize)]
struct HintWire<'a> {
    medium: ConnectionType,
    sequence: u64,
    hint: &'a [u8],
}

/// The most bytes an envelope adds to its body: two varints of 16 bits.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 6;

impl Control {
    /// Appends the enveloped message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, body): (u16, _) = match self {
            Self::Keepalive(message) => (1, postcard::to_allocvec(message)),
            Self::Close(message) => (2, postcard::to_allocvec(message)),
            Self::Ranges(message) => (3, message.to_bytes()),
            Self::Advert(AdvertCopy { signed_age_s, reachable_age_s, advert }) => {
                return encode_advert(*signed_age_s, *reachable_age_s, advert, out);
            }
            Self::Want(message) => (5, postcard::to_allocvec(message)),
            Self::BodyWant(message) => (6, postcard::to_allocvec(message)),
            Self::BodyChunk(BodyChunk { hash, offset, data }) => {
                (7, postcard::to_allocvec(&BodyChunkWire { hash: *hash, offset: *offset, data }))
            }
            Self::BodyHave(hash) => (8, postcard::to_allocvec(hash)),
            Self::BodyMiss(hash) => (9, postcard::to_allocvec(hash)),
            Self::Full(owner) => (10, postcard::to_allocvec(owner)),
            Self::Hint(HintCopy { medium, sequence, hint }) => {
                let (medium, hint) = (medium.clone(), hint.as_bytes());
                (11, postcard::to_allocvec(&HintWire { medium, sequence: *sequence, hint }))
            }
        };
        let body = body.expect("a control message always encodes into a vector");
        let length = u16::try_from(body.len()).expect("a control message is below 64 KiB");
        put_number(kind, out);
        put_number(length, out);
        out.extend_from_slice(&body);
    }
}

/// One message taken off a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A message.
    Message(Control),
    /// A kind this build does not know, skipped.
    Skipped(u16),
    /// The rest of the frame is not messages.
    Malformed,
}

/// Takes the first message off `bytes`; `None` at the end.
pub fn decode(bytes: &mut &[u8]) -> Option<Decoded> {
    if bytes.is_empty() {
        return None;
    }
    let Some((kind, body)) = envelope(bytes) else {
        *bytes = &[];
        return Some(Decoded::Malformed);
    };
    let message = match kind {
        1 => take(body).map(Control::Keepalive),
        2 => take(body).map(Control::Close),
        3 => Ranges::from_bytes(body).map(Control::Ranges),
        4 => take(body).map(|AdvertCopyWire { signed_age_s, reachable_age_s, advert }| {
            let advert = Bytes::copy_from_slice(advert);
            Control::Advert(AdvertCopy { signed_age_s, reachable_age_s, advert })
        }),
        5 => take(body).map(Control::Want),
        6 => take(body).map(Control::BodyWant),
        7 => take(body).map(|BodyChunkWire { hash, offset, data }| {
            Control::BodyChunk(BodyChunk { hash, offset, data: Bytes::copy_from_slice(data) })
        }),
        8 => take(body).map(Control::BodyHave),
        9 => take(body).map(Control::BodyMiss),
        10 => take(body).map(Control::Full),
        11 => take(body).and_then(|HintWire { medium, sequence, hint }| {
            Some(Control::Hint(HintCopy { medium, sequence, hint: Hint::new(hint)? }))
        }),
        unknown => return Some(Decoded::Skipped(unknown)),
    };
    Some(message.map_or(Decoded::Malformed, Decoded::Message))
}

fn envelope<'a>(bytes: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let (kind, rest) = postcard::take_from_bytes::<u16>(bytes).ok()?;
    let (length, rest) = postcard::take_from_bytes::<u16>(rest).ok()?;
    let (body, rest) = rest.split_at_checked(usize::from(length))?;
    *bytes = rest;
    Some((kind, body))
}

fn take<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    postcard::take_from_bytes(body).ok().map(|(value, _)| value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use alloc::vec;

    use super::*;
    use crate::limits::HINT_BYTES_MAX;
    use crate::wire::ranges::{Content, Part, Stamp};

    fn samples() -> Vec<Control> {
        let stamp = Stamp {
            owner: Address::from_bytes([7; 8]),
            kind: AdvertKind::Adjacency,
            key: 0,
            epoch: 2,
            sequence: 300,
            hash: 0xdead_beef,
        };
        alloc::vec![
            Control::Keepalive(Keepalive { sequence: 9, flags: 3, echo: 8, held_us: 5_000_000 }),
            Control::Close(Close { code: CloseCode::AtCapacity as u8, retry_after_ms: 1_000 }),
            Control::Ranges(Ranges {
                first: Address::from_bytes([7, 0, 0, 0, 0, 0, 0, 0]),
                parts: alloc::vec![
                    Part {
                        last: Address::from_bytes([7; 8]),
                        content: Content::List(alloc::vec![stamp]),
                    },
                    Part {
                        last: Address::from_bytes([0xff; 8]),
                        content: Content::Fingerprint([9; 8]),
                    },
                ],
            }),
            Control::Advert(AdvertCopy {
                signed_age_s: 1,
                reachable_age_s: 2,
                advert: Bytes::from_static(b"signed"),
            }),
            Control::Want(Want {
                owner: Address::from_bytes([1; 8]),
                which: alloc::vec![AdvertName { kind: AdvertKind::Profile, key: 300 }],
            }),
            Control::BodyWant(BodyWant { hash: [1; 32], offset: 1_024, pieces: 8 }),
            Control::BodyChunk(BodyChunk {
                hash: [1; 32],
                offset: 1_024,
                data: Bytes::from_static(b"{}"),
            }),
            Control::BodyHave([1; 32]),
            Control::BodyMiss([2; 32]),
            Control::Full(Address::from_bytes([2; 8])),
            Control::Hint(HintCopy {
                medium: ConnectionType::P2PWiFi,
                sequence: 300,
                hint: Hint::new(b"here").unwrap(),
            }),
        ]
    }

    fn golden() -> Vec<Vec<u8>> {
        let stamp =
            b"\x07\x07\x07\x07\x07\x07\x07\x07\x02\x00\x02\xac\x02\xef\xfd\xb6\xf5\x0d".as_slice();
        alloc::vec![
            b"\x01\x07\x09\x03\x08\xc0\x96\xb1\x02".to_vec(),
            b"\x02\x03\x03\xe8\x07".to_vec(),
            [
                b"\x03\x2a\x01\x07\x02\x08".as_slice(),
                &[7; 8],
                b"\x01\x01",
                stamp,
                b"\0\0",
                &[9; 8],
            ]
            .concat(),
            b"\x04\x09\x01\x02\x06signed".to_vec(),
            [b"\x05\x0c".as_slice(), &[1; 8], b"\x01\x01\xac\x02"].concat(),
            [b"\x06\x23".as_slice(), &[1; 32], b"\x80\x08\x08"].concat(),
            [b"\x07\x25".as_slice(), &[1; 32], b"\x80\x08\x02{}"].concat(),
            [b"\x08\x20".as_slice(), &[1; 32]].concat(),
            [b"\x09\x20".as_slice(), &[2; 32]].concat(),
            [b"\x0a\x08".as_slice(), &[2; 8]].concat(),
            b"\x0b\x09\x03\0\xac\x02\x04here".to_vec(),
        ]
    }

    #[test]
    fn golden_bytes_both_ways() {
        assert_eq!(samples().len(), golden().len());
        for (message, golden) in samples().into_iter().zip(golden()) {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(bytes, golden, "{message:?}");
            assert_eq!(decode(&mut golden.as_slice()), Some(Decoded::Message(message)));
        }
    }

    #[test]
    fn a_body_shorter_than_its_fields_is_malformed() {
        for golden in golden() {
            // The same message with a body cut short and its length told truly.
            let (kind, body) = (golden[0], &golden[2..]);
            for end in 0..body.len() {
                let length = u8::try_from(end).unwrap();
                let cut = [&[kind, length], &body[..end]].concat();
                assert_eq!(decode(&mut cut.as_slice()), Some(Decoded::Malformed), "{cut:x?}");
            }
        }
        let other = b"\x03\x05\0\x01\0\x02\0";
        assert_eq!(decode(&mut other.as_slice()), Some(Decoded::Malformed), "neither 0 nor 1");
        let wide = b"\xff\xff\x07\x00";
        assert_eq!(decode(&mut wide.as_slice()), Some(Decoded::Malformed), "over 16 bits");
    }

    #[test]
    fn a_hint_that_is_too_long_is_malformed() {
        let hint = |bytes: usize| {
            let (medium, hint) = (ConnectionType::Bluetooth, &vec![7; bytes]);
            let body = HintWire { medium, sequence: 1, hint };
            let body = postcard::to_allocvec(&body).unwrap();
            let mut message = alloc::vec![11];
            put_number(u16::try_from(body.len()).unwrap(), &mut message);
            message.extend(body);
            decode(&mut message.as_slice())
        };
        assert!(matches!(hint(HINT_BYTES_MAX), Some(Decoded::Message(Control::Hint(..)))));
        assert_eq!(hint(HINT_BYTES_MAX + 1), Some(Decoded::Malformed));
    }

    #[test]
    fn close_codes_are_those_of_the_registry() {
        let known = |byte: &u8| CloseCode::from_byte(*byte) as u8 == *byte;
        assert_eq!((0..=255).filter(known).collect::<Vec<u8>>(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 255]);
    }

    #[test]
    fn every_message_goes_both_ways() {
        for message in samples() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            let rest = &mut bytes.as_slice();
            assert_eq!(decode(rest), Some(Decoded::Message(message)));
            assert_eq!(decode(rest), None);
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for message in samples() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            for end in 1..bytes.len() {
                assert_eq!(decode(&mut &bytes[..end]), Some(Decoded::Malformed), "{message:?}");
            }
        }
    }

    #[test]
    fn an_unknown_message_is_skipped_and_the_next_one_read() {
        let mut bytes = alloc::vec![0xff, 0x01, 3, b'n', b'e', b'w'];
        let next = Control::BodyHave([1; 32]);
        next.encode(&mut bytes);
        let rest = &mut bytes.as_slice();
        assert_eq!(decode(rest), Some(Decoded::Skipped(255)));
        assert_eq!(decode(rest), Some(Decoded::Message(next)));
    }

    #[test]
    fn fields_of_a_newer_version_are_ignored() {
        let bytes = [2, 4, CloseCode::Shutdown as u8, 0, 42, 42];
        let close = Close { code: CloseCode::Shutdown as u8, retry_after_ms: 0 };
        assert_eq!(decode(&mut bytes.as_slice()), Some(Decoded::Message(Control::Close(close))));
    }

    #[test]
    fn a_keepalive_costs_at_most_29_bytes_with_its_frame() {
        let mut bytes = Vec::new();
        Control::Keepalive(Keepalive { sequence: 255, flags: 3, echo: 255, held_us: 5_500_000 })
            .encode(&mut bytes);
        assert!(bytes.len() + super::super::frame::CONTROL_OVERHEAD_BYTES <= 29, "{bytes:?}");
    }

    proptest! {
        #[test]
        fn garbage_neither_panics_nor_hangs(bytes: Vec<u8>) {
            let rest = &mut bytes.as_slice();
            let mut left = rest.len() + 1;
            while decode(rest).is_some() {
                prop_assert!(rest.len() < left);
                left = rest.len();
            }
        }
    }
}
