//! Two links over two pipes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hedgerow_core::crypto::aead::Portable;
use hedgerow_core::crypto::noise::Role;
use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::entropy::Entropy;
use hedgerow_core::id::{Address, Instance};
use hedgerow_core::identity::Identity;
use hedgerow_core::io::{Lane, LinkShape};
use hedgerow_core::link::{Link, LinkEnd, LinkEvent, Source};
use hedgerow_core::local::Local;
use hedgerow_core::network::Network;
use hedgerow_core::time::Instant;
use hedgerow_core::wire::control::Control;
use hedgerow_core::wire::fragment::{Ack, HEADER_BYTES, Header};
use hedgerow_core::wire::frame::{DataFrame, DataHead};
use hedgerow_core::wire::routing::{DataKind, RoutingHeader};
use hedgerow_netem::{Pipe, Shape, Verdict};

/// Splitmix64.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// What waits to be sent; a frame of `again` comes whenever its lane has no other.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) control: VecDeque<Control>,
    pub(crate) data: VecDeque<DataFrame>,
    pub(crate) again: Option<DataFrame>,
}

impl Source for Shelf {
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>) {
        while lane == Lane::Control
            && let Some(next) = self.control.front()
        {
            let mut bytes = Vec::new();
            next.encode(&mut bytes);
            if bytes.len() + out.len() > room {
                return;
            }
            out.append(&mut bytes);
            self.control.pop_front();
        }
    }

    fn data(&mut self, lane: Lane, most: usize, out: &mut BytesMut) -> Option<DataHead> {
        if let Some(at) = self.data.iter().position(|frame| frame.lane == lane) {
            let frame = self.data.remove(at)?;
            assert!(frame.payload.len() <= most);
            return Some(frame.write(out));
        }
        let again = self.again.as_ref().filter(|frame| frame.lane == lane)?;
        Some(again.clone().write(out))
    }
}

/// Bytes of packets that left one end, by what they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Of fragments' headers.
    pub(crate) headers: u64,
    /// Of acknowledgements, and the headers of packets that hold nothing else.
    pub(crate) acks: u64,
}

pub(crate) struct End {
    pub(crate) link: Link,
    pub(crate) local: Local,
    pub(crate) shelf: Shelf,
    /// Data frames that came.
    pub(crate) data: Vec<DataFrame>,
    /// Their payloads' bytes, also of those that are not kept.
    pub(crate) data_bytes: u64,
    /// Control messages that came, and when.
    pub(crate) control: Vec<(Instant, Control)>,
    pub(crate) end: Option<LinkEnd>,
    pub(crate) is_up: bool,
    pub(crate) keeps: bool,
    pub(crate) sent: Sent,
    /// The operating system cuts what is longer, and says nothing.
    pub(crate) cuts_at: usize,
    /// Packets with such a fragment, or with a fragment of such a lane, never arrive.
    pub(crate) loses: Option<(Lane, Option<u16>)>,
    /// What the driver said last.
    pub(crate) packet_bytes: usize,
}

pub(crate) struct Rig {
    pub(crate) now: Instant,
    pub(crate) ends: [End; 2],
    /// From end 0 to end 1, and back.
    pub(crate) pipes: [Pipe<Bytes>; 2],
    entropy: Seeded,
    /// Steps at the same moment.
    still: u32,
}

fn local(seed: u64) -> Local {
    Local {
        identity: Identity::generate(&mut Seeded(seed)),
        network: Network::open("test").unwrap(),
        instance: Instance::from_bytes([u8::try_from(seed).unwrap(); 8]),
        epoch: 1,
        aead: Arc::new(Portable),
        verifier: Arc::new(Strict),
    }
}

/// A data frame; a number goes ahead of the rest of its payload.
pub(crate) fn frame(lane: Lane, number: u64, payload_bytes: usize) -> DataFrame {
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
    let mut payload = BytesMut::from(&number.to_be_bytes()[..]);
    payload.extend((8..payload_bytes).map(|at| (at as u64 * 31 + number * 7) as u8));
    DataFrame { lane, header, tag: [3; 16], payload }
}

impl Rig {
    pub(crate) fn new(
        packet_bytes: usize,
        is_ordered: bool,
        shapes: [Shape; 2],
        seed: u64,
    ) -> Self {
        let now = Instant::from_millis(1_000);
        let mut entropy = Seeded(seed);
        let shape = LinkShape::Packet { packet_bytes, is_ordered, frame_bytes_max: 65_536 };
        let mut end = |role, seed| {
            let local = local(seed);
            let link = Link::new(now, &local, &mut entropy, role, shape, 0);
            End {
                link,
                local,
                shelf: Shelf::default(),
                data: Vec::new(),
                data_bytes: 0,
                control: Vec::new(),
                end: None,
                is_up: false,
                keeps: true,
                sent: Sent::default(),
                cuts_at: usize::MAX,
                loses: None,
                packet_bytes,
            }
        };
        let ends = [end(Role::Initiator, 1), end(Role::Responder, 2)];
        let [there, back] = shapes;
        let pipes = [Pipe::new(there, seed ^ 1), Pipe::new(back, seed ^ 2)];
        Self { now, ends, pipes, entropy, still: 0 }
    }

