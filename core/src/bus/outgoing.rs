//! The sending half of a reliable stream: messages as one run of bytes, each behind its length.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::{Bytes, BytesMut};

use super::event::MessageId;
use super::ranges::Ranges;
use super::varint;
use crate::time::Instant;

/// A message that the peer's application does not have yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// `None` for a message of a stream.
    pub(super) id: Option<MessageId>,
    bytes: usize,
    /// Where it begins, with its length, and ends in the stream.
    start: u64,
    end: u64,
    pub(super) first_sent: Option<Instant>,
    pub(super) outcome: Reported,
}

/// Whether the application still waits to hear of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reported {
    No,
    Yes,
}

/// A run of the stream's bytes, as the application gave them.
#[derive(Debug)]
struct Chunk {
    start: u64,
    bytes: Bytes,
}

/// How far the end of the stream got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    Open,
    Wanted,
    Sent,
    Acked,
}

/// What to put in a data frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<u64>,
    pub(super) fin: bool,
}

/// Bytes to send, on their way, and acknowledged.
#[derive(Debug)]
pub(super) struct Outgoing {
    chunks: VecDeque<Chunk>,
    /// All before this is acknowledged.
    base: u64,
    /// All from here on was never sent.
    next: u64,
    end: u64,
    /// The peer's credit.
    limit: u64,
    acked: Ranges,
    lost: Ranges,
    pending: VecDeque<Pending>,
    /// Messages the peer's application has, or refused.
    delivered: u64,
    fin: Fin,
}

/// The peer confirms messages that were never sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeverSent;

