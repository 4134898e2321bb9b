//! Unreliable messages: cut into pieces, sent once, joined within bounds of bytes and time.

use alloc::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::frame;
use super::incoming::unpinned;
use crate::limits::{
    UNRELIABLE_AGE_MAX, UNRELIABLE_PARTIAL_MAX, UNRELIABLE_PIECE_BYTES_MIN, UNRELIABLE_WAITING_MAX,
};
use crate::time::{Duration, Instant};

#[derive(Debug)]
struct Waiting {
    stream: u64,
    message: u64,
    bytes: Bytes,
    offset: usize,
    deadline: Instant,
}

/// Unreliable messages of one lane that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct Departures {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    next: u64,
}

impl Departures {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message of `length` bytes may wait too.
    pub(super) fn has_room(&self, length: usize, bytes_max: usize) -> bool {
        self.waiting.len() < UNRELIABLE_WAITING_MAX
            && (self.waiting.is_empty() || self.bytes + length <= bytes_max)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether messages of a stream still wait.
    pub(super) fn holds(&self, stream: u64) -> bool {
        self.waiting.iter().any(|waiting| waiting.stream == stream)
    }

    /// Appends a message; returns its number, from 1.
    pub(super) fn push(
        &mut self,
        now: Instant,
        stream: u64,
        bytes: Bytes,
        deadline: Option<Duration>,
    ) -> u64 {
        self.next += 1;
        self.bytes += bytes.len();
        let deadline = now + deadline.unwrap_or(UNRELIABLE_AGE_MAX).min(UNRELIABLE_AGE_MAX);
        let message = self.next;
        self.waiting.push_back(Waiting { stream, message, bytes, offset: 0, deadline });
        message
    }

    /// Drops what is too late; returns how many messages.
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.deadline > now);
        self.bytes = self.waiting.iter().map(|waiting| waiting.bytes.len() - waiting.offset).sum();
        (before - self.waiting.len()) as u64
    }

    /// Drops the messages of a stream; returns how many.
    pub(super) fn forget(&mut self, stream: u64) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.stream != stream);
        self.bytes = self.waiting.iter().map(|waiting| waiting.bytes.len() - waiting.offset).sum();
        (before - self.waiting.len()) as u64
    }

    /// Drops messages of more than `limit` bytes; returns how many.
    pub(super) fn forget_over(&mut self, limit: usize) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.bytes.len() <= limit);
        self.bytes = self.waiting.iter().map(|waiting| waiting.bytes.len() - waiting.offset).sum();
        (before - self.waiting.len()) as u64
    }

    /// Drops everything; returns how many messages.
    pub(super) fn forget_all(&mut self) -> u64 {
        self.bytes = 0;
        core::mem::take(&mut self.waiting).len() as u64
    }

    /// A time at which something may be too late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.deadline)
    }

    /// Writes pieces into `to` while they fit below `end_max`. Returns how long the longest
    /// of them may live, if any was written.
    pub(super) fn write(
        &mut self,
        now: Instant,
        to: &mut BytesMut,
        end_max: usize,
    ) -> Option<Duration> {
        let mut life = None;
        while let Some(waiting) = self.waiting.front_mut() {
            let room = end_max.saturating_sub(to.len());
            let rest = waiting.bytes.len() - waiting.offset;
            // A small message is not cut to fill a packet; a big one is.
            if room < frame::DATAGRAM_HEADER_MAX + rest.min(256) {
                break;
            }
            let length = rest.min(room - frame::DATAGRAM_HEADER_MAX);
            let name = (waiting.stream, waiting.message);
            frame::put_datagram(to, name, waiting.bytes.len(), waiting.offset, length);
            to.extend_from_slice(&waiting.bytes[waiting.offset..waiting.offset + length]);
            waiting.offset += length;
            self.bytes -= length;
            life = life.max(Some(waiting.deadline.since(now)));
            if waiting.offset == waiting.bytes.len() {
                self.waiting.pop_front();
            }
        }
        life
    }
}

