//! What one end sends on a packet-shaped link, packet by packet, and what of it the other end got.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use hedgerow_core::limits::{PACKET_BYTES_MAX, PACKET_BYTES_MIN};

use super::flow::byte;
use super::{Breach, Figures, require};

/// A million of a million.
const PPM: usize = 1_000_000;
/// Chance may strike twice as often as it does on average, and so many times more.
const UNLUCKY: usize = 16;

/// One direction of a packet-shaped link.
#[derive(Debug)]
pub(super) struct Post {
    seed: u64,
    packet_bytes: usize,
    sizes: Sizes,
    order: Order,
    lost_ppm_max: usize,
    changed_ppm_max: usize,
    sent: usize,
    sent_bytes: usize,
    received: usize,
    /// Of those that were sent, so many have come.
    arrived: usize,
    /// Packets that came otherwise than any that was sent.
    changed: usize,
}

#[derive(Debug)]
enum Sizes {
    /// All of them by turns, the large and the small ones first.
    All,
    Full,
}

#[derive(Debug)]
enum Order {
    /// What has not come yet.
    Kept(VecDeque<Bytes>),
    /// How often each packet was sent and came.
    Open(HashMap<Bytes, Tally>),
}

#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    received: usize,
}

/// A size of packets that a driver may say.
pub(super) fn is_possible(packet_bytes: usize) -> Result<(), Breach> {
    require((PACKET_BYTES_MIN..=PACKET_BYTES_MAX).contains(&packet_bytes), || {
        format!("packet_bytes is {packet_bytes}, not from {PACKET_BYTES_MIN} to {PACKET_BYTES_MAX}")
    })
}

impl Post {
    pub(super) fn new(seed: u64, packet_bytes: usize, is_ordered: bool, figures: &Figures) -> Self {
        let ppm = |ppm: u32| if is_ordered { 0 } else { ppm as usize };
        Self {
            seed,
            packet_bytes,
            sizes: Sizes::All,
            order: if is_ordered {
                Order::Kept(VecDeque::new())
            } else {
                Order::Open(HashMap::new())
            },
            lost_ppm_max: ppm(figures.lost_ppm_max),
            changed_ppm_max: ppm(figures.changed_ppm_max),
            sent: 0,
            sent_bytes: 0,
            received: 0,
            arrived: 0,
            changed: 0,
        }
    }

    pub(super) fn fill_up(&mut self) {
        self.sizes = Sizes::Full;
    }

    fn next_size(&self) -> usize {
        let turn = self.sent % self.packet_bytes;
        match self.sizes {
            Sizes::Full => self.packet_bytes,
            Sizes::All if turn.is_multiple_of(2) => self.packet_bytes - turn / 2,
            Sizes::All => turn.div_ceil(2),
        }
    }

    /// The packet to send next.
    pub(super) fn send(&mut self) -> Bytes {
        let end = self.sent_bytes + self.next_size();
        let packet: Bytes = (self.sent_bytes..end).map(|at| byte(self.seed, at)).collect();
        match &mut self.order {
            Order::Kept(awaited) => awaited.push_back(packet.clone()),
            Order::Open(tallies) => tallies.entry(packet.clone()).or_default().sent += 1,
        }
        self.sent += 1;
        self.sent_bytes = end;
        packet
    }

    /// Takes what came as one packet; gives its bytes if it came for the first time.
    pub(super) fn receive(&mut self, packet: &[u8]) -> Result<usize, Breach> {
        self.received += 1;
        match &mut self.order {
            Order::Kept(awaited) => {
                let next = awaited.pop_front().unwrap_or_default();
                require(next == packet, || {
                    format!(
                        "packet {} of an ordered link has {} bytes and is not the one of {} bytes \
                         that was sent: packets were lost, doubled, reordered, changed, merged or \
                         split",
                        self.received - 1,
                        packet.len(),
                        next.len()
                    )
                })?;
                self.arrived += 1;
                Ok(packet.len())
            }
            Order::Open(tallies) => match tallies.get_mut(packet) {
                Some(tally) if tally.received < tally.sent => {
                    tally.received += 1;
                    self.arrived += 1;
                    Ok(packet.len())
                }
                Some(_doubled) => Ok(0),
                None => self.on_changed(packet).map(|()| 0),
            },
        }
    }

