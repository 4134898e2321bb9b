//! Packets of a packet-shaped link: one fragment of a frame, acknowledgements, or both (protocol 4.5).

use super::lane::Lane;

/// Bytes of a packet's header.
pub const HEADER_BYTES: usize = 2;
/// Bytes of an acknowledgement without its bitmap.
pub const ACK_BYTES: usize = 2;
/// The most bytes of an acknowledgement's bitmap.
pub const BITMAP_BYTES_MAX: usize = 7;
/// Bytes of a skip: its fragment has no others.
pub const SKIP_BYTES: usize = 6;
/// Sequence numbers of a lane count modulo this.
pub const SEQUENCES: u16 = 1 << 11;

/// The sequence number of a fragment: the lowest 11 bits of its number in its lane.
#[must_use]
pub fn sequence(number: u64) -> u16 {
    u16::try_from(number % u64::from(SEQUENCES)).unwrap_or_default()
}

/// How far a sequence number is ahead of another, from 0 to 2,047.
#[must_use]
pub fn ahead(sequence: u16, of: u16) -> u16 {
    sequence.wrapping_sub(of) % SEQUENCES
}

/// The first bytes of each packet.
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +---+-+-+-+---------------------+
/// |lan|F|L|A|       sequence      |
/// +---+-+-+-+---------------------+
/// ```
///
/// F: the first fragment of a frame. L: the last. A: an acknowledgement follows. A packet that has
/// nothing behind its acknowledgement holds no fragment: lane and L are 0, F says that the fragment
/// `cumulative` came cut, and instead of a number stands the acknowledgement's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The fragment's lane.
    pub lane: Lane,
    /// A frame begins with it.
    pub first: bool,
    /// A frame ends with it.
    pub last: bool,
    /// An acknowledgement follows.
    pub ack: bool,
    /// The lowest 11 bits of the fragment's number in its lane.
    pub sequence: u16,
}

impl Header {
    /// The header of a packet that only acknowledges.
    #[must_use]
    pub fn bare(ack: &Ack) -> Self {
        let Ack { cut, offset, .. } = *ack;
        Self { lane: Lane::Control, first: cut, last: false, ack: true, sequence: offset }
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let bit = |is: bool, at: u16| u16::from(is) << at;
        let flags = bit(self.first, 13) | bit(self.last, 12) | bit(self.ack, 11);
        let lane = u16::from(self.lane.bits()) << 14;
        (lane | flags | (self.sequence % SEQUENCES)).to_be_bytes()
    }

    /// The header that `bytes` are; every two bytes are one.
    #[must_use]
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let word = u16::from_be_bytes(bytes);
        let [top, _] = bytes;
        let bit = |at: u16| word & (1 << at) != 0;
        Self {
            lane: Lane::from_bits(top >> 6),
            first: bit(13),
            last: bit(12),
            ack: bit(11),
            sequence: word % SEQUENCES,
        }
    }
}

/// Which fragments of a lane have arrived.
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +---+-----+---------------------+ - - - - - - - - - - - -
/// |lan|bytes|      cumulative     |  bitmap, 0 to 7 bytes
/// +---+-----+---------------------+ - - - - - - - - - - - -
/// ```
///
/// All before `cumulative` have. Bit `i` of byte `j` of the bitmap, the lowest bit first, stands
/// for `cumulative + 1 + offset + 8 j + i`; `cumulative` itself is missing. The offset is that of
/// the packet's header if it holds no fragment, else 0: so many that arrived behind a missing one
/// are all told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The lane.
    pub lane: Lane,
    /// The lowest 11 bits of the number of the first fragment that is missing.
    pub cumulative: u16,
    /// Fragment `cumulative` came, but cut; only a packet without a fragment can say so.
    pub cut: bool,
    /// How far behind the bitmap begins; 0 in a packet with a fragment.
    pub offset: u16,
    /// Bit `i`: fragment `cumulative + 1 + offset + i` has arrived. Eight bits are never used.
    pub bitmap: u64,
}

impl Ack {
    /// The most fragments that the bitmap speaks of.
    pub const BITS: u32 = 56;

    fn bitmap_bytes(&self) -> usize {
        let bits = (u64::BITS - self.bitmap.leading_zeros()).min(Self::BITS);
        bits.div_ceil(8) as usize
    }