impl Outgoing {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            base: 0,
            next: 0,
            end: 0,
            limit,
            acked: Ranges::default(),
            lost: Ranges::default(),
            pending: VecDeque::new(),
            delivered: 0,
            fin: Fin::Open,
        }
    }

    /// Bytes held for sending and repeating.
    pub(super) fn held(&self) -> u64 {
        self.end - self.base
    }

    /// Bytes that may be sent and were not, or are to be sent again.
    pub(super) fn waiting(&self) -> u64 {
        let lost: u64 = self.lost.iter().map(|range| range.end - range.start).sum();
        lost + self.end.min(self.limit).saturating_sub(self.next)
    }

    pub(super) fn written(&self) -> u64 {
        self.delivered + self.pending.len() as u64
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter()
    }

    /// Appends a message; returns its sequence, from 1.
    pub(super) fn write(&mut self, message: Bytes, id: Option<MessageId>) -> u64 {
        let (start, length) = (self.end, message.len());
        let mut prefix = BytesMut::with_capacity(10);
        varint::put(&mut prefix, message.len() as u64);
        for bytes in [prefix.freeze(), message] {
            let length = bytes.len() as u64;
            if length > 0 {
                self.chunks.push_back(Chunk { start: self.end, bytes });
            }
            self.end += length;
        }
        let (end, outcome) = (self.end, Reported::No);
        self.pending.push_back(Pending {
            id,
            bytes: length,
            start,
            end,
            first_sent: None,
            outcome,
        });
        self.written()
    }

    /// Takes a message back if none of its bytes was ever sent.
    pub(super) fn withdraw(&mut self, id: MessageId) -> bool {
        let Some(at) = self.pending.iter().position(|message| message.id == Some(id)) else {
            return false;
        };
        let Some(&Pending { start, end, .. }) = self.pending.get(at) else { return false };
        if start < self.next {
            return false;
        }
        self.pending.remove(at);
        self.chunks.retain(|chunk| !(start..end).contains(&chunk.start));
        let length = end - start;
        self.chunks.iter_mut().filter(|c| c.start >= end).for_each(|c| c.start -= length);
        for message in self.pending.iter_mut().skip(at) {
            message.start -= length;
            message.end -= length;
        }
        self.end -= length;
        true
    }

    /// Messages of more than `limit` bytes.
    pub(super) fn over(&self, limit: usize) -> Vec<MessageId> {
        let long = |message: &&Pending| message.bytes > limit;
        self.pending.iter().filter(long).filter_map(|message| message.id).collect()
    }

    /// A message whose outcome the application does not know yet, to be marked as reported.
    pub(super) fn unreported(&mut self, id: MessageId) -> Option<&mut Pending> {
        self.pending
            .iter_mut()
            .find(|message| message.id == Some(id) && message.outcome == Reported::No)
    }

    /// Whether any byte of a message was ever sent, and whether all were.
    pub(super) fn was_all_sent(&self, message: &Pending) -> bool {
        message.end <= self.next
    }

    pub(super) fn finish(&mut self) {
        if self.fin == Fin::Open {
            self.fin = Fin::Wanted;
        }
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.fin != Fin::Open
    }

    /// Whether the peer has everything and knows that there is no more.
    pub(super) fn is_done(&self) -> bool {
        self.fin == Fin::Acked && self.pending.is_empty()
    }

    pub(super) fn on_window(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    pub(super) fn has_piece(&self) -> bool {
        !self.lost.is_empty()
            || self.next < self.end.min(self.limit)
            || (self.fin == Fin::Wanted && self.next == self.end)
    }

    /// The next piece of at most `length` bytes: what was lost first, then what is new.
    pub(super) fn next_piece(&mut self, now: Instant, length: u64) -> Option<Piece> {
        if length == 0 || !self.has_piece() {
            return None;
        }
        let range = self.lost.take_first(length).unwrap_or_else(|| {
            let end = self.end.min(self.limit).min(self.next + length).max(self.next);
            let range = self.next..end;
            self.next = end;
            let unsent = self.pending.iter_mut().rev().skip_while(|m| m.start >= end);
            for message in unsent.take_while(|m| m.first_sent.is_none()) {
                message.first_sent = Some(now);
            }
            range
        });
        let fin = range.end == self.end && self.fin != Fin::Open && self.fin != Fin::Acked;
        if fin {
            self.fin = Fin::Sent;
        }
        Some(Piece { range, fin })
    }

    /// Appends the bytes of `range`, which must be unacknowledged bytes of the stream.
    pub(super) fn copy(&self, range: &Range<u64>, to: &mut BytesMut) {
        let first = self.chunks.partition_point(|c| c.start + c.bytes.len() as u64 <= range.start);
        let mut at = range.start;
        for chunk in self.chunks.iter().skip(first) {
            if at >= range.end {
                return;
            }
            let skip = (at - chunk.start) as usize;
            let take = ((range.end - at) as usize).min(chunk.bytes.len() - skip);
            to.extend_from_slice(&chunk.bytes[skip..skip + take]);
            at += take as u64;
        }
        assert!(at >= range.end, "bytes are kept until they are acknowledged");
    }

    pub(super) fn on_acked(&mut self, range: &Range<u64>, fin: bool) {
        if fin {
            self.fin = Fin::Acked;
        }
        self.lost.remove(range);
        if range.end > self.base {
            self.acked.insert(range.start.max(self.base)..range.end);
        }
        if self.acked.first().is_some_and(|first| first.start == self.base) {
            self.base = self.acked.take_first(u64::MAX).map_or(self.base, |first| first.end);
        }
        while let Some(chunk) = self.chunks.front() {
            if chunk.start + chunk.bytes.len() as u64 > self.base {
                break;
            }
            self.chunks.pop_front();
        }
    }

    pub(super) fn on_lost(&mut self, range: &Range<u64>, fin: bool) {
        let range = range.start.max(self.base)..range.end.max(self.base);
        for missing in self.acked.missing(&range) {
            self.lost.insert(missing);
        }
        if fin && self.fin == Fin::Sent {
            self.fin = Fin::Wanted;
            // An end that was sent with bytes is repeated with the last of them or alone.
        }
    }

    /// The peer has the first `count` messages. Calls `each` with sequence and message.
    pub(super) fn on_delivered(
        &mut self,
        count: u64,
        mut each: impl FnMut(u64, Pending),
    ) -> Result<(), NeverSent> {
        let sent = self.pending.iter().take_while(|m| m.end <= self.next).count() as u64;
        if count > self.delivered + sent {
            return Err(NeverSent);
        }
        while self.delivered < count {
            self.delivered += 1;
            if let Some(message) = self.pending.pop_front() {
                each(self.delivered, message);
            }
        }
        Ok(())
    }

    /// The message of a sequence, if it is still pending.
    pub(super) fn pending_at(&mut self, sequence: u64) -> Option<&mut Pending> {
        let at = usize::try_from(sequence.checked_sub(self.delivered + 1)?).ok()?;
        self.pending.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(out: &Outgoing, piece: &Piece) -> BytesMut {
        let mut to = BytesMut::new();
        out.copy(&piece.range, &mut to);
        to
    }

    #[test]
    fn messages_go_behind_their_length_within_credit() {
        let mut out = Outgoing::new(5);
        assert_eq!(out.write(Bytes::from_static(b"abc"), None), 1);
        assert_eq!(out.write(Bytes::from_static(b"de"), None), 2);
        let now = Instant::EPOCH;
        let piece = out.next_piece(now, 100).unwrap();
        assert_eq!(&bytes_of(&out, &piece)[..], b"\x03abc\x02");
        assert_eq!(out.next_piece(now, 100), None);
        out.on_window(7);
        out.finish();
        let piece = out.next_piece(now, 100).unwrap();
        assert_eq!((&bytes_of(&out, &piece)[..], piece.fin), (b"de".as_slice(), true));
    }

    #[test]
    fn only_what_was_lost_and_not_acknowledged_is_repeated() {
        let mut out = Outgoing::new(1_000);
        out.write(Bytes::from_static(&[7; 99]), None);
        let now = Instant::EPOCH;
        for _ in 0..10 {
            out.next_piece(now, 10).unwrap();
        }
        out.on_acked(&(20..30), false);
        out.on_lost(&(10..40), false);
        assert_eq!(out.next_piece(now, 100).unwrap().range, 10..20);
        assert_eq!(out.next_piece(now, 100).unwrap().range, 30..40);
        assert_eq!(out.next_piece(now, 100), None);
        out.on_acked(&(0..100), false);
        assert_eq!(out.held(), 0);
        out.on_lost(&(0..50), false);
        assert!(!out.has_piece());
    }

    #[test]
    fn only_a_message_never_sent_can_be_withdrawn() {
        let mut out = Outgoing::new(1_000);
        for at in 0..3_u8 {
            out.write(Bytes::from(alloc::vec![at; 3]), Some(MessageId(u64::from(at))));
        }
        out.next_piece(Instant::EPOCH, 2).unwrap();
        assert!(!out.withdraw(MessageId(0)));
        assert!(out.withdraw(MessageId(1)));
        let piece = out.next_piece(Instant::EPOCH, 100).unwrap();
        assert_eq!(&bytes_of(&out, &piece)[..], b"\0\0\x03\x02\x02\x02");
    }

    #[test]
    fn a_lost_end_is_sent_again() {
        let mut out = Outgoing::new(1_000);
        out.finish();
        let piece = out.next_piece(Instant::EPOCH, 9).unwrap();
        assert_eq!(piece, Piece { range: 0..0, fin: true });
        assert!(!out.has_piece());
        out.on_lost(&(0..0), true);
        assert_eq!(out.next_piece(Instant::EPOCH, 9), Some(piece));
        out.on_acked(&(0..0), true);
        assert!(out.is_done());
    }

    #[test]
    fn messages_that_were_not_sent_cannot_be_delivered() {
        let mut out = Outgoing::new(1_000);
        out.write(Bytes::from_static(b"abc"), None);
        out.next_piece(Instant::EPOCH, 3).unwrap();
        assert_eq!(out.on_delivered(1, |_, _| ()), Err(NeverSent));
        out.next_piece(Instant::EPOCH, 3).unwrap();
        assert_eq!(out.on_delivered(1, |_, _| ()), Ok(()));
    }
}
