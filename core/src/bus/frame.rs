//! Bus frames: what a sealed packet holds (protocol 9).

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation)]

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use bytes::{BufMut, Bytes, BytesMut};

use super::reason::{CloseReason, RejectReason};
use super::varint;
use crate::limits::ACK_RANGES_MAX;

const PING: u64 = 1;
const ACK: u64 = 2;
const DATA: u64 = 3;
const DATA_FIN: u64 = 4;
const DATAGRAM: u64 = 5;
const WINDOW: u64 = 6;
const DELIVERED: u64 = 7;
const REJECTED: u64 = 8;
const OPEN: u64 = 9;
const ACCEPT: u64 = 10;
const REFUSE: u64 = 11;
const RESET: u64 = 12;
const FINISH: u64 = 13;
const CLOSE: u64 = 14;
/// Frame types from here on carry their length, so that a build that does not know one skips it.
const SKIPPABLE_FROM: u64 = 64;

/// Whether a frame stream carries its messages with repeats or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reliability {
    /// Exactly once and in order, or a typed failure.
    Reliable,
    /// At most once, in any order, never repeated.
    Unreliable,
}

/// One frame. `stream` 0 is the single messages of the packet's lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Asks for an acknowledgement at once.
    Ping,
    Ack(Ack),
    /// Bytes of a reliable stream from `offset` on; `fin`: it ends with them.
    Data {
        stream: u64,
        offset: u64,
        fin: bool,
        bytes: Bytes,
    },
    /// A piece of an unreliable message.
    Datagram {
        stream: u64,
        message: u64,
        total: u64,
        offset: u64,
        bytes: Bytes,
    },
    /// The sender may send the stream's bytes below `limit`.
    Window {
        stream: u64,
        limit: u64,
    },
    /// The first `count` messages are in the application's queue, or rejected before.
    Delivered {
        stream: u64,
        count: u64,
    },
    /// One single message was refused by the application's queue.
    Rejected {
        sequence: u64,
        reason: RejectReason,
    },
    Open {
        stream: u64,
        reliability: Reliability,
        topic: Bytes,
        args: Bytes,
    },
    Accept {
        stream: u64,
        args: Bytes,
    },
    Refuse {
        stream: u64,
        reason: RejectReason,
    },
    Reset {
        stream: u64,
        code: u64,
    },
    /// An unreliable stream's sender has sent its last message.
    Finish {
        stream: u64,
    },
    /// The session ends.
    Close {
        reason: CloseReason,
    },
    /// A frame of a newer build, skipped.
    Skipped {
        kind: u64,
    },
}

/// Which packets of the lane arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    /// Microseconds between the largest packet's arrival and this frame.
    pub(super) delay_us: u64,
    /// Packets that arrived with a congestion mark, since the session began.
    pub(super) marks: u64,
    /// What arrived, highest first, at least one and at most [`ACK_RANGES_MAX`].
    pub(super) ranges: Vec<RangeInclusive<u64>>,
}

/// A packet's content breaks the format: the session is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The bytes of a data frame ahead of its payload, at most.
pub(super) const DATA_HEADER_MAX: usize = 1 + 10 + 10 + 3;
/// The bytes of a datagram frame ahead of its payload, at most.
pub(super) const DATAGRAM_HEADER_MAX: usize = 1 + 10 + 10 + 5 + 5 + 3;

/// Writes the start of a data frame; `length` bytes must follow.
pub(super) fn put_data(to: &mut BytesMut, stream: u64, offset: u64, fin: bool, length: usize) {
    varint::put(to, if fin { DATA_FIN } else { DATA });
    varint::put(to, stream);
    varint::put(to, offset);
    varint::put(to, length as u64);
}

/// Writes the start of a datagram frame; `length` bytes must follow.
pub(super) fn put_datagram(
    to: &mut BytesMut,
    (stream, message): (u64, u64),
    total: usize,
    offset: usize,
    length: usize,
) {
    for value in [DATAGRAM, stream, message, total as u64, offset as u64, length as u64] {
        varint::put(to, value);
    }
}

fn put_bytes(to: &mut BytesMut, bytes: &[u8]) {
    varint::put(to, bytes.len() as u64);
    to.put_slice(bytes);
}

fn take_bytes(from: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(varint::take(from)?).ok()?;
    (length <= from.len()).then(|| from.split_to(length))
}

