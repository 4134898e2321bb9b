//! Two links on a wire, on a virtual clock.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use alloc::sync::Arc;
use alloc::vec;
use core::ops::Range;

use super::*;
use crate::crypto::aead::Portable;
use crate::crypto::verifier::Strict;
use crate::entropy::tests::Seeded;
use crate::id::{Address, Instance};
use crate::identity::Identity;
use crate::limits::{KEEPALIVE_INTERVAL, LINK_DEAD_AFTER, VERSION_HIGHEST, VERSION_LOWEST};
use crate::network::{Network, NetworkSecret};
use crate::wire::advert::BodyHash;
use crate::wire::frame::{CONTROL_OVERHEAD_BYTES, DataHead, PREFIX_BYTES};
use crate::wire::lane::Lane;
use crate::wire::routing::{DataKind, RoutingHeader};

const SHAPE: LinkShape = LinkShape::Stream { chunk_bytes: 8_192, frame_bytes_max: 4_096 };

fn local(seed: u64, network: Network) -> Local {
    Local {
        identity: Identity::generate(&mut Seeded(seed)),
        network,
        instance: Instance::from_bytes([u8::try_from(seed).unwrap(); 8]),
        epoch: 1,
        aead: Arc::new(Portable),
        verifier: Arc::new(Strict),
    }
}

/// Hands out what a test put in.
#[derive(Default)]
struct Shelf {
    control: VecDeque<Control>,
    data: VecDeque<DataFrame>,
}

impl Source for Shelf {
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>) {
        while lane == Lane::Control && !self.control.is_empty() {
            let mut bytes = Vec::new();
            self.control[0].encode(&mut bytes);
            if bytes.len() > room.saturating_sub(out.len()) {
                return;
            }
            out.append(&mut bytes);
            self.control.pop_front();
        }
    }

    fn data(
        &mut self,
        lane: Lane,
        payload_bytes_max: usize,
        out: &mut BytesMut,
    ) -> Option<DataHead> {
        let at = self.data.iter().position(|frame| frame.lane == lane)?;
        assert!(self.data[at].payload.len() <= payload_bytes_max);
        Some(self.data.remove(at)?.write(out))
    }
}

struct End {
    link: Link,
    local: Local,
    shelf: Shelf,
    seen: Vec<LinkEvent>,
}

impl End {
    fn new(role: Role, local: Local) -> Self {
        let link = Link::new(Instant::EPOCH, &local, &mut Seeded(9), role, SHAPE, 0);
        Self { link, local, shelf: Shelf::default(), seen: Vec::new() }
    }

    fn drain(&mut self) {
        while let Some(event) = self.link.poll_event() {
            self.seen.push(event);
        }
    }

    fn take(&mut self, now: Instant, bytes: &[u8]) {
        self.link.handle_bytes(now, &self.local, &mut Seeded(8), bytes.into());
        self.drain();
    }

    fn give(&mut self, now: Instant) -> Option<Bytes> {
        let bytes = self.link.poll_transmit(now, &mut self.shelf);
        self.drain();
        bytes
    }

    fn end(&self) -> Option<&LinkEnd> {
        self.seen.iter().find_map(|event| match event {
            LinkEvent::Closed(end) => Some(end),
            _ => None,
        })
    }
}

struct Pair {
    now: Instant,
    a: End,
    b: End,
}

impl Pair {
    fn new(a: Network, b: Network) -> Self {
        Self {
            now: Instant::EPOCH,
            a: End::new(Role::Initiator, local(1, a)),
            b: End::new(Role::Responder, local(2, b)),
        }
    }

    fn up() -> Self {
        let network = Network::open("test").unwrap();
        let mut pair = Self::new(network.clone(), network);
        pair.settle(1..2);
        assert!(matches!(pair.a.seen[0], LinkEvent::Established(_)));
        assert!(matches!(pair.b.seen[0], LinkEvent::Established(_)));
        pair.a.seen.clear();
        pair.b.seen.clear();
        pair
    }

    /// Carries bytes both ways, in pieces of changing sizes, until there are none.
    fn settle(&mut self, pieces: Range<usize>) {
        let mut size = pieces.start;
        loop {
            let (to_b, to_a) = (self.a.give(self.now), self.b.give(self.now));
            if to_a.is_none() && to_b.is_none() {
                return;
            }
            for (end, bytes) in [(&mut self.b, to_b), (&mut self.a, to_a)] {
                let bytes = bytes.unwrap_or_default();
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (piece, tail) = rest.split_at(size.min(rest.len()));
                    end.take(self.now, piece);
                    rest = tail;
                    size = if size + 1 >= pieces.end { pieces.start } else { size + 1 };
                }
            }
        }
    }
}

