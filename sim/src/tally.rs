//! What a node sent, by class, counted where it leaves the core.
//!
//! A tally reads the clear outside of the bytes it is shown (protocol 3 and 4.1): the preamble
//! and the handshake's messages by their lengths, then frames by their prefixes.

use hedgerow_core::wire::frame::{PREFIX_BYTES, Prefix};
use hedgerow_core::wire::handshake::PREAMBLE_BYTES;
use serde::{Deserialize, Serialize};

/// Bytes of the prefix of a handshake message: its length.
const LENGTH_BYTES: usize = 2;
/// A control frame up to this size holds a keepalive and nothing else worth counting: 4 bytes of
/// prefix, 16 of tag, and a message of 9 at most.
pub const KEEPALIVE_BYTES_MAX: usize = 29;

/// Frames and the bytes they took, all headers and tags included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Frames, or messages of a handshake.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Class {
    fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
    }
}

/// What was sent, by class. The classes add up to all bytes that left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Preambles and handshake messages.
    pub handshake: Class,
    /// Control frames no larger than a keepalive's.
    pub keepalive: Class,
    /// All other control frames: adverts and what keeps them in step.
    pub control: Class,
    /// Data frames.
    pub data: Class,
}

impl Sent {
    /// All classes together, in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.handshake.bytes + self.keepalive.bytes + self.control.bytes + self.data.bytes
    }

    /// Control frames of any size, in bytes.
    #[must_use]
    pub fn control_bytes(&self) -> u64 {
        self.keepalive.bytes + self.control.bytes
    }

    /// What was sent since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.each(earlier, |now, before| now - before)
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.each(other, |a, b| a + b)
    }

    fn each(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        let class = |a: Class, b: Class| Class {
            frames: f(a.frames, b.frames),
            bytes: f(a.bytes, b.bytes),
        };
        Self {
            handshake: class(self.handshake, other.handshake),
            keepalive: class(self.keepalive, other.keepalive),
            control: class(self.control, other.control),
            data: class(self.data, other.data),
        }
    }
}

/// Reads one direction of one link.
#[derive(Clone, Debug)]
pub struct Tally {
    sent: Sent,
    stage: Stage,
    /// The beginning of a unit that was cut.
    held: Vec<u8>,
    /// Bytes of the unit before that are yet to come.
    owed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Preamble { messages: u8 },
    Message { left: u8 },
    Frames,
}

impl Tally {
    /// For what the end that dialled sends (two handshake messages), or the other one (one).
    #[must_use]
    pub fn new(dialled: bool) -> Self {
        let stage = Stage::Preamble { messages: if dialled { 2 } else { 1 } };
        Self { sent: Sent::default(), stage, held: Vec::new(), owed: 0 }
    }

    /// What was sent so far.
    #[must_use]
    pub fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Counts what is sent; gives what came to the classes by it. A unit counts in full with its
    /// first bytes that say its length.
    pub fn count(&mut self, mut bytes: &[u8]) -> Sent {
        let before = self.sent;
        loop {
            let skipped = self.owed.min(bytes.len());
            self.owed -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return self.sent.since(&before);
            }
            let missing = self.head_bytes() - self.held.len();
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.held.extend_from_slice(head);
            bytes = rest;
            if self.held.len() == self.head_bytes() {
                self.unit();
                self.held.clear();
            }
        }
    }

    /// Bytes that say how long the next unit is.
    fn head_bytes(&self) -> usize {
        match self.stage {
            Stage::Preamble { .. } => PREAMBLE_BYTES,
            Stage::Message { .. } => LENGTH_BYTES,
            Stage::Frames => PREFIX_BYTES,
        }
    }

    fn unit(&mut self) {
        match self.stage {
            Stage::Preamble { messages } => {
                self.sent.handshake.add(PREAMBLE_BYTES);
                self.stage = Stage::Message { left: messages };
            }
            Stage::Message { left } => {
                let length = [self.held[0], self.held[1]].map(usize::from);
                self.owed = length[0] << 8 | length[1];
                self.sent.handshake.add(LENGTH_BYTES + self.owed);
                self.stage =
                    if left > 1 { Stage::Message { left: left - 1 } } else { Stage::Frames };
            }
            Stage::Frames => {
                let head = self.held.as_slice().try_into().expect("four bytes are held");
                let prefix = Prefix::decode(head);
                self.owed = prefix.length;
                let bytes = PREFIX_BYTES + prefix.length;
                let class = match prefix.data {
                    true => &mut self.sent.data,
                    false if bytes <= KEEPALIVE_BYTES_MAX => &mut self.sent.keepalive,
                    false => &mut self.sent.control,
                };
                class.add(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_core::wire::lane::Lane;

    use super::*;

    fn frame(data: bool, length: usize) -> Vec<u8> {
        let prefix = Prefix { lane: Lane::Normal, data, length };
        [prefix.encode().as_slice(), &vec![0; length]].concat()
    }

    #[test]
    fn classes_add_up_however_the_bytes_are_cut() {
        let greeting = b"HDGW\x01\x01\0\0\0\x20................................\0\x03abc";
        let sent =
            [&greeting[..], &frame(false, 25), &frame(false, 26), &frame(true, 100)].concat();
        for cut in [1, 2, 3, 7, sent.len()] {
            let mut tally = Tally::new(true);
            let news = sent.chunks(cut).map(|piece| tally.count(piece).total());
            assert_eq!(news.sum::<u64>(), sent.len() as u64);
            let bytes = *tally.sent();
            assert_eq!(bytes.handshake, Class { frames: 3, bytes: 8 + 34 + 5 });
            assert_eq!(bytes.keepalive, Class { frames: 1, bytes: 29 });
            assert_eq!(bytes.control, Class { frames: 1, bytes: 30 });
            assert_eq!(bytes.data, Class { frames: 1, bytes: 104 });
            assert_eq!(bytes.total(), sent.len() as u64);
        }
    }
}