impl Ack {
    fn encode(&self, to: &mut BytesMut) {
        let mut numbers = self.ranges.iter();
        let Some(first) = numbers.next() else { return };
        for value in [ACK, *first.end(), self.delay_us, self.marks, numbers.len() as u64] {
            varint::put(to, value);
        }
        varint::put(to, first.end() - first.start());
        let mut lowest = *first.start();
        for range in numbers {
            varint::put(to, lowest - range.end() - 2);
            varint::put(to, range.end() - range.start());
            lowest = *range.start();
        }
    }

    fn decode(from: &mut Bytes) -> Option<Self> {
        let largest = varint::take(from)?;
        let delay_us = varint::take(from)?;
        let marks = varint::take(from)?;
        let more = usize::try_from(varint::take(from)?).ok()?;
        if more >= ACK_RANGES_MAX {
            return None;
        }
        let mut ranges = Vec::with_capacity(more + 1);
        let mut end = largest;
        for at in 0..=more {
            if at > 0 {
                let gap = varint::take(from)?;
                end = end.checked_sub(gap)?.checked_sub(2)?;
            }
            let start = end.checked_sub(varint::take(from)?)?;
            ranges.push(start..=end);
            end = start;
        }
        Some(Self { delay_us, marks, ranges })
    }
}

impl Frame {
    /// Appends the frame.
    pub(super) fn encode(&self, to: &mut BytesMut) {
        let mut numbers = |values: &[u64]| values.iter().for_each(|&value| varint::put(to, value));
        match self {
            Self::Ping => numbers(&[PING]),
            Self::Ack(ack) => ack.encode(to),
            Self::Data { stream, offset, fin, bytes } => {
                put_data(to, *stream, *offset, *fin, bytes.len());
                to.put_slice(bytes);
            }
            Self::Datagram { stream, message, total, offset, bytes } => {
                numbers(&[DATAGRAM, *stream, *message, *total, *offset]);
                put_bytes(to, bytes);
            }
            Self::Window { stream, limit } => numbers(&[WINDOW, *stream, *limit]),
            Self::Delivered { stream, count } => numbers(&[DELIVERED, *stream, *count]),
            Self::Rejected { sequence, reason } => numbers(&[REJECTED, *sequence, reason.code()]),
            Self::Open { stream, reliability, topic, args } => {
                numbers(&[OPEN, *stream, u64::from(*reliability == Reliability::Unreliable)]);
                put_bytes(to, topic);
                put_bytes(to, args);
            }
            Self::Accept { stream, args } => {
                numbers(&[ACCEPT, *stream]);
                put_bytes(to, args);
            }
            Self::Refuse { stream, reason } => numbers(&[REFUSE, *stream, reason.code()]),
            Self::Reset { stream, code } => numbers(&[RESET, *stream, *code]),
            Self::Finish { stream } => numbers(&[FINISH, *stream]),
            Self::Close { reason } => numbers(&[CLOSE, reason.code()]),
            Self::Skipped { kind } => numbers(&[*kind, 0]),
        }
    }

    /// Takes the next frame off the front of a packet; `None` at its end.
    pub(super) fn decode(from: &mut Bytes) -> Result<Option<Self>, Malformed> {
        if from.is_empty() {
            return Ok(None);
        }
        Self::decode_some(from).map(Some).ok_or(Malformed)
    }

