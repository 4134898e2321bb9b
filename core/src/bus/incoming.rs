//! The receiving half of a reliable stream: pieces in any order become messages in order.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use alloc::collections::{BTreeMap, VecDeque};
use core::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::ranges::Ranges;
use super::varint;
use crate::limits::{PIN_BYTES_MIN, STREAM_GAPS_MAX, WINDOW_BYTES_MAX, WINDOW_BYTES_MIN};
use crate::time::{Duration, Instant};

/// The peer broke credit, format or limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation;

#[derive(Debug)]
pub(super) struct Incoming {
    /// In order from `taken` on; small pieces gather in `tail`.
    rope: VecDeque<Bytes>,
    tail: BytesMut,
    /// Up to where the application took the bytes, and up to where they are there.
    taken: u64,
    end: u64,
    ahead: BTreeMap<u64, Bytes>,
    ahead_bytes: u64,
    received: Ranges,
    fin: Option<u64>,
    /// The credit the peer knows, or is about to.
    limit: u64,
    window: u64,
    window_told_at: Option<Instant>,
    /// The end of the message under assembly, when it was granted more than the window.
    granted: u64,
    /// Bytes taken from the node's budget for window and grant.
    pub(super) budgeted: u64,
    /// Unread bytes beyond that, as they were counted last.
    pub(super) counted: u64,
    messages_taken: u64,
    message_bytes_max: usize,
}

/// The bytes, out of a larger allocation if they are few.
pub(super) fn unpinned(bytes: Bytes) -> Bytes {
    if bytes.len() < PIN_BYTES_MIN { Bytes::copy_from_slice(&bytes) } else { bytes }
}

impl Incoming {
    pub(super) fn new(message_bytes_max: usize) -> Self {
        Self {
            rope: VecDeque::new(),
            tail: BytesMut::new(),
            taken: 0,
            end: 0,
            ahead: BTreeMap::new(),
            ahead_bytes: 0,
            received: Ranges::default(),
            fin: None,
            limit: WINDOW_BYTES_MIN,
            window: WINDOW_BYTES_MIN,
            window_told_at: None,
            granted: 0,
            budgeted: 0,
            counted: 0,
            messages_taken: 0,
            message_bytes_max,
        }
    }

    /// Unread bytes beyond what was taken from the node's budget: those of the first window.
    pub(super) fn unbudgeted(&self) -> u64 {
        (self.end - self.taken + self.ahead_bytes).saturating_sub(self.budgeted)
    }