fn frame(lane: Lane, payload: &[u8]) -> DataFrame {
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
    DataFrame { lane, header, tag: [3; 16], payload: payload.into() }
}

#[test]
fn a_handshake_in_single_bytes_shows_each_end_the_other() {
    let network = Network::open("test").unwrap();
    let mut pair = Pair::new(network.clone(), network);
    pair.settle(1..2);
    for (end, other) in [(&pair.a, &pair.b), (&pair.b, &pair.a)] {
        let LinkEvent::Established(established) = &end.seen[0] else { panic!() };
        assert_eq!(established.hello.peer_key, other.local.peer_key());
        assert_eq!(established.hello.instance, other.local.instance);
        assert_eq!(established.payload_bytes_max, 4_096);
    }
}

#[test]
fn frames_arrive_whole_and_in_order_however_the_bytes_are_cut() {
    let mut pair = Pair::up();
    for n in 0..50_u8 {
        let payload = vec![n; usize::from(n) * 80];
        pair.a.shelf.data.push_back(frame(Lane::Normal, &payload));
        pair.b.shelf.control.push_back(Control::BodyHave(BodyHash::from([n; 32])));
    }
    pair.settle(1..700);
    let payloads = pair.b.seen.iter().map(|event| match event {
        LinkEvent::Data(frame) => frame.payload.clone(),
        other => panic!("{other:?}"),
    });
    assert!(payloads.eq((0..50_u8).map(|n| BytesMut::from(&vec![n; usize::from(n) * 80][..]))));
    assert_eq!(pair.a.seen.len(), 50);
}

#[test]
fn higher_lanes_overtake_and_bulk_is_not_starved() {
    let mut pair = Pair::up();
    for n in 0..40 {
        pair.a.shelf.data.push_back(frame(Lane::Bulk, &[n; 4_000]));
        pair.a.shelf.data.push_back(frame(Lane::Normal, &[n; 4_000]));
    }
    pair.a.shelf.data.push_back(frame(Lane::Realtime, b"now"));
    pair.a.shelf.control.push_back(Control::BodyHave([1; 32]));
    pair.settle(10_000..10_001);
    assert!(matches!(pair.b.seen[0], LinkEvent::Control(Control::BodyHave(_))));
    let lanes: Vec<Lane> = pair
        .b
        .seen
        .iter()
        .filter_map(|event| if let LinkEvent::Data(f) = event { Some(f.lane) } else { None })
        .collect();
    assert_eq!(lanes[0], Lane::Realtime);
    let first_18 = &lanes[1..19];
    assert_eq!(first_18.iter().filter(|lane| **lane == Lane::Bulk).count(), 2);
}

#[test]
fn thousands_of_frames_of_one_lane_pass() {
    let mut pair = Pair::up();
    for _ in 0..2_000 {
        pair.a.shelf.data.push_back(frame(Lane::Normal, b"x"));
    }
    pair.settle(10_000..10_001);
    assert_eq!(pair.b.seen.len(), 2_000);
}

#[test]
fn another_network_name_fails_at_the_handshake_and_says_so() {
    let mut pair = Pair::new(Network::open("a").unwrap(), Network::open("b").unwrap());
    pair.settle(1..100);
    let failure = LinkEnd::Handshake(HandshakeFailure::OtherNetwork);
    assert_eq!(pair.a.end(), Some(&failure));
}

#[test]
fn closed_networks_need_the_secret_and_an_open_node_is_told() {
    let closed = |byte| Network::closed("a", &NetworkSecret::from_bytes([byte; 16])).unwrap();
    let mut same = Pair::new(closed(1), closed(1));
    same.settle(1..100);
    assert!(matches!(same.a.seen[0], LinkEvent::Established(_)));

    let mut other = Pair::new(closed(1), closed(2));
    other.settle(1..100);
    let failure = LinkEnd::Handshake(HandshakeFailure::OtherNetwork);
    assert_eq!(other.b.end(), Some(&failure), "message 1 does not open");

    let mut mixed = Pair::new(closed(1), Network::open("a").unwrap());
    mixed.settle(1..100);
    let failure = LinkEnd::Handshake(HandshakeFailure::OpenAndClosed);
    assert_eq!((mixed.a.end(), mixed.b.end()), (Some(&failure), Some(&failure)));
}