    /// A rig whose link is up.
    pub(crate) fn up(packet_bytes: usize, is_ordered: bool, shape: Shape, seed: u64) -> Self {
        let mut rig = Self::new(packet_bytes, is_ordered, [shape, shape], seed);
        rig.run_while(Duration::from_secs(10), |rig| !rig.ends.iter().all(|end| end.is_up));
        assert!(rig.ends.iter().all(|end| end.is_up), "the handshake is over in ten seconds");
        rig
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.now.as_micros())
    }

    /// Sends all that drivers take now.
    fn transmit(&mut self) {
        let now = self.elapsed();
        for (end, pipe) in self.ends.iter_mut().zip(&mut self.pipes) {
            while pipe.writable_at(end.packet_bytes) <= now {
                let packet = end.link.poll_transmit(self.now, &mut end.shelf);
                end.drain(self.now);
                let Some(packet) = packet else { break };
                if end.note(&packet) {
                    continue;
                }
                let packet = packet.slice(..packet.len().min(end.cuts_at));
                match pipe.send(now, packet.len(), packet) {
                    Verdict::Queued | Verdict::Lost | Verdict::TooBig(_) => {}
                    Verdict::Full(_) => panic!("it was writable"),
                }
            }
        }
    }

    /// Goes to the next moment at which something happens; false at `until`.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        self.transmit();
        let micros = |at: Duration| Instant::from_micros(u64::try_from(at.as_micros()).unwrap());
        let mut next = until;
        for (end, pipe) in self.ends.iter().zip(&self.pipes) {
            let writable = micros(pipe.writable_at(end.packet_bytes));
            let arrives = pipe.next_timeout().map(micros);
            let times = [Some(writable).filter(|at| *at > self.now), arrives];
            next = times.into_iter().flatten().chain(end.link.next_timeout()).fold(next, Ord::min);
        }
        assert!(next >= self.now, "a timer lies in the past");
        self.still = if next == self.now { self.still + 1 } else { 0 };
        assert!(
            self.still < 10_000,
            "the clock stands: {:?}",
            self.ends.each_ref().map(|end| end.link.packets())
        );
        self.now = next;
        let now = self.elapsed();
        for (pipe, end) in self.pipes.iter_mut().zip([1, 0]) {
            while let Some(arrival) = pipe.poll_arrival(now) {
                let mut packet = BytesMut::from(&arrival.item[..]);
                if let Some(damage) = arrival.damage {
                    damage.strike(&mut packet);
                }
                let end = &mut self.ends[end];
                end.link.handle_bytes(self.now, &end.local, &mut self.entropy, packet);
                end.drain(self.now);
            }
        }
        for end in &mut self.ends {
            if end.link.next_timeout().is_some_and(|at| at <= self.now) {
                end.link.handle_timeout(self.now);
                end.drain(self.now);
            }
        }
        self.now < until
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.run_while(time, |_| true);
    }

    /// Runs for so long, or until something is not so any more.
    pub(crate) fn run_while(&mut self, time: Duration, goes_on: impl Fn(&Self) -> bool) {
        let until = self.now + time;
        while goes_on(self) && self.step(until) {}
    }
}

impl End {
    /// The driver says that its packets have another size.
    pub(crate) fn set_packet_bytes(&mut self, packet_bytes: usize) {
        self.packet_bytes = packet_bytes;
        self.link.handle_packet_bytes(packet_bytes);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Established(_) => self.is_up = true,
                LinkEvent::Data(frame) => {
                    self.data_bytes += frame.payload.len() as u64;
                    if self.keeps {
                        self.data.push(frame);
                    }
                }
                LinkEvent::Control(message) => self.control.push((now, message)),
                LinkEvent::Closed(end) => self.end = Some(end),
                LinkEvent::Suspect | LinkEvent::Trusted | LinkEvent::Measured(_) => {}
                LinkEvent::Skipped(_) => panic!("nothing else was sent"),
            }
        }
    }

    /// Counts a packet; says whether it is to be lost.
    fn note(&mut self, packet: &[u8]) -> bool {
        assert!(packet.len() <= self.packet_bytes, "{} bytes", packet.len());
        self.sent.packets += 1;
        self.sent.bytes += packet.len() as u64;
        let header = Header::decode(*packet.first_chunk().unwrap());
        let mut rest = &packet[HEADER_BYTES..];
        let ack =
            if header.ack { Ack::decode(&mut rest).unwrap().encoded_bytes() as u64 } else { 0 };
        self.sent.acks += ack;
        if rest.is_empty() {
            self.sent.acks += HEADER_BYTES as u64;
        } else {
            self.sent.headers += HEADER_BYTES as u64;
        }
        let is_lost = |(lane, number): (Lane, Option<u16>)| {
            header.lane == lane && number.is_none_or(|number| number == header.sequence)
        };
        !rest.is_empty() && self.loses.is_some_and(is_lost)
    }
}