    fn on_changed(&mut self, packet: &[u8]) -> Result<(), Breach> {
        self.changed += 1;
        require(self.changed <= bad_luck(self.changed_ppm_max, self.received), || {
            format!(
                "{} of {} packets are none that was sent, the last one of {} bytes: packets were \
                 merged, split or changed",
                self.changed,
                self.received,
                packet.len()
            )
        })
    }

    pub(super) fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// So many bytes were sent, and no more packets are missing than may be.
    pub(super) fn is_received(&self, bytes: usize) -> bool {
        self.sent_bytes >= bytes && self.sent - self.arrived <= self.losable(self.sent)
    }

    /// Packets that may be missing of so many.
    fn losable(&self, count: usize) -> usize {
        bad_luck(self.lost_ppm_max + self.changed_ppm_max, count)
    }

    /// Bytes that may be missing, once so many more are sent in full packets.
    pub(super) fn losable_bytes(&self, more_bytes: usize) -> usize {
        self.losable(self.sent + more_bytes / self.packet_bytes) * self.packet_bytes
    }

    pub(super) fn set_packet_bytes(&mut self, packet_bytes: usize) -> Result<(), Breach> {
        is_possible(packet_bytes)?;
        let is_ordered = matches!(self.order, Order::Kept(_));
        require(!is_ordered || packet_bytes >= self.packet_bytes, || {
            format!(
                "the packets of an ordered link shrank from {} to {packet_bytes} bytes",
                self.packet_bytes
            )
        })?;
        self.packet_bytes = packet_bytes;
        Ok(())
    }
}

/// How many of `count` chance may strike.
fn bad_luck(ppm: usize, count: usize) -> usize {
    if ppm == 0 { 0 } else { 2 * count * ppm / PPM + UNLUCKY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_comes_by_turns_with_the_extremes_first() {
        let mut post = Post::new(1, 20, false, &Figures::default());
        let mut sizes: Vec<_> = (0..20).map(|_| post.send().len()).collect();
        assert_eq!(sizes[..4], [20, 1, 19, 2]);
        sizes.sort_unstable();
        assert!(sizes.into_iter().eq(1..=20));
        post.fill_up();
        assert_eq!([post.send().len(), post.send().len()], [20, 20]);
    }

    #[test]
    fn without_order_packets_may_come_late_and_twice_but_not_joined() {
        let mut post = Post::new(1, 20, false, &Figures::default());
        let (first, second) = (post.send(), post.send());
        let received = [&second, &first, &first].map(|packet| post.receive(packet).unwrap());
        assert_eq!(received, [1, 20, 0]);
        post.receive(&[first, second].concat()).unwrap_err();
    }

    #[test]
    fn a_share_of_the_packets_may_be_lost_or_changed_where_the_bench_says_so() {
        let figures =
            Figures { lost_ppm_max: 50_000, changed_ppm_max: 10_000, ..Figures::default() };
        let mut post = Post::new(1, 20, false, &figures);
        let sent: Vec<_> = (0..1_000).map(|_| post.send()).collect();
        let losable = 2 * 60 + UNLUCKY;
        assert_eq!(post.losable_bytes(20_000), (4 * 60 + UNLUCKY) * 20);
        for packet in &sent[losable + 1..] {
            post.receive(packet).unwrap();
        }
        assert!(!post.is_received(post.sent_bytes));
        post.receive(&sent[0]).unwrap();
        assert!(post.is_received(post.sent_bytes) && !post.is_received(post.sent_bytes + 1));
        // Two of a hundred of those that came, and a few more.
        let changed = (0..1_000).take_while(|_| post.receive(&[0; 21]).is_ok()).count();
        assert_eq!(changed, 17 + UNLUCKY);

        let mut ordered = Post::new(1, 20, true, &figures);
        ordered.send();
        assert!(!ordered.is_received(1));
    }
}