    /// The acknowledgement of a packet with this header that holds no fragment.
    #[must_use]
    pub fn bare(self, header: &Header) -> Self {
        Self { cut: header.first, offset: header.sequence, ..self }
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        ACK_BYTES + self.bitmap_bytes()
    }

    /// Gives its bytes to `put`.
    pub fn encode(&self, mut put: impl FnMut(&[u8])) {
        let bytes = self.bitmap_bytes();
        let count = u16::try_from(bytes).unwrap_or_default();
        let word =
            (u16::from(self.lane.bits()) << 14) | (count << 11) | (self.cumulative % SEQUENCES);
        put(&word.to_be_bytes());
        put(self.bitmap.to_le_bytes().get(..bytes).unwrap_or_default());
    }

    /// Takes one off the front of `bytes`; `None` when it is cut. What the packet's header says of
    /// it is for [`Ack::bare`] to add.
    #[must_use]
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let word @ [top, _] = super::take::<ACK_BYTES>(bytes)?;
        let (map, rest) = bytes.split_at_checked(usize::from(top >> 3 & 7))?;
        *bytes = rest;
        let mut bitmap = [0; 8];
        bitmap.iter_mut().zip(map).for_each(|(to, from)| *to = *from);
        Some(Self {
            lane: Lane::from_bits(top >> 6),
            cumulative: u16::from_be_bytes(word) % SEQUENCES,
            cut: false,
            offset: 0,
            bitmap: u64::from_le_bytes(bitmap),
        })
    }
}

/// The content of a fragment with F and L that has six bytes, too few for a frame: gives up those
/// before it.
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +-+-------+---------------------+- - - - - - - - - - -+
/// |R|   0   |         from        |  CRC-32 (4)
/// +-+-------+---------------------+- - - - - - - - - - -+
/// ```
///
/// No fragment from `from` up to the skip's own number will come again; the frames that they are of
/// are given up. R: those frames are repeated behind the skip, all of them and in their order. The
/// checksum is that of the packet's header, A not set, and the two bytes ahead of it: nothing else
/// would tell that they were altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The lowest 11 bits of a number: of the first fragment that was not acknowledged by then, or
    /// of a later one, at most the skip's own.
    pub from: u16,
    /// The frames follow again.
    pub again: bool,
}

impl Skip {
    fn sum(header: &Header, word: [u8; 2]) -> [u8; CHECKSUM_BYTES] {
        let [a, b] = Header { ack: false, ..*header }.encode();
        let [c, d] = word;
        checksum(&[a, b, c, d])
    }

    /// The skip's bytes, for a packet with this header.
    #[must_use]
    pub fn encode(&self, header: &Header) -> [u8; SKIP_BYTES] {
        let word = ((u16::from(self.again) << 15) | (self.from % SEQUENCES)).to_be_bytes();
        let ([a, b], [c, d, e, f]) = (word, Self::sum(header, word));
        [a, b, c, d, e, f]
    }

    /// The skip of a packet; `None` if it was altered.
    #[must_use]
    pub fn decode(header: &Header, bytes: [u8; SKIP_BYTES]) -> Option<Self> {
        let [a, b, sum @ ..] = bytes;
        let word = u16::from_be_bytes([a, b]);
        let is_whole = Self::sum(header, [a, b]) == sum;
        is_whole.then_some(Self { from: word % SEQUENCES, again: word >> 15 != 0 })
    }
}

/// What a frame that travels in one fragment has ahead of its body.
///
/// ```text
///  0                   1
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
/// +-+-+-----+---------------------+
/// |D|K|  0  |        bytes        |
/// +-+-+-----+---------------------+
/// ```
///
/// D and K as in the [prefix](super::frame::Prefix), whose lane is the fragment's. Bytes: of the
/// fragment's content, these among them, so that one which was cut is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// A data frame, else a control frame.
    pub data: bool,
    /// Bytes of the fragment's content, at most 2,047.
    pub content_bytes: usize,
}

/// Bytes of a [`Brief`].
pub const BRIEF_BYTES: usize = 2;

impl Brief {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; BRIEF_BYTES] {
        let bytes = u16::try_from(self.content_bytes).unwrap_or(u16::MAX) & 0x07ff;
        (u16::from(self.data) << 15 | bytes).to_be_bytes()
    }

    /// What `bytes` are; every two bytes are one.
    #[must_use]
    pub fn decode(bytes: [u8; BRIEF_BYTES]) -> Self {
        let word = u16::from_be_bytes(bytes);
        Self { data: word >> 15 != 0, content_bytes: (word & 0x07ff).into() }
    }
}

