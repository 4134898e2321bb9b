//! Frames of others that wait for a neighbour.

use alloc::collections::VecDeque;

use bytes::BytesMut;

use crate::crypto::hash::{self, Domain};
use crate::id::PeerKey;
use crate::limits::{FRAME_LIFETIME, HOP_LIMIT_SLACK, PATH_HOPS_MAX, PIN_BYTES_MIN};
use crate::limits::{RELAY_MARK_AFTER, RELAY_QUEUE_BYTES_MAX};
use crate::time::{Duration, Instant};
use crate::wire::frame::{DATA_OVERHEAD_BYTES, DataFrame};
use crate::wire::lane::Lane;
use crate::wire::routing::{DataKind, RoutingHeader};

/// Relayed frames for one neighbour, by lane. Bounded in bytes per lane; an old frame is
/// dropped, one that waited is marked.
#[derive(Debug, Default)]
pub struct RelayQueue {
    lanes: [LaneQueue; 4],
}

#[derive(Debug, Default)]
struct LaneQueue {
    frames: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    frame: DataFrame,
    came_from: PeerKey,
    since: Instant,
}

/// What the queue gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A frame to send.
    Frame(DataFrame),
    /// A frame that outlived its lifetime: count it and ask again.
    Expired,
    /// A frame that is larger than the link carries: answer its source and ask again.
    TooBig(DataFrame),
}

impl LaneQueue {
    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.frames.pop_front()?;
        self.bytes -= size(&waiting.frame);
        Some(waiting)
    }
}

fn size(frame: &DataFrame) -> usize {
    DATA_OVERHEAD_BYTES + frame.payload.len()
}

fn millis(held: Duration) -> u16 {
    u16::try_from(held.as_millis()).unwrap_or(u16::MAX)
}

impl RelayQueue {
    /// Queues a frame that came from `came_from`.
    ///
    /// # Errors
    /// The frame, when its lane's queue is full.
    pub fn push(
        &mut self,
        now: Instant,
        mut frame: DataFrame,
        came_from: PeerKey,
    ) -> Result<(), DataFrame> {
        let queue = self.lane(frame.lane);
        if queue.bytes + size(&frame) > RELAY_QUEUE_BYTES_MAX {
            return Err(frame);
        }
        if frame.payload.len() < PIN_BYTES_MIN {
            frame.payload = BytesMut::from(&frame.payload[..]);
        }
        queue.bytes += size(&frame);
        queue.frames.push_back(Waiting { frame, came_from, since: now });
        Ok(())
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneQueue {
        let [control, realtime, normal, bulk] = &mut self.lanes;
        match lane {
            Lane::Control => control,
            Lane::Realtime => realtime,
            Lane::Normal => normal,
            Lane::Bulk => bulk,
        }
    }

    /// The next frame of `lane`.
    pub fn pop(&mut self, now: Instant, lane: Lane, payload_bytes_max: usize) -> Option<Next> {
        let queue = self.lane(lane);
        let standing = queue.bytes > RELAY_QUEUE_BYTES_MAX / 2;
        let Waiting { mut frame, since, .. } = queue.pop()?;
        let held = now.since(since);
        if frame.payload.len() > payload_bytes_max {
            return Some(Next::TooBig(frame));
        }
        match frame.header.lifetime_ms.checked_sub(millis(held)) {
            Some(left) if left > 0 => frame.header.lifetime_ms = left,
            _ => return Some(Next::Expired),
        }
        frame.header.congested |= standing || held >= RELAY_MARK_AFTER;
        Some(Next::Frame(frame))
    }

    /// Takes everything out, to be forwarded anew: the neighbour is gone, or in doubt. A frame that
    /// has outlived its lifetime has none left.
    pub fn drain(&mut self, now: Instant) -> impl Iterator<Item = (DataFrame, PeerKey)> + '_ {
        self.lanes.iter_mut().flat_map(move |queue| {
            queue.bytes = 0;
            queue.frames.drain(..).map(move |Waiting { mut frame, came_from, since }| {
                let header = &mut frame.header;
                header.lifetime_ms = header.lifetime_ms.saturating_sub(millis(now.since(since)));
                // It has not left this node, which took one off.
                header.hop_limit = header.hop_limit.saturating_add(1);
                (frame, came_from)
            })
        })
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|queue| queue.frames.is_empty())
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lanes.iter().map(|queue| queue.bytes).sum()
    }
}