    /// Takes a piece. Returns whether something new is in order.
    pub(super) fn receive(
        &mut self,
        offset: u64,
        bytes: Bytes,
        fin: bool,
    ) -> Result<bool, Violation> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Violation)?;
        if end > self.limit || self.fin.is_some_and(|fin| end > fin) {
            return Err(Violation);
        }
        if fin {
            let highest = self.received.iter().next_back().map_or(self.end, |range| range.end);
            if highest > end || self.fin.is_some_and(|fin| fin != end) {
                return Err(Violation);
            }
        }
        let news = fin && self.fin.is_none();
        self.fin = if fin { Some(end) } else { self.fin };
        let before = self.end;
        if offset <= self.end {
            if end > self.end {
                let skip = usize::try_from(self.end - offset).map_err(|_| Violation)?;
                self.append(bytes.slice(skip..));
                self.drain();
            }
        } else {
            self.hold(offset..end, &bytes)?;
        }
        self.check_length()?;
        Ok(news || self.end > before)
    }

    fn append(&mut self, bytes: Bytes) {
        self.end += bytes.len() as u64;
        if bytes.len() < PIN_BYTES_MIN {
            self.tail.extend_from_slice(&bytes);
        }
        if self.tail.len() >= PIN_BYTES_MIN || bytes.len() >= PIN_BYTES_MIN {
            self.close_tail();
        }
        if bytes.len() >= PIN_BYTES_MIN {
            self.rope.push_back(bytes);
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.rope.push_back(self.tail.split().freeze());
        }
    }

    fn hold(&mut self, range: Range<u64>, bytes: &Bytes) -> Result<(), Violation> {
        for missing in self.received.missing(&range) {
            let from = usize::try_from(missing.start - range.start).map_err(|_| Violation)?;
            let to = usize::try_from(missing.end - range.start).map_err(|_| Violation)?;
            let piece = bytes.slice(from..to);
            self.ahead_bytes += piece.len() as u64;
            self.ahead.insert(missing.start, unpinned(piece));
        }
        self.received.insert(range);
        if self.ahead.len() > STREAM_GAPS_MAX { Err(Violation) } else { Ok(()) }
    }

    /// Moves what is in order now from `ahead` to the rope.
    fn drain(&mut self) {
        while let Some(entry) = self.ahead.first_entry() {
            let (start, bytes) = (*entry.key(), entry.get());
            let stop = start + bytes.len() as u64;
            if start > self.end {
                break;
            }
            let bytes = entry.remove();
            self.ahead_bytes -= bytes.len() as u64;
            if stop > self.end {
                let skip = usize::try_from(self.end - start).unwrap_or(usize::MAX);
                self.append(bytes.slice(skip..));
            }
        }
        let end = self.end;
        self.received.remove(&(0..end));
    }

    /// The length prefix and length of the first message, if enough is there.
    fn head(&self) -> Option<(usize, u64)> {
        let bytes = self.rope.iter().flat_map(|bytes| bytes.iter()).chain(self.tail.iter());
        varint::read(bytes.copied()).map(|(length, prefix)| (prefix, length))
    }

    fn check_length(&self) -> Result<(), Violation> {
        match self.head() {
            Some((_, length)) if length > self.message_bytes_max as u64 => Err(Violation),
            None if self.end - self.taken >= 10 => Err(Violation),
            _ => Ok(()),
        }
    }

    /// Whether a whole message is there.
    pub(super) fn is_readable(&self) -> bool {
        self.head().is_some_and(|(prefix, length)| self.end - self.taken >= prefix as u64 + length)
    }

    /// Takes the next whole message and its sequence, from 1.
    pub(super) fn next_message(&mut self) -> Option<(u64, Bytes)> {
        let (prefix, length) = self.head()?;
        let whole = prefix as u64 + length;
        if self.end - self.taken < whole {
            return None;
        }
        self.advance(prefix);
        let message = self.split_to(usize::try_from(length).ok()?);
        self.taken += whole;
        self.messages_taken += 1;
        Some((self.messages_taken, message))
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let Some(front) = self.rope.front_mut() else {
                self.tail.advance(count);
                return;
            };
            let step = count.min(front.len());
            front.advance(step);
            count -= step;
            if front.is_empty() {
                self.rope.pop_front();
            }
        }
    }

    fn split_to(&mut self, length: usize) -> Bytes {
        if let Some(front) = self.rope.front_mut()
            && front.len() >= length
            && length * 2 >= front.len()
        {
            let message = front.split_to(length);
            if front.is_empty() {
                self.rope.pop_front();
            }
            return message;
        }
        let mut message = BytesMut::with_capacity(length);
        while message.len() < length {
            let missing = length - message.len();
            let Some(front) = self.rope.front_mut() else {
                message.extend_from_slice(&self.tail.split_to(missing));
                break;
            };
            let part = front.split_to(missing.min(front.len()));
            message.extend_from_slice(&part);
            if front.is_empty() {
                self.rope.pop_front();
            }
        }
        message.freeze()
    }

    /// Whether the peer has finished, whatever is still missing.
    pub(super) fn is_ending(&self) -> bool {
        self.fin.is_some()
    }

    /// Whether the peer has finished and everything was taken.
    pub(super) fn is_finished(&self) -> bool {
        self.fin == Some(self.taken)
    }

    /// Whether the stream ends in the middle of a message: the peer broke the format.
    pub(super) fn is_cut(&self) -> bool {
        self.fin == Some(self.end) && self.taken < self.end && !self.is_readable()
    }

    /// Widens the credit as far as `budget` (bytes free in the node) allows, and returns the
    /// new limit if it is worth telling.
    pub(super) fn widen(&mut self, now: Instant, rtt: Duration, budget: &mut u64) -> Option<u64> {
        self.release(budget);
        let head = self.head();
        let message_end = head.map_or(0, |(prefix, length)| self.taken + prefix as u64 + length);
        if message_end > 0 {
            let beyond = message_end.saturating_sub(self.taken + self.window);
            if beyond > 0 && self.granted < message_end && *budget >= beyond {
                *budget -= beyond;
                self.budgeted += beyond;
                self.granted = message_end;
            }
        }
        let due = self.limit < self.taken + self.window / 2;
        if due {
            let quick = self.window_told_at.is_some_and(|at| now.since(at) < rtt * 4);
            if quick && self.window < WINDOW_BYTES_MAX && *budget >= self.window {
                *budget -= self.window;
                self.budgeted += self.window;
                self.window *= 2;
            }
            self.window_told_at = Some(now);
        }
        let limit = (self.taken + self.window).max(self.granted);
        // A message that ends beyond the credit cannot be read, so it would never be due.
        (due || message_end > self.limit)
            .then_some(limit)
            .filter(|&limit| limit > self.limit)
            .inspect(|&limit| self.limit = limit)
    }

    /// Gives the grant of a message that was taken back to the budget.
    fn release(&mut self, budget: &mut u64) {
        if self.granted != 0 && self.taken >= self.granted {
            let kept = self.window - WINDOW_BYTES_MIN;
            *budget += self.budgeted - kept;
            self.budgeted = kept;
            self.granted = 0;
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut all = BytesMut::new();
        for message in messages {
            varint::put(&mut all, message.len() as u64);
            all.extend_from_slice(message);
        }
        all.to_vec()
    }

    #[test]
    fn small_pieces_that_wait_do_not_hold_what_they_came_in() {
        let mut block = BytesMut::zeroed(1_000_000);
        let small = PIN_BYTES_MIN - 1;
        let [ahead, in_order] = [small, 5].map(|length| block.split_to(length).freeze());
        let mut incoming = Incoming::new(1_000);
        incoming.receive(100, ahead, false).unwrap();
        incoming.receive(0, in_order, false).unwrap();
        // One that is large enough stays where it is.
        let large = block.split_to(PIN_BYTES_MIN).freeze();
        let at = large.as_ptr();
        assert_eq!(unpinned(large).as_ptr(), at);
        block.clear();
        assert!(block.try_reclaim(1_000_000));
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_and_overlap_become_the_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 1..6),
            cuts in prop::collection::vec((0.0..1.0_f64, 1..4_000_usize), 0..40),
        ) {
            let all = stream(&messages);
            let mut incoming = Incoming::new(1 << 20);
            let mut got = Vec::new();
            let whole = (0..all.len()).step_by(700).map(|at| (at, 700));
            let random = cuts.into_iter().map(|(at, length)| ((at * all.len() as f64) as usize, length));
            for (at, length) in random.chain(whole) {
                let end = all.len().min(at + length);
                let piece = Bytes::copy_from_slice(all.get(at..end).unwrap());
                incoming.receive(at as u64, piece, end == all.len()).unwrap();
                while let Some((sequence, message)) = incoming.next_message() {
                    got.push(message.to_vec());
                    prop_assert_eq!(sequence, got.len() as u64);
                }
            }
            prop_assert!(incoming.is_finished());
            prop_assert_eq!(got, messages);
        }
    }

    #[test]
    fn credit_and_the_end_are_enforced() {
        let mut incoming = Incoming::new(1 << 30);
        let piece = |length: usize| Bytes::from(vec![1; length]);
        assert_eq!(incoming.receive(WINDOW_BYTES_MIN, piece(1), false), Err(Violation));
        assert_eq!(incoming.receive(u64::MAX, piece(1), false), Err(Violation));
        assert_eq!(incoming.receive(0, piece(10), true), Ok(true));
        assert_eq!(incoming.receive(10, piece(1), false), Err(Violation));
        assert_eq!(incoming.receive(0, piece(9), true), Err(Violation));
    }

    #[test]
    fn a_claimed_length_allocates_nothing_and_one_over_the_limit_is_refused() {
        let mut incoming = Incoming::new(1 << 20);
        let claim = Bytes::from_static(b"\xff\xff\x3f");
        assert_eq!(incoming.receive(0, claim, false), Ok(true));
        let (now, rtt) = (Instant::EPOCH, Duration::ZERO);
        let mut budget = 100;
        assert_eq!(incoming.widen(now, rtt, &mut budget), None);
        budget = 1 << 20;
        assert_eq!(incoming.widen(now, rtt, &mut budget), Some((1 << 20) - 1 + 3));
        assert!(budget < 1 << 20);
        assert!(incoming.tail.capacity() < 10_000);
        let mut other = Incoming::new(1 << 20);
        assert_eq!(other.receive(0, Bytes::from_static(b"\xff\xff\x7f"), false), Err(Violation));
    }

    #[test]
    fn a_message_behind_others_gets_the_credit_that_it_needs() {
        // The first is read and leaves more than half the window; the second ends beyond it.
        let mut incoming = Incoming::new(1 << 20);
        let mut bytes = BytesMut::new();
        for length in [100_000, 180_000] {
            varint::put(&mut bytes, length);
            bytes.resize(bytes.len() + length as usize, 0);
        }
        let rest = bytes.split_off(WINDOW_BYTES_MIN as usize);
        incoming.receive(0, bytes.freeze(), false).unwrap();
        let (now, rtt, mut budget) = (Instant::EPOCH, Duration::from_millis(50), 0);
        assert_eq!(incoming.widen(now, rtt, &mut budget), None);
        assert_eq!(incoming.next_message().map(|(_, message)| message.len()), Some(100_000));
        assert_eq!(incoming.widen(now, rtt, &mut budget), Some(100_003 + WINDOW_BYTES_MIN));
        assert_eq!(incoming.widen(now, rtt, &mut budget), None);
        incoming.receive(WINDOW_BYTES_MIN, rest.freeze(), false).unwrap();
        assert_eq!(incoming.next_message().map(|(_, message)| message.len()), Some(180_000));
    }

    #[test]
    fn a_reader_that_keeps_up_gets_more_credit_and_one_that_sleeps_none() {
        let mut incoming = Incoming::new(1 << 20);
        let (mut now, rtt) = (Instant::EPOCH, Duration::from_millis(50));
        let mut budget = 64 << 20;
        let mut at = 0;
        for _ in 0..3_000 {
            let mut message = BytesMut::new();
            varint::put(&mut message, 10_000);
            message.resize(10_002, 0);
            incoming.receive(at, message.freeze(), false).unwrap();
            at += 10_002;
            incoming.next_message().unwrap();
            now += Duration::from_millis(1);
            incoming.widen(now, rtt, &mut budget);
        }
        assert_eq!(incoming.window, WINDOW_BYTES_MAX);
        let limit = incoming.limit();
        assert_eq!(incoming.widen(now, rtt, &mut budget), None);
        assert_eq!(incoming.limit(), limit);
    }
}
