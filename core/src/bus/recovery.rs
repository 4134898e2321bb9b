//! The sending half of one lane's packet numbers: what is on its way, and what is lost
//! (RFC 9002, section 6).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use super::control::Control;
use super::event::PingId;
use super::frame::Ack;
use super::rtt::Rtt;
use crate::limits::REPLAY_WINDOW_PACKETS;
use crate::time::{Duration, Instant};

/// A packet is lost when one sent this much later has arrived.
const PACKET_THRESHOLD: u64 = 3;

/// Something a packet carried that matters when it arrives or is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Data {
        stream: u64,
        range: Range<u64>,
        fin: bool,
    },
    Control(Control),
    /// A ping, of which the acknowledgement is the answer.
    Ping(PingId),
    /// An acknowledgement of everything up to a number.
    Ack {
        largest: u64,
    },
}

/// A packet on its way that asks for an acknowledgement.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) bytes: u64,
    pub(super) items: Vec<Item>,
}

/// What an acknowledgement brought.
#[derive(Debug, Default)]
pub(super) struct Acked {
    pub(super) packets: Vec<Sent>,
    /// The round trip of the largest packet, if it is newly acknowledged.
    pub(super) sample: Option<Duration>,
    /// Congestion marks since the last acknowledgement.
    pub(super) marks: u64,
}

/// An acknowledgement of a packet that was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeverSent;

#[derive(Debug, Default)]
pub(super) struct Recovery {
    next: u64,
    sent: BTreeMap<u64, Sent>,
    largest_acked: Option<u64>,
    marks: u64,
    last_sent: Option<Instant>,
    tries: u32,
    loss_at: Option<Instant>,
}

impl Recovery {
    /// Whether another packet would outrun the peer's replay window.
    pub(super) fn is_full(&self) -> bool {
        let oldest = self.sent.keys().next().copied().unwrap_or(self.next);
        self.next - oldest >= REPLAY_WINDOW_PACKETS - 1
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_empty()
    }

    /// Notes the packet that is about to take the next number.
    pub(super) fn note(&mut self, packet: Sent) {
        self.last_sent = Some(packet.at);
        self.sent.insert(self.next, packet);
    }

    pub(super) fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn on_ack(&mut self, now: Instant, ack: &Ack) -> Result<Acked, NeverSent> {
        let largest = ack.largest();
        if largest >= self.next {
            return Err(NeverSent);
        }
        let mut acked = Acked { marks: ack.marks.saturating_sub(self.marks), ..Acked::default() };
        self.marks = self.marks.max(ack.marks);
        if let Some(packet) = self.sent.get(&largest) {
            acked.sample = Some(now.since(packet.at));
        }
        for range in ack.ranges.iter().rev() {
            while let Some((&number, _)) = self.sent.range(range.clone()).next() {
                acked.packets.extend(self.sent.remove(&number));
            }
        }
        if !acked.packets.is_empty() {
            self.tries = 0;
        }
        self.largest_acked = self.largest_acked.max(Some(largest));
        Ok(acked)
    }

    /// Takes out the packets that must be taken for lost by now.
    pub(super) fn take_lost(&mut self, now: Instant, rtt: &Rtt) -> Vec<Sent> {
        self.loss_at = None;
        let Some(largest) = self.largest_acked else { return Vec::new() };
        let delay = rtt.loss_delay();
        let mut lost = Vec::new();
        while let Some((&number, packet)) = self.sent.range(..largest).next() {
            let late_at = packet.at + delay;
            if number + PACKET_THRESHOLD > largest && late_at > now {
                self.loss_at = Some(late_at);
                break;
            }
            lost.extend(self.sent.remove(&number));
        }
        lost
    }

    /// Takes out everything: the path it went over is dead.
    pub(super) fn take_all(&mut self) -> Vec<Sent> {
        (self.loss_at, self.tries) = (None, 0);
        core::mem::take(&mut self.sent).into_values().collect()
    }

    /// Takes out one packet, if it is still on its way.
    pub(super) fn take(&mut self, number: u64) -> Option<Sent> {
        self.sent.remove(&number)
    }

    /// The packet on its way whose number ends in `low`.
    pub(super) fn find(&self, low: u32) -> Option<(u64, &Sent)> {
        let (&number, packet) = self.sent.iter().find(|(number, _)| **number as u32 == low)?;
        Some((number, packet))
    }

    /// When to look for losses, or to probe.
    pub(super) fn deadline(&self, rtt: &Rtt) -> Option<Instant> {
        if self.sent.is_empty() {
            return None;
        }
        self.loss_at.or_else(|| self.last_sent.map(|at| at + rtt.probe_timeout(self.tries)))
    }

    /// Whether the peer has been silent for so long that it must be probed; counts the try.
    pub(super) fn must_probe(&mut self, now: Instant, rtt: &Rtt) -> bool {
        if self.loss_at.is_some() || self.deadline(rtt).is_none_or(|at| at > now) {
            return false;
        }
        self.tries += 1;
        true
    }

    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// What the oldest packet on its way carries: probes repeat it.
    pub(super) fn oldest_items(&self) -> &[Item] {
        self.sent.values().next().map_or(&[], |sent| &sent.items)
    }

    /// Starts the probe timer afresh: the path is new.
    pub(super) fn restart_timer(&mut self, now: Instant) {
        self.tries = 0;
        if self.last_sent.is_some() {
            self.last_sent = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn send(recovery: &mut Recovery, packets: u64) {
        for at in 0..packets {
            let at = Instant::from_millis(at);
            recovery.note(Sent { at, bytes: 100, items: Vec::new() });
            recovery.take_number();
        }
    }

    fn ack(ranges: Vec<core::ops::RangeInclusive<u64>>) -> Ack {
        Ack { delay_us: 0, marks: 0, ranges }
    }

    #[test]
    fn three_later_arrivals_make_a_loss() {
        let (mut recovery, rtt) = (Recovery::default(), Rtt::default());
        send(&mut recovery, 6);
        let now = Instant::from_millis(20);
        assert_eq!(recovery.on_ack(now, &ack(vec![3..=4])).unwrap().packets.len(), 2);
        let lost = recovery.take_lost(now, &rtt);
        assert_eq!(
            lost.iter().map(|sent| sent.at).collect::<Vec<_>>(),
            [Instant::EPOCH, Instant::from_millis(1)]
        );
        assert!(recovery.deadline(&rtt).is_some());
    }

    #[test]
    fn time_makes_a_loss_too() {
        let (mut recovery, mut rtt) = (Recovery::default(), Rtt::default());
        send(&mut recovery, 2);
        let acked = recovery.on_ack(Instant::from_millis(21), &ack(vec![1..=1])).unwrap();
        rtt.update(acked.sample.unwrap(), Duration::ZERO);
        assert!(recovery.take_lost(Instant::from_millis(21), &rtt).is_empty());
        let at = recovery.deadline(&rtt).unwrap();
        assert_eq!(at, Instant::EPOCH + 20 * MS * 9 / 8);
        assert_eq!(recovery.take_lost(at, &rtt).len(), 1);
    }

    #[test]
    fn an_acknowledgement_of_the_future_is_refused() {
        let mut recovery = Recovery::default();
        send(&mut recovery, 2);
        assert_eq!(recovery.on_ack(Instant::EPOCH, &ack(vec![2..=2])).unwrap_err(), NeverSent);
    }
}