    fn decode_some(from: &mut Bytes) -> Option<Self> {
        let kind = varint::take(from)?;
        if kind >= SKIPPABLE_FROM {
            take_bytes(from)?;
            return Some(Self::Skipped { kind });
        }
        if kind == PING {
            return Some(Self::Ping);
        }
        if kind == ACK {
            return Ack::decode(from).map(Self::Ack);
        }
        // Every other frame starts with one number.
        let stream = varint::take(from)?;
        let code = stream;
        Some(match kind {
            DATA | DATA_FIN => Self::Data {
                stream,
                offset: varint::take(from)?,
                fin: kind == DATA_FIN,
                bytes: take_bytes(from)?,
            },
            DATAGRAM => Self::Datagram {
                stream,
                message: varint::take(from)?,
                total: varint::take(from)?,
                offset: varint::take(from)?,
                bytes: take_bytes(from)?,
            },
            WINDOW => Self::Window { stream, limit: varint::take(from)? },
            DELIVERED => Self::Delivered { stream, count: varint::take(from)? },
            REJECTED => Self::Rejected {
                sequence: code,
                reason: RejectReason::from_code(varint::take(from)?),
            },
            OPEN => Self::Open {
                stream,
                reliability: match varint::take(from)? {
                    0 => Reliability::Reliable,
                    1 => Reliability::Unreliable,
                    _ => return None,
                },
                topic: take_bytes(from)?,
                args: take_bytes(from)?,
            },
            ACCEPT => Self::Accept { stream, args: take_bytes(from)? },
            REFUSE => Self::Refuse { stream, reason: RejectReason::from_code(varint::take(from)?) },
            RESET => Self::Reset { stream, code: varint::take(from)? },
            FINISH => Self::Finish { stream },
            CLOSE => Self::Close { reason: CloseReason::from_code(code) },
            _ => return None,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn golden() -> Vec<(Frame, &'static [u8])> {
        let bytes = Bytes::from_static;
        let unreliable = Reliability::Unreliable;
        let ack = Ack { delay_us: 300, marks: 2, ranges: vec![8..=10, 3..=5, 0..=0] };
        vec![
            (Frame::Ping, b"\x01"),
            (Frame::Ack(ack), b"\x02\x0a\xac\x02\x02\x02\x02\x01\x02\x01\x00"),
            (
                Frame::Data { stream: 2, offset: 128, fin: false, bytes: bytes(b"hi") },
                b"\x03\x02\x80\x01\x02hi",
            ),
            (
                Frame::Data { stream: 0, offset: 1, fin: true, bytes: bytes(b"") },
                b"\x04\x00\x01\x00",
            ),
            (
                Frame::Datagram {
                    stream: 3,
                    message: 4,
                    total: 5,
                    offset: 2,
                    bytes: bytes(b"abc"),
                },
                b"\x05\x03\x04\x05\x02\x03abc",
            ),
            (Frame::Window { stream: 1, limit: 256 }, b"\x06\x01\x80\x02"),
            (Frame::Delivered { stream: 1, count: 9 }, b"\x07\x01\x09"),
            (Frame::Rejected { sequence: 7, reason: RejectReason::InboxFull }, b"\x08\x07\x00"),
            (
                Frame::Open {
                    stream: 4,
                    reliability: unreliable,
                    topic: bytes(b"t"),
                    args: bytes(b"args"),
                },
                b"\x09\x04\x01\x01t\x04args",
            ),
            (Frame::Accept { stream: 4, args: bytes(b"ok") }, b"\x0a\x04\x02ok"),
            (Frame::Refuse { stream: 4, reason: RejectReason::Application(2) }, b"\x0b\x04\x12"),
            (Frame::Reset { stream: 4, code: 5 }, b"\x0c\x04\x05"),
            (Frame::Finish { stream: 4 }, b"\x0d\x04"),
            (Frame::Close { reason: CloseReason::Shutdown }, b"\x0e\x00"),
            (Frame::Skipped { kind: 64 }, b"\x40\x00"),
        ]
    }

    #[test]
    fn golden_bytes_both_ways() {
        for (frame, bytes) in golden() {
            let mut to = BytesMut::new();
            frame.encode(&mut to);
            assert_eq!(&to[..], bytes, "{frame:?}");
            assert_eq!(Frame::decode(&mut to.freeze()), Ok(Some(frame)));
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for (frame, bytes) in golden() {
            for cut in 1..bytes.len() {
                let mut short = Bytes::from_static(&bytes[..cut]);
                assert_eq!(Frame::decode(&mut short), Err(Malformed), "{frame:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_frame_of_a_newer_build_is_skipped_and_one_below_is_not() {
        let mut packet = Bytes::from_static(b"\x41\x03new\x01");
        assert_eq!(Frame::decode(&mut packet), Ok(Some(Frame::Skipped { kind: 65 })));
        assert_eq!(Frame::decode(&mut packet), Ok(Some(Frame::Ping)));
        assert_eq!(Frame::decode(&mut packet), Ok(None));
        assert_eq!(Frame::decode(&mut Bytes::from_static(b"\x3f\x00")), Err(Malformed));
    }

    #[test]
    fn an_acknowledgement_below_zero_or_of_too_many_ranges_is_refused() {
        for bytes in [b"\x02\x01\x00\x00\x00\x02".as_slice(), b"\x02\x05\x00\x00\x01\x01\x03\x00"] {
            assert_eq!(Frame::decode(&mut Bytes::from_static(bytes)), Err(Malformed));
        }
        let many = b"\x02\xff\x7f\x00\x00\x20\x00";
        assert_eq!(Frame::decode(&mut Bytes::from_static(many)), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
            let mut from = Bytes::from(bytes);
            while let Ok(Some(_)) = Frame::decode(&mut from) {}
        }
    }
}