/// Bytes of the content of each fragment but the last, behind the prefix of a frame that takes
/// several: 16 bits, big-endian.
pub const FRAGMENT_BYTES_BYTES: usize = 2;

/// Bytes of a frame's checksum.
pub const CHECKSUM_BYTES: usize = 4;

/// CRC-32 (ISO-HDLC, the one of Ethernet and zip) of a frame, big-endian on the wire.
#[must_use]
pub fn checksum(frame: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc32fast::hash(frame).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const _: () = assert!(Ack::BITS as usize == 8 * BITMAP_BYTES_MAX);

    #[test]
    fn sequence_numbers_wrap() {
        assert_eq!((sequence(2_047), sequence(2_048), sequence(u64::MAX)), (2_047, 0, 2_047));
        assert_eq!((ahead(3, 2_047), ahead(2_047, 3), ahead(5, 5)), (4, 2_044, 0));
    }

    #[test]
    fn header_golden_bytes() {
        let header =
            Header { lane: Lane::Bulk, first: true, last: false, ack: true, sequence: 0x7ab };
        assert_eq!(header.encode(), [0b1110_1111, 0xab]);
        for word in 0..=u16::MAX {
            let bytes = word.to_be_bytes();
            assert_eq!(Header::decode(bytes).encode(), bytes);
        }
        let wrapped = Header { sequence: SEQUENCES + 5, ..header };
        assert_eq!(Header::decode(wrapped.encode()).sequence, 5);
    }

    #[test]
    fn ack_golden_bytes() {
        let bytes = |ack: &Ack| {
            let mut bytes = Vec::new();
            ack.encode(|part| bytes.extend_from_slice(part));
            assert_eq!(bytes.len(), ack.encoded_bytes());
            bytes
        };
        let mut ack =
            Ack { lane: Lane::Normal, cumulative: 0x123, cut: false, offset: 0, bitmap: 0 };
        assert_eq!(bytes(&ack), [0x81, 0x23]);
        ack.bitmap = 0b1_0000_0010;
        assert_eq!(bytes(&ack), [0x91, 0x23, 0b10, 1]);
        ack.bitmap = 1 << 55;
        let longest = bytes(&ack);
        assert_eq!(longest, [0xb9, 0x23, 0, 0, 0, 0, 0, 0, 0x80]);
        for cut in 0..longest.len() {
            assert_eq!(Ack::decode(&mut &longest[..cut]), None);
        }
        let mut more = [&longest[..], b"content"].concat();
        more[2] = 7;
        let mut rest = &more[..];
        ack.bitmap |= 7;
        assert_eq!((Ack::decode(&mut rest), rest), (Some(ack), &b"content"[..]));
        let mut padded = &[0x89, 0x23, 0][..];
        assert_eq!(
            Ack::decode(&mut padded),
            Some(Ack { bitmap: 0, ..ack }),
            "an empty byte is one"
        );
    }

    #[test]
    fn brief_golden_bytes() {
        let brief = Brief { data: true, content_bytes: 244 };
        assert_eq!(brief.encode(), [0x80, 0xf4]);
        assert_eq!(Brief::decode([0xf8, 0xf4]), brief, "K and reserved bits are ignored");
        assert!(!Brief::decode([0x07, 0xff]).data);
    }

    #[test]
    fn skip_and_checksum_golden_bytes() {
        let sequence = 0x123;
        let header = Header { lane: Lane::Bulk, first: true, last: true, ack: true, sequence };
        let skip = Skip { from: 0x7fe, again: true };
        let bytes = skip.encode(&header);
        assert_eq!(bytes[..2], [0x87, 0xfe]);
        assert_eq!(bytes[2..], checksum(&[0xf1, 0x23, 0x87, 0xfe]));
        assert_eq!(Skip::decode(&Header { ack: false, ..header }, bytes), Some(skip));
        assert_eq!(Skip::decode(&Header { sequence: 0x122, ..header }, bytes), None);
        for bit in 0..8 * SKIP_BYTES {
            let mut altered = bytes;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Skip::decode(&header, altered), None);
        }
        assert_eq!(checksum(b"123456789"), [0xcb, 0xf4, 0x39, 0x26]);
    }
}
