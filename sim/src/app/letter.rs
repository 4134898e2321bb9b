//! What applications send: content that says where it belongs, so that nothing can be mixed up,
//! cut or altered unnoticed.

use bytes::{BufMut, Bytes, BytesMut};
use hedgerow_core::id::Address;
use hedgerow_core::io::Lane;

use super::Who;
use crate::chance::Chance;

/// Bytes of the header: the smallest letter.
pub const LETTER_BYTES_MIN: usize = 34;

/// What a letter travels as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Post {
    /// A reliable message.
    Reliable,
    /// An unreliable message.
    Loose,
    /// A message of the stream of this number among those that its opener's run opened.
    Stream(u32),
}

/// One message of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// What it travels as.
    pub post: Post,
    /// On which lane.
    pub lane: Lane,
    /// Who wrote it.
    pub from: Who,
    /// Which node it is for, and the address it had then.
    pub to: (usize, Address),
    /// Its number among those of this sort to this node, from 1.
    pub number: u32,
    /// All bytes.
    pub bytes_len: usize,
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("worlds and letters are small")
}

impl Letter {
    /// The bytes that travel: the header, and a filler that follows from it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.bytes_len);
        let (post, stream) = match self.post {
            Post::Reliable => (0, 0),
            Post::Loose => (1, 0),
            Post::Stream(number) => (2, number),
        };
        let lane = Lane::DATA.iter().position(|lane| *lane == self.lane);
        bytes.put_u8(post);
        bytes.put_u8(u8::try_from(lane.expect("letters go on data lanes")).expect("of three"));
        for number in [small(self.from.node), self.from.run, small(self.to.0)] {
            bytes.put_u32(number);
        }
        bytes.put_slice(self.to.1.as_bytes());
        for number in [stream, self.number, small(self.bytes_len)] {
            bytes.put_u32(number);
        }
        assert_eq!(bytes.len(), LETTER_BYTES_MIN, "the header is as long as it says");
        fill(&mut bytes, self.bytes_len);
        bytes.freeze()
    }

    /// Reads a letter; `None` where one byte is not as its writer wrote it.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, _) = bytes.split_first_chunk::<LETTER_BYTES_MIN>()?;
        let word = |at: usize| {
            let word: [u8; 4] = header[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(word)
        };
        let index = |at| usize::try_from(word(at)).expect("32 bits");
        let letter = Self {
            post: match header[0] {
                0 => Post::Reliable,
                1 => Post::Loose,
                2 => Post::Stream(word(22)),
                _ => return None,
            },
            lane: *Lane::DATA.get(usize::from(header[1]))?,
            from: Who { node: index(2), run: word(6) },
            to: (index(10), Address::from_bytes(header[14..22].try_into().expect("eight bytes"))),
            number: word(26),
            bytes_len: index(30),
        };
        let is_whole = bytes.len() == letter.bytes_len && letter.encode() == bytes;
        is_whole.then_some(letter)
    }
}

/// Adds bytes up to `length` that follow from those that are there.
fn fill(bytes: &mut BytesMut, length: usize) {
    let mut chance = Chance::new(crate::log::digest(bytes));
    while bytes.len() < length {
        let word = chance.bits().to_be_bytes();
        let room = word.len().min(length - bytes.len());
        bytes.put_slice(&word[..room]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(bytes_len: usize) -> Letter {
        Letter {
            post: Post::Stream(3),
            lane: Lane::Bulk,
            from: Who { node: 2, run: 1 },
            to: (7, Address::from_bytes([9; 8])),
            number: 70_000,
            bytes_len,
        }
    }

    #[test]
    fn a_letter_survives_the_way() {
        for bytes_len in [LETTER_BYTES_MIN, 35, 1_000] {
            let letter = letter(bytes_len);
            assert_eq!(Letter::decode(&letter.encode()), Some(letter));
        }
    }

    #[test]
    fn every_byte_counts() {
        let bytes = letter(60).encode();
        for at in 0..bytes.len() {
            let mut altered = bytes.to_vec();
            altered[at] ^= 1;
            // Another valid header would need another filler.
            assert_eq!(Letter::decode(&altered), None, "byte {at}");
            assert_eq!(Letter::decode(&bytes[..at]), None, "{at} bytes");
        }
    }
}
