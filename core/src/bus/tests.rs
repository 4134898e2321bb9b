//! Two Bus machines, a virtual clock and a bad pipe between them.

mod ciphers;
mod lifecycle;
mod limits;
mod messages;
mod paths;
mod pings;
mod random;
mod streams;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::crypto::aead::Portable;
use crate::crypto::verifier::Strict;
use crate::entropy::tests::Seeded;
use crate::id::{Instance, TransportId};
use crate::identity::Identity;
use crate::network::Network;
use crate::time::Duration;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
const LINK: LinkId = LinkId { transport: TransportId(0), number: 0 };

/// One direction of the way between the two.
#[derive(Clone, Debug)]
struct Pipe {
    delay: Duration,
    /// A frame is late by up to this, at random: frames overtake each other.
    jitter: Duration,
    lost_percent: u64,
    doubled_percent: u64,
    /// A bottleneck somewhere on the way, with an endless queue.
    bytes_per_s: Option<u64>,
    /// Larger payloads are answered with `TooBig`.
    payload_bytes_max: usize,
    /// Those answers are altered on their way.
    forged: bool,
    free_at: Instant,
    worst_wait: Duration,
    marks: bool,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            delay: 10 * MS,
            jitter: Duration::ZERO,
            lost_percent: 0,
            doubled_percent: 0,
            bytes_per_s: None,
            payload_bytes_max: usize::MAX,
            forged: false,
            free_at: Instant::EPOCH,
            worst_wait: Duration::ZERO,
            marks: false,
        }
    }
}

/// The two ends. End 0 has the lower key.
struct Pair {
    now: Instant,
    ends: [Bus; 2],
    keys: [PeerKey; 2],
    identities: [Identity; 2],
    config: BusConfig,
    entropy: Seeded,
    pipes: [Pipe; 2],
    flight: BTreeMap<(Instant, u64), (usize, DataFrame)>,
    frames: u64,
    events: [Vec<BusEvent>; 2],
    /// Whether the application takes events as they come.
    hears: [bool; 2],
    /// Whether the application takes single messages as they come.
    reads: [bool; 2],
    got: [Vec<IncomingMessage>; 2],
    /// All frames that were ever sent, by sender, if wanted.
    recorded: Option<Vec<(usize, DataFrame)>>,
}

fn local(identity: &Identity, instance: u8) -> Local {
    Local {
        identity: identity.clone(),
        network: Network::open("test").unwrap(),
        instance: Instance::from_bytes([instance; 8]),
        epoch: 1,
        aead: Arc::new(Portable),
        verifier: Arc::new(Strict),
    }
}

fn path(number: u64, payload_bytes_max: usize) -> Path {
    let link = LinkId { number, ..LINK };
    Path { link, hops: 2, hop_limit: 6, payload_bytes_max }
}

/// The next frame, whole; behind something that is there already.
fn poll(
    bus: &mut Bus,
    now: Instant,
    entropy: &mut Seeded,
    link: LinkId,
    lane: Lane,
) -> Option<DataFrame> {
    let mut out = BytesMut::from(&b"before"[..]);
    let head = bus.poll_transmit(now, entropy, link, lane, 65_536, &mut out);
    let payload = out.split_off(6);
    assert_eq!(&out[..], b"before");
    assert!(head.is_some() || payload.is_empty());
    let DataHead { lane, header, tag } = head?;
    Some(DataFrame { lane, header, tag, payload })
}

impl Pair {
    fn new(seed: u64) -> Self {
        Self::with(seed, BusConfig::default())
    }