#[derive(Debug)]
struct Partial {
    total: usize,
    pieces: BTreeMap<usize, Bytes>,
    bytes: usize,
    weight: usize,
    expires: Instant,
}

/// What a piece counts for while it waits: keeping it costs something, however small it is.
fn weight(piece: &Bytes) -> usize {
    piece.len().max(UNRELIABLE_PIECE_BYTES_MIN)
}

/// Unreliable messages of one lane under assembly.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    partial: BTreeMap<(u64, u64), Partial>,
    weight: usize,
}

/// What a piece did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assembled {
    /// The message is whole.
    Whole(Bytes),
    /// It waits for others; so many older messages were dropped to make room.
    Waiting { dropped: u64 },
    /// It cannot belong to a message.
    Malformed,
}

impl Assembly {
    pub(super) fn receive(
        &mut self,
        now: Instant,
        (stream, message): (u64, u64),
        (total, offset): (u64, u64),
        bytes: Bytes,
        bytes_max: usize,
    ) -> Assembled {
        let (Ok(total), Ok(offset)) = (usize::try_from(total), usize::try_from(offset)) else {
            return Assembled::Malformed;
        };
        let end = offset.saturating_add(bytes.len());
        if total > bytes_max || end > total || (bytes.is_empty() && total > 0) {
            return Assembled::Malformed;
        }
        if bytes.len() == total {
            return Assembled::Whole(unpinned(bytes));
        }
        let bytes = unpinned(bytes);
        let partial = self.partial.entry((stream, message)).or_insert_with(|| Partial {
            total,
            pieces: BTreeMap::new(),
            bytes: 0,
            weight: 0,
            expires: now + UNRELIABLE_AGE_MAX,
        });
        let before = partial.pieces.range(..end).next_back();
        let overlaps = before.is_some_and(|(at, piece)| at + piece.len() > offset);
        if partial.total != total || overlaps {
            return Assembled::Malformed;
        }
        partial.bytes += bytes.len();
        partial.weight += weight(&bytes);
        self.weight += weight(&bytes);
        let bytes = if bytes.len() < 1_024 { Bytes::copy_from_slice(&bytes) } else { bytes };
        partial.pieces.insert(offset, bytes);
        if partial.bytes == total {
            return self.join((stream, message));
        }
        Assembled::Waiting { dropped: self.make_room(bytes_max) }
    }

    fn join(&mut self, name: (u64, u64)) -> Assembled {
        let Some(partial) = self.partial.remove(&name) else { return Assembled::Malformed };
        self.weight -= partial.weight;
        let mut whole = BytesMut::with_capacity(partial.total);
        partial.pieces.values().for_each(|piece| whole.extend_from_slice(piece));
        Assembled::Whole(whole.freeze())
    }

    /// Two of the largest messages may be under assembly; older ones go first.
    fn make_room(&mut self, bytes_max: usize) -> u64 {
        let mut dropped = 0;
        let weight_max = 2 * bytes_max.max(4 * UNRELIABLE_PIECE_BYTES_MIN);
        while self.partial.len() > UNRELIABLE_PARTIAL_MAX || self.weight > weight_max {
            let oldest =
                self.partial.iter().min_by_key(|(name, partial)| (partial.expires, **name));
            let Some(name) = oldest.map(|(name, _)| *name) else { break };
            self.drop_partial(name);
            dropped += 1;
        }
        dropped
    }

    fn drop_partial(&mut self, name: (u64, u64)) {
        if let Some(partial) = self.partial.remove(&name) {
            self.weight -= partial.weight;
        }
    }

    /// Drops what waited too long; returns how many messages.
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        let before = self.partial.len();
        self.partial.retain(|_, partial| partial.expires > now);
        self.weight = self.partial.values().map(|partial| partial.weight).sum();
        (before - self.partial.len()) as u64
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.partial.values().map(|partial| partial.expires).min()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::bus::frame::Frame;