#[test]
fn an_incompatible_peer_is_told_the_range_in_clear() {
    for (lowest, highest) in [(VERSION_HIGHEST + 1, 9), (0, VERSION_LOWEST - 1)] {
        let network = Network::open("test").unwrap();
        let mut b = End::new(Role::Responder, local(2, network));
        b.take(Instant::EPOCH, &[b"HDGW", &[lowest, highest, 0, 0][..]].concat());
        let answer = b.give(Instant::EPOCH).unwrap();
        assert_eq!(answer, [b"HDGW", &[VERSION_LOWEST, VERSION_HIGHEST, 0, 0][..]].concat());
        let failure = HandshakeFailure::Incompatible { lowest, highest };
        assert_eq!(b.end(), Some(&LinkEnd::Handshake(failure)));
    }
}

#[test]
fn garbage_at_the_port_ends_the_link_without_an_answer() {
    let mut b = End::new(Role::Responder, local(2, Network::open("test").unwrap()));
    b.take(Instant::EPOCH, b"GET / HTTP/1.1\r\n");
    assert_eq!(b.end(), Some(&LinkEnd::Handshake(HandshakeFailure::NotHedgerow)));
    assert_eq!(b.give(Instant::EPOCH), None);
}

#[test]
fn every_altered_byte_of_a_frame_closes_the_link() {
    for at in [0, 3, 4, 20, 40, 60] {
        let mut pair = Pair::up();
        pair.a.shelf.data.push_back(frame(Lane::Normal, b"payload"));
        let mut bytes = pair.a.give(pair.now).unwrap().to_vec();
        bytes[at] ^= 4;
        let more = vec![0; 100];
        pair.b.take(pair.now, &bytes);
        pair.b.take(pair.now, &more);
        pair.b.give(pair.now);
        assert!(matches!(pair.b.end(), Some(LinkEnd::Violation(_))), "byte {at}");
    }
}

#[test]
fn an_altered_payload_passes_the_relay_and_is_left_to_the_session() {
    let mut pair = Pair::up();
    pair.a.shelf.data.push_back(frame(Lane::Normal, b"payload"));
    let mut bytes = pair.a.give(pair.now).unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    pair.b.take(pair.now, &bytes);
    assert!(matches!(pair.b.seen[0], LinkEvent::Data(_)));
}

#[test]
fn a_repeated_frame_is_refused() {
    let mut pair = Pair::up();
    pair.a.shelf.data.push_back(frame(Lane::Normal, b"payload"));
    let bytes = pair.a.give(pair.now).unwrap();
    pair.b.take(pair.now, &bytes);
    pair.b.take(pair.now, &bytes);
    pair.b.give(pair.now);
    assert_eq!(pair.b.end(), Some(&LinkEnd::Violation(Violation::SealBroken)));
}

#[test]
fn an_oversized_length_is_refused_before_its_bytes_are_awaited() {
    let control = CONTROL_BYTES_MAX + CONTROL_OVERHEAD_BYTES - PREFIX_BYTES;
    let data = 4_096 + DATA_OVERHEAD_BYTES - PREFIX_BYTES;
    for (first, length, refused) in [
        (0xa0, 0xff_ffff, true),
        (0xa0, data + 1, true),
        (0xa0, data, false),
        (0x00, control + 1, true),
        (0x00, control, false),
    ] {
        let mut pair = Pair::up();
        let prefix = u32::try_from(length).unwrap().to_be_bytes();
        pair.b.take(pair.now, &[first, prefix[1], prefix[2], prefix[3]]);
        pair.b.give(pair.now);
        let too_large = LinkEnd::Violation(Violation::FrameTooLarge);
        assert_eq!(pair.b.end(), refused.then_some(&too_large), "{length} bytes");
    }
}

#[test]
fn frames_are_as_large_as_both_ends_take_and_never_below_what_every_node_carries() {
    let network = Network::open("test").unwrap();
    let sizes = [0, PAYLOAD_BYTES_MIN - 1, 5_000, PAYLOAD_BYTES_MAX, usize::MAX];
    for (a, b) in sizes.into_iter().flat_map(|a| sizes.map(|b| (a, b))) {
        let mut pair = Pair::new(network.clone(), network.clone());
        for (end, role, frame_bytes_max) in
            [(&mut pair.a, Role::Initiator, a), (&mut pair.b, Role::Responder, b)]
        {
            let shape = LinkShape::Stream { chunk_bytes: 8_192, frame_bytes_max };
            end.link = Link::new(Instant::EPOCH, &end.local, &mut Seeded(9), role, shape, 0);
        }
        pair.settle(100..101);
        for end in [&pair.a, &pair.b] {
            let LinkEvent::Established(established) = &end.seen[0] else { panic!() };
            let expected = a.min(b).clamp(PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX);
            assert_eq!(established.payload_bytes_max, expected);
        }
    }
}