    fn with(seed: u64, config: BusConfig) -> Self {
        let mut entropy = Seeded(seed);
        let mut identities = [(); 2].map(|()| Identity::generate(&mut entropy));
        identities.sort_by_key(Identity::peer_key);
        let keys = [identities[0].peer_key(), identities[1].peer_key()];
        let ends = [0, 1].map(|end| Bus::new(local(&identities[end], end as u8), config.clone()));
        let mut pair = Self {
            now: Instant::from_millis(1_000),
            ends,
            keys,
            identities,
            config,
            entropy,
            pipes: [Pipe::default(), Pipe::default()],
            flight: BTreeMap::new(),
            frames: 0,
            events: [Vec::new(), Vec::new()],
            hears: [true; 2],
            reads: [true; 2],
            got: [Vec::new(), Vec::new()],
            recorded: None,
        };
        pair.set_paths(Some(path(0, 1_280)));
        pair
    }

    fn set_paths(&mut self, path: Option<Path>) {
        for end in 0..2 {
            self.ends[end].handle_path(self.now, self.keys[1 - end], path);
        }
    }

    fn pipes(&mut self, change: impl Fn(&mut Pipe)) {
        self.pipes.iter_mut().for_each(change);
    }

    fn restart(&mut self, end: usize, instance: u8) {
        self.ends[end] = Bus::new(local(&self.identities[end], instance), self.config.clone());
        self.got[end].clear();
        self.events[end].clear();
        self.ends[end].handle_path(self.now, self.keys[1 - end], Some(path(0, 1_280)));
    }

    fn send(&mut self, from: usize, data: impl Into<Bytes>) -> MessageId {
        let to = self.keys[1 - from];
        self.ends[from].send_reliable(self.now, to, Lane::Normal, data.into(), None).unwrap()
    }

    fn open(&mut self, from: usize, reliability: Reliability) -> StreamId {
        let open = StreamOpen {
            topic: Bytes::from_static(b"topic"),
            reliability,
            lane: Lane::Normal,
            args: Bytes::from_static(b"hello"),
        };
        let to = self.keys[1 - from];
        self.ends[from].open_stream(self.now, &mut self.entropy, to, open).unwrap()
    }

    /// Opens a stream from end 0 and accepts it at end 1.
    fn opened(&mut self, reliability: Reliability) -> [StreamId; 2] {
        let id = self.open(0, reliability);
        assert!(self.run_until(5 * SECOND, |pair| pair.offered(1).is_some()));
        let offered = self.offered(1).unwrap();
        self.ends[1].accept_stream(self.now, offered, Bytes::from_static(b"welcome")).unwrap();
        let opened = BusEvent::StreamOpened { id, args: Bytes::from_static(b"welcome") };
        assert!(self.run_until(5 * SECOND, |pair| pair.events[0].contains(&opened)));
        [id, offered]
    }

    fn offered(&self, end: usize) -> Option<StreamId> {
        self.events[end].iter().rev().find_map(|event| match event {
            BusEvent::StreamOffered { id, .. } => Some(*id),
            _ => None,
        })
    }

    fn outcome(&self, end: usize, message: MessageId) -> Option<Outcome> {
        let mut outcomes = self.events[end].iter().filter_map(|event| match event {
            BusEvent::MessageDone { id, outcome, .. } if *id == message => Some(*outcome),
            _ => None,
        });
        let outcome = outcomes.next();
        assert_eq!(outcomes.next(), None, "a message has one outcome");
        outcome
    }

    fn closed(&self, end: usize, stream: StreamId) -> Option<StreamEnd> {
        let mut ends = self.events[end].iter().filter_map(|event| match event {
            BusEvent::StreamClosed { id, reason } if *id == stream => Some(*reason),
            _ => None,
        });
        let reason = ends.next();
        assert_eq!(ends.next(), None, "a stream has one end");
        reason
    }

    fn random(&mut self, bound: u64) -> u64 {
        crate::entropy::below(&mut self.entropy, bound)
    }

    /// Moves what the ends want to send into the pipes.
    fn transmit(&mut self) {
        for end in 0..2 {
            for lane in Lane::ALL {
                for number in 0..4 {
                    let link = LinkId { number, ..LINK };
                    let (now, entropy) = (self.now, &mut self.entropy);
                    let mut frames = Vec::new();
                    while let Some(frame) = poll(&mut self.ends[end], now, entropy, link, lane) {
                        frames.push(frame);
                    }
                    frames.into_iter().for_each(|frame| self.carry(end, frame));
                }
            }
        }
    }