/// The answer to the source of a frame that a link cannot carry (protocol 8.2). It comes as from
/// the frame's destination: by that the source finds the session.
#[must_use]
pub fn too_big(frame: &DataFrame, limit: usize) -> DataFrame {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX).to_be_bytes();
    let header = RoutingHeader {
        kind: DataKind::TooBig,
        congested: false,
        key_phase: false,
        hop_limit: PATH_HOPS_MAX + HOP_LIMIT_SLACK,
        lifetime_ms: RoutingHeader::lifetime(FRAME_LIFETIME),
        source: frame.header.destination,
        destination: frame.header.source,
        session: frame.header.session,
        packet_low: frame.header.packet_low,
    };
    let tag = hash::prefix(Domain::Payload, &[&limit]);
    DataFrame { lane: frame.lane, header, tag, payload: BytesMut::from(limit.as_slice()) }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::entropy::tests::Seeded;
    use crate::id::Address;
    use crate::identity::Identity;

    fn frame(bytes: usize, lifetime_ms: u16) -> DataFrame {
        let header = RoutingHeader {
            kind: DataKind::Packet,
            congested: false,
            key_phase: false,
            hop_limit: 3,
            lifetime_ms,
            source: Address::from_bytes([1; 8]),
            destination: Address::from_bytes([2; 8]),
            session: 0,
            packet_low: 0,
        };
        DataFrame { lane: Lane::Normal, header, tag: [0; 16], payload: BytesMut::zeroed(bytes) }
    }

    fn peer() -> PeerKey {
        Identity::generate(&mut Seeded(1)).peer_key()
    }

    const MS: fn(u64) -> Instant = Instant::from_millis;

    #[test]
    fn a_relay_takes_its_time_off_the_lifetime_and_marks_what_waited() {
        let mut queue = RelayQueue::default();
        queue.push(MS(0), frame(10, 1_000), peer()).unwrap();
        queue.push(MS(0), frame(10, 1_000), peer()).unwrap();
        let Some(Next::Frame(prompt)) = queue.pop(MS(5), Lane::Normal, 100) else { panic!() };
        assert_eq!((prompt.header.lifetime_ms, prompt.header.congested), (995, false));
        let Some(Next::Frame(late)) = queue.pop(MS(100), Lane::Normal, 100) else { panic!() };
        assert_eq!((late.header.lifetime_ms, late.header.congested), (900, true));
    }

    #[test]
    fn a_small_frame_that_waits_does_not_hold_what_it_came_in() {
        let mut queue = RelayQueue::default();
        let mut block = BytesMut::zeroed(1_000_000);
        let payload = block.split_to(10);
        let small = DataFrame { payload, ..frame(0, 1_000) };
        queue.push(MS(0), small, peer()).unwrap();
        block.clear();
        assert!(block.try_reclaim(1_000_000));
        assert!(
            matches!(queue.pop(MS(1), Lane::Normal, 100), Some(Next::Frame(f)) if f.payload == [0; 10][..])
        );
    }

    #[test]
    fn what_is_too_old_or_too_big_is_not_sent() {
        let mut queue = RelayQueue::default();
        queue.push(MS(0), frame(10, 50), peer()).unwrap();
        queue.push(MS(0), frame(101, 5_000), peer()).unwrap();
        assert_eq!(queue.pop(MS(50), Lane::Normal, 100), Some(Next::Expired));
        assert!(matches!(queue.pop(MS(50), Lane::Normal, 100), Some(Next::TooBig(_))));
        assert_eq!(queue.pop(MS(50), Lane::Normal, 100), None);
    }

    #[test]
    fn a_full_lane_refuses_and_another_lane_does_not_notice() {
        let mut queue = RelayQueue::default();
        let mut pushed = 0;
        while queue.push(MS(0), frame(60_000, 1_000), peer()).is_ok() {
            pushed += 1;
        }
        assert_eq!(pushed, RELAY_QUEUE_BYTES_MAX / (60_000 + DATA_OVERHEAD_BYTES));
        let realtime = DataFrame { lane: Lane::Realtime, ..frame(10, 1_000) };
        queue.push(MS(0), realtime, peer()).unwrap();
        let drained: Vec<_> = queue.drain(MS(400)).map(|(frame, _)| frame.header).collect();
        assert_eq!(drained.len(), pushed + 1);
        let left = drained.iter().map(|header| (header.lifetime_ms, header.hop_limit));
        assert!(left.into_iter().all(|left| left == (600, 4)), "as if it had come just now");
        assert!(queue.is_empty() && queue.bytes() == 0);
    }
}