    #[test]
    fn a_message_is_cut_and_joined_in_any_order() {
        let message: Bytes = (0..4_000_u32).map(|n| n as u8).collect::<vec::Vec<_>>().into();
        let mut departures = Departures::default();
        departures.push(Instant::EPOCH, 0, message.clone(), None);
        let mut packets = vec![];
        while !departures.is_empty() {
            let mut packet = BytesMut::new();
            departures.write(Instant::EPOCH, &mut packet, 1_280).unwrap();
            assert!(packet.len() <= 1_280);
            packets.push(packet.freeze());
        }
        assert_eq!((packets.len(), departures.bytes()), (4, 0));
        let mut assembly = Assembly::default();
        let mut result = None;
        for packet in packets.iter().rev() {
            let frame = Frame::decode(&mut packet.clone()).unwrap().unwrap();
            let Frame::Datagram { stream, message, total, offset, bytes } = frame else { panic!() };
            let name = (stream, message);
            result = Some(assembly.receive(Instant::EPOCH, name, (total, offset), bytes, 4_000));
        }
        assert_eq!(result, Some(Assembled::Whole(message)));
        assert_eq!(assembly.weight, 0);
    }

    #[test]
    fn what_is_late_is_dropped_and_counted() {
        let mut departures = Departures::default();
        let second = Duration::from_secs(1);
        departures.push(Instant::EPOCH, 0, Bytes::from_static(b"a"), Some(second));
        departures.push(Instant::EPOCH, 0, Bytes::from_static(b"b"), None);
        assert_eq!(departures.expire(Instant::EPOCH + second), 1);
        assert_eq!(departures.expire(Instant::EPOCH + UNRELIABLE_AGE_MAX), 1);
        assert_eq!(departures.bytes(), 0);
    }

    #[test]
    fn assembly_is_bounded_in_messages_bytes_and_time() {
        let mut assembly = Assembly::default();
        let mut dropped = 0;
        for message in 0..1_000 {
            let piece = Bytes::from(vec![0; 2_000]);
            match assembly.receive(Instant::EPOCH, (0, message), (4_000, 0), piece, 10_000) {
                Assembled::Waiting { dropped: now } => dropped += now,
                other => panic!("{other:?}"),
            }
            assert!(assembly.weight <= 20_000);
        }
        assert_eq!(dropped, 990);
        assert_eq!(assembly.expire(Instant::EPOCH + UNRELIABLE_AGE_MAX), 10);
        assert_eq!((assembly.weight, assembly.deadline()), (0, None));
    }

    #[test]
    fn a_message_in_crumbs_takes_no_more_than_one_in_pieces() {
        let (mut assembly, bytes_max) = (Assembly::default(), 128 * 1_024);
        let (mut kept, mut most, mut dropped) = (0, 0, 0);
        for crumb in 0..20_000 {
            let name = (0, 1 + crumb % 8);
            let place = (bytes_max as u64, 2 * crumb);
            let piece = Bytes::from_static(b"x");
            match assembly.receive(Instant::EPOCH, name, place, piece, bytes_max) {
                Assembled::Waiting { dropped: now } => dropped += now,
                other => panic!("{other:?}"),
            }
            kept = assembly.partial.values().map(|partial| partial.pieces.len()).sum();
            most = most.max(kept);
        }
        assert_eq!(most, 2 * bytes_max / UNRELIABLE_PIECE_BYTES_MIN);
        assert!(kept > 0 && dropped > 0, "and it is counted");
    }

    #[test]
    fn overlaps_and_wrong_totals_are_refused() {
        let mut assembly = Assembly::default();
        let mut receive = |total, offset, length| {
            assembly.receive(
                Instant::EPOCH,
                (0, 1),
                (total, offset),
                Bytes::from(vec![0; length]),
                100,
            )
        };
        assert_eq!(receive(50, 10, 10), Assembled::Waiting { dropped: 0 });
        for (total, offset, length) in [
            (50, 5, 6),
            (50, 19, 1),
            (60, 30, 5),
            (50, 45, 6),
            (101, 0, 1),
            (50, u64::MAX, 1),
            (50, 3, 0),
        ] {
            assert_eq!(receive(total, offset, length), Assembled::Malformed);
        }
    }
}