    fn carry(&mut self, from: usize, mut frame: DataFrame) {
        assert_eq!(frame.header.source, self.keys[from].address());
        assert_eq!(frame.header.destination, self.keys[1 - from].address());
        if let Some(recorded) = &mut self.recorded {
            recorded.push((from, frame.clone()));
        }
        if self.random(100) < self.pipes[from].lost_percent {
            return;
        }
        let doubled = self.random(100) < self.pipes[from].doubled_percent;
        let jitter = self.pipes[from].jitter.as_micros() as u64;
        let late = [self.random(jitter), self.random(jitter)];
        let pipe = &mut self.pipes[from];
        let mut at = self.now + pipe.delay;
        if let Some(rate) = pipe.bytes_per_s {
            let bytes = frame.payload.len() as u64 + 44;
            let start = pipe.free_at.max(self.now);
            pipe.worst_wait = pipe.worst_wait.max(start.since(self.now));
            frame.header.congested |= pipe.marks && start.since(self.now) > 60 * MS;
            pipe.free_at = start + Duration::from_micros(bytes * 1_000_000 / rate);
            at = pipe.free_at + pipe.delay;
        }
        if frame.payload.len() > pipe.payload_bytes_max {
            let mut answer = crate::route::too_big(&frame, pipe.payload_bytes_max);
            if pipe.forged {
                answer.payload[3] ^= 1;
            }
            self.put(at, from, answer);
            return;
        }
        if doubled {
            self.put(at + Duration::from_micros(late[1]), 1 - from, frame.clone());
        }
        self.put(at + Duration::from_micros(late[0]), 1 - from, frame);
    }

    fn put(&mut self, at: Instant, to: usize, frame: DataFrame) {
        self.frames += 1;
        self.flight.insert((at, self.frames), (to, frame));
    }

    fn deliver(&mut self, to: usize, frame: DataFrame) {
        let from = self.keys[1 - to];
        self.ends[to].handle_frame(self.now, &mut self.entropy, from, frame);
    }

    fn collect(&mut self) {
        for end in 0..2 {
            while self.hears[end]
                && let Some(event) = self.ends[end].poll_event()
            {
                self.events[end].push(event);
            }
            while self.reads[end]
                && let Some(message) = self.ends[end].take_message(self.now)
            {
                self.got[end].push(message);
            }
        }
    }

    fn next(&self) -> Option<Instant> {
        let arrival = self.flight.first_key_value().map(|((at, _), _)| *at);
        crate::time::earliest([arrival, self.ends[0].next_timeout(), self.ends[1].next_timeout()])
    }

    /// Runs until `done`, or for `limit`. Returns whether it was done.
    fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        for step in 0.. {
            assert!(step < 3_000_000, "the machines spin at {:?}", self.now);
            self.collect();
            self.transmit();
            if done(self) {
                return true;
            }
            match self.next() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => {
                    self.now = end;
                    return false;
                }
            }
            while let Some(entry) = self.flight.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (to, frame) = entry.remove();
                self.deliver(to, frame);
            }
            for end in &mut self.ends {
                end.handle_timeout(self.now, &mut self.entropy);
            }
        }
        false
    }

    fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Everything that arrived at an end as single messages.
    fn texts(&self, end: usize) -> Vec<Bytes> {
        self.got[end].iter().map(|message| message.data.clone()).collect()
    }

    fn read_stream(&mut self, end: usize, id: StreamId) -> Vec<Bytes> {
        core::iter::from_fn(|| self.ends[end].stream_next(self.now, id)).collect()
    }
}

fn is_delivered(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Delivered { .. }))
}

fn numbered(count: u32) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(n.to_be_bytes().to_vec())).collect()
}