#[test]
fn the_ends_of_a_link_with_nothing_to_say_ask_by_turns() {
    let mut pair = Pair::up();
    // Those that were dialled wait a little longer.
    let dialled = KEEPALIVE_INTERVAL + Duration::from_millis(250);
    for (asks, after) in [(0, KEEPALIVE_INTERVAL), (1, dialled), (0, KEEPALIVE_INTERVAL)] {
        let at = pair.now + after;
        for (now, says) in [(at - Duration::from_millis(1), false), (at, true)] {
            pair.now = now;
            for end in [&mut pair.a, &mut pair.b] {
                end.link.handle_timeout(now);
            }
            let said = [pair.a.give(now), pair.b.give(now)];
            assert_eq!(said[asks].is_some(), says);
            assert_eq!(said[1 - asks], None, "it is not its turn");
            let Some(question) = &said[asks] else { continue };
            let (one, other) = match asks {
                0 => (&mut pair.a, &mut pair.b),
                _ => (&mut pair.b, &mut pair.a),
            };
            other.take(now, question);
            let answer = other.give(now).expect("it was asked");
            assert!(question.len() <= 29 && answer.len() <= 29);
            one.take(now, &answer);
            assert_eq!(one.give(now), None, "an answer asks nothing");
        }
    }
}

#[test]
fn a_data_frame_on_the_control_lane_is_refused_before_its_bytes_are_awaited() {
    let mut pair = Pair::up();
    pair.b.take(pair.now, &[0x20, 0, 0, 60]);
    pair.b.give(pair.now);
    assert_eq!(pair.b.end(), Some(&LinkEnd::Violation(Violation::DataOnControlLane)));
}

#[test]
fn a_half_open_handshake_ends_in_time() {
    let mut b = End::new(Role::Responder, local(2, Network::open("test").unwrap()));
    b.take(Instant::EPOCH, b"HDGW");
    assert_eq!(b.link.next_timeout(), Some(Instant::EPOCH + LINK_HANDSHAKE_TIMEOUT));
    b.link.handle_timeout(Instant::EPOCH + LINK_HANDSHAKE_TIMEOUT);
    b.drain();
    assert_eq!(b.end(), Some(&LinkEnd::Handshake(HandshakeFailure::TimedOut)));
}

#[test]
fn a_silent_peer_is_down_and_a_live_one_stays() {
    let mut pair = Pair::up();
    for _ in 0..120 {
        pair.now += Duration::from_secs(1);
        pair.a.link.handle_timeout(pair.now);
        pair.b.link.handle_timeout(pair.now);
        pair.settle(100..101);
    }
    assert_eq!(pair.a.link.state(), LinkState::Up);
    let silent_from = pair.a.link.heard_at().unwrap();
    while pair.a.end().is_none() {
        pair.now = pair.a.link.next_timeout().unwrap();
        pair.a.link.handle_timeout(pair.now);
        pair.a.give(pair.now);
        pair.a.drain();
    }
    assert_eq!(pair.a.end(), Some(&LinkEnd::Silent));
    assert_eq!(pair.now, silent_from + LINK_DEAD_AFTER);
}

#[test]
fn a_close_reaches_the_other_end_with_its_reason() {
    let mut pair = Pair::up();
    pair.a.link.close(pair.now, CloseCode::AtCapacity, Duration::from_secs(3));
    pair.settle(1..100);
    assert_eq!(pair.a.end(), Some(&LinkEnd::Here(CloseCode::AtCapacity)));
    let retry_after = Duration::from_secs(3);
    let expected = LinkEnd::ByPeer { code: CloseCode::AtCapacity, retry_after };
    assert_eq!(pair.b.end(), Some(&expected));
}

#[test]
fn the_queue_of_control_messages_is_bounded() {
    let mut pair = Pair::up();
    let sent = (0..1_000).filter(|_| pair.a.link.send_control(&Control::BodyHave([1; 32]))).count();
    assert_eq!(sent, LINK_CONTROL_QUEUE_MAX);
}
