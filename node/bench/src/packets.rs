//! Two ends of a packet-shaped link in one process.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hedgerow::Identity;
use hedgerow_core::crypto::noise::Role;
use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::id::{Address, Instance};
use hedgerow_core::io::{Lane, LinkShape};
use hedgerow_core::link::{Link, LinkEvent, Source};
use hedgerow_core::local::Local;
use hedgerow_core::network::Network;
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::frame::DataHead;
use hedgerow_core::wire::routing::{DataKind, RoutingHeader};

use crate::{Ciphers, Seeded};

/// Packets of an ATT MTU of 247.
const PACKET_BYTES: usize = 244;

/// Frames of one payload.
struct Frames {
    payload: Bytes,
    left: usize,
}

impl Source for Frames {
    fn control(&mut self, _: Lane, _: usize, _: &mut Vec<u8>) {}

    fn data(&mut self, lane: Lane, _: usize, out: &mut BytesMut) -> Option<DataHead> {
        if lane != Lane::Normal || self.left == 0 {
            return None;
        }
        self.left -= 1;
        out.extend_from_slice(&self.payload);
        let header = RoutingHeader {
            kind: DataKind::Packet,
            congested: false,
            key_phase: false,
            hop_limit: 5,
            lifetime_ms: 1_000,
            source: Address::from_bytes([1; 8]),
            destination: Address::from_bytes([2; 8]),
            session: 7,
            packet_low: 9,
        };
        Some(DataHead { lane, header, tag: [3; 16] })
    }
}

struct End {
    link: Link,
    local: Local,
    frames: Frames,
}

/// A packet-shaped link whose packets of 244 bytes arrive at once.
pub struct Packets {
    now: Instant,
    ends: [End; 2],
    entropy: Seeded,
    arrived: usize,
}

impl Packets {
    /// A link that is up; an ordered one repeats, acknowledges and checks nothing.
    ///
    /// # Panics
    /// When the handshake fails: the benchmark is broken.
    #[must_use]
    pub fn new(is_ordered: bool, ciphers: Ciphers) -> Self {
        let now = Instant::from_millis(100_000);
        let mut entropy = Seeded(1);
        let shape =
            LinkShape::Packet { packet_bytes: PACKET_BYTES, is_ordered, frame_bytes_max: 65_536 };
        let ends = [Role::Initiator, Role::Responder].map(|role| {
            let local = Local {
                identity: Identity::generate(&mut entropy),
                network: Network::open("bench").expect("a name"),
                instance: Instance::from_bytes([role as u8; 8]),
                epoch: 1,
                aead: ciphers.provider(),
                verifier: Arc::new(Strict),
            };
            let link = Link::new(now, &local, &mut entropy, role, shape, 0);
            let frames = Frames { payload: Bytes::new(), left: 0 };
            End { link, local, frames }
        });
        let mut packets = Self { now, ends, entropy, arrived: 0 };
        packets.carry(&Bytes::from_static(&[7; 100]), 1);
        packets
    }

    /// Carries `count` frames with this payload from one end to the other, and what acknowledges
    /// them back.
    ///
    /// # Panics
    /// When they do not arrive.
    pub fn carry(&mut self, payload: &Bytes, count: usize) {
        let before = self.arrived;
        self.ends[0].frames = Frames { payload: payload.clone(), left: count };
        for _ in 0..100 {
            while self.pass(0) | self.pass(1) {}
            if self.arrived == before + count {
                return;
            }
            self.now += Duration::from_millis(40);
            self.ends.iter_mut().for_each(|end| end.link.handle_timeout(self.now));
        }
        panic!("the frames do not arrive");
    }

    fn pass(&mut self, from: usize) -> bool {
        let [a, b] = &mut self.ends;
        let (from, to) = if from == 0 { (a, b) } else { (b, a) };
        let Some(packet) = from.link.poll_transmit(self.now, &mut from.frames) else {
            return false;
        };
        let packet = packet.try_into_mut().unwrap_or_else(|packet| BytesMut::from(&packet[..]));
        to.link.handle_bytes(self.now, &to.local, &mut self.entropy, packet);
        while let Some(event) = to.link.poll_event() {
            self.arrived += usize::from(matches!(event, LinkEvent::Data(_)));
        }
        true
    }
}
